// Plays a clip through the plugin's output in time with the host. The worker streams the file into a PreviewClip while
// it already plays; the audio thread starts it on a bar line and restarts it every `bars` bars, so that it cannot drift
// from the song. With the transport stopped it is heard once, at once.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "resample.hpp"
#include "transport.hpp"
#include "wav.hpp"

namespace acestep {

struct PreviewClip {
    PreviewClip(std::int64_t frames, double bar_count)
        : length(frames), bars(bar_count), samples(static_cast<std::size_t>(frames) * 2) {}
    const std::uint64_t serial = next_serial();
    const std::int64_t length;          // frames at the host's rate
    const double bars;
    std::vector<float> samples;         // interleaved stereo; only the first `filled` frames may be read
    std::atomic<std::int64_t> filled{0};

private:
    static std::uint64_t next_serial() {
        static std::atomic<std::uint64_t> last{0};
        return ++last;
    }
};

// Worker: reads the file piece by piece, at the host's rate, and draws the waveform on the way.
class PreviewLoader {
public:
    struct Column {
        float low = 0.0f, high = 0.0f, squares = 0.0f;
        int frames = 0;
        float level() const { return frames > 0 ? std::sqrt(squares / static_cast<float>(frames)) : 0.0f; }  // root mean square
    };
    static constexpr std::size_t kColumns = 640;

    PreviewLoader(const std::filesystem::path& path, double bars, int host_rate_hz);  // throws std::runtime_error

    std::unique_ptr<PreviewClip> take_clip() { return std::move(owned_); }
    bool done() const { return done_; }
    void step();  // reads about two seconds; only while the clip lives
    std::int64_t frames() const { return frames_; }  // at the host's rate
    const std::vector<Column>& waveform() const { return waveform_; }

private:
    WavReader reader_;
    Resampler resampler_;
    std::unique_ptr<PreviewClip> owned_;
    PreviewClip* clip_;
    std::vector<Column> waveform_;
    std::vector<float> piece_, resampled_;
    std::int64_t frames_ = 0, frames_read_ = 0;
    bool done_ = false;
};

class PreviewPlayer {
public:
    // Worker. Null means no clip. The previous one is freed by `reclaim` once the audio thread has let go of it.
    void publish(std::unique_ptr<PreviewClip> clip);
    void reclaim();
    // Any thread: frames from the clip's start, or -1 when silent.
    std::int64_t position() const { return shown_position_.load(std::memory_order_relaxed); }

    // Audio thread: adds the clip to `out`.
    void render(float* const* out, std::uint32_t frames, const BarTracker::Block& block, bool on, float level) noexcept;

private:
    PreviewClip* protect_published() noexcept;
    void adopt(PreviewClip* clip) noexcept;
    void start(PreviewClip* clip, bool free) noexcept;
    void on_bar_line(PreviewClip* target, bool wanted) noexcept;
    void play(float* const* out, std::uint32_t from, std::uint32_t to, float level) noexcept;

    std::atomic<PreviewClip*> published_{nullptr}, hazard_{nullptr}, adopted_{nullptr};
    std::unique_ptr<PreviewClip> owner_;  // of what is published
    std::vector<std::unique_ptr<PreviewClip>> retired_;
    std::atomic<std::int64_t> shown_position_{-1};

    // audio thread only
    PreviewClip* current_ = nullptr;
    std::uint64_t heard_free_ = 0;  // serial of the clip that has had its one pass with the transport stopped
    bool sounding_ = false, fading_ = false, free_ = false;
    std::int64_t at_ = 0;
    double bars_played_ = 0.0;
    float gain_ = 1.0f;
};

}  // namespace acestep

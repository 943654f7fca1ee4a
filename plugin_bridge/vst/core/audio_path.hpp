// What happens to the track's audio: kept in the ring, passed on untouched, with the preview on top. Everything here
// runs on the audio thread and neither allocates, locks, nor calls the system.
#pragma once

#include <atomic>
#include <cstdint>

#include "fifo.hpp"
#include "preview.hpp"
#include "ring.hpp"
#include "transport.hpp"

namespace acestep {

// What the audio thread tells the worker.
struct AudioEvent {
    enum class Kind : std::uint8_t { Mark, Time, Trigger, TakeReference, TakeContext };
    Kind kind = Kind::Time;
    BarMark mark{};   // Mark: the bar line
    HostTime time{};  // Time: tempo, signature or playing changed
};

// What the host sets while audio runs: plain values, readable from any thread.
struct Parameters {
    std::atomic<int> bars{4}, takes{1}, key{0}, seed{0}, capture_bars{4};
    std::atomic<float> strength{1.0f}, level{1.0f};
    std::atomic<bool> preview{false};
    // set by the host, cleared by the audio thread
    std::atomic<bool> trigger{false}, take_reference{false}, take_context{false};
};

class AudioPath {
public:
    // Audio thread. `notes` is how many note-ons the block brought.
    void process(const float* const* in, float* const* out, std::uint32_t frames, const HostTime& time, int notes,
                 CaptureRing& ring, double sample_rate_hz, Parameters& parameters) noexcept;
    void restart() noexcept {
        samples_since_start_ = last_trigger_ = last_reference_ = last_context_ = 0;
    }  // before audio starts

    // Worker.
    bool next_event(AudioEvent& event) noexcept { return events_.pop(event); }
    PreviewPlayer& preview() { return preview_; }

    // Any thread, for display: where the song is.
    bool playing() const { return playing_.load(std::memory_order_relaxed); }
    double quarters_in_bar() const { return quarters_in_bar_.load(std::memory_order_relaxed); }
    std::int64_t bar() const { return bar_.load(std::memory_order_relaxed); }

private:
    void report(const HostTime& time, const BarTracker::Block& block) noexcept;
    void watch_triggers(std::uint32_t frames, int notes, double sample_rate_hz, Parameters& parameters) noexcept;
    bool pressed(std::atomic<bool>& button, std::uint64_t& last_set, double sample_rate_hz) noexcept;

    BarTracker tracker_;
    PreviewPlayer preview_;
    Fifo<AudioEvent, 1024> events_;
    HostTime reported_{};
    bool has_reported_ = false;
    std::uint64_t samples_since_start_ = 0, last_trigger_ = 0, last_reference_ = 0, last_context_ = 0;
    float level_ = 1.0f;
    std::atomic<bool> playing_{false};
    std::atomic<double> quarters_in_bar_{0.0};
    std::atomic<std::int64_t> bar_{0};
};

}  // namespace acestep

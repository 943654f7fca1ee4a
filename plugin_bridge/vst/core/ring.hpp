// The last minute of the track, written by the audio thread and read by the worker without locks.
// Positions count samples since the ring was made.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

namespace acestep {

inline constexpr double kRingSeconds = 60.0;
inline constexpr int kChannels = 2;

class CaptureRing {
public:
    explicit CaptureRing(double sample_rate_hz)
        // the margin is what may be overwritten while the reader copies the oldest sample
        : capacity_(static_cast<std::uint64_t>(std::ceil(kRingSeconds * sample_rate_hz)) + kMarginSamples),
          samples_(std::make_unique<std::atomic<float>[]>(capacity_ * kChannels)) {}

    std::uint64_t position() const noexcept { return position_.load(std::memory_order_acquire); }
    std::uint64_t capacity() const noexcept { return capacity_; }

    // Audio thread only.
    void write(const float* const* in, std::uint32_t frames) noexcept {
        const std::uint64_t start = position_.load(std::memory_order_relaxed);
        std::uint64_t at = start % capacity_;
        // announced before writing, so that a reader of the samples being replaced notices
        // (each sample's store is a release and its load an acquire: no fences, which thread sanitizers cannot see)
        claimed_.store(start + frames, std::memory_order_relaxed);
        for (std::uint32_t i = 0; i < frames; ++i) {
            samples_[at * kChannels].store(in[0][i], std::memory_order_release);
            samples_[at * kChannels + 1].store(in[1][i], std::memory_order_release);
            if (++at == capacity_) at = 0;
        }
        position_.store(start + frames, std::memory_order_release);
    }

    // Worker: interleaved copy of [begin, end). False when part of it is not there yet or not there any more.
    bool read(std::uint64_t begin, std::uint64_t end, std::vector<float>& out) const {
        if (end < begin || end > position() || position() - begin > capacity_) return false;
        out.resize((end - begin) * kChannels);
        std::size_t to = 0;
        for (std::uint64_t i = begin; i < end; ++i) {
            const std::uint64_t at = i % capacity_ * kChannels;
            out[to++] = samples_[at].load(std::memory_order_acquire);
            out[to++] = samples_[at + 1].load(std::memory_order_acquire);
        }
        return claimed_.load(std::memory_order_relaxed) - begin <= capacity_;
    }

private:
    static constexpr std::uint64_t kMarginSamples = 16384;
    std::uint64_t capacity_;
    std::unique_ptr<std::atomic<float>[]> samples_;
    std::atomic<std::uint64_t> position_{0}, claimed_{0};
};

}  // namespace acestep

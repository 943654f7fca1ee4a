// Bar arithmetic: where the host's bar lines fall in the stream of samples. Tempo counts quarter notes per minute;
// a bar of n/d lasts n*4/d quarters. Runs on the audio thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace acestep {

// What the host says at the first sample of a block.
struct HostTime {
    bool playing = false;
    bool has_bars = false;  // bpm, signature and the position in the bar are real
    double bpm = 120.0;
    int numerator = 4;
    int denominator = 4;
    std::int64_t bar = 0;           // counted from 0
    double quarters_in_bar = 0.0;   // since the last bar line; hosts round, so this may sit a hair before the next line
};

inline double bar_quarters(int numerator, int denominator) { return numerator * 4.0 / denominator; }
inline double samples_per_quarter(double bpm, double sample_rate_hz) { return 60.0 / bpm * sample_rate_hz; }
// Exact length of a clip in samples (round(bars * n*4/d * 60/bpm * rate)).
std::int64_t clip_samples(double bars, int numerator, int denominator, double bpm, double sample_rate_hz);

// A bar line: the sample it falls on. Marks of the same run belong to uninterrupted playback.
struct BarMark {
    std::uint64_t position = 0;  // in samples of the capture ring
    std::uint32_t run = 0;
    std::int64_t bar = 0;
    double bpm = 120.0;
    int numerator = 4;
    int denominator = 4;
};

// Finds the bar lines of each block.
class BarTracker {
public:
    struct Block {
        bool rolling = false;     // the transport plays and says where its bars are
        bool interrupted = false; // it started, or jumped to another place within the bar
        std::uint32_t lines = 0;
        std::array<std::uint32_t, 16> offsets{};  // of the bar lines within the block
        std::array<BarMark, 16> marks{};
        std::span<const std::uint32_t> line_offsets() const { return {offsets.data(), lines}; }
    };

    Block advance(const HostTime& time, std::uint64_t ring_position, std::uint32_t frames, double sample_rate_hz) noexcept;

private:
    bool continues(const HostTime& time, double quarters, double samples_per_quarter, double sample_rate_hz) const noexcept;

    double refine(double quarters, bool continued, double length) noexcept;

    bool rolling_ = false;
    std::uint32_t run_ = 0;
    HostTime last_{};
    double expected_quarters_ = 0.0;  // since the last bar line, at the start of the next block
    std::uint32_t last_frames_ = 0;
    double last_spq_ = 1.0, low_ = 0.0, high_ = 0.0;  // the song's position at the last block lies between these
    bool has_line_ = false;
    std::uint64_t last_line_ = 0;
};

// True for tempo and signature values that can be computed with.
bool plausible(const HostTime& time) noexcept;

}  // namespace acestep

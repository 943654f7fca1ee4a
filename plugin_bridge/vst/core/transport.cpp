#include "transport.hpp"

#include <algorithm>
#include <cmath>

namespace acestep {
namespace {

constexpr double kJumpSeconds = 0.005;     // a host's rounding is far below this, any real jump far above
constexpr double kRampAllowance = 0.03;    // of a block: the tempo may change while it lasts
constexpr double kLateSamples = 4.0;       // a line that rounding pushed into the block before

}  // namespace

std::int64_t clip_samples(double bars, int numerator, int denominator, double bpm, double sample_rate_hz) {
    return std::llround(bars * bar_quarters(numerator, denominator) * samples_per_quarter(bpm, sample_rate_hz));
}

bool plausible(const HostTime& time) noexcept {
    return time.has_bars && std::isfinite(time.bpm) && time.bpm >= 1.0 && time.bpm <= 2000.0 && time.numerator >= 1 &&
           time.numerator <= 128 && time.denominator >= 1 && time.denominator <= 128 &&
           std::isfinite(time.quarters_in_bar);
}

bool BarTracker::continues(const HostTime& time, double quarters, double spq, double sample_rate_hz) const noexcept {
    if (!rolling_) return false;
    // the last block was counted in the signature it began with; a line within it may have brought a new one
    const double length = bar_quarters(last_.numerator, last_.denominator);
    const double expected = std::fmod(expected_quarters_, length);
    double distance = std::fabs(quarters - expected);
    distance = std::min(distance, std::fabs(distance - length));
    const double allowed = kJumpSeconds * sample_rate_hz + kRampAllowance * last_frames_;
    if (distance * spq > allowed) return false;
    // whole bars may be skipped only at a bar line (a loop), not from the middle of one bar into another
    const bool crossed = expected_quarters_ >= length - allowed / spq || expected <= allowed / spq;
    return time.bar == last_.bar || crossed;
}

BarTracker::Block BarTracker::advance(const HostTime& time, std::uint64_t ring_position, std::uint32_t frames,
                                      double sample_rate_hz) noexcept {
    Block block;
    if (!time.playing || !plausible(time)) {
        rolling_ = false;
        return block;
    }
    const double spq = samples_per_quarter(time.bpm, sample_rate_hz);
    const double length = bar_quarters(time.numerator, time.denominator);
    const double length_samples = length * spq;
    double quarters = time.quarters_in_bar;
    std::int64_t bar = time.bar;
    while (quarters * spq >= length_samples - 0.5) quarters -= length, ++bar;  // 1919.99999 ticks: the next bar
    while (quarters * spq < -0.5) quarters += length, --bar;

    block.rolling = true;
    HostTime now = time;
    now.bar = bar;
    if (!continues(now, quarters, spq, sample_rate_hz)) {
        block.interrupted = true;
        ++run_;
        has_line_ = false;
    }
    // lines fall into this block when they round to one of its samples, or were just missed by rounding
    const double since_line = quarters * spq;
    const auto long_ago = static_cast<double>(ring_position - last_line_) > length_samples * 0.5;
    double offset = -since_line;
    if (offset < -0.5 && !(offset >= -kLateSamples && has_line_ && long_ago)) offset += length_samples, ++bar;
    for (; offset < frames - 0.5 && block.lines < block.offsets.size(); offset += length_samples, ++bar) {
        const auto at = static_cast<std::uint32_t>(std::max(0.0, std::round(offset)));
        const std::uint64_t position = ring_position + at;
        if (has_line_ && static_cast<double>(position - last_line_) < length_samples * 0.5) continue;  // seen already
        block.offsets[block.lines] = at;
        block.marks[block.lines++] = {position, run_, bar, time.bpm, time.numerator, time.denominator};
        has_line_ = true;
        last_line_ = position;
    }
    rolling_ = true;
    last_ = now;
    last_frames_ = frames;
    expected_quarters_ = quarters + frames / spq;
    return block;
}

}  // namespace acestep

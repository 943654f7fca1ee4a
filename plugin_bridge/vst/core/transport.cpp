#include "transport.hpp"

#include <algorithm>
#include <cmath>

namespace acestep {
namespace {

constexpr double kJumpSeconds = 0.005;     // a host's rounding is far below this, any real jump far above
constexpr double kRampAllowance = 0.03;    // of a block: the tempo may change while it lasts
constexpr double kTick = 1.0 / 1920.0;      // of a quarter, the coarsest clock of a host
constexpr double kClockError = 1e-6;       // of the tempo, between what a host says and does
constexpr double kLateSamples = 4.0;       // a line that rounding pushed into the block before

}  // namespace

std::int64_t clip_samples(double bars, int numerator, int denominator, double bpm, double sample_rate_hz) {
    return std::llround(bars * bar_quarters(numerator, denominator) * samples_per_quarter(bpm, sample_rate_hz));
}

bool plausible(const HostTime& time) noexcept {
    return time.has_bars && std::isfinite(time.bpm) && time.bpm >= 1.0 && time.bpm <= 2000.0 && time.numerator >= 1 &&
           time.numerator <= 128 && time.denominator >= 1 && time.denominator <= 128 && std::isfinite(time.quarters_in_bar);
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

// Some hosts count in ticks of 1/1920 quarter (16 samples at 93 BPM, 48 kHz). Each block narrows down where the song
// really is: within a tick of what the host says, and where the blocks before lead to.
double BarTracker::refine(double quarters, bool continued, double length) noexcept {
    if (continued) {
        const double moved = last_frames_ / last_spq_;
        const double shift = std::round((quarters - (low_ + high_) / 2.0 - moved) / length) * length;
        const double slack = kClockError * moved;
        low_ = std::max(low_ + moved + shift - slack, quarters - kTick);
        high_ = std::min(high_ + moved + shift + slack, quarters + kTick);
    }
    if (!continued || low_ > high_) {
        low_ = quarters - kTick;
        high_ = quarters + kTick;
    }
    return (low_ + high_) / 2.0;
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
    const auto normalise = [&] {
        while (quarters * spq >= length_samples - 0.5) quarters -= length, ++bar;  // 1919.99999 ticks: the next bar
        while (quarters * spq < -0.5) quarters += length, --bar;
    };
    normalise();
    block.rolling = true;
    HostTime now = time;
    now.bar = bar;
    const bool continued = continues(now, quarters, spq, sample_rate_hz);
    if (!continued) {
        block.interrupted = true;
        ++run_;
        has_line_ = false;
    }
    quarters = refine(quarters, continued, length);
    normalise();
    now.bar = bar;
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
    last_spq_ = spq;
    expected_quarters_ = quarters + frames / spq;
    return block;
}

}  // namespace acestep

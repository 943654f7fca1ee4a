#include "audio_path.hpp"

#include <cstring>

namespace acestep {
namespace {

constexpr double kSettle_s = 0.2;    // a value restored with the project must not fire when audio starts
constexpr double kDebounce_s = 0.1;  // hosts repeat an automated value in every block

}  // namespace

void AudioPath::report(const HostTime& time, const BarTracker::Block& block) noexcept {
    const bool changed = !has_reported_ || time.playing != reported_.playing || time.bpm != reported_.bpm ||
                         time.numerator != reported_.numerator || time.denominator != reported_.denominator ||
                         time.has_bars != reported_.has_bars;
    if (changed && events_.push({AudioEvent::Kind::Time, {}, time})) {
        reported_ = time;
        has_reported_ = true;
    }
    for (std::uint32_t i = 0; i < block.lines; ++i) events_.push({AudioEvent::Kind::Mark, block.marks[i], {}});
    playing_.store(time.playing, std::memory_order_relaxed);
    quarters_in_bar_.store(time.quarters_in_bar, std::memory_order_relaxed);
    bar_.store(time.bar, std::memory_order_relaxed);
}

bool AudioPath::pressed(std::atomic<bool>& button, std::uint64_t& last_set, double sample_rate_hz) noexcept {
    if (!button.exchange(false, std::memory_order_relaxed)) return false;
    const auto now = static_cast<double>(samples_since_start_);
    const bool settled = now >= kSettle_s * sample_rate_hz;
    const bool fresh = last_set == 0 || now - static_cast<double>(last_set) >= kDebounce_s * sample_rate_hz;
    last_set = samples_since_start_ + 1;
    return settled && fresh;
}

void AudioPath::watch_triggers(std::uint32_t frames, int notes, double sample_rate_hz, Parameters& parameters) noexcept {
    if (pressed(parameters.take_reference, last_reference_, sample_rate_hz))
        events_.push({AudioEvent::Kind::TakeReference, {}, {}});
    if (pressed(parameters.take_context, last_context_, sample_rate_hz)) events_.push({AudioEvent::Kind::TakeContext, {}, {}});
    if (pressed(parameters.trigger, last_trigger_, sample_rate_hz) || notes > 0)
        events_.push({AudioEvent::Kind::Trigger, {}, {}});
    samples_since_start_ += frames;
}

void AudioPath::process(const float* const* in, float* const* out, std::uint32_t frames, const HostTime& time, int notes,
                        CaptureRing& ring, double sample_rate_hz, Parameters& parameters) noexcept {
    const BarTracker::Block block = tracker_.advance(time, ring.position(), frames, sample_rate_hz);
    ring.write(in, frames);
    for (int channel = 0; channel < kChannels; ++channel)
        if (out[channel] != in[channel]) std::memcpy(out[channel], in[channel], frames * sizeof(float));
    report(time, block);
    watch_triggers(frames, notes, sample_rate_hz, parameters);
    preview_.render(out, frames, block, parameters.preview.load(std::memory_order_relaxed),
                    parameters.level.load(std::memory_order_relaxed));
}

}  // namespace acestep

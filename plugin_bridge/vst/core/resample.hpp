// Streaming sample-rate conversion of interleaved stereo by a Kaiser-windowed sinc. Used when a clip's rate is not the
// host's; equal rates pass untouched.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace acestep {

class Resampler {
public:
    Resampler(int from_hz, int to_hz);

    static std::int64_t length(std::int64_t frames, int from_hz, int to_hz);

    // Appends what `stereo` adds to the output; `last` flushes the tail.
    void push(std::span<const float> stereo, bool last, std::vector<float>& out);

private:
    double tap(double distance) const;

    double ratio_;        // input frames per output frame
    double cutoff_;       // of the input's Nyquist frequency
    double half_width_;   // of the filter in input frames
    std::vector<float> table_;
    std::vector<float> input_;       // frames from input_start_ on
    std::int64_t input_start_ = 0, input_end_ = 0, next_output_ = 0;
    std::int64_t from_hz_, to_hz_;
};

}  // namespace acestep

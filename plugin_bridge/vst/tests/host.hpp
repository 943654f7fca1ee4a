// A song with constant tempo, as a host would report it.
#pragma once

#include <cmath>

#include "transport.hpp"

namespace acestep::test {

struct Song {
    double bpm = 120.0;
    int numerator = 4, denominator = 4;

    double bar_samples(double rate_hz) const { return bar_quarters(numerator, denominator) * samples_per_quarter(bpm, rate_hz); }

    HostTime at(double sample, double rate_hz) const {
        const double bar = std::floor(sample / bar_samples(rate_hz));
        const double quarters = (sample - bar * bar_samples(rate_hz)) / samples_per_quarter(bpm, rate_hz);
        return {true, true, bpm, numerator, denominator, static_cast<std::int64_t>(bar), quarters};
    }
};

}  // namespace acestep::test

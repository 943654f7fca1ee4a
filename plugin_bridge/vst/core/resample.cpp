#include "resample.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace acestep {
namespace {

constexpr double kZeroCrossings = 24.0;
constexpr double kKaiserBeta = 9.0;   // about 90 dB stop band
constexpr int kTableSteps = 512;      // per zero crossing

double bessel_i0(double x) {
    double sum = 1.0, term = 1.0;
    for (int k = 1; k < 40; ++k) sum += term *= (x / (2.0 * k)) * (x / (2.0 * k));
    return sum;
}

}  // namespace

Resampler::Resampler(int from_hz, int to_hz)
    : ratio_(static_cast<double>(from_hz) / to_hz), cutoff_(std::min(1.0, 1.0 / ratio_) * 0.97),
      half_width_(kZeroCrossings / cutoff_), from_hz_(from_hz), to_hz_(to_hz) {
    const auto size = static_cast<std::size_t>(kZeroCrossings * kTableSteps) + 2;
    for (std::size_t i = 0; i < size; ++i) {
        const double x = static_cast<double>(i) / kTableSteps;
        const double inside = std::max(0.0, 1.0 - (x / kZeroCrossings) * (x / kZeroCrossings));
        const double sinc = i == 0 ? 1.0 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x);
        table_.push_back(static_cast<float>(sinc * bessel_i0(kKaiserBeta * std::sqrt(inside)) / bessel_i0(kKaiserBeta)));
    }
}

std::int64_t Resampler::length(std::int64_t frames, int from_hz, int to_hz) {
    return std::llround(static_cast<double>(frames) * to_hz / from_hz);
}

double Resampler::tap(double distance) const {
    const double x = std::fabs(distance) * cutoff_ * kTableSteps;
    const auto index = static_cast<std::size_t>(x);
    if (index + 1 >= table_.size()) return 0.0;
    const double part = x - static_cast<double>(index);
    return cutoff_ * ((1.0 - part) * table_[index] + part * table_[index + 1]);
}

void Resampler::push(std::span<const float> stereo, bool last, std::vector<float>& out) {
    if (from_hz_ == to_hz_) {
        out.insert(out.end(), stereo.begin(), stereo.end());
        return;
    }
    input_.insert(input_.end(), stereo.begin(), stereo.end());
    input_end_ += static_cast<std::int64_t>(stereo.size() / 2);
    const std::int64_t total = length(input_end_, static_cast<int>(from_hz_), static_cast<int>(to_hz_));
    for (;; ++next_output_) {
        const double at = static_cast<double>(next_output_) * ratio_;
        if (last ? next_output_ >= total : at + half_width_ >= static_cast<double>(input_end_)) break;
        const auto first = std::max(input_start_, static_cast<std::int64_t>(std::ceil(at - half_width_)));
        const auto end = std::min(input_end_, static_cast<std::int64_t>(std::floor(at + half_width_)) + 1);
        double left = 0.0, right = 0.0;
        for (std::int64_t i = first; i < end; ++i) {
            const double weight = tap(at - static_cast<double>(i));
            const auto k = static_cast<std::size_t>(i - input_start_) * 2;
            left += weight * input_[k];
            right += weight * input_[k + 1];
        }
        out.push_back(static_cast<float>(left));
        out.push_back(static_cast<float>(right));
    }
    const auto keep_from = static_cast<std::int64_t>(static_cast<double>(next_output_) * ratio_ - half_width_) - 1;
    if (keep_from > input_start_) {
        const auto drop = std::min(keep_from, input_end_) - input_start_;
        input_.erase(input_.begin(), input_.begin() + drop * 2);
        input_start_ += drop;
    }
}

}  // namespace acestep

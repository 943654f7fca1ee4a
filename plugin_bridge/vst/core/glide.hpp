// A shown value that follows another one smoothly instead of jumping: progress that is told four times a second moves
// sixty times.
#pragma once

#include <cmath>

namespace acestep {

class Glide {
public:
    double value() const { return value_; }
    bool moving() const { return value_ != target_; }
    void set(double value) { value_ = target_ = value; }
    void head_for(double target) { target_ = target; }

    void advance(double seconds) {
        value_ += (target_ - value_) * (1.0 - std::exp(-seconds / kTime_s));
        if (std::fabs(target_ - value_) < kClose) value_ = target_;
    }

private:
    static constexpr double kTime_s = 0.12, kClose = 0.001;
    double value_ = 0.0, target_ = 0.0;
};

}  // namespace acestep

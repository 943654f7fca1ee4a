#include "capture.hpp"

#include <stdexcept>

namespace acestep {
namespace {

constexpr std::size_t kMaxMarks = 2048;

}  // namespace

void CaptureDesk::add(const BarMark& mark) {
    marks_.push_back(mark);
    if (marks_.size() > kMaxMarks) marks_.pop_front();
}

void CaptureDesk::forget() {
    marks_.clear();
    armed_bars_ = 0;
}

CaptureRange CaptureDesk::range(std::size_t first, int bars) const {
    const BarMark& from = marks_[first];
    const BarMark& to = marks_[first + static_cast<std::size_t>(bars)];
    return {from.position, to.position, bars, from.bpm, from.numerator, from.denominator};
}

CaptureRange CaptureDesk::last(int bars, std::uint64_t position, std::uint64_t capacity) const {
    if (bars < 1) throw std::runtime_error("capture at least 1 bar");
    const auto wanted = static_cast<std::size_t>(bars);
    for (std::size_t first = marks_.size(); first-- > 0;) {
        if (first + wanted >= marks_.size() || marks_[first].run != marks_[first + wanted].run) continue;
        if (position - marks_[first].position > capacity) break;
        return range(first, bars);
    }
    throw std::runtime_error("there are no " + std::to_string(bars) +
                             " whole bars in a row in the last minute: let the song play that long, or arm the capture "
                             "and start playback");
}

void CaptureDesk::arm(int bars, CaptureUse use) {
    armed_bars_ = bars;
    use_ = use;
    armed_after_ = marks_.empty() ? 0 : marks_.back().position + 1;
}

int CaptureDesk::bars_recorded() const {
    int bars = -1;
    for (std::size_t i = marks_.size(); i-- > 0 && marks_[i].position >= armed_after_ && marks_[i].run == marks_.back().run;)
        ++bars;
    return armed() ? std::max(0, bars) : 0;
}

std::optional<CaptureRange> CaptureDesk::due() const {
    const int recorded = bars_recorded();
    if (!armed() || recorded < armed_bars_) return std::nullopt;
    // the first bars of the run, not the last: recording began with the bar line after arming
    return range(marks_.size() - 1 - static_cast<std::size_t>(recorded), armed_bars_);
}

}  // namespace acestep

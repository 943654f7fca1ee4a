// Chooses which samples "capture N bars" means, from the bar lines the audio thread reported: the last N whole bars,
// or the next N. Runs on the worker.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "transport.hpp"

namespace acestep {

struct CaptureRange {
    std::uint64_t begin = 0, end = 0;  // ring positions
    int bars = 0;
    double bpm = 120.0;
    int numerator = 4, denominator = 4;
};

enum class CaptureUse { Reference, Context };

class CaptureDesk {
public:
    void add(const BarMark& mark);
    void forget();  // the ring was replaced: its positions mean nothing any more

    // The last `bars` whole bars that are still in a ring now at `position`. Throws std::runtime_error saying why not.
    CaptureRange last(int bars, std::uint64_t position, std::uint64_t capacity) const;

    // Waits for the next `bars` bars; `due` gives them once they are complete. A stop or jump starts the wait again.
    void arm(int bars, CaptureUse use);
    void disarm() { armed_bars_ = 0; }
    bool armed() const { return armed_bars_ > 0; }
    int armed_bars() const { return armed_bars_; }
    int bars_recorded() const;
    CaptureUse use() const { return use_; }
    std::optional<CaptureRange> due() const;

private:
    CaptureRange range(std::size_t first, int bars) const;

    std::deque<BarMark> marks_;
    int armed_bars_ = 0;
    CaptureUse use_ = CaptureUse::Reference;
    std::uint64_t armed_after_ = 0;   // marks older than this do not count
};

}  // namespace acestep

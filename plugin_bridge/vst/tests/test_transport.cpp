#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "host.hpp"
#include "transport.hpp"

using namespace acestep;

namespace {

// All bar lines of `seconds` of playback in blocks of random size up to `max_block`.
std::vector<BarMark> play(const test::Song& song, double seconds, std::uint32_t max_block, double rate_hz,
                          double rounding = 0.0) {
    BarTracker tracker;
    std::mt19937 random(3);
    std::vector<BarMark> marks;
    std::uint64_t at = 0;
    const auto total = static_cast<std::uint64_t>(seconds * rate_hz);
    while (at < total) {
        const std::uint32_t frames = 1 + random() % max_block;
        HostTime time = song.at(static_cast<double>(at), rate_hz);
        time.quarters_in_bar += rounding * (static_cast<double>(random() % 2001) / 1000.0 - 1.0);
        const auto block = tracker.advance(time, at, frames, rate_hz);
        marks.insert(marks.end(), block.marks.begin(), block.marks.begin() + block.lines);
        at += frames;
    }
    return marks;
}

}  // namespace

TEST_CASE("bar lines fall on the exact sample for any signature, tempo, rate and block size") {
    for (const auto& song : {test::Song{93.0, 3, 4}, test::Song{120.0, 4, 4}, test::Song{127.37, 7, 8}, test::Song{61.3, 6, 8},
                             test::Song{180.0, 3, 16}, test::Song{97.0, 5, 4}})
        for (const double rate_hz : {44100.0, 48000.0, 96000.0})
            for (const std::uint32_t block : {1u, 64u, 512u, 4096u}) {
                const double seconds = block == 1 ? 5.0 : 30.0;
                const auto marks = play(song, seconds, block, rate_hz, 1e-6);
                const double bar = song.bar_samples(rate_hz);
                CAPTURE(song.numerator);
                CAPTURE(block);
                REQUIRE(marks.size() >= static_cast<std::size_t>(seconds * rate_hz / bar));
                for (std::size_t i = 0; i < marks.size(); ++i) {
                    REQUIRE(marks[i].bar == static_cast<std::int64_t>(i));
                    REQUIRE(marks[i].run == marks[0].run);
                    REQUIRE(std::fabs(static_cast<double>(marks[i].position) - static_cast<double>(i) * bar) <= 0.6);
                }
            }
}

TEST_CASE("a host that counts in ticks still has bars of exact length") {
    const double rate_hz = 48000.0;
    for (const auto& song : {test::Song{93.0, 3, 4}, test::Song{127.37, 7, 8}, test::Song{61.0, 4, 4}})
        for (const std::uint32_t frames : {64u, 512u, 1024u})
            for (const double start : {0.0, 12345.0}) {
                BarTracker tracker;
                std::vector<BarMark> marks;
                for (std::uint64_t at = 0; at < 30 * 48000; at += frames) {
                    HostTime time = song.at(start + static_cast<double>(at), rate_hz);
                    time.quarters_in_bar = std::round(time.quarters_in_bar * 1920.0) / 1920.0;
                    const auto block = tracker.advance(time, at, frames, rate_hz);
                    marks.insert(marks.end(), block.marks.begin(), block.marks.begin() + block.lines);
                }
                const double bar = song.bar_samples(rate_hz);
                CAPTURE(song.bpm);
                CAPTURE(frames);
                CAPTURE(start);
                REQUIRE(marks.size() >= 7);
                for (std::size_t i = 1; i < marks.size(); ++i) {
                    REQUIRE(marks[i].run == marks[0].run);
                    const double exact = (std::ceil(start / bar) + static_cast<double>(i)) * bar - start;
                    REQUIRE(std::fabs(static_cast<double>(marks[i].position) - exact) <= 1.01);
                }
            }
}

TEST_CASE("a position that rounding leaves just before a bar line counts as the line") {
    BarTracker tracker;
    HostTime time{true, true, 93.0, 3, 4, 4, 2.0 + 1919.99999 / 1920.0};
    const auto block = tracker.advance(time, 1000, 512, 48000.0);
    REQUIRE(block.lines == 1);
    CHECK(block.offsets[0] == 0);
    CHECK(block.marks[0].bar == 5);
    CHECK(block.marks[0].position == 1000);
}

TEST_CASE("a jump within the bar, and a stop, begin a new run; a loop at the bar line does not") {
    const double rate_hz = 48000.0;
    const test::Song song{120.0, 4, 4};
    BarTracker tracker;
    const auto run_at = [&](double song_sample, std::uint64_t ring) {
        return tracker.advance(song.at(song_sample, rate_hz), ring, 480, rate_hz);
    };
    CHECK(run_at(0, 0).interrupted);
    CHECK_FALSE(run_at(480, 480).interrupted);
    CHECK(run_at(50000, 960).interrupted);              // elsewhere in the bar
    CHECK_FALSE(run_at(50480, 1440).interrupted);
    CHECK(run_at(50960 + 96000, 1920).interrupted);     // the same place in another bar, not from a bar line
    CHECK_FALSE(run_at(50960 + 96480, 2400).interrupted);
    HostTime stopped = song.at(0, rate_hz);
    stopped.playing = false;
    CHECK_FALSE(tracker.advance(stopped, 2880, 480, rate_hz).rolling);
    CHECK(run_at(95520 + 96000, 3360).interrupted);
    const auto looped = run_at(0, 3840);                // bar 1's end back to bar 0's start
    CHECK_FALSE(looped.interrupted);
    CHECK(looped.lines == 1);
}

TEST_CASE("tempo ramps stay one run") {
    const double rate_hz = 48000.0;
    BarTracker tracker;
    double quarters = 0.0, bpm = 100.0;
    std::uint64_t at = 0;
    int interrupted = 0, lines = 0;
    for (int i = 0; i < 2000; ++i, at += 512, bpm += 0.05) {  // 100 to 200 in 21 s
        const HostTime time{true, true, bpm, 4, 4, static_cast<std::int64_t>(quarters / 4.0), std::fmod(quarters, 4.0)};
        const auto block = tracker.advance(time, at, 512, rate_hz);
        interrupted += block.interrupted;
        lines += static_cast<int>(block.lines);
        quarters += 512 / samples_per_quarter(bpm + 0.025, rate_hz);
    }
    CHECK(interrupted == 1);
    CHECK(lines == static_cast<int>(quarters / 4.0) + 1);
}

TEST_CASE("a host without bars, or with impossible ones, has no bar lines") {
    BarTracker tracker;
    for (const HostTime& time : {HostTime{true, false, 120.0, 4, 4, 0, 0.0}, HostTime{true, true, 0.0, 4, 4, 0, 0.0},
                                 HostTime{true, true, NAN, 4, 4, 0, 0.0}, HostTime{true, true, 120.0, 0, 4, 0, 0.0},
                                 HostTime{true, true, 120.0, 4, 0, 0, 0.0}, HostTime{true, true, 120.0, 4, 4, 0, NAN}}) {
        const auto block = tracker.advance(time, 0, 512, 48000.0);
        CHECK_FALSE(block.rolling);
        CHECK(block.lines == 0);
    }
}

TEST_CASE("clip lengths are exact") {
    CHECK(clip_samples(4, 3, 4, 93.0, 48000) == 371613);
    CHECK(clip_samples(8, 7, 8, 127.37, 44100) == 581675);
}

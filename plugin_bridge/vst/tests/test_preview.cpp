#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numbers>
#include <random>
#include <thread>

#include "folder.hpp"
#include "host.hpp"
#include "preview.hpp"
#include "sketch.hpp"

using namespace acestep;

namespace {

constexpr double kRate_hz = 48000.0;

// A clip whose sample k is k + 1, so that what is heard says where it comes from.
std::unique_ptr<PreviewClip> counting_clip(std::int64_t frames, double bars, float sign = 1.0f) {
    auto clip = std::make_unique<PreviewClip>(frames, bars);
    for (std::int64_t i = 0; i < frames * 2; ++i)
        clip->samples[static_cast<std::size_t>(i)] = sign * static_cast<float>(i / 2 + 1);
    clip->filled = frames;
    return clip;
}

struct Player {
    PreviewPlayer preview;
    BarTracker tracker;
    test::Song song;
    std::uint64_t at = 0;
    std::vector<float> heard;  // left channel

    void render(std::int64_t frames, std::uint32_t block, bool on = true, bool playing = true) {
        while (frames > 0) {
            const auto n = static_cast<std::uint32_t>(std::min<std::int64_t>(block, frames));
            std::vector<float> left(n), right(n);
            float* out[2] = {left.data(), right.data()};
            HostTime time = song.at(static_cast<double>(at), kRate_hz);
            time.playing = playing;
            preview.render(out, n, tracker.advance(time, at, n, kRate_hz), on, 1.0f);
            heard.insert(heard.end(), left.begin(), left.end());
            at += n;
            frames -= n;
        }
    }
};

}  // namespace

TEST_CASE("a preview starts on the next bar line and restarts every so many bars, whatever the block size") {
    for (const std::uint32_t block : {1u, 37u, 512u, 4096u}) {
        Player player;
        player.song = {93.0, 3, 4};
        const double bar = player.song.bar_samples(kRate_hz);
        const std::int64_t length = clip_samples(2, 3, 4, 93.0, kRate_hz);
        player.render(1000, block);  // already rolling when it is switched on
        player.preview.publish(counting_clip(length, 2));
        player.render(static_cast<std::int64_t>(bar * 5.5), block);
        CAPTURE(block);
        for (std::size_t i = 0; i < player.heard.size(); ++i) {
            const double loop = static_cast<double>(i) - bar;  // bar 1 is the first line after switching on
            if (loop < -0.6) {
                REQUIRE(player.heard[i] == 0.0f);
                continue;
            }
            const double since = loop - std::floor((loop + 0.6) / (2 * bar)) * 2 * bar;
            const float k = player.heard[i];  // 0 for the one sample by which a loop may be shorter than its bars
            if (k > 0.0f) REQUIRE(std::fabs(k - 1.0 - since) <= 1.0);
            else REQUIRE(since >= static_cast<double>(length) - 1.0);
        }
    }
}

TEST_CASE("switching off or stopping fades out and leaves the track untouched") {
    Player player;
    player.preview.publish(counting_clip(96000, 1));
    player.render(50000, 512);
    CHECK(player.heard.back() > 0.0f);
    player.heard.clear();
    player.render(10000, 512, false);
    CHECK(std::all_of(player.heard.begin() + 512, player.heard.end(), [](float x) { return x == 0.0f; }));
    CHECK(player.preview.position() == -1);

    player.render(96000, 512);  // on again: from the next bar line
    CHECK(player.heard.back() > 0.0f);
    player.heard.clear();
    player.render(200000, 512, true, false);  // the transport stops: silence, and no pass of its own
    CHECK(std::all_of(player.heard.begin() + 512, player.heard.end(), [](float x) { return x == 0.0f; }));
}

TEST_CASE("with the transport stopped a preview is heard once, at once") {
    Player player;
    player.render(1000, 512, true, false);
    player.preview.publish(counting_clip(5000, 1));
    player.heard.clear();
    player.render(20000, 512, true, false);
    for (std::size_t i = 0; i < player.heard.size(); ++i)
        REQUIRE(player.heard[i] == (i < 5000 ? static_cast<float>(i + 1) : 0.0f));
    player.heard.clear();
    player.preview.publish(counting_clip(3000, 1, -1.0f));  // another clip
    player.render(4096, 512, true, false);
    CHECK(player.heard[0] == -1.0f);
}

TEST_CASE("another clip takes over on the bar line") {
    Player player;  // 120 bpm 4/4: a bar is 96000 samples
    player.preview.publish(counting_clip(96000, 1));
    player.render(50000, 512);
    player.preview.publish(counting_clip(96000, 1, -1.0f));
    player.render(100000, 512);
    CHECK(player.heard[95999] > 0.0f);
    CHECK(player.heard[96000] == -1.0f);
    CHECK(player.heard[96100] == -101.0f);
}

TEST_CASE("clips may be replaced at any time while audio runs") {
    Player player;
    std::atomic<bool> stop{false};
    std::thread worker([&] {
        std::mt19937 random(1);
        while (!stop) {
            player.preview.publish(random() % 5 ? counting_clip(100 + random() % 1000, 1) : nullptr);
            player.preview.reclaim();
        }
    });
    for (int i = 0; i < 400; ++i) player.render(4800, 480, i % 7 != 0, i % 3 != 0);
    stop = true;
    worker.join();
}

TEST_CASE("a file is loaded piece by piece at the host's rate") {
    const test::Folder folder;
    std::vector<float> tone;
    for (int i = 0; i < 44100 * 5; ++i) {
        const double x = std::sin(2.0 * std::numbers::pi * 997.0 * i / 44100.0);
        tone.push_back(static_cast<float>(0.5 * x));
        tone.push_back(static_cast<float>(-0.25 * x));
    }
    write_wav(folder.path / "tone.wav", tone, 2, 44100);
    PreviewLoader loader(folder.path / "tone.wav", 2.0, 48000);
    const auto clip = loader.take_clip();
    int steps = 0;
    for (; !loader.done(); ++steps) loader.step();
    CHECK(steps == 3);
    REQUIRE(clip->filled == 240000);
    double worst = 0.0;
    for (std::size_t i = 200; i < 239800; ++i) {
        const double x = std::sin(2.0 * std::numbers::pi * 997.0 * static_cast<double>(i) / 48000.0);
        worst = std::max({worst, std::fabs(clip->samples[2 * i] - 0.5 * x), std::fabs(clip->samples[2 * i + 1] + 0.25 * x)});
    }
    CHECK(worst < 1e-4);
    CHECK(loader.waveform()[100].high == doctest::Approx(0.125).epsilon(0.02));
    CHECK(loader.waveform()[100].low == doctest::Approx(-0.125).epsilon(0.02));
}

TEST_CASE("equal rates pass untouched") {
    const test::Folder folder;
    const std::vector<float> audio = {0.1f, 0.2f, -0.3f, 0.4f};
    write_wav(folder.path / "a.wav", audio, 2, 48000);
    PreviewLoader loader(folder.path / "a.wav", 1.0, 48000);
    loader.step();
    CHECK(loader.done());
    CHECK(loader.take_clip()->samples == audio);
}

TEST_CASE("a sketch has the peaks of equal parts of the file, the loudest as 1, and nothing where nothing is") {
    const test::Folder folder;
    std::vector<float> ramp(2 * 26 * 8000);  // longer than what is read at once
    for (std::size_t i = 0; i < ramp.size(); ++i) {
        const std::size_t part = i / 16000;
        ramp[i] = part == 3 ? 0.0f : 0.02f * static_cast<float>(part + 1) * (i % 4 == 1 ? -1.0f : 0.5f);
    }
    ramp[5] = std::numeric_limits<float>::quiet_NaN();
    ramp[7] = std::numeric_limits<float>::infinity();
    write_wav(folder.path / "ramp.wav", ramp, 2, 48000);
    const Sketch sketch = sketch_of(folder.path / "ramp.wav");
    for (std::size_t part = 0; part < kSketchColumns; ++part)
        CHECK(sketch[part] == doctest::Approx(part == 3 ? 0.0 : static_cast<double>(part + 1) / 26.0));
    write_wav(folder.path / "silence.wav", std::vector<float>(2000, 0.0f), 2, 48000);
    CHECK(sketch_of(folder.path / "silence.wav") == Sketch{});
    write_wav(folder.path / "short.wav", std::vector<float>(2, 0.5f), 2, 48000);
    CHECK(sketch_of(folder.path / "short.wav")[0] == 1.0f);
    CHECK_THROWS(sketch_of(folder.path / "none.wav"));
}

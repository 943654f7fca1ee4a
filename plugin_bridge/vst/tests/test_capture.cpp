#include <doctest/doctest.h>

#include <atomic>
#include <bit>
#include <filesystem>
#include <fstream>
#include <thread>

#include "capture.hpp"
#include "folder.hpp"
#include "ring.hpp"
#include "wav.hpp"

using namespace acestep;

namespace {

BarMark mark(std::uint64_t position, std::uint32_t run = 1) { return {position, run, 0, 120.0, 4, 4}; }

void write_ramp(CaptureRing& ring, std::uint64_t count) {
    std::vector<float> left(count), right(count);
    for (std::uint64_t i = 0; i < count; ++i) {
        left[i] = static_cast<float>(ring.position() + i);
        right[i] = -left[i];
    }
    const float* in[2] = {left.data(), right.data()};
    ring.write(in, static_cast<std::uint32_t>(count));
}

}  // namespace

TEST_CASE("the ring gives back the last minute bit by bit, and nothing older") {
    CaptureRing ring(1000.0);
    for (int i = 0; i < 200; ++i) write_ramp(ring, 997);
    const std::uint64_t now = ring.position();
    std::vector<float> out;
    REQUIRE(ring.read(now - 60000, now, out));
    REQUIRE(out.size() == 120000);
    CHECK(out[0] == static_cast<float>(now - 60000));
    CHECK(out[1] == -out[0]);
    CHECK(out[119998] == static_cast<float>(now - 1));
    CHECK_FALSE(ring.read(now - ring.capacity() - 1, now, out));
    CHECK_FALSE(ring.read(now, now + 1, out));
}

TEST_CASE("a reader never gets samples that were overwritten while it copied") {
    CaptureRing ring(1000.0);  // 76384 samples
    std::atomic<bool> stop{false};
    std::thread audio([&] {
        while (!stop) {
            write_ramp(ring, 256);
            std::this_thread::yield();
        }
    });
    while (ring.position() < 100000) std::this_thread::yield();
    int complete = 0;
    for (int i = 0; i < 20000 && complete < 50; ++i) {
        const std::uint64_t now = ring.position();
        std::vector<float> out;
        if (!ring.read(now - 40000, now, out)) continue;
        ++complete;
        const auto begin = static_cast<float>(now - 40000);
        for (std::size_t k = 0; k < out.size() && begin < 1e7f; k += 2) REQUIRE(out[k] == begin + static_cast<float>(k / 2));
    }
    stop = true;
    audio.join();
    CHECK(complete > 0);
}

TEST_CASE("the last N whole bars are the last N bar lines of one run") {
    CaptureDesk desk;
    for (const std::uint64_t at : {100u, 200u, 300u, 400u, 500u}) desk.add(mark(at));
    const auto range = desk.last(3, 550, 10000);
    CHECK(range.begin == 200);
    CHECK(range.end == 500);
    CHECK_THROWS_WITH_AS(desk.last(5, 550, 10000), doctest::Contains("no 5 whole bars"), std::runtime_error);
    CHECK_THROWS_AS(desk.last(4, 5000, 4800), std::runtime_error);  // too long ago for the ring

    desk.add(mark(600, 2));
    desk.add(mark(700, 2));
    CHECK(desk.last(1, 750, 10000).begin == 600);
    CHECK(desk.last(2, 750, 10000).begin == 300);  // the newest two whole bars lie before the jump
}

TEST_CASE("an armed capture takes the next bars, and starts over after a stop") {
    CaptureDesk desk;
    desk.add(mark(100));
    desk.arm(2, CaptureUse::Context);
    CHECK_FALSE(desk.due());
    desk.add(mark(200));
    CHECK(desk.bars_recorded() == 0);
    desk.add(mark(300));
    CHECK(desk.bars_recorded() == 1);
    desk.add(mark(1000, 2));
    CHECK(desk.bars_recorded() == 0);
    desk.add(mark(1100, 2));
    CHECK_FALSE(desk.due());
    desk.add(mark(1200, 2));
    const auto range = desk.due();
    REQUIRE(range);
    CHECK(range->begin == 1000);
    CHECK(range->end == 1200);
    desk.disarm();
    CHECK_FALSE(desk.due());
}

TEST_CASE("a WAV we wrote reads back bit by bit and leaves no temporary file") {
    const test::Folder folder;
    const auto path = folder.path / "captures" / "a.wav";
    const std::vector<float> audio = {0.1f, -0.2f, 1.5f, -1.0f, 1e-30f, 0.0f};
    write_wav(path, audio, 2, 44100);
    WavReader reader(path);
    CHECK(reader.sample_rate_hz() == 44100);
    CHECK(reader.frames() == 3);
    std::vector<float> read;
    CHECK(reader.read(2, read) == 2);
    CHECK(read == std::vector<float>{0.1f, -0.2f, 1.5f, -1.0f});
    CHECK(reader.read(100, read) == 1);
    CHECK(read == std::vector<float>{1e-30f, 0.0f});
    CHECK(reader.read(100, read) == 0);
    CHECK(std::distance(std::filesystem::directory_iterator(path.parent_path()), {}) == 1);
}

TEST_CASE("24-bit mono with foreign chunks is read; what is no audio says so") {
    const test::Folder folder;
    const auto write = [&](const char* name, std::string_view text) {
        std::ofstream(folder.path / name, std::ios::binary) << text;
        return folder.path / name;
    };
    using namespace std::string_view_literals;
    WavReader reader(write("a.wav",
                           "RIFF\x40\0\0\0WAVEacid\3\0\0\0abc\0fmt \x10\0\0\0\1\0\1\0\x80\xbb\0\0\x80\x32\2\0\3\0\x18\0"
                           "data\x06\0\0\0\0\0\x40\xff\xff\xff"sv));
    std::vector<float> read;
    CHECK(reader.read(10, read) == 2);
    CHECK(read == std::vector<float>{0.5f, 0.5f, -1.0f / 8388608.0f, -1.0f / 8388608.0f});
    CHECK_THROWS_WITH_AS(WavReader(folder.path / "gone.wav"), doctest::Contains("cannot be opened"), std::runtime_error);
    CHECK_THROWS_WITH_AS(WavReader(write("b.wav", "hello")), doctest::Contains("not a WAV"), std::runtime_error);
    CHECK_THROWS_WITH_AS(WavReader(write("c.wav", "RIFF\x04\0\0\0WAVE"sv)), doctest::Contains("no audio"), std::runtime_error);
}

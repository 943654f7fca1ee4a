// Bridge as a whole: real sockets, a real worker, and a peer that speaks for the daemon.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "bridge.hpp"
#include "folder.hpp"
#include "host.hpp"
#include "system.hpp"
#include "wav.hpp"

using namespace acestep;

namespace {

constexpr double kRate_hz = 48000.0;

// Answers pings, and generate with whatever `on_generate` returns.
class Peer {
public:
    Peer() { test::set_environment("ACESTEP_OSC_PORT", std::to_string(socket_.port())); }
    ~Peer() {
        stop_ = true;
        if (thread_.joinable()) thread_.join();
    }

    std::function<std::vector<OscMessage>(const std::string& prompt, const std::string& session)> on_generate;
    std::string version = "0.1.0";

    void start() {
        thread_ = std::thread([this] { serve(); });
    }
    std::map<std::string, std::vector<OscMessage>> received() {
        const std::lock_guard lock(mutex_);
        return received_;
    }

private:
    void serve() {
        std::map<std::uint16_t, std::string> sessions;
        while (!stop_) {
            const auto packet = socket_.receive(20);
            if (!packet) continue;
            const sockaddr_in& from = packet->from;
            const auto messages = decode_osc(packet->bytes);
            for (const auto& message : *messages) {
                std::vector<OscMessage> answers;
                if (message.address == "/acestep/session") sessions[from.sin_port] = *message.text(0);
                if (message.address == "/acestep/ping") answers = {{"/acestep/pong", {version, std::string(kWireVersion)}}};
                if (message.address == "/acestep/generate" && on_generate)
                    answers = on_generate(*message.text(0), sessions[from.sin_port]);
                for (auto& answer : answers)  // the tag comes last
                    if (answer.address == "/acestep/accepted") answer.values.push_back(message.values.back());
                {
                    const std::lock_guard lock(mutex_);
                    received_[sessions[from.sin_port]].push_back(message);
                }
                for (const auto& answer : answers) socket_.send(encode_osc(answer), from);
            }
        }
    }

    test::Socket socket_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
    std::mutex mutex_;
    std::map<std::string, std::vector<OscMessage>> received_;
};

bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 1000; ++i) {
        if (condition()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

// Plays a song through the plugin: sample k of the song is k on the left and -k on the right.
void play(Bridge& bridge, const test::Song& song, std::int64_t from, std::int64_t frames, std::uint32_t block = 512) {
    for (std::int64_t at = from; at < from + frames; at += block) {
        std::vector<float> left(block), right(block), out_left(block), out_right(block);
        for (std::uint32_t i = 0; i < block; ++i) left[i] = static_cast<float>(at + i), right[i] = -left[i];
        const float* in[2] = {left.data(), right.data()};
        float* out[2] = {out_left.data(), out_right.data()};
        bridge.process(in, out, block, song.at(static_cast<double>(at), kRate_hz), 0);
        REQUIRE(out_left == left);
        REQUIRE(out_right == right);
    }
}

OscMessage clip_message(const std::string& job, const std::string& path) {
    return {"/acestep/clip", {job, path, 93.0f, std::string("3/4"), std::string("A minor"), 2.0f, 0.01f}};
}

}  // namespace

TEST_CASE("several instances work at once, and each receives only its own jobs") {
    const test::Folder folder;
    test::set_home(folder.path);
    Peer peer;
    peer.on_generate = [&](const std::string& prompt, const std::string&) {
        const std::string path = text_of(folder.path / (prompt + ".wav"));
        write_wav(path_of(path), std::vector<float>(2000, 0.5f), 2, 48000);
        return std::vector<OscMessage>{
            {"/acestep/accepted", {prompt}}, clip_message(prompt, path), {"/acestep/done", {prompt, 1}}};
    };
    peer.start();
    Bridge first, second;
    for (Bridge* bridge : {&first, &second}) bridge->activate(kRate_hz);
    play(first, {93.0, 3, 4}, 0, 4096);
    first.set_prompt("one");
    second.set_prompt("two");
    for (Bridge* bridge : {&first, &second}) REQUIRE(eventually([&] { return bridge->view().daemon == DaemonState::Connected; }));
    first.generate();
    second.generate();
    REQUIRE(eventually([&] { return first.view().project.results.size() == 1 && second.view().project.results.size() == 1; }));
    CHECK(first.view().project.results[0].job == "one");
    CHECK(second.view().project.results[0].job == "two");
    CHECK(eventually([&] { return !first.view().waveform.empty(); }));
    const auto received = peer.received();
    CHECK(received.size() == 2);  // two sessions
    for (const auto& message : received.at("plugin-" + first.view().project.instance))
        if (message.address == "/acestep/generate") {
            CHECK(message.number(4) == 93.0);
            CHECK(message.text(6) == "3/4");
        }
}

TEST_CASE("a capture is the track's last bars, sample by sample, and is named in the next request") {
    const test::Folder folder;
    test::set_home(folder.path);
    Peer peer;
    peer.start();
    Bridge bridge;
    bridge.activate(kRate_hz);
    const test::Song song{93.0, 3, 4};
    play(bridge, song, 0, 700000);
    bridge.capture_last(4, CaptureUse::Context);
    REQUIRE(eventually([&] { return !bridge.view().project.context.empty(); }));
    const std::string path = bridge.view().project.context;
    CHECK(path.starts_with(text_of(folder.path / "captures")));
    WavReader reader(path_of(path));
    CHECK(std::llabs(reader.frames() - clip_samples(4, 3, 4, 93.0, kRate_hz)) <= 1);
    std::vector<float> audio;
    reader.read(static_cast<std::size_t>(reader.frames()), audio);
    const double first = audio[0], bar = song.bar_samples(kRate_hz);
    CHECK(std::fabs(first / bar - std::round(first / bar)) * bar <= 0.51);
    for (std::size_t i = 0; i < audio.size(); i += 2) REQUIRE(audio[i] == audio[0] + static_cast<float>(i / 2));

    bridge.capture_last(40, CaptureUse::Context);
    REQUIRE(eventually([&] { return bridge.view().error.find("no 40 whole bars") != std::string::npos; }));
    bridge.capture_next(40, CaptureUse::Reference);
    REQUIRE(eventually([&] { return bridge.view().error.find("longer than the minute") != std::string::npos; }));
    bridge.capture_next(2, CaptureUse::Reference);
    REQUIRE(eventually([&] { return bridge.view().armed_bars == 2; }));
    play(bridge, song, 700416, 400000);
    REQUIRE(eventually([&] { return !bridge.view().project.reference.empty(); }));

    bridge.set_prompt("bass");
    REQUIRE(eventually([&] { return bridge.view().daemon == DaemonState::Connected; }));
    bridge.generate();
    const auto session = "plugin-" + bridge.view().project.instance;
    REQUIRE(eventually([&] {
        const auto messages = peer.received()[session];
        return std::any_of(messages.begin(), messages.end(), [&](const auto& message) {
            return message.address == "/acestep/generate" &&
                   std::find(message.values.begin(), message.values.end(), OscValue(path)) != message.values.end();
        });
    }));
}

TEST_CASE("an automated trigger fires once per press, not while held, and not for a value restored at the start") {
    const test::Folder folder;
    test::set_home(folder.path);
    Peer peer;
    std::atomic<int> asked{0};
    peer.on_generate = [&](const std::string&, const std::string&) {
        return std::vector<OscMessage>{{"/acestep/accepted", {"job-" + std::to_string(++asked)}}};
    };
    peer.start();
    Bridge bridge;
    bridge.activate(kRate_hz);
    bridge.set_prompt("x");
    REQUIRE(eventually([&] { return bridge.view().daemon == DaemonState::Connected; }));
    std::int64_t at = 0;
    const auto blocks = [&](int count, bool trigger) {
        for (int i = 0; i < count; ++i, at += 512) {
            if (trigger) bridge.parameters.trigger = true;
            play(bridge, {}, at, 512);
        }
    };
    blocks(10, true);    // restored with the project
    blocks(30, false);
    CHECK_FALSE(bridge.parameters.trigger);
    blocks(20, true);
    REQUIRE(eventually([&] { return asked == 1; }));
    blocks(30, false);
    blocks(1, true);
    REQUIRE(eventually([&] { return asked == 2; }));
    float silence[64] = {};
    const float* in[2] = {silence, silence};
    float* out[2] = {silence, silence};
    bridge.process(in, out, 64, {}, 3);  // three notes at once are one request
    REQUIRE(eventually([&] { return asked == 3; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK(asked == 3);
}

TEST_CASE("state comes back, also while everything runs") {
    const test::Folder folder;
    test::set_home(folder.path);
    test::set_environment("ACESTEP_OSC_PORT", "9");
    Bridge bridge;
    bridge.activate(kRate_hz);
    bridge.set_prompt("warm pad");
    bridge.set_adapter("mine", 0.5);
    const std::string saved = bridge.save();
    Bridge other;
    other.load(saved);
    CHECK(other.save() == saved);
    other.activate(44100.0);
    other.load("");
    CHECK_FALSE(other.view().project.instance.empty());
    other.load(saved + "\nselected /nowhere.wav");
    CHECK(eventually([&] { return other.view().error.find("cannot be opened") != std::string::npos; }));
    other.generate();
    CHECK(eventually([&] { return other.view().error.find("not running") != std::string::npos; }));
}

TEST_CASE("starting the daemon says why it failed") {
    const test::Folder folder;
    test::set_home(folder.path);
    test::set_environment("ACESTEP_OSC_PORT", "9");
    Bridge bridge;
    bridge.open();
    test::set_environment("ACESTEP_COMMAND", "no-such-program-here serve");
    bridge.start_daemon();
    CHECK(eventually([&] { return bridge.view().error.find("cannot start `no-such-program-here`") != std::string::npos; }));
#ifdef _WIN32
    test::set_environment("ACESTEP_COMMAND", "cmd /c \"echo port 9127 is taken\"");
#else
    test::set_environment("ACESTEP_COMMAND", "sh -c \"echo port 9127 is taken; exit 3\"");
#endif
    bridge.start_daemon();
    CHECK(eventually([&] { return bridge.view().error.find("port 9127 is taken") != std::string::npos; }));
    test::set_environment("ACESTEP_COMMAND", "");
}

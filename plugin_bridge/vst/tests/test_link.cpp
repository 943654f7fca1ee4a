#include <doctest/doctest.h>

#include <algorithm>

#include "link.hpp"

using namespace acestep;

namespace {

struct Conversation {
    std::vector<OscMessage> sent;
    Link link{[this](const OscMessage& message) { sent.push_back(message); }};
    double now_s = 100.0;

    void tick(double seconds = 0.0) { link.tick(now_s += seconds, "plugin-1"); }
    void answer(std::string address, std::vector<OscValue> values) {
        link.receive({std::move(address), std::move(values)}, now_s);
    }
    void connect() {
        tick();
        answer("/acestep/pong", {std::string("0.1.0"), std::string("1")});
        sent.clear();
    }
    std::vector<std::string> addresses() const {
        std::vector<std::string> out;
        for (const auto& message : sent) out.push_back(message.address);
        return out;
    }
};

GenerateSpec spec() {
    GenerateSpec spec;
    spec.prompt = "dusty breakbeat";
    spec.bpm = 92.5;
    spec.numerator = 7;
    spec.denominator = 8;
    spec.key = "A minor";
    spec.seed = 7;
    return spec;
}

}  // namespace

TEST_CASE("the daemon is looked for, found, and missed when it goes") {
    Conversation talk;
    talk.tick();
    CHECK(talk.addresses() == std::vector<std::string>{"/acestep/session", "/acestep/ping"});
    CHECK(talk.sent[0].text(0) == "plugin-1");
    CHECK(talk.link.state() == DaemonState::Searching);
    talk.tick(0.5);
    CHECK(talk.sent.size() == 2);
    talk.tick(0.6);
    CHECK(talk.sent.size() == 4);
    talk.answer("/acestep/pong", {std::string("0.1.7"), std::string("1")});
    CHECK(talk.link.state() == DaemonState::Connected);
    CHECK(talk.link.daemon_version() == "0.1.7");
    talk.tick(5.0);
    CHECK(talk.link.state() == DaemonState::Connected);
    talk.tick(6.0);
    CHECK(talk.link.state() == DaemonState::Searching);
}

TEST_CASE("a daemon is judged by its wire version, of which the part before the first dot counts") {
    // the other bridges are tested with the same cases
    for (const char* wire : {"1", "1.0", "1.7", "1.0.3"}) CHECK(speaks_ours(wire));
    for (const char* wire : {"", "0", "2", "2.1", "10", "11.0", ".1", "x", "one"}) CHECK_FALSE(speaks_ours(wire));
    Conversation talk;
    talk.tick();
    talk.answer("/acestep/pong", {std::string("0.7.2"), std::string("1.3")});
    CHECK(talk.link.state() == DaemonState::Connected);
    talk.answer("/acestep/pong", {std::string("0.1.0"), std::string("2")});
    CHECK(talk.link.state() == DaemonState::WrongVersion);
}

TEST_CASE("captures and adapter are named only when there are any") {
    Conversation talk;
    talk.connect();
    auto full = spec();
    full.reference = "/r.wav";
    full.context = "/c.wav";
    full.adapter = "mine";
    full.adapter_scale = 0.85;
    talk.link.generate(full, talk.now_s);
    const auto& values = talk.sent[0].values;
    const std::vector<OscValue> last(values.end() - 8, values.end() - 2);
    CHECK(last == std::vector<OscValue>{std::string("reference"), std::string("/r.wav"), std::string("context"),
                                        std::string("/c.wav"), std::string("adapter"), std::string("mine:0.85")});
}

TEST_CASE("which adapters there are is asked of every daemon that comes, and forgotten with it") {
    Conversation talk;
    talk.tick();
    CHECK_FALSE(talk.link.adapters().known);
    talk.answer("/acestep/pong", {std::string("0.1.0"), std::string("1")});
    CHECK(talk.sent.back().address == "/acestep/adapters");
    talk.answer("/acestep/adapter_names", {3, std::string("dusty"),
                                           std::string("w\x01"
                                                       "arm tape"),
                                           7});
    CHECK(talk.link.adapters().names == std::vector<std::string>{"dusty", "warm tape"});
    CHECK(talk.link.adapters().known);
    CHECK_FALSE(talk.link.adapters().whole());  // one name is too much for a message
    CHECK(talk.link.adapters().has("warm tape"));
    talk.answer("/acestep/adapter_names", {0});
    CHECK(talk.link.adapters().whole());
    talk.tick(20.0);
    CHECK_FALSE(talk.link.adapters().known);
    talk.sent.clear();
    talk.link.ask_for_adapters();
    CHECK(talk.sent.empty());  // nobody is there
}

TEST_CASE("a daemon of another version is refused, and generating says what to do") {
    Conversation talk;
    talk.tick();
    talk.answer("/acestep/pong", {std::string("0.1.0")});  // none named
    CHECK(talk.link.state() == DaemonState::WrongVersion);
    talk.answer("/acestep/pong", {std::string("0.1.0"), std::string("2")});
    CHECK(talk.link.state() == DaemonState::WrongVersion);
    talk.sent.clear();
    talk.link.generate(spec(), talk.now_s);
    CHECK(talk.sent.empty());
    const auto errors = talk.link.take_errors();
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].find("update") != std::string::npos);
}

TEST_CASE("generating sends the whole request, and its answers become a job with clips") {
    Conversation talk;
    talk.connect();
    talk.link.generate(spec(), talk.now_s);
    CHECK(talk.addresses() == std::vector<std::string>{"/acestep/generate"});
    const std::vector<OscValue> expected = {std::string("dusty breakbeat"),
                                            std::string("seed"),
                                            7,
                                            std::string("tempo"),
                                            92.5f,
                                            std::string("signature"),
                                            std::string("7/8"),
                                            std::string("bars"),
                                            4,
                                            std::string("takes"),
                                            1,
                                            std::string("strength"),
                                            1.0f,
                                            std::string("key"),
                                            std::string("A minor"),
                                            std::string("tag"),
                                            std::string("1")};
    CHECK(talk.sent[0].values == expected);
    talk.answer("/acestep/accepted", {std::string("job-1"), std::string("1")});
    talk.answer("/acestep/progress", {std::string("job-1"), std::string("l"), 0.25f, 4.0f});
    REQUIRE(talk.link.jobs().size() == 1);
    CHECK(talk.link.jobs()[0].state == SentRequest::State::Running);
    CHECK(talk.link.jobs()[0].fraction == 0.25);
    CHECK(talk.link.jobs()[0].eta_s == 4.0);
    talk.answer("/acestep/clip", {std::string("job-1"), std::string("/music/a.wav"), 92.5f, std::string("7/8"),
                                  std::string("A minor"), 4.0f, 0.02f});
    talk.answer("/acestep/clip",
                {std::string("somebody else's"), std::string("/b.wav"), 92.5f, std::string("7/8"), std::string(""), 4.0f, 0.0f});
    const auto clips = talk.link.take_clips();
    REQUIRE(clips.size() == 1);
    CHECK(clips[0].path == "/music/a.wav");
    CHECK(clips[0].prompt == "dusty breakbeat");
    CHECK(clips[0].bars == 4.0);
    talk.answer("/acestep/done", {std::string("job-1"), 1});
    CHECK(talk.link.jobs()[0].state == SentRequest::State::Done);
}

TEST_CASE("an idea's clips say which part they are, and their notes come behind them") {
    Conversation talk;
    talk.connect();
    auto idea = spec();
    idea.parts = "drums; bass: warm";
    idea.midi = true;
    idea.takes = 4;
    talk.link.generate(idea, talk.now_s);
    const auto has = [&talk](const char* name) {
        const auto& values = talk.sent.back().values;
        return std::find(values.begin(), values.end(), OscValue(std::string(name))) != values.end();
    };
    CHECK(has("drums; bass: warm"));
    CHECK(has("midi"));
    CHECK_FALSE(has("takes"));
    talk.answer("/acestep/accepted", {std::string("j"), std::string("1")});
    talk.answer("/acestep/clip", {std::string("j"), std::string("/b.wav"), 92.5f, std::string("7/8"), std::string(""), 4.0f, 0.0f,
                                  std::string("idea-1"), std::string("bass")});
    talk.answer("/acestep/companion", {std::string("j"), std::string("/b.wav"), std::string("/b.mid")});
    talk.answer("/acestep/companion", {std::string("another"), std::string("/c.wav"), std::string("/c.mid")});
    const auto clips = talk.link.take_clips();
    REQUIRE(clips.size() == 1);
    CHECK(clips[0].idea == "idea-1");
    CHECK(clips[0].part == "bass");
    CHECK(talk.link.take_notes() == std::vector<std::pair<std::string, std::string>>{{"/b.wav", "/b.mid"}});

    GenerateSpec anew;
    anew.prompt = "dusty breakbeat";
    anew.idea = "idea-1";
    anew.redo = "bass";
    talk.link.generate(anew, talk.now_s);
    CHECK(has("redo"));
    for (const char* name : {"tempo", "signature", "bars", "strength", "parts"}) CHECK_FALSE(has(name));  // the idea's own
}

TEST_CASE("requests are accepted by their tags in whatever order, and cancelled one by one") {
    Conversation talk;
    talk.connect();
    auto first = spec(), second = spec();
    second.prompt = "pad";
    talk.link.generate(first, talk.now_s);
    talk.link.generate(second, talk.now_s);
    talk.answer("/acestep/accepted", {std::string("somebody else's")});
    CHECK(talk.link.jobs()[0].id.empty());
    talk.answer("/acestep/accepted", {std::string("b"), std::string("2")});
    talk.answer("/acestep/accepted", {std::string("a"), std::string("1")});
    CHECK(talk.link.jobs()[0].id == "a");
    CHECK(talk.link.jobs()[1].prompt == "pad");
    CHECK(talk.link.jobs()[1].id == "b");
    talk.sent.clear();
    talk.link.cancel("b");
    CHECK(talk.sent[0].text(0) == "b");
    talk.answer("/acestep/cancelled", {std::string("b")});
    CHECK(talk.link.jobs()[1].state == SentRequest::State::Cancelled);
    CHECK(talk.link.jobs()[0].open());
}

TEST_CASE("errors keep the daemon's own words, with and without a job") {
    Conversation talk;
    talk.connect();
    talk.link.generate(spec(), talk.now_s);
    talk.answer("/acestep/error",
                {std::string("invalid_request"), std::string("bars 0: expected at least 1"), std::string(""), std::string("1")});
    CHECK(talk.link.take_errors() == std::vector<std::string>{"bars 0: expected at least 1 [invalid_request]"});
    CHECK(talk.link.jobs()[0].state == SentRequest::State::Failed);
    talk.link.generate(spec(), talk.now_s);
    talk.answer("/acestep/error", {std::string("invalid_request"), std::string("a setting of another message"), std::string("")});
    CHECK(talk.link.jobs()[1].open());
    talk.answer("/acestep/accepted", {std::string("x"), std::string("2")});
    talk.answer("/acestep/error", {std::string("out_of_memory"), std::string("needs 9 GB"), std::string("x")});
    CHECK(talk.link.jobs()[1].error == "needs 9 GB");
}

TEST_CASE("a request nobody answers fails, and one asked while the daemon is away is not sent") {
    Conversation talk;
    talk.connect();
    talk.link.generate(spec(), talk.now_s);
    talk.tick(7.0);
    CHECK(talk.link.jobs()[0].state == SentRequest::State::Failed);
    CHECK(talk.link.take_errors().size() == 1);
    talk.tick(20.0);
    talk.sent.clear();
    talk.link.generate(spec(), talk.now_s);
    CHECK(talk.sent.empty());
    CHECK(talk.link.take_errors().size() == 1);
}

TEST_CASE("answers with missing or wrong values are harmless") {
    Conversation talk;
    talk.connect();
    talk.link.generate(spec(), talk.now_s);
    talk.answer("/acestep/accepted", {std::string("j"), std::string("1")});
    for (const char* address :
         {"/acestep/accepted", "/acestep/progress", "/acestep/clip", "/acestep/done", "/acestep/cancelled", "/acestep/error",
          "/acestep/adapter_names", "/acestep/companion", "/acestep/state", "/acestep/pong", "/else"}) {
        talk.answer(address, {});
        talk.answer(address, {1, 2, 3});
        talk.answer(address, {std::string("nobody's")});
    }
    talk.answer("/acestep/progress", {std::string("j"), 5, std::string("x"), std::string("y")});
    talk.answer("/acestep/clip", {std::string("j")});
    CHECK(talk.link.take_clips().empty());
    CHECK(talk.link.jobs()[0].open());
}

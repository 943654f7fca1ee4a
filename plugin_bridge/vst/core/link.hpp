// The conversation with the daemon: who is there, what we ask, what it answers. Pure state over OSC messages and a
// clock; the socket and the threads are elsewhere.
#pragma once

#include <deque>
#include <functional>
#include <utility>
#include <string>
#include <string_view>
#include <vector>

#include "osc.hpp"
#include "project.hpp"

namespace acestep {

inline constexpr const char* kWireVersion = "1";  // of the OSC messages
inline constexpr const char* kPluginVersion = "0.1.0";

enum class DaemonState { Searching, Connected, WrongVersion };

// Whether a daemon that speaks this wire version understands us: the part before the first dot is the same. Every
// bridge compares so.
bool speaks_ours(std::string_view wire_version);

// One request: sent, accepted as a job, then clips until it is done.
struct SentRequest {
    enum class State { Asked, Running, Done, Cancelled, Failed };
    std::string tag;  // sent with it, and told back when it is accepted or refused
    double asked_s = 0.0;
    std::string id;  // the job's; empty until accepted
    std::string prompt;
    State state = State::Asked;
    std::string stage;
    double fraction = 0.0, eta_s = 0.0;
    int clips = 0;
    std::string error;
    bool open() const { return state == State::Asked || state == State::Running; }
};

struct GenerateSpec {
    std::string prompt, key, adapter, reference, context;
    double bpm = 120.0, strength = 1.0, adapter_scale = 1.0;
    int numerator = 4, denominator = 4, bars = 4, takes = 1;
    std::int32_t seed = 0;
    std::string parts;
    bool midi = false;
    std::string idea, redo;  // to make a part of an idea anew: grid, key and model are the idea's
};

// Which adapters (LoRA) the daemon has.
struct Adapters {
    bool known = false;  // the daemon has answered
    std::size_t count = 0;
    std::vector<std::string> names;  // as many as one message holds
    bool whole() const { return known && names.size() >= count; }
    bool has(const std::string& name) const;
    bool operator==(const Adapters&) const = default;
};

class Link {
public:
    using Send = std::function<void(const OscMessage&)>;

    explicit Link(Send send) : send_(std::move(send)) {}

    // Pings; notices a daemon that came, went, or does not answer a request.
    void tick(double now_s, const std::string& session);
    void receive(const OscMessage& message, double now_s);

    void generate(const GenerateSpec& spec, double now_s);
    void cancel(const std::string& job);
    void ask_for_adapters();

    DaemonState state() const { return state_; }
    const std::string& daemon_version() const { return daemon_version_; }
    const std::vector<SentRequest>& jobs() const { return jobs_; }
    const Adapters& adapters() const { return adapters_; }
    // Clips and errors since the last call.
    std::vector<Clip> take_clips() { return std::exchange(clips_, {}); }
    // Clips' notes since then, each behind its clip: paths of the clip and of its MIDI file.
    std::vector<std::pair<std::string, std::string>> take_notes() { return std::exchange(notes_, {}); }
    std::vector<std::string> take_errors() { return std::exchange(errors_, {}); }

private:
    void pong(const OscMessage& message, double now_s);
    void fail(const OscMessage& message);
    void list_adapters(const OscMessage& message);
    void forget_old_jobs();
    SentRequest* find(const OscMessage& message);
    SentRequest* asked_with(const std::string& tag);

    Send send_;
    DaemonState state_ = DaemonState::Searching;
    std::string daemon_version_, session_;
    double next_ping_s_ = 0.0, last_pong_s_ = -1e9;
    std::uint64_t tags_ = 0;  // given so far
    std::vector<SentRequest> jobs_;
    Adapters adapters_;
    std::vector<Clip> clips_;
    std::vector<std::pair<std::string, std::string>> notes_;
    std::vector<std::string> errors_;
};

}  // namespace acestep

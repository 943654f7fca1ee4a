#include "link.hpp"

#include <algorithm>

namespace acestep {
namespace {

constexpr double kSearchPeriod_s = 1.0;
constexpr double kPingPeriod_s = 3.0;
constexpr double kLostAfter_s = 10.0;     // three pings; jobs go on and are shown again when it answers
constexpr double kAcceptWithin_s = 6.0;
constexpr std::size_t kMaxJobs = 32;

std::string_view major(std::string_view version) { return version.substr(0, version.find('.')); }

}  // namespace

bool Adapters::has(const std::string& name) const { return std::find(names.begin(), names.end(), name) != names.end(); }

bool speaks_ours(std::string_view wire_version) { return major(wire_version) == major(kWireVersion); }

void Link::tick(double now_s, const std::string& session) {
    if (state_ == DaemonState::Connected && now_s - last_pong_s_ > kLostAfter_s) {
        state_ = DaemonState::Searching;
        adapters_ = {};
        next_ping_s_ = now_s;
    }
    if (session != session_ && state_ == DaemonState::Connected) send_({"/acestep/session", {session}});
    session_ = session;
    if (now_s >= next_ping_s_) {
        // while searching, each ping carries the session, so that a daemon that has just started knows us at once
        if (state_ != DaemonState::Connected) send_({"/acestep/session", {session_}});
        send_({"/acestep/ping", {}});
        next_ping_s_ = now_s + (state_ == DaemonState::Connected ? kPingPeriod_s : kSearchPeriod_s);
    }
    for (SentRequest& request : jobs_) {
        if (request.state != SentRequest::State::Asked || now_s - request.asked_s <= kAcceptWithin_s) continue;
        request.state = SentRequest::State::Failed;
        request.error = "the daemon did not answer the request";
        errors_.push_back(request.error + ": is it still running? Generate again once it is connected");
    }
}

void Link::pong(const OscMessage& message, double now_s) {
    daemon_version_ = clean_text(message.text(0).value_or(""), 64);
    last_pong_s_ = now_s;
    const DaemonState before = state_;
    state_ = speaks_ours(message.text(1).value_or("")) ? DaemonState::Connected : DaemonState::WrongVersion;
    // a daemon started after us does not know our session: it is told with every ping until it has answered
    if (state_ == DaemonState::Connected && before != state_) {
        next_ping_s_ = now_s + kPingPeriod_s;
        ask_for_adapters();
    }
}

void Link::receive(const OscMessage& message, double now_s) {
    const std::string& address = message.address;
    if (address == "/acestep/pong") return pong(message, now_s);
    if (address == "/acestep/error") return fail(message);
    if (address == "/acestep/adapter_names") return list_adapters(message);
    if (address == "/acestep/accepted") {
        const auto id = message.text(0);
        if (SentRequest* job = asked_with(message.text(1).value_or("")); job && id && !id->empty()) {
            job->id = *id;
            job->state = SentRequest::State::Running;
            job->stage = "waiting";
        }
        return;
    }
    SentRequest* job = find(message);
    if (!job) return;  // not one of ours
    if (address == "/acestep/progress") {
        job->stage = clean_text(message.text(1).value_or(""), 100);
        job->fraction = at_most(message.number(2).value_or(0.0), 1.0);
        job->eta_s = std::max(0.0, message.number(3).value_or(0.0));
    } else if (address == "/acestep/clip") {
        Clip clip;
        clip.job = job->id;
        clip.prompt = job->prompt;
        clip.path = clean_text(message.text(1).value_or(""), 4096);
        clip.bpm = at_most(message.number(2).value_or(0.0), kMaxClipBpm);
        clip.signature = clean_text(message.text(3).value_or(""), 20);
        clip.key = clean_text(message.text(4).value_or(""), 20);
        clip.bars = at_most(message.number(5).value_or(0.0), kMaxClipBars);
        clip.tempo_error_pct = message.number(6).value_or(0.0);
        clip.idea = clean_text(message.text(7).value_or(""), 200);
        clip.part = clip.idea.empty() ? "" : clean_text(message.text(8).value_or(""), 200);
        if (clip.path.empty()) return;
        ++job->clips;
        clips_.push_back(std::move(clip));
    } else if (address == "/acestep/companion") {
        notes_.emplace_back(clean_text(message.text(1).value_or(""), 4096), clean_text(message.text(2).value_or(""), 4096));
    } else if (address == "/acestep/done") {
        job->state = SentRequest::State::Done;
        job->fraction = 1.0;
    } else if (address == "/acestep/cancelled") {
        job->state = SentRequest::State::Cancelled;
    }
}

void Link::fail(const OscMessage& message) {
    const std::string reason = clean_text(message.text(0).value_or("error"), 100);
    const std::string text = clean_text(message.text(1).value_or(""), 4000);
    const std::string id = message.text(2).value_or("");
    errors_.push_back(text.empty() ? reason : text + " [" + reason + "]");
    const auto found =
        std::find_if(jobs_.begin(), jobs_.end(), [&](const SentRequest& job) { return !id.empty() && job.id == id; });
    SentRequest* job = found != jobs_.end() ? &*found : asked_with(message.text(3).value_or(""));
    if (!job || !job->open()) return;
    job->state = SentRequest::State::Failed;
    job->error = text;
}

void Link::ask_for_adapters() {
    if (state_ == DaemonState::Connected) send_({"/acestep/adapters", {}});
}

void Link::list_adapters(const OscMessage& message) {
    const auto count = message.number(0);
    if (!count) return;
    adapters_ = {true, static_cast<std::size_t>(at_most(*count, 1e6)), {}};
    for (std::size_t i = 1; i < message.values.size(); ++i)
        if (std::string name = clean_text(message.text(i).value_or(""), kMaxAdapterBytes); !name.empty())
            adapters_.names.push_back(std::move(name));
}

void Link::generate(const GenerateSpec& spec, double now_s) {
    if (state_ != DaemonState::Connected) {
        errors_.push_back(state_ == DaemonState::WrongVersion
                              ? "the daemon is version " + daemon_version_ + ", this plugin " + kPluginVersion +
                                    ", and they do not understand each other: update the older one"
                              : "the daemon is not running: start it with the button above, or with: acestep serve");
        return;
    }
    // one message, all settings by name: the daemon takes the request whole or refuses it whole
    std::vector<OscValue> values = {spec.prompt};
    const auto add = [&values](const char* name, OscValue value) {
        values.emplace_back(std::string(name));
        values.push_back(std::move(value));
    };
    add("seed", spec.seed);
    if (spec.midi) add("midi", 1);
    if (spec.idea.empty()) {
        add("tempo", static_cast<float>(spec.bpm));
        add("signature", std::to_string(spec.numerator) + "/" + std::to_string(spec.denominator));
        add("bars", spec.bars);
        if (spec.parts.empty()) add("takes", spec.takes);
        else add("parts", spec.parts);  // one idea at a time
        add("strength", static_cast<float>(spec.strength));
        if (!spec.key.empty()) add("key", spec.key);
        if (!spec.reference.empty()) add("reference", spec.reference);
        if (!spec.context.empty()) add("context", spec.context);
        if (!spec.adapter.empty()) add("adapter", spec.adapter + ":" + plain_number(spec.adapter_scale));
    } else {
        add("idea", spec.idea);
        add("redo", spec.redo);
    }
    SentRequest request;
    request.prompt = spec.prompt;
    request.asked_s = now_s;
    request.tag = std::to_string(++tags_);
    add("tag", request.tag);
    send_({"/acestep/generate", std::move(values)});
    jobs_.push_back(std::move(request));
    forget_old_jobs();
}

void Link::cancel(const std::string& job) {
    if (!job.empty()) send_({"/acestep/cancel", {job}});
}

void Link::forget_old_jobs() {
    while (jobs_.size() > kMaxJobs) {
        const auto closed = std::find_if(jobs_.begin(), jobs_.end(), [](const SentRequest& job) { return !job.open(); });
        jobs_.erase(closed == jobs_.end() ? jobs_.begin() : closed);
    }
}

SentRequest* Link::find(const OscMessage& message) {
    const auto id = message.text(0);
    if (!id || id->empty()) return nullptr;
    const auto found = std::find_if(jobs_.begin(), jobs_.end(), [&](const SentRequest& job) { return job.id == *id; });
    return found == jobs_.end() ? nullptr : &*found;
}

SentRequest* Link::asked_with(const std::string& tag) {
    const auto found = std::find_if(jobs_.begin(), jobs_.end(), [&](const SentRequest& request) {
        return request.state == SentRequest::State::Asked && request.tag == tag;
    });
    return found == jobs_.end() ? nullptr : &*found;
}

}  // namespace acestep

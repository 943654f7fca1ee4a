#include "link.hpp"

#include <algorithm>

namespace acestep {
namespace {

constexpr double kSearchPeriod_s = 1.0;
constexpr double kPingPeriod_s = 3.0;
constexpr double kLostAfter_s = 10.0;     // three pings; jobs go on and are shown again when it answers
constexpr double kAcceptWithin_s = 6.0;
constexpr std::size_t kMaxJobs = 32;

// A daemon that names its wire version is judged by it, one that does not by major and minor of its own.
bool speaks_ours(const OscMessage& pong) {
    if (const auto wire = pong.text(1)) return *wire == kWireVersion;
    const std::string version = pong.text(0).value_or(""), family(kDaemonFamily);
    return version == family || version.starts_with(family + ".");
}

}  // namespace

void Link::tick(double now_s, const std::string& session) {
    if (state_ == DaemonState::Connected && now_s - last_pong_s_ > kLostAfter_s) {
        state_ = DaemonState::Searching;
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
    if (Job* job = first_asked(); job && now_s - asked_s_ > kAcceptWithin_s) {
        job->state = Job::State::Failed;
        job->error = "the daemon did not answer the request";
        errors_.push_back(job->error + ": is it still running? Generate again once it is connected");
    }
}

void Link::pong(const OscMessage& message, double now_s) {
    daemon_version_ = clean_text(message.text(0).value_or(""), 64);
    last_pong_s_ = now_s;
    const DaemonState before = state_;
    state_ = speaks_ours(message) ? DaemonState::Connected : DaemonState::WrongVersion;
    // a daemon started after us does not know our session: it is told with every ping until it has answered
    if (state_ == DaemonState::Connected && before != state_) next_ping_s_ = now_s + kPingPeriod_s;
}

void Link::receive(const OscMessage& message, double now_s) {
    const std::string& address = message.address;
    if (address == "/acestep/pong") return pong(message, now_s);
    if (address == "/acestep/error") return fail(message);
    if (address == "/acestep/accepted") {
        const auto id = message.text(0);
        if (Job* job = first_asked(); job && id && !id->empty()) {
            job->id = *id;
            job->state = Job::State::Running;
            job->stage = "waiting";
        }
        return;
    }
    Job* job = find(message);
    if (!job) return;  // not one of ours
    if (address == "/acestep/progress") {
        job->stage = clean_text(message.text(1).value_or(""), 100);
        job->fraction = std::clamp(message.number(2).value_or(0.0), 0.0, 1.0);
        job->eta_s = std::max(0.0, message.number(3).value_or(0.0));
    } else if (address == "/acestep/clip") {
        Clip clip;
        clip.job = job->id;
        clip.prompt = job->prompt;
        clip.path = clean_text(message.text(1).value_or(""), 4096);
        clip.bpm = message.number(2).value_or(0.0);
        clip.signature = clean_text(message.text(3).value_or(""), 20);
        clip.key = clean_text(message.text(4).value_or(""), 20);
        clip.bars = message.number(5).value_or(0.0);
        clip.tempo_error_pct = message.number(6).value_or(0.0);
        if (clip.path.empty()) return;
        ++job->clips;
        clips_.push_back(std::move(clip));
    } else if (address == "/acestep/done") {
        job->state = Job::State::Done;
        job->fraction = 1.0;
    } else if (address == "/acestep/cancelled") {
        job->state = Job::State::Cancelled;
    }
}

void Link::fail(const OscMessage& message) {
    const std::string reason = clean_text(message.text(0).value_or("error"), 100);
    const std::string text = clean_text(message.text(1).value_or(""), 4000);
    const std::string id = message.text(2).value_or("");
    errors_.push_back(text.empty() ? reason : text + " [" + reason + "]");
    const auto found = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& job) { return !id.empty() && job.id == id; });
    Job* job = found != jobs_.end() ? &*found : id.empty() ? first_asked() : nullptr;
    if (!job || !job->open()) return;
    job->state = Job::State::Failed;
    job->error = text;
}

void Link::generate(const GenerateSpec& spec, double now_s) {
    Job job;
    job.prompt = spec.prompt;
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
    add("tempo", static_cast<float>(spec.bpm));
    add("signature", std::to_string(spec.numerator) + "/" + std::to_string(spec.denominator));
    add("bars", spec.bars);
    add("takes", spec.takes);
    add("seed", spec.seed);
    add("strength", static_cast<float>(spec.strength));
    if (!spec.key.empty()) add("key", spec.key);
    if (!spec.reference.empty()) add("reference", spec.reference);
    if (!spec.context.empty()) add("context", spec.context);
    if (!spec.adapter.empty()) add("adapter", spec.adapter + ":" + plain_number(spec.adapter_scale));
    send_({"/acestep/generate", std::move(values)});
    jobs_.push_back(std::move(job));
    if (first_asked() == &jobs_.back()) asked_s_ = now_s;
    forget_old_jobs();
}

void Link::cancel(const std::string& job) {
    if (!job.empty()) send_({"/acestep/cancel", {job}});
}

void Link::forget_old_jobs() {
    while (jobs_.size() > kMaxJobs) {
        const auto closed = std::find_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return !job.open(); });
        jobs_.erase(closed == jobs_.end() ? jobs_.begin() : closed);
    }
}

Job* Link::find(const OscMessage& message) {
    const auto id = message.text(0);
    if (!id || id->empty()) return nullptr;
    const auto found = std::find_if(jobs_.begin(), jobs_.end(), [&](const Job& job) { return job.id == *id; });
    return found == jobs_.end() ? nullptr : &*found;
}

Job* Link::first_asked() {
    const auto found = std::find_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.state == Job::State::Asked; });
    return found == jobs_.end() ? nullptr : &*found;
}

}  // namespace acestep

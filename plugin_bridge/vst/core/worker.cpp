// The worker's half of Bridge: one thread that owns the socket, the disk and the daemon's process.
#include <algorithm>
#include <chrono>
#include <random>
#include <stdexcept>
#include <utility>

#include "bridge.hpp"
#include "parts.hpp"
#include "paths.hpp"
#include "wav.hpp"

namespace acestep {
namespace {

constexpr int kTick_ms = 10;
constexpr int kMaxPacketsPerTick = 64;

double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

std::int32_t new_seed() { return static_cast<std::int32_t>(std::random_device{}() & 0x7FFFFFFF); }

}  // namespace

void Bridge::work() {
    std::unique_ptr<UdpSocket> socket;
    const std::uint16_t port = daemon_osc_port();
    Link link([&](const OscMessage& message) {
        const auto packet = encode_osc(message);
        if (packet.size() > kMaxPacketBytes) {
            show_error(message.address + " is " + std::to_string(packet.size()) + " bytes long: at most " +
                       std::to_string(kMaxPacketBytes) + " can be sent");
        } else {
            socket->send(packet, port);  // nobody listening is what the pings find out
        }
    });
    while (!quit_) {
        try {
            if (!socket) socket = std::make_unique<UdpSocket>();
            receive(*socket, link);
            std::string session;
            {
                const std::lock_guard lock(mutex_);
                session = "plugin-" + project_.instance;
                if (seen_ring_ != worker_ring_) desk_.forget(), seen_ring_ = worker_ring_;
            }
            const double now_s = now_seconds();
            link.tick(now_s, session);
            hear_audio();
            run_commands();
            ask(link, now_s);
            collect(link);
            if (const auto range = desk_.due()) {
                const CaptureUse use = desk_.use();
                desk_.disarm();
                finish_capture(*range, use);
            }
            load_preview();
            sketch_a_result();
        } catch (const std::exception& error) {
            show_error(error.what());
            if (!socket) std::this_thread::sleep_for(std::chrono::seconds(1));
        }
        publish_view(link);
    }
}

void Bridge::receive(UdpSocket& socket, Link& link) {
    std::vector<std::uint8_t> packet;
    const std::uint16_t port = daemon_osc_port();
    for (int i = 0; i < kMaxPacketsPerTick; ++i) {
        if (!socket.receive(packet, port, i == 0 ? kTick_ms : 0)) break;
        const auto messages = decode_osc(packet);
        if (!messages) continue;  // not OSC: not the daemon's
        for (const auto& message : *messages) link.receive(message, now_seconds());
    }
}

void Bridge::hear_audio() {
    AudioEvent event;
    bool triggered = false;
    while (audio_.next_event(event)) {
        if (event.kind == AudioEvent::Kind::Mark) desk_.add(event.mark);
        if (event.kind == AudioEvent::Kind::Time) host_ = event.time, has_host_time_ = true;
        if (event.kind == AudioEvent::Kind::Trigger) triggered = true;
        if (event.kind == AudioEvent::Kind::TakeReference) capture_last(parameters.capture_bars, CaptureUse::Reference);
        if (event.kind == AudioEvent::Kind::TakeContext) capture_last(parameters.capture_bars, CaptureUse::Context);
    }
    if (triggered) ++asked_;
}

void Bridge::run_commands() {
    std::vector<Command> commands;
    {
        const std::lock_guard lock(mutex_);
        commands.swap(commands_);
    }
    for (const auto& command : commands) {
        try {
            command();
        } catch (const std::exception& error) {
            show_error(error.what());
        }
    }
}

void Bridge::ask(Link& link, double now_s) {
    if (std::exchange(cancel_asked_, false))
        for (const SentRequest& job : link.jobs())
            if (job.open()) link.cancel(job.id);
    if (std::exchange(adapters_asked_, false)) link.ask_for_adapters();
    for (; asked_ > 0; --asked_) {
        GenerateSpec spec = wanted();
        spec.seed = parameters.seed != 0 ? parameters.seed.load() : new_seed();
        send(link, spec, now_s);
    }
    for (const std::string& path : std::exchange(anew_, {})) {
        const Project project = view().project;
        const auto clip = std::find_if(project.results.begin(), project.results.end(),
                                       [&path](const Clip& one) { return one.path == path && !one.idea.empty(); });
        if (clip == project.results.end()) continue;
        GenerateSpec spec;
        spec.prompt = clip->prompt;
        spec.idea = clip->idea;
        spec.redo = clip->part;
        for (const std::string& piece : split_parts(project.parts))  // with other words, if it has some there
            if (part_name(piece) == clip->part) spec.redo = piece;
        spec.midi = project.midi;
        spec.seed = new_seed();  // the same one would give the same part
        send(link, spec, now_s);
    }
}

GenerateSpec Bridge::wanted() const {
    GenerateSpec spec;
    {
        const std::lock_guard lock(mutex_);
        spec.prompt = project_.prompt;
        spec.adapter = project_.adapter;
        spec.adapter_scale = project_.adapter_scale;
        spec.reference = project_.reference;
        spec.context = project_.context;
        spec.parts = project_.parts;
        spec.midi = project_.midi;
    }
    if (has_host_time_ && plausible(host_)) {
        spec.bpm = host_.bpm;
        spec.numerator = host_.numerator;
        spec.denominator = host_.denominator;
    }
    spec.bars = parameters.bars;
    spec.takes = parameters.takes;
    spec.key = key_name(parameters.key);
    spec.strength = parameters.strength;
    return spec;
}

void Bridge::send(Link& link, const GenerateSpec& spec, double now_s) {
    show_error("");
    link.generate(spec, now_s);
}

void Bridge::collect(Link& link) {
    auto clips = link.take_clips();
    if (!clips.empty()) {
        const bool listening = parameters.preview;
        edit([&clips, listening](Project& project) {
            // what is being listened to stays selected
            if (!listening || project.selected.empty()) project.selected = clips.front().path;
            for (auto& clip : clips) project.results.push_back(std::move(clip));
            if (project.results.size() > kMaxResults)
                project.results.erase(project.results.begin(), project.results.end() - static_cast<std::ptrdiff_t>(kMaxResults));
        });
    }
    for (const auto& [path, midi] : link.take_notes())
        edit([&path, &midi](Project& project) {
            for (Clip& clip : project.results)
                if (clip.path == path) clip.midi = midi;
        });
    for (const auto& error : link.take_errors()) show_error(error);
    if (const auto ended = daemon_.ended()) show_error(*ended);
}

void Bridge::finish_capture(const CaptureRange& range, CaptureUse use) {
    std::vector<float> audio;
    if (!seen_ring_->read(range.begin, range.end, audio))
        throw std::runtime_error(std::to_string(range.bars) +
                                 " bars at this tempo are longer than the minute that is kept: capture fewer");
    double rate_hz = 0.0;
    std::string instance;
    {
        const std::lock_guard lock(mutex_);
        rate_hz = worker_rate_hz_;
        instance = project_.instance;
    }
    const auto path = new_capture_path(instance, range.bpm, range.bars);
    write_wav(path, audio, kChannels, static_cast<int>(rate_hz + 0.5));
    edit([&](Project& project) { (use == CaptureUse::Reference ? project.reference : project.context) = text_of(path); });
}

void Bridge::load_preview() {
    audio_.preview().reclaim();
    std::string path, wanted;
    double bars = 0.0;
    int rate_hz = 0;
    {
        const std::lock_guard lock(mutex_);
        path = project_.selected;
        rate_hz = static_cast<int>(worker_rate_hz_ + 0.5);
        wanted = path.empty() ? "" : path + "@" + std::to_string(rate_hz);
        for (const Clip& clip : project_.results)
            if (clip.path == path) bars = clip.bars;
    }
    if (wanted != loaded_) {
        loaded_ = wanted;  // also when it fails: one error, not a hundred a second
        loader_.reset();
        audio_.preview().publish(nullptr);
        {
            const std::lock_guard lock(mutex_);
            view_.waveform.clear();
            ++revision_;
        }
        if (wanted.empty()) return;
        loader_ = std::make_unique<PreviewLoader>(path_of(path), bars > 0.0 ? bars : 1.0, rate_hz);
        loader_->step();
        audio_.preview().publish(loader_->take_clip());
    } else if (loader_ && !loader_->done()) {
        loader_->step();
    } else {
        return;
    }
    const std::lock_guard lock(mutex_);
    view_.waveform = loader_->waveform();
    view_.waveform_bars = bars;
    view_.waveform_frames = loader_->frames();
    ++revision_;
}

// One a round, the newest first: a song may come with two hundred.
void Bridge::sketch_a_result() {
    std::string path;
    {
        const std::lock_guard lock(mutex_);
        const auto& results = project_.results;
        const auto next = std::find_if(results.rbegin(), results.rend(),
                                       [this](const Clip& clip) { return !view_.sketches.contains(clip.path); });
        if (next == results.rend()) return;
        path = next->path;
        if (view_.sketches.size() > 2 * kMaxResults) view_.sketches.clear();  // of songs that were loaded before
    }
    Sketch sketch{};
    try {
        sketch = sketch_of(path_of(path));
    } catch (const std::exception&) {  // moved or deleted: said when it is selected
    }
    const std::lock_guard lock(mutex_);
    view_.sketches[path] = sketch;
    ++revision_;
}

void Bridge::publish_view(const Link& link) {
    const std::lock_guard lock(mutex_);
    const auto same_job = [](const SentRequest& a, const SentRequest& b) {
        return a.id == b.id && a.state == b.state && a.stage == b.stage && a.fraction == b.fraction && a.eta_s == b.eta_s;
    };
    const bool jobs_changed = !std::equal(view_.jobs.begin(), view_.jobs.end(), link.jobs().begin(), link.jobs().end(), same_job);
    const bool changed = jobs_changed || view_.daemon != link.state() || view_.adapters != link.adapters() ||
                         view_.daemon_version != link.daemon_version() ||
                         view_.daemon_starting != (daemon_.running() && link.state() == DaemonState::Searching) ||
                         view_.armed_bars != desk_.armed_bars() || view_.recorded_bars != desk_.bars_recorded() ||
                         view_.has_host_time != has_host_time_ || view_.host.bpm != host_.bpm ||
                         view_.host.numerator != host_.numerator || view_.host.denominator != host_.denominator;
    if (jobs_changed) view_.jobs = link.jobs();
    view_.daemon = link.state();
    view_.daemon_version = link.daemon_version();
    view_.adapters = link.adapters();
    view_.daemon_port = daemon_osc_port();
    view_.daemon_starting = daemon_.running() && link.state() == DaemonState::Searching;
    view_.armed_bars = desk_.armed_bars();
    view_.recorded_bars = desk_.bars_recorded();
    view_.host = host_;
    view_.has_host_time = has_host_time_;
    if (changed) ++revision_;
}

}  // namespace acestep

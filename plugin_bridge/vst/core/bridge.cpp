#include "bridge.hpp"

#include <algorithm>
#include <stdexcept>

#include "paths.hpp"

namespace acestep {
Bridge::Bridge() {
    project_.instance = random_instance();
    view_.daemon_port = daemon_osc_port();
}

Bridge::~Bridge() {
    quit_ = true;
    if (worker_.joinable()) worker_.join();
}

void Bridge::activate(double sample_rate_hz) {
    if (!ring_ || sample_rate_hz != sample_rate_hz_) {
        ring_ = std::make_shared<CaptureRing>(sample_rate_hz);
        sample_rate_hz_ = sample_rate_hz;
    }
    audio_.restart();
    {
        const std::lock_guard lock(mutex_);
        worker_ring_ = ring_;
        worker_rate_hz_ = sample_rate_hz;
    }
    open();
}

void Bridge::open() {
    const std::lock_guard lock(open_mutex_);
    if (!worker_.joinable()) worker_ = std::thread([this] { work(); });
}

void Bridge::process(const float* const* in, float* const* out, std::uint32_t frames, const HostTime& time, int notes) noexcept {
    if (ring_) audio_.process(in, out, frames, time, notes, *ring_, sample_rate_hz_, parameters);
}

std::string Bridge::save() const {
    const std::lock_guard lock(mutex_);
    return encode_project(project_);
}

void Bridge::load(const std::string& text) {
    edit([&text](Project& project) {
        const std::string instance = project.instance;
        project = decode_project(text);
        if (project.instance.empty()) project.instance = instance;
    });
}

View Bridge::view() const {
    const std::lock_guard lock(mutex_);
    View view = view_;
    view.project = project_;
    return view;
}

void Bridge::edit(const std::function<void(Project&)>& change) {
    const std::lock_guard lock(mutex_);
    change(project_);
    ++revision_;
}

void Bridge::post(Command command) {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
}

void Bridge::show_error(const std::string& text) {
    const std::lock_guard lock(mutex_);
    view_.error = text;
    ++revision_;
}

void Bridge::set_prompt(const std::string& text) {
    edit([&](Project& project) { project.prompt = clean_text(text, kMaxPromptBytes); });
}
void Bridge::set_adapter(const std::string& name, double scale) {
    edit([&](Project& project) {
        project.adapter = clean_text(name, kMaxAdapterBytes);
        project.adapter_scale = at_most(scale, kMaxAdapterScale);
    });
}
void Bridge::set_parts(const std::string& text) {
    edit([&](Project& project) { project.parts = clean_text(text, kMaxPartsBytes); });
}
void Bridge::set_midi(bool on) {
    edit([on](Project& project) { project.midi = on; });
}
void Bridge::make_anew(const std::string& path) {
    post([this, path] { anew_.push_back(path); });
}
void Bridge::generate() {
    post([this] { ++asked_; });
}
void Bridge::cancel() {
    post([this] { cancel_asked_ = true; });
}
void Bridge::look_for_adapters() {
    post([this] { adapters_asked_ = true; });
}
void Bridge::select(const std::string& path) {
    edit([&](Project& project) { project.selected = path; });
}
void Bridge::dismiss_error() { show_error(""); }
void Bridge::stop_capture() {
    post([this] { desk_.disarm(); });
}

void Bridge::capture_next(int bars, CaptureUse use) {
    post([this, bars, use] {
        const double bar_s = bar_quarters(host_.numerator, host_.denominator) * 60.0 / host_.bpm;
        if (plausible(host_) && bars * bar_s > kRingSeconds)
            throw std::runtime_error(std::to_string(bars) +
                                     " bars at this tempo are longer than the minute that is kept: capture at most " +
                                     std::to_string(static_cast<int>(kRingSeconds / bar_s)));
        desk_.arm(bars, use);
    });
}

void Bridge::capture_last(int bars, CaptureUse use) {
    post([this, bars, use] {
        if (!seen_ring_) throw std::runtime_error("the host has not run this plugin's audio yet: play the song first");
        finish_capture(desk_.last(bars, seen_ring_->position(), seen_ring_->capacity()), use);
    });
}

void Bridge::clear_capture(CaptureUse use) {
    edit([use](Project& project) { (use == CaptureUse::Reference ? project.reference : project.context).clear(); });
}

void Bridge::star(const std::string& path, bool starred) {
    edit([&](Project& project) {
        for (Clip& clip : project.results)
            if (clip.path == path) clip.starred = starred;
    });
}

void Bridge::remove_result(const std::string& path) {
    edit([&path](Project& project) {
        std::erase_if(project.results, [&path](const Clip& clip) { return clip.path == path; });
        if (project.selected == path) project.selected.clear();
    });
}

void Bridge::reveal(const std::string& path) {
    post([path] { show_in_folder(path_of(path)); });
}

void Bridge::start_daemon() {
    post([this] {
        if (!daemon_.running()) daemon_.start(daemon_command());
    });
}

}  // namespace acestep

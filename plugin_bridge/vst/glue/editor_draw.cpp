#include <algorithm>
#include <cmath>
#include <filesystem>

#include "editor.hpp"

START_NAMESPACE_DISTRHO

using acestep::Canvas;
using acestep::CaptureUse;
using acestep::Clip;
using acestep::DaemonState;
using acestep::Rect;
using acestep::SentRequest;
namespace theme = acestep::theme;

namespace {

constexpr double kMargin = 10.0, kRowHeight = 36.0;

std::string number(double value, int decimals) {
    char text[48];
    std::snprintf(text, sizeof(text), "%.*f", decimals, value);
    std::string out(text);
    std::replace(out.begin(), out.end(), ',', '.');
    while (decimals > 0 && out.back() == '0') out.pop_back();
    if (out.back() == '.') out.pop_back();
    return out;
}

std::string describe(const Clip& clip) {
    std::string out = number(clip.bpm, 2) + " BPM";
    if (!clip.signature.empty()) out += " · " + clip.signature;
    if (!clip.key.empty()) out += " · " + clip.key;
    out += " · " + number(clip.bars, 2) + (clip.bars == 1.0 ? " bar" : " bars");
    if (clip.tempo_error_pct < 0) return out;  // not measured
    return out + " · tempo off by " + number(clip.tempo_error_pct, 2) + " %";
}

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

}  // namespace

void Editor::draw(Canvas& canvas, double width, double height) {
    canvas.fill({0, 0, width, height}, theme::background);
    const double inner = width - 2 * kMargin;
    draw_header(canvas, {kMargin, 6, inner, 28});
    draw_prompt(canvas, {kMargin, 42, inner, 32});
    draw_settings(canvas, {kMargin, 82, inner, 40});
    draw_captures(canvas, {kMargin, 132, inner, 52});
    draw_job(canvas, {kMargin, 192, inner, 24});
    double top = 224;
    if (!view_.error.empty()) {
        draw_error(canvas, {kMargin, top, inner, 62});
        top += 70;
    }
    const double left = std::floor(inner * 0.46);
    draw_results(canvas, {kMargin, top, left, height - top - kMargin});
    draw_clip(canvas, {2 * kMargin + left, top, inner - left - kMargin, height - top - kMargin});
}

void Editor::draw_header(Canvas& canvas, const Rect& area) {
    const double middle = area.y + area.h / 2;
    double x = area.x + canvas.text(area.x, middle, 200, "ACE-Step Bridge", theme::text, 15, true) + 16;
    if (view_.has_host_time && acestep::plausible(view_.host)) {
        std::string song = number(view_.host.bpm, 2) + " BPM · " + std::to_string(view_.host.numerator) + "/" +
                           std::to_string(view_.host.denominator);
        const auto& audio = bridge().audio();
        song += audio.playing() ? " · bar " + std::to_string(audio.bar() + 1) : " · stopped";
        canvas.text(x, middle, 230, song, theme::dim);
    } else {
        canvas.text(x, middle, 230, view_.has_host_time ? "the host gives no bars: 120 BPM, 4/4" : "waiting for the host's audio",
                    theme::dim);
    }
    draw_daemon(canvas, {area.x + area.w - 330, area.y, 330, area.h});
}

void Editor::draw_daemon(Canvas& canvas, const Rect& area) {
    std::string text = "no daemon on port " + std::to_string(view_.daemon_port);
    acestep::Color color = theme::bad;
    if (view_.daemon == DaemonState::Connected) text = "daemon " + view_.daemon_version, color = theme::good;
    if (view_.daemon == DaemonState::WrongVersion)
        text = "daemon " + view_.daemon_version + " does not fit this plugin: update the older one";
    if (view_.daemon_starting) text = "the daemon is starting …", color = theme::warm;
    const bool offer = view_.daemon == DaemonState::Searching && !view_.daemon_starting;
    const double right = area.x + area.w, room = area.w - (offer ? 118.0 : 0.0) - 16;
    const double width = std::min(canvas.measure(text), room);
    const double x = right - (offer ? 118.0 : 0.0) - width;
    canvas.fill({x - 14, area.y + area.h / 2 - 4, 8, 8}, color, 4);
    canvas.text(x, area.y + area.h / 2, room, text, color);
    if (offer) canvas.button({right - 108, area.y + 2, 108, area.h - 4}, "Start daemon", [this] { bridge().start_daemon(); });
}

void Editor::draw_prompt(Canvas& canvas, const Rect& area) {
    const bool busy = std::any_of(view_.jobs.begin(), view_.jobs.end(), [](const SentRequest& job) { return job.open(); });
    const double buttons = busy ? 192.0 : 112.0;
    canvas.text_field({area.x, area.y, area.w - buttons - 8, area.h}, prompt_, prompt_scroll_, focus_ == Field::Prompt,
                      "What should it sound like?  (dusty breakbeat with warm bass …)",
                      [this](std::size_t at, bool extend, int clicks) { place_cursor(Field::Prompt, at, extend, clicks); });
    const double x = area.x + area.w - buttons;
    canvas.button(
        {x, area.y, 112, area.h}, "Generate", [this] { bridge().generate(); }, {0.16, 0.42, 0.72}, !prompt_.text().empty());
    if (busy) canvas.button({x + 118, area.y, 74, area.h}, "Cancel", [this] { bridge().cancel(); });
}

void Editor::draw_settings(Canvas& canvas, const Rect& area) {
    const double unit = (area.w - 6 * 8) / 10.0;
    double x = area.x;
    const auto place = [&](double units) {
        const Rect box{x, area.y, unit * units, area.h};
        x += unit * units + 8;
        return box;
    };
    const auto whole = [this](ParameterId id) { return static_cast<int>(std::lround(values_[id])); };
    canvas.stepper(place(1), "Bars", std::to_string(whole(kBars)), [this](int n) { step_parameter(kBars, n, 1, kMaxBars); });
    canvas.stepper(place(1), "Takes", std::to_string(whole(kTakes)), [this](int n) { step_parameter(kTakes, n, 1, kMaxTakes); });
    canvas.stepper(place(1.6), "Key", whole(kKey) == 0 ? "any" : acestep::key_name(whole(kKey)), [this](int n) {
        const int keys = acestep::kKeyCount;
        set_parameter(kKey, (static_cast<int>(std::lround(values_[kKey])) + n + keys) % keys);
    });
    canvas.stepper(place(1.4), "Seed", whole(kSeed) == 0 ? "new" : std::to_string(whole(kSeed)),
                   [this](int n) { step_parameter(kSeed, n, 0, kMaxSeed); });
    canvas.slider(place(1.5), "Strength", values_[kStrength], [this](double value) { set_parameter(kStrength, value); });
    const Rect adapter = place(2.5);
    canvas.text(adapter.x, adapter.y + 7, adapter.w, "Adapter (LoRA)", theme::dim, 11);
    canvas.text_field({adapter.x, adapter.y + 16, adapter.w, adapter.h - 16}, adapter_, adapter_scroll_, focus_ == Field::Adapter,
                      "none",
                      [this](std::size_t at, bool extend, int clicks) { place_cursor(Field::Adapter, at, extend, clicks); });
    canvas.stepper(place(1), "Scale", number(view_.project.adapter_scale, 2), [this](int n) {
        bridge().set_adapter(view_.project.adapter, std::round((view_.project.adapter_scale + 0.05 * n) * 100.0) / 100.0);
    });
}

void Editor::draw_captures(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::panel, 4);
    canvas.stepper({area.x + 8, area.y + 5, 84, 40}, "Capture bars", std::to_string(std::lround(values_[kCaptureBars])),
                   [this](int n) { step_parameter(kCaptureBars, n, 1, kMaxBars); });
    const double width = (area.w - 116) / 2;
    draw_capture_use(canvas, {area.x + 104, area.y + 4, width - 8, area.h - 8}, CaptureUse::Reference);
    draw_capture_use(canvas, {area.x + 104 + width, area.y + 4, width - 8, area.h - 8}, CaptureUse::Context);
}

void Editor::draw_capture_use(Canvas& canvas, const Rect& area, CaptureUse use) {
    const bool reference = use == CaptureUse::Reference;
    const std::string& path = reference ? view_.project.reference : view_.project.context;
    canvas.text(area.x, area.y + 8, 64, reference ? "Reference" : "Context", theme::dim, 11);
    canvas.text(area.x + 66, area.y + 8, area.w - 90,
                path.empty() ? (reference ? "none: sound like the prompt" : "none: fit the prompt") : file_name(path),
                path.empty() ? theme::dim : theme::text, 11);
    if (!path.empty()) canvas.button({area.x + area.w - 20, area.y, 18, 16}, "×", [this, use] { bridge().clear_capture(use); });
    const double half = (area.w - 6) / 2;
    const int bars = static_cast<int>(std::lround(values_[kCaptureBars]));
    const std::string count = std::to_string(bars) + (bars == 1 ? " bar" : " bars");
    canvas.button({area.x, area.y + 19, half, 24}, "Take last " + count, [this, bars, use] { bridge().capture_last(bars, use); });
    const Rect record{area.x + half + 6, area.y + 19, half, 24};
    if (view_.armed_bars > 0)
        canvas.button(record,
                      "Recording " + std::to_string(view_.recorded_bars) + "/" + std::to_string(view_.armed_bars) + " – stop",
                      [this] { bridge().stop_capture(); }, {0.55, 0.22, 0.20});
    else canvas.button(record, "Record next " + count, [this, bars, use] { bridge().capture_next(bars, use); });
}

void Editor::draw_job(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::field, 3);
    const auto open = std::find_if(view_.jobs.begin(), view_.jobs.end(), [](const SentRequest& job) { return job.open(); });
    const double middle = area.y + area.h / 2;
    if (open == view_.jobs.end()) {
        const std::string last =
            view_.jobs.empty() ? "ready"
            : view_.jobs.back().state == SentRequest::State::Done
                ? "done: " + std::to_string(view_.jobs.back().clips) + (view_.jobs.back().clips == 1 ? " clip" : " clips")
            : view_.jobs.back().state == SentRequest::State::Cancelled ? "cancelled"
                                                                       : "failed";
        canvas.text(area.x + 8, middle, area.w - 16, last, theme::dim);
        return;
    }
    canvas.fill({area.x, area.y, area.w * open->fraction, area.h}, theme::chosen, 3);
    const auto waiting =
        std::count_if(view_.jobs.begin(), view_.jobs.end(), [](const SentRequest& job) { return job.open(); }) - 1;
    std::string text = open->stage.empty() ? "asked" : open->stage;
    text += "  " + std::to_string(static_cast<int>(std::lround(open->fraction * 100))) + " %";
    if (open->eta_s > 0) text += "  about " + number(open->eta_s, open->eta_s < 10 ? 1 : 0) + " s left";
    if (waiting > 0) text += "  (" + std::to_string(waiting) + " more waiting)";
    canvas.text(area.x + 8, middle, area.w - 16, text, theme::text);
}

void Editor::draw_error(Canvas& canvas, const Rect& area) {
    canvas.fill(area, {0.26, 0.15, 0.15}, 4);
    canvas.paragraph(area.x + 10, area.y + 13, area.w - 90, view_.error, theme::text, 3);
    canvas.button({area.x + area.w - 72, area.y + 6, 64, 22}, "Copy", [this] { copy_to_clipboard(view_.error); });
    canvas.button({area.x + area.w - 72, area.y + 34, 64, 22}, "Dismiss", [this] { bridge().dismiss_error(); });
}

void Editor::draw_results(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::panel, 4);
    const auto& results = view_.project.results;
    const int count = static_cast<int>(results.size()), fit = std::max(1, static_cast<int>((area.h - 30) / kRowHeight));
    list_scroll_ = std::clamp(list_scroll_, 0, std::max(0, count - fit));
    canvas.text(area.x + 8, area.y + 13, area.w - 16,
                count == 0 ? "Results appear here, newest first" : std::to_string(count) + (count == 1 ? " result" : " results"),
                theme::dim, 11);
    canvas.hit({area, {}, {}, [this](int steps) {
                    list_scroll_ -= steps;
                    repaint();
                }});
    for (int row = 0; row < fit && row + list_scroll_ < count; ++row) {
        const Clip& clip = results[static_cast<std::size_t>(count - 1 - row - list_scroll_)];
        draw_result(canvas, {area.x + 4, area.y + 26 + row * kRowHeight, area.w - 8, kRowHeight - 2}, clip);
    }
}

void Editor::draw_result(Canvas& canvas, const Rect& area, const Clip& clip) {
    canvas.fill(area, clip.path == view_.project.selected ? theme::chosen : theme::button, 3);
    canvas.text(area.x + 8, area.y + 10, area.w - 16, clip.prompt.empty() ? file_name(clip.path) : clip.prompt, theme::text);
    canvas.text(area.x + 8, area.y + 25, area.w - 16, describe(clip), theme::dim, 11);
    canvas.hit({area,
                [this, path = clip.path](double, double, int clicks) {
                    bridge().select(path);
                    if (clicks == 2) set_parameter(kPreview, 1.0);
                },
                [this, path = clip.path](double x, double y) { maybe_drag(path, x, y); },
                {}});
}

void Editor::draw_clip(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::panel, 4);
    const Clip* clip = selected();
    if (!clip) {
        canvas.text(area.x + 10, area.y + 20, area.w - 20, "Select a result to listen to it and to drag it into the song",
                    theme::dim);
        return;
    }
    canvas.text(area.x + 10, area.y + 13, area.w - 20, file_name(clip->path), theme::text, 12);
    draw_waveform(canvas, {area.x + 10, area.y + 26, area.w - 20, std::max(30.0, area.h - 122)}, *clip);
    const double y = area.y + area.h - 86;
    const bool foreign = view_.has_host_time && acestep::plausible(view_.host) && std::fabs(view_.host.bpm - clip->bpm) > 0.02;
    canvas.text(area.x + 10, y, area.w - 20,
                foreign ? "made for " + number(clip->bpm, 2) + " BPM, the song is at " + number(view_.host.bpm, 2)
                        : "drag the waveform into the song",
                foreign ? theme::warm : theme::dim, 11);
    const bool on = values_[kPreview] > 0.5f;
    const double button = (area.w - 20 - 12) / 3.0;
    canvas.button(
        {area.x + 10, y + 52, button, 26}, on ? "Stop" : "Listen in time",
        [this, on] { set_parameter(kPreview, on ? 0.0 : 1.0); }, on ? acestep::Color{0.20, 0.45, 0.28} : theme::button);
    canvas.button({area.x + 16 + button, y + 52, button, 26}, "Show in folder",
                  [this, path = clip->path] { bridge().reveal(path); });
    canvas.button({area.x + 22 + 2 * button, y + 52, button, 26}, "Remove from list",
                  [this, path = clip->path] { bridge().remove_result(path); });
    canvas.slider({area.x + 10, y + 8, area.w - 20, 36}, "Preview level", values_[kLevel],
                  [this](double value) { set_parameter(kLevel, value); });
}

void Editor::draw_waveform(Canvas& canvas, const Rect& area, const Clip& clip) {
    canvas.fill(area, theme::field);
    const double middle = area.y + area.h / 2, half = area.h / 2 - 3;
    const int bars = static_cast<int>(std::ceil(clip.bars));
    for (int bar = 1; bar < bars && bars <= 256; ++bar) {
        const double x = std::floor(area.x + area.w * bar / clip.bars) + 0.5;
        canvas.line(x, area.y, x, area.y + area.h, theme::line, bar % 4 == 0 ? 2 : 1);
    }
    const auto& columns = view_.waveform;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const double x = area.x + area.w * static_cast<double>(i) / static_cast<double>(columns.size());
        const double high = std::min(1.0f, columns[i].high) * half, low = std::max(-1.0f, columns[i].low) * half;
        canvas.line(x, middle - high - 0.5, x, middle - low + 0.5, theme::accent,
                    area.w / static_cast<double>(columns.size()) + 0.3);
    }
    const std::int64_t at = bridge().preview_position();
    if (at >= 0 && view_.waveform_frames > 0) {
        const double x = area.x + area.w * static_cast<double>(at) / static_cast<double>(view_.waveform_frames);
        canvas.line(x, area.y, x, area.y + area.h, theme::text, 1.5);
    }
    canvas.hit({area, [](double, double, int) {}, [this, path = clip.path](double x, double y) { maybe_drag(path, x, y); }, {}});
}

END_NAMESPACE_DISTRHO

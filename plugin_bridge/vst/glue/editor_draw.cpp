#include <algorithm>
#include <cmath>

#include "editor.hpp"
#include "paths.hpp"

START_NAMESPACE_DISTRHO

using acestep::Canvas;
using acestep::CaptureUse;
using acestep::Clip;
using acestep::DaemonState;
using acestep::Rect;
using acestep::SentRequest;
namespace theme = acestep::theme;
namespace type = acestep::type;

namespace {

constexpr double kMargin = 14.0, kGap = 8.0, kRadius = 6.0, kRowHeight = 44.0, kPad = 12.0;

std::string number(double value, int decimals) {
    char text[48];
    std::snprintf(text, sizeof(text), "%.*f", decimals, value);
    std::string out(text);
    std::replace(out.begin(), out.end(), ',', '.');
    while (decimals > 0 && out.back() == '0') out.pop_back();
    if (out.back() == '.') out.pop_back();
    return out;
}

std::string count_of(long count, const std::string& what) { return std::to_string(count) + " " + what + (count == 1 ? "" : "s"); }

// How far the beat may be from the grid at the clip's end, by its measured tempo; negative: not measured.
double drift_ms(const Clip& clip) {
    int over = 4, under = 4;
    if (clip.tempo_error_pct < 0 || clip.bpm <= 0) return -1.0;
    if (std::sscanf(clip.signature.c_str(), "%d/%d", &over, &under) != 2 || over < 1 || under < 1) over = under = 4;
    return clip.bars * over * 4.0 / under * 60000.0 / clip.bpm * clip.tempo_error_pct / 100.0;
}

std::string describe(const Clip& clip) {
    constexpr double kHeard_ms = 20.0;  // below that two attacks are one
    std::string out = number(clip.bpm, 2) + " BPM";
    if (!clip.signature.empty()) out += " · " + clip.signature;
    if (!clip.key.empty()) out += " · " + clip.key;
    out += " · " + number(clip.bars, 2) + (clip.bars == 1.0 ? " bar" : " bars");
    const double drift = drift_ms(clip);
    if (drift < 0) return out;
    const std::string far = number(drift, drift < 10 ? 1 : 0) + " ms";
    return out + (drift < kHeard_ms ? " · on the beat ± " + far : " · off the beat by " + far);
}

// For its line in the list, beside what is the same for all of a song.
std::string in_short(const Clip& clip) {
    return number(clip.bpm, 2) + " BPM · " + number(clip.bars, 2) + (clip.bars == 1.0 ? " bar" : " bars") +
           (clip.key.empty() ? "" : " · " + clip.key);
}

std::string file_name(const std::string& path) { return acestep::text_of(acestep::path_of(path).filename()); }

std::string title_of(const Clip& clip) { return clip.prompt.empty() ? file_name(clip.path) : clip.prompt; }

}  // namespace

void Editor::draw(Canvas& canvas, double width, double height) {
    canvas.fill({0, 0, width, height}, theme::background);
    const double inner = width - 2 * kMargin;
    draw_header(canvas, {kMargin, 10, inner, 28});
    draw_prompt(canvas, {kMargin, 48, inner, 38});
    draw_job(canvas, {kMargin, 90, inner, 20});
    draw_settings(canvas, {kMargin, 116, inner, 44});
    draw_captures(canvas, {kMargin, 172, inner, 60});
    double top = 242;
    if (!view_.error.empty()) {
        draw_error(canvas, {kMargin, top, inner, 62});
        top += 72;
    }
    const Rect rest{kMargin, top, inner, height - top - kMargin};
    if (view_.project.results.empty()) {
        draw_nothing_yet(canvas, rest);
        return;
    }
    const double left = std::floor(inner * 0.44);
    draw_results(canvas, {rest.x, rest.y, left, rest.h});
    draw_clip(canvas, {rest.x + left + kGap, rest.y, inner - left - kGap, rest.h});
}

void Editor::draw_header(Canvas& canvas, const Rect& area) {
    const double x = area.x + canvas.text(area.x, area.middle(), 200, "ACE-Step Bridge", theme::text, type::title) + 18;
    std::string song = view_.has_host_time ? "the host gives no bars: 120 BPM, 4/4" : "waiting for the host's audio";
    if (view_.has_host_time && acestep::plausible(view_.host)) {
        song = number(view_.host.bpm, 2) + " BPM · " + std::to_string(view_.host.numerator) + "/" +
               std::to_string(view_.host.denominator);
        const auto& audio = bridge().audio();
        song += audio.playing() ? " · bar " + std::to_string(audio.bar() + 1) : " · stopped";
    }
    const double daemon = std::max(200.0, area.w * 0.38);
    canvas.text(x, area.middle() + 1, area.right() - daemon - x, song, theme::dim, type::small);
    draw_daemon(canvas, {area.right() - daemon, area.y, daemon, area.h});
}

void Editor::draw_daemon(Canvas& canvas, const Rect& area) {
    std::string text = "no daemon on port " + std::to_string(view_.daemon_port);
    acestep::Color color = theme::bad;
    if (view_.daemon == DaemonState::Connected) text = "daemon " + view_.daemon_version, color = theme::accent;
    if (view_.daemon == DaemonState::WrongVersion)
        text = "daemon " + view_.daemon_version + " does not fit this plugin: update the older one";
    if (view_.daemon_starting) text = "the daemon is starting …", color = theme::dim;
    const bool offer = view_.daemon == DaemonState::Searching && !view_.daemon_starting;
    const double button = offer ? 118.0 : 0.0, room = area.w - button - 18;
    const double width = std::min(canvas.measure(text, type::small), room);
    const double x = area.right() - button - width;
    canvas.dot(x - 10, area.middle(), 4, color);
    canvas.text(x, area.middle(), room, text, view_.daemon == DaemonState::Connected ? theme::dim : theme::text, type::small);
    if (offer)
        canvas.button({area.right() - 108, area.y + 1, 108, area.h - 2}, "Start daemon", [this] { bridge().start_daemon(); });
}

void Editor::draw_prompt(Canvas& canvas, const Rect& area) {
    const bool busy = open_job() != nullptr;
    const double buttons = busy ? 120.0 + kGap + 76.0 : 120.0;
    canvas.text_field(
        {area.x, area.y, area.w - buttons - kGap, area.h}, prompt_, prompt_scroll_, focus_ == Field::Prompt,
        "What should it sound like?  (dusty breakbeat with warm bass …)",
        [this](std::size_t at, bool extend, int clicks) { place_cursor(Field::Prompt, at, extend, clicks); }, type::lead);
    const double x = area.right() - buttons;
    canvas.button(
        {x, area.y, 120, area.h}, "Generate", [this] { bridge().generate(); }, acestep::Look::Primary, !prompt_.text().empty());
    if (busy) canvas.button({x + 120 + kGap, area.y, 76, area.h}, "Cancel", [this] { bridge().cancel(); });
}

void Editor::draw_settings(Canvas& canvas, const Rect& area) {
    const double unit = (area.w - 6 * kGap) / 10.0;
    double x = area.x;
    const auto place = [&](double units) {
        const Rect box{x, area.y, unit * units, area.h};
        x += unit * units + kGap;
        return box;
    };
    const auto whole = [this](ParameterId id) { return static_cast<int>(std::lround(values_[id])); };
    canvas.stepper(place(1), "Bars", std::to_string(whole(kBars)), [this](int n) { step_parameter(kBars, n, 1, kMaxBars); });
    canvas.stepper(place(1), "Takes", std::to_string(whole(kTakes)), [this](int n) { step_parameter(kTakes, n, 1, kMaxTakes); });
    canvas.stepper(place(1.6), "Key", whole(kKey) == 0 ? "any" : acestep::key_name(whole(kKey)), [this](int n) {
        const int keys = acestep::kKeyCount;
        set_parameter(kKey, (static_cast<int>(std::lround(values_[kKey])) + n + keys) % keys);
    });
    draw_seed(canvas, place(1.4));
    canvas.slider(place(1.5), "Strength", values_[kStrength], [this](double value) { set_parameter(kStrength, value); });
    const Rect adapter = place(2.5);
    canvas.text(adapter.x, adapter.y + 6, adapter.w, "Adapter (LoRA)", theme::dim, type::label);
    canvas.text_field({adapter.x, adapter.y + 17, adapter.w, adapter.h - 17}, adapter_, adapter_scroll_, focus_ == Field::Adapter,
                      "none",
                      [this](std::size_t at, bool extend, int clicks) { place_cursor(Field::Adapter, at, extend, clicks); });
    canvas.stepper(place(1), "Scale", number(view_.project.adapter_scale, 2), [this](int n) {
        bridge().set_adapter(view_.project.adapter, std::round((view_.project.adapter_scale + 0.05 * n) * 100.0) / 100.0);
    });
}

void Editor::draw_seed(Canvas& canvas, const Rect& area) {
    const long seed = std::lround(values_[kSeed]);
    const std::string text = seed == 0 ? "" : std::to_string(seed);
    if (focus_ != Field::Seed && seed_.text() != text) seed_.set_text(text);
    const Rect box{area.x, area.y + 17, area.w, area.h - 17};
    canvas.text(area.x, area.y + 6, area.w, "Seed", theme::dim, type::label);
    canvas.text_field(box, seed_, seed_scroll_, focus_ == Field::Seed, "a new one",
                      [this](std::size_t at, bool extend, int clicks) { place_cursor(Field::Seed, at, extend, clicks); });
    canvas.hit({box, {}, {}, [this](int steps) { step_parameter(kSeed, steps, 0, kMaxSeed); }});
}

void Editor::draw_captures(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::panel, kRadius);
    canvas.stepper({area.x + kPad, area.y + 7, 84, 44}, "Capture bars", std::to_string(std::lround(values_[kCaptureBars])),
                   [this](int n) { step_parameter(kCaptureBars, n, 1, kMaxBars); });
    const double left = area.x + kPad + 84 + 16, width = (area.right() - kPad - left - 16) / 2;
    draw_capture_use(canvas, {left, area.y + 7, width, area.h - 14}, CaptureUse::Reference);
    draw_capture_use(canvas, {left + width + 16, area.y + 7, width, area.h - 14}, CaptureUse::Context);
}

void Editor::draw_capture_use(Canvas& canvas, const Rect& area, CaptureUse use) {
    const bool reference = use == CaptureUse::Reference;
    const std::string& path = reference ? view_.project.reference : view_.project.context;
    const double name = canvas.text(area.x, area.y + 6, 80, reference ? "Reference" : "Context", theme::dim, type::label) + 8;
    canvas.text(area.x + name, area.y + 6, area.w - name - 22,
                path.empty() ? (reference ? "none: sound like the prompt" : "none: fit the prompt") : file_name(path),
                path.empty() ? theme::faint : theme::text, type::label);
    if (!path.empty()) canvas.button({area.right() - 18, area.y - 3, 18, 18}, "×", [this, use] { bridge().clear_capture(use); });
    const double half = (area.w - kGap) / 2;
    const int bars = static_cast<int>(std::lround(values_[kCaptureBars]));
    const std::string count = count_of(bars, "bar");
    canvas.button({area.x, area.y + 19, half, 25}, "Take last " + count, [this, bars, use] { bridge().capture_last(bars, use); });
    const Rect record{area.x + half + kGap, area.y + 19, half, 25};
    if (view_.armed_bars > 0)
        canvas.button(
            record, "Stop at " + std::to_string(view_.recorded_bars) + "/" + std::to_string(view_.armed_bars),
            [this] { bridge().stop_capture(); }, acestep::Look::Danger);
    else canvas.button(record, "Record next " + count, [this, bars, use] { bridge().capture_next(bars, use); });
}

void Editor::draw_job(Canvas& canvas, const Rect& area) {
    const Rect bar{area.x, area.bottom() - 3, area.w, 3};
    const SentRequest* open = open_job();
    const double middle = area.y + 7;
    if (!open) {
        if (view_.jobs.empty()) return;
        const SentRequest& last = view_.jobs.back();
        const std::string text = last.state == SentRequest::State::Done        ? "done: " + count_of(last.clips, "clip")
                                 : last.state == SentRequest::State::Cancelled ? "cancelled"
                                                                               : "failed";
        canvas.text(area.x, middle, area.w, text, theme::dim, type::small);
        return;
    }
    canvas.fill(bar, theme::raised, 1.5);
    canvas.fill({bar.x, bar.y, bar.w * progress_.value(), bar.h}, theme::accent, 1.5);
    const auto waiting =
        std::count_if(view_.jobs.begin(), view_.jobs.end(), [](const SentRequest& job) { return job.open(); }) - 1;
    // a cascade's stages are named by letters (L, M, S)
    std::string text = open->stage.empty() ? "asked" : open->stage.size() == 1 ? "stage " + open->stage : open->stage;
    text += " · " + std::to_string(static_cast<int>(std::lround(open->fraction * 100))) + " %";
    if (open->eta_s > 0) text += " · about " + number(open->eta_s, open->eta_s < 10 ? 1 : 0) + " s left";
    if (waiting > 0) text += " · " + std::to_string(waiting) + " more waiting";
    canvas.text(area.x, middle, area.w, text, theme::text, type::small);
}

void Editor::draw_error(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::bad_panel, kRadius);
    canvas.fill({area.x, area.y, 3, area.h}, theme::bad, 1.5);
    canvas.paragraph(area.x + kPad, area.y + 14, area.w - 110, view_.error, theme::text, 3);
    canvas.button({area.right() - 80, area.y + 7, 72, 22}, "Copy", [this] { copy_to_clipboard(view_.error); });
    canvas.button({area.right() - 80, area.y + 33, 72, 22}, "Dismiss", [this] { bridge().dismiss_error(); });
}

void Editor::draw_nothing_yet(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::panel, kRadius);
    const double width = std::min(540.0, area.w - 40), x = area.x + (area.w - width) / 2, middle = area.middle();
    constexpr int kBars = 31;  // a picture of sound, still
    for (int i = 0; i < kBars; ++i) {
        const double from_center = (i - kBars / 2) / (kBars / 2.0);
        const double height = 4 + 40 * std::exp(-3.0 * from_center * from_center) * (0.45 + 0.55 * std::fabs(std::sin(1.7 * i)));
        const double alpha = 0.25 + 0.55 * std::exp(-4.0 * from_center * from_center);
        canvas.fill({area.x + area.w / 2 + (i - kBars / 2) * 8.0 - 1.5, middle - 42 - height / 2, 3, height},
                    {theme::accent.r, theme::accent.g, theme::accent.b, alpha}, 1.5);
    }
    const bool ready = view_.daemon == DaemonState::Connected, busy = open_job() != nullptr;
    const char* const lead = busy    ? "The first clip is on its way"
                             : ready ? "Describe a sound, then press Generate"
                                     : "No daemon answers yet";
    const char* const more = busy ? "It comes in the song's tempo and signature. You can play on meanwhile."
                             : ready
                                 ? "Clips come in the song's tempo and signature. Listen in time, then drag them onto a track."
                                 : "The daemon makes the clips. Start it with the button above, or with: acestep serve";
    canvas.text(x, middle + 14, width, lead, theme::text, type::lead, acestep::Align::Center);
    canvas.paragraph(x, middle + 38, width, more, theme::dim, 2, type::small, acestep::Align::Center);
}

void Editor::draw_results(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::panel, kRadius);
    const auto& results = view_.project.results;
    const int count = static_cast<int>(results.size());
    const int fit = std::max(1, static_cast<int>((area.h - 32) / kRowHeight));
    list_scroll_ = std::clamp(list_scroll_, 0, std::max(0, count - fit));
    canvas.text(area.x + kPad, area.y + 15, area.w - 2 * kPad, count_of(count, "result") + ", newest first", theme::dim,
                type::label);
    canvas.hit({area, {}, {}, [this](int steps) {
                    list_scroll_ -= steps;
                    repaint();
                }});
    for (int row = 0; row < fit && row + list_scroll_ < count; ++row) {
        const Clip& clip = results[static_cast<std::size_t>(count - 1 - row - list_scroll_)];
        draw_result(canvas, {area.x + 6, area.y + 28 + row * kRowHeight, area.w - 12, kRowHeight - 3}, clip);
    }
    if (count > fit) {
        const Rect track{area.right() - 4, area.y + 28, 2, fit * kRowHeight - 3};
        canvas.fill({track.x, track.y + track.h * list_scroll_ / count, track.w, track.h * fit / count}, theme::line, 1);
    }
}

// "take 2 · " where one request made several.
std::string Editor::take_of(const Clip& clip) const {
    int before = 0, all = 0;
    for (const Clip& other : view_.project.results) {
        if (other.job.empty() || other.job != clip.job) continue;
        ++all;
        if (&other <= &clip) ++before;
    }
    return all > 1 ? "take " + std::to_string(before) + " · " : "";
}

void Editor::draw_result(Canvas& canvas, const Rect& area, const Clip& clip) {
    const bool chosen = clip.path == view_.project.selected;
    if (chosen || canvas.hovers(area)) canvas.fill(area, chosen ? theme::chosen : theme::raised, kRadius);
    if (chosen) canvas.fill({area.x, area.y + 8, 3, area.h - 16}, theme::accent, 1.5);
    constexpr double kSketchWidth = 78.0, kStarWidth = 34.0;
    const double width = area.w - 10 - kSketchWidth - 12 - kStarWidth;
    canvas.text(area.x + 10, area.y + 13, width, title_of(clip), theme::text);
    canvas.text(area.x + 10, area.y + 30, width, take_of(clip) + in_short(clip), theme::dim, type::label);
    const auto sketch = view_.sketches.find(clip.path);
    if (sketch != view_.sketches.end())
        canvas.sketch({area.right() - kStarWidth - kSketchWidth, area.y + 9, kSketchWidth, area.h - 18}, sketch->second,
                      chosen ? theme::accent : theme::faint);
    canvas.hit({area,
                [this, path = clip.path](double, double, int clicks) {
                    bridge().select(path);
                    if (clicks == 2) set_parameter(kPreview, 1.0);
                },
                [this, path = clip.path](double x, double y) { maybe_drag(path, x, y); },
                {}});
    draw_star(canvas, {area.right() - 30, area.y, 30, area.h}, clip);
}

void Editor::draw_star(Canvas& canvas, const Rect& area, const Clip& clip) {
    const bool lit = clip.starred || canvas.hovers(area);
    canvas.star(area.x + area.w / 2, area.middle(), 7, clip.starred, lit ? theme::accent : theme::faint);
    canvas.hit({area,
                [this, path = clip.path, starred = clip.starred](double, double, int) {
                    bridge().star(path, !starred);
                    repaint();
                },
                {},
                {}});
}

void Editor::draw_clip(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::panel, kRadius);
    const Clip* clip = selected();
    if (!clip) {
        canvas.text(area.x + kPad, area.middle(), area.w - 2 * kPad, "Select a result to listen to it", theme::dim, type::body,
                    acestep::Align::Center);
        return;
    }
    const double inner = area.w - 2 * kPad;
    canvas.text(area.x + kPad, area.y + 18, inner - 34, title_of(*clip), theme::text, type::lead);
    canvas.text(area.x + kPad, area.y + 37, inner - 34, take_of(*clip) + describe(*clip), theme::dim, type::label);
    draw_star(canvas, {area.right() - 40, area.y + 8, 34, 34}, *clip);
    draw_waveform(canvas, {area.x + kPad, area.y + 50, inner, std::max(28.0, area.h - 50 - 88)}, *clip);
    const bool foreign = view_.has_host_time && acestep::plausible(view_.host) && std::fabs(view_.host.bpm - clip->bpm) > 0.02;
    const double hint = canvas.text(area.x + kPad, area.bottom() - 76, inner, "drag it into the song", theme::dim, type::label,
                                    acestep::Align::Right);
    canvas.text(area.x + kPad, area.bottom() - 76, inner - hint - 16,
                foreign ? "made for " + number(clip->bpm, 2) + " BPM, the song is at " + number(view_.host.bpm, 2)
                        : file_name(clip->path),
                foreign ? theme::text : theme::faint, type::label);
    canvas.slider({area.x + kPad, area.bottom() - 64, inner, 22}, "Preview level", values_[kLevel],
                  [this](double value) { set_parameter(kLevel, value); });
    draw_clip_buttons(canvas, {area.x + kPad, area.bottom() - kPad - 24, inner, 26}, *clip);
}

void Editor::draw_clip_buttons(Canvas& canvas, const Rect& area, const Clip& clip) {
    const bool on = values_[kPreview] > 0.5f;
    const double button = (area.w - 2 * kGap) / 3.0;
    canvas.button(
        {area.x, area.y, button, area.h}, on ? "Stop" : "Listen in time", [this, on] { set_parameter(kPreview, on ? 0.0 : 1.0); },
        on ? acestep::Look::Quiet : acestep::Look::Primary);
    canvas.button({area.x + button + kGap, area.y, button, area.h}, "Show in folder",
                  [this, path = clip.path] { bridge().reveal(path); });
    canvas.button({area.x + 2 * (button + kGap), area.y, button, area.h}, "Remove from list",
                  [this, path = clip.path] { bridge().remove_result(path); });
}

void Editor::draw_waveform(Canvas& canvas, const Rect& area, const Clip& clip) {
    canvas.fill(area, theme::field, 4);
    waveform_width_ = area.w;
    const int bars = static_cast<int>(std::ceil(clip.bars));
    for (int bar = 1; bar < bars && bars <= 256; ++bar) {
        const double x = area.x + area.w * bar / clip.bars;
        canvas.line(x, area.y, x, area.bottom(), bar % 4 == 0 ? theme::line : theme::raised);
    }
    const std::int64_t at = bridge().preview_position();
    const double played =
        at >= 0 && view_.waveform_frames > 0 ? static_cast<double>(at) / static_cast<double>(view_.waveform_frames) : 0.0;
    canvas.waveform({area.x, area.y + 4, area.w, area.h - 8}, view_.waveform, played);
    if (at >= 0) {
        const double x = area.x + area.w * std::min(1.0, played);
        canvas.line(x, area.y, x, area.bottom(), theme::text, 1.5);
    }
    if (canvas.hovers(area)) canvas.frame(area, theme::line, 4);
    canvas.hit({area, [](double, double, int) {}, [this, path = clip.path](double x, double y) { maybe_drag(path, x, y); }, {}});
}

END_NAMESPACE_DISTRHO

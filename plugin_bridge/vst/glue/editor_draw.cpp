#include <algorithm>
#include <cmath>

#include "editor.hpp"
#include "parts.hpp"
#include "wording.hpp"

START_NAMESPACE_DISTRHO

using acestep::Canvas;
using acestep::CaptureUse;
using acestep::Clip;
using acestep::DaemonState;
using acestep::Rect;
using acestep::SentRequest;
namespace theme = acestep::theme;
namespace type = acestep::type;
using namespace acestep::layout;
using namespace acestep::wording;

namespace {

constexpr double kMenuRow = 26.0;
// Parts that a click asks for; all others are typed.
constexpr const char* kCommonParts[] = {"drums", "bass", "chords", "lead", "pad", "arp"};

}  // namespace

void Editor::draw(Canvas& canvas, double width, double height) {
    canvas.fill({0, 0, width, height}, theme::background);
    canvas.cover(adapters_open_);
    const double inner = width - 2 * kMargin;
    draw_header(canvas, {kMargin, 10, inner, 28});
    draw_prompt(canvas, {kMargin, 48, inner, 38});
    draw_job(canvas, {kMargin, 90, inner, 20});
    draw_settings(canvas, {kMargin, 116, inner, 44});
    draw_parts(canvas, {kMargin, 166, inner, 44});
    draw_captures(canvas, {kMargin, 222, inner, 60});
    double top = 292;
    if (!view_.error.empty()) {
        draw_error(canvas, {kMargin, top, inner, 62});
        top += 72;
    }
    const Rect rest{kMargin, top, inner, height - top - kMargin};
    if (view_.project.results.empty()) {
        draw_nothing_yet(canvas, rest);
    } else {
        const double left = std::floor(inner * 0.44);
        draw_results(canvas, {rest.x, rest.y, left, rest.h});
        draw_clip(canvas, {rest.x + left + kGap, rest.y, inner - left - kGap, rest.h});
    }
    if (adapters_open_) draw_adapters(canvas, {0, 0, width, height});
}

void Editor::draw_header(Canvas& canvas, const Rect& area) {
    static constexpr double levels[] = {0.35, 0.8, 1.0, 0.55, 0.25};  // the sign: a sound, as everything here
    for (int i = 0; i < 5; ++i)
        canvas.fill({area.x + 5.0 * i, area.middle() - 9 * levels[i], 3, 18 * levels[i]}, theme::accent, 1.5);
    const double name = area.x + 32;
    const double x = name + canvas.text(name, area.middle(), 220, "ACE-Step Bridge", theme::text, type::title) + 18;
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
    const bool idea = !view_.project.parts.empty();  // parts make one idea at a time
    canvas.stepper(place(1), "Takes", idea ? "1 idea" : std::to_string(whole(kTakes)), [this, idea](int n) {
        if (!idea) step_parameter(kTakes, n, 1, kMaxTakes);
    });
    canvas.stepper(place(1.6), "Key", whole(kKey) == 0 ? "any" : acestep::key_name(whole(kKey)), [this](int n) {
        const int keys = acestep::kKeyCount;
        set_parameter(kKey, (static_cast<int>(std::lround(values_[kKey])) + n + keys) % keys);
    });
    draw_seed(canvas, place(1.4));
    canvas.slider(place(1.5), "Strength", values_[kStrength], [this](double value) { set_parameter(kStrength, value); });
    adapter_box_ = place(2.5);
    const std::string& adapter = view_.project.adapter;
    const bool missing = adapter_is_missing();
    canvas.choice(adapter_box_, "Adapter (LoRA)", adapter.empty() ? "none" : adapter + (missing ? " – missing" : ""), missing,
                  [this] { open_adapters(); });
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

void Editor::draw_parts(Canvas& canvas, const Rect& area) {
    constexpr double kChip = 52.0, kMidi = 76.0;
    const double chips = std::size(kCommonParts) * (kChip + 4), field = area.w - chips - kGap - 8 - kMidi;
    const double top = area.y + 17, height = area.h - 17;
    canvas.text(area.x, area.y + 6, area.w, "Parts of an idea, a clip each", theme::dim, type::label);
    canvas.text_field({area.x, top, field, height}, parts_, parts_scroll_, focus_ == Field::Parts, "none: one clip",
                      [this](std::size_t at, bool extend, int clicks) { place_cursor(Field::Parts, at, extend, clicks); });
    double x = area.x + field + kGap;
    for (const std::string part : kCommonParts) {
        const bool on = acestep::names_part(view_.project.parts, part);
        canvas.toggle({x, top, kChip, height}, part, on, [this, part, on] {
            const std::string& text = view_.project.parts;
            set_parts(on ? acestep::without_part(text, part) : acestep::with_part(text, part));
        });
        x += kChip + 4;
    }
    const bool midi = view_.project.midi;
    canvas.text(area.right() - kMidi, area.y + 6, kMidi, "MIDI file too", theme::dim, type::label);
    canvas.toggle({area.right() - kMidi, top, kMidi, height}, midi ? "on" : "off", midi, [this, midi] {
        bridge().set_midi(!midi);
        repaint();
    });
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
    std::string text = open->stage.empty() ? "asked" : stage_in_words(open->stage);
    text += " · " + std::to_string(static_cast<int>(std::lround(open->fraction * 100))) + " %";
    if (open->eta_s > 0) text += " · about " + number(open->eta_s, open->eta_s < 10 ? 1 : 0) + " s left";
    if (waiting > 0) text += " · " + std::to_string(waiting) + " more waiting";
    canvas.text(area.x, middle, area.w, text, theme::text, type::small);
}

bool Editor::adapter_is_missing() const {
    const acestep::Adapters& here = view_.adapters;
    return !view_.project.adapter.empty() && here.whole() && !here.has(view_.project.adapter);
}

// The daemon's list below its field, above everything else; a click beside it closes it.
void Editor::draw_adapters(Canvas& canvas, const Rect& window) {
    canvas.cover(false);
    canvas.hit({window, [this](double, double, int) { close_adapters(); }, {}, [](int) {}});
    const acestep::Adapters& here = view_.adapters;
    std::vector<std::string> names = here.names;
    names.insert(names.begin(), "");  // none
    if (adapter_is_missing()) names.push_back(view_.project.adapter);
    const std::string more = here.whole() || !here.known ? "" : "and " + std::to_string(here.count - here.names.size()) + " more";
    const bool list = here.known && (here.count > 0 || names.size() > 1);
    const double top = adapter_box_.bottom() + 4, width = std::max(280.0, adapter_box_.w);
    const int count = static_cast<int>(names.size()), extra = (here.count == 0) + !more.empty();
    const int fit = std::clamp(static_cast<int>((window.h - top - kMargin - 12) / kMenuRow) - 2 * extra, 1, count);
    adapters_scroll_ = std::clamp(adapters_scroll_, 0, count - fit);
    const double rows = list ? fit * kMenuRow : 0.0, told = here.count == 0 ? 66.0 : more.empty() ? 0.0 : kMenuRow;
    const Rect box{std::min(adapter_box_.x, window.right() - kMargin - width), top, width, rows + told + 12};
    canvas.fill({box.x - 3, box.y - 1, box.w + 6, box.h + 6}, {0, 0, 0, 0.35}, 8);
    canvas.fill(box, theme::raised, kRadius);
    canvas.frame(box, theme::line, kRadius);
    canvas.hit({box,
                [](double, double, int) {},
                {},
                [this](int steps) {
                    adapters_scroll_ -= steps;
                    repaint();
                }});
    for (int row = 0; list && row < fit; ++row)
        draw_adapter(canvas, {box.x + 4, box.y + 6 + row * kMenuRow, box.w - 8, kMenuRow},
                     names[static_cast<std::size_t>(row + adapters_scroll_)]);
    const double x = box.x + 13, y = box.y + 6 + rows, inner = box.w - 26;
    if (!more.empty()) canvas.text(x, y + kMenuRow / 2, inner, more, theme::dim, type::small);
    if (here.count > 0) return;
    canvas.text(x, y + 13, inner, here.known ? "No adapters here yet" : "Which ones there are, the daemon knows", theme::text);
    canvas.paragraph(x, y + 33, inner,
                     here.known ? "A sound of your own is learned from your stems: lora_studio train FOLDER --name NAME"
                     : view_.daemon == DaemonState::Connected ? "It is asked …"
                                                              : "None answers: start it with the button above.",
                     theme::dim, 2, type::small);
}

void Editor::draw_adapter(Canvas& canvas, const Rect& area, const std::string& name) {
    const bool chosen = name == view_.project.adapter, missing = chosen && adapter_is_missing();
    if (canvas.hovers(area)) canvas.fill(area, theme::hovered, 4);
    if (chosen) canvas.dot(area.x + 9, area.middle(), 3, missing ? theme::bad : theme::accent);
    const double told =
        missing ? canvas.text(area.x, area.middle(), area.w - 8, "missing", theme::bad, type::small, acestep::Align::Right) : 0.0;
    canvas.text(area.x + 20, area.middle(), area.w - 34 - told, name.empty() ? "none" : name,
                name.empty() ? theme::dim
                : missing    ? theme::bad
                             : theme::text);
    canvas.hit({area,
                [this, name](double, double, int) {
                    bridge().set_adapter(name, view_.project.adapter_scale);
                    close_adapters();
                },
                {},
                [this](int steps) {
                    adapters_scroll_ -= steps;
                    repaint();
                }});
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

END_NAMESPACE_DISTRHO

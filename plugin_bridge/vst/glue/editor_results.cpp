// The lower half of the editor: the list of results, and the selected clip.
#include <algorithm>
#include <cmath>

#include "editor.hpp"
#include "wording.hpp"

START_NAMESPACE_DISTRHO

using acestep::Canvas;
using acestep::Clip;
using acestep::Rect;
using acestep::ResultLine;
namespace theme = acestep::theme;
namespace type = acestep::type;
using namespace acestep::layout;
using namespace acestep::wording;

namespace {

constexpr double kListTop = 28.0, kSketchWidth = 74.0, kListen = 26.0, kNote = 22.0, kStar = 30.0;

double height_of(const ResultLine& line) {
    return line.kind == ResultLine::Kind::Clip ? 44.0 : line.kind == ResultLine::Kind::Idea ? 38.0 : 30.0;
}

// How many lines fit from the one at `first` on; at least one.
int fitting(const std::vector<ResultLine>& lines, int first, double room) {
    int count = 0;
    for (std::size_t i = static_cast<std::size_t>(first); i < lines.size() && (room -= height_of(lines[i])) >= 0; ++i) ++count;
    return std::max(1, count);
}

// The line from which on all the rest fits.
int last_start(const std::vector<ResultLine>& lines, double room) {
    int first = static_cast<int>(lines.size());
    while (first > 0 && (room -= height_of(lines[static_cast<std::size_t>(first - 1)])) >= 0) --first;
    return std::clamp(first, 0, std::max(0, static_cast<int>(lines.size()) - 1));
}

std::vector<std::string> paths_of(const std::vector<const Clip*>& clips) {
    std::vector<std::string> out;
    for (const Clip* clip : clips) out.push_back(clip->path);
    return out;
}

std::vector<std::string> notes_of(const std::vector<const Clip*>& clips) {
    std::vector<std::string> out;
    for (const Clip* clip : clips)
        if (!clip->midi.empty()) out.push_back(clip->midi);
    return out;
}

}  // namespace

void Editor::draw_results(Canvas& canvas, const Rect& area) {
    canvas.fill(area, theme::panel, kRadius);
    const auto& results = view_.project.results;
    const std::vector<ResultLine> lines = acestep::result_lines(results);
    const double room = area.h - kListTop - 4;
    list_scroll_ = std::clamp(list_scroll_, 0, last_start(lines, room));
    canvas.text(area.x + kPad, area.y + 15, area.w - 2 * kPad,
                count_of(static_cast<long>(results.size()), "result") + ", newest first", theme::dim, type::label);
    canvas.hit({area, {}, {}, [this](int steps) {
                    list_scroll_ -= steps;
                    repaint();
                }});
    const int fit = fitting(lines, list_scroll_, room), count = static_cast<int>(lines.size());
    double y = area.y + kListTop;
    for (int i = list_scroll_; i < std::min(count, list_scroll_ + fit); ++i) {
        const ResultLine& line = lines[static_cast<std::size_t>(i)];
        const double inset = line.kind == ResultLine::Kind::Part ? 14.0 : 0.0;
        const Rect place{area.x + 6 + inset, y, area.w - 12 - inset, height_of(line) - 2};
        const Clip& clip = results[line.index];
        if (line.kind == ResultLine::Kind::Idea) draw_idea(canvas, place, clip);
        else draw_result(canvas, place, clip, line);
        if (inset > 0) canvas.line(area.x + 14, y - 2, area.x + 14, y + height_of(line) - 6, theme::line);
        y += height_of(line);
    }
    if (count > fit) {
        const Rect track{area.right() - 4, area.y + kListTop, 2, room};
        canvas.fill({track.x, track.y + track.h * list_scroll_ / count, track.w, track.h * fit / count}, theme::line, 1);
    }
}

// The line above an idea's parts: they are dragged together from here.
void Editor::draw_idea(Canvas& canvas, const Rect& area, const Clip& clip) {
    const auto parts = acestep::parts_of(view_.project.results, clip.idea);
    const auto notes = notes_of(parts);
    if (canvas.hovers(area)) canvas.fill(area, theme::raised, kRadius);
    const double all = 88.0, width = area.w - 12 - all - kNote - 6;
    canvas.text(area.x + 6, area.y + 11, width, title_of(clip), theme::text);
    const std::string key = clip.key.empty() ? "" : " · " + clip.key;
    canvas.text(area.x + 6, area.y + 27, width,
                "idea of " + count_of(static_cast<long>(parts.size()), "part") + " · " + number(clip.bpm, 2) + " BPM" + key,
                theme::dim, type::label);
    canvas.hit({area,
                [this, path = clip.path](double, double, int) { bridge().select(path); },
                [this, paths = paths_of(parts)](double x, double y) { maybe_drag(paths, x, y); },
                {}});
    const Rect handle{area.right() - all, area.y + 7, all - 4, area.h - 14};
    canvas.frame(handle, canvas.hovers(area) ? theme::accent : theme::line, 4);
    canvas.text(handle.x + 4, handle.middle(), handle.w - 8,
                parts.size() == 1 ? "drag it" : "drag all " + std::to_string(parts.size()),
                canvas.hovers(area) ? theme::accent : theme::dim, type::label, acestep::Align::Center);
    if (!notes.empty()) draw_note(canvas, {handle.x - kNote - 2, area.y, kNote, area.h}, notes);
}

// "take 2 · " where one request made several.
std::string Editor::take_of(const Clip& clip) const {
    int before = 0, all = 0;
    for (const Clip& other : view_.project.results) {
        if (!clip.idea.empty() || other.job.empty() || other.job != clip.job) continue;
        ++all;
        if (&other <= &clip) ++before;
    }
    return all > 1 ? "take " + std::to_string(before) + " · " : "";
}

void Editor::draw_result(Canvas& canvas, const Rect& area, const Clip& clip, const ResultLine& line) {
    const bool chosen = clip.path == view_.project.selected, part = line.kind == ResultLine::Kind::Part;
    if (chosen || canvas.hovers(area)) canvas.fill(area, chosen ? theme::chosen : theme::raised, kRadius);
    canvas.hit({area,
                [this, path = clip.path](double, double, int clicks) {
                    bridge().select(path);
                    if (clicks == 2) set_parameter(kPreview, 1.0);
                },
                [this, path = clip.path](double x, double y) { maybe_drag({path}, x, y); },
                {}});
    draw_listen(canvas, {area.x, area.y, kListen, area.h}, clip);
    const double right = area.right() - kStar, sketch_x = right - kNote - kSketchWidth;
    const double x = area.x + kListen + 4, width = sketch_x - 8 - x;
    if (part) {
        const double name = canvas.text(x, area.middle(), width, clip.part, line.replaced ? theme::dim : theme::text);
        if (line.replaced) canvas.text(x + name + 6, area.middle(), width - name - 6, "before", theme::faint, type::label);
    } else {
        canvas.text(x, area.y + 13, width, title_of(clip), theme::text);
        canvas.text(x, area.y + 30, width, take_of(clip) + in_short(clip), theme::dim, type::label);
    }
    const double margin = part ? 5 : 9;
    const auto sketch = view_.sketches.find(clip.path);
    if (sketch != view_.sketches.end())
        canvas.sketch({sketch_x, area.y + margin, kSketchWidth, area.h - 2 * margin}, sketch->second,
                      chosen ? theme::accent : theme::faint);
    if (!clip.midi.empty()) draw_note(canvas, {right - kNote + 2, area.y, kNote, area.h}, {clip.midi});
    draw_star(canvas, {right, area.y, kStar, area.h}, clip);
}

// Plays the clip, or ends it.
void Editor::draw_listen(Canvas& canvas, const Rect& area, const Clip& clip) {
    const bool heard = clip.path == view_.project.selected && values_[kPreview] > 0.5f;
    canvas.play(area.x + area.w / 2 + 2, area.middle(), 5, heard, heard || canvas.hovers(area) ? theme::accent : theme::faint);
    canvas.hit({area,
                [this, path = clip.path, heard](double, double, int) {
                    bridge().select(path);
                    set_parameter(kPreview, heard ? 0.0 : 1.0);
                },
                [this, path = clip.path](double x, double y) { maybe_drag({path}, x, y); },
                {}});
}

// The note that the clip's MIDI file is dragged by.
void Editor::draw_note(Canvas& canvas, const Rect& area, std::vector<std::string> notes) {
    const bool over = canvas.hovers(area);
    canvas.note(area.x + area.w / 2 - 2, area.middle(), 15, over ? theme::accent : theme::dim);
    canvas.hit({area,
                [](double, double, int) {},
                [this, notes = std::move(notes)](double x, double y) { maybe_drag(notes, x, y); },
                {}});
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
    const Rect note{area.right() - 70, area.y + 8, 30, 34};
    canvas.text(area.x + kPad, area.y + 18, inner - 62, (clip->part.empty() ? "" : clip->part + " · ") + title_of(*clip),
                theme::text, type::lead);
    canvas.text(area.x + kPad, area.y + 37, inner - 62, take_of(*clip) + describe(*clip), theme::dim, type::label);
    if (!clip->midi.empty()) draw_note(canvas, note, {clip->midi});
    draw_star(canvas, {area.right() - 40, area.y + 8, 34, 34}, *clip);
    draw_waveform(canvas, {area.x + kPad, area.y + 50, inner, std::max(28.0, area.h - 50 - 88)}, *clip);
    const bool foreign = view_.has_host_time && acestep::plausible(view_.host) && std::fabs(view_.host.bpm - clip->bpm) > 0.02;
    const bool midi = !clip->midi.empty() && canvas.hovers(note);
    const double hint =
        canvas.text(area.x + kPad, area.bottom() - 76, inner, midi ? "drag the note: its MIDI file" : "drag it into the song",
                    midi ? theme::accent : theme::dim, type::label, acestep::Align::Right);
    canvas.text(area.x + kPad, area.bottom() - 76, inner - hint - 16,
                foreign ? "made for " + number(clip->bpm, 2) + " BPM, the song is at " + number(view_.host.bpm, 2)
                        : file_name(clip->path),
                foreign ? theme::text : theme::faint, type::label);
    canvas.slider({area.x + kPad, area.bottom() - 64, inner, 22}, "Preview level", values_[kLevel],
                  [this](double value) { set_parameter(kLevel, value); });
    draw_clip_buttons(canvas, {area.x + kPad, area.bottom() - kPad - 24, inner, 26}, *clip);
}

void Editor::draw_clip_buttons(Canvas& canvas, const Rect& area, const Clip& clip) {
    const bool on = values_[kPreview] > 0.5f, part = !clip.part.empty() && clip.part != acestep::kMix;
    const int count = part ? 4 : 3;
    const double width = (area.w - (count - 1) * kGap) / count;
    double x = area.x;
    const auto place = [&] {
        const Rect box{x, area.y, width, area.h};
        x += width + kGap;
        return box;
    };
    canvas.button(
        place(), on ? "Stop" : "Listen in time", [this, on] { set_parameter(kPreview, on ? 0.0 : 1.0); },
        on ? acestep::Look::Quiet : acestep::Look::Primary);
    if (part) canvas.button(place(), "Make anew", [this, path = clip.path] { bridge().make_anew(path); });
    canvas.button(place(), "Show in folder", [this, path = clip.path] { bridge().reveal(path); });
    canvas.button(place(), part ? "Remove" : "Remove from list", [this, path = clip.path] { bridge().remove_result(path); });
}

void Editor::draw_waveform(Canvas& canvas, const Rect& area, const Clip& clip) {
    canvas.fill(area, theme::field, 4);
    waveform_width_ = area.w;
    const int bars = static_cast<int>(std::ceil(clip.bars));
    const double bar_width = bars > 0 ? area.w / clip.bars : area.w;
    const int every = std::max(1, static_cast<int>(std::ceil(24.0 / bar_width)));  // bar numbers, where there is room
    for (int bar = 0; bar < bars && bars <= 256; ++bar) {
        const double x = area.x + bar_width * bar;
        if (bar > 0) canvas.line(x, area.y, x, area.bottom(), bar % 4 == 0 ? theme::line : theme::raised);
        if (bar % every == 0) canvas.text(x + 4, area.y + 8, 30, std::to_string(bar + 1), theme::faint, type::tiny);
    }
    const std::int64_t at = bridge().preview_position();
    const double played =
        at >= 0 && view_.waveform_frames > 0 ? static_cast<double>(at) / static_cast<double>(view_.waveform_frames) : 0.0;
    canvas.waveform({area.x, area.y + 14, area.w, area.h - 18}, view_.waveform, played);
    if (at >= 0) {
        const double x = area.x + area.w * std::min(1.0, played);
        canvas.line(x, area.y, x, area.bottom(), theme::text, 1.5);
    }
    if (canvas.hovers(area)) canvas.frame(area, theme::line, 4);
    canvas.hit(
        {area, [](double, double, int) {}, [this, path = clip.path](double x, double y) { maybe_drag({path}, x, y); }, {}});
}

END_NAMESPACE_DISTRHO

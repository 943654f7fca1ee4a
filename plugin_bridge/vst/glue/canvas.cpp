#include "canvas.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <numbers>

#include "src/nanovg/nanovg.h"

namespace acestep {
namespace {

constexpr const char* kFont = "__dpf_dejavusans_ttf__";  // DPF's own, loaded by UI::loadSharedResources
constexpr double kRadius = 4.0, kLabelHeight = 17.0;
const std::string kEllipsis = "…";

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// From U+3000 on: East Asia's characters, which DPF's font does not have.
bool needs_other_fonts(const std::string& text) {
    return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0xE3; });
}

const std::vector<std::string>& other_fonts() {
    static const std::vector<std::string> files = [] {
        std::vector<std::string> all = {
#if defined(_WIN32)
            "C:/Windows/Fonts/msyh.ttc",
            "C:/Windows/Fonts/YuGothR.ttc",
            "C:/Windows/Fonts/malgun.ttf",
#elif defined(__APPLE__)
            "/System/Library/Fonts/Hiragino Sans GB.ttc",
            "/System/Library/Fonts/AppleSDGothicNeo.ttc",
#else
            "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
            "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
            "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
            "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
            "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
#endif
        };
        std::erase_if(all, [](const std::string& file) { return !std::filesystem::exists(file); });
        return all;
    }();
    return files;
}

// The system's own fonts come in when a text needs them: they are large.
void add_other_fonts(NVGcontext* context) {
    for (const std::string& file : other_fonts()) {
        if (nvgFindFont(context, file.c_str()) >= 0) continue;
        const int font = nvgCreateFontAtIndex(context, file.c_str(), file.c_str(), 0);
        if (font >= 0) nvgAddFallbackFontId(context, nvgFindFont(context, kFont), font);
    }
}

NVGcolor native(Color color) {
    return nvgRGBAf(static_cast<float>(color.r), static_cast<float>(color.g), static_cast<float>(color.b),
                    static_cast<float>(color.a));
}

}  // namespace

Canvas::Canvas(NVGcontext* context, double density, Point pointer) : context_(context), pointer_(pointer) {
    nvgSave(context_);
    nvgScale(context_, static_cast<float>(density), static_cast<float>(density));
}

Canvas::~Canvas() { nvgRestore(context_); }

void Canvas::font(double size) {
    nvgFontFace(context_, kFont);
    nvgFontSize(context_, static_cast<float>(size * 1.16));  // NanoVG counts from ascender to descender
    nvgTextAlign(context_, NVG_ALIGN_LEFT | NVG_ALIGN_MIDDLE);
}

void Canvas::paint(Color color) { nvgFillColor(context_, native(color)); }

double Canvas::measure(const std::string& text, double size) {
    if (text.empty()) return 0.0;
    font(size);
    if (needs_other_fonts(text)) add_other_fonts(context_);
    return nvgTextBounds(context_, 0.0f, 0.0f, text.c_str(), nullptr, nullptr);
}

// Where each byte of the text stands, and its end: the bytes of one character stand where it begins.
std::vector<double> Canvas::places(const std::string& text, double size) {
    std::vector<double> out(text.size() + 1, measure(text, size));
    if (text.empty()) return out;
    std::vector<NVGglyphPosition> glyphs(text.size());
    const int count =
        nvgTextGlyphPositions(context_, 0.0f, 0.0f, text.c_str(), nullptr, glyphs.data(), static_cast<int>(text.size()));
    for (int i = 0; i < count; ++i) {
        const auto begin = static_cast<std::size_t>(glyphs[static_cast<std::size_t>(i)].str - text.c_str());
        const auto end =
            i + 1 < count ? static_cast<std::size_t>(glyphs[static_cast<std::size_t>(i) + 1].str - text.c_str()) : text.size();
        for (std::size_t byte = begin; byte < end; ++byte) out[byte] = glyphs[static_cast<std::size_t>(i)].x;
    }
    return out;
}

// The longest beginning of the text that is no wider, in whole characters.
std::string Canvas::beginning(const std::string& text, double width, double size) {
    const std::vector<double> at = places(text, size);
    std::size_t end = text.size();
    while (end > 0 && (at[end] > width || (end < text.size() && continues_character(text[end])))) --end;
    return text.substr(0, end);
}

void Canvas::fill(const Rect& area, Color color, double radius) {
    nvgBeginPath(context_);
    nvgRoundedRect(context_, static_cast<float>(area.x), static_cast<float>(area.y), static_cast<float>(area.w),
                   static_cast<float>(area.h), static_cast<float>(radius));
    paint(color);
    nvgFill(context_);
}

void Canvas::frame(const Rect& area, Color color, double radius, double width) {
    const double inset = width / 2.0;
    nvgBeginPath(context_);
    nvgRoundedRect(context_, static_cast<float>(area.x + inset), static_cast<float>(area.y + inset),
                   static_cast<float>(area.w - width), static_cast<float>(area.h - width), static_cast<float>(radius));
    nvgStrokeColor(context_, native(color));
    nvgStrokeWidth(context_, static_cast<float>(width));
    nvgStroke(context_);
}

void Canvas::line(double x1, double y1, double x2, double y2, Color color, double width) {
    nvgBeginPath(context_);
    nvgMoveTo(context_, static_cast<float>(x1), static_cast<float>(y1));
    nvgLineTo(context_, static_cast<float>(x2), static_cast<float>(y2));
    nvgStrokeColor(context_, native(color));
    nvgStrokeWidth(context_, static_cast<float>(width));
    nvgStroke(context_);
}

void Canvas::dot(double x, double y, double radius, Color color) {
    fill({x - radius, y - radius, 2.0 * radius, 2.0 * radius}, color, radius);
}

void Canvas::arrow(double x, double y, double width, Color color) {
    nvgBeginPath(context_);
    nvgMoveTo(context_, static_cast<float>(x - width / 2.0), static_cast<float>(y - width / 4.0));
    nvgLineTo(context_, static_cast<float>(x), static_cast<float>(y + width / 4.0));
    nvgLineTo(context_, static_cast<float>(x + width / 2.0), static_cast<float>(y - width / 4.0));
    nvgStrokeColor(context_, native(color));
    nvgStrokeWidth(context_, 1.4f);
    nvgStroke(context_);
}

void Canvas::note(double x, double y, double height, Color color) {
    const auto f = [](double value) { return static_cast<float>(value); };
    const double head = height * 0.2, stem = x + head * 0.9, top = y - height / 2.0, foot = y + height / 2.0 - head;
    nvgBeginPath(context_);
    nvgEllipse(context_, f(x), f(foot), f(head * 1.2), f(head * 0.95));
    paint(color);
    nvgFill(context_);
    nvgBeginPath(context_);
    nvgMoveTo(context_, f(stem), f(foot));
    nvgLineTo(context_, f(stem), f(top));
    nvgBezierTo(context_, f(stem + height * 0.06), f(top + height * 0.22), f(stem + height * 0.34), f(top + height * 0.26),
                f(stem + height * 0.24), f(top + height * 0.56));
    nvgStrokeColor(context_, native(color));
    nvgStrokeWidth(context_, 1.5f);
    nvgStroke(context_);
}

void Canvas::play(double x, double y, double radius, bool stop, Color color) {
    if (stop) return fill({x - radius * 0.75, y - radius * 0.75, radius * 1.5, radius * 1.5}, color, 1.5);
    nvgBeginPath(context_);
    nvgMoveTo(context_, static_cast<float>(x - radius * 0.6), static_cast<float>(y - radius));
    nvgLineTo(context_, static_cast<float>(x + radius), static_cast<float>(y));
    nvgLineTo(context_, static_cast<float>(x - radius * 0.6), static_cast<float>(y + radius));
    nvgClosePath(context_);
    paint(color);
    nvgFill(context_);
}

void Canvas::star(double x, double y, double radius, bool filled, Color color) {
    nvgBeginPath(context_);
    for (int corner = 0; corner < 10; ++corner) {
        const double angle = -std::numbers::pi / 2.0 + corner * std::numbers::pi / 5.0;
        const double reach = corner % 2 == 0 ? radius : radius * 0.42;
        const auto px = static_cast<float>(x + reach * std::cos(angle)), py = static_cast<float>(y + reach * std::sin(angle));
        if (corner == 0) nvgMoveTo(context_, px, py);
        else nvgLineTo(context_, px, py);
    }
    nvgClosePath(context_);
    paint(color);
    nvgStrokeColor(context_, native(color));
    nvgStrokeWidth(context_, 1.2f);
    if (filled) nvgFill(context_);
    else nvgStroke(context_);
}

double Canvas::text(double x, double y, double width, const std::string& text, Color color, double size, Align align) {
    std::string shown = text;
    double used = measure(shown, size);
    if (used > width) {
        shown = beginning(text, width - measure(kEllipsis, size), size) + kEllipsis;
        used = measure(shown, size);
    }
    if (shown.empty()) return 0.0;
    const double left = align == Align::Left ? x : align == Align::Center ? x + (width - used) / 2.0 : x + width - used;
    font(size);
    paint(color);
    nvgText(context_, static_cast<float>(left), static_cast<float>(y), shown.c_str(), nullptr);
    return used;
}

int Canvas::paragraph(double x, double y, double width, const std::string& words, Color color, int max_lines, double size,
                      Align align) {
    int lines = 0;
    std::string rest = words;
    while (!rest.empty() && lines < max_lines) {
        const std::vector<double> at = places(rest, size);
        std::size_t end = 0;  // of the last word that fits
        for (std::size_t i = 0; i <= rest.size() && at[i] <= width; ++i) {
            if (i < rest.size() && rest[i] != ' ' && rest[i] != '\n') continue;
            end = i;
            if (i < rest.size() && rest[i] == '\n') break;
        }
        if (end == 0) end = std::max<std::size_t>(1, beginning(rest, width, size).size());  // one long word
        const bool last = ++lines == max_lines;
        text(x, y, width, last ? rest : rest.substr(0, end), color, size, align);
        if (end < rest.size() && (rest[end] == ' ' || rest[end] == '\n')) ++end;
        rest.erase(0, end);
        y += size * 1.35;
    }
    return lines;
}

void Canvas::waveform(const Rect& area, const std::vector<PreviewLoader::Column>& columns, double played) {
    if (columns.empty()) return;
    const double half = area.h / 2.0, step = area.w / static_cast<double>(columns.size());
    const auto shape = [&](auto upper, auto lower) {
        nvgBeginPath(context_);
        nvgMoveTo(context_, static_cast<float>(area.x), static_cast<float>(area.middle()));
        const auto corner = [&](std::size_t i, double level) {  // a hairline stays where it is silent
            nvgLineTo(context_, static_cast<float>(area.x + (static_cast<double>(i) + 0.5) * step),
                      static_cast<float>(area.middle() - std::clamp(level, -1.0, 1.0) * (half - 0.5)));
        };
        const double hairline = 0.5 / half;
        for (std::size_t i = 0; i < columns.size(); ++i) corner(i, upper(columns[i]) + hairline);
        nvgLineTo(context_, static_cast<float>(area.right()), static_cast<float>(area.middle()));
        for (std::size_t i = columns.size(); i-- > 0;) corner(i, lower(columns[i]) - hairline);
        nvgClosePath(context_);
        nvgFill(context_);
    };
    const auto both = [&](Color peaks, Color body) {
        paint(peaks);
        shape([](const auto& c) { return c.high; }, [](const auto& c) { return c.low; });
        paint(body);
        shape([](const auto& c) { return std::min(c.high, c.level()); },
              [](const auto& c) { return std::max(c.low, -c.level()); });
    };
    const auto part = [&](double from, double to, Color peaks, Color body) {
        if (to <= from) return;
        nvgSave(context_);
        nvgIntersectScissor(context_, static_cast<float>(area.x + from * area.w), static_cast<float>(area.y),
                            static_cast<float>((to - from) * area.w), static_cast<float>(area.h));
        both(peaks, body);
        nvgRestore(context_);
    };
    const double until = std::clamp(played, 0.0, 1.0);
    const Color accent = theme::accent;
    part(0.0, until, {accent.r, accent.g, accent.b, 0.45}, accent);
    part(until, 1.0, {accent.r, accent.g, accent.b, 0.28}, {accent.r, accent.g, accent.b, 0.70});
}

void Canvas::sketch(const Rect& area, const Sketch& columns, Color color) {
    const double step = area.w / static_cast<double>(kSketchColumns);
    nvgBeginPath(context_);
    for (std::size_t i = 0; i < kSketchColumns; ++i) {
        const double height = std::max(1.0, columns[i] * area.h);
        nvgRect(context_, static_cast<float>(area.x + static_cast<double>(i) * step),
                static_cast<float>(area.middle() - height / 2.0), static_cast<float>(step * 0.6), static_cast<float>(height));
    }
    paint(color);
    nvgFill(context_);
}

void Canvas::button(const Rect& area, const std::string& label, std::function<void()> press, Look look, bool enabled) {
    const bool over = enabled && hovers(area);
    const Color calm = look == Look::Primary ? theme::accent : look == Look::Danger ? theme::bad_panel : theme::raised;
    const Color lit = look == Look::Primary ? theme::accent_hovered : look == Look::Danger ? theme::bad_panel : theme::hovered;
    fill(area, !enabled ? theme::panel : over ? lit : calm, kRadius);
    if (!enabled) frame(area, theme::raised, kRadius);
    const Color ink = !enabled                ? theme::faint
                      : look == Look::Primary ? theme::on_accent
                      : look == Look::Danger  ? theme::bad
                                              : theme::text;
    const bool fits = area.h >= 22.0 && measure(label, type::body) <= area.w - 12.0;
    text(area.x + 6.0, area.middle(), area.w - 12.0, label, ink, fits ? type::body : type::small, Align::Center);
    if (enabled) hit({area, [press = std::move(press)](double, double, int) { press(); }, {}, {}});
}

void Canvas::label(const Rect& area, const std::string& words) {
    text(area.x, area.y + 6.0, area.w, words, theme::dim, type::label);
}

void Canvas::stepper(const Rect& area, const std::string& name, const std::string& value, std::function<void(int)> step) {
    label(area, name);
    const Rect box{area.x, area.y + kLabelHeight, area.w, area.h - kLabelHeight};
    const bool over = hovers(box), left = over && pointer_.x < box.x + box.w / 2.0;
    fill(box, theme::field, kRadius);
    if (over) frame(box, theme::line, kRadius);
    text(box.x + 7.0, box.middle() - 1.0, 12.0, "‹", over && left ? theme::accent : theme::faint, 16.0);
    text(box.right() - 19.0, box.middle() - 1.0, 12.0, "›", over && !left ? theme::accent : theme::faint, 16.0, Align::Right);
    text(box.x + 16.0, box.middle(), box.w - 32.0, value, theme::text, type::body, Align::Center);
    for (const int direction : {-1, 1}) {
        const Rect half{direction < 0 ? box.x : box.x + box.w / 2.0, box.y, box.w / 2.0, box.h};
        hit({half, [=](double, double, int) { step(direction); }, {}, step});
    }
}

void Canvas::toggle(const Rect& area, const std::string& words, bool on, std::function<void()> press) {
    const bool over = hovers(area);
    fill(area, on ? theme::chosen : over ? theme::hovered : theme::raised, kRadius);
    if (on) frame(area, theme::accent, kRadius);
    text(area.x + 3.0, area.middle(), area.w - 6.0, words, on ? theme::accent_hovered : theme::text, type::small, Align::Center);
    hit({area, [press = std::move(press)](double, double, int) { press(); }, {}, {}});
}

void Canvas::choice(const Rect& area, const std::string& name, const std::string& value, bool bad, std::function<void()> open) {
    label(area, name);
    const Rect box{area.x, area.y + kLabelHeight, area.w, area.h - kLabelHeight};
    fill(box, theme::field, kRadius);
    if (hovers(box)) frame(box, theme::line, kRadius);
    text(box.x + 9.0, box.middle(), box.w - 32.0, value, bad ? theme::bad : theme::text);
    arrow(box.right() - 13.0, box.middle(), 8.0, hovers(box) ? theme::accent : theme::dim);
    hit({box, [open = std::move(open)](double, double, int) { open(); }, {}, {}});
}

void Canvas::slider(const Rect& area, const std::string& name, double value, std::function<void(double)> set) {
    const bool tall = area.h > 2.0 * kLabelHeight;
    if (tall) label(area, name);
    const Rect box = tall ? Rect{area.x, area.y + kLabelHeight, area.w, area.h - kLabelHeight} : area;
    const double share = std::clamp(value, 0.0, 1.0);
    fill(box, theme::field, kRadius);
    fill({box.x, box.y, box.w * share, box.h}, theme::raised, kRadius);
    if (hovers(box)) frame(box, theme::line, kRadius);
    fill({box.x + std::clamp(box.w * share - 1.5, 0.0, box.w - 3.0), box.y + 3.0, 3.0, box.h - 6.0}, theme::accent, 1.5);
    const std::string percent = std::to_string(static_cast<int>(std::lround(value * 100.0))) + " %";
    if (!tall) text(box.x + 9.0, box.middle(), box.w - 60.0, name, theme::dim, type::small);
    text(box.x + 9.0, box.middle(), box.w - 18.0, percent, theme::text, tall ? type::body : type::small,
         tall ? Align::Left : Align::Right);
    const auto at = [box, set](double x) { set(std::clamp((x - box.x) / box.w, 0.0, 1.0)); };
    hit({box, [at](double x, double, int) { at(x); }, [at](double x, double) { at(x); },
         [set, value](int steps) { set(std::clamp(value + 0.05 * steps, 0.0, 1.0)); }});
}

void Canvas::text_field(const Rect& area, const TextEdit& edit, double& scroll, bool focused, const std::string& hint,
                        std::function<void(std::size_t, bool, int)> place, double size) {
    fill(area, theme::field, kRadius);
    frame(area, focused ? theme::accent : hovers(area) ? theme::line : theme::raised, kRadius);
    const double inner = area.w - 20.0, left = area.x + 10.0;
    const std::vector<double> at_byte = places(edit.text(), size);
    const double caret = at_byte[edit.cursor()];
    scroll = focused ? std::clamp(scroll, std::max(0.0, caret - inner), caret) : 0.0;
    nvgSave(context_);
    nvgIntersectScissor(context_, static_cast<float>(left - 1.0), static_cast<float>(area.y), static_cast<float>(inner + 2.0),
                        static_cast<float>(area.h));
    if (focused && edit.has_selection()) {
        const double from = at_byte[edit.selection_begin()], to = at_byte[edit.selection_end()];
        fill({left + from - scroll, area.middle() - size * 0.8, to - from, size * 1.6}, theme::chosen, 2.0);
    }
    if (edit.text().empty() && !focused) text(left, area.middle(), inner, hint, theme::faint, size);
    else text(left - scroll, area.middle(), 1e9, edit.text(), theme::text, size);
    if (focused) fill({left + caret - scroll - 0.5, area.middle() - size * 0.8, 1.5, size * 1.6}, theme::accent);
    nvgRestore(context_);

    const auto at = [text = edit.text(), at_byte, left, offset = scroll](double x) {
        std::size_t best = 0;
        for (std::size_t i = 0; i <= text.size(); ++i) {
            if (i < text.size() && continues_character(text[i])) continue;
            if (std::fabs(at_byte[i] - (x - left + offset)) < std::fabs(at_byte[best] - (x - left + offset))) best = i;
        }
        return best;
    };
    hit({area,
         [at, place](double x, double, int clicks) { place(at(x), false, clicks); },
         [at, place](double x, double) { place(at(x), true, 1); },
         {}});
}

}  // namespace acestep

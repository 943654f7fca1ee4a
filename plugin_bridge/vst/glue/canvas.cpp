#include "canvas.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace acestep {
namespace {

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

void drop_last_character(std::string& text) {
    while (!text.empty() && continues_character(text.back())) text.pop_back();
    if (!text.empty()) text.pop_back();
}

}  // namespace

void Canvas::font(double size, bool bold) {
    cairo_select_font_face(cairo_, "sans", CAIRO_FONT_SLANT_NORMAL, bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo_, size);
}

double Canvas::measure(const std::string& text, double size, bool bold) {
    font(size, bold);
    cairo_text_extents_t extents;
    cairo_text_extents(cairo_, text.c_str(), &extents);
    return extents.x_advance;
}

void Canvas::fill(const Rect& area, Color color, double radius) {
    cairo_set_source_rgb(cairo_, color.r, color.g, color.b);
    if (radius <= 0.0) {
        cairo_rectangle(cairo_, area.x, area.y, area.w, area.h);
    } else {
        constexpr double quarter = std::numbers::pi / 2.0;
        const double right = area.x + area.w - radius, bottom = area.y + area.h - radius;
        cairo_new_sub_path(cairo_);
        cairo_arc(cairo_, right, area.y + radius, radius, -quarter, 0.0);
        cairo_arc(cairo_, right, bottom, radius, 0.0, quarter);
        cairo_arc(cairo_, area.x + radius, bottom, radius, quarter, 2.0 * quarter);
        cairo_arc(cairo_, area.x + radius, area.y + radius, radius, 2.0 * quarter, 3.0 * quarter);
        cairo_close_path(cairo_);
    }
    cairo_fill(cairo_);
}

void Canvas::frame(const Rect& area, Color color) {
    cairo_set_source_rgb(cairo_, color.r, color.g, color.b);
    cairo_set_line_width(cairo_, 1.0);
    cairo_rectangle(cairo_, area.x + 0.5, area.y + 0.5, area.w - 1.0, area.h - 1.0);
    cairo_stroke(cairo_);
}

void Canvas::line(double x1, double y1, double x2, double y2, Color color, double width) {
    cairo_set_source_rgb(cairo_, color.r, color.g, color.b);
    cairo_set_line_width(cairo_, width);
    cairo_move_to(cairo_, x1, y1);
    cairo_line_to(cairo_, x2, y2);
    cairo_stroke(cairo_);
}

double Canvas::text(double x, double y, double width, const std::string& text, Color color, double size, bool bold) {
    std::string shown = text;
    double used = measure(shown, size, bold);
    while (used > width && shown.size() > 3) {
        if (shown.ends_with("…")) shown.resize(shown.size() - std::string("…").size());
        drop_last_character(shown);
        shown += "…";
        used = measure(shown, size, bold);
    }
    cairo_font_extents_t extents;
    cairo_font_extents(cairo_, &extents);
    cairo_set_source_rgb(cairo_, color.r, color.g, color.b);
    cairo_move_to(cairo_, x, y + (extents.ascent - extents.descent) / 2.0);
    cairo_show_text(cairo_, shown.c_str());
    return used;
}

int Canvas::paragraph(double x, double y, double width, const std::string& words, Color color, int max_lines) {
    int lines = 0;
    std::string rest = words;
    while (!rest.empty() && lines < max_lines) {
        std::size_t end = rest.size(), best = 0;
        for (std::size_t i = 0; i <= rest.size(); ++i) {
            if (i < rest.size() && rest[i] != ' ' && rest[i] != '\n') continue;
            if (measure(rest.substr(0, i)) > width) break;
            best = i;
            if (i < rest.size() && rest[i] == '\n') break;
        }
        if (best > 0) end = best;
        const bool last = ++lines == max_lines;
        text(x, y, width, last ? rest : rest.substr(0, end), color);
        rest.erase(0, std::min(rest.size(), end + 1));
        y += 17.0;
    }
    return lines;
}

void Canvas::button(const Rect& area, const std::string& label, std::function<void()> press, Color color, bool enabled) {
    fill(area, enabled ? color : theme::panel, 4.0);
    const double width = std::min(measure(label, 13.0), area.w - 8.0);
    text(area.x + (area.w - width) / 2.0, area.y + area.h / 2.0, area.w - 8.0, label, enabled ? theme::text : theme::dim);
    if (enabled) hit({area, [press = std::move(press)](double, double, int) { press(); }, {}, {}});
}

void Canvas::stepper(const Rect& area, const std::string& label, const std::string& value, std::function<void(int)> step) {
    text(area.x, area.y + 7.0, area.w, label, theme::dim, 11.0);
    const Rect box{area.x, area.y + 16.0, area.w, area.h - 16.0};
    fill(box, theme::field, 3.0);
    const double middle = box.y + box.h / 2.0, width = std::min(measure(value), box.w - 36.0);
    text(box.x + 7.0, middle, 12.0, "‹", theme::dim, 16.0);
    text(box.x + box.w - 13.0, middle, 12.0, "›", theme::dim, 16.0);
    text(box.x + (box.w - width) / 2.0, middle, box.w - 36.0, value, theme::text);
    hit({box, [=](double x, double, int) { step(x < box.x + box.w / 2.0 ? -1 : 1); }, {}, step});
}

void Canvas::slider(const Rect& area, const std::string& label, double value, std::function<void(double)> set) {
    text(area.x, area.y + 7.0, area.w, label, theme::dim, 11.0);
    const Rect box{area.x, area.y + 16.0, area.w, area.h - 16.0};
    fill(box, theme::field, 3.0);
    fill({box.x, box.y, box.w * std::clamp(value, 0.0, 1.0), box.h}, theme::chosen, 3.0);
    text(box.x + 7.0, box.y + box.h / 2.0, box.w - 10.0, std::to_string(static_cast<int>(std::lround(value * 100.0))) + " %",
         theme::text);
    const auto at = [box, set](double x) { set(std::clamp((x - box.x) / box.w, 0.0, 1.0)); };
    hit({box, [at](double x, double, int) { at(x); }, [at](double x, double) { at(x); },
         [set, value](int steps) { set(std::clamp(value + 0.05 * steps, 0.0, 1.0)); }});
}

std::size_t Canvas::byte_at(const std::string& text, double x) {
    std::size_t best = 0;
    double nearest = 1e9;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        if (i < text.size() && continues_character(text[i])) continue;
        const double distance = std::fabs(measure(text.substr(0, i)) - x);
        if (distance < nearest) nearest = distance, best = i;
    }
    return best;
}

void Canvas::text_field(const Rect& area, const TextEdit& edit, double& scroll, bool focused, const std::string& hint,
                        std::function<void(std::size_t, bool, int)> place) {
    fill(area, theme::field, 3.0);
    frame(area, focused ? theme::accent : theme::line);
    const double inner = area.w - 16.0, left = area.x + 8.0;
    const auto width_to = [&](std::size_t at) { return measure(edit.text().substr(0, at)); };
    const double caret = width_to(edit.cursor());
    if (focused) scroll = std::clamp(scroll, std::max(0.0, caret - inner), caret);
    else scroll = 0.0;
    cairo_save(cairo_);
    cairo_rectangle(cairo_, left - 1.0, area.y, inner + 2.0, area.h);
    cairo_clip(cairo_);
    if (focused && edit.has_selection()) {
        const double from = width_to(edit.selection_begin()), to = width_to(edit.selection_end());
        fill({left + from - scroll, area.y + 4.0, to - from, area.h - 8.0}, theme::chosen);
    }
    if (edit.text().empty() && !focused) text(left, area.y + area.h / 2.0, inner, hint, theme::dim);
    else text(left - scroll, area.y + area.h / 2.0, 1e9, edit.text(), theme::text);
    if (focused) line(left + caret - scroll, area.y + 5.0, left + caret - scroll, area.y + area.h - 5.0, theme::text);
    cairo_restore(cairo_);

    // the hit outlives this frame's cairo context: measure on a surface of its own
    const auto at = [copy = edit.text(), left, offset = scroll](double x) {
        cairo_surface_t* surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1);
        cairo_t* cairo = cairo_create(surface);
        const std::size_t byte = Canvas(cairo).byte_at(copy, x - left + offset);
        cairo_destroy(cairo);
        cairo_surface_destroy(surface);
        return byte;
    };
    hit({area,
         [at, place](double x, double, int clicks) { place(at(x), false, clicks); },
         [at, place](double x, double) { place(at(x), true, 1); },
         {}});
}

}  // namespace acestep

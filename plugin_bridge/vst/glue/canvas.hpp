// Drawing and hit areas of the editor: a thin layer over Cairo in which what is drawn says what a click on it does.
#pragma once

#include <cairo.h>

#include <functional>
#include <string>
#include <vector>

#include "text_edit.hpp"

namespace acestep {

struct Rect {
    double x = 0, y = 0, w = 0, h = 0;
    bool contains(double px, double py) const { return px >= x && px < x + w && py >= y && py < y + h; }
};

struct Color {
    double r, g, b;
};

namespace theme {
inline constexpr Color background{0.11, 0.12, 0.14}, panel{0.16, 0.17, 0.20}, field{0.08, 0.09, 0.10}, line{0.28, 0.30, 0.34};
inline constexpr Color text{0.90, 0.91, 0.93}, dim{0.58, 0.61, 0.66}, accent{0.38, 0.66, 0.98}, good{0.35, 0.78, 0.47};
inline constexpr Color bad{0.95, 0.45, 0.40}, warm{0.96, 0.72, 0.35}, button{0.22, 0.25, 0.30}, chosen{0.20, 0.29, 0.42};
}  // namespace theme

// What a place in the window reacts to. All are optional.
struct Hit {
    Rect area;
    std::function<void(double x, double y, int clicks)> press;
    std::function<void(double x, double y)> drag;   // while the button pressed here is held
    std::function<void(int steps)> wheel;
};

class Canvas {
public:
    explicit Canvas(cairo_t* cairo) : cairo_(cairo) {}

    std::vector<Hit> take_hits() { return std::move(hits_); }
    void hit(Hit hit) { hits_.push_back(std::move(hit)); }

    void fill(const Rect& area, Color color, double radius = 0.0);
    void frame(const Rect& area, Color color);
    void line(double x1, double y1, double x2, double y2, Color color, double width = 1.0);
    // Cut with … to fit the width; returns the width used. `y` is the middle of the line.
    double text(double x, double y, double width, const std::string& text, Color color, double size = 13.0, bool bold = false);
    // Several lines, at most `max_lines`; returns how many.
    int paragraph(double x, double y, double width, const std::string& text, Color color, int max_lines);
    double measure(const std::string& text, double size = 13.0, bool bold = false);

    void button(const Rect& area, const std::string& label, std::function<void()> press, Color color = theme::button,
                bool enabled = true);
    // A labelled value with arrows; the wheel works too.
    void stepper(const Rect& area, const std::string& label, const std::string& value, std::function<void(int steps)> step);
    void slider(const Rect& area, const std::string& label, double value, std::function<void(double)> set);
    void text_field(const Rect& area, const TextEdit& edit, double& scroll, bool focused, const std::string& hint,
                    std::function<void(std::size_t at, bool extend, int clicks)> place);

private:
    void font(double size, bool bold);
    std::size_t byte_at(const std::string& text, double x);

    cairo_t* cairo_;
    std::vector<Hit> hits_;
};

}  // namespace acestep

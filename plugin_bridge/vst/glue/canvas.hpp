// Drawing and hit areas of the editor: a thin layer over DPF's NanoVG in which what is drawn says what a click on it
// does. Only canvas.cpp knows NanoVG. Lengths are in points; on a screen of twice the density a point is two pixels.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "preview.hpp"
#include "sketch.hpp"
#include "text_edit.hpp"

struct NVGcontext;

namespace acestep {

struct Point {
    double x = -1.0, y = -1.0;
};

struct Rect {
    double x = 0, y = 0, w = 0, h = 0;
    bool contains(double px, double py) const { return px >= x && px < x + w && py >= y && py < y + h; }
    bool contains(Point p) const { return contains(p.x, p.y); }
    double middle() const { return y + h / 2.0; }
    double right() const { return x + w; }
    double bottom() const { return y + h; }
};

struct Color {
    double r, g, b, a = 1.0;
};

// One accent for what sounds or is chosen, and one colour for what went wrong; all else is grey.
namespace theme {
inline constexpr Color background{0.075, 0.080, 0.092}, panel{0.110, 0.118, 0.134}, field{0.052, 0.056, 0.065};
inline constexpr Color raised{0.160, 0.171, 0.193}, hovered{0.205, 0.218, 0.244}, line{0.215, 0.228, 0.255};
inline constexpr Color text{0.925, 0.935, 0.950}, dim{0.600, 0.630, 0.675}, faint{0.385, 0.410, 0.450};
inline constexpr Color accent{0.310, 0.820, 0.700}, accent_hovered{0.420, 0.890, 0.780}, on_accent{0.030, 0.110, 0.090};
inline constexpr Color chosen{0.120, 0.215, 0.205}, bad{0.950, 0.450, 0.420}, bad_panel{0.235, 0.125, 0.130};
}  // namespace theme

// Sizes of text, from the editor's name to labels.
namespace type {
inline constexpr double title = 17.0, lead = 15.0, body = 13.0, small = 11.5, label = 10.5, tiny = 9.0;
}

enum class Align { Left, Center, Right };
enum class Look { Quiet, Primary, Danger };

// What a place in the window reacts to. All are optional.
struct Hit {
    Rect area;
    std::function<void(double x, double y, int clicks)> press;
    std::function<void(double x, double y)> drag;  // while the button pressed here is held
    std::function<void(int steps)> wheel;
};

class Canvas {
public:
    // One frame. `density`: pixels for each point; `pointer`: where the mouse is, which lights up what it is over.
    Canvas(NVGcontext* context, double density, Point pointer);
    ~Canvas();
    Canvas(const Canvas&) = delete;
    Canvas& operator=(const Canvas&) = delete;

    std::vector<Hit> take_hits() { return std::move(hits_); }
    void hit(Hit hit) { hits_.push_back(std::move(hit)); }
    bool hovers(const Rect& area) const { return !covered_ && area.contains(pointer_); }
    void cover(bool covered) { covered_ = covered; }  // while something lies above what is drawn, nothing lights up

    void fill(const Rect& area, Color color, double radius = 0.0);
    void frame(const Rect& area, Color color, double radius = 0.0, double width = 1.0);
    void line(double x1, double y1, double x2, double y2, Color color, double width = 1.0);
    void dot(double x, double y, double radius, Color color);
    void arrow(double x, double y, double width, Color color);  // down: there is a list
    void note(double x, double y, double height, Color color);
    void play(double x, double y, double radius, bool stop, Color color);  // a triangle, or the square that ends it
    void star(double x, double y, double radius, bool filled, Color color);
    // Shortened with … to fit the width; returns the width used. `y` is the middle of the line.
    double text(double x, double y, double width, const std::string& text, Color color, double size = type::body,
                Align align = Align::Left);
    // Several lines, at most `max_lines`; returns how many.
    int paragraph(double x, double y, double width, const std::string& text, Color color, int max_lines, double size = type::body,
                  Align align = Align::Left);
    double measure(const std::string& text, double size = type::body);
    // Peaks dim and their mean level bright; what has been played (0–1 of the width) in the accent.
    void waveform(const Rect& area, const std::vector<PreviewLoader::Column>& columns, double played);

    // The same small: one bar for each column.
    void sketch(const Rect& area, const Sketch& columns, Color color);

    // Small, lit while `on`.
    void toggle(const Rect& area, const std::string& label, bool on, std::function<void()> press);
    // A labelled value that opens a list; `bad`: it cannot be used.
    void choice(const Rect& area, const std::string& label, const std::string& value, bool bad, std::function<void()> open);
    void button(const Rect& area, const std::string& label, std::function<void()> press, Look look = Look::Quiet,
                bool enabled = true);
    // A labelled value with arrows; the wheel works too.
    void stepper(const Rect& area, const std::string& label, const std::string& value, std::function<void(int steps)> step);
    // Its label stands above it, or inside where the area is low.
    void slider(const Rect& area, const std::string& label, double value, std::function<void(double)> set);
    void text_field(const Rect& area, const TextEdit& edit, double& scroll, bool focused, const std::string& hint,
                    std::function<void(std::size_t at, bool extend, int clicks)> place, double size = type::body);

private:
    void font(double size);
    void paint(Color color);
    void label(const Rect& area, const std::string& text);
    std::vector<double> places(const std::string& text, double size);
    std::string beginning(const std::string& text, double width, double size);

    NVGcontext* context_;
    Point pointer_;
    bool covered_ = false;
    std::vector<Hit> hits_;
};

}  // namespace acestep

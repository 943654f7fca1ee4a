// The editor: shows one Bridge and turns clicks and keys into calls on it. Drawing is in editor_draw.cpp and
// editor_results.cpp.
#pragma once

#include <array>
#include <chrono>
#include <optional>

#include "DistrhoUI.hpp"
#include "canvas.hpp"
#include "drag.hpp"
#include "glide.hpp"
#include "parts.hpp"
#include "plugin.hpp"

namespace acestep::layout {
inline constexpr double kMargin = 14.0, kGap = 8.0, kRadius = 6.0, kPad = 12.0;
}

START_NAMESPACE_DISTRHO

class Editor : public UI {
public:
    Editor();

protected:
    void parameterChanged(std::uint32_t, float) override {}  // uiIdle looks at the instance itself
    void stateChanged(const char*, const char*) override {}
    void uiIdle() override;
    void onNanoDisplay() override;
    void onResize(const ResizeEvent& event) override;
    bool onMouse(const MouseEvent& event) override;
    bool onMotion(const MotionEvent& event) override;
    bool onScroll(const ScrollEvent& event) override;
    bool onKeyboard(const KeyboardEvent& event) override;
    bool onCharacterInput(const CharacterInputEvent& event) override;

private:
    enum class Field { None, Prompt, Seed, Parts };
    static constexpr int kFramesOfSize = 2;  // some drivers hear of a new size with the frame after the next

    // editor_draw.cpp
    void draw(acestep::Canvas& canvas, double width, double height);
    void draw_header(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_daemon(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_prompt(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_settings(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_seed(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_parts(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_adapters(acestep::Canvas& canvas, const acestep::Rect& window);
    void draw_adapter(acestep::Canvas& canvas, const acestep::Rect& area, const std::string& name);
    void draw_captures(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_capture_use(acestep::Canvas& canvas, const acestep::Rect& area, acestep::CaptureUse use);
    void draw_job(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_nothing_yet(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_error(acestep::Canvas& canvas, const acestep::Rect& area);

    // editor_results.cpp
    void draw_results(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_idea(acestep::Canvas& canvas, const acestep::Rect& area, const acestep::Clip& clip);
    void draw_result(acestep::Canvas& canvas, const acestep::Rect& area, const acestep::Clip& clip,
                     const acestep::ResultLine& line);
    void draw_listen(acestep::Canvas& canvas, const acestep::Rect& area, const acestep::Clip& clip);
    void draw_note(acestep::Canvas& canvas, const acestep::Rect& area, std::vector<std::string> notes);
    void draw_clip(acestep::Canvas& canvas, const acestep::Rect& area);
    void draw_clip_buttons(acestep::Canvas& canvas, const acestep::Rect& area, const acestep::Clip& clip);
    void draw_waveform(acestep::Canvas& canvas, const acestep::Rect& area, const acestep::Clip& clip);
    std::string take_of(const acestep::Clip& clip) const;
    void draw_star(acestep::Canvas& canvas, const acestep::Rect& area, const acestep::Clip& clip);

    bool adapter_is_missing() const;

    AceStepPlugin& plugin() const;
    acestep::Bridge& bridge() const { return plugin().bridge; }
    acestep::TextEdit* focused_edit();
    void focus(Field field);
    void place_cursor(Field field, std::size_t at, bool extend, int clicks);
    void edited();
    void seed_edited();
    void set_parts(const std::string& text);
    void open_adapters();
    void close_adapters();
    void copy_to_clipboard(const std::string& text);
    void paste();
    bool edit_key(acestep::TextEdit& edit, const KeyboardEvent& event);
    bool shortcut(acestep::TextEdit& edit, std::uint32_t key);
    void set_parameter(ParameterId id, double value);
    void step_parameter(ParameterId id, int steps, int least, int most);
    void take_view();
    bool take_values();
    double density() const;
    acestep::Point points(double x, double y) const;
    std::optional<std::size_t> hit_at(acestep::Point at) const;
    const acestep::SentRequest* open_job() const;
    void maybe_drag(const std::vector<std::string>& paths, double x, double y);
    const acestep::Clip* selected() const;

    acestep::View view_;
    std::uint64_t seen_revision_ = 0;
    // what moves without a new view: the song's place, the playhead in quarters of a pixel, the progress bar
    struct Moving {
        bool playing = false;
        std::int64_t bar = 0, half_quarters = 0, playhead = -1;
        bool operator==(const Moving&) const = default;
    };
    Moving moving() const;
    Moving seen_;
    int resized_ = kFramesOfSize;  // frames still to be drawn at the new size
    acestep::Glide progress_;
    std::chrono::steady_clock::time_point last_idle_ = std::chrono::steady_clock::now();
    std::array<float, kParameterCount> values_{};  // the parameters, as shown
    acestep::TextEdit prompt_, seed_, parts_;
    double prompt_scroll_ = 0.0, seed_scroll_ = 0.0, parts_scroll_ = 0.0;
    int list_scroll_ = 0, adapters_scroll_ = 0;
    bool adapters_open_ = false;
    acestep::Rect adapter_box_;  // as drawn last
    Field focus_ = Field::None;
    std::vector<acestep::Hit> hits_;
    std::optional<acestep::Hit> held_;
    acestep::Point pointer_, pressed_;
    double waveform_width_ = 0.0;  // as drawn last
    int clicks_ = 0;
    std::chrono::steady_clock::time_point last_click_{};
    acestep::DragSource drag_;

    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(Editor)
};

END_NAMESPACE_DISTRHO

#include "editor.hpp"

#include <algorithm>
#include <cmath>

START_NAMESPACE_DISTRHO
namespace {

constexpr double kDragDistance = 8.0;
constexpr auto kDoubleClick = std::chrono::milliseconds(400);

}  // namespace

Editor::Editor() : UI(DISTRHO_UI_DEFAULT_WIDTH, DISTRHO_UI_DEFAULT_HEIGHT), prompt_(acestep::kMaxPromptBytes), adapter_(200) {
    setGeometryConstraints(640, 440, false);
    const double scale = getScaleFactor();
    if (scale > 1.0) setSize(static_cast<uint>(getWidth() * scale), static_cast<uint>(getHeight() * scale));
    const auto& p = bridge().parameters;
    values_ = {static_cast<float>(p.bars),
               static_cast<float>(p.takes),
               static_cast<float>(p.key),
               static_cast<float>(p.seed),
               p.strength,
               0.0f,
               p.preview ? 1.0f : 0.0f,
               p.level,
               static_cast<float>(p.capture_bars),
               0.0f,
               0.0f};
    bridge().open();  // audio may never have run
    take_view();
}

acestep::Bridge& Editor::bridge() { return static_cast<AceStepPlugin*>(getPluginInstancePointer())->bridge; }

void Editor::take_view() {
    seen_revision_ = bridge().revision();
    view_ = bridge().view();
    if (prompt_.text() != view_.project.prompt) prompt_.set_text(view_.project.prompt);
    if (adapter_.text() != view_.project.adapter) adapter_.set_text(view_.project.adapter);
}

void Editor::parameterChanged(std::uint32_t index, float value) {
    if (index >= kParameterCount) return;
    values_[index] = value;
    repaint();
}

void Editor::uiIdle() {
    const auto& audio = bridge().audio();
    const std::string place = std::to_string(audio.playing()) + " " + std::to_string(audio.bar()) + " " +
                              std::to_string(static_cast<int>(audio.quarters_in_bar() * 2.0)) + " " +
                              std::to_string(bridge().preview_position() / 1024);
    if (bridge().revision() != seen_revision_) take_view();
    else if (place == seen_place_) return;
    seen_place_ = place;
    repaint();
}

void Editor::onCairoDisplay(const CairoGraphicsContext& context) {
    cairo_t* cairo = context.handle;
    const double scale = std::max(1.0, getScaleFactor());
    cairo_save(cairo);
    cairo_scale(cairo, scale, scale);
    acestep::Canvas canvas(cairo);
    draw(canvas, getWidth() / scale, getHeight() / scale);
    hits_ = canvas.take_hits();
    cairo_restore(cairo);
}

bool Editor::onMouse(const MouseEvent& event) {
    if (event.button != kMouseButtonLeft) return false;
    if (!event.press) {
        held_.reset();
        return true;
    }
    const double scale = std::max(1.0, getScaleFactor());
    const double x = event.pos.getX() / scale, y = event.pos.getY() / scale;
    const auto now = std::chrono::steady_clock::now();
    const bool near = std::hypot(x - press_x_, y - press_y_) < 5.0;
    clicks_ = near && now - last_click_ < kDoubleClick ? clicks_ + 1 : 1;
    last_click_ = now;
    press_x_ = x;
    press_y_ = y;
    const auto found =
        std::find_if(hits_.rbegin(), hits_.rend(), [&](const auto& hit) { return hit.press && hit.area.contains(x, y); });
    const Field before = focus_;
    if (found == hits_.rend()) {
        focus(Field::None);
        return true;
    }
    held_ = *found;
    focus_ = Field::None;  // a text field takes it back
    held_->press(x, y, clicks_);
    if (before != focus_) repaint();
    return true;
}

bool Editor::onMotion(const MotionEvent& event) {
    if (!held_ || !held_->drag) return false;
    const double scale = std::max(1.0, getScaleFactor());
    const auto drag = held_->drag;  // may end the hold
    drag(event.pos.getX() / scale, event.pos.getY() / scale);
    return true;
}

bool Editor::onScroll(const ScrollEvent& event) {
    const double scale = std::max(1.0, getScaleFactor());
    const double x = event.pos.getX() / scale, y = event.pos.getY() / scale;
    const int steps = event.delta.getY() > 0 ? 1 : event.delta.getY() < 0 ? -1 : 0;
    for (auto hit = hits_.rbegin(); hit != hits_.rend(); ++hit) {
        if (!hit->wheel || !hit->area.contains(x, y) || steps == 0) continue;
        const auto wheel = hit->wheel;
        wheel(steps);
        return true;
    }
    return false;
}

void Editor::maybe_drag(const std::string& path, double x, double y) {
    if (drag_.active() || std::hypot(x - press_x_, y - press_y_) < kDragDistance) return;
    held_.reset();
    drag_.start(path, getWindow().getNativeWindowHandle());
}

acestep::TextEdit* Editor::focused_edit() {
    return focus_ == Field::Prompt ? &prompt_ : focus_ == Field::Adapter ? &adapter_ : nullptr;
}

void Editor::focus(Field field) {
    focus_ = field;
    if (field != Field::None) getWindow().focus();  // hosts keep the keyboard until asked
    repaint();
}

void Editor::place_cursor(Field field, std::size_t at, bool extend, int clicks) {
    if (focus_ != field) focus(field);
    acestep::TextEdit& edit = *focused_edit();
    if (clicks == 2) edit.select_word(at);
    else if (clicks > 2) edit.select_all();
    else edit.move_to(at, extend);
    repaint();
}

void Editor::edited() {
    if (focus_ == Field::Prompt && prompt_.text() != view_.project.prompt) bridge().set_prompt(prompt_.text());
    if (focus_ == Field::Adapter && adapter_.text() != view_.project.adapter)
        bridge().set_adapter(adapter_.text(), view_.project.adapter_scale);
    take_view();
    repaint();
}

void Editor::copy_to_clipboard(const std::string& text) {
    if (!text.empty()) getWindow().setClipboard("text/plain", text.c_str(), text.size());  // no zero at its end
}

void Editor::paste() {
    std::size_t size = 0;
    const auto* data = static_cast<const char*>(getWindow().getClipboard(size));
    if (!data || !focused_edit()) return;
    std::string text(data, size);
    text.erase(std::find(text.begin(), text.end(), '\0'), text.end());
    focused_edit()->insert(text);
}

bool Editor::shortcut(acestep::TextEdit& edit, std::uint32_t key) {
    switch (key | 0x20) {
        case 'a': edit.select_all(); return true;
        case 'c': copy_to_clipboard(edit.selection()); return true;
        case 'x': copy_to_clipboard(edit.cut()); return true;
        case 'v': paste(); return true;
        case 'z': edit.undo(); return true;
        default: return false;
    }
}

bool Editor::edit_key(acestep::TextEdit& edit, const KeyboardEvent& event) {
    const bool shift = event.mod & kModifierShift, control = event.mod & (kModifierControl | kModifierSuper);
    switch (event.key) {
        case kKeyLeft: edit.move_left(control, shift); return true;
        case kKeyRight: edit.move_right(control, shift); return true;
        case kKeyHome: edit.move_to(0, shift); return true;
        case kKeyEnd: edit.move_to(edit.text().size(), shift); return true;
        case kKeyBackspace: edit.backspace(control); return true;
        case kKeyDelete: edit.del(control); return true;
        case kKeyInsert:
            if (shift) paste();
            else if (control) copy_to_clipboard(edit.selection());
            return shift || control;
        case kKeyEscape: focus(Field::None); return true;
        case '\t': focus(focus_ == Field::Prompt ? Field::Adapter : Field::Prompt); return true;
        case '\r':
        case '\n':
            if (focus_ == Field::Prompt) bridge().generate();
            return true;
        default: return control && shortcut(edit, event.key);
    }
}

bool Editor::onKeyboard(const KeyboardEvent& event) {
    acestep::TextEdit* edit = focused_edit();
    if (!edit || !event.press) return false;
    if (!edit_key(*edit, event)) return false;
    edited();
    return true;
}

bool Editor::onCharacterInput(const CharacterInputEvent& event) {
    acestep::TextEdit* edit = focused_edit();
    if (!edit || event.character < 32 || event.character == 127 || (event.mod & (kModifierControl | kModifierSuper)))
        return false;
    edit->insert(event.string);
    edited();
    return true;
}

void Editor::set_parameter(ParameterId id, double value) {
    values_[id] = static_cast<float>(value);
    // the host hears of it for automation; the instance is set as well, since a host without running audio waits
    editParameter(id, true);
    setParameterValue(id, values_[id]);
    editParameter(id, false);
    auto& p = bridge().parameters;
    const int whole = static_cast<int>(std::lround(value));
    if (id == kBars) p.bars = whole;
    if (id == kTakes) p.takes = whole;
    if (id == kKey) p.key = whole;
    if (id == kSeed) p.seed = whole;
    if (id == kStrength) p.strength = values_[id];
    if (id == kPreview) p.preview = value > 0.5;
    if (id == kLevel) p.level = values_[id];
    if (id == kCaptureBars) p.capture_bars = whole;
    repaint();
}

void Editor::step_parameter(ParameterId id, int steps, int least, int most) {
    set_parameter(id, std::clamp(static_cast<int>(std::lround(values_[id])) + steps, least, most));
}

const acestep::Clip* Editor::selected() const {
    const auto& results = view_.project.results;
    const auto found =
        std::find_if(results.rbegin(), results.rend(), [&](const auto& clip) { return clip.path == view_.project.selected; });
    return found == results.rend() ? nullptr : &*found;
}

UI* createUI() { return new Editor(); }

END_NAMESPACE_DISTRHO

#include "editor.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

START_NAMESPACE_DISTRHO
namespace {

constexpr uint kLeastWidth = 640, kLeastHeight = 560;
constexpr std::size_t kSeedDigits = 5;
constexpr double kDragDistance = 8.0;
constexpr auto kDoubleClick = std::chrono::milliseconds(400);

}  // namespace

Editor::Editor()
    : UI(DISTRHO_UI_DEFAULT_WIDTH, DISTRHO_UI_DEFAULT_HEIGHT), prompt_(acestep::kMaxPromptBytes), seed_(kSeedDigits),
      parts_(acestep::kMaxPartsBytes) {
    loadSharedResources();  // the font
    const double scale = density();
    setGeometryConstraints(static_cast<uint>(kLeastWidth * scale), static_cast<uint>(kLeastHeight * scale), false);
    if (scale > 1.0) setSize(static_cast<uint>(getWidth() * scale), static_cast<uint>(getHeight() * scale));
    bridge().open();  // audio may never have run
    take_view();
    take_values();
}

AceStepPlugin& Editor::plugin() const { return *static_cast<AceStepPlugin*>(getPluginInstancePointer()); }

void Editor::take_view() {
    seen_revision_ = bridge().revision();
    view_ = bridge().view();
    if (prompt_.text() != view_.project.prompt) prompt_.set_text(view_.project.prompt);
    if (parts_.text() != view_.project.parts) parts_.set_text(view_.project.parts);
    const acestep::SentRequest* job = open_job();
    if (!job) progress_.set(0.0);
    else if (job->fraction < progress_.value()) progress_.set(job->fraction);  // another job: back at once
    else progress_.head_for(job->fraction);
}

const acestep::SentRequest* Editor::open_job() const {
    const auto open = std::find_if(view_.jobs.begin(), view_.jobs.end(), [](const auto& job) { return job.open(); });
    return open == view_.jobs.end() ? nullptr : &*open;
}

// Whether one has changed: the host's automation, a restored song.
bool Editor::take_values() {
    const auto before = values_;
    for (std::uint32_t i = 0; i < kParameterCount; ++i) values_[i] = plugin().getParameterValue(i);
    return values_ != before;
}

double Editor::density() const { return std::max(1.0, getScaleFactor()); }

acestep::Point Editor::points(double x, double y) const { return {x / density(), y / density()}; }

Editor::Moving Editor::moving() const {
    const auto& audio = bridge().audio();
    Moving now{audio.playing(), audio.bar(), static_cast<std::int64_t>(audio.quarters_in_bar() * 2.0), -1};
    const std::int64_t at = bridge().preview_position();
    if (at >= 0 && view_.waveform_frames > 0)
        now.playhead = static_cast<std::int64_t>(4.0 * waveform_width_ * density() * static_cast<double>(at) /
                                                 static_cast<double>(view_.waveform_frames));
    return now;
}

// Called sixty times a second by most hosts. Nothing is drawn while nothing changes.
void Editor::uiIdle() {
    const auto now = std::chrono::steady_clock::now();
    const double passed_s = std::chrono::duration<double>(now - std::exchange(last_idle_, now)).count();
    const bool changed = bridge().revision() != seen_revision_;
    if (changed) take_view();
    const bool gliding = progress_.moving();
    progress_.advance(passed_s);
    const Moving place = moving();
    const bool fresh = resized_ > 0;
    if (fresh) --resized_;
    const bool set = take_values();
    if (changed || gliding || fresh || set || place != seen_) repaint();
    seen_ = place;
}

void Editor::onResize(const ResizeEvent& event) {
    UI::onResize(event);
    resized_ = kFramesOfSize;
}

void Editor::onNanoDisplay() {
    acestep::Canvas canvas(getContext(), density(), pointer_);
    draw(canvas, getWidth() / density(), getHeight() / density());
    hits_ = canvas.take_hits();
}

std::optional<std::size_t> Editor::hit_at(acestep::Point at) const {
    for (std::size_t i = hits_.size(); i-- > 0;)
        if (hits_[i].press && hits_[i].area.contains(at)) return i;
    return std::nullopt;
}

bool Editor::onMouse(const MouseEvent& event) {
    if (event.button != kMouseButtonLeft) return false;
    if (!event.press) {
        held_.reset();
        return true;
    }
    const acestep::Point at = points(event.pos.getX(), event.pos.getY());
    const auto now = std::chrono::steady_clock::now();
    const bool near = std::hypot(at.x - pressed_.x, at.y - pressed_.y) < 5.0;
    clicks_ = near && now - last_click_ < kDoubleClick ? clicks_ + 1 : 1;
    last_click_ = now;
    pressed_ = at;
    const auto found = hit_at(at);
    const Field before = focus_;
    if (!found) {
        focus(Field::None);
        return true;
    }
    held_ = hits_[*found];
    focus_ = Field::None;  // a text field takes it back
    const auto press = held_->press;  // may end the hold
    press(at.x, at.y, clicks_);
    if (before != focus_) repaint();
    return true;
}

bool Editor::onMotion(const MotionEvent& event) {
    const auto before = hit_at(pointer_);
    pointer_ = points(event.pos.getX(), event.pos.getY());
    if (hit_at(pointer_) != before) repaint();
    if (!held_ || !held_->drag) return false;
    const auto drag = held_->drag;  // may end the hold
    drag(pointer_.x, pointer_.y);
    return true;
}

bool Editor::onScroll(const ScrollEvent& event) {
    const acestep::Point at = points(event.pos.getX(), event.pos.getY());
    const int steps = event.delta.getY() > 0 ? 1 : event.delta.getY() < 0 ? -1 : 0;
    for (auto hit = hits_.rbegin(); hit != hits_.rend(); ++hit) {
        if (!hit->wheel || !hit->area.contains(at) || steps == 0) continue;
        const auto wheel = hit->wheel;
        wheel(steps);
        return true;
    }
    return false;
}

void Editor::maybe_drag(const std::vector<std::string>& paths, double x, double y) {
    if (paths.empty() || drag_.active() || std::hypot(x - pressed_.x, y - pressed_.y) < kDragDistance) return;
    held_.reset();
    drag_.start(paths, getWindow().getNativeWindowHandle());
}

acestep::TextEdit* Editor::focused_edit() {
    switch (focus_) {
        case Field::Prompt: return &prompt_;
        case Field::Seed: return &seed_;
        case Field::Parts: return &parts_;
        default: return nullptr;
    }
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

// Digits only; without any, each request draws a seed of its own.
void Editor::seed_edited() {
    std::string digits = seed_.text();
    std::erase_if(digits, [](char c) { return c < '0' || c > '9'; });
    if (digits != seed_.text()) seed_.set_text(digits);
    set_parameter(kSeed, digits.empty() ? 0 : std::min(std::stoi(digits), kMaxSeed));
}

void Editor::set_parts(const std::string& text) {
    bridge().set_parts(text);
    take_view();
    repaint();
}

void Editor::open_adapters() {
    adapters_open_ = true;
    adapters_scroll_ = 0;
    bridge().look_for_adapters();  // one may have been trained a moment ago
    repaint();
}

void Editor::close_adapters() {
    adapters_open_ = false;
    repaint();
}

void Editor::edited() {
    if (focus_ == Field::Seed) seed_edited();
    if (focus_ == Field::Prompt && prompt_.text() != view_.project.prompt) bridge().set_prompt(prompt_.text());
    if (focus_ == Field::Parts && parts_.text() != view_.project.parts) bridge().set_parts(parts_.text());
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
        case '\t':
            focus(focus_ == Field::Prompt ? Field::Seed : focus_ == Field::Seed ? Field::Parts : Field::Prompt);
            return true;
        case '\r':
        case '\n':
            if (focus_ != Field::Seed) bridge().generate();
            return true;
        default: return control && shortcut(edit, event.key);
    }
}

bool Editor::onKeyboard(const KeyboardEvent& event) {
    acestep::TextEdit* edit = focused_edit();
    if (event.press && event.key == kKeyEscape && adapters_open_) return close_adapters(), true;
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
    // the host hears of it for automation; the instance is set as well, since a host without running audio waits
    editParameter(id, true);
    setParameterValue(id, static_cast<float>(value));
    editParameter(id, false);
    plugin().setParameterValue(id, static_cast<float>(value));
    take_values();
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

#include "text_edit.hpp"

#include <algorithm>

#include "project.hpp"

namespace acestep {
namespace {

constexpr std::size_t kMaxUndo = 100;

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

std::string one_line(std::string_view text, std::size_t max_bytes) {
    std::string out = clean_text(text, max_bytes);
    std::replace(out.begin(), out.end(), '\n', ' ');
    return out;
}

}  // namespace

void TextEdit::set_text(std::string_view text) {
    text_ = one_line(text, max_bytes_);
    cursor_ = anchor_ = text_.size();
    past_.clear();
}

void TextEdit::remember() {
    past_.push_back(text_);
    if (past_.size() > kMaxUndo) past_.erase(past_.begin());
}

void TextEdit::erase(std::size_t begin, std::size_t end) {
    text_.erase(begin, end - begin);
    cursor_ = anchor_ = begin;
}

void TextEdit::insert(std::string_view text) {
    const std::size_t kept = text_.size() - (selection_end() - selection_begin());
    const std::string clean = one_line(text, max_bytes_ - std::min(max_bytes_, kept));
    if (clean.empty() && !has_selection()) return;
    remember();
    erase(selection_begin(), selection_end());
    text_.insert(cursor_, clean);
    cursor_ = anchor_ = cursor_ + clean.size();
}

std::size_t TextEdit::before(std::size_t at, bool word) const {
    const auto step = [this](std::size_t i) {
        do --i;
        while (i > 0 && continues_character(text_[i]));
        return i;
    };
    if (at == 0) return 0;
    if (!word) return step(at);
    while (at > 0 && text_[step(at)] == ' ') at = step(at);
    while (at > 0 && text_[step(at)] != ' ') at = step(at);
    return at;
}

std::size_t TextEdit::after(std::size_t at, bool word) const {
    const auto step = [this](std::size_t i) {
        do ++i;
        while (i < text_.size() && continues_character(text_[i]));
        return i;
    };
    if (at >= text_.size()) return text_.size();
    if (!word) return step(at);
    while (at < text_.size() && text_[at] != ' ') at = step(at);
    while (at < text_.size() && text_[at] == ' ') at = step(at);
    return at;
}

void TextEdit::backspace(bool word) {
    const std::size_t begin = has_selection() ? selection_begin() : before(cursor_, word);
    if (begin == selection_end()) return;
    remember();
    erase(begin, selection_end());
}

void TextEdit::del(bool word) {
    const std::size_t end = has_selection() ? selection_end() : after(cursor_, word);
    if (end == selection_begin()) return;
    remember();
    erase(selection_begin(), end);
}

void TextEdit::move_left(bool word, bool select) {
    cursor_ = has_selection() && !select && !word ? selection_begin() : before(cursor_, word);
    if (!select) anchor_ = cursor_;
}

void TextEdit::move_right(bool word, bool select) {
    cursor_ = has_selection() && !select && !word ? selection_end() : after(cursor_, word);
    if (!select) anchor_ = cursor_;
}

void TextEdit::move_to(std::size_t at, bool select) {
    at = std::min(at, text_.size());
    while (at > 0 && at < text_.size() && continues_character(text_[at])) --at;
    cursor_ = at;
    if (!select) anchor_ = cursor_;
}

void TextEdit::select_all() {
    anchor_ = 0;
    cursor_ = text_.size();
}

void TextEdit::select_word(std::size_t at) {
    move_to(at, false);
    while (anchor_ > 0 && text_[before(anchor_, false)] != ' ') anchor_ = before(anchor_, false);
    while (cursor_ < text_.size() && text_[cursor_] != ' ') cursor_ = after(cursor_, false);
}

std::string TextEdit::cut() {
    const std::string taken = selection();
    if (has_selection()) backspace(false);
    return taken;
}

void TextEdit::undo() {
    if (past_.empty()) return;
    text_ = past_.back();
    past_.pop_back();
    cursor_ = anchor_ = text_.size();
}

}  // namespace acestep

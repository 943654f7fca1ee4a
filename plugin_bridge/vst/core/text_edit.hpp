// One line of text being edited: cursor, selection, undo. UTF-8 in, UTF-8 out.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace acestep {

class TextEdit {
public:
    explicit TextEdit(std::size_t max_bytes) : max_bytes_(max_bytes) {}

    const std::string& text() const { return text_; }
    std::size_t cursor() const { return cursor_; }
    std::size_t selection_begin() const { return cursor_ < anchor_ ? cursor_ : anchor_; }
    std::size_t selection_end() const { return cursor_ < anchor_ ? anchor_ : cursor_; }
    bool has_selection() const { return cursor_ != anchor_; }
    std::string selection() const { return text_.substr(selection_begin(), selection_end() - selection_begin()); }

    void set_text(std::string_view text);  // from outside: cursor to the end, undo forgotten
    void insert(std::string_view text);    // replaces the selection; line breaks become spaces
    void backspace(bool word);
    void del(bool word);
    void move_left(bool word, bool select);
    void move_right(bool word, bool select);
    void move_to(std::size_t at, bool select);  // the nearest character boundary
    void select_all();
    void select_word(std::size_t at);
    std::string cut();
    void undo();

private:
    std::size_t before(std::size_t at, bool word) const;
    std::size_t after(std::size_t at, bool word) const;
    void erase(std::size_t begin, std::size_t end);
    void remember();

    std::size_t max_bytes_;
    std::string text_;
    std::size_t cursor_ = 0, anchor_ = 0;
    std::vector<std::string> past_;
};

}  // namespace acestep

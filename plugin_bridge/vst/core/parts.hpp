// An idea in parts: the text that asks for them (`drums: dusty; bass`), and results as a list shows them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "project.hpp"

namespace acestep {

inline constexpr const char* kMix = "mix";  // what all parts of an idea together are called

// The pieces of a text that asks for parts, each a name and perhaps a colon and words of its own. Between parts stands a
// semicolon, a line break, or, up to the first colon, a comma.
std::vector<std::string> split_parts(std::string_view text);
std::string part_name(std::string_view piece);  // `Backing Vocals: soft` is `backing_vocals`
bool names_part(std::string_view text, const std::string& name);
std::string with_part(std::string_view text, const std::string& name);     // added at the end
std::string without_part(std::string_view text, const std::string& name);  // taken out with its words

// One line of the list. A clip's or a part's is of results[index]; an idea's stands above its parts.
struct ResultLine {
    enum class Kind { Clip, Idea, Part };
    Kind kind = Kind::Clip;
    std::size_t index = 0;
    bool replaced = false;  // a part that was made anew later
    bool operator==(const ResultLine&) const = default;
};

// Newest first; an idea stands where its newest clip does, with the mix first and the other parts as they were made.
std::vector<ResultLine> result_lines(const std::vector<Clip>& results);

// The newest clip of each part, without the mix; the mix where there is nothing else.
std::vector<const Clip*> parts_of(const std::vector<Clip>& results, const std::string& idea);

}  // namespace acestep

#include "parts.hpp"

#include <algorithm>

namespace acestep {
namespace {

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\n";
    const auto begin = text.find_first_not_of(blanks);
    return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::vector<std::string_view> cut(std::string_view text, std::string_view at) {
    std::vector<std::string_view> pieces;
    for (std::size_t end = 0; end != std::string_view::npos; text.remove_prefix(end == std::string_view::npos ? 0 : end + 1)) {
        end = text.find_first_of(at);
        pieces.push_back(text.substr(0, end));
    }
    return pieces;
}

bool has_words(std::string_view piece) { return piece.find(':') != std::string_view::npos; }

std::string joined(const std::vector<std::string>& pieces) {
    const bool words = std::any_of(pieces.begin(), pieces.end(), has_words);
    std::string out;
    for (const std::string& piece : pieces) out += (out.empty() ? "" : words ? "; " : ", ") + piece;
    return out;
}

std::vector<std::string> without(std::string_view text, const std::string& name) {
    std::vector<std::string> pieces = split_parts(text);
    std::erase_if(pieces, [&name](const std::string& piece) { return part_name(piece) == name; });
    return pieces;
}

// The clips of an idea by part, oldest first, the mix before all others.
std::vector<std::size_t> members(const std::vector<Clip>& results, const std::string& idea) {
    std::vector<std::string> names = {kMix};
    for (const Clip& clip : results)
        if (clip.idea == idea && std::find(names.begin(), names.end(), clip.part) == names.end()) names.push_back(clip.part);
    std::vector<std::size_t> out;
    for (const std::string& name : names)
        for (std::size_t i = 0; i < results.size(); ++i)
            if (results[i].idea == idea && results[i].part == name) out.push_back(i);
    return out;
}

}  // namespace

std::vector<std::string> split_parts(std::string_view text) {
    std::vector<std::string> out;
    for (const std::string_view line : cut(text, ";\n")) {
        bool words = false;  // behind a colon a comma belongs to the words, unless another part with a colon follows it
        for (const std::string_view piece : cut(line, ",")) {
            if (words && !has_words(piece)) {
                out.back().append(", ").append(trimmed(piece));
                continue;
            }
            words = has_words(piece);
            if (!trimmed(piece).empty()) out.emplace_back(trimmed(piece));
        }
    }
    return out;
}

std::string part_name(std::string_view piece) {
    std::string out;
    for (const char c : trimmed(piece.substr(0, piece.find(':')))) {
        const bool gap = c == ' ' || c == '\t' || c == '_' || c == '-';
        if (!gap) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        else if (out.empty() || out.back() != '_') out += '_';
    }
    return out;
}

bool names_part(std::string_view text, const std::string& name) {
    const auto pieces = split_parts(text);
    return std::any_of(pieces.begin(), pieces.end(), [&name](const std::string& piece) { return part_name(piece) == name; });
}

std::string with_part(std::string_view text, const std::string& name) {
    std::vector<std::string> pieces = split_parts(text);
    if (!names_part(text, name)) pieces.push_back(name);
    return joined(pieces);
}

std::string without_part(std::string_view text, const std::string& name) { return joined(without(text, name)); }

std::vector<ResultLine> result_lines(const std::vector<Clip>& results) {
    std::vector<ResultLine> lines;
    std::vector<std::string> seen;
    for (std::size_t i = results.size(); i-- > 0;) {
        const std::string& idea = results[i].idea;
        if (idea.empty()) lines.push_back({ResultLine::Kind::Clip, i, false});
        if (idea.empty() || std::find(seen.begin(), seen.end(), idea) != seen.end()) continue;
        seen.push_back(idea);
        const auto clips = members(results, idea);
        lines.push_back({ResultLine::Kind::Idea, clips.front(), false});
        for (std::size_t k = 0; k < clips.size(); ++k) {
            const bool replaced = k + 1 < clips.size() && results[clips[k + 1]].part == results[clips[k]].part;
            lines.push_back({ResultLine::Kind::Part, clips[k], replaced});
        }
    }
    return lines;
}

std::vector<const Clip*> parts_of(const std::vector<Clip>& results, const std::string& idea) {
    std::vector<const Clip*> all;
    for (const std::size_t index : members(results, idea)) {
        if (!all.empty() && all.back()->part == results[index].part) all.pop_back();
        all.push_back(&results[index]);
    }
    if (all.size() > 1 && all.front()->part == kMix) all.erase(all.begin());
    return all;
}

}  // namespace acestep

#include "launch.hpp"

#include <fstream>
#include <utility>

#include "paths.hpp"

namespace acestep {

std::vector<std::string> split_command(const std::string& text) {
    std::vector<std::string> words;
    std::string word;
    bool quoted = false, in_word = false;
    for (const char c : text) {
        if (c == '"') {
            quoted = !quoted;
            in_word = true;
        } else if (c == ' ' && !quoted) {
            if (in_word) words.push_back(std::exchange(word, {}));
            in_word = false;
        } else {
            word += c;
            in_word = true;
        }
    }
    if (in_word) words.push_back(word);
    return words;
}

std::vector<std::string> daemon_command() {
    auto words = split_command(environment("ACESTEP_COMMAND"));
    return words.empty() ? std::vector<std::string>{"acestep", "serve"} : words;
}

std::string cannot_start(const std::string& program, const std::string& why) {
    return "cannot start `" + program + "` (" + why +
           "): install it with `pip install acestep-bridge`, or set ACESTEP_COMMAND to the command that starts it";
}

std::string daemon_ended(const std::filesystem::path& log) {
    std::ifstream file(log);
    std::string line, last;
    while (std::getline(file, line))
        if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
    while (last.ends_with('\r')) last.pop_back();
    return "the daemon ended" + (last.empty() ? std::string() : ": " + last) + " (its output is in " + text_of(log) + ")";
}

}  // namespace acestep

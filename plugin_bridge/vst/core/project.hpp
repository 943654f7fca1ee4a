// What is saved with the song: the prompt and its settings, the captures in use, and the results so far, as one text.
// The host saves the parameters (bars, takes, key, seed …) itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace acestep {

inline constexpr std::size_t kMaxPromptBytes = 2000;
inline constexpr std::size_t kMaxPartsBytes = 2000;
inline constexpr std::size_t kMaxResults = 200;
inline constexpr double kMaxAdapterScale = 4.0;
inline constexpr std::size_t kMaxAdapterBytes = 1000;  // of its name

struct Clip {
    std::string job, path, prompt, signature, key;
    double bpm = 0.0, bars = 0.0, tempo_error_pct = 0.0;
    bool starred = false;
    std::string idea, part;  // where it is a part of an idea
    std::string midi;        // path of its notes, where there are some
    bool operator==(const Clip&) const = default;
};

struct Project {
    std::string instance;   // names this plugin in the daemon and in the names of its captures
    std::string prompt, adapter, reference, context;
    double adapter_scale = 1.0;
    std::string parts;           // as `drums: dusty; bass`; empty: one clip
    bool midi = false;           // the notes as well
    std::vector<Clip> results;   // newest last
    std::string selected;        // path of the selected result
    bool operator==(const Project&) const = default;
};

std::string encode_project(const Project& project);
// Unknown lines are skipped (a newer version wrote them), damaged values keep their default.
Project decode_project(std::string_view text);

std::string random_instance();

// Shortest decimal that reads back as `value`, whatever the locale.
std::string plain_number(double value);

// The most that a clip can have: its numbers come from songs and the network, and are drawn.
inline constexpr double kMaxClipBars = 4096.0, kMaxClipBpm = 2000.0;
double at_most(double value, double most);  // of what is not a number, or below 0: 0

// Valid UTF-8 without control characters (line breaks stay), at most `max_bytes`.
std::string clean_text(std::string_view text, std::size_t max_bytes);

// The 24 keys by the number the "Key" parameter has for them; 0 is "" (leave it to the prompt).
inline constexpr int kKeyCount = 25;
const char* key_name(int number);

}  // namespace acestep

#include "wording.hpp"

#include <algorithm>
#include <cstdio>

#include "paths.hpp"

namespace acestep::wording {
namespace {

// How far the beat may be from the grid at the clip's end, by its measured tempo; negative: not measured.
double drift_ms(const Clip& clip) {
    int over = 4, under = 4;
    if (clip.tempo_error_pct < 0 || clip.bpm <= 0) return -1.0;
    if (std::sscanf(clip.signature.c_str(), "%d/%d", &over, &under) != 2 || over < 1 || under < 1) over = under = 4;
    return clip.bars * over * 4.0 / under * 60000.0 / clip.bpm * clip.tempo_error_pct / 100.0;
}

}  // namespace

std::string number(double value, int decimals) {
    char text[48];
    std::snprintf(text, sizeof(text), "%.*f", decimals, value);
    std::string out(text);
    std::replace(out.begin(), out.end(), ',', '.');
    while (decimals > 0 && out.back() == '0') out.pop_back();
    if (out.back() == '.') out.pop_back();
    return out;
}

std::string count_of(long count, const std::string& what) { return std::to_string(count) + " " + what + (count == 1 ? "" : "s"); }

// A cascade's stages are named by letters; before them stands the part that is made, if any.
std::string stage_in_words(const std::string& stage) {
    const auto colon = stage.rfind(": ");
    const std::size_t begin = colon == std::string::npos ? 0 : colon + 2;
    return stage.size() == begin + 1 ? stage.substr(0, begin) + "stage " + stage.substr(begin) : stage;
}

std::string describe(const Clip& clip) {
    constexpr double kHeard_ms = 20.0;  // below that two attacks are one
    std::string out = number(clip.bpm, 2) + " BPM";
    if (!clip.signature.empty()) out += " · " + clip.signature;
    if (!clip.key.empty()) out += " · " + clip.key;
    out += " · " + number(clip.bars, 2) + (clip.bars == 1.0 ? " bar" : " bars");
    const double drift = drift_ms(clip);
    if (drift < 0) return out;
    const std::string far = number(drift, drift < 10 ? 1 : 0) + " ms";
    return out + (drift < kHeard_ms ? " · on the beat ± " + far : " · off the beat by " + far);
}

std::string in_short(const Clip& clip) {
    return number(clip.bpm, 2) + " BPM · " + number(clip.bars, 2) + (clip.bars == 1.0 ? " bar" : " bars") +
           (clip.key.empty() ? "" : " · " + clip.key);
}

std::string file_name(const std::string& path) { return text_of(path_of(path).filename()); }

std::string title_of(const Clip& clip) { return clip.prompt.empty() ? file_name(clip.path) : clip.prompt; }

}  // namespace acestep::wording

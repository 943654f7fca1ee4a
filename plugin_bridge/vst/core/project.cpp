#include "project.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <random>

namespace acestep {
namespace {

constexpr std::string_view kHeader = "acestep-plugin 1";

std::string escape(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\\') out += "\\\\";
        else if (c == '\n') out += "\\n";
        else if (c == '\t') out += "\\t";
        else out += c;
    }
    return out;
}

std::string unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 1 == text.size()) {
            out += text[i];
            continue;
        }
        ++i;
        out += text[i] == 'n' ? '\n' : text[i] == 't' ? '\t' : text[i];
    }
    return out;
}

double number_value(std::string_view text, double otherwise) {
    double value = otherwise;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() && std::isfinite(value) ? value : otherwise;
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    for (;;) {
        const auto end = text.find(at);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

void read_line(std::string_view name, std::string_view value, Project& project) {
    if (name == "instance") project.instance = clean_text(unescape(value), 64);
    else if (name == "prompt") project.prompt = clean_text(unescape(value), kMaxPromptBytes);
    else if (name == "adapter") project.adapter = clean_text(unescape(value), kMaxAdapterBytes);
    else if (name == "adapter_scale") project.adapter_scale = at_most(number_value(value, 1.0), kMaxAdapterScale);
    else if (name == "parts") project.parts = clean_text(unescape(value), kMaxPartsBytes);
    else if (name == "midi") project.midi = value == "1";
    else if (name == "reference") project.reference = clean_text(unescape(value), 4096);
    else if (name == "context") project.context = clean_text(unescape(value), 4096);
    else if (name == "selected") project.selected = clean_text(unescape(value), 4096);
    else if (name == "result" && project.results.size() < kMaxResults) {
        const auto fields = split(value, '\t');
        if (fields.size() < 8) return;
        Clip clip;
        clip.job = clean_text(unescape(fields[0]), 200);
        clip.path = clean_text(unescape(fields[1]), 4096);
        clip.prompt = clean_text(unescape(fields[2]), kMaxPromptBytes);
        clip.signature = clean_text(unescape(fields[3]), 20);
        clip.key = clean_text(unescape(fields[4]), 20);
        clip.bpm = at_most(number_value(fields[5], 0.0), kMaxClipBpm);
        clip.bars = at_most(number_value(fields[6], 0.0), kMaxClipBars);
        clip.tempo_error_pct = number_value(fields[7], 0.0);
        clip.starred = fields.size() > 8 && fields[8] == "starred";  // older songs have fewer fields
        if (fields.size() > 9) clip.idea = clean_text(unescape(fields[9]), 200);
        if (fields.size() > 10) clip.part = clean_text(unescape(fields[10]), 200);
        if (fields.size() > 11) clip.midi = clean_text(unescape(fields[11]), 4096);
        project.results.push_back(std::move(clip));
    }
}

// Bytes of the UTF-8 character that starts here, 0 when it is none.
std::size_t character_bytes(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t size = lead < 0x80                   ? 1
                             : lead >= 0xC2 && lead < 0xE0 ? 2
                             : (lead & 0xF0) == 0xE0       ? 3
                             : lead >= 0xF0 && lead < 0xF5 ? 4
                                                           : 0;
    if (size == 0 || size > text.size()) return 0;
    for (std::size_t i = 1; i < size; ++i)
        if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
    return size;
}

}  // namespace

std::string encode_project(const Project& project) {
    std::string out(kHeader);
    const auto line = [&out](std::string_view name, std::string_view value) {
        out.append("\n").append(name).append(" ").append(value);
    };
    line("instance", escape(project.instance));
    line("prompt", escape(project.prompt));
    line("adapter", escape(project.adapter));
    line("adapter_scale", plain_number(project.adapter_scale));
    line("parts", escape(project.parts));
    line("midi", project.midi ? "1" : "0");
    line("reference", escape(project.reference));
    line("context", escape(project.context));
    line("selected", escape(project.selected));
    for (const Clip& clip : project.results)
        line("result", escape(clip.job) + '\t' + escape(clip.path) + '\t' + escape(clip.prompt) + '\t' + escape(clip.signature) +
                           '\t' + escape(clip.key) + '\t' + plain_number(clip.bpm) + '\t' + plain_number(clip.bars) + '\t' +
                           plain_number(clip.tempo_error_pct) + (clip.starred ? "\tstarred\t" : "\t\t") + escape(clip.idea) +
                           '\t' + escape(clip.part) + '\t' + escape(clip.midi));
    return out;
}

Project decode_project(std::string_view text) {
    Project project;
    for (const std::string_view line : split(text, '\n')) {
        const auto space = line.find(' ');
        if (space != std::string_view::npos) read_line(line.substr(0, space), line.substr(space + 1), project);
    }
    return project;
}

std::string plain_number(double value) {
    std::array<char, 32> buffer{};  // to_chars and not printf: a host may have set a decimal comma
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), end};
}

double at_most(double value, double most) { return value > 0.0 ? std::min(value, most) : 0.0; }

std::string random_instance() {
    std::random_device source;
    static constexpr char letters[] = "0123456789abcdef";
    std::string out;
    for (int i = 0; i < 8; ++i) out += letters[source() % 16];
    return out;
}

std::string clean_text(std::string_view text, std::size_t max_bytes) {
    std::string out;
    while (!text.empty()) {
        const std::size_t size = character_bytes(text);
        const auto lead = static_cast<unsigned char>(text[0]);
        const bool control = size == 1 && (lead < 0x20 || lead == 0x7F) && lead != '\n';
        if (size != 0 && !control) {
            if (out.size() + size > max_bytes) break;
            out.append(text.substr(0, size));
        }
        text.remove_prefix(size == 0 ? 1 : size);
    }
    return out;
}

const char* key_name(int number) {
    static constexpr std::array<const char*, kKeyCount> names = {
        "",         "C major", "C minor", "C# major", "C# minor", "D major",  "D minor", "D# major", "D# minor",
        "E major",  "E minor", "F major", "F minor",  "F# major", "F# minor", "G major", "G minor",  "G# major",
        "G# minor", "A major", "A minor", "A# major", "A# minor", "B major",  "B minor"};
    return number >= 0 && number < kKeyCount ? names[static_cast<std::size_t>(number)] : "";
}

}  // namespace acestep

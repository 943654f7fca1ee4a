#include "paths.hpp"

#include <cstdlib>
#include <ctime>

#ifdef _WIN32
#include <windows.h>
#endif

namespace acestep {
namespace {

constexpr std::uint16_t kDefaultOscPort = 9127;

std::filesystem::path user_home() {
#ifdef _WIN32
    return path_of(environment("USERPROFILE"));
#else
    const std::string home = environment("HOME");
    return home.empty() ? "/" : home;
#endif
}

std::string short_number(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.2f", value);
    std::string out(text);
    for (char& c : out)
        if (c == ',') c = '.';  // a host may have set a decimal comma
    while (out.back() == '0') out.pop_back();
    if (out.back() == '.') out.pop_back();
    return out;
}

}  // namespace

std::filesystem::path path_of(std::string_view text) { return std::u8string(text.begin(), text.end()); }

std::string text_of(const std::filesystem::path& path) {
    const std::u8string text = path.u8string();
    return {text.begin(), text.end()};
}

std::string environment(const char* name) {
#ifdef _WIN32
    const std::wstring wide = path_of(name).wstring();
    std::wstring value(32768, L'\0');  // the longest there can be
    value.resize(GetEnvironmentVariableW(wide.c_str(), value.data(), static_cast<DWORD>(value.size())));
    return text_of(value);
#else
    const char* value = std::getenv(name);
    return value ? value : "";
#endif
}

std::filesystem::path daemon_home() {
    if (const std::string home = environment("ACESTEP_HOME"); !home.empty()) {
        if (home == "~" || home.starts_with("~/")) return user_home() / path_of(home.substr(home.size() > 1 ? 2 : 1));
        return std::filesystem::absolute(path_of(home));
    }
#if defined(_WIN32)
    return path_of(environment("LOCALAPPDATA")) / "acestep";
#elif defined(__APPLE__)
    return user_home() / "Library/Application Support/acestep";
#else
    const std::string data = environment("XDG_DATA_HOME");
    return (data.empty() ? user_home() / ".local/share" : path_of(data)) / "acestep";
#endif
}

std::filesystem::path captures_folder() { return daemon_home() / "captures"; }

std::uint16_t daemon_osc_port() {
    const int port = std::atoi(environment("ACESTEP_OSC_PORT").c_str());
    return port > 0 && port < 65536 ? static_cast<std::uint16_t>(port) : kDefaultOscPort;
}

std::filesystem::path new_capture_path(const std::string& instance, double bpm, int bars) {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
#ifdef _WIN32
    localtime_s(&parts, &now);
#else
    localtime_r(&now, &parts);
#endif
    char stamp[32];
    std::strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &parts);
    const std::string name = std::string(stamp) + "_capture-" + instance + "_" + short_number(bpm) + "bpm_" +
                             std::to_string(bars) + (bars == 1 ? "bar" : "bars");
    for (int number = 1;; ++number) {
        const auto path = captures_folder() / (name + (number == 1 ? "" : "_" + std::to_string(number)) + ".wav");
        if (!std::filesystem::exists(path)) return path;
    }
}

}  // namespace acestep

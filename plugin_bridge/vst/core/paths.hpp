// Folders this plugin shares with the daemon, and what a project file may name. Follows the daemon's own rules
// (ACESTEP_HOME, else the platform's data folder).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace acestep {

// Every text of ours is UTF-8. Windows takes narrow text for one of a code page, so paths go through these.
std::filesystem::path path_of(std::string_view text);
std::string text_of(const std::filesystem::path& path);
std::string environment(const char* name);  // "" unless set

std::filesystem::path daemon_home();
std::filesystem::path captures_folder();  // home/captures: the daemon always allows it in requests
std::uint16_t daemon_osc_port();          // ACESTEP_OSC_PORT, else 9127

// A name in the captures folder that is not taken: 20261122-214501_capture-<instance>_93bpm_4bars.wav
std::filesystem::path new_capture_path(const std::string& instance, double bpm, int bars);

}  // namespace acestep

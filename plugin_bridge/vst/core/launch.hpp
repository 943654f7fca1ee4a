// Starts the daemon as a program of its own, and shows a file in the system's file browser: launch_posix.cpp,
// launch_windows.cpp.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace acestep {

// ACESTEP_COMMAND (words, "quoted" where they hold spaces), else `acestep serve`. Only the environment can set it:
// a command in a project file would let whoever sends a song run programs.
std::vector<std::string> daemon_command();
std::vector<std::string> split_command(const std::string& text);

// What is said when it did not start, and when it ended (with the last line of its output).
std::string cannot_start(const std::string& program, const std::string& why);
std::string daemon_ended(const std::filesystem::path& log);

class DaemonProcess {
public:
    // Detached: it outlives the host. Throws std::runtime_error when the program cannot be started.
    void start(const std::vector<std::string>& command);
    // Why it ended, once, when it did so by itself.
    std::optional<std::string> ended();
    bool running() const { return running_; }

private:
    bool running_ = false;
    long long process_ = 0;
    std::filesystem::path log_;
};

void show_in_folder(const std::filesystem::path& file);

}  // namespace acestep

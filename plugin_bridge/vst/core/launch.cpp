#include "launch.hpp"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <utility>

#include "paths.hpp"

#ifdef _WIN32  // compiled only there; not tested by us
#include <windows.h>
#include <shellapi.h>
#else
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
extern char** environ;
#endif

namespace acestep {
namespace {

std::string last_line(const std::filesystem::path& log) {
    std::ifstream file(log);
    std::string line, last;
    while (std::getline(file, line))
        if (line.find_first_not_of(" \t\r") != std::string::npos) last = line;
    return last;
}

#ifndef _WIN32
// A host may be bundled with libraries of its own (LD_LIBRARY_PATH) or a Python of its own: they break other programs.
std::vector<char*> clean_environment() {
    std::vector<char*> out;
    for (char** entry = environ; *entry; ++entry) {
        bool keep = true;
        for (const char* name : {"LD_LIBRARY_PATH=", "LD_PRELOAD=", "PYTHONHOME=", "PYTHONPATH=", "DYLD_LIBRARY_PATH="})
            if (std::strncmp(*entry, name, std::strlen(name)) == 0) keep = std::getenv("ACESTEP_KEEP_ENVIRONMENT") != nullptr;
        if (keep) out.push_back(*entry);
    }
    out.push_back(nullptr);
    return out;
}

pid_t spawn(const std::vector<std::string>& command, const std::filesystem::path& log) {
    std::vector<char*> arguments;
    for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);  // closing the host must not end it
    pid_t process = 0;
    const int failed = posix_spawnp(&process, arguments[0], &actions, &attributes, arguments.data(), clean_environment().data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
        throw std::runtime_error("cannot start `" + command[0] + "` (" + std::strerror(failed) +
                                 "): install it with `pip install acestep-bridge`, or set ACESTEP_COMMAND to the command "
                                 "that starts it");
    return process;
}
#endif

}  // namespace

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
    const char* text = std::getenv("ACESTEP_COMMAND");
    auto words = split_command(text ? text : "");
    return words.empty() ? std::vector<std::string>{"acestep", "serve"} : words;
}

#ifdef _WIN32

void DaemonProcess::start(const std::vector<std::string>& command) {
    std::string line;
    for (const auto& word : command) line += (line.empty() ? "\"" : " \"") + word + "\"";
    STARTUPINFOA startup{};
    startup.cb = sizeof(startup);
    PROCESS_INFORMATION process{};
    if (!CreateProcessA(nullptr, line.data(), nullptr, nullptr, FALSE, DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP, nullptr,
                        nullptr, &startup, &process))
        throw std::runtime_error("cannot start `" + command[0] + "`: install it, or set ACESTEP_COMMAND");
    CloseHandle(process.hThread);
    process_ = reinterpret_cast<long long>(process.hProcess);
    running_ = true;
}

std::optional<std::string> DaemonProcess::ended() {
    if (!running_ || WaitForSingleObject(reinterpret_cast<HANDLE>(process_), 0) != WAIT_OBJECT_0) return std::nullopt;
    CloseHandle(reinterpret_cast<HANDLE>(process_));
    running_ = false;
    return "the daemon ended";
}

void show_in_folder(const std::filesystem::path& file) {
    const std::wstring argument = L"/select,\"" + file.wstring() + L"\"";
    ShellExecuteW(nullptr, L"open", L"explorer.exe", argument.c_str(), nullptr, SW_SHOWNORMAL);
}

#else

void DaemonProcess::start(const std::vector<std::string>& command) {
    std::filesystem::create_directories(daemon_home());
    log_ = daemon_home() / "started-by-plugin.log";
    process_ = spawn(command, log_);
    running_ = true;
}

std::optional<std::string> DaemonProcess::ended() {
    int status = 0;
    if (!running_ || waitpid(static_cast<pid_t>(process_), &status, WNOHANG) == 0) return std::nullopt;
    running_ = false;
    const std::string why = last_line(log_);
    return "the daemon ended" + (why.empty() ? std::string() : ": " + why) + " (its output is in " + log_.string() + ")";
}

void show_in_folder(const std::filesystem::path& file) {
#ifdef __APPLE__  // compiled only there; not tested by us
    const std::string script = "open -R \"$0\" &";
    const std::string argument = file.string();
#else
    const std::string script = "command -v xdg-open >/dev/null || exit 1; xdg-open \"$0\" >/dev/null 2>&1 &";
    const std::string argument = file.parent_path().string();
#endif
    // by way of a shell that ends at once, so that no zombie stays in the host
    const char* const arguments[] = {"sh", "-c", script.c_str(), argument.c_str(), nullptr};
    pid_t process = 0;
    int status = 1;
    if (posix_spawnp(&process, "sh", nullptr, nullptr, const_cast<char* const*>(arguments), clean_environment().data()) == 0)
        waitpid(process, &status, 0);
    if (status != 0) throw std::runtime_error("no file browser was found (xdg-open); the file is " + file.string());
}

#endif

}  // namespace acestep

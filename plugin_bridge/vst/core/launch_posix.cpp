#include "launch.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "paths.hpp"

extern char** environ;

namespace acestep {
namespace {

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
    if (failed != 0) throw std::runtime_error(cannot_start(command[0], std::strerror(failed)));
    return process;
}
}  // namespace

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
    return daemon_ended(log_);
}

void show_in_folder(const std::filesystem::path& file) {
#ifdef __APPLE__  // compiled only there; not tested by us
    const std::string script = "open -R \"$0\" &";
    const std::string argument = text_of(file);
#else
    const std::string script = "command -v xdg-open >/dev/null || exit 1; xdg-open \"$0\" >/dev/null 2>&1 &";
    const std::string argument = text_of(file.parent_path());
#endif
    // by way of a shell that ends at once, so that no zombie stays in the host
    const char* const arguments[] = {"sh", "-c", script.c_str(), argument.c_str(), nullptr};
    pid_t process = 0;
    int status = 1;
    if (posix_spawnp(&process, "sh", nullptr, nullptr, const_cast<char* const*>(arguments), clean_environment().data()) == 0)
        waitpid(process, &status, 0);
    if (status != 0) throw std::runtime_error("no file browser was found (xdg-open); the file is " + text_of(file));
}

}  // namespace acestep

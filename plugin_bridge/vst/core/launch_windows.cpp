#include "launch.hpp"

#include <windows.h>
#include <shellapi.h>

#include <stdexcept>

#include "paths.hpp"

namespace acestep {
namespace {

// As programs take their command line apart again: backslashes count only in front of quotes.
std::wstring quoted(const std::string& word) {
    std::wstring out = L"\"";
    std::size_t slashes = 0;
    for (const wchar_t c : path_of(word).wstring()) {
        if (c == L'"') out.append(slashes + 1, L'\\');
        slashes = c == L'\\' ? slashes + 1 : 0;
        out += c;
    }
    return out.append(slashes, L'\\') + L'"';
}

// A host may have a Python of its own: its settings break other programs that are written in Python.
std::wstring clean_environment() {
    std::wstring out;
    wchar_t* const all = GetEnvironmentStringsW();
    for (const wchar_t* entry = all; *entry; entry += std::wcslen(entry) + 1) {
        const std::wstring text = entry;
        if (!text.starts_with(L"PYTHONHOME=") && !text.starts_with(L"PYTHONPATH=")) out.append(text).push_back(L'\0');
    }
    FreeEnvironmentStringsW(all);
    out.push_back(L'\0');
    return out;
}

std::string message_of(DWORD error) {
    wchar_t text[512] = {};
    FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr, error, 0, text, 512, nullptr);
    std::string out = text_of(text);
    while (!out.empty() && (out.back() == '\n' || out.back() == '\r' || out.back() == '.')) out.pop_back();
    return out;
}

// Starts it without a console window. Of our handles it gets the log alone: not the host's files, not our socket.
HANDLE spawn(std::wstring line, HANDLE log, DWORD& failed) {
    std::vector<char> room(256);
    SIZE_T size = room.size();
    STARTUPINFOEXW startup{};
    startup.StartupInfo.cb = sizeof(startup);
    startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    startup.StartupInfo.hStdOutput = startup.StartupInfo.hStdError = log;
    startup.lpAttributeList = reinterpret_cast<LPPROC_THREAD_ATTRIBUTE_LIST>(room.data());
    PROCESS_INFORMATION process{};
    std::wstring environment = clean_environment();
    const bool listed = InitializeProcThreadAttributeList(startup.lpAttributeList, 1, 0, &size) &&
                        UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, &log,
                                                  sizeof(log), nullptr, nullptr);
    const DWORD flags = CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
    const bool started = listed && CreateProcessW(nullptr, line.data(), nullptr, nullptr, TRUE, flags, environment.data(),
                                                  nullptr, &startup.StartupInfo, &process);
    failed = started ? 0 : GetLastError();
    if (listed) DeleteProcThreadAttributeList(startup.lpAttributeList);
    if (started) CloseHandle(process.hThread);
    return started ? process.hProcess : nullptr;
}

}  // namespace

void DaemonProcess::start(const std::vector<std::string>& command) {
    std::filesystem::create_directories(daemon_home());
    log_ = daemon_home() / "started-by-plugin.log";
    SECURITY_ATTRIBUTES inherited{sizeof(SECURITY_ATTRIBUTES), nullptr, TRUE};
    const HANDLE log = CreateFileW(log_.c_str(), GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_DELETE, &inherited, CREATE_ALWAYS,
                                   FILE_ATTRIBUTE_NORMAL, nullptr);
    if (log == INVALID_HANDLE_VALUE)
        throw std::runtime_error("cannot write " + text_of(log_) + ": " + message_of(GetLastError()));
    std::wstring line;
    for (const auto& word : command) line += (line.empty() ? L"" : L" ") + quoted(word);
    DWORD failed = 0;
    const HANDLE process = spawn(line, log, failed);
    CloseHandle(log);
    if (!process) throw std::runtime_error(cannot_start(command[0], message_of(failed)));
    process_ = reinterpret_cast<long long>(process);
    running_ = true;
}

std::optional<std::string> DaemonProcess::ended() {
    const auto process = reinterpret_cast<HANDLE>(process_);
    if (!running_ || WaitForSingleObject(process, 0) != WAIT_OBJECT_0) return std::nullopt;
    CloseHandle(process);
    running_ = false;
    return daemon_ended(log_);
}

void show_in_folder(const std::filesystem::path& file) {
    const std::wstring argument = L"/select,\"" + file.wstring() + L"\"";
    ShellExecuteW(nullptr, L"open", L"explorer.exe", argument.c_str(), nullptr, SW_SHOWNORMAL);
}

}  // namespace acestep

// A folder that lives as long as a test. Its name is not ASCII, as users' names may be.
#pragma once

#include <filesystem>
#include <random>
#include <string>
#include <system_error>

namespace acestep::test {

struct Folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() /
        (u8"acestep-core-Zoë-" + std::filesystem::path(std::to_string(std::random_device{}())).u8string());
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() {
        std::error_code still_open;  // which Windows does not delete
        std::filesystem::remove_all(path, still_open);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
};

}  // namespace acestep::test

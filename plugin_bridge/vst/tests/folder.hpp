// A folder that lives as long as a test.
#pragma once

#include <filesystem>
#include <random>
#include <string>

namespace acestep::test {

struct Folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("acestep-core-" + std::to_string(std::random_device{}()));
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() { std::filesystem::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
};

}  // namespace acestep::test

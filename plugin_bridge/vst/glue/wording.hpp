// What the editor says of clips and numbers.
#pragma once

#include <string>

#include "project.hpp"

namespace acestep::wording {

std::string number(double value, int decimals);  // without zeros at its end
std::string count_of(long count, const std::string& what);
std::string file_name(const std::string& path);
std::string title_of(const Clip& clip);
std::string stage_in_words(const std::string& stage);  // `bass: l` is `bass: stage l`
std::string describe(const Clip& clip);   // all of it, with how far the beat is off
std::string in_short(const Clip& clip);   // for its line in the list, beside what is the same for all of a song

}  // namespace acestep::wording

// A clip's waveform in a few columns, for its line in the list.
#pragma once

#include <array>
#include <filesystem>

namespace acestep {

inline constexpr std::size_t kSketchColumns = 26;
using Sketch = std::array<float, kSketchColumns>;  // peaks, the loudest is 1; all 0 where there is nothing to see

// Reads the whole file. Throws std::runtime_error.
Sketch sketch_of(const std::filesystem::path& file);

}  // namespace acestep

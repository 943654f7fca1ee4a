#include "sketch.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "wav.hpp"

namespace acestep {

Sketch sketch_of(const std::filesystem::path& file) {
    constexpr std::size_t kPieceFrames = 96000;
    Sketch out{};
    WavReader reader(file);
    const std::int64_t frames = reader.frames();
    std::vector<float> piece;
    for (std::int64_t at = 0; const std::size_t got = reader.read(kPieceFrames, piece); at += static_cast<std::int64_t>(got)) {
        for (std::size_t i = 0; i < got; ++i) {
            const auto column = static_cast<std::size_t>((at + static_cast<std::int64_t>(i)) *
                                                         static_cast<std::int64_t>(kSketchColumns) / frames);
            float& peak = out[std::min(column, kSketchColumns - 1)];
            for (const float sample : {piece[2 * i], piece[2 * i + 1]})
                if (std::isfinite(sample)) peak = std::max(peak, std::fabs(sample));
        }
    }
    const float loudest = *std::max_element(out.begin(), out.end());
    if (loudest > 0.0f)
        for (float& peak : out) peak /= loudest;
    return out;
}

}  // namespace acestep

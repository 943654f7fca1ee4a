// WAV files: writes stereo float32 (captures), reads what the daemon or a user may have (PCM 16/24/32, float32,
// mono or stereo), piece by piece. Extra chunks are skipped.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <vector>

namespace acestep {

// Writes a hidden temporary file first and renames it, so nobody sees half a file. Throws std::runtime_error.
void write_wav(const std::filesystem::path& path, std::span<const float> interleaved, int channels, int sample_rate_hz);

class WavReader {
public:
    explicit WavReader(const std::filesystem::path& path);  // throws std::runtime_error

    int sample_rate_hz() const { return sample_rate_hz_; }
    std::int64_t frames() const { return frames_; }

    // Next frames as interleaved stereo (mono is doubled, of more channels the first two are used); 0 at the end.
    std::size_t read(std::size_t max_frames, std::vector<float>& stereo);

private:
    void read_header(const std::filesystem::path& path);

    std::ifstream file_;
    std::uint16_t format_ = 0, channels_ = 0, bits_ = 0;
    int sample_rate_hz_ = 0;
    std::int64_t frames_ = 0, at_ = 0;
    std::vector<char> raw_;
};

}  // namespace acestep

#include "wav.hpp"

#include <bit>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

#include "paths.hpp"

namespace acestep {
namespace {

constexpr std::uint16_t kPcm = 1, kFloat = 3, kExtensible = 0xFFFE;

template <typename T>
void put(std::string& out, T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>((value >> (8 * i)) & 0xFF);
}

template <typename T>
T get(const char* bytes) {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
        value = static_cast<T>(value | static_cast<T>(T{static_cast<unsigned char>(bytes[i])} << (8 * i)));
    return value;
}

float sample_at(const char* bytes, std::uint16_t format, std::uint16_t bits) {
    if (format == kFloat) return std::bit_cast<float>(get<std::uint32_t>(bytes));
    if (bits == 16) return static_cast<float>(static_cast<std::int16_t>(get<std::uint16_t>(bytes))) / 32768.0f;
    if (bits == 32) return static_cast<float>(static_cast<std::int32_t>(get<std::uint32_t>(bytes))) / 2147483648.0f;
    const std::uint32_t high =
        (std::uint32_t{get<std::uint8_t>(bytes + 2)} << 24) | (std::uint32_t{get<std::uint16_t>(bytes)} << 8);
    return static_cast<float>(static_cast<std::int32_t>(high) / 256) / 8388608.0f;
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
    throw std::runtime_error(text_of(path.filename()) + ": " + why);
}

}  // namespace

void write_wav(const std::filesystem::path& path, std::span<const float> interleaved, int channels, int sample_rate_hz) {
    const auto data_bytes = static_cast<std::uint32_t>(interleaved.size_bytes());
    const auto frame_bytes = static_cast<std::uint16_t>(channels * 4);
    std::string head = "RIFF";
    put<std::uint32_t>(head, 4 + 26 + 12 + 8 + data_bytes);
    head += "WAVEfmt ";
    put<std::uint32_t>(head, 18);
    put<std::uint16_t>(head, kFloat);
    put<std::uint16_t>(head, static_cast<std::uint16_t>(channels));
    put<std::uint32_t>(head, static_cast<std::uint32_t>(sample_rate_hz));
    put<std::uint32_t>(head, static_cast<std::uint32_t>(sample_rate_hz) * frame_bytes);
    put<std::uint16_t>(head, frame_bytes);
    put<std::uint16_t>(head, 32);
    put<std::uint16_t>(head, 0);
    head += "fact";
    put<std::uint32_t>(head, 4);
    put<std::uint32_t>(head, data_bytes / frame_bytes);
    head += "data";
    put<std::uint32_t>(head, data_bytes);

    std::filesystem::create_directories(path.parent_path());
    const auto temporary = path.parent_path() / path_of("." + text_of(path.filename()) + ".part");
    std::string body;  // little-endian whatever the machine
    body.reserve(interleaved.size_bytes());
    for (const float sample : interleaved) put(body, std::bit_cast<std::uint32_t>(sample));
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file.write(head.data(), static_cast<std::streamsize>(head.size()));
    file.write(body.data(), static_cast<std::streamsize>(body.size()));
    file.close();
    std::error_code failed;
    if (!file) {
        std::filesystem::remove(temporary, failed);
        throw std::runtime_error("cannot write " + text_of(path) + ": is the disk full or the folder read-only?");
    }
    std::filesystem::rename(temporary, path);
}

WavReader::WavReader(const std::filesystem::path& path) : file_(path, std::ios::binary) {
    if (!file_) refuse(path, "cannot be opened (moved or deleted?)");
    read_header(path);
}

void WavReader::read_header(const std::filesystem::path& path) {
    char head[12];
    file_.read(head, sizeof(head));
    if (!file_ || std::memcmp(head, "RIFF", 4) != 0 || std::memcmp(head + 8, "WAVE", 4) != 0) refuse(path, "is not a WAV file");
    for (;;) {
        char chunk[8];
        file_.read(chunk, sizeof(chunk));
        if (!file_) refuse(path, "has no audio");
        const auto size = get<std::uint32_t>(chunk + 4);
        if (std::memcmp(chunk, "fmt ", 4) == 0) {
            char format[40] = {};
            if (size < 16 || size > sizeof(format)) refuse(path, "has a damaged format chunk");
            file_.read(format, size);
            format_ = get<std::uint16_t>(format);
            channels_ = get<std::uint16_t>(format + 2);
            sample_rate_hz_ = static_cast<int>(get<std::uint32_t>(format + 4));
            bits_ = get<std::uint16_t>(format + 14);
            if (format_ == kExtensible) format_ = get<std::uint16_t>(format + 24);
        } else if (std::memcmp(chunk, "data", 4) == 0) {
            const bool known =
                (format_ == kPcm && (bits_ == 16 || bits_ == 24 || bits_ == 32)) || (format_ == kFloat && bits_ == 32);
            if (!known || channels_ == 0 || channels_ > 64 || sample_rate_hz_ < 1000 || sample_rate_hz_ > 768000)
                refuse(path, "has a sample format that is not read here (PCM of 16, 24 or 32 bits, or 32-bit float)");
            frames_ = size / (channels_ * bits_ / 8u);
            return;
        } else {
            file_.seekg(static_cast<std::streamoff>(size) + (size & 1), std::ios::cur);
        }
    }
}

std::size_t WavReader::read(std::size_t max_frames, std::vector<float>& stereo) {
    const auto left = static_cast<std::size_t>(frames_ - at_);
    const std::size_t sample_bytes = bits_ / 8u, frame_bytes = sample_bytes * channels_;
    raw_.resize(std::min(max_frames, left) * frame_bytes);
    file_.read(raw_.data(), static_cast<std::streamsize>(raw_.size()));
    const std::size_t got = static_cast<std::size_t>(file_.gcount()) / frame_bytes;
    if (got < std::min(max_frames, left)) frames_ = at_ + static_cast<std::int64_t>(got);  // the file ends early
    stereo.resize(got * 2);
    for (std::size_t i = 0; i < got; ++i) {
        const char* frame = raw_.data() + i * frame_bytes;
        stereo[2 * i] = sample_at(frame, format_, bits_);
        stereo[2 * i + 1] = channels_ == 1 ? stereo[2 * i] : sample_at(frame + sample_bytes, format_, bits_);
    }
    at_ += static_cast<std::int64_t>(got);
    return got;
}

}  // namespace acestep

#include "osc.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace acestep {
namespace {

constexpr int kMaxBundleDepth = 4;
constexpr std::size_t kMaxMessages = 64;
constexpr std::string_view kBundleTag{"#bundle\0", 8};

void put_u32(std::vector<std::uint8_t>& out, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(value >> shift));
}

void put_u64(std::vector<std::uint8_t>& out, std::uint64_t value) {
    put_u32(out, static_cast<std::uint32_t>(value >> 32));
    put_u32(out, static_cast<std::uint32_t>(value));
}

void put_text(std::vector<std::uint8_t>& out, const std::string& text) {
    // an embedded zero would end the string early for the reader: send what comes before it
    const std::size_t size = std::min(text.size(), std::strlen(text.c_str()));
    out.insert(out.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
    out.insert(out.end(), 4 - size % 4, 0);
}

// Reads big-endian fields and never beyond the end; after one failure everything fails.
class Reader {
public:
    explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

    bool ok() const { return ok_; }
    bool at_end() const { return at_ == bytes_.size(); }

    std::uint32_t u32() {
        const auto part = take(4);
        if (!ok_) return 0;
        return (std::uint32_t{part[0]} << 24) | (std::uint32_t{part[1]} << 16) | (std::uint32_t{part[2]} << 8) | part[3];
    }

    std::uint64_t u64() {
        const std::uint64_t high = u32();
        return (high << 32) | u32();
    }

    std::string text() {
        const auto rest = bytes_.subspan(at_);
        const auto end = std::find(rest.begin(), rest.end(), std::uint8_t{0});
        if (end == rest.end()) {
            ok_ = false;
            return {};
        }
        const auto size = static_cast<std::size_t>(end - rest.begin());
        const auto padded = take((size / 4 + 1) * 4);
        if (!ok_ ||
            std::any_of(padded.begin() + static_cast<std::ptrdiff_t>(size), padded.end(), [](auto b) { return b != 0; })) {
            ok_ = false;
            return {};
        }
        return {padded.begin(), padded.begin() + static_cast<std::ptrdiff_t>(size)};
    }

    std::span<const std::uint8_t> take(std::size_t size) {
        if (!ok_ || size > bytes_.size() - at_) {
            ok_ = false;
            return {};
        }
        at_ += size;
        return bytes_.subspan(at_ - size, size);
    }

    void fail() { ok_ = false; }

private:
    std::span<const std::uint8_t> bytes_;
    std::size_t at_ = 0;
    bool ok_ = true;
};

void read_value(char tag, Reader& reader, std::vector<OscValue>& values) {
    switch (tag) {
        case 'i': values.emplace_back(static_cast<std::int32_t>(reader.u32())); return;
        case 'f': values.emplace_back(std::bit_cast<float>(reader.u32())); return;
        case 'h': values.emplace_back(static_cast<std::int64_t>(reader.u64())); return;
        case 'd': values.emplace_back(std::bit_cast<double>(reader.u64())); return;
        case 's':
        case 'S': values.emplace_back(reader.text()); return;
        case 'T': values.emplace_back(true); return;
        case 'F': values.emplace_back(false); return;
        default: reader.fail();  // blobs, arrays and the rest are not part of our wire
    }
}

bool read_message(std::span<const std::uint8_t> bytes, std::vector<OscMessage>& out) {
    Reader reader(bytes);
    OscMessage message;
    message.address = reader.text();
    if (!reader.ok() || message.address.empty() || message.address[0] != '/') return false;
    if (!reader.at_end()) {
        const std::string tags = reader.text();
        if (!reader.ok() || tags.empty() || tags[0] != ',') return false;
        for (const char tag : std::string_view(tags).substr(1)) {
            read_value(tag, reader, message.values);
            if (!reader.ok()) return false;
        }
    }
    if (!reader.at_end() || out.size() >= kMaxMessages) return false;
    out.push_back(std::move(message));
    return true;
}

bool read_packet(std::span<const std::uint8_t> bytes, int depth, std::vector<OscMessage>& out) {
    if (bytes.empty() || bytes.size() % 4 != 0) return false;
    if (bytes[0] != '#') return read_message(bytes, out);
    Reader reader(bytes);
    const auto tag = reader.take(kBundleTag.size());
    reader.u64();  // the time tag: everything is for now
    if (!reader.ok() || depth >= kMaxBundleDepth || !std::equal(tag.begin(), tag.end(), kBundleTag.begin())) return false;
    while (!reader.at_end()) {
        const auto part = reader.take(reader.u32());
        if (!reader.ok() || !read_packet(part, depth + 1, out)) return false;
    }
    return true;
}

}  // namespace

std::optional<std::string> OscMessage::text(std::size_t index) const {
    if (index >= values.size()) return std::nullopt;
    if (const auto* value = std::get_if<std::string>(&values[index])) return *value;
    return std::nullopt;
}

std::optional<double> OscMessage::number(std::size_t index) const {
    if (index >= values.size()) return std::nullopt;
    return std::visit(
        [](const auto& value) -> std::optional<double> {
            if constexpr (std::is_arithmetic_v<std::decay_t<decltype(value)>>) return static_cast<double>(value);
            return std::nullopt;
        },
        values[index]);
}

std::vector<std::uint8_t> encode_osc(const OscMessage& message) {
    std::vector<std::uint8_t> out;
    put_text(out, message.address);
    std::string tags = ",";
    constexpr std::string_view letters = "ifshd";
    for (const auto& value : message.values) {
        if (const auto* flag = std::get_if<bool>(&value)) tags += *flag ? 'T' : 'F';
        else tags += letters[value.index()];
    }
    put_text(out, tags);
    for (const auto& value : message.values) {
        if (const auto* i = std::get_if<std::int32_t>(&value)) put_u32(out, static_cast<std::uint32_t>(*i));
        if (const auto* f = std::get_if<float>(&value)) put_u32(out, std::bit_cast<std::uint32_t>(*f));
        if (const auto* s = std::get_if<std::string>(&value)) put_text(out, *s);
        if (const auto* h = std::get_if<std::int64_t>(&value)) put_u64(out, static_cast<std::uint64_t>(*h));
        if (const auto* d = std::get_if<double>(&value)) put_u64(out, std::bit_cast<std::uint64_t>(*d));
    }
    return out;
}

std::optional<std::vector<OscMessage>> decode_osc(std::span<const std::uint8_t> packet) {
    std::vector<OscMessage> out;
    if (!read_packet(packet, 0, out)) return std::nullopt;
    return out;
}

}  // namespace acestep

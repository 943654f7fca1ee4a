// Open Sound Control 1.0 messages as bytes, both ways.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace acestep {

// The daemon's limit for one packet (both directions).
inline constexpr std::size_t kMaxPacketBytes = 8192;

using OscValue = std::variant<std::int32_t, float, std::string, std::int64_t, double, bool>;

struct OscMessage {
    std::string address;
    std::vector<OscValue> values;

    // The value at `index` as text or number; nothing when it is missing or of another type.
    std::optional<std::string> text(std::size_t index) const;
    std::optional<double> number(std::size_t index) const;
};

std::vector<std::uint8_t> encode_osc(const OscMessage& message);

// All messages of a packet, bundles flattened in order. Nothing when any part of the packet is malformed.
std::optional<std::vector<OscMessage>> decode_osc(std::span<const std::uint8_t> packet);

}  // namespace acestep

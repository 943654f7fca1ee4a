#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "osc.hpp"

using namespace acestep;

namespace {

std::vector<std::uint8_t> bytes(std::string_view text) { return {text.begin(), text.end()}; }

}  // namespace

TEST_CASE("a message is laid out as the OSC 1.0 specification shows") {
    using namespace std::string_view_literals;
    CHECK(encode_osc({"/oscillator/4/frequency", {440.0f}}) == bytes("/oscillator/4/frequency\0,f\0\0\x43\xdc\0\0"sv));
    CHECK(encode_osc({"/foo", {1000, -1, std::string("hello")}}) ==
          bytes("/foo\0\0\0\0,iis\0\0\0\0\0\0\x03\xe8\xff\xff\xff\xffhello\0\0\0"sv));
}

TEST_CASE("every value survives the way there and back") {
    const OscMessage sent{"/acestep/clip",
                          {std::string("päd #1"), 3, -2.5f, std::int64_t{1} << 40, 1e-300, true, false, std::string()}};
    const auto read = decode_osc(encode_osc(sent));
    REQUIRE(read);
    REQUIRE(read->size() == 1);
    CHECK(read->front().address == sent.address);
    CHECK(read->front().values == sent.values);
    CHECK(read->front().text(0) == "päd #1");
    CHECK(read->front().number(1) == 3.0);
    CHECK_FALSE(read->front().number(0));
    CHECK_FALSE(read->front().text(99));
}

TEST_CASE("bundles are flattened in order") {
    const auto put_size = [](std::vector<std::uint8_t>& out, std::size_t size) {
        for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(size >> shift));
    };
    std::vector<std::uint8_t> inner = bytes(std::string_view("#bundle\0\0\0\0\0\0\0\0\1", 16));
    const auto second = encode_osc({"/b", {2}});
    put_size(inner, second.size());
    inner.insert(inner.end(), second.begin(), second.end());
    std::vector<std::uint8_t> outer = bytes(std::string_view("#bundle\0\0\0\0\0\0\0\0\1", 16));
    for (const auto& part : {encode_osc({"/a", {1}}), inner, encode_osc({"/c", {3}})}) {
        put_size(outer, part.size());
        outer.insert(outer.end(), part.begin(), part.end());
    }
    const auto read = decode_osc(outer);
    REQUIRE(read);
    REQUIRE(read->size() == 3);
    CHECK((*read)[0].address == "/a");
    CHECK((*read)[1].address == "/b");
    CHECK((*read)[2].address == "/c");
}

TEST_CASE("malformed packets are refused whole") {
    using namespace std::string_view_literals;
    CHECK_FALSE(decode_osc({}));
    CHECK_FALSE(decode_osc(bytes("/abc"sv)));                          // no end of the address
    CHECK_FALSE(decode_osc(bytes("abc\0"sv)));                         // no slash
    CHECK_FALSE(decode_osc(bytes("/a\0\0,i\0\0\0\0"sv)));              // too short for the value, not a multiple of 4
    CHECK_FALSE(decode_osc(bytes("/a\0\0,b\0\0\0\0\0\0"sv)));          // a type we do not speak
    CHECK_FALSE(decode_osc(bytes("/a\0\0,i\0\0\0\0\0\1\0\0\0\1"sv)));  // more than its types say
    CHECK_FALSE(decode_osc(bytes("/a\0x,i\0\0\0\0\0\1"sv)));           // padding that is not zero
    CHECK_FALSE(decode_osc(bytes("#bundle\0\0\0\0\0\0\0\0\1\x7f\xff\xff\xff"sv)));
    auto packet = bytes("#bundle\0\0\0\0\0\0\0\0\1"sv);                // bundles within bundles without end
    for (int i = 0; i < 20; ++i) {
        auto outer = bytes("#bundle\0\0\0\0\0\0\0\0\1\0\0\0"sv);
        outer.push_back(static_cast<std::uint8_t>(packet.size() & 0xFF));
        outer[18] = static_cast<std::uint8_t>(packet.size() >> 8);
        outer.insert(outer.end(), packet.begin(), packet.end());
        packet = outer;
    }
    CHECK_FALSE(decode_osc(packet));
}

// What can be decoded must encode to something that decodes to the same; nothing may crash or read beyond the packet
// (the address sanitizer build checks that: each packet is its own allocation of exactly its size).
TEST_CASE("any bytes are either understood or refused") {
    std::mt19937 random(7);
    const std::vector<std::vector<std::uint8_t>> seeds = {
        encode_osc({"/acestep/progress", {std::string("job-1"), std::string("diffuse"), 0.5f, 3.0f}}),
        encode_osc(
            {"/acestep/clip",
             {std::string("job"), std::string("/tmp/a.wav"), 92.5f, std::string("4/4"), std::string("A minor"), 4.0f, 0.01f}}),
        bytes(std::string_view("#bundle\0\0\0\0\0\0\0\0\1\0\0\0\x0c/a\0\0,i\0\0\0\0\0\1", 32))};
    int understood = 0;
    for (int round = 0; round < 200000; ++round) {
        std::vector<std::uint8_t> packet = seeds[round % seeds.size()];
        for (unsigned changes = random() % 4; changes-- > 0;) {
            switch (random() % 4) {
                case 0: packet[random() % packet.size()] = static_cast<std::uint8_t>(random()); break;
                case 1: packet.resize(1 + random() % packet.size()); break;
                case 2: packet.insert(packet.end(), random() % 9, static_cast<std::uint8_t>(random())); break;
                default: packet[random() % packet.size()] ^= static_cast<std::uint8_t>(1u << random() % 8); break;
            }
        }
        packet.shrink_to_fit();
        const auto messages = decode_osc(packet);
        if (!messages) continue;
        ++understood;
        for (const auto& message : *messages) {
            const auto again = decode_osc(encode_osc(message));
            REQUIRE(again);
            REQUIRE(again->size() == 1);
            REQUIRE(encode_osc(again->front()) == encode_osc(message));  // bytes: NaN is not equal to itself
        }
    }
    CHECK(understood > 1000);
}

// One UDP socket bound to 127.0.0.1, talking to one port on the same host.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace acestep {

class UdpSocket {
public:
    // Binds 127.0.0.1 on a port the system chooses; throws std::runtime_error when that fails.
    UdpSocket();
    ~UdpSocket();
    UdpSocket(const UdpSocket&) = delete;
    UdpSocket& operator=(const UdpSocket&) = delete;

    std::uint16_t port() const { return port_; }

    // False when the system refused the packet (too long, no buffer, nobody listening).
    bool send(std::span<const std::uint8_t> packet, std::uint16_t to_port);

    // Waits up to `timeout_ms` and reads one packet. False: none came. Only packets from 127.0.0.1:`from_port` count.
    bool receive(std::vector<std::uint8_t>& packet, std::uint16_t from_port, int timeout_ms);

private:
#ifdef _WIN32
    std::uintptr_t handle_;
#else
    int handle_;
#endif
    std::uint16_t port_ = 0;
};

}  // namespace acestep

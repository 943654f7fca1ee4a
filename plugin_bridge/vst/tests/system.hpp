// What the tests need of the system and C++ has not: the environment, and a socket that hears everybody.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#endif

#include <cstdlib>

#include "paths.hpp"

namespace acestep::test {

inline void set_environment(const char* name, const std::string& value) {
#ifdef _WIN32
    _wputenv_s(path_of(name).c_str(), path_of(value).c_str());  // an empty value takes it away
#else
    value.empty() ? ::unsetenv(name) : ::setenv(name, value.c_str(), 1);
#endif
}

inline void set_home(const std::filesystem::path& folder) { set_environment("ACESTEP_HOME", text_of(folder)); }

class Socket {
public:
    struct Packet {
        std::vector<std::uint8_t> bytes;
        sockaddr_in from{};
    };

    Socket() {
#ifdef _WIN32
        WSADATA data;
        WSAStartup(MAKEWORD(2, 2), &data);
#endif
        handle_ = ::socket(AF_INET, SOCK_DGRAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        Size size = sizeof(address);
        ::bind(handle_, reinterpret_cast<sockaddr*>(&address), size);
        ::getsockname(handle_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
    }
    ~Socket() {
#ifdef _WIN32
        closesocket(handle_);
#else
        ::close(handle_);
#endif
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    std::uint16_t port() const { return port_; }

    std::optional<Packet> receive(int timeout_ms) {
#ifdef _WIN32
        WSAPOLLFD entry{handle_, POLLRDNORM, 0};
        if (WSAPoll(&entry, 1, timeout_ms) <= 0) return std::nullopt;
#else
        pollfd entry{handle_, POLLIN, 0};
        if (::poll(&entry, 1, timeout_ms) <= 0) return std::nullopt;
#endif
        Packet packet{std::vector<std::uint8_t>(65536), {}};
        Size size = sizeof(packet.from);
        const auto got = ::recvfrom(handle_, reinterpret_cast<char*>(packet.bytes.data()), 65536, 0,
                                    reinterpret_cast<sockaddr*>(&packet.from), &size);
        if (got < 0) return std::nullopt;
        packet.bytes.resize(static_cast<std::size_t>(got));
        return packet;
    }

    void send(const std::vector<std::uint8_t>& bytes, const sockaddr_in& to) {
        ::sendto(handle_, reinterpret_cast<const char*>(bytes.data()), static_cast<int>(bytes.size()), 0,
                 reinterpret_cast<const sockaddr*>(&to), sizeof(to));
    }

private:
#ifdef _WIN32
    using Size = int;
    SOCKET handle_;
#else
    using Size = socklen_t;
    int handle_;
#endif
    std::uint16_t port_ = 0;
};

}  // namespace acestep::test

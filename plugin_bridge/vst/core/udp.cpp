#include "udp.hpp"

#include <stdexcept>
#include <string>

#ifdef _WIN32  // compiled only there; not tested by us
#include <winsock2.h>
#include <ws2tcpip.h>
using socklen_type = int;
#else
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
using socklen_type = socklen_t;
#endif

namespace acestep {
namespace {

constexpr std::size_t kMaxDatagramBytes = 65536;

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
}

#ifdef _WIN32
void start_sockets() {
    static const bool started = [] {
        WSADATA data;
        return WSAStartup(MAKEWORD(2, 2), &data) == 0;
    }();
    if (!started) throw std::runtime_error("cannot start Winsock");
}
std::string last_error() { return "error " + std::to_string(WSAGetLastError()); }
void close_handle(std::uintptr_t handle) { closesocket(handle); }
bool wait_readable(std::uintptr_t handle, int timeout_ms) {
    WSAPOLLFD entry{handle, POLLRDNORM, 0};
    return WSAPoll(&entry, 1, timeout_ms) > 0;
}
#else
void start_sockets() {}
std::string last_error() { return std::strerror(errno); }
void close_handle(int handle) { ::close(handle); }
bool wait_readable(int handle, int timeout_ms) {
    pollfd entry{handle, POLLIN, 0};
    return ::poll(&entry, 1, timeout_ms) > 0;
}
#endif

}  // namespace

UdpSocket::UdpSocket() {
    start_sockets();
#ifdef _WIN32
    handle_ = ::socket(AF_INET, SOCK_DGRAM, 0);
    const bool made = handle_ != INVALID_SOCKET;
#else
    handle_ = ::socket(AF_INET, SOCK_DGRAM, 0);
    const bool made = handle_ >= 0;
    if (made) ::fcntl(handle_, F_SETFD, FD_CLOEXEC);  // the daemon we may start must not inherit it
#endif
    if (!made) throw std::runtime_error("cannot open a UDP socket: " + last_error());
    sockaddr_in address = loopback(0);
    socklen_type size = sizeof(address);
    if (::bind(handle_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::getsockname(handle_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        const std::string why = last_error();
        close_handle(handle_);
        throw std::runtime_error("cannot bind a UDP socket to 127.0.0.1: " + why);
    }
    port_ = ntohs(address.sin_port);
}

UdpSocket::~UdpSocket() { close_handle(handle_); }

bool UdpSocket::send(std::span<const std::uint8_t> packet, std::uint16_t to_port) {
    const sockaddr_in address = loopback(to_port);
    const auto* data = reinterpret_cast<const char*>(packet.data());
    const auto sent =
        ::sendto(handle_, data, static_cast<int>(packet.size()), 0, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    return sent >= 0 && static_cast<std::size_t>(sent) == packet.size();
}

bool UdpSocket::receive(std::vector<std::uint8_t>& packet, std::uint16_t from_port, int timeout_ms) {
    if (!wait_readable(handle_, timeout_ms)) return false;
    packet.resize(kMaxDatagramBytes);
    sockaddr_in address{};
    socklen_type size = sizeof(address);
    const auto got = ::recvfrom(handle_, reinterpret_cast<char*>(packet.data()), static_cast<int>(packet.size()), 0,
                                reinterpret_cast<sockaddr*>(&address), &size);
    if (got < 0) return false;
    packet.resize(static_cast<std::size_t>(got));
    return address.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && ntohs(address.sin_port) == from_port;
}

}  // namespace acestep

// A bounded queue from one thread to one other, without locks. Used for what the audio thread tells the worker.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <type_traits>

namespace acestep {

template <typename T, std::size_t N>
class Fifo {
    static_assert(std::is_trivially_copyable_v<T> && (N & (N - 1)) == 0);

public:
    // Producer only. False when full: the item is dropped.
    bool push(const T& item) noexcept {
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        if (tail - head_.load(std::memory_order_acquire) == N) return false;
        items_[tail & (N - 1)] = item;
        tail_.store(tail + 1, std::memory_order_release);
        return true;
    }

    // Consumer only. False when empty.
    bool pop(T& item) noexcept {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        if (head == tail_.load(std::memory_order_acquire)) return false;
        item = items_[head & (N - 1)];
        head_.store(head + 1, std::memory_order_release);
        return true;
    }

private:
    std::array<T, N> items_{};
    std::atomic<std::size_t> head_{0}, tail_{0};
};

}  // namespace acestep

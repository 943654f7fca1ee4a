// Runs the audio path, with everything else busy, under replaced malloc, locks and system calls: what the audio thread
// must not do ends the test with the name of the call. The plugin's run() is one call of this path.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "bridge.hpp"
#include "folder.hpp"
#include "host.hpp"

namespace {

thread_local bool on_audio_thread = false;
bool expecting_trip = false;
int trips = 0;

void trip(const char* call) {
    if (!on_audio_thread) return;
    on_audio_thread = false;
    if (expecting_trip) {
        ++trips;
        return;
    }
    std::fprintf(stderr, "the audio thread called %s\n", call);
    std::abort();
}

template <typename F>
F next(const char* name) {
    return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t size) {
    trip("malloc");
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
    trip("calloc");
    return __libc_calloc(count, size);
}
void* realloc(void* block, std::size_t size) {
    trip("realloc");
    return __libc_realloc(block, size);
}
void free(void* block) {
    if (block) trip("free");
    __libc_free(block);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    trip("pthread_mutex_lock");
    static const auto real = next<int (*)(pthread_mutex_t*)>("pthread_mutex_lock");
    return real(mutex);
}
int pthread_cond_signal(pthread_cond_t* condition) noexcept {
    trip("pthread_cond_signal");
    static const auto real = next<int (*)(pthread_cond_t*)>("pthread_cond_signal");
    return real(condition);
}
ssize_t write(int file, const void* data, std::size_t size) {
    trip("write");
    static const auto real = next<ssize_t (*)(int, const void*, std::size_t)>("write");
    return real(file, data, size);
}
ssize_t read(int file, void* data, std::size_t size) {
    trip("read");
    static const auto real = next<ssize_t (*)(int, void*, std::size_t)>("read");
    return real(file, data, size);
}
ssize_t sendto(int socket, const void* data, std::size_t size, int flags, const sockaddr* to, socklen_t to_size) {
    trip("sendto");
    static const auto real = next<ssize_t (*)(int, const void*, std::size_t, int, const sockaddr*, socklen_t)>("sendto");
    return real(socket, data, size, flags, to, to_size);
}
int vfprintf(FILE* file, const char* format, va_list arguments) {
    trip("vfprintf");
    static const auto real = next<int (*)(FILE*, const char*, va_list)>("vfprintf");
    return real(file, format, arguments);
}

}  // extern "C"

namespace {

void expect_trip(const char* what, const std::function<void()>& sin) {
    expecting_trip = true;
    const int before = trips;
    on_audio_thread = true;
    sin();
    on_audio_thread = false;
    expecting_trip = false;
    if (trips == before) {
        std::fprintf(stderr, "the tripwire does not notice %s\n", what);
        std::exit(1);
    }
}

void run_audio(acestep::Bridge& bridge, double seconds, std::int64_t& at) {
    const acestep::test::Song song{133.0, 7, 8};
    std::vector<float> buffers[4];
    for (auto& buffer : buffers) buffer.assign(4096, 0.25f);
    const float* in[2] = {buffers[0].data(), buffers[1].data()};
    float* out[2] = {buffers[2].data(), buffers[3].data()};
    const auto end = at + static_cast<std::int64_t>(seconds * 48000);
    for (unsigned i = 0; at < end; ++i) {
        const std::uint32_t frames = 1 + (i * 977) % 4096;
        auto time = song.at(static_cast<double>(at), 48000.0);
        time.playing = i % 50 != 49;
        bridge.parameters.preview = i % 40 < 30;
        if (i % 60 == 0) bridge.parameters.trigger = true;
        on_audio_thread = true;
        bridge.process(in, out, frames, time, i % 97 == 0);
        on_audio_thread = false;
        at += frames;
    }
}

}  // namespace

int main() {
    expect_trip("an allocation", [] {
        std::string text(100, 'x');
        asm volatile("" : : "r"(text.data()) : "memory");
    });
    expect_trip("a lock", [] {
        std::mutex mutex;
        mutex.lock();
        mutex.unlock();
    });
    expect_trip("a file", [] {
        if (::write(-1, "", 0) == 0) std::exit(1);
    });

    const acestep::test::Folder folder;
    ::setenv("ACESTEP_HOME", folder.path.c_str(), 1);
    ::setenv("ACESTEP_OSC_PORT", "9", 1);
    acestep::Bridge bridge;
    bridge.activate(48000.0);
    std::vector<std::string> clips;
    for (int i = 0; i < 3; ++i) {
        clips.push_back((folder.path / (std::to_string(i) + ".wav")).string());
        acestep::write_wav(clips.back(), std::vector<float>(200000, 0.1f), 2, i == 1 ? 44100 : 48000);
    }
    std::int64_t at = 0;
    for (int round = 0; round < 30; ++round) {
        bridge.select(round % 4 == 3 ? "" : clips[static_cast<std::size_t>(round % 3)]);
        bridge.capture_last(1 + round % 3, acestep::CaptureUse::Reference);
        bridge.capture_next(1, acestep::CaptureUse::Context);
        run_audio(bridge, 10.0, at);
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    if (bridge.view().project.reference.empty()) return std::fprintf(stderr, "nothing was captured\n"), 1;
    std::printf("%.0f s of audio without allocation, lock or system call\n", static_cast<double>(at) / 48000.0);
    return 0;
}

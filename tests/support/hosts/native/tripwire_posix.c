/* In front of the system's memory, locks and calls for the plugin as well: the program's symbols come first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

#ifdef __SANITIZE_ADDRESS__ /* which stands there itself */
bool tripwire_arm(void* library) { return (void)library, false; }
void tripwire_begin(void) {}
void tripwire_end(void) {}
const char* tripwire_test(void) { return "anything"; }
#else

static bool armed;
static __thread bool on_wire;
static __thread const char* expected; /* the test's: noted instead of ending the host */

static void trip(const char* call) {
    if (!on_wire) return;
    on_wire = false;
    if (expected) {
        expected = call;
        return;
    }
    void* stack[32];
    fprintf(stderr, "the audio thread called %s\n", call);
    backtrace_symbols_fd(stack, backtrace(stack, 32), 2);
    abort();
}

#define NEXT(name)             \
    static typeof(name)* real; \
    trip(#name);               \
    if (!real) *(void**)&real = dlsym(RTLD_NEXT, #name)

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void __libc_free(void*);

void* malloc(size_t size) { return trip("malloc"), __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return trip("calloc"), __libc_calloc(count, size); }
void* realloc(void* block, size_t size) { return trip("realloc"), __libc_realloc(block, size); }
void free(void* block) {
    if (block) trip("free");
    __libc_free(block);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) {
    NEXT(pthread_mutex_lock);
    return real(mutex);
}
int pthread_cond_signal(pthread_cond_t* condition) {
    NEXT(pthread_cond_signal);
    return real(condition);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* lock) {
    NEXT(pthread_rwlock_wrlock);
    return real(lock);
}
int nanosleep(const struct timespec* wait, struct timespec* left) {
    NEXT(nanosleep);
    return real(wait, left);
}
int open(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const int mode = va_arg(more, int);
    va_end(more);
    NEXT(open);
    return real(path, flags, mode);
}
int poll(struct pollfd* files, nfds_t count, int wait_ms) {
    NEXT(poll);
    return real(files, count, wait_ms);
}
ssize_t read(int file, void* data, size_t size) {
    NEXT(read);
    return real(file, data, size);
}
ssize_t write(int file, const void* data, size_t size) {
    NEXT(write);
    return real(file, data, size);
}
ssize_t sendto(int socket, const void* data, size_t size, int flags, const struct sockaddr* to, socklen_t to_size) {
    NEXT(sendto);
    return real(socket, data, size, flags, to, to_size);
}
ssize_t recvfrom(int socket, void* data, size_t size, int flags, struct sockaddr* from, socklen_t* from_size) {
    NEXT(recvfrom);
    return real(socket, data, size, flags, from, from_size);
}
int vfprintf(FILE* file, const char* format, va_list values) {
    NEXT(vfprintf);
    return real(file, format, values);
}

bool tripwire_arm(void* library) { return (void)library, armed = true; }
void tripwire_begin(void) { on_wire = armed; }
void tripwire_end(void) { on_wire = false; }

static bool notices(void (*sin)(void)) {
    expected = "";
    on_wire = true;
    sin();
    on_wire = false;
    const bool noticed = *expected;
    expected = NULL;
    return noticed;
}
static void allocate(void) {
    void* volatile block = malloc(100);
    free(block);
}
static void lock(void) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
}
static void use_a_file(void) {
    if (write(-1, "", 0) == 0) abort();
}

const char* tripwire_test(void) {
    return !notices(allocate) ? "memory" : !notices(lock) ? "a lock" : !notices(use_a_file) ? "a file" : NULL;
}
#endif

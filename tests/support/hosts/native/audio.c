#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "host.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static pthread_t main_thread, audio_thread;
static void (*tick)(void);
static void (*task)(void*);
static void* task_with;

static void* run(void* unused) {
    pthread_mutex_lock(&lock);
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 10000000;
        if (until.tv_nsec >= 1000000000) ++until.tv_sec, until.tv_nsec -= 1000000000;
        if (!task) pthread_cond_timedwait(&wake, &lock, &until);
        if (task) {
            task(task_with);
            task = NULL;
            pthread_cond_signal(&done);
        } else {
            tick();
        }
    }
    return unused;
}

void audio_begin(void (*what)(void)) {
    tick = what;
    main_thread = pthread_self();
    pthread_mutex_lock(&lock); /* until audio_thread is known */
    pthread_create(&audio_thread, NULL, run, NULL);
    pthread_mutex_unlock(&lock);
}

void audio_lock(void) { pthread_mutex_lock(&lock); }
void audio_unlock(void) { pthread_mutex_unlock(&lock); }

void on_audio(void (*what)(void*), void* with) {
    audio_lock();
    task = what, task_with = with;
    pthread_cond_signal(&wake);
    while (task) pthread_cond_wait(&done, &lock);
    audio_unlock();
}

bool is_main(void) { return pthread_equal(pthread_self(), main_thread); }
bool is_audio(void) { return pthread_equal(pthread_self(), audio_thread); }

static void must(bool right, const char* call, const char* thread) {
    if (right) return;
    fprintf(stderr, "the plugin called %s, but not on the %s thread\n", call, thread);
    abort();
}
void must_be_main(const char* call) { must(is_main(), call, "main"); }
void must_be_audio(const char* call) { must(is_audio(), call, "audio"); }

/* A small plugin host for tests, driven by lines on its standard input (host.c). One file knows each plugin format
   (clap.c, vst3.c), one each system (posix.c, windows.c), one the threads (audio.c), one the calls that are made at
   random (random.c). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { MAX_FRAMES = 8192, MAX_CHANGES = 64, MAX_NOTES = 64, MAX_INSTANCES = 4, MAX_TIMERS = 8 };

struct change {
    uint32_t id, offset; /* offset: samples from the block's beginning */
    double value;        /* plain, not normalised */
};

struct note {
    int key; /* MIDI */
    uint32_t offset;
    bool on;
};

struct block {
    float *in[2], *out[2];
    uint32_t frames;
    int change_count, note_count;
    struct change changes[MAX_CHANGES];
    struct note notes[MAX_NOTES];
    /* where the block begins in the song */
    bool playing;
    double rate_hz, bpm;
    int over, under;
    int64_t sample, bar;
    double quarters, bar_quarters; /* of the block, and of the bar line before it */
};

struct plugin; /* an instance, as its format knows it */

/* What is said of threads is CLAP's rule; `main` and `audio` are the threads that must call. */
struct format {
    struct plugin* (*open)(void* library);                                          /* main; NULL when it cannot be */
    void (*close)(struct plugin* of);                                               /* main */
    void (*describe)(struct plugin* of);                                            /* main */
    void (*parameters)(struct plugin* of);                                          /* main */
    double (*value)(struct plugin* of, uint32_t id);                                /* main */
    bool (*activate)(struct plugin* of, double rate_hz, uint32_t max_frames);       /* main */
    void (*deactivate)(struct plugin* of);                                          /* main */
    bool (*start)(struct plugin* of);                                               /* audio */
    void (*stop)(struct plugin* of);                                                /* audio */
    void (*reset)(struct plugin* of);                                               /* audio */
    bool (*process)(struct plugin* of, const struct block* block);                  /* audio */
    void (*flush)(struct plugin* of, const struct block* block);                    /* audio while active, else main */
    bool (*save)(struct plugin* of, FILE* file);                                    /* main, as all that follow */
    bool (*load)(struct plugin* of, FILE* file);
    bool (*open_editor)(struct plugin* of, double scale, uintptr_t* window);        /* in a new *window; NULL: in its own */
    void (*editor_size)(struct plugin* of, uint32_t* width, uint32_t* height); /* as the plugin wants it */
    bool (*show_editor)(struct plugin* of, bool shown);
    void (*resize_editor)(struct plugin* of, uint32_t width, uint32_t height);
    void (*close_editor)(struct plugin* of);
    void (*timers)(struct plugin* of); /* runs those that are due */
};

extern const struct format clap_format, vst3_format;

/* Plugins may hand streams on in any pieces: this many bytes at once are read and written. */
extern int stream_piece;

/* audio.c: one audio thread. What it does and what the main thread changes for it takes turns by the lock. */
void audio_begin(void (*tick)(void)); /* `tick` on the audio thread, every 10 ms */
void audio_lock(void);
void audio_unlock(void);
void on_audio(void (*what)(void* with), void* with); /* while the caller waits, without the lock */
void must_be_main(const char* call);                 /* ends the host when the plugin calls from another thread */
void must_be_audio(const char* call);
bool is_main(void);
bool is_audio(void);

/* random.c */
const char* random_calls(const struct format* format, void* library, uint64_t seed, int sequences);
const char* random_events(const struct format* format, struct plugin* of, uintptr_t* window, uint64_t seed, int seconds);

/* host.c */
void live(void); /* what goes on between commands */

/* posix.c, windows.c */
void* library_open(const char* path);
void* library_symbol(void* library, const char* name);
bool line_ready(int wait_ms); /* on standard input, or its end */
int64_t now_ms(void);
void sleep_ms(int ms);
uintptr_t window_open(uint32_t width, uint32_t height);
void window_resize(uintptr_t window, uint32_t width, uint32_t height);
void window_events(void);
void window_close(uintptr_t window);
bool window_send(uintptr_t window, int kind, int x, int y, uint32_t which); /* an event to the editor in it */
bool drop_window_open(void); /* prints `dropped PATH` for each file dropped on it */
long frames_drawn(void);     /* by the plugins' editors since the last call, -1 where that cannot be known */

/* What window_send knows: which is a button (1 to 3), wheel steps (2 up, 0 down), a key, a character. */
enum { EVENT_MOTION, EVENT_PRESS, EVENT_RELEASE, EVENT_WHEEL, EVENT_KEY, EVENT_CHARACTER, EVENT_FOCUS, EVENT_EXPOSE, EVENTS };

/* tripwire_posix.c, tripwire_windows.c: what the audio thread must not do ends the host with the name of the call. */
bool tripwire_arm(void* library); /* false where there is none (under sanitizers) */
void tripwire_begin(void);        /* from here on the calling thread is the audio thread */
void tripwire_end(void);
const char* tripwire_test(void); /* NULL when it notices memory, a lock and a file, else what it does not notice */

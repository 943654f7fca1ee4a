/* Calls and window events at random, as a host may make them: in an order that the formats allow, with values, times,
   tempos, states and sizes that nobody would choose. A seed always gives the same calls. What must hold: nothing crashes
   (sanitizers look on), the audio passes bit by bit, and a state that is refused changes nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

enum { CALLS = 60, MAX_STATE = 1 << 20 };

static uint64_t state;

static uint32_t draw(uint32_t below) { /* xorshift */
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}
static bool odds(uint32_t of) { return draw(of) == 0; }
#define ONE_OF(...) (((const double[]){__VA_ARGS__})[draw((uint32_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double)))])

#define NOTE(...) fprintf(stderr, "  " __VA_ARGS__), fputc('\n', stderr)

/* --- one sequence --- */

struct sequence {
    const struct format* format;
    struct plugin* plugin;
    struct block block;
    double rate_hz;
    uint32_t most; /* frames, 0 while it is not active */
    bool editor, done;
    uintptr_t window;
    int64_t at;
    char saved[MAX_STATE];
    size_t saved_size;
};

static float audio[4][MAX_FRAMES];

static void start_now(void* with) {
    ((struct sequence*)with)->done = ((struct sequence*)with)->format->start(((struct sequence*)with)->plugin);
}
static void stop_now(void* with) { ((struct sequence*)with)->format->stop(((struct sequence*)with)->plugin); }
static void reset_now(void* with) { ((struct sequence*)with)->format->reset(((struct sequence*)with)->plugin); }
static void flush_now(void* with) {
    struct sequence* of = with;
    of->format->flush(of->plugin, &of->block);
}
static void process_now(void* with) {
    struct sequence* of = with;
    of->done = of->format->process(of->plugin, &of->block);
}

static void draw_events(struct block* block, uint32_t frames) {
    block->change_count = odds(2) ? (int)draw(MAX_CHANGES / 4) : 0;
    block->note_count = odds(3) ? (int)draw(odds(9) ? MAX_NOTES : 4) : 0;
    for (int i = 0; i < block->change_count; ++i)
        block->changes[i] = (struct change){draw(11), draw(frames), odds(8) ? ONE_OF(-1e30, 1e30, -1, 70000, 0.5) : draw(20)};
    for (int i = 0; i < block->note_count; ++i)
        block->notes[i] = (struct note){(int)draw(128), draw(frames), odds(3) ? false : true};
}

static const char* process(struct sequence* of) {
    struct block* block = &of->block;
    const uint32_t frames = odds(8) ? of->most : 1 + draw(of->most);
    if (odds(10)) of->at = (int64_t)ONE_OF(0, 1, -48000, 1e6, 1e12, 479999); /* a jump, or a loop */
    if (odds(10)) block->playing = !block->playing;
    if (odds(12)) block->bpm = ONE_OF(0, 1e-9, 20, 60, 93.37, 120, 133, 300, 999, 1e9, -5);
    if (odds(12)) block->over = (int)ONE_OF(0, 1, 3, 4, 5, 7, 13, 128, 999), block->under = (int)ONE_OF(0, 1, 2, 4, 8, 16, 3, 64);
    const double bar = block->under && block->over ? 4.0 * block->over / block->under : 4.0;
    block->frames = frames, block->rate_hz = of->rate_hz, block->sample = of->at;
    block->quarters = (double)of->at / of->rate_hz * block->bpm / 60.0;
    if (fabs(block->quarters) > 1e8) block->quarters = 0.0;
    block->bar = (int64_t)floor(block->quarters / bar);
    block->bar_quarters = (double)block->bar * bar;
    const bool in_place = odds(4);
    for (int channel = 0; channel < 2; ++channel) {
        block->in[channel] = audio[channel];
        block->out[channel] = audio[in_place ? channel : channel + 2];
        for (uint32_t i = 0; i < frames; ++i) audio[channel][i] = (float)((double)draw(1 << 24) / (1 << 23) - 1.0);
        if (odds(8)) audio[channel][draw(frames)] = (float)ONE_OF(1e30, -1e30, 1e-40, INFINITY, 0);
        if (!in_place) memset(audio[channel + 2], 0xFF, sizeof(audio[0]));
    }
    static float before[2][MAX_FRAMES];
    memcpy(before, audio, sizeof(before));
    draw_events(block, frames);
    NOTE("process %u%s, %s at %g, %g bpm %d/%d, %d changes, %d notes", frames, in_place ? " in place" : "",
         block->playing ? "playing" : "stopped", (double)of->at, block->bpm, block->over, block->under, block->change_count,
         block->note_count);
    on_audio(process_now, of);
    if (block->playing) of->at += frames;
    if (!of->done) return "process failed";
    for (int channel = 0; channel < 2; ++channel)
        if (memcmp(before[channel], block->out[channel], frames * sizeof(float))) return "the audio was changed";
    return NULL;
}

static bool activate(struct sequence* of) {
    of->rate_hz = ONE_OF(8000, 22050, 44100, 48000, 88200, 96000, 192000);
    of->most = (uint32_t)ONE_OF(1, 17, 64, 512, 1000, 4096, MAX_FRAMES);
    NOTE("activate %g %u", of->rate_hz, of->most);
    if (!of->format->activate(of->plugin, of->rate_hz, of->most)) return false;
    on_audio(start_now, of);
    return of->done;
}

static void deactivate(struct sequence* of) {
    NOTE("deactivate");
    on_audio(stop_now, of);
    of->format->deactivate(of->plugin);
    of->most = 0;
}

static bool save(struct sequence* of) {
    FILE* file = fopen("random-state", "w+b");
    const bool done = file && of->format->save(of->plugin, file);
    if (file) rewind(file), of->saved_size = fread(of->saved, 1, MAX_STATE, file), fclose(file);
    return done;
}

/* What was saved, whole, cut off, with wrong bytes, or something else altogether. */
static const char* load(struct sequence* of) {
    static char text[MAX_STATE];
    size_t size = of->saved_size;
    const uint32_t how = draw(5);
    memcpy(text, of->saved, size);
    if (how == 1) size = draw((uint32_t)size + 1);
    for (uint32_t i = how == 2 ? 1 + draw(8) : 0; i > 0 && size; --i) text[draw((uint32_t)size)] = (char)draw(256);
    if (how == 3) size = draw(5000);
    for (size_t i = 0; how == 3 && i < size; ++i) text[i] = (char)draw(256);
    if (how == 4) {
        static const char foreign[] =
            "__dpf_parameters_begin__\0bars\0\0-999999999999\0takes\0nan\0key\0"
            "1e30\0seed\0"
            "2147483648\0level\0inf";
        memcpy(text, foreign, size = sizeof(foreign));
        if (!odds(3)) text[size++] = (char)0xFE; /* the end mark */
    }
    FILE* file = fopen("random-state", "w+b");
    if (!file) return "no file for the state";
    fwrite(text, 1, size, file), rewind(file);
    const bool taken = of->format->load(of->plugin, file);
    fclose(file);
    NOTE("load, kind %u, %u bytes: %s", how, (unsigned)size, taken ? "taken" : "refused");
    if (how == 0 && !taken) return "its own state is refused";
    if (how == 1 && taken && size < of->saved_size) return "a state that ends early is taken";
    return NULL;
}

static const char* call_editor(struct sequence* of) {
    const uint32_t what = of->editor ? 1 + draw(7) : 0;
    if (what == 0) {
        NOTE("open the editor");
        of->editor = true;
        if (!of->format->open_editor(of->plugin, ONE_OF(1, 1, 1.5, 2), &of->window)) return "the editor does not open";
    } else if (what < 3) {
        NOTE("%s the editor", what == 1 ? "show" : "hide");
        if (!of->format->show_editor(of->plugin, what == 1)) return "the editor is not shown or hidden";
    } else if (what < 5) {
        const uint32_t width = 1 + draw(1500), height = 1 + draw(1200);
        NOTE("resize the editor to %u x %u", width, height);
        of->format->resize_editor(of->plugin, width, height);
    } else if (what < 7) {
        NOTE("the editor lives");
        for (int i = 0; i < 8; ++i) {
            window_send(of->window, (int)draw(EVENTS), (int)draw(800), (int)draw(620), 1 + draw(4000));
            of->format->timers(of->plugin), window_events(), sleep_ms(1);
        }
    } else {
        NOTE("close the editor");
        of->format->close_editor(of->plugin);
        window_close(of->window);
        of->editor = false;
    }
    return NULL;
}

static const char* call(struct sequence* of) {
    const uint32_t what = draw(100);
    if (what < 8) return of->most ? (deactivate(of), NULL) : activate(of) ? NULL : "it does not become active";
    if (what < 55) return of->most ? process(of) : activate(of) ? NULL : "it does not become active";
    if (what < 60) return of->most ? (NOTE("reset"), on_audio(reset_now, of), NULL) : NULL;
    if (what < 67) {
        draw_events(&of->block, 1);
        NOTE("flush %d", of->block.change_count);
        return of->most ? on_audio(flush_now, of) : flush_now(of), NULL;
    }
    if (what < 73) return NOTE("save"), save(of) ? NULL : "the state is not saved";
    if (what < 82) return of->saved_size ? load(of) : NULL;
    if (what < 96) return call_editor(of);
    if (what < 98) return of->format->value(of->plugin, draw(11)), NULL;
    return of->format->timers(of->plugin), window_events(), NULL;
}

static const char* run(struct sequence* of, void* library) {
    of->block.bpm = 120.0, of->block.over = of->block.under = 4;
    stream_piece = (int)ONE_OF(1, 7, 64, 511, 4096);
    if (!(of->plugin = of->format->open(library))) return "the plugin cannot be made";
    const char* why = NULL;
    for (uint32_t i = 5 + draw(CALLS - 5); i > 0 && !why; --i) why = call(of);
    if (!why && of->editor && odds(2)) of->format->close_editor(of->plugin), window_close(of->window), of->editor = false;
    if (of->most) deactivate(of);
    if (of->editor) of->format->close_editor(of->plugin), window_close(of->window);
    of->format->close(of->plugin);
    return why;
}

const char* random_calls(const struct format* format, void* library, uint64_t seed, int sequences) {
    const int piece = stream_piece;
    static char why[200];
    for (int i = 0; i < sequences; ++i) {
        struct sequence* of = calloc(1, sizeof(*of));
        of->format = format;
        state = (seed + (uint64_t)i + 1) * 0x9E3779B97F4A7C15u;
        fprintf(stderr, "sequence of seed %llu\n", (unsigned long long)(seed + (uint64_t)i));
        const char* wrong = run(of, library);
        free(of);
        if (!wrong) continue;
        snprintf(why, sizeof(why), "seed %llu: %s", (unsigned long long)(seed + (uint64_t)i), wrong);
        return why;
    }
    stream_piece = piece;
    printf("%d sequences\n", sequences);
    return NULL;
}

/* --- window events --- */

const char* random_events(const struct format* format, struct plugin* of, uintptr_t* window, uint64_t seed, int seconds) {
    const int64_t end = now_ms() + 1000LL * seconds;
    int64_t sent = 0;
    int opened = 1;
    bool down = false;
    state = (seed + 1) * 0x9E3779B97F4A7C15u;
    while (now_ms() < end) {
        for (int i = (int)draw(6); i >= 0; --i) {
            int kind = (int)draw(EVENTS);
            if (kind == EVENT_PRESS) down = true;
            if (kind == EVENT_RELEASE) down = false;
            window_send(*window, kind, (int)draw(800) - 10, (int)draw(620) - 10, kind == EVENT_PRESS ? 1 : 1 + draw(4000)),
                ++sent;
        }
        if (odds(60)) format->resize_editor(of, 1 + draw(1400), 1 + draw(1000));
        if (odds(200)) format->show_editor(of, false), format->show_editor(of, true);
        if (odds(50)) { /* also with the button down */
            format->close_editor(of);
            window_close(*window);
            if (!format->open_editor(of, ONE_OF(1, 1, 1.5, 2), window)) return "the editor does not open again";
            ++opened;
        }
        live();
        sleep_ms(2);
    }
    for (int button = down; button > 0; --button) window_send(*window, EVENT_RELEASE, 0, 0, 1);
    printf("%lld events, %d editors\n", (long long)sent, opened);
    return NULL;
}

/* host PLUGIN: reads commands, a line each, and answers each with lines and then `ok`, or `error WHY`.

     instance N                           the one that the following is about; a new one where there was none
     describe, parameters, value ID       what the plugin is
     activate RATE MAX_FRAMES, deactivate, reset
     song BPM OVER UNDER, locate SAMPLE, transport 0|1
     block FRAMES, play FRAMES            processes at once; the input counts: sample k of the song is (k + 1) / 2^20
     heard FILE | heard -                 writes the output as raw stereo float32 from here on
     roll 0|1                             processes in real time, beside all else
     set ID VALUE [OFFSET]                with the next block, so many samples into it
     note KEY [OFFSET]
     flush                                what was set, without a block
     save FILE, load FILE
     editor SCALE, float-editor SCALE     in a window of the host's, in one of its own
     show 0|1, resize WIDTH HEIGHT, close-editor, frames, drop-window
     wait MS                              with timers and windows
     tripwire                             from here on the audio thread may not lock, allocate or call the system
     random-calls SEED SEQUENCES          on instances of its own
     random-events SEED SECONDS           to the open editor

   All instances take part in one song. Audio is processed on a thread of its own. */
#include "host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct instance {
    struct plugin* plugin;
    struct block block; /* changes and notes of the next one */
    uint32_t most_frames; /* as promised to the plugin, 0 while it is not active */
    bool editor;
    uintptr_t window;
};

int stream_piece = 7;

static const struct format* format;
static void* library;
static struct instance instances[MAX_INSTANCES], *my = instances;
static struct block song = {.bpm = 120.0, .over = 4, .under = 4, .rate_hz = 48000.0};
static float buffers[4][MAX_FRAMES];
static uint32_t block_frames = 512;
static bool rolling;
static FILE* heard;
static int64_t equal, unequal, last_roll_ms;

/* --- on the audio thread, or under its lock --- */

static bool process_one(struct instance* of, uint32_t frames) {
    struct block* block = &of->block;
    block->in[0] = buffers[0], block->in[1] = buffers[1], block->out[0] = buffers[2], block->out[1] = buffers[3];
    block->frames = frames, block->playing = song.playing;
    block->rate_hz = song.rate_hz, block->bpm = song.bpm, block->over = song.over, block->under = song.under;
    block->sample = song.sample, block->bar = song.bar;
    block->quarters = song.quarters, block->bar_quarters = song.bar_quarters;
    for (uint32_t i = 0; i < frames; ++i) block->out[0][i] = block->out[1][i] = NAN;
    const bool done = format->process(of->plugin, block);
    block->change_count = block->note_count = 0;
    return done;
}

static bool process(uint32_t frames) {
    const double bar = 4.0 * song.over / song.under;
    bool done = true;
    song.quarters = (double)song.sample / song.rate_hz * song.bpm / 60.0;
    song.bar = (int64_t)floor(song.quarters / bar + 1e-9);
    song.bar_quarters = (double)song.bar * bar;
    for (uint32_t i = 0; i < frames; ++i) {
        buffers[0][i] = (float)(song.sample + i + 1) / 1048576.0f;
        buffers[1][i] = -buffers[0][i];
    }
    for (struct instance* of = instances; of < instances + MAX_INSTANCES; ++of) {
        if (!of->most_frames) continue;
        done = process_one(of, frames) && done;
        if (of != my) continue; /* what comes out of the chosen one is looked at */
        for (uint32_t i = 0; i < frames; ++i) {
            const bool same = buffers[2][i] == buffers[0][i] && buffers[3][i] == buffers[1][i];
            same ? ++equal : ++unequal;
            if (heard) fwrite(&buffers[2][i], 4, 1, heard), fwrite(&buffers[3][i], 4, 1, heard);
        }
    }
    if (song.playing) song.sample += frames;
    return done;
}

static void roll(void) {
    if (!rolling) return;
    const int64_t now = now_ms();
    uint32_t frames = (uint32_t)((double)(now - last_roll_ms) * song.rate_hz / 1000.0);
    last_roll_ms = now;
    for (const struct instance* of = instances; of < instances + MAX_INSTANCES; ++of)
        if (of->most_frames && frames > of->most_frames) frames = of->most_frames;
    if (frames > MAX_FRAMES) frames = MAX_FRAMES;
    if (frames) process(frames);
}

struct playing {
    int64_t frames;
    bool done;
};
static void play_now(void* with) {
    struct playing* playing = with;
    while (playing->done && playing->frames > 0) {
        const uint32_t piece = playing->frames < block_frames ? (uint32_t)playing->frames : block_frames;
        playing->done = process(piece);
        playing->frames -= piece;
    }
}
static void start_now(void* with) {
    struct instance* of = with;
    if (!format->start(of->plugin)) of->most_frames = 0;
}
static void stop_now(void* with) {
    struct instance* of = with;
    format->stop(of->plugin), of->most_frames = 0;
}
static void reset_now(void* with) { format->reset(((struct instance*)with)->plugin); }
static void flush_now(void* with) {
    struct instance* of = with;
    format->flush(of->plugin, &of->block);
    of->block.change_count = of->block.note_count = 0;
}

/* --- on the main thread --- */

void live(void) {
    static int64_t last_timers_ms;
    const int64_t now = now_ms();
    if (now - last_timers_ms >= 8) {
        for (struct instance* of = instances; of < instances + MAX_INSTANCES; ++of)
            if (of->plugin) format->timers(of->plugin);
        last_timers_ms = now;
    }
    window_events();
}

static const char* choose(int number) {
    if (number < 0 || number >= MAX_INSTANCES) return "0 to 3";
    audio_lock();
    my = &instances[number];
    audio_unlock();
    if (!my->plugin) my->plugin = format->open(library);
    return my->plugin ? NULL : "the plugin cannot be made";
}

static const char* activate(double rate_hz, double most) {
    if (most < 1 || most > MAX_FRAMES || my->most_frames) return "RATE MAX_FRAMES, at most 8192, while it is not active";
    audio_lock();
    song.rate_hz = rate_hz;
    audio_unlock();
    if (!format->activate(my->plugin, rate_hz, (uint32_t)most)) return "the plugin refused";
    audio_lock();
    my->most_frames = (uint32_t)most;
    audio_unlock();
    on_audio(start_now, my);
    return my->most_frames ? NULL : "the plugin refused";
}

static void deactivate(void) {
    if (!my->most_frames) return;
    on_audio(stop_now, my);
    format->deactivate(my->plugin);
}

static const char* play(double frames) {
    if (!my->most_frames || block_frames > my->most_frames) return "activate first, for blocks of this length";
    struct playing playing = {(int64_t)frames, true};
    equal = unequal = 0;
    on_audio(play_now, &playing);
    if (!playing.done) return "the plugin's process failed";
    printf("equal %lld unequal %lld\n", (long long)equal, (long long)unequal);
    return NULL;
}

static const char* stream(const char* path, const char* mode, bool (*what)(struct plugin*, FILE*)) {
    FILE* file = fopen(path, mode);
    if (!file) return "the file cannot be opened";
    const bool done = what(my->plugin, file);
    fclose(file);
    return done ? NULL : "the plugin refused";
}

static void close_editor(void) {
    if (!my->editor) return;
    format->close_editor(my->plugin);
    if (my->window) window_close(my->window);
    my->editor = false, my->window = 0;
}

static const char* open_editor(double scale, bool floating) {
    uint32_t width = 0, height = 0;
    if (my->editor) return "it is open";
    my->editor = true;
    if (!format->open_editor(my->plugin, scale, floating ? NULL : &my->window)) return close_editor(), "the plugin refused";
    format->editor_size(my->plugin, &width, &height);
    printf("%u %u\n", width, height);
    return NULL;
}

static const char* hear(const char* path) {
    audio_lock();
    if (heard) fclose(heard);
    heard = strcmp(path, "-") ? fopen(path, "wb") : NULL;
    audio_unlock();
    return heard || !strcmp(path, "-") ? NULL : "the file cannot be written";
}

static const char* arm(void) {
    if (!tripwire_arm(library)) return "there is none in this build";
    audio_lock();
    const char* missed = tripwire_test();
    audio_unlock();
    if (missed) printf("it does not notice %s\n", missed);
    return missed ? "the tripwire does not work" : NULL;
}

/* What changes the song or the next block: with the audio thread's lock. */
static const char* change(const char* name, const char* rest) {
    double number = 0.0, second = 0.0, third = 0.0;
    const int numbers = sscanf(rest, "%lf %lf %lf", &number, &second, &third);
    struct block* block = &my->block;
    if (!strcmp(name, "song"))
        return sscanf(rest, "%lf %d %d", &song.bpm, &song.over, &song.under) == 3 ? NULL : "BPM OVER UNDER";
    if (!strcmp(name, "locate")) return song.sample = (int64_t)number, NULL;
    if (!strcmp(name, "transport")) return song.playing = number != 0.0, NULL;
    if (!strcmp(name, "roll")) return rolling = number != 0.0, last_roll_ms = now_ms(), NULL;
    if (!strcmp(name, "block"))
        return block_frames = (uint32_t)number, block_frames > 0 && block_frames <= MAX_FRAMES ? NULL : "1 to 8192";
    if (!strcmp(name, "set") && numbers >= 2 && block->change_count < MAX_CHANGES)
        return block->changes[block->change_count++] = (struct change){(uint32_t)number, (uint32_t)third, second}, NULL;
    if (!strcmp(name, "note") && numbers >= 1 && block->note_count < MAX_NOTES)
        return block->notes[block->note_count++] = (struct note){(int)number, (uint32_t)second, true}, NULL;
    return "no such command, or not so";
}

/* NULL when it was done, else why not. */
static const char* act(const char* name, const char* rest) {
    double number = 0.0, second = 0.0;
    const int numbers = sscanf(rest, "%lf %lf", &number, &second);
    if (!strcmp(name, "instance")) return choose((int)number);
    if (!strcmp(name, "describe")) return format->describe(my->plugin), NULL;
    if (!strcmp(name, "parameters")) return format->parameters(my->plugin), NULL;
    if (!strcmp(name, "value")) return printf("%.9g\n", format->value(my->plugin, (uint32_t)number)), NULL;
    if (!strcmp(name, "activate")) return activate(number, second);
    if (!strcmp(name, "deactivate")) return deactivate(), NULL;
    if (!strcmp(name, "reset")) return my->most_frames ? on_audio(reset_now, my), NULL : "activate first";
    if (!strcmp(name, "play")) return play(number);
    if (!strcmp(name, "heard")) return hear(rest);
    if (!strcmp(name, "flush")) return my->most_frames ? on_audio(flush_now, my) : flush_now(my), NULL;
    if (!strcmp(name, "save")) return stream(rest, "wb", format->save);
    if (!strcmp(name, "load")) return stream(rest, "rb", format->load);
    if (!strcmp(name, "editor")) return open_editor(number, false);
    if (!strcmp(name, "float-editor")) return open_editor(number, true);
    if (!strcmp(name, "show")) return my->editor && format->show_editor(my->plugin, number != 0.0) ? NULL : "the plugin refused";
    if (!strcmp(name, "resize") && numbers == 2 && my->editor)
        return format->resize_editor(my->plugin, (uint32_t)number, (uint32_t)second), NULL;
    if (!strcmp(name, "close-editor")) return close_editor(), NULL;
    if (!strcmp(name, "frames")) return printf("%ld\n", frames_drawn()), NULL;
    if (!strcmp(name, "drop-window")) return drop_window_open() ? NULL : "not on this system";
    if (!strcmp(name, "wait")) {
        for (const int64_t end = now_ms() + (int64_t)number; now_ms() < end; sleep_ms(1)) live();
        return NULL;
    }
    if (!strcmp(name, "tripwire")) return arm();
    if (!strcmp(name, "random-calls") && numbers == 2) return random_calls(format, library, (uint64_t)number, (int)second);
    if (!strcmp(name, "random-events") && numbers == 2) {
        if (!my->window) return "open the editor first";
        return random_events(format, my->plugin, &my->window, (uint64_t)number, (int)second);
    }
    audio_lock();
    const char* why = change(name, rest);
    audio_unlock();
    return why;
}

int main(int count, char** words) {
    setvbuf(stdin, NULL, _IONBF, 0);
    if (count != 2) return fprintf(stderr, "host PLUGIN\n"), 2;
    audio_begin(roll);
    library = library_open(words[1]);
    format = strstr(words[1], ".vst3") ? &vst3_format : &clap_format;
    if (!library || choose(0)) return printf("error the plugin cannot be loaded\n"), 1;
    printf("ok\n");
    fflush(stdout);
    char line[4096];
    for (;;) {
        while (!line_ready(2)) live();
        if (!fgets(line, sizeof(line), stdin)) break;
        line[strcspn(line, "\r\n")] = '\0';
        char* rest = strchr(line, ' ');
        if (rest) *rest++ = '\0';
        const char* why = act(line, rest ? rest : "");
        why ? printf("error %s: %s\n", line, why) : printf("ok\n");
        fflush(stdout);
    }
    for (int i = 0; i < MAX_INSTANCES; ++i) {
        if (!instances[i].plugin) continue;
        my = &instances[i];
        close_editor();
        deactivate();
        format->close(my->plugin);
    }
    return 0;
}

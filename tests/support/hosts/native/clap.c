/* CLAP, with the headers that DPF brings. */
#include <stdlib.h>
#include <string.h>

#include "entry.h"
#include "events.h"
#include "ext/audio-ports.h"
#include "ext/gui.h"
#include "ext/note-ports.h"
#include "ext/params.h"
#include "ext/state.h"
#include "ext/thread-check.h"
#include "ext/timer-support.h"
#include "host.h"
#include "plugin-factory.h"

#ifdef _WIN32
#define WINDOW_API CLAP_WINDOW_API_WIN32
#else
#define WINDOW_API CLAP_WINDOW_API_X11
#endif

union event {
    clap_event_header_t header;
    clap_event_param_value_t param;
    clap_event_note_t note;
};

struct plugin {
    const clap_plugin_t* clap;
    const clap_plugin_gui_t* gui;
    clap_host_t host;
    bool active, editor;
    uintptr_t* window;
    struct {
        uint32_t period_ms;
        int64_t next_ms;
    } timers[MAX_TIMERS]; /* free where the period is 0 */
    uint32_t event_count;
    union event events[MAX_CHANGES + MAX_NOTES];
};

static const clap_plugin_entry_t* entry;
static const clap_plugin_descriptor_t* descriptor;
static int instances;

/* --- the host's side: each call checks its thread --- */

static bool register_timer(const clap_host_t* host, uint32_t period_ms, clap_id* id) {
    struct plugin* of = host->host_data;
    must_be_main("register_timer");
    for (*id = 0; *id < MAX_TIMERS; ++*id) {
        if (of->timers[*id].period_ms) continue;
        of->timers[*id].period_ms = period_ms;
        return true;
    }
    fprintf(stderr, "the plugin registers timers without end\n");
    abort();
}
static bool unregister_timer(const clap_host_t* host, clap_id id) {
    struct plugin* of = host->host_data;
    must_be_main("unregister_timer");
    if (id < MAX_TIMERS && of->timers[id].period_ms) return of->timers[id].period_ms = 0, true;
    fprintf(stderr, "the plugin takes back a timer, %u, that it does not have\n", id);
    abort();
}
static void resize_hints_changed(const clap_host_t* host) { (void)host, must_be_main("resize_hints_changed"); }
static bool request_resize(const clap_host_t* host, uint32_t width, uint32_t height) {
    struct plugin* of = host->host_data;
    must_be_main("request_resize"); /* it may come from any thread; ours has no reason to */
    if (of->window) window_resize(*of->window, width, height);
    return true;
}
static bool request_show(const clap_host_t* host) { return (void)host, false; }
static void editor_closed(const clap_host_t* host, bool destroyed) { (void)host, (void)destroyed; }
static void rescan(const clap_host_t* host, clap_param_rescan_flags flags) {
    (void)host, (void)flags, must_be_main("params.rescan");
}
static void clear(const clap_host_t* host, clap_id id, clap_param_clear_flags flags) {
    (void)host, (void)id, (void)flags, must_be_main("params.clear");
}
static void request_flush(const clap_host_t* host) {
    (void)host;
    if (!is_audio()) return;
    fprintf(stderr, "the plugin called request_flush on the audio thread\n");
    abort();
}
static void mark_dirty(const clap_host_t* host) { (void)host, must_be_main("state.mark_dirty"); }
static void request(const clap_host_t* host) { (void)host; } /* to restart, to process, to be called back */
static bool on_main(const clap_host_t* host) { return (void)host, is_main(); }
static bool on_audio_thread(const clap_host_t* host) { return (void)host, is_audio(); }

static const void* extension(const clap_host_t* host, const char* id) {
    static const clap_host_timer_support_t timers = {register_timer, unregister_timer};
    static const clap_host_gui_t gui = {resize_hints_changed, request_resize, request_show, request_show, editor_closed};
    static const clap_host_params_t params = {rescan, clear, request_flush};
    static const clap_host_state_t state = {mark_dirty};
    static const clap_host_thread_check_t threads = {on_main, on_audio_thread};
    (void)host;
    if (!strcmp(id, CLAP_EXT_TIMER_SUPPORT)) return &timers;
    if (!strcmp(id, CLAP_EXT_GUI)) return &gui;
    if (!strcmp(id, CLAP_EXT_PARAMS)) return &params;
    if (!strcmp(id, CLAP_EXT_STATE)) return &state;
    if (!strcmp(id, CLAP_EXT_THREAD_CHECK)) return &threads;
    return NULL;
}

static const void* ask(struct plugin* of, const char* id) { return of->clap->get_extension(of->clap, id); }

/* --- the plugin --- */

static struct plugin* open_plugin(void* library) {
    if (!entry) entry = library_symbol(library, "clap_entry");
    if (!entry || !clap_version_is_compatible(entry->clap_version)) return NULL;
    if (instances == 0 && !entry->init("")) return NULL;
    const clap_plugin_factory_t* factory = entry->get_factory(CLAP_PLUGIN_FACTORY_ID);
    if (!factory || factory->get_plugin_count(factory) != 1) return NULL;
    descriptor = factory->get_plugin_descriptor(factory, 0);
    struct plugin* of = calloc(1, sizeof(*of));
    of->host =
        (clap_host_t){CLAP_VERSION_INIT, of, "test host", "ACE-Step Bridge", "", "1", extension, request, request, request};
    of->clap = factory->create_plugin(factory, &of->host, descriptor->id);
    if (!of->clap || !of->clap->init(of->clap)) return free(of), NULL;
    of->gui = ask(of, CLAP_EXT_GUI);
    ++instances;
    return of;
}

static void close_plugin(struct plugin* of) {
    of->clap->destroy(of->clap);
    for (int i = 0; i < MAX_TIMERS; ++i) {
        if (!of->timers[i].period_ms) continue;
        fprintf(stderr, "the plugin leaves a timer behind\n");
        abort();
    }
    free(of);
    if (--instances == 0) entry->deinit();
}

static void ports(struct plugin* of, bool input) {
    const clap_plugin_audio_ports_t* audio = ask(of, CLAP_EXT_AUDIO_PORTS);
    const clap_plugin_note_ports_t* notes = ask(of, CLAP_EXT_NOTE_PORTS);
    for (uint32_t i = 0; audio && i < audio->count(of->clap, input); ++i) {
        clap_audio_port_info_t info;
        if (audio->get(of->clap, i, input, &info)) printf("%s audio %u\n", input ? "in" : "out", info.channel_count);
    }
    if (notes) printf("%s notes %u\n", input ? "in" : "out", notes->count(of->clap, input));
}

static void describe(struct plugin* of) {
    printf("id %s\nname %s\nversion %s\n", descriptor->id, descriptor->name, descriptor->version);
    for (const char* const* feature = descriptor->features; *feature; ++feature) printf("feature %s\n", *feature);
    ports(of, true);
    ports(of, false);
}

static void parameters(struct plugin* of) {
    const clap_plugin_params_t* params = ask(of, CLAP_EXT_PARAMS);
    for (uint32_t i = 0; i < params->count(of->clap); ++i) {
        clap_param_info_t info;
        char text[256] = "";
        params->get_info(of->clap, i, &info);
        params->value_to_text(of->clap, info.id, info.default_value, text, sizeof(text));
        printf("%u|%s|%g|%g|%g|%s\n", info.id, info.name, info.min_value, info.max_value, info.default_value, text);
    }
}

static double value(struct plugin* of, uint32_t id) {
    const clap_plugin_params_t* params = ask(of, CLAP_EXT_PARAMS);
    double out = 0.0;
    return params->get_value(of->clap, id, &out) ? out : -1e300;
}

static bool activate(struct plugin* of, double rate_hz, uint32_t max_frames) {
    return of->active = of->clap->activate(of->clap, rate_hz, 1, max_frames);
}
static void deactivate(struct plugin* of) {
    of->clap->deactivate(of->clap);
    of->active = false;
}
static bool start(struct plugin* of) { return of->clap->start_processing(of->clap); }
static void stop(struct plugin* of) { of->clap->stop_processing(of->clap); }
static void reset(struct plugin* of) { of->clap->reset(of->clap); }

/* --- a block --- */

static uint32_t events_size(const clap_input_events_t* list) { return ((struct plugin*)list->ctx)->event_count; }
static const clap_event_header_t* events_get(const clap_input_events_t* list, uint32_t index) {
    return &((struct plugin*)list->ctx)->events[index].header;
}
static bool events_push(const clap_output_events_t* list, const clap_event_header_t* event) {
    const struct plugin* of = list->ctx;
    of->active ? must_be_audio("try_push") : must_be_main("try_push");
    return (void)event, true;
}

/* The format wants them in the order of their times. */
static union event* new_event(struct plugin* of, uint32_t time) {
    uint32_t at = of->event_count++;
    for (; at > 0 && of->events[at - 1].header.time > time; --at) of->events[at] = of->events[at - 1];
    memset(&of->events[at], 0, sizeof(union event));
    return &of->events[at];
}

static void collect(struct plugin* of, const struct block* block) {
    of->event_count = 0;
    for (int i = 0; i < block->change_count; ++i) {
        const struct change* change = &block->changes[i];
        clap_event_param_value_t* event = &new_event(of, change->offset)->param;
        event->header =
            (clap_event_header_t){sizeof(*event), change->offset, CLAP_CORE_EVENT_SPACE_ID, CLAP_EVENT_PARAM_VALUE, 0};
        event->param_id = change->id;
        event->value = change->value;
        event->note_id = event->port_index = event->channel = event->key = -1;
    }
    for (int i = 0; i < block->note_count; ++i) {
        const struct note* note = &block->notes[i];
        clap_event_note_t* event = &new_event(of, note->offset)->note;
        const uint16_t kind = note->on ? CLAP_EVENT_NOTE_ON : CLAP_EVENT_NOTE_OFF;
        event->header = (clap_event_header_t){sizeof(*event), note->offset, CLAP_CORE_EVENT_SPACE_ID, kind, 0};
        event->note_id = -1;
        event->key = (int16_t)note->key;
        event->velocity = 0.8;
    }
}

static clap_beattime beats(double quarters) { return (clap_beattime)(quarters * (double)CLAP_BEATTIME_FACTOR); }

static bool process(struct plugin* of, const struct block* block) {
    collect(of, block);
    clap_event_transport_t transport = {
        .header = {sizeof(transport), 0, CLAP_CORE_EVENT_SPACE_ID, CLAP_EVENT_TRANSPORT, 0},
        .flags = CLAP_TRANSPORT_HAS_TEMPO | CLAP_TRANSPORT_HAS_BEATS_TIMELINE | CLAP_TRANSPORT_HAS_TIME_SIGNATURE |
                 (block->playing ? CLAP_TRANSPORT_IS_PLAYING : 0),
        .song_pos_beats = beats(block->quarters),
        .tempo = block->bpm,
        .bar_start = beats(block->bar_quarters),
        .bar_number = (int32_t)block->bar,
        .tsig_num = (uint16_t)block->over,
        .tsig_denom = (uint16_t)block->under,
    };
    clap_audio_buffer_t in = {(float**)block->in, NULL, 2, 0, 0}, out = {(float**)block->out, NULL, 2, 0, 0};
    const clap_input_events_t input = {of, events_size, events_get};
    const clap_output_events_t output = {of, events_push};
    const clap_process_t all = {block->sample, block->frames, &transport, &in, &out, 1, 1, &input, &output};
    tripwire_begin();
    const clap_process_status status = of->clap->process(of->clap, &all);
    tripwire_end();
    return status != CLAP_PROCESS_ERROR;
}

static void flush(struct plugin* of, const struct block* block) {
    const clap_plugin_params_t* params = ask(of, CLAP_EXT_PARAMS);
    collect(of, block);
    const clap_input_events_t input = {of, events_size, events_get};
    const clap_output_events_t output = {of, events_push};
    params->flush(of->clap, &input, &output);
}

/* --- state --- */

static size_t piece(uint64_t size) { return (size_t)(size < (uint64_t)stream_piece ? size : (uint64_t)stream_piece); }
static int64_t write_piece(const clap_ostream_t* stream, const void* data, uint64_t size) {
    return (int64_t)fwrite(data, 1, piece(size), stream->ctx);
}
static int64_t read_piece(const clap_istream_t* stream, void* data, uint64_t size) {
    return (int64_t)fread(data, 1, piece(size), stream->ctx);
}

static bool save(struct plugin* of, FILE* file) {
    const clap_plugin_state_t* state = ask(of, CLAP_EXT_STATE);
    const clap_ostream_t stream = {file, write_piece};
    return state->save(of->clap, &stream);
}

static bool load(struct plugin* of, FILE* file) {
    const clap_plugin_state_t* state = ask(of, CLAP_EXT_STATE);
    const clap_istream_t stream = {file, read_piece};
    return state->load(of->clap, &stream);
}

/* --- the editor --- */

/* In a window of the host's, or (without `window`) in one of its own. */
static bool open_editor(struct plugin* of, double scale, uintptr_t* window) {
    uint32_t width = 0, height = 0;
    if (!of->gui || !of->gui->is_api_supported(of->clap, WINDOW_API, !window)) return false;
    if (!of->gui->create(of->clap, WINDOW_API, !window)) return false;
    of->editor = true;
    of->window = window;
    of->gui->set_scale(of->clap, scale);
    if (!window) return of->gui->suggest_title(of->clap, "Floating editor"), of->gui->show(of->clap);
    if (!of->gui->get_size(of->clap, &width, &height)) return false;
    *window = window_open(width, height);
    clap_window_t parent = {.api = WINDOW_API};
    parent.uptr = *window;
    if (!of->gui->set_parent(of->clap, &parent) || !of->gui->get_size(of->clap, &width, &height)) return false;
    window_resize(*window, width, height);
    return of->gui->show(of->clap);
}

static void editor_size(struct plugin* of, uint32_t* width, uint32_t* height) { of->gui->get_size(of->clap, width, height); }

static bool show_editor(struct plugin* of, bool shown) { return (shown ? of->gui->show : of->gui->hide)(of->clap); }

static void resize_editor(struct plugin* of, uint32_t width, uint32_t height) {
    if (!of->gui->can_resize(of->clap) || !of->gui->adjust_size(of->clap, &width, &height)) return;
    if (of->window) window_resize(*of->window, width, height);
    of->gui->set_size(of->clap, width, height);
}

static void close_editor(struct plugin* of) {
    if (of->editor) of->gui->destroy(of->clap);
    of->editor = false;
}

static void run_timers(struct plugin* of) {
    const clap_plugin_timer_support_t* support = ask(of, CLAP_EXT_TIMER_SUPPORT);
    for (clap_id id = 0; id < MAX_TIMERS; ++id) {
        if (!of->timers[id].period_ms || now_ms() < of->timers[id].next_ms) continue;
        of->timers[id].next_ms = now_ms() + of->timers[id].period_ms;
        support->on_timer(of->clap, id);
    }
}

const struct format clap_format = {open_plugin, close_plugin, describe,    parameters,    value,        activate,  deactivate,
                                   start,       stop,         reset,       process,       flush,        save,      load,
                                   open_editor, editor_size,  show_editor, resize_editor, close_editor, run_timers};

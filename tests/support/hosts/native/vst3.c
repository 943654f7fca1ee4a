/* VST3 through its C ABI, with the headers that DPF brings. */
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "vst3_message.h"

#include "travesty/audio_processor.h"
#include "travesty/component.h"
#include "travesty/edit_controller.h"
#include "travesty/factory.h"
#include "travesty/host.h"
#include "travesty/view.h"

#define CALL(self) (*(self)) /* objects are pointers to a pointer to their functions */

struct queue { /* changes of one parameter */
    struct v3_param_value_queue* table;
    uint32_t id;
    int count;
    struct point {
        uint32_t offset;
        double value;
    } points[MAX_CHANGES];
};

struct plugin {
    struct v3_component** component;
    struct v3_audio_processor** processor;
    struct v3_edit_controller** controller;
    struct v3_plugin_view** view;
    uintptr_t* window;
    struct frame {
        struct v3_plugin_frame* table;
        struct plugin* of;
    } frame;
    /* of a block */
    struct changes {
        struct v3_param_changes* table;
        int count;
        struct queue queues[MAX_CHANGES];
    } changes;
    struct notes {
        struct v3_event_list* table;
        int count;
        struct v3_event events[MAX_NOTES];
    } notes;
};

static struct v3_plugin_factory** factory;
static struct {
    struct v3_timer_handler** handler;
    uint64_t period_ms;
    int64_t next_ms;
} timers[MAX_INSTANCES * MAX_TIMERS];
static int instances;

/* --- the host's objects: static, so that nobody counts references --- */

static uint32_t V3_API counted(void* self) { return (void)self, 1; }
static v3_result V3_API no_interface(void* self, const v3_tuid id, void** out) {
    return (void)self, (void)id, *out = NULL, V3_NO_INTERFACE;
}
#define HOST_OBJECT {no_interface, counted, counted}

static v3_result V3_API host_name(void* self, v3_str_128 name) {
    (void)self;
    memset(name, 0, sizeof(v3_str_128));
    for (const char* text = "test host"; *text; ++text) *name++ = *text;
    return V3_OK;
}
static v3_result V3_API host_create(void* self, v3_tuid kind, v3_tuid id, void** out) {
    (void)self, (void)id;
    const bool wanted = v3_tuid_match(kind, v3_message_iid);
    *out = wanted ? new_message() : NULL;
    return wanted ? V3_OK : V3_NOT_IMPLEMENTED;
}
static v3_result V3_API host_interface(void* self, const v3_tuid id, void** out) {
    const bool known = v3_tuid_match(id, v3_host_application_iid);
    *out = known ? self : NULL;
    return known ? V3_OK : V3_NO_INTERFACE;
}
static struct v3_host_application host_table = {{host_interface, counted, counted}, host_name, host_create}, *host = &host_table;

static v3_result V3_API edit_of(void* self, v3_param_id id) {
    return (void)self, (void)id, must_be_main("begin_edit or end_edit"), V3_OK;
}
static v3_result V3_API edit_to(void* self, v3_param_id id, double to) {
    return (void)self, (void)id, (void)to, must_be_main("perform_edit"), V3_OK;
}
static v3_result V3_API restart(void* self, int32_t flags) {
    return (void)self, (void)flags, must_be_main("restart_component"), V3_OK;
}
static struct v3_component_handler handler_table = {HOST_OBJECT, edit_of, edit_to, edit_of, restart}, *handler = &handler_table;

static v3_result V3_API add_fd(void* self, struct v3_event_handler** with, int fd) {
    return (void)self, (void)with, (void)fd, V3_OK;
}
static v3_result V3_API remove_fd(void* self, struct v3_event_handler** with) { return (void)self, (void)with, V3_OK; }
static v3_result V3_API add_timer(void* self, struct v3_timer_handler** with, uint64_t period_ms) {
    (void)self, must_be_main("register_timer");
    for (int i = 0; i < MAX_INSTANCES * MAX_TIMERS; ++i) {
        if (timers[i].handler) continue;
        timers[i].handler = with, timers[i].period_ms = period_ms;
        return V3_OK;
    }
    fprintf(stderr, "the plugin registers timers without end\n");
    abort();
}
static v3_result V3_API remove_timer(void* self, struct v3_timer_handler** with) {
    (void)self, must_be_main("unregister_timer");
    for (int i = 0; i < MAX_INSTANCES * MAX_TIMERS; ++i)
        if (timers[i].handler == with) timers[i].handler = NULL;
    return V3_OK;
}
static struct v3_run_loop loop_table = {HOST_OBJECT, add_fd, remove_fd, add_timer, remove_timer}, *loop = &loop_table;

static v3_result V3_API frame_interface(void* self, const v3_tuid id, void** out) {
    (void)self;
    const bool is_loop = v3_tuid_match(id, v3_run_loop_iid);
    *out = is_loop ? &loop : NULL;
    return is_loop ? V3_OK : V3_NO_INTERFACE;
}
static v3_result V3_API resize(void* self, struct v3_plugin_view** view, struct v3_view_rect* to) {
    must_be_main("resize_view");
    const struct plugin* of = ((struct frame*)self)->of;
    window_resize(*of->window, (uint32_t)(to->right - to->left), (uint32_t)(to->bottom - to->top));
    return CALL(view)->on_size(view, to);
}
static struct v3_plugin_frame frame_table = {{frame_interface, counted, counted}, resize};

/* --- a block's changes and notes --- */

static v3_param_id V3_API queue_id(void* self) { return ((struct queue*)self)->id; }
static int32_t V3_API queue_points(void* self) { return ((struct queue*)self)->count; }
static v3_result V3_API queue_point(void* self, int32_t index, int32_t* offset, double* to) {
    const struct queue* queue = self;
    if (index < 0 || index >= queue->count) return V3_INVALID_ARG;
    return *offset = (int32_t)queue->points[index].offset, *to = queue->points[index].value, V3_OK;
}
static v3_result V3_API queue_add(void* self, int32_t offset, double to, int32_t* index) {
    return (void)self, (void)offset, (void)to, (void)index, V3_NOT_IMPLEMENTED;
}
static struct v3_param_value_queue queue_table = {HOST_OBJECT, queue_id, queue_points, queue_point, queue_add};

static int32_t V3_API changes_count(void* self) { return ((struct changes*)self)->count; }
static struct v3_param_value_queue** V3_API changes_get(void* self, int32_t index) {
    return &((struct changes*)self)->queues[index].table;
}
static struct v3_param_value_queue** V3_API changes_add(void* self, v3_param_id* id, int32_t* index) {
    return (void)self, (void)id, (void)index, NULL;
}
static struct v3_param_changes changes_table = {HOST_OBJECT, changes_count, changes_get, changes_add};

static int32_t V3_API no_changes(void* self) { return (void)self, 0; }
static struct v3_param_changes told_table = {HOST_OBJECT, no_changes, changes_get, changes_add}, *told = &told_table;

static uint32_t V3_API events_count(void* self) { return (uint32_t)((struct notes*)self)->count; }
static v3_result V3_API events_get(void* self, int32_t index, struct v3_event* event) {
    return *event = ((struct notes*)self)->events[index], V3_OK;
}
static v3_result V3_API events_add(void* self, struct v3_event* event) { return (void)self, (void)event, V3_OK; }
static struct v3_event_list events_table = {HOST_OBJECT, events_count, events_get, events_add};

static struct queue* queue_of(struct plugin* of, uint32_t id) {
    for (int i = 0; i < of->changes.count; ++i)
        if (of->changes.queues[i].id == id) return &of->changes.queues[i];
    struct queue* queue = &of->changes.queues[of->changes.count++];
    queue->table = &queue_table, queue->id = id, queue->count = 0;
    return queue;
}

/* Queues in the order of their times, as the format wants them. */
static void collect(struct plugin* of, const struct block* block) {
    of->changes.count = 0;
    of->notes.count = block->note_count;
    for (int i = 0; i < block->change_count; ++i) {
        const struct change* change = &block->changes[i];
        struct queue* queue = queue_of(of, change->id);
        int at = queue->count++;
        for (; at > 0 && queue->points[at - 1].offset > change->offset; --at) queue->points[at] = queue->points[at - 1];
        const double to = CALL(of->controller)->plain_parameter_to_normalised(of->controller, change->id, change->value);
        queue->points[at] = (struct point){change->offset, to};
    }
    memset(of->notes.events, 0, sizeof(of->notes.events));
    for (int i = 0; i < block->note_count; ++i) {
        const struct note* note = &block->notes[i];
        struct v3_event* event = &of->notes.events[i];
        event->sample_offset = (int32_t)note->offset;
        event->type = note->on ? V3_EVENT_NOTE_ON : V3_EVENT_NOTE_OFF;
        if (note->on) {
            event->note_on.pitch = (int16_t)note->key, event->note_on.velocity = 0.8f, event->note_on.note_id = -1;
        } else {
            event->note_off.pitch = (int16_t)note->key, event->note_off.note_id = -1;
        }
    }
}

/* --- the plugin --- */

#ifdef _WIN32
#define ENTER "InitDll"
#define LEAVE "ExitDll"
#else
#define ENTER "ModuleEntry"
#define LEAVE "ModuleExit"
#endif

static bool enter(void* library) {
    bool (*begin)(void*) = NULL; /* Windows' takes nothing */
    struct v3_plugin_factory** (*get)(void) = NULL;
    *(void**)&begin = library_symbol(library, ENTER);
    *(void**)&get = library_symbol(library, "GetPluginFactory");
    return (!begin || begin(library)) && get && (factory = get());
}

static void leave(void* library) {
    bool (*end)(void) = NULL;
    *(void**)&end = library_symbol(library, LEAVE);
    CALL(factory)->unref(factory);
    if (end) end();
}

static void* used_library;

static struct plugin* open_plugin(void* library) {
    if (instances == 0 && !enter(library)) return NULL;
    struct v3_class_info info;
    if (CALL(factory)->get_class_info(factory, 0, &info) != V3_OK || strcmp(info.category, "Audio Module Class")) return NULL;
    struct plugin* of = calloc(1, sizeof(*of));
    of->frame = (struct frame){&frame_table, of};
    of->changes.table = &changes_table, of->notes.table = &events_table;
    if (CALL(factory)->create_instance(factory, info.class_id, v3_component_iid, (void**)&of->component) == V3_OK &&
        CALL(of->component)->initialize(of->component, (struct v3_funknown**)&host) == V3_OK &&
        CALL(of->component)->query_interface(of->component, v3_audio_processor_iid, (void**)&of->processor) == V3_OK &&
        CALL(of->component)->query_interface(of->component, v3_edit_controller_iid, (void**)&of->controller) == V3_OK &&
        CALL(of->controller)->set_component_handler(of->controller, (struct v3_component_handler**)&handler) == V3_OK) {
        ++instances, used_library = library;
        return of;
    }
    free(of);
    return NULL;
}

static void close_plugin(struct plugin* of) {
    CALL(of->controller)->unref(of->controller);
    CALL(of->processor)->unref(of->processor);
    CALL(of->component)->terminate(of->component);
    CALL(of->component)->unref(of->component);
    free(of);
    if (--instances == 0) leave(used_library);
}

static void ports(struct plugin* of, int direction, const char* name) {
    for (int32_t i = 0; i < CALL(of->component)->get_bus_count(of->component, V3_AUDIO, direction); ++i) {
        struct v3_bus_info info;
        if (CALL(of->component)->get_bus_info(of->component, V3_AUDIO, direction, i, &info) == V3_OK)
            printf("%s audio %d\n", name, info.channel_count);
    }
    printf("%s notes %d\n", name, CALL(of->component)->get_bus_count(of->component, V3_EVENT, direction));
}

static void describe(struct plugin* of) {
    struct v3_class_info info;
    CALL(factory)->get_class_info(factory, 0, &info);
    printf("name %s\n", info.name);
    ports(of, V3_INPUT, "in");
    ports(of, V3_OUTPUT, "out");
}

static const char* narrow(const int16_t* text, char* out) {
    char* at = out;
    while (*text && at < out + 127) *at++ = (char)*text++;
    *at = '\0';
    return out;
}

static void parameters(struct plugin* of) {
    struct v3_edit_controller** controller = of->controller;
    for (int32_t i = 0; i < CALL(controller)->get_parameter_count(controller); ++i) {
        struct v3_param_info info;
        v3_str_128 text = {0};
        char name[128], shown[128];
        CALL(controller)->get_parameter_info(controller, i, &info);
        const uint32_t id = info.param_id;
        CALL(controller)->get_parameter_string_for_value(controller, id, info.default_normalised_value, text);
        const double least = CALL(controller)->normalised_parameter_to_plain(controller, id, 0.0);
        const double most = CALL(controller)->normalised_parameter_to_plain(controller, id, 1.0);
        const double normal = CALL(controller)->normalised_parameter_to_plain(controller, id, info.default_normalised_value);
        printf("%u|%s|%g|%g|%g|%s\n", id, narrow(info.title, name), least, most, normal, narrow(text, shown));
    }
}

static double value(struct plugin* of, uint32_t id) {
    const double normalised = CALL(of->controller)->get_parameter_normalised(of->controller, id);
    return CALL(of->controller)->normalised_parameter_to_plain(of->controller, id, normalised);
}

static bool activate(struct plugin* of, double rate_hz, uint32_t max_frames) {
    struct v3_process_setup setup = {V3_REALTIME, V3_SAMPLE_32, (int32_t)max_frames, rate_hz};
    return CALL(of->processor)->setup_processing(of->processor, &setup) == V3_OK &&
           CALL(of->component)->set_active(of->component, true) == V3_OK;
}
static void deactivate(struct plugin* of) { CALL(of->component)->set_active(of->component, false); }
static bool start(struct plugin* of) { return CALL(of->processor)->set_processing(of->processor, true) == V3_OK; }
static void stop(struct plugin* of) { CALL(of->processor)->set_processing(of->processor, false); }
static void reset(struct plugin* of) { stop(of), start(of); } /* as hosts do: the format has no word for it */

static bool process(struct plugin* of, const struct block* block) {
    collect(of, block);
    struct v3_process_context context = {
        .state = V3_PROCESS_CTX_PROJECT_TIME_VALID | V3_PROCESS_CTX_TEMPO_VALID | V3_PROCESS_CTX_BAR_POSITION_VALID |
                 V3_PROCESS_CTX_TIME_SIG_VALID | (block->playing ? V3_PROCESS_CTX_PLAYING : 0),
        .sample_rate = block->rate_hz,
        .project_time_in_samples = block->sample,
        .continuous_time_in_samples = block->sample,
        .project_time_quarters = block->quarters,
        .bar_position_quarters = block->bar_quarters,
        .bpm = block->bpm,
        .time_sig_numerator = block->over,
        .time_sig_denom = block->under,
    };
    struct v3_audio_bus_buffers in = {.num_channels = 2, .channel_buffers_32 = (float**)block->in};
    struct v3_audio_bus_buffers out = {.num_channels = 2, .channel_buffers_32 = (float**)block->out};
    struct v3_process_data data = {V3_REALTIME,
                                   V3_SAMPLE_32,
                                   (int32_t)block->frames,
                                   1,
                                   1,
                                   &in,
                                   &out,
                                   (struct v3_param_changes**)&of->changes,
                                   &told,
                                   (struct v3_event_list**)&of->notes,
                                   NULL,
                                   &context};
    tripwire_begin();
    const v3_result result = CALL(of->processor)->process(of->processor, &data);
    tripwire_end();
    return result == V3_OK;
}

/* To the processor without samples and buses, and to the controller: hosts tell both. */
static void flush(struct plugin* of, const struct block* block) {
    collect(of, block);
    for (int i = 0; i < of->changes.count; ++i) {
        const struct queue* queue = &of->changes.queues[i];
        CALL(of->controller)->set_parameter_normalised(of->controller, queue->id, queue->points[queue->count - 1].value);
    }
    struct v3_process_data data = {.process_mode = V3_REALTIME,
                                   .symbolic_sample_size = V3_SAMPLE_32,
                                   .input_params = (struct v3_param_changes**)&of->changes,
                                   .output_params = &told};
    CALL(of->processor)->process(of->processor, &data);
}

/* --- state --- */

static struct stream {
    struct v3_bstream* table;
    FILE* file;
} stream;

static size_t piece(int32_t size) { return (size_t)(size < stream_piece ? size : stream_piece); }
static v3_result V3_API stream_read(void* self, void* data, int32_t size, int32_t* done) {
    return *done = (int32_t)fread(data, 1, piece(size), ((struct stream*)self)->file), V3_OK;
}
static v3_result V3_API stream_write(void* self, void* data, int32_t size, int32_t* done) {
    return *done = (int32_t)fwrite(data, 1, piece(size), ((struct stream*)self)->file), V3_OK;
}
static v3_result V3_API stream_seek(void* self, int64_t to, int32_t mode, int64_t* at) {
    return (void)self, (void)to, (void)mode, (void)at, V3_NOT_IMPLEMENTED;
}
static v3_result V3_API stream_tell(void* self, int64_t* at) { return (void)self, (void)at, V3_NOT_IMPLEMENTED; }
static struct v3_bstream stream_table = {HOST_OBJECT, stream_read, stream_write, stream_seek, stream_tell};

static struct v3_bstream** stream_of(FILE* file) {
    stream = (struct stream){&stream_table, file};
    return &stream.table;
}
static bool save(struct plugin* of, FILE* file) {
    return CALL(of->component)->get_state(of->component, stream_of(file)) == V3_OK;
}
static bool load(struct plugin* of, FILE* file) {
    return CALL(of->component)->set_state(of->component, stream_of(file)) == V3_OK;
}

/* --- the editor --- */

static bool open_editor(struct plugin* of, double scale, uintptr_t* window) {
    struct v3_plugin_view_content_scale** scaling = NULL;
    struct v3_view_rect size = {0};
    if (!window) return false; /* the format has none of their own */
    struct v3_plugin_view** view = CALL(of->controller)->create_view(of->controller, "editor");
    if (!view) return false;
    of->view = view, of->window = window;
    if (CALL(view)->is_platform_type_supported(view, V3_VIEW_PLATFORM_TYPE_NATIVE) != V3_OK) return false;
    CALL(view)->set_frame(view, (struct v3_plugin_frame**)&of->frame);
    if (CALL(view)->query_interface(view, v3_plugin_view_content_scale_iid, (void**)&scaling) == V3_OK)
        CALL(scaling)->set_content_scale_factor(scaling, (float)scale), CALL(scaling)->unref(scaling);
    CALL(view)->get_size(view, &size);
    *window = window_open((uint32_t)(size.right - size.left), (uint32_t)(size.bottom - size.top));
    if (CALL(view)->attached(view, (void*)*window, V3_VIEW_PLATFORM_TYPE_NATIVE) != V3_OK) return false;
    CALL(view)->get_size(view, &size);
    window_resize(*window, (uint32_t)(size.right - size.left), (uint32_t)(size.bottom - size.top));
    return true;
}

static void editor_size(struct plugin* of, uint32_t* width, uint32_t* height) {
    struct v3_view_rect size = {0};
    CALL(of->view)->get_size(of->view, &size);
    *width = (uint32_t)(size.right - size.left), *height = (uint32_t)(size.bottom - size.top);
}

static bool show_editor(struct plugin* of, bool shown) { return (void)of, (void)shown, true; } /* not in this format */

static void resize_editor(struct plugin* of, uint32_t width, uint32_t height) {
    struct v3_view_rect size = {0, 0, (int32_t)width, (int32_t)height};
    if (CALL(of->view)->can_resize(of->view) != V3_TRUE) return;
    if (CALL(of->view)->check_size_constraint(of->view, &size) != V3_OK) return;
    window_resize(*of->window, (uint32_t)size.right, (uint32_t)size.bottom);
    CALL(of->view)->on_size(of->view, &size);
}

static void close_editor(struct plugin* of) {
    if (!of->view) return;
    CALL(of->view)->removed(of->view);
    CALL(of->view)->set_frame(of->view, NULL);
    CALL(of->view)->unref(of->view);
    of->view = NULL;
}

static void run_timers(struct plugin* of) { /* of all instances */
    (void)of;
    for (int i = 0; i < MAX_INSTANCES * MAX_TIMERS; ++i) {
        if (!timers[i].handler || now_ms() < timers[i].next_ms) continue;
        timers[i].next_ms = now_ms() + (int64_t)timers[i].period_ms;
        CALL(timers[i].handler)->on_timer(timers[i].handler);
    }
}

const struct format vst3_format = {open_plugin, close_plugin, describe,    parameters,    value,        activate,  deactivate,
                                   start,       stop,         reset,       process,       flush,        save,      load,
                                   open_editor, editor_size,  show_editor, resize_editor, close_editor, run_timers};

/* Messages between a VST3's parts: the host makes them, the parts fill and read them. */
#include "vst3_message.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ATTRIBUTES = 8 };

struct attribute {
    char name[64];
    uint32_t size;
    void* data;
};

struct message {
    struct v3_message* table;
    struct v3_attribute_list* list_table; /* an object of its own, at this address */
    int references, count;
    char id[64];
    struct attribute attributes[MAX_ATTRIBUTES];
};

static struct message* of_list(void* self) { return (struct message*)((char*)self - offsetof(struct message, list_table)); }

static v3_result put(void* self, const char* name, const void* data, uint32_t size) {
    struct message* message = of_list(self);
    if (message->count == MAX_ATTRIBUTES) return V3_NOMEM;
    struct attribute* attribute = &message->attributes[message->count++];
    strncpy(attribute->name, name, sizeof(attribute->name) - 1);
    attribute->data = malloc(size ? size : 1);
    attribute->size = size;
    memcpy(attribute->data, data, size);
    return V3_OK;
}
static const struct attribute* get(void* self, const char* name) {
    struct message* message = of_list(self);
    for (int i = message->count; i-- > 0;) /* the last one counts */
        if (!strcmp(message->attributes[i].name, name)) return &message->attributes[i];
    return NULL;
}
static v3_result take(void* self, const char* name, void* out, uint32_t size) {
    const struct attribute* attribute = get(self, name);
    if (!attribute) return V3_INVALID_ARG;
    memcpy(out, attribute->data, attribute->size < size ? attribute->size : size);
    return V3_OK;
}

static v3_result V3_API set_int(void* self, const char* name, int64_t value) { return put(self, name, &value, sizeof(value)); }
static v3_result V3_API get_int(void* self, const char* name, int64_t* value) { return take(self, name, value, sizeof(*value)); }
static v3_result V3_API set_float(void* self, const char* name, double value) { return put(self, name, &value, sizeof(value)); }
static v3_result V3_API get_float(void* self, const char* name, double* value) { return take(self, name, value, sizeof(*value)); }
static v3_result V3_API set_string(void* self, const char* name, const int16_t* text) {
    uint32_t length = 0;
    while (text[length]) ++length;
    return put(self, name, text, (length + 1) * 2);
}
static v3_result V3_API get_string(void* self, const char* name, int16_t* text, uint32_t size) {
    return take(self, name, text, size);
}
static v3_result V3_API set_binary(void* self, const char* name, const void* data, uint32_t size) {
    return put(self, name, data, size);
}
static v3_result V3_API get_binary(void* self, const char* name, const void** data, uint32_t* size) {
    const struct attribute* attribute = get(self, name);
    if (!attribute) return V3_INVALID_ARG;
    return *data = attribute->data, *size = attribute->size, V3_OK;
}

static v3_result V3_API no_interface(void* self, const v3_tuid id, void** out) {
    return (void)self, (void)id, *out = NULL, V3_NO_INTERFACE;
}
static uint32_t V3_API owned(void* self) { return (void)self, 1; } /* by its message */
static uint32_t V3_API ref(void* self) { return (uint32_t)++((struct message*)self)->references; }
static uint32_t V3_API unref(void* self) {
    struct message* message = self;
    if (--message->references > 0) return (uint32_t)message->references;
    for (int i = 0; i < message->count; ++i) free(message->attributes[i].data);
    free(message);
    return 0;
}
static const char* V3_API get_id(void* self) { return ((struct message*)self)->id; }
static void V3_API set_id(void* self, const char* id) {
    strncpy(((struct message*)self)->id, id, sizeof(((struct message*)self)->id) - 1);
}
static struct v3_attribute_list** V3_API attributes(void* self) { return &((struct message*)self)->list_table; }

static struct v3_attribute_list list_table = {
    {no_interface, owned, owned}, set_int, get_int, set_float, get_float, set_string, get_string, set_binary, get_binary};
static struct v3_message message_table = {{no_interface, ref, unref}, get_id, set_id, attributes};

struct v3_message** new_message(void) {
    struct message* message = calloc(1, sizeof(*message));
    message->table = &message_table;
    message->list_table = &list_table;
    message->references = 1;
    return &message->table;
}

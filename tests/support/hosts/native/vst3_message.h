#pragma once

#include <stddef.h>

/* travesty names these without `struct`, as C++ may */
typedef struct v3_attribute_list v3_attribute_list;
typedef struct v3_event_handler v3_event_handler;
typedef struct v3_timer_handler v3_timer_handler;

#include "travesty/message.h"

struct v3_message** new_message(void);

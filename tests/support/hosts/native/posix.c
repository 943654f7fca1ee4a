/* What the host needs of Linux: libraries, time, and a window by X11. */
#define _GNU_SOURCE
#include <GL/glx.h>
#include <X11/Xlib.h>
#include <dlfcn.h>
#include <poll.h>
#include <time.h>

#include "host.h"

static Display* display;
static long frames;

/* In front of libGL's own for the plugin as well: the program's symbols come first. */
void glXSwapBuffers(Display* on, GLXDrawable drawable) {
    static void (*real)(Display*, GLXDrawable);
    if (!real) *(void**)&real = dlsym(dlopen("libGL.so.1", RTLD_LAZY), "glXSwapBuffers");
    ++frames;
    real(on, drawable);
}

long frames_drawn(void) {
    const long out = frames;
    frames = 0;
    return out;
}

void* library_open(const char* path) {
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) fprintf(stderr, "%s\n", dlerror());
    return library;
}
void* library_symbol(void* library, const char* name) { return dlsym(library, name); }

bool line_ready(int wait_ms) {
    struct pollfd entry = {0, POLLIN, 0};
    return poll(&entry, 1, wait_ms) > 0;
}

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void sleep_ms(int ms) {
    const struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&wait, NULL);
}

/* --- windows --- */

static int windows;

uintptr_t window_open(uint32_t width, uint32_t height) {
    if (!display) display = XOpenDisplay(NULL);
    if (!display) return 0;
    const Window window =
        XCreateSimpleWindow(display, DefaultRootWindow(display), 0, 0, width, height, 0, 0, BlackPixel(display, 0));
    XStoreName(display, window, windows++ ? "Test host 2" : "Test host");
    XMapWindow(display, window);
    XSync(display, False);
    return window;
}

void window_resize(uintptr_t window, uint32_t width, uint32_t height) {
    if (!window) return;
    XResizeWindow(display, window, width, height);
    XSync(display, False);
}

void window_events(void) {
    XEvent event;
    while (display && XPending(display)) XNextEvent(display, &event);
}

void window_close(uintptr_t window) {
    XDestroyWindow(display, window);
    XSync(display, False);
    if (--windows > 0) return;
    XCloseDisplay(display);
    display = NULL;
}

static Window editor_in(uintptr_t window) {
    Window root, parent, *children = NULL, found = 0;
    unsigned count = 0;
    if (window && XQueryTree(display, window, &root, &parent, &children, &count) && count > 0) found = children[0];
    if (children) XFree(children);
    return found;
}

bool window_send(uintptr_t window, int kind, int x, int y, uint32_t which) {
    static const int types[EVENTS] = {MotionNotify, ButtonPress, ButtonRelease, ButtonPress, KeyPress, KeyPress, FocusIn, Expose};
    const Window editor = editor_in(window);
    if (!editor) return false;
    XEvent event = {.type = types[kind]};
    event.xany.window = editor, event.xany.display = display, event.xany.send_event = True;
    if (kind <= EVENT_WHEEL) { /* a motion has the same fields up to there */
        event.xbutton.x = x, event.xbutton.y = y, event.xbutton.time = (Time)now_ms(), event.xbutton.same_screen = True;
        event.xbutton.root = DefaultRootWindow(display), event.xbutton.x_root = x, event.xbutton.y_root = y;
        if (kind != EVENT_MOTION) event.xbutton.button = kind != EVENT_WHEEL ? which : which > 1 ? Button4 : Button5;
    } else if (kind == EVENT_KEY || kind == EVENT_CHARACTER) {
        const int codes = kind == EVENT_KEY ? 248 : 54; /* keyboards' codes begin at 8, letters lie in the first rows */
        event.xkey.keycode = 8 + which % (unsigned)codes, event.xkey.state = kind == EVENT_KEY ? which >> 8 & 0x5 : 0;
        event.xkey.root = DefaultRootWindow(display), event.xkey.time = (Time)now_ms(), event.xkey.same_screen = True;
    } else if (kind == EVENT_FOCUS) {
        event.type = which & 1 ? FocusIn : FocusOut;
    } else {
        event.xexpose.width = x, event.xexpose.height = y;
    }
    XSendEvent(display, editor, False, NoEventMask, &event);
    XFlush(display);
    return true;
}

bool drop_window_open(void) { return false; } /* Ardour is there for that */

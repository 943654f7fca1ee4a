// Drag source for X11 (XDND version 5) on a connection and thread of its own. It takes no grab, since the host or the
// toolkit holds one while the button is down, and asks for the pointer instead.
#include "drag.hpp"

#include <X11/Xatom.h>
#include <X11/Xlib.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>

namespace acestep {
namespace {

constexpr auto kPollEvery = std::chrono::milliseconds(15);
constexpr auto kFinishWithin = std::chrono::seconds(5);
constexpr long kXdndVersion = 5;

std::string file_uri(const std::string& path) {
    std::string uri = "file://";
    for (const char c : path) {
        if (std::strchr("/-_.~", c) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
            uri += c;
        } else {
            constexpr char digits[] = "0123456789ABCDEF";
            uri += '%';
            uri += digits[static_cast<unsigned char>(c) >> 4];
            uri += digits[static_cast<unsigned char>(c) & 15];
        }
    }
    return uri + "\r\n";
}

// What targets that take files get, and what those get that take text.
std::string file_uris(const std::vector<std::string>& paths) {
    std::string out;
    for (const std::string& path : paths) out += file_uri(path);
    return out;
}

std::string plain_paths(const std::vector<std::string>& paths) {
    std::string out;
    for (const std::string& path : paths) out += (out.empty() ? "" : "\n") + path;
    return out;
}

// A window may be gone before it is asked: no reason to end the host, as Xlib's own handler of errors would.
class Forgiving {
public:
    explicit Forgiving(Display* display) {
        own_ = display;
        const std::lock_guard lock(mutex_);
        if (users_++ == 0) others_ = XSetErrorHandler(forgive);
    }
    ~Forgiving() {
        XSync(own_, False);
        const std::lock_guard lock(mutex_);
        if (--users_ == 0) XSetErrorHandler(others_);
    }
    Forgiving(const Forgiving&) = delete;
    Forgiving& operator=(const Forgiving&) = delete;

private:
    static int forgive(Display* display, XErrorEvent* error) { return display == own_ || !others_ ? 0 : others_(display, error); }

    static inline thread_local Display* own_ = nullptr;  // an error is told on the thread that uses the display
    static inline std::mutex mutex_;
    static inline int users_ = 0;
    static inline XErrorHandler others_ = nullptr;
};

class Drag {
public:
    Drag(Display* display, const std::vector<std::string>& paths)
        : display_(display), uris_(file_uris(paths)), paths_(plain_paths(paths)) {
        source_ = XCreateSimpleWindow(display_, DefaultRootWindow(display_), -10, -10, 1, 1, 0, 0, 0);
        const Atom offered[] = {atom("text/uri-list"), atom("text/plain")};
        XChangeProperty(display_, source_, atom("XdndTypeList"), XA_ATOM, 32, PropModeReplace,
                        reinterpret_cast<const unsigned char*>(offered), 2);
        XSetSelectionOwner(display_, atom("XdndSelection"), source_, CurrentTime);
    }
    ~Drag() { XDestroyWindow(display_, source_); }

    void run(const std::atomic<bool>& stop) {
        while (!done_ && !stop) {
            if (dropped_) done_ = std::chrono::steady_clock::now() - dropped_at_ > kFinishWithin;
            else follow_pointer();
            XFlush(display_);
            while (XPending(display_)) {
                XEvent event;
                XNextEvent(display_, &event);
                answer(event);
            }
            std::this_thread::sleep_for(kPollEvery);
        }
    }

private:
    Atom atom(const char* name) { return XInternAtom(display_, name, False); }

    void send(const char* type, std::array<long, 4> values) {
        XEvent event{};
        event.xclient.type = ClientMessage;
        event.xclient.display = display_;
        event.xclient.window = target_;
        event.xclient.message_type = atom(type);
        event.xclient.format = 32;
        event.xclient.data.l[0] = static_cast<long>(source_);
        for (std::size_t i = 0; i < values.size(); ++i) event.xclient.data.l[i + 1] = values[i];
        XSendEvent(display_, target_, False, NoEventMask, &event);
    }

    bool is_aware(Window window) {
        Atom type = None;
        int format = 0;
        unsigned long count = 0, left = 0;
        unsigned char* value = nullptr;
        const int got = XGetWindowProperty(display_, window, atom("XdndAware"), 0, 1, False, AnyPropertyType, &type, &format,
                                           &count, &left, &value);
        if (value) XFree(value);
        return got == Success && type != None;
    }

    // The outermost window under the pointer that takes drops, and whether the button is still down.
    Window window_below(int& x, int& y, bool& down) {
        Window root = DefaultRootWindow(display_), at = root, child = None;
        int inner_x = 0, inner_y = 0;
        unsigned mask = 0;
        down = false;
        while (XQueryPointer(display_, at, &root, &child, &x, &y, &inner_x, &inner_y, &mask)) {
            down = (mask & Button1Mask) != 0;
            if (at != root && is_aware(at)) return at;
            if (child == None) break;
            at = child;
        }
        return None;
    }

    void follow_pointer() {
        int x = 0, y = 0;
        bool down = false;
        const Window below = window_below(x, y, down);
        if (below != target_) {
            if (target_ != None) send("XdndLeave", {});
            target_ = below;
            accepted_ = waiting_ = false;
            if (target_ != None)
                send("XdndEnter",
                     {kXdndVersion << 24, static_cast<long>(atom("text/uri-list")), static_cast<long>(atom("text/plain")), 0});
        }
        if (down) {
            if (target_ == None || waiting_) return;
            send("XdndPosition", {0, (static_cast<long>(x) << 16) | y, CurrentTime, static_cast<long>(atom("XdndActionCopy"))});
            waiting_ = true;
        } else if (target_ != None && (accepted_ || waiting_) && released_for_ < 20) {
            // released before the target has said whether it takes the last position: give it a moment
            if (waiting_ && ++released_for_ < 20) return;
            if (!accepted_) return;
            send("XdndDrop", {0, CurrentTime, 0, 0});
            dropped_ = true;
            dropped_at_ = std::chrono::steady_clock::now();
        } else {
            if (target_ != None) send("XdndLeave", {});
            done_ = true;
        }
    }

    void answer(const XEvent& event) {
        if (event.type == ClientMessage && event.xclient.message_type == atom("XdndStatus")) {
            accepted_ = (event.xclient.data.l[1] & 1) != 0;
            waiting_ = false;
        } else if (event.type == ClientMessage && event.xclient.message_type == atom("XdndFinished")) {
            done_ = true;
        } else if (event.type == SelectionRequest) {
            const XSelectionRequestEvent& request = event.xselectionrequest;
            XEvent reply{};
            reply.xselection.type = SelectionNotify;
            reply.xselection.display = request.display;
            reply.xselection.requestor = request.requestor;
            reply.xselection.selection = request.selection;
            reply.xselection.target = request.target;
            reply.xselection.time = request.time;
            const bool uri = request.target == atom("text/uri-list");
            if (uri || request.target == atom("text/plain")) {
                const std::string& data = uri ? uris_ : paths_;
                XChangeProperty(display_, request.requestor, request.property, request.target, 8, PropModeReplace,
                                reinterpret_cast<const unsigned char*>(data.data()), static_cast<int>(data.size()));
                reply.xselection.property = request.property;
            }
            XSendEvent(display_, request.requestor, False, NoEventMask, &reply);
        }
    }

    Display* display_;
    std::string uris_, paths_;
    Window source_ = None, target_ = None;
    bool accepted_ = false, waiting_ = false, dropped_ = false, done_ = false;
    int released_for_ = 0;
    std::chrono::steady_clock::time_point dropped_at_;
};

}  // namespace

struct DragSource::Impl {
    std::thread thread;
    std::atomic<bool> active{false}, stop{false};

    ~Impl() {
        stop = true;
        if (thread.joinable()) thread.join();
    }
};

DragSource::DragSource() : impl_(std::make_unique<Impl>()) {}
DragSource::~DragSource() = default;

bool DragSource::active() const { return impl_->active; }

void DragSource::start(const std::vector<std::string>& paths, std::uintptr_t) {
    if (impl_->active.exchange(true)) return;
    if (impl_->thread.joinable()) impl_->thread.join();
    impl_->thread = std::thread([impl = impl_.get(), paths] {
        if (Display* display = XOpenDisplay(nullptr)) {
            {
                const Forgiving forgiving(display);
                Drag(display, paths).run(impl->stop);
            }
            XCloseDisplay(display);
        }
        impl->active = false;
    });
}

}  // namespace acestep

// One plugin instance without its plugin format: the audio path, one worker thread that owns socket and disk, and the
// model the editor shows. Hosts call `process` on the audio thread; everything else may wait for the disk or the network, so it
// must not be called there.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "audio_path.hpp"
#include "capture.hpp"
#include "launch.hpp"
#include "link.hpp"
#include "project.hpp"
#include "sketch.hpp"
#include "udp.hpp"

namespace acestep {

// All the editor shows, copied out at once.
struct View {
    Project project;
    std::vector<SentRequest> jobs;
    DaemonState daemon = DaemonState::Searching;
    std::string daemon_version;
    Adapters adapters;
    std::uint16_t daemon_port = 0;
    bool daemon_starting = false;
    std::string error;                 // the last one, whole, until dismissed
    int armed_bars = 0, recorded_bars = 0;
    std::vector<PreviewLoader::Column> waveform;  // of the selected result
    double waveform_bars = 0.0;
    std::int64_t waveform_frames = 0;  // at the host's rate, as preview_position counts
    std::map<std::string, Sketch> sketches;  // of the results, by path, as they are drawn one by one
    HostTime host;
    bool has_host_time = false;
};

class Bridge {
public:
    Bridge();
    ~Bridge();
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;

    Parameters parameters;

    // Host's main thread. The first call opens the socket and starts the worker; a new rate makes a new ring.
    void activate(double sample_rate_hz);
    void open();  // the worker only: an editor may be shown before audio ever ran

    // Audio thread.
    void process(const float* const* in, float* const* out, std::uint32_t frames, const HostTime& time, int notes) noexcept;

    // Any thread but the audio thread.
    std::string save() const;
    void load(const std::string& text);
    View view() const;
    std::uint64_t revision() const { return revision_.load(std::memory_order_acquire); }
    const AudioPath& audio() const { return audio_; }
    std::int64_t preview_position() { return audio_.preview().position(); }

    void set_prompt(const std::string& text);
    void set_adapter(const std::string& name, double scale);
    void look_for_adapters();  // which there are now
    void set_parts(const std::string& text);
    void set_midi(bool on);
    void generate();
    void make_anew(const std::string& path);  // a part of an idea; the others stay
    void cancel();  // every open job
    void capture_last(int bars, CaptureUse use);
    void capture_next(int bars, CaptureUse use);
    void stop_capture();
    void clear_capture(CaptureUse use);
    void select(const std::string& path);
    void star(const std::string& path, bool starred);
    void remove_result(const std::string& path);  // from the list; the file stays
    void reveal(const std::string& path);
    void start_daemon();
    void dismiss_error();

private:
    using Command = std::function<void()>;
    void post(Command command);
    void edit(const std::function<void(Project&)>& change);
    void show_error(const std::string& text);

    void work();
    void receive(UdpSocket& socket, Link& link);
    void run_commands();
    void hear_audio();
    void ask(Link& link, double now_s);
    GenerateSpec wanted() const;
    void send(Link& link, const GenerateSpec& spec, double now_s);
    void collect(Link& link);
    void finish_capture(const CaptureRange& range, CaptureUse use);
    void load_preview();
    void sketch_a_result();
    void publish_view(const Link& link);

    // set while audio does not run, read by it
    std::shared_ptr<CaptureRing> ring_;
    double sample_rate_hz_ = 48000.0;
    AudioPath audio_;

    mutable std::mutex mutex_;  // guards what follows; never taken by the audio thread
    Project project_;
    View view_;
    std::vector<Command> commands_;
    std::shared_ptr<CaptureRing> worker_ring_;
    double worker_rate_hz_ = 48000.0;
    std::atomic<std::uint64_t> revision_{1};

    // worker only
    CaptureDesk desk_;
    std::unique_ptr<PreviewLoader> loader_;
    std::string loaded_;       // path and rate of what the loader holds
    DaemonProcess daemon_;
    HostTime host_{};
    bool has_host_time_ = false;
    int asked_ = 0;            // generate requests since the last round
    std::vector<std::string> anew_;  // parts to make anew, by path
    bool cancel_asked_ = false, adapters_asked_ = false;
    std::shared_ptr<CaptureRing> seen_ring_;

    std::atomic<bool> quit_{false};
    std::thread worker_;
    std::mutex open_mutex_;
};

}  // namespace acestep

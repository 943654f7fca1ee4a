#include "plugin.hpp"

#include <cmath>
#include <cstring>

#include "project.hpp"

START_NAMESPACE_DISTRHO
namespace {

struct Description {
    const char* name;
    const char* symbol;
    std::uint32_t hints;
    float normal, least, most;
    const char* unit = "";
};

constexpr std::uint32_t kWhole = kParameterIsAutomatable | kParameterIsInteger;
// Fires when it goes up. Not kParameterIsTrigger: DPF 1.6's VST3 never hands those on.
constexpr std::uint32_t kButton = kParameterIsAutomatable | kParameterIsBoolean;

constexpr Description kParameters[kParameterCount] = {
    {"Bars", "bars", kWhole, 4, 1, kMaxBars},
    {"Takes", "takes", kWhole, 1, 1, kMaxTakes},
    {"Key", "key", kWhole, 0, 0, acestep::kKeyCount - 1},
    {"Seed", "seed", kWhole, 0, 0, kMaxSeed},
    {"Strength", "strength", kParameterIsAutomatable, 1, 0, 1},
    {"Trigger", "trigger", kButton, 0, 0, 1},
    {"Preview", "preview", kParameterIsAutomatable | kParameterIsBoolean, 0, 0, 1},
    {"Preview level", "preview_level", kParameterIsAutomatable, 1, 0, 1},
    {"Capture bars", "capture_bars", kWhole, 4, 1, kMaxBars},
    {"Take reference", "take_reference", kButton, 0, 0, 1},
    {"Take context", "take_context", kButton, 0, 0, 1},
};

acestep::HostTime host_time(const TimePosition& position) {
    acestep::HostTime time;
    time.playing = position.playing;
    const auto& bbt = position.bbt;
    time.has_bars = bbt.valid && bbt.beatType >= 1.0f && bbt.ticksPerBeat > 0.0;
    if (!time.has_bars) return time;
    time.bpm = bbt.beatsPerMinute;
    time.numerator = static_cast<int>(std::lround(bbt.beatsPerBar));
    time.denominator = static_cast<int>(std::lround(bbt.beatType));
    time.bar = bbt.bar - 1;
    time.quarters_in_bar = (bbt.beat - 1 + bbt.tick / bbt.ticksPerBeat) * 4.0 / bbt.beatType;
    return time;
}

int note_ons(const MidiEvent* events, std::uint32_t count) {
    int notes = 0;
    for (std::uint32_t i = 0; i < count; ++i)
        if (events[i].size == 3 && (events[i].data[0] & 0xF0) == 0x90 && events[i].data[2] > 0) ++notes;
    return notes;
}

}  // namespace

AceStepPlugin::AceStepPlugin() : Plugin(kParameterCount, 0, 1) {}

void AceStepPlugin::initAudioPort(bool input, std::uint32_t index, AudioPort& port) {
    port.groupId = kPortGroupStereo;
    Plugin::initAudioPort(input, index, port);
}

void AceStepPlugin::initParameter(std::uint32_t index, Parameter& parameter) {
    const Description& description = kParameters[index];
    parameter.hints = description.hints;
    parameter.name = description.name;
    parameter.symbol = description.symbol;
    parameter.unit = description.unit;
    parameter.ranges = ParameterRanges(description.normal, description.least, description.most);
    if (index != kKey) return;
    parameter.enumValues.count = acestep::kKeyCount;
    parameter.enumValues.restrictedMode = true;
    parameter.enumValues.values = new ParameterEnumerationValue[acestep::kKeyCount];
    for (int i = 0; i < acestep::kKeyCount; ++i)
        parameter.enumValues.values[i] = {static_cast<float>(i), i == 0 ? "Any" : acestep::key_name(i)};
}

void AceStepPlugin::initState(std::uint32_t, State& state) {
    state.key = "project";
    state.label = "Prompt, captures and results";
    state.hints = kStateIsOnlyForDSP;  // the editor reads Bridge itself
}

float AceStepPlugin::getParameterValue(std::uint32_t index) const {
    const auto& p = bridge.parameters;
    switch (index) {
        case kBars: return static_cast<float>(p.bars);
        case kTakes: return static_cast<float>(p.takes);
        case kKey: return static_cast<float>(p.key);
        case kSeed: return static_cast<float>(p.seed);
        case kStrength: return p.strength;
        case kTrigger: return p.trigger ? 1.0f : 0.0f;
        case kPreview: return p.preview ? 1.0f : 0.0f;
        case kLevel: return p.level;
        case kCaptureBars: return static_cast<float>(p.capture_bars);
        case kTakeReference: return p.take_reference ? 1.0f : 0.0f;
        case kTakeContext: return p.take_context ? 1.0f : 0.0f;
        default: return 0.0f;
    }
}

// May run on the audio thread: plain stores only.
void AceStepPlugin::setParameterValue(std::uint32_t index, float value) {
    if (index >= kParameterCount || !std::isfinite(value)) return;
    const float sane = std::fmin(std::fmax(value, kParameters[index].least), kParameters[index].most);
    const int whole = static_cast<int>(std::lround(sane));
    auto& p = bridge.parameters;
    switch (index) {
        case kBars: p.bars = whole; break;
        case kTakes: p.takes = whole; break;
        case kKey: p.key = whole; break;
        case kSeed: p.seed = whole; break;
        case kStrength: p.strength = sane; break;
        case kTrigger:
            if (sane > 0.5f) p.trigger = true;
            break;  // these three are cleared by the next block
        case kPreview: p.preview = sane > 0.5f; break;
        case kLevel: p.level = sane; break;
        case kCaptureBars: p.capture_bars = whole; break;
        case kTakeReference:
            if (sane > 0.5f) p.take_reference = true;
            break;
        case kTakeContext:
            if (sane > 0.5f) p.take_context = true;
            break;
        default: break;
    }
}

String AceStepPlugin::getState(const char* key) const {
    return std::strcmp(key, "project") == 0 ? String(bridge.save().c_str()) : String();
}

void AceStepPlugin::setState(const char* key, const char* value) {
    // hosts hand over the empty default before they hand over what was saved
    if (std::strcmp(key, "project") == 0 && value[0] != '\0') bridge.load(value);
}

void AceStepPlugin::activate() { bridge.activate(getSampleRate()); }

void AceStepPlugin::run(const float** inputs, float** outputs, std::uint32_t frames, const MidiEvent* events,
                        std::uint32_t event_count) {
    bridge.process(inputs, outputs, frames, host_time(getTimePosition()), note_ons(events, event_count));
}

Plugin* createPlugin() { return new AceStepPlugin(); }

END_NAMESPACE_DISTRHO

// The plugin as DPF sees it: parameters, one state text, audio in and out. All it does is Bridge's.
#pragma once

#include <cstdint>

#include "DistrhoPlugin.hpp"
#include "bridge.hpp"

START_NAMESPACE_DISTRHO

// Saved in songs and automation: append only.
enum ParameterId : std::uint32_t {
    kBars,
    kTakes,
    kKey,
    kSeed,
    kStrength,
    kTrigger,
    kPreview,
    kLevel,
    kCaptureBars,
    kTakeReference,
    kTakeContext,
    kParameterCount
};

inline constexpr int kMaxBars = 64;
inline constexpr int kMaxTakes = 16;
inline constexpr int kMaxSeed = 65535;

class AceStepPlugin : public Plugin {
public:
    AceStepPlugin();
    acestep::Bridge bridge;

    // Any thread. What is out of range is brought into it.
    float getParameterValue(std::uint32_t index) const override;
    void setParameterValue(std::uint32_t index, float value) override;

protected:
    const char* getLabel() const override { return "AceStepBridge"; }
    const char* getMaker() const override { return "ACE-Step Bridge"; }
    const char* getDescription() const override { return "Generates clips that fit the song, with the ACE-Step Bridge daemon"; }
    const char* getLicense() const override { return "MIT"; }
    std::uint32_t getVersion() const override { return d_version(0, 1, 0); }
    std::int64_t getUniqueId() const override { return d_cconst('A', 'c', 'S', 'b'); }

    void initAudioPort(bool input, std::uint32_t index, AudioPort& port) override;
    void initParameter(std::uint32_t index, Parameter& parameter) override;
    void initState(std::uint32_t index, State& state) override;
    String getState(const char* key) const override;
    void setState(const char* key, const char* value) override;
    void activate() override;
    void run(const float** inputs, float** outputs, std::uint32_t frames, const MidiEvent* events,
             std::uint32_t event_count) override;

private:
    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(AceStepPlugin)
};

END_NAMESPACE_DISTRHO

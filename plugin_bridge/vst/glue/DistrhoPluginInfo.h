// What hosts are told about the plugin before they run it. Ids and the order of parameters never change.
#pragma once

#define DISTRHO_PLUGIN_BRAND "ACE-Step Bridge"
#define DISTRHO_PLUGIN_NAME "ACE-Step Bridge"
#define DISTRHO_PLUGIN_URI "urn:acestep:bridge"
#define DISTRHO_PLUGIN_CLAP_ID "acestep.bridge"

#define DISTRHO_PLUGIN_HAS_UI 1
#define DISTRHO_UI_USE_NANOVG 1
#define DISTRHO_UI_USER_RESIZABLE 1
#define DISTRHO_UI_DEFAULT_WIDTH 780
#define DISTRHO_UI_DEFAULT_HEIGHT 600
#define DISTRHO_UI_FILE_BROWSER 0

#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#define DISTRHO_PLUGIN_NUM_INPUTS 2
#define DISTRHO_PLUGIN_NUM_OUTPUTS 2
#define DISTRHO_PLUGIN_WANT_MIDI_INPUT 1
#define DISTRHO_PLUGIN_WANT_TIMEPOS 1
#define DISTRHO_PLUGIN_WANT_STATE 1
#define DISTRHO_PLUGIN_WANT_FULL_STATE 1
// The editor shows the instance it belongs to: both live in one process in every host we know of.
#define DISTRHO_PLUGIN_WANT_DIRECT_ACCESS 1

#define DISTRHO_PLUGIN_LV2_CATEGORY "lv2:UtilityPlugin"
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Fx|Tools|Stereo"
#define DISTRHO_PLUGIN_CLAP_FEATURES "audio-effect", "utility", "stereo"

# Copies DPF 1.6 into the build folder and repairs what would hurt us there:
# - VST3 and CLAP compute bar and beat with whole numbers of quarters per bar: wrong in 7/8 and 6/8, a division by zero
#   (the host dies) in 3/16, and CLAP takes quarters for beats. The hosts' own bar position is used instead.
# - VST3 with MIDI input adds 2080 hidden parameters (a CC map) in front of ours. We take notes only: none are added,
#   so parameter ids are 0, 1, 2 … in every build.
# - Hosts may take and give states in any pieces. DPF wrote the first piece again and again, and took whatever lay behind
#   a short piece for the end of a text. A state that ended early was taken as far as it went: now all or nothing is.
# - VST3: values that came without a block, as they do while the host stands still, were lost.
# - CLAP: hosts number timers from 0, which DPF took for "no timer"; an editor that was shown twice, or never hidden, left
#   a timer behind; what malloc had given was deleted; a parameter's id was an index unseen; the
#   first lock, which takes memory on Windows, was the audio thread's; gestures, modulation and
#   transport among the events were taken for MIDI, with a complaint printed on the audio thread; no version was told.
# - The LV2 bundle is described by a program of DPF's that runs right after the build: cross-built it needs an emulator.
# DPF is ISC-licensed; the installed copy is not touched.

function(acestep_replace FILE FROM TO)
  file(READ "${FILE}" text)
  string(FIND "${text}" "${FROM}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${FILE} is not DPF 1.6's: `${FROM}` is missing. Use DPF 1.6, or adapt cmake/repair_dpf.cmake.")
  endif()
  string(REPLACE "${FROM}" "${TO}" text "${text}")
  file(WRITE "${FILE}" "${text}")
endfunction()

# Replaces from the first BEGIN up to (not with) the next END.
function(acestep_replace_block FILE BEGIN END TO)
  file(READ "${FILE}" text)
  string(FIND "${text}" "${BEGIN}" begin)
  if(begin EQUAL -1)
    message(FATAL_ERROR "${FILE} is not DPF 1.6's: `${BEGIN}` is missing. Use DPF 1.6, or adapt cmake/repair_dpf.cmake.")
  endif()
  string(SUBSTRING "${text}" 0 ${begin} head)
  string(SUBSTRING "${text}" ${begin} -1 tail)
  string(FIND "${tail}" "${END}" end)
  if(end EQUAL -1)
    message(FATAL_ERROR "${FILE} is not DPF 1.6's: no `${END}` after `${BEGIN}`.")
  endif()
  string(SUBSTRING "${tail}" ${end} -1 tail)
  file(WRITE "${FILE}" "${head}${TO}${tail}")
endfunction()

# C++ that fills bbt from `quarters` (song position), `barStart` (position of the bar line, when the host gave one).
set(ACESTEP_BAR_CODE [=[
                    const double barLength = numerator * 4.0 / denominator;
                    if (! (quarters - barStart > -1e-3 && quarters - barStart < barLength + 1e-3))
                        barStart = std::floor(quarters / barLength) * barLength;
                    const double beats = std::max(0.0, (quarters - barStart) * denominator / 4.0);
                    fTimePosition.bbt.valid       = true;
                    fTimePosition.bbt.bar         = static_cast<int32_t>(std::lround(barStart / barLength)) + 1;
                    fTimePosition.bbt.beat        = static_cast<int32_t>(beats) + 1;
                    fTimePosition.bbt.tick        = (beats - std::floor(beats)) * fTimePosition.bbt.ticksPerBeat;
                    fTimePosition.bbt.beatsPerBar = numerator;
                    fTimePosition.bbt.beatType    = denominator;
]=])

# Reads a state to its end mark before anything of it is used. READ fills `piece` and says how much it `got`.
function(acestep_state_whole FILE READ)
  acestep_replace_block("${FILE}" "        char buffer[512], orig;" "            for (int32_t i = 0; i < read; ++i)" "\
        std::vector<char> whole;
        for (bool ended = false; ! ended;)
        {
            char piece[512];
${READ}            whole.insert(whole.end(), piece, piece + got);
            ended = std::memchr(piece, 0xfe, static_cast<size_t>(got)) != nullptr;
        }
        const int32_t read = static_cast<int32_t>(whole.size());
        whole.push_back(0);
        char* const buffer = whole.data();
        char orig;

        for (int32_t terminated = 0; terminated == 0; terminated = 1)
        {
")
endfunction()

function(acestep_repair_clap FILE)
  acestep_replace("${FILE}" "delete[] events;" "std::free(events);")
  acestep_replace("${FILE}" "              events(nullptr) {}" "              events(nullptr) { const MutexLocker first(lock); }")
  acestep_replace("${FILE}" "          fTimerId(0)," "          fTimerId(CLAP_INVALID_ID),")
  acestep_replace("${FILE}" "        if (fTimerId != 0)" "        if (fTimerId != CLAP_INVALID_ID)")
  acestep_replace("${FILE}" "        fHostTimer->register_timer(" "        if (fTimerId == CLAP_INVALID_ID) fHostTimer->register_timer(")
  acestep_replace("${FILE}" "            fHostTimer->unregister_timer(fHost, fTimerId);\n            fTimerId = 0;"
    "            if (fTimerId != CLAP_INVALID_ID) fHostTimer->unregister_timer(fHost, fTimerId);\n            fTimerId = CLAP_INVALID_ID;")
  acestep_replace("${FILE}" "        fCallbackRegistered = true;\n        fUI->addIdle"
    "        if (! std::exchange(fCallbackRegistered, true)) fUI->addIdle")
  acestep_replace("${FILE}" "            ui->removeIdleCallbackForNativeIdle(this);\n            fCallbackRegistered = false;"
    "            if (std::exchange(fCallbackRegistered, false)) ui->removeIdleCallbackForNativeIdle(this);")
  acestep_replace("${FILE}" "        fCachedParameters.values[event->param_id] = event->value;"
    "        if (event->param_id >= fCachedParameters.numParams) return;\n        fCachedParameters.values[event->param_id] = event->value;")
  acestep_replace("${FILE}" "                    switch (event->type)\n                    {\n                    case CLAP_EVENT_NOTE_ON:"
    "                    if (event->space_id != CLAP_CORE_EVENT_SPACE_ID) continue;
                    switch (event->type)\n                    {\n                    case CLAP_EVENT_NOTE_ON:")
  acestep_replace("${FILE}" "                    case CLAP_EVENT_TRANSPORT:\n" "                    case CLAP_EVENT_TRANSPORT:\n                        break;\n")
  acestep_replace("${FILE}" "        // TODO version string\n        \"\"," "        \"${PROJECT_VERSION}\",")
  acestep_replace("${FILE}" "#include <map>\n" "#include <map>\n#include <utility>\n")
endfunction()

function(acestep_repaired_dpf SOURCE COPY)
  if(NOT EXISTS "${SOURCE}/distrho/src/DistrhoPluginVST3.cpp")
    message(FATAL_ERROR "no DPF in ${SOURCE}: install Debian's dpf-source, or name a checkout of DPF 1.6 with -DDPF_PATH=")
  endif()
  file(SHA256 "${CMAKE_CURRENT_FUNCTION_LIST_FILE}" rules)
  if(EXISTS "${COPY}/repaired")
    file(READ "${COPY}/repaired" done)
    if(done STREQUAL "${SOURCE} ${rules}")
      return()
    endif()
  endif()
  file(REMOVE_RECURSE "${COPY}")
  file(COPY "${SOURCE}/" DESTINATION "${COPY}")
  set(src "${COPY}/distrho/src")

  acestep_replace_block("${src}/DistrhoPluginVST3.cpp"
    "                const double ppqPos    = std::abs(ctx->project_time_quarters);"
    "            }\n            else\n            {\n                fTimePosition.bbt.valid       = false;"
    "                if (ctx->time_sig_numerator > 0 && ctx->time_sig_denom > 0)
                {
                    const double quarters = ctx->project_time_quarters;
                    const int numerator = ctx->time_sig_numerator, denominator = ctx->time_sig_denom;
                    double barStart = (ctx->state & V3_PROCESS_CTX_BAR_POSITION_VALID) ? ctx->bar_position_quarters : -1e300;
${ACESTEP_BAR_CODE}                }
                else
                {
                    fTimePosition.bbt.valid = false;
                }
")
  acestep_replace("${src}/DistrhoPluginVST3.cpp"
    "| V3_PROCESS_CTX_NEED_TEMPO " "| V3_PROCESS_CTX_NEED_BAR_POSITION | V3_PROCESS_CTX_NEED_TEMPO ")
  acestep_replace("${src}/DistrhoPluginVST.hpp"
    "kVst3InternalParameterMidiCC_start + 130*16" "kVst3InternalParameterMidiCC_start")
  acestep_replace("${src}/DistrhoPluginVST3.cpp"
    "<= kVst3InternalParameterMidiCC_end" "< kVst3InternalParameterMidiCC_end")
  acestep_replace("${src}/DistrhoPluginVST3.cpp"
    "*id = kVst3InternalParameterMidiCC_start + channel * 130 + cc;\n        return V3_TRUE;" "(void)id;\n        return V3_FALSE;")

  acestep_replace("${src}/DistrhoPluginVST3.cpp"
    "            updateParametersFromProcessing(data->output_params, 0);\n            return V3_OK;"
    "            v3_param_changes** const changes = data->input_params;
            for (int32_t i = 0; changes != nullptr && i < v3_cpp_obj(changes)->get_param_count(changes); ++i)
            {
                v3_param_value_queue** const queue = v3_cpp_obj(changes)->get_param_data(changes, i);
                const v3_param_id id = v3_cpp_obj(queue)->get_param_id(queue);
                const int32_t last = v3_cpp_obj(queue)->get_point_count(queue) - 1;
                int32_t offset;
                double normalized;
                if (last >= 0 && id >= kVst3InternalParameterCount && id < fVst3ParameterCount
                    && v3_cpp_obj(queue)->get_point(queue, last, &offset, &normalized) == V3_OK)
                    _setNormalizedPluginParameterValue(id - kVst3InternalParameterCount, normalized);
            }
            if (data->output_params != nullptr)
                updateParametersFromProcessing(data->output_params, 0);
            return V3_OK;")
  acestep_replace("${src}/DistrhoPluginVST3.cpp" "const_cast<char*>(buffer), size" "const_cast<char*>(buffer + wrtntotal), size")
  acestep_replace("${src}/DistrhoPluginCLAP.cpp" "(stream, buffer, size - " "(stream, buffer + wrtntotal, size - ")
  acestep_state_whole("${src}/DistrhoPluginVST3.cpp" [=[
            int32_t got = 0;
            if (v3_cpp_obj(stream)->read(stream, piece, sizeof(piece), &got) != V3_OK || got <= 0)
                return V3_INTERNAL_ERR;
]=])
  acestep_state_whole("${src}/DistrhoPluginCLAP.cpp" [=[
            const int64_t got = stream->read(stream, piece, sizeof(piece));
            if (got <= 0)
                return false;
]=])
  acestep_repair_clap("${src}/DistrhoPluginCLAP.cpp")

  acestep_replace("${COPY}/cmake/DPF-plugin.cmake"
    [=["$<TARGET_FILE:lv2_ttl_generator>"]=] [=[${CMAKE_CROSSCOMPILING_EMULATOR} "$<TARGET_FILE:lv2_ttl_generator>"]=])

  # lines for one maker's devices in a vocabulary lv2_validate does not know
  acestep_replace("${src}/DistrhoPluginLV2export.cpp" [=[pluginString += "    mod:brand \"" DISTRHO_PLUGIN_BRAND "\" ;\n";]=] "")
  acestep_replace("${src}/DistrhoPluginLV2export.cpp" [=[pluginString += "    mod:label \"" DISTRHO_PLUGIN_NAME "\" ;\n\n";]=] "")
  acestep_replace_block("${src}/DistrhoPluginCLAP.cpp"
    "                if (transport->song_pos_beats >= 0)"
    "            }\n            else\n            {\n                fTimePosition.bbt.valid       = false;"
    "                if (transport->tsig_num > 0 && transport->tsig_denom > 0)
                {
                    const double quarters = static_cast<double>(transport->song_pos_beats) / CLAP_BEATTIME_FACTOR;
                    const int numerator = transport->tsig_num, denominator = transport->tsig_denom;
                    double barStart = static_cast<double>(transport->bar_start) / CLAP_BEATTIME_FACTOR;
${ACESTEP_BAR_CODE}                }
                else
                {
                    fTimePosition.bbt.valid = false;
                }
")
  file(WRITE "${COPY}/repaired" "${SOURCE} ${rules}")
endfunction()

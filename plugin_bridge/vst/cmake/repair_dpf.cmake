# Copies DPF 1.6 into the build folder and repairs what would hurt us there:
# - VST3 and CLAP compute bar and beat with whole numbers of quarters per bar: wrong in 7/8 and 6/8, a division by zero
#   (the host dies) in 3/16, and CLAP takes quarters for beats. The hosts' own bar position is used instead.
# - VST3 with MIDI input adds 2080 hidden parameters (a CC map) in front of ours. We take notes only: none are added,
#   so parameter ids are 0, 1, 2 … in every build.
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

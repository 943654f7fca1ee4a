# The three plugin formats, from a copy of DPF in the build folder with its faults repaired (cmake/repair_dpf.cmake).
include(${CMAKE_CURRENT_LIST_DIR}/repair_dpf.cmake)
acestep_repaired_dpf("${DPF_PATH}" "${CMAKE_BINARY_DIR}/dpf-source")
# macOS: what a bundle says of itself, for every format
configure_file("${CMAKE_CURRENT_LIST_DIR}/Info.plist.in"
  "${CMAKE_BINARY_DIR}/dpf-source/utils/plugin.bundle/Contents/Info.plist" COPYONLY)
add_subdirectory("${CMAKE_BINARY_DIR}/dpf-source" "${CMAKE_BINARY_DIR}/dpf" EXCLUDE_FROM_ALL)

# DPF 1.6 has the sources of CLAP but no rule for it: the same shape as its rule for VST3.
function(acestep_build_clap NAME DGL_LIBRARY)
  dpf__create_dummy_source_list(no_sources)
  dpf__add_module("${NAME}-clap" ${no_sources})
  dpf__add_plugin_main("${NAME}-clap" "clap")
  dpf__add_ui_main("${NAME}-clap" "clap" "${DGL_LIBRARY}")
  dpf__set_module_export_list("${NAME}-clap" "clap")
  target_link_libraries("${NAME}-clap" PRIVATE "${NAME}-dsp" "${NAME}-ui")
  set_target_properties("${NAME}-clap" PROPERTIES
    ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/obj/clap/$<0:>" OUTPUT_NAME "${NAME}" PREFIX "")
  if(APPLE)
    set_target_properties("${NAME}-clap" PROPERTIES
      LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin/${NAME}.clap/Contents/MacOS/$<0:>" SUFFIX "")
    set(INFO_PLIST_PROJECT_NAME "${NAME}")
    configure_file("${DPF_ROOT_DIR}/utils/plugin.bundle/Contents/Info.plist"
      "${PROJECT_BINARY_DIR}/bin/${NAME}.clap/Contents/Info.plist" @ONLY)
    file(COPY "${DPF_ROOT_DIR}/utils/plugin.bundle/Contents/PkgInfo" DESTINATION "${PROJECT_BINARY_DIR}/bin/${NAME}.clap/Contents")
  else()
    set_target_properties("${NAME}-clap" PROPERTIES
      LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin/$<0:>" SUFFIX ".clap")
  endif()
endfunction()

if(APPLE)
  enable_language(OBJCXX)
  set(DRAG_SOURCE glue/drag_mac.mm)
elseif(WIN32)
  set(DRAG_SOURCE glue/drag_windows.cpp)
else()
  set(DRAG_SOURCE glue/drag_x11.cpp)
endif()

set(EDITOR_SOURCES glue/editor.cpp glue/editor_draw.cpp glue/editor_results.cpp glue/wording.cpp glue/canvas.cpp ${DRAG_SOURCE})
dpf_add_plugin(AceStepBridge TARGETS vst3 lv2 UI_TYPE opengl MONOLITHIC
  FILES_DSP glue/plugin.cpp
  FILES_UI ${EDITOR_SOURCES})
acestep_build_clap(AceStepBridge dgl-opengl)
target_include_directories(AceStepBridge PUBLIC glue)
target_link_libraries(AceStepBridge-dsp PUBLIC acestep-core)
target_link_libraries(AceStepBridge-ui PUBLIC acestep-core)
if(UNIX AND NOT APPLE)
  find_package(X11 REQUIRED)
  target_link_libraries(AceStepBridge-ui PUBLIC X11::X11)
endif()
# our own sources only: DPF's are not ours to change
set_source_files_properties(glue/plugin.cpp ${EDITOR_SOURCES}
  PROPERTIES COMPILE_OPTIONS "${ACESTEP_GLUE_WARNINGS}")

# Apple's processors run signed code only; a signature without a name needs no account with Apple.
if(APPLE)
  foreach(FORMAT vst3 clap lv2)
    set(SIGNED "${PROJECT_BINARY_DIR}/bin/AceStepBridge.${FORMAT}")
    if(FORMAT STREQUAL "lv2")  # a folder, no bundle: its binary alone
      set(SIGNED "$<TARGET_FILE:AceStepBridge-lv2>")
    endif()
    add_custom_command(TARGET AceStepBridge-${FORMAT} POST_BUILD
      COMMAND codesign --force --sign - "${SIGNED}" VERBATIM)
  endforeach()
endif()

"""Runs the VST3 in pedalboard (a JUCE host without a transport) and prints what it saw as JSON.

`pedalboard_host.py TASK PLUGIN.vst3 FOLDER`; the tasks are the functions of this file.
"""

import ctypes
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pedalboard

ERROR_HANDLER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda _display, _event: 0)


def changing_blocks(plugin: str, _: Path) -> bool:
    """Audio in blocks of ever other sizes, in one go without a reset between them."""
    instance = pedalboard.load_plugin(plugin)
    audio = np.random.default_rng(0).standard_normal((2, 60000)).astype(np.float32)
    parts, at = [], 0
    sizes = [3, 17, 64, 500, 512, 1000, 4096, 5, 999]  # it takes two samples or fewer for channels
    while at < audio.shape[1]:
        size = sizes[len(parts) % len(sizes)]
        parts.append(instance.process(audio[:, at : at + size], 44100, buffer_size=4096, reset=False))
        at += size
    return bool(np.array_equal(np.concatenate(parts, axis=1), audio))


def state(plugin: str, _: Path) -> dict:
    """Parameters by name, set and restored in a second instance by the plugin's state."""
    first = pedalboard.load_plugin(plugin)
    first.bars, first.key, first.strength = 12, "F# minor", 0.25
    first.process(np.zeros((2, 512), np.float32), 48000)
    second = pedalboard.load_plugin(plugin)
    second.raw_state = first.raw_state
    second.process(np.zeros((2, 512), np.float32), 48000)
    return {
        "names": list(second.parameters),
        "bars": second.bars,
        "key": second.key,
        "strength": second.strength,
        "same_instance": first.raw_state == second.raw_state,
    }


def editor(plugin: str, folder: Path) -> None:
    """Shows the editor until a file STOP appears in the folder, while silence runs through the plugin."""
    # pedalboard's own editor code makes an X error that would end the process
    ctypes.CDLL("libX11.so.6").XSetErrorHandler(ERROR_HANDLER)
    instance = pedalboard.load_plugin(plugin)
    closed = threading.Event()
    stop = folder / "STOP"

    def play() -> None:
        while not stop.exists():
            instance.process(np.zeros((2, 4800), np.float32), 48000, buffer_size=480, reset=False)
            time.sleep(0.1)
        (folder / "state").write_bytes(instance.raw_state)
        closed.set()

    threading.Thread(target=play, daemon=True).start()
    instance.show_editor(closed)


if __name__ == "__main__":
    task, plugin_path, home = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    os.environ.setdefault("ACESTEP_HOME", str(home))
    os.environ.setdefault("ACESTEP_OSC_PORT", "9")
    answer = json.dumps({f.__name__: f for f in (changing_blocks, state, editor)}[task](plugin_path, home))
    print("\n" + answer, flush=True)
    os._exit(0)  # pedalboard's own teardown is not what is tested

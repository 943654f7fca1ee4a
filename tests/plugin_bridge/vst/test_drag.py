"""A result dragged out of the plugin's editor lands on Ardour's timeline (X11)."""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.hosts import building
from tests.support.hosts.ardour import Ardour
from tests.support.hosts.editor import Editor
from tests.support.hosts.peer import Peer, eventually
from tests.support.hosts.screen import Screen
from tests.support.hosts.sound import write_wav

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]

PROMPT, WAVEFORM = (200, 67), (570, 350)  # in the editor
TRACK = (1000, 380)  # Ardour's track on the screen, where the editor does not cover it
TRIES = 3  # the drop depends on how quickly a loaded machine redraws


def test_a_result_is_dragged_from_the_editor_onto_ardours_timeline(tmp_path: Path) -> None:
    building.need("/usr/lib/ardour7/luasession", building.HOSTS_PYTHON)
    wave = np.sin(np.arange(48000 * 2) / 20).astype(np.float32) / 2
    clip = tmp_path / "dragged clip.wav"
    write_wav(clip, np.stack([wave, wave]), 48000)
    ardour = Ardour(
        tmp_path, building.plugin().vst3, ACESTEP_HOME=str(tmp_path / "home"), ACESTEP_OSC_PORT="9"
    )
    ardour.new_session(93.0, 3, 4)
    ardour.window_settings()
    with Screen(tmp_path) as screen, Peer(clip) as peer:
        own = {name: value for name, value in ardour.environment.items() if name != "LD_LIBRARY_PATH"}
        screen.start(["ardour", "-n", ardour.session], **own)
        window = screen.window("ses - Ardour", 120)
        time.sleep(3)
        editor = Editor(screen, tmp_path, peer.port)
        eventually(lambda: len(peer.sent("/acestep/ping")) > 1, "the editor's plugin does not ping")
        editor.click(PROMPT)
        screen.type("x")
        screen.key("Return")
        peer.wait_for("/acestep/generate")
        time.sleep(1.5)
        for attempt in range(TRIES):
            start = (editor.x + WAVEFORM[0], editor.y + WAVEFORM[1])
            screen.drag(start, TRACK)
            screen.picture(f"dropped-{attempt}")
            screen.do("windowfocus", window)
            screen.key("ctrl+s")
            time.sleep(2)
            if 'name="dragged clip' in ardour.file.read_text():
                break
        editor.close()
    assert '<Region name="dragged clip' in ardour.file.read_text()

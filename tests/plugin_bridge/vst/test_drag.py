"""Results dragged out of the plugin's editor land on Ardour's timeline (X11): a clip, an idea's parts."""

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

PROMPT, WAVEFORM, DRUMS, BASS, IDEA = (
    (200, 67),
    (570, 420),
    (372, 196),
    (428, 196),
    (100, 335),
)  # in the editor
TRACK = (1000, 380)  # Ardour's track on the screen, where the editor does not cover it
TRIES = 3  # the drop depends on how quickly a loaded machine redraws


def test_results_are_dragged_from_the_editor_onto_ardours_timeline(tmp_path: Path) -> None:
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

        def dropped(place: tuple[int, int], *names: str) -> bool:
            for attempt in range(TRIES):
                screen.drag((editor.x + place[0], editor.y + place[1]), TRACK)
                screen.picture(f"{names[0]}-{attempt}")
                screen.do("windowfocus", window)
                screen.key("ctrl+s")
                time.sleep(2)
                if all(f'<Region name="{name}' in ardour.file.read_text() for name in names):
                    return True
            return False

        assert dropped(WAVEFORM, "dragged clip")
        for at in (DRUMS, BASS, PROMPT):
            editor.click(at)
        screen.key("Return")
        peer.wait_for("/acestep/generate", 2)
        time.sleep(1.5)
        assert dropped(IDEA, "dragged clip_job-2_drums", "dragged clip_job-2_bass")
        editor.close()

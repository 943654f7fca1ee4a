"""The editor on a virtual screen, in pedalboard: what it shows, typing, copy and paste, buttons."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.hosts import building
from tests.support.hosts.editor import PROMPT, Editor
from tests.support.hosts.peer import Peer, eventually
from tests.support.hosts.screen import Screen, shows
from tests.support.hosts.sound import write_wav

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]

# Places in the editor, from its top left corner, and colours it uses (glue/canvas.hpp)
GENERATE, CANCEL = (705, 67), (728, 67)  # a running job puts Cancel beside Generate
START_DAEMON, BARS_UP, FIRST_STAR = (712, 24), (70, 150), (323, 341)
ADAPTER, SECOND_ADAPTER, DRUMS, BASS, MIDI = (600, 148), (600, 235), (372, 196), (428, 196), (728, 196)
PARTS, BASS_LINE, MAKE_ANEW = (120, 196), (120, 433), (505, 563)
COPY_ERROR, DISMISS = (722, 310), (722, 336)
ACCENT, BAD, ERROR_BOX, WAVEFORM = (
    (0.31, 0.82, 0.70),
    (0.95, 0.45, 0.42),
    (0.235, 0.125, 0.13),
    (0.25, 0.655, 0.565),
)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    building.need(building.HOSTS_PYTHON)
    with Screen(tmp_path) as made:
        yield made


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    seconds = np.linspace(0, 8, 48000 * 8, endpoint=False)
    wave = 0.8 * np.sin(2 * np.pi * 220 * seconds) * np.exp(-4 * (seconds % 0.5))
    write_wav(tmp_path / "clip.wav", np.stack([wave, wave]), 48000)
    return tmp_path / "clip.wav"


def test_typing_selecting_copying_and_pasting_make_the_prompt_that_is_sent(
    screen: Screen, tmp_path: Path, clip: Path
) -> None:
    with Peer(clip) as peer:
        editor = Editor(screen, tmp_path, peer.port)
        editor.until("rest", ACCENT, 30)  # connected
        editor.click(PROMPT)
        screen.type("warm bass pad")
        screen.key("Home", "ctrl+Right", "ctrl+shift+Right", "ctrl+x", "End")  # takes "bass " out
        assert screen.clipboard() == "bass "
        screen.type(" X")
        screen.key("BackSpace")
        screen.clipboard("häppy\nbells")
        screen.key("ctrl+v", "Left", "Delete", "ctrl+z", "shift+Home", "ctrl+c", "End", "Return")
        assert peer.wait_for("/acestep/generate")[0][0] == "warm pad häppy bells"
        assert screen.clipboard() == "warm pad häppy bells"  # undo puts the cursor to the end
        editor.until("result", WAVEFORM, 3000, tolerance=10)
        editor.click(FIRST_STAR)
        state = editor.close()
    assert "prompt warm pad häppy bells".encode() in state
    assert any(str(clip).encode() in line and b"\tstarred" in line for line in state.splitlines())


def test_an_adapter_is_picked_from_the_daemons_list_and_one_that_is_gone_is_shown_as_missing(
    screen: Screen, tmp_path: Path
) -> None:
    with Peer() as peer:
        peer.adapters = ["dusty", "warm tape"]
        editor = Editor(screen, tmp_path, peer.port)
        editor.until("rest", ACCENT, 30)
        editor.click(ADAPTER)
        peer.wait_for("/acestep/adapters", 2)  # anew: one may have been trained since
        time.sleep(0.5)
        editor.click(SECOND_ADAPTER)
        editor.click(PROMPT)
        screen.type("x")
        screen.key("Return")
        request = peer.wait_for("/acestep/generate")[0]
        assert request[request.index("adapter") + 1] == "warm tape:1"
        assert shows(editor.picture("picked"), BAD) < 10
        peer.adapters = ["dusty"]
        editor.click(ADAPTER)
        editor.until("missing", BAD, 30)
        screen.key("Escape")
        state = editor.close()
    assert b"adapter warm tape\n" in state


def test_an_idea_is_asked_for_by_clicks_and_words_and_one_part_is_made_anew(
    screen: Screen, tmp_path: Path, clip: Path
) -> None:
    with Peer(clip) as peer:
        editor = Editor(screen, tmp_path, peer.port)
        editor.until("rest", ACCENT, 30)
        for place in (DRUMS, BASS, MIDI, PARTS):
            editor.click(place)
        screen.key("End")
        screen.type(": warm sub")
        editor.click(PROMPT)
        screen.type("boom bap")
        screen.key("Return")
        request = peer.wait_for("/acestep/generate")[0]
        asked = dict(zip(request[1::2], request[2::2], strict=True))
        assert asked["parts"] == "drums, bass: warm sub"
        assert asked["midi"] == 1
        assert "takes" not in asked
        editor.until("idea", WAVEFORM, 2500, tolerance=10)
        editor.click(BASS_LINE)
        time.sleep(1)
        editor.picture("bass")
        editor.click(MAKE_ANEW)
        request = peer.wait_for("/acestep/generate", 2)[1]
        asked = dict(zip(request[1::2], request[2::2], strict=True))
        assert (asked["idea"], asked["redo"]) == ("idea-job-1", "bass: warm sub")
        assert "tempo" not in asked  # the idea's
        time.sleep(1)
        state = editor.close()
    text = state.replace(b"\0", b"\n")  # what the format puts behind the state is none of its lines
    lines = [line.split(b"\t") for line in text.splitlines() if line.startswith(b"result ")]
    assert [line[10].decode() for line in lines] == ["drums", "bass", "mix", "bass", "mix"]
    assert {line[9] for line in lines} == {b"idea-job-1"}
    assert [line[11][-4:] for line in lines] == [b".mid"] * 5


def test_progress_and_cancel(screen: Screen, tmp_path: Path) -> None:
    with Peer() as peer:
        peer.hold = True
        editor = Editor(screen, tmp_path, peer.port)
        editor.until("rest", ACCENT, 30)
        editor.click(BARS_UP, 3)
        editor.click(PROMPT)
        screen.type("x")
        editor.click(GENERATE)
        request = peer.wait_for("/acestep/generate")[0]
        assert request[request.index("bars") + 1] == 7
        time.sleep(0.5)
        editor.picture("generating")
        editor.click(CANCEL)
        assert peer.wait_for("/acestep/cancel")[0] == ["job-1"]
        editor.close()


def test_the_daemons_own_words_are_shown_and_can_be_copied(screen: Screen, tmp_path: Path) -> None:
    with Peer() as peer:
        peer.refuse = "bars 4 at 120 BPM: expected something else"
        editor = Editor(screen, tmp_path, peer.port)
        editor.until("rest", ACCENT, 30)
        editor.click(PROMPT)
        screen.type("x")
        screen.key("Return")
        editor.until("error", ERROR_BOX, 10000)
        editor.click(COPY_ERROR)
        assert screen.clipboard() == "bars 4 at 120 BPM: expected something else [invalid_request]"
        editor.click(DISMISS)
        assert shows(editor.picture("dismissed"), ERROR_BOX) < 100
        editor.close()


def test_without_a_daemon_the_editor_says_so_and_starts_one(screen: Screen, tmp_path: Path) -> None:
    command = f'sh -c "echo started > {tmp_path}/started; echo no space left; exit 1"'
    editor = Editor(screen, tmp_path, 9, ACESTEP_COMMAND=command)
    editor.until("daemon-down", BAD, 30)
    editor.click(START_DAEMON)
    eventually(lambda: (tmp_path / "started").exists(), "the command did not run")
    editor.until("daemon-failed", ERROR_BOX, 10000)
    editor.click(COPY_ERROR)
    assert "no space left" in screen.clipboard()
    editor.close()


def test_a_daemon_of_another_version_is_refused(screen: Screen, tmp_path: Path) -> None:
    with Peer(version="0.9.0", wire="2") as peer:
        editor = Editor(screen, tmp_path, peer.port)
        editor.until("wrong-version", BAD, 30)
        editor.click(PROMPT)
        screen.type("x")
        screen.key("Return")
        editor.until("refused", ERROR_BOX, 10000)
        assert not peer.sent("/acestep/generate")
        editor.close()

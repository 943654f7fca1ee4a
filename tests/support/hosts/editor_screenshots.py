"""Pictures of the plugin's editor: nothing yet, the list of adapters, working, with clips, with an idea.

    python -m tests.support.hosts.editor_screenshots FOLDER [linux | windows]

On Windows (in Wine) the editor has a window of its own: Wine 8 shows nothing of what OpenGL draws into a
window inside another one. The clips are made-up music. Knows nothing of pytest.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.support.hosts.native_host import SYSTEMS, NativeHost
from tests.support.hosts.peer import Peer, eventually
from tests.support.hosts.screen import Screen
from tests.support.hosts.sound import write_wav

RATE_HZ = 48000
BPM, BARS = 92.5, 4
PROMPT, TAKES_UP, KEY_UP = (200, 67), (150, 150), (260, 150)  # places in the editor
ADAPTER, DRUMS, BASS, CHORDS, MIDI = (600, 148), (372, 196), (428, 196), (484, 196), (728, 196)
SECOND_RESULT, BASS_LINE, LISTEN = (150, 385), (120, 433), (430, 563)
PROMPTS = ("dusty breakbeat, warm tape, brushed snare", "dusty breakbeat", "upright bass and rim shots")
ADAPTERS = ["dusty-tapes", "my-sound", "warm room"]
EDITORS = {"linux": ("editor", "Test host"), "windows": ("float-editor", "Floating editor")}


def tones(folder: Path, name: str, first_hz: float, per_bar: int) -> Path:
    """Tones that die away, as many in a bar, each at another pitch."""
    age = np.arange(round(BARS * 4 * 60 / BPM * RATE_HZ))
    length = len(age) / BARS / per_bar
    pitch = first_hz * 2 ** (np.array([0, 7, 3, 10, 5])[(age // length).astype(int) % 5] / 12)
    audio = (0.6 * np.sin(2 * np.pi * pitch * age / RATE_HZ) * np.exp(-2.5 * (age % length) / length)).astype(
        np.float32
    )
    write_wav(folder / name, np.stack([audio, audio]), RATE_HZ)
    return folder / name


def beat(folder: Path, name: str, seed: int) -> Path:
    """Drums without a drummer: decaying noise and tones on a grid of sixteenths."""
    random = np.random.default_rng(seed)
    sixteenth = 60 / BPM / 4 * RATE_HZ
    audio = np.zeros(round(BARS * 16 * sixteenth) + RATE_HZ)
    for step in range(BARS * 16):
        at, age = round(step * sixteenth), np.arange(RATE_HZ // 2)
        hit = 0.12 * random.standard_normal(age.size) * np.exp(-age / 1200)
        if step % 16 in (0, 7, 10):
            hit += 0.8 * np.sin(3000 / (age + 400) * 60) * np.exp(-age / 6000)
        if step % 8 == 4:
            hit += 0.5 * random.standard_normal(age.size) * np.exp(-age / 3000)
        audio[at : at + age.size] += hit * random.uniform(0.5, 1.0)
    audio = np.clip(audio[: round(BARS * 16 * sixteenth)], -1, 1).astype(np.float32)
    write_wav(folder / name, np.stack([audio, audio]), RATE_HZ)
    return folder / name


def until_results(host: NativeHost, count: int) -> None:
    """Lives on until so many clips have come."""

    def look() -> bool:
        host("wait", 50)
        return host.state().count(b"\nresult ") >= count

    eventually(look, "no clip")


class _Pictures:
    """One editor, driven by mouse and keys."""

    def __init__(self, host: NativeHost, screen: Screen, system: str):
        self.host, self.screen, self.system = host, screen, system
        command, self.title = EDITORS[system]
        host(command, 1)
        host("wait", 1500)

    def click(self, place: tuple[int, int], times: int = 1) -> None:
        x, y, *_ = self.screen.place(self.screen.window(self.title))
        self.screen.do("mousemove", x + place[0], y + place[1])
        self.host("wait", 150)
        for _ in range(times):
            self.screen.do("click", 1)
            self.host("wait", 150)

    def request(self, prompt: str) -> None:
        self.click(PROMPT)
        self.screen.do("key", "ctrl+a")
        self.screen.do("type", "--delay", 15, prompt)
        self.host("wait", 800)
        self.screen.do("key", "Return")
        self.host("wait", 800)

    def take(self, name: str) -> np.ndarray:
        self.screen.do("mousemove", 5, 895)
        self.host("wait", 700)
        return self.screen.picture(f"{self.system}-{name}", self.screen.window(self.title))


def pictures(folder: Path, system: str) -> dict[str, np.ndarray]:
    """Saves `SYSTEM-STATE.png` in the folder for each of the states, and returns them by the state's name."""
    made = {}
    with (
        tempfile.TemporaryDirectory() as home,
        Screen(folder) as screen,
        Peer() as peer,
        NativeHost("clap", system, Path(home), peer.port, screen) as host,
    ):
        peer.adapters = ADAPTERS
        host("song", BPM, 4, 4)
        host("activate", RATE_HZ, 4096)
        host("roll", 1)
        peer.wait_for("/acestep/ping")
        editor = _Pictures(host, screen, system)
        made["empty"] = editor.take("empty")
        editor.click(ADAPTER)
        made["adapters"] = editor.take("adapters")
        editor.click(PROMPT)
        editor.click(KEY_UP, 5)
        peer.hold = True
        editor.request(PROMPTS[0])
        made["working"] = editor.take("working")
        for number, prompt in enumerate(PROMPTS):
            if number:
                editor.request(prompt)
            name = prompt.split(",")[0].replace(" ", "-")
            peer.clip = beat(Path(home), f"20261129-19{number:02}00_{name}.wav", number)
            peer.finish()
            until_results(host, number + 1)
        editor.click(SECOND_RESULT)
        host("transport", 1)
        host("wait", 600)
        editor.click(LISTEN)
        host("wait", 5000)
        made["clips"] = editor.take("clips")
        editor.click(LISTEN)
        made["idea"] = _idea(editor, peer, Path(home))
        host("close-editor")
    return made


def _idea(editor: _Pictures, peer: Peer, home: Path) -> np.ndarray:
    """Asked for by clicks; one of its parts is selected."""
    for place in (DRUMS, BASS, CHORDS, MIDI):
        editor.click(place)
    editor.request(PROMPTS[1])
    peer.clip = beat(home, "20261129-1905_dusty-breakbeat.wav", 7)
    peer.parts = {
        "drums": beat(home, "drums.wav", 5),
        "bass": tones(home, "bass.wav", 55, 6),
        "chords": tones(home, "chords.wav", 220, 2),
    }
    peer.finish()
    until_results(editor.host, len(PROMPTS) + 4)
    editor.click(BASS_LINE)
    editor.host("wait", 1500)
    return editor.take("idea")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or (len(sys.argv) == 3 and sys.argv[2] not in SYSTEMS):
        sys.exit(__doc__)
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    pictures(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else "linux")

"""What the tests around the double share: a Live with the script in it, sound files, a controller.

Python 3.11 like the tests; the double itself (lom, clip, song, app) is not.
"""

import json
import socket
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugin_bridge.ableton.AceStep import osc, slots
from tests.support.live.app import App


@pytest.fixture
def live_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, whose daemon.json names a port where nobody answers."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("ACESTEP_HOME", str(folder))
    (folder / "daemon.json").write_text(json.dumps({"osc_port": free_port()}))
    return folder


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def live(live_home: Path) -> Iterator[Callable[..., App]]:
    """Makes Lives; afterwards none of them was ever asked for what Live refuses."""
    apps: list[App] = []

    def make(*args: Any, **options: Any) -> App:
        apps.append(App(*args, **options))
        return apps[-1]

    yield make
    for app in apps:
        app.quit()
        assert app.world.violations == []
        assert app.world.open_steps == 0


@pytest.fixture
def controller() -> Iterator[Callable[[App, Any], "Controller"]]:
    """Makes controllers for a script."""
    made: list[Controller] = []

    def make(app: App, script: Any) -> Controller:
        made.append(Controller(app, script))
        return made[-1]

    yield make
    for one in made:
        one.close()


def write_wav(path: Path, seconds: float, rate_hz: int = 48_000) -> str:
    """A tone, 18 dB under full scale: 200 samples a turn, square."""
    turn = b"\0\0\x10" * 200 + b"\0\0\xf0" * 200
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(3)
        file.setframerate(rate_hz)
        size = 6 * round(seconds * rate_hz)
        file.writeframes((turn * (size // len(turn) + 1))[:size])
    return str(path)


def new_clip(
    tmp_path: Path, bpm: float = 92.5, bars: float = 4.0, meter: tuple[int, int] = (4, 4)
) -> slots.NewClip:
    path = tmp_path / f"{bpm}_{bars}_{len(list(tmp_path.iterdir()))}.wav"
    write_wav(path, bars * meter[0] * 4 / meter[1] * 60 / bpm)
    return slots.NewClip(str(path), bpm, meter, "A minor", bars, 0.1)


def insert(app: App, target: slots.Target, new: slots.NewClip) -> str:
    """Inserts a clip as the script does; the refusal or ""."""
    return stepped(app, slots.insert(app.module, app.song, target, new, ("name", 4)))


def stepped(app: App, steps: Iterator[None]) -> str:
    """Runs an insertion as the script does, a step per callback; the refusal or ""."""
    told: list[str] = []

    def step() -> None:
        try:
            next(steps)
        except StopIteration:
            told.append("")
        except slots.Refused as refused:
            told.append(str(refused))

    while not told:
        app.call(step)
    return told[0]


def said(script: Any, words: str) -> bool:
    return any(words in text for text in script.c.messages)


class Controller:
    """A TouchOSC page: sends to the script's port, hears its answers."""

    def __init__(self, app: App, script: Any) -> None:
        self._app, self._port = app, script.link.port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)

    def send(self, name: str, *args: Any) -> None:
        self._socket.sendto(osc.encode("/acestep/live/" + name, *args), ("127.0.0.1", self._port))

    def send_bytes(self, packet: bytes) -> None:
        self._socket.sendto(packet, ("127.0.0.1", self._port))

    def ask(self, name: str, *args: Any) -> tuple[str, tuple[Any, ...]]:
        self.send(name, *args)
        return self.hear()

    def hear(self) -> tuple[str, tuple[Any, ...]]:
        """The next message from the script."""
        answers: list[bytes] = []

        def answered() -> bool:
            try:
                answers.append(self._socket.recv(65536))
            except BlockingIOError:
                return False
            return True

        self._app.run_until(answered, 60)
        return osc.decode(answers[0])[0]

    def close(self) -> None:
        self._socket.close()

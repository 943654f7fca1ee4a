"""Our own host (`native/`) as a process that is spoken to line by line, on Linux or, in Wine, on Windows.

Knows nothing of what the tests check.
"""

import os
import subprocess
from pathlib import Path
from types import TracebackType

import numpy as np

from tests.support.hosts import building
from tests.support.hosts.screen import Screen

FORMATS = ("clap", "vst3")
SYSTEMS = ("linux", "windows")
# Mesa and X11 keep some memory to the end; and Mesa's driver is unloaded before it could be named.
SANITIZING = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


class Refused(AssertionError):
    """The host answered a command with an error."""


class NativeHost:
    """One instance of the plugin. `host("play", 512)` sends `play 512` and returns the answer's lines."""

    def __init__(self, kind: str, system: str, folder: Path, port: int = 9, screen: Screen | None = None):
        windows = system == "windows"
        built = building.BUILT_FOR[system]()
        inside = "x86_64-win/AceStepBridge.vst3" if windows else "x86_64-linux/AceStepBridge.so"
        plugin = built.clap if kind == "clap" else built.vst3 / "Contents" / inside
        command = [building.native_host(system), plugin]
        environment: dict[str, str | Path] = {
            "ACESTEP_HOME": folder / "home",
            "ACESTEP_OSC_PORT": str(port),
            "ACESTEP_COMMAND": "true",  # in place of a daemon
            "PATH": f"{folder / 'programs'}:{os.environ['PATH']}",
        }
        if windows:
            command.insert(0, building.WINE_PROGRAM)
            environment |= {**building.WINE, "LC_ALL": "C.UTF-8"}  # in which Wine reads what we set
        if system == "sanitized":
            environment |= SANITIZING
        if screen:
            environment |= screen.environment
        self._wine_of_the_screen = windows and screen is not None
        if self._wine_of_the_screen:
            building.end_wine()
        self._log = (folder / f"{kind}-{system}.log").open("ab")
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True, encoding="utf-8", errors="replace", bufsize=1, cwd=folder,
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        )  # fmt: skip
        self.folder = folder
        self.printed: list[str] = []  # everything so far
        self._answer("start")

    def __enter__(self) -> "NativeHost":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._process.communicate(timeout=30)  # the end of its input ends it
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._log.close()
        if self._wine_of_the_screen:
            building.end_wine()
        if kind is None:
            assert self._process.returncode == 0, "the host did not end well"

    def __call__(self, *words: str | float | Path) -> list[str]:
        assert self._process.stdin
        print(*words, file=self._process.stdin, flush=True)
        return self._answer(" ".join(map(str, words)))

    def _answer(self, asked: str) -> list[str]:
        assert self._process.stdout
        lines = []
        for line in self._process.stdout:
            text = line.rstrip("\r\n")
            self.printed.append(text)
            if text == "ok":
                return lines
            if text.startswith("error "):
                raise Refused(f"{asked}: {text}")
            lines.append(text)
        raise AssertionError(f"the host died at `{asked}` ({self._process.wait()})")

    def number(self, *words: str | float) -> float:
        """The one number that a command answers."""
        return float(self(*words)[0])

    def play(self, frames: int) -> bool:
        """Processes; whether every sample came out as it went in."""
        return self("play", frames) == [f"equal {frames} unequal 0"]

    def heard(self, frames: int) -> np.ndarray:
        """Processes; what came out, [channels, samples]."""
        self("heard", "heard.raw")
        self("play", frames)
        self("heard", "-")
        return np.fromfile(self.folder / "heard.raw", "<f4").reshape(-1, 2).T

    def state(self, name: str = "state") -> bytes:
        """What the plugin saves, also in a file of this name."""
        self("save", name)  # the host runs in the folder
        return (self.folder / name).read_bytes()


def on_this_system(path: str) -> Path:
    """A path as Wine's programs name it, here."""
    return Path(path.removeprefix("Z:").replace("\\", "/"))

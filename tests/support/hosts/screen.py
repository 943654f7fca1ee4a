"""A screen without a screen: Xvfb with a window manager, mouse and keyboard by xdotool, pictures as arrays.

Knows nothing of the programs shown on it.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.support.hosts import building
from tests.support.hosts.peer import eventually


class Screen:
    """An X server of its own; programs started with `environment` show on it."""

    def __init__(self, folder: Path, size: str = "1280x900"):
        building.need("Xvfb", "xdotool", "openbox", "import", "xclip")
        self.folder = folder
        read_end, write_end = os.pipe()
        with (folder / "Xvfb.log").open("wb") as log:
            self._server = subprocess.Popen(
                ["Xvfb", "-displayfd", str(write_end), "-screen", "0", f"{size}x24", "-nolisten", "tcp",
                 "-noreset"], pass_fds=[write_end], stderr=log,
            )  # fmt: skip
        os.close(write_end)
        with os.fdopen(read_end) as numbers:  # to the end of the line: the server dies if it cannot finish it
            self.environment = {"DISPLAY": f":{numbers.readline().strip()}"}
        self._programs: list[subprocess.Popen] = []
        self.start(["openbox"])

    def __enter__(self) -> "Screen":
        return self

    def __exit__(self, *_: object) -> None:
        for program in [*self._programs, self._server]:
            program.terminate()
        for program in [*self._programs, self._server]:
            try:
                program.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.communicate()

    def start(self, command: list[str | Path], **environment: str | Path) -> subprocess.Popen:
        """A program on this screen, ended with it."""
        settings = {name: str(value) for name, value in environment.items()}
        with (self.folder / f"{Path(str(command[0])).name}.log").open("ab") as log:
            program = subprocess.Popen(
                [str(word) for word in command], stdout=log, stderr=log,
                env={**os.environ, **self.environment, **settings},
            )  # fmt: skip
        self._programs.insert(0, program)
        return program

    def do(self, *words: str | int) -> str:
        """An xdotool command."""
        return building.run(["xdotool", *map(str, words)], 30, **self.environment).stdout.strip()

    def window(self, name: str, limit_s: float = 60.0) -> str:
        """The id of the visible window with this in its title, once it is there."""

        def find() -> str:
            found = subprocess.run(
                ["xdotool", "search", "--onlyvisible", "--name", name],
                capture_output=True, text=True, check=False, env={**os.environ, **self.environment},
            )  # fmt: skip
            return found.stdout.strip().splitlines()[-1] if found.stdout.strip() else ""

        return eventually(find, f"no window {name!r}", limit_s)

    def place(self, window: str) -> tuple[int, int, int, int]:
        """Where the window's inside is: x, y, width, height."""
        told = building.run(["xwininfo", "-id", window], 30, **self.environment).stdout
        names = ("Absolute upper-left X", "Absolute upper-left Y", "Width", "Height")
        x, y, width, height = (int(told.split(f"{name}:")[1].split()[0]) for name in names)
        return x, y, width, height

    def click(self, x: float, y: float, times: int = 1) -> None:
        self.do("mousemove", round(x), round(y))
        time.sleep(0.1)
        for _ in range(times):
            self.do("click", 1)
        time.sleep(0.2)

    def type(self, text: str) -> None:
        self.do("type", "--delay", 15, text)
        time.sleep(0.3)

    def key(self, *keys: str) -> None:
        self.do("key", "--delay", 30, *keys)
        time.sleep(0.2)

    def clipboard(self, text: str | None = None) -> str:
        """Sets the clipboard, or reads it."""
        environment = {**os.environ, **self.environment}
        if text is not None:
            subprocess.run(
                ["xclip", "-selection", "clipboard", "-i"], input=text, text=True, check=True, env=environment
            )
            return text
        command = ["xclip", "-selection", "clipboard", "-o"]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=False, env=environment
        ).stdout

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press, move in small steps, wait, let go."""
        self.do("mousemove", *map(round, start))
        self.do("mousedown", 1)
        time.sleep(0.2)
        for step in range(1, 41):
            x, y = (a + (b - a) * step / 40 for a, b in zip(start, end, strict=True))
            self.do("mousemove", round(x), round(y))
            time.sleep(0.02)
        time.sleep(0.8)
        self.do("mouseup", 1)
        time.sleep(1.0)

    def drag_while(
        self, start: tuple[float, float], end: tuple[float, float], meanwhile: Callable[[], object]
    ) -> None:
        """A drag from a program that only lives while it is spoken to."""
        dragging = threading.Thread(target=self.drag, args=(start, end))
        dragging.start()
        while dragging.is_alive():
            meanwhile()
        dragging.join()

    def picture(self, name: str, window: str = "root") -> np.ndarray:
        """Saves what is shown as NAME.png and returns it, [height, width, 3]."""
        file = self.folder / f"{name}.png"
        building.run(["import", "-window", window, file], 60, **self.environment)
        raw = subprocess.run(
            ["convert", file, "-depth", "8", "ppm:-"], capture_output=True, check=True
        ).stdout
        _, size, _, pixels = raw.split(b"\n", 3)
        width, height = map(int, size.split())
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def shows(picture: np.ndarray, color: tuple[float, float, float], tolerance: int = 6) -> int:
    """How many pixels have this colour (0–1 each)."""
    wanted = np.array([round(255 * part) for part in color])
    return int((np.abs(picture.astype(int) - wanted).max(axis=2) <= tolerance).sum())

"""The plugin's editor in pedalboard, on a virtual screen. Knows nothing of what the tests check."""

from pathlib import Path

import numpy as np

from tests.support.hosts import building
from tests.support.hosts.peer import eventually
from tests.support.hosts.screen import Screen, shows

PROMPT = (200, 67)  # the field for it, from the editor's top left corner
CHANGED, SAME = 0.05, 0.002  # shares of the pixels: of a new view, and of a cursor that blinks


class Editor:
    """The plugin's editor in pedalboard on a screen of its own; `peer` is its daemon, if any."""

    def __init__(self, screen: Screen, folder: Path, port: int, **environment: str):
        self.screen, self.folder = screen, folder
        host = Path(__file__).parent / "pedalboard_host.py"
        command = [building.HOSTS_PYTHON, host, "editor", building.plugin().vst3, folder]
        screen.start(command, ACESTEP_HOME=folder / "home", ACESTEP_OSC_PORT=str(port), **environment)
        self.window = screen.window("Pedalboard")
        self.x, self.y, _, _ = screen.place(self.window)

    def click(self, place: tuple[int, int], times: int = 1) -> None:
        self.screen.click(self.x + place[0], self.y + place[1], times)

    def picture(self, name: str) -> np.ndarray:
        return self.screen.picture(name)

    def until(
        self, name: str, color: tuple[float, float, float], least: int, tolerance: int = 6
    ) -> np.ndarray:
        """A picture, once it has at least so many pixels of the colour."""
        return eventually(
            lambda: [picture] if shows(picture := self.picture(name), color, tolerance) >= least else None,
            f"{name}: no {color}",
        )[0]

    def settled(self, name: str, unlike: np.ndarray) -> np.ndarray:
        """A picture that is not the one from before, once two in a row are the same, whatever the colours."""
        seen = [unlike]

        def rests() -> bool:
            seen.append(self.picture(name))
            return _changed(unlike, seen[-1]) > CHANGED and _changed(seen[-2], seen[-1]) < SAME

        eventually(rests, f"{name}: the editor shows what it showed before, or never comes to rest")
        return seen[-1]

    def close(self) -> bytes:
        """Closes the host and returns the plugin's state as the host saved it."""
        (self.folder / "STOP").touch()
        file = self.folder / "state"
        return _component(eventually(lambda: file.exists() and file.read_bytes(), "no state"))


def _changed(one: np.ndarray, other: np.ndarray) -> float:
    """Which share of the pixels is not the same."""
    return float((one != other).any(axis=2).mean())


def _component(saved: bytes) -> bytes:
    """The VST3 component's own bytes out of a JUCE host's XML: `size.` and 6 bits a letter, lowest first."""
    size, letters = saved.split(b"<IComponent>")[1].split(b"</IComponent>")[0].split(b".", 1)
    table = b".ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+"
    number = sum(table.index(letter) << (6 * place) for place, letter in enumerate(letters))
    return number.to_bytes(len(letters) * 6 // 8 + 1, "little")[: int(size)]

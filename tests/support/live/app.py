"""Live itself as far as a script sees it: the `Live` module, timers on one thread, the status bar, MIDI.

Knows nothing of the script but Live's documented callbacks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from .clip import WarpMarker
from .lom import VERSIONS, LomObject, World
from .song import Song


class Timer:
    """`Live.Base.Timer`: runs on Live's thread, when Live has time."""

    def __init__(self, app: App, callback: Callable[[], None], interval: int, repeat: bool) -> None:
        self._app, self._callback, self._every_s, self._repeat = app, callback, interval / 1000.0, repeat
        self._due = 0.0
        self.running = False

    def start(self) -> None:
        self.running, self._due = True, time.perf_counter() + self._every_s

    def stop(self) -> None:
        self.running = False

    def _fire(self, now: float) -> None:
        if self.running and now >= self._due:
            self._due = now + self._every_s
            self.running = self._repeat
            self._app.call(self._callback)


class CInstance:
    """What Live gives to `create_instance`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.messages: list[str] = []
        self.log: list[str] = []

    def song(self) -> Song:
        return self._app.song

    def show_message(self, text: str) -> None:
        self._app.require_main_thread("show_message")
        self.messages.append(text)

    def log_message(self, text: str) -> None:
        self.log.append(text)

    def handle(self) -> str:
        return "script-handle"

    def request_rebuild_midi_map(self) -> None:
        self._app.rebuild_requested = True


class App:
    """One running Live with one set."""

    def __init__(self, version: str = "12.2.0", tracks: str = "audio audio midi", scenes: int = 8) -> None:
        self.world = World(VERSIONS[version])
        self.song = Song(self.world, tracks, scenes)
        self.timers: list[Timer] = []
        self.callback_ms: list[float] = []
        self.forwarded: list[tuple[str, int, int]] = []
        self.rebuild_requested = False
        self.document_view = "Session"
        self.scripts: list[Any] = []
        self.module = SimpleNamespace(
            Base=SimpleNamespace(Timer=self._timer),
            Clip=SimpleNamespace(WarpMarker=WarpMarker),
            Application=SimpleNamespace(get_application=lambda: self),
            MidiMap=SimpleNamespace(
                forward_midi_note=lambda s, m, channel, number: self._forward("note", channel, number),
                forward_midi_cc=lambda s, m, channel, number: self._forward("cc", channel, number),
            ),
        )

    @property
    def view(self) -> Any:
        return SimpleNamespace(focused_document_view=self.document_view)

    def _timer(self, callback: Callable[[], None], interval: int, repeat: bool = False) -> Timer:
        timer = Timer(self, callback, interval, repeat)
        self.timers.append(timer)
        return timer

    def _forward(self, kind: str, channel: int, number: int) -> None:
        self.forwarded.append((kind, channel, number))

    def require_main_thread(self, what: str) -> None:
        if threading.get_ident() != self.world.thread:
            self.world.violations.append(f"{what} from another thread")

    def load(self, create: Callable[[Any, Any], Any]) -> Any:
        """Adds a control surface; `create(c_instance, live_module)` makes it."""
        c_instance = CInstance(self)
        script = create(c_instance, self.module)
        script.c = c_instance
        self.scripts.append(script)
        script.build_midi_map("midi-map")
        return script

    def call(self, callback: Callable[[], None]) -> None:
        """Live calls into a script; what the script left deferred comes after, as Live does it."""
        began = time.perf_counter()
        callback()
        self.callback_ms.append((time.perf_counter() - began) * 1000)
        deferred, self.world.deferred = self.world.deferred, []
        for apply in deferred:
            apply()

    def run(self, seconds: float) -> None:
        """Live goes on for a while."""
        self.run_until(lambda: False, seconds, must=False)

    def run_until(self, condition: Callable[[], Any], timeout_s: float = 120.0, must: bool = True) -> None:
        """Live goes on until the condition holds. Raises AssertionError when it never does."""
        until = time.perf_counter() + timeout_s
        while not condition():
            now = time.perf_counter()
            if now > until:
                if must:
                    shown = [script.c.messages[-5:] for script in self.scripts]
                    raise AssertionError(f"it never happened; the status bar said {shown}")
                return
            for timer in list(self.timers):
                timer._fire(now)
            time.sleep(0.001)

    def quit(self) -> None:
        """Live quits, or opens another set: scripts go first, then every object is dead."""
        for script in self.scripts:
            script.disconnect()
        for thing in _objects(self.song):
            thing._dead = True


def _objects(song: Song) -> list[LomObject]:
    found: list[LomObject] = [song, song._view, *song._scenes]
    for track in song._tracks:
        found += [track, *track._slots, *track._clips, *[slot._clip for slot in track._slots if slot._clip]]
    return found

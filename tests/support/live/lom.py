"""What every Live object does: listeners, undo, death, threads, versions – and Live's refusals.

Built from the documented object model and its observed quirks. Python 3.7 and the standard library only, so
that the script can also be run in the Python that Live 11 has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple


class Version(NamedTuple):
    """One row of what Live's versions can do."""

    name: str
    missing: set[str]  # names that this version does not have
    track_clip_is_returned: bool = False


_EARLY = {"create_take_lane", "take_lanes"}
_NO_SCALE = {"scale_mode", "add_scale_mode_listener", "remove_scale_mode_listener"}
VERSIONS = {
    version.name: version
    for version in (
        Version("11.0.12", {"create_audio_clip", "file_path"} | _NO_SCALE | _EARLY),
        Version("11.3.25", _NO_SCALE | _EARLY),
        Version("12.0.0", {"ClipSlot.create_audio_clip"} | _NO_SCALE | _EARLY),
        Version("12.0.5", _EARLY),
        Version("12.1.5", _EARLY),
        Version("12.2.0", set(), True),
    )
}


class World:
    """What the objects of one Live share: its thread, its undo history, its deferred changes."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.thread = threading.get_ident()
        self.notifying = 0
        self.violations: list[str] = []  # what would have crashed or been refused by Live
        self.deferred: list[Callable[[], None]] = []
        self.undo_steps: list[list[Callable[[], None]]] = []
        self.open_steps = 0

    def changed(self, undo: Callable[[], None]) -> None:
        """Notes a change of the set. Raises as Live does inside a listener."""
        if self.open_steps and self.undo_steps:
            self.undo_steps[-1].append(undo)
        else:
            self.undo_steps.append([undo])

    def refuse_inside_listeners(self, what: str) -> None:
        if self.notifying:
            self.violations.append(f"{what} inside a listener")
            raise RuntimeError(
                "Changes cannot be triggered by notifications. You will need to defer your response."
            )

    def begin(self) -> None:
        if not self.open_steps:
            self.undo_steps.append([])
        self.open_steps += 1

    def end(self) -> None:
        if not self.open_steps:
            self.violations.append("end_undo_step without begin_undo_step")
            return
        self.open_steps -= 1
        if not self.open_steps and not self.undo_steps[-1]:
            self.undo_steps.pop()  # nothing happened: Live shows no step

    def undo(self) -> None:
        for step in reversed(self.undo_steps.pop()):
            step()


class LomObject:
    """Refuses other threads and the dead; has listeners for its observable names."""

    _observable: frozenset[str] = frozenset()
    _settable: frozenset[str] = frozenset()

    def __init__(self, world: World) -> None:
        self._world = world
        self._dead = False
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    def __eq__(self, other: object) -> bool:
        return self._dead if other is None else self is other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return id(self)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)
        self._check(name)
        for verb in ("add_", "remove_"):
            if name.startswith(verb) and name.endswith("_listener"):
                subject = name[len(verb) : -len("_listener")]
                if subject in self._observable:
                    return self._adder(subject) if verb == "add_" else self._remover(subject)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
            return
        self._check(name)
        if name not in self._settable:
            raise AttributeError(f"can't set attribute {name}")
        self._world.refuse_inside_listeners(f"{name} = {value!r}")
        old = object.__getattribute__(self, name)
        object.__setattr__(self, name, value)
        self._world.changed(lambda: object.__setattr__(self, name, old))
        self._notify(name)

    def _check(self, name: str) -> None:
        world = self._world
        if threading.get_ident() != world.thread:
            world.violations.append(f"{type(self).__name__}.{name} from another thread")
            raise RuntimeError("Live's objects are for its main thread")
        if self._dead:
            raise RuntimeError("Python argument types did not match C++ signature: the object is gone")
        if {name, f"{type(self).__name__}.{name}"} & world.version.missing:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _adder(self, subject: str) -> Callable[[Callable[[], None]], None]:
        def add(callback: Callable[[], None]) -> None:
            listeners = self._listeners.setdefault(subject, [])
            if callback in listeners:
                raise RuntimeError("the listener is connected already")
            listeners.append(callback)

        return add

    def _remover(self, subject: str) -> Callable[[Callable[[], None]], None]:
        def remove(callback: Callable[[], None]) -> None:
            if callback not in self._listeners.get(subject, []):
                raise RuntimeError("the listener is not connected")
            self._listeners[subject].remove(callback)

        return remove

    def _notify(self, name: str) -> None:
        self._world.notifying += 1
        try:
            for callback in list(self._listeners.get(name, [])):
                callback()
        finally:
            self._world.notifying -= 1

    def _change(self, what: str, undo: Callable[[], None]) -> None:
        self._world.refuse_inside_listeners(what)
        self._world.changed(undo)

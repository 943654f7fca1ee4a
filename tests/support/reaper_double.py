"""A double of REAPER's Python API as far as a script uses it: pointers as texts, types, deferred code.

Returns the same tuples as REAPER's own `reaper_python`, refuses what ctypes would refuse there.
"""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

NULL = "({})0x0000000000000000"


class Thing:
    """A track, item, take or source; `values` are REAPER's by name."""

    def __init__(self, kind: str, **values: Any) -> None:
        self.kind, self.values = kind, values
        self.children: list[Thing] = []
        self.alive = True


class Reaper:
    """One project. `run` plays REAPER's main loop for a script."""

    def __init__(self, answers: list[str] | None, cursor: float = 0.0) -> None:
        self.answers, self.cursor = answers, cursor
        self.bpm, self.meter = 120.0, (4, 4)  # quarter notes per minute
        self.project_path = ""
        self.tracks: list[Thing] = []
        self.selected_track: Thing | None = None
        self.selected_items: list[Thing] = []
        self.console: list[str] = []
        self.undo: list[str] = []
        self.open_undo = self.no_refresh = 0
        self.turn_ms: list[float] = []
        self._pointers: dict[str, Thing] = {}
        self._state: dict[tuple[str, str], str] = {}
        self._deferred: list[str] = []

    # --- what a test does and sees ---------------------------------------------------------------

    def add_track(self, select: bool = True) -> Thing:
        track = Thing("MediaTrack*")
        self.tracks.append(track)
        if select:
            self.selected_track = track
        return track

    def add_item(self, track: Thing, path: str, **values: float) -> Thing:
        source = Thing("PCM_source*", path=path)
        take = Thing("MediaItem_Take*", D_STARTOFFS=0.0, D_PLAYRATE=1.0, source=source)
        take.values.update({name: values.pop(name) for name in list(values) if name in take.values})
        item = Thing("MediaItem*", D_POSITION=0.0, D_LENGTH=1.0, **{})
        item.values.update(values)
        item.children.append(take)
        track.children.append(item)
        return item

    def add_section(
        self, track: Thing, path: str, offset: float, length: float, reverse: bool, **values: float
    ) -> Thing:
        """An item whose source is a part of a file, or it backwards: it has a parent and no file name."""
        item = self.add_item(track, "", **values)
        source = item.children[0].values["source"]
        source.values["parent"] = Thing("PCM_source*", path=path)
        source.values["section"] = (offset, length, reverse)
        return item

    def run(self, script: Path, until: Callable[[], bool] = lambda: False, timeout_s: float = 200.0) -> None:
        """Runs the script as an action, then its deferred code, until there is none (or `until` holds)."""
        module = ModuleType("reaper_python")
        for name in dir(self):
            if name.startswith("RPR_"):
                setattr(module, name, getattr(self, name))
        sys.modules["reaper_python"] = module
        names: dict[str, Any] = {"__name__": "__main__", "RPR_defer": self._deferred.append}
        try:
            self._turn(compile(script.read_text("utf-8"), str(script), "exec"), names)
            end = time.monotonic() + timeout_s
            while self._deferred and not until():
                assert time.monotonic() < end, f"the script never ended; it said {self.console}"
                time.sleep(0.005)
                self._turn(self._deferred.pop(0), names)
        finally:
            if names.get("request") is not None:
                names["request"].close()
            del sys.modules["reaper_python"]

    def _turn(self, code: Any, names: dict[str, Any]) -> None:
        began = time.perf_counter()
        exec(code, names)
        self.turn_ms.append((time.perf_counter() - began) * 1000)
        assert (self.open_undo, self.no_refresh) == (0, 0), "a script must leave no undo block open"

    # --- pointers --------------------------------------------------------------------------------

    def _out(self, thing: Thing | None, kind: str) -> str:
        if thing is None:
            return NULL.format(kind)
        pointer = f"({thing.kind})0x{id(thing):016X}"
        self._pointers[pointer] = thing
        return pointer

    def _in(self, pointer: Any, kind: str) -> Thing:
        if not isinstance(pointer, str) or not re.fullmatch(r"\(\w+\*\)0x[0-9A-F]{16}", pointer):
            raise TypeError(f"{pointer!r} is not a pointer of REAPER's")
        thing = self._pointers.get(pointer)
        if thing is None or thing.kind != kind or not thing.alive:
            raise AssertionError(f"{pointer} is no {kind}: REAPER would crash")
        return thing

    # --- REAPER's functions ----------------------------------------------------------------------

    def RPR_GetUserInputs(self, title: str, count: int, captions: str, values: str, size: int) -> tuple:  # noqa: N802
        _require(str, title, captions, values)
        _require(int, count, size)
        assert captions.endswith("separator=\n")
        filled = "\n".join(self.answers) if self.answers is not None else values
        return int(self.answers is not None), title, count, captions, filled, size

    def RPR_GetExtState(self, section: str, key: str) -> str:  # noqa: N802
        return self._state.get((section, key), "")

    def RPR_SetExtState(self, section: str, key: str, value: str, persist: bool) -> None:  # noqa: N802
        assert not (persist and "\n" in value)
        self._state[(section, key)] = value

    def RPR_GetCursorPosition(self) -> float:  # noqa: N802
        return self.cursor

    def RPR_TimeMap2_timeToQN(self, project: int, seconds: float) -> float:  # noqa: N802
        return seconds * self.bpm / 60

    def RPR_TimeMap_GetTimeSigAtTime(  # noqa: N802
        self, project: int, seconds: float, num: int, denom: int, bpm: float
    ) -> tuple:
        _require(int, num, denom)
        return project, seconds, *self.meter, self.bpm * self.meter[1] / 4

    def RPR_GetProjectPath(self, buffer: str, size: int) -> tuple:  # noqa: N802
        return self.project_path, size

    def RPR_CountSelectedMediaItems(self, project: int) -> int:  # noqa: N802
        return len(self.selected_items)

    def RPR_GetSelectedMediaItem(self, project: int, index: int) -> str:  # noqa: N802
        return self._out(self.selected_items[index], "MediaItem*")

    def RPR_GetActiveTake(self, item: str) -> str:  # noqa: N802
        takes = self._in(item, "MediaItem*").children
        return self._out(takes[0] if takes else None, "MediaItem_Take*")

    def RPR_GetMediaItemTake_Source(self, take: str) -> str:  # noqa: N802
        return self._out(self._in(take, "MediaItem_Take*").values["source"], "PCM_source*")

    def RPR_GetMediaSourceFileName(self, source: str, buffer: str, size: int) -> tuple:  # noqa: N802
        return source, self._in(source, "PCM_source*").values["path"], size

    def RPR_GetMediaSourceParent(self, source: str) -> str:  # noqa: N802
        return self._out(self._in(source, "PCM_source*").values.get("parent"), "PCM_source*")

    def RPR_PCM_Source_GetSectionInfo(  # noqa: N802
        self, source: str, offset: float, length: float, reverse: bool
    ) -> tuple:
        section = self._in(source, "PCM_source*").values.get("section")
        return (1, source, *section) if section else (0, source, offset, length, reverse)

    def RPR_GetMediaItemTakeInfo_Value(self, take: str, name: str) -> float:  # noqa: N802
        return float(self._in(take, "MediaItem_Take*").values[name])

    def RPR_GetMediaItemInfo_Value(self, item: str, name: str) -> float:  # noqa: N802
        return float(self._in(item, "MediaItem*").values[name])

    def RPR_GetSelectedTrack(self, project: int, index: int) -> str:  # noqa: N802
        return self._out(self.selected_track, "MediaTrack*")

    def RPR_CountTracks(self, project: int) -> int:  # noqa: N802
        return len(self.tracks)

    def RPR_InsertTrackAtIndex(self, index: int, defaults: bool) -> None:  # noqa: N802
        self._require_undo()
        self.tracks.insert(index, Thing("MediaTrack*"))

    def RPR_GetSetMediaTrackInfo_String(  # noqa: N802
        self, track: str, name: str, value: str, change: bool
    ) -> tuple:
        _require(str, name, value)
        self._in(track, "MediaTrack*").values[name] = value
        return 1, track, name, value, change

    def RPR_SetMediaTrackInfo_Value(self, track: str, name: str, value: float) -> bool:  # noqa: N802
        self._require_undo()
        _require((int, float), value)
        self._in(track, "MediaTrack*").values[name] = value
        return True

    def RPR_GetTrack(self, project: int, index: int) -> str:  # noqa: N802
        return self._out(self.tracks[index] if index < len(self.tracks) else None, "MediaTrack*")

    def RPR_ShowConsoleMsg(self, text: str) -> None:  # noqa: N802
        self.console.append(text)

    def RPR_Undo_BeginBlock2(self, project: int) -> None:  # noqa: N802
        self.open_undo += 1

    def RPR_Undo_EndBlock2(self, project: int, words: str, flags: int) -> None:  # noqa: N802
        _require(int, flags)
        self.open_undo -= 1
        self.undo.append(words)

    def RPR_PreventUIRefresh(self, count: int) -> None:  # noqa: N802
        self.no_refresh += count

    def RPR_UpdateArrange(self) -> None:  # noqa: N802
        return

    def RPR_ValidatePtr2(self, project: int, pointer: str, kind: str) -> bool:  # noqa: N802
        thing = self._pointers.get(pointer)
        return thing is not None and thing.kind == kind and thing.alive

    def RPR_AddMediaItemToTrack(self, track: str) -> str:  # noqa: N802
        self._require_undo()
        item = Thing("MediaItem*", D_POSITION=0.0, D_LENGTH=0.0)
        self._in(track, "MediaTrack*").children.append(item)
        return self._out(item, "MediaItem*")

    def RPR_SetMediaItemInfo_Value(self, item: str, name: str, value: float) -> bool:  # noqa: N802
        self._require_undo()
        _require((int, float), value)
        self._in(item, "MediaItem*").values[name] = value
        return True

    def RPR_AddTakeToMediaItem(self, item: str) -> str:  # noqa: N802
        self._require_undo()
        take = Thing("MediaItem_Take*", D_PLAYRATE=1.0)
        self._in(item, "MediaItem*").children.append(take)
        return self._out(take, "MediaItem_Take*")

    def RPR_PCM_Source_CreateFromFile(self, path: str) -> str:  # noqa: N802
        known = Path(path).is_file()
        return self._out(Thing("PCM_source*", path=path) if known else None, "PCM_source*")

    def RPR_SetMediaItemTake_Source(self, take: str, source: str) -> bool:  # noqa: N802
        self._in(take, "MediaItem_Take*").values["source"] = self._in(source, "PCM_source*")
        return True

    def RPR_SetMediaItemTakeInfo_Value(self, take: str, name: str, value: float) -> bool:  # noqa: N802
        _require((int, float), value)
        self._in(take, "MediaItem_Take*").values[name] = value
        return True

    def RPR_GetSetMediaItemTakeInfo_String(  # noqa: N802
        self, take: str, name: str, value: str, change: bool
    ) -> tuple:
        self._in(take, "MediaItem_Take*").values[name] = value
        return 1, take, name, value, change

    def _require_undo(self) -> None:
        assert self.open_undo, "a change outside an undo block"


def _require(kind: Any, *values: Any) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} is not a {kind}: ctypes refuses it")

"""Audio clips of the double: files, warping that comes a moment later, markers, loops.

Knows what Live was seen to refuse; sounds nothing.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from .lom import LomObject, World

SHADOW_BEATS = 1 / 32.0


_TYPES = {"name": str, "color": int, "signature_numerator": int, "signature_denominator": int}


class WarpMarker:
    """`Live.Clip.WarpMarker(sample_time, beat_time)`: seconds first, no keywords."""

    def __init__(self, *args: float) -> None:
        self.sample_time, self.beat_time = (float(value) for value in args)


def read_audio(path: str) -> tuple[int, int]:
    """(samples, sample rate). Raises RuntimeError for what Live would not take."""
    if not Path(path).is_absolute():
        raise RuntimeError(f"the path is not absolute: {path}")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RuntimeError(f"no valid audio file: {path}") from error
    if data[:4] == b"fLaC":  # rate, channels, bits and samples lie in 20, 3, 5 and 36 bits
        (packed,) = struct.unpack_from(">Q", data, 18)
        return packed & ((1 << 36) - 1), packed >> 44
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise RuntimeError(f"no valid audio file: {path}")
    at, rate, frame, size = 12, 0, 0, -1
    while at + 8 <= len(data):
        name, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if name == b"fmt ":
            rate, frame = (
                struct.unpack_from("<I", data, at + 12)[0],
                struct.unpack_from("<H", data, at + 20)[0],
            )
        elif name == b"data":
            size = min(length, len(data) - at - 8)
        at += 8 + length + length % 2
    if not rate or not frame or size <= 0:
        raise RuntimeError(f"no valid audio file: {path}")
    return size // frame, rate


class Clip(LomObject):
    """An audio clip in a slot or in the arrangement."""

    _settable = frozenset(
        {
            "name",
            "color",
            "signature_numerator",
            "signature_denominator",
            "warp_mode",
            "pitch_coarse",
            "muted",
        }
    )
    _observable = frozenset({"name", "color", "warping", "looping", "loop_start", "loop_end", "warp_markers"})

    def __init__(self, world: World, parent: Any, path: str, tempo: float, start: float = 0.0) -> None:
        super().__init__(world)
        self._parent, self._start_time = parent, start
        self._samples, self._rate = read_audio(path)
        put = object.__setattr__
        put(self, "file_path", path)
        put(self, "name", Path(path).stem)
        put(self, "color", 0x808080)
        put(self, "signature_numerator", 4)
        put(self, "signature_denominator", 4)
        put(self, "warp_mode", 0)
        put(self, "pitch_coarse", 0)
        put(self, "muted", False)
        self._warping = False
        # Live's guess: not at the first sample, and at half the tempo, as it happens with loops.
        self._real: list[tuple[float, float]] = [(0.011, 0.0)]
        self._guess_bpm = tempo / 2
        self._looping = False
        self._reset_region()

    @property
    def is_audio_clip(self) -> bool:
        return True

    @property
    def is_arrangement_clip(self) -> bool:
        return not hasattr(self._parent, "has_clip")

    @property
    def canonical_parent(self) -> Any:
        return self._parent

    @property
    def available_warp_modes(self) -> list[int]:
        return [0, 1, 2, 3, 4, 6]

    @property
    def sample_length(self) -> int:
        return self._samples

    @property
    def sample_rate(self) -> float:
        return float(self._rate)

    @property
    def start_time(self) -> float:
        return self._start_time

    @property
    def end_time(self) -> float:
        return self._start_time + self._region["loop_end"] - self._region["loop_start"]

    @property
    def length(self) -> float:
        return self._region["loop_end"] - self._region["loop_start"]

    # --- warping ---------------------------------------------------------------------------------

    @property
    def warping(self) -> bool:
        return self._warping

    @warping.setter
    def warping(self, value: bool) -> None:
        def apply() -> None:
            if self._dead or self._warping == value:
                return
            self._warping = value
            self._reset_region()
            self._world.changed(lambda: setattr(self, "_warping", not value))
            self._notify("warping")

        self._world.deferred.append(apply)  # Live applies it after the call

    def _reset_region(self) -> None:
        seconds = self._samples / float(self._rate)
        end = self._beat_at(seconds) if self._warping else seconds
        self._region = {"loop_start": 0.0, "loop_end": end, "start_marker": 0.0, "end_marker": end}
        self._looping = self._looping and self._warping

    @property
    def warp_markers(self) -> list[WarpMarker]:
        seconds, beat = self._real[-1]
        shadow = (seconds + SHADOW_BEATS * 60 / self._last_bpm(), beat + SHADOW_BEATS)
        return [WarpMarker(*marker) for marker in [*self._real, shadow]]

    def _last_bpm(self) -> float:
        if len(self._real) < 2:
            return self._guess_bpm
        (s0, b0), (s1, b1) = self._real[-2:]
        return (b1 - b0) * 60 / (s1 - s0)

    def add_warp_marker(self, marker: Any) -> None:
        if not isinstance(marker, WarpMarker):
            raise TypeError("No registered converter for TWarpMarker from this Python object")
        new = (marker.sample_time, marker.beat_time)
        if new in self._real:
            return
        if new[0] > self._samples / float(self._rate) + 1e-9 or new[0] < 0:
            raise RuntimeError("Warp marker sample time is out of range")
        markers = sorted([*self._real, new])
        for (s0, b0), (s1, b1) in zip(markers, markers[1:]):
            if s1 - s0 < 1e-9 or not 5 <= (b1 - b0) * 60 / (s1 - s0) <= 999:
                raise RuntimeError("Segment length out of range")
        self._set_markers(markers)

    def remove_warp_marker(self, beat: float) -> None:
        if len(self._real) == 1 or not any(b == beat for _, b in self._real):
            raise RuntimeError("The marker can't be removed")
        self._set_markers([marker for marker in self._real if marker[1] != beat])

    def _set_markers(self, markers: list[tuple[float, float]]) -> None:
        if not self._warping:
            raise RuntimeError("The clip is not warped")
        old = self._real
        self._change("warp markers", lambda: setattr(self, "_real", old))
        self._real = markers
        self._notify("warp_markers")

    def _beat_at(self, seconds: float) -> float:
        markers = self._real
        for (s0, b0), (s1, b1) in zip(markers, markers[1:]):
            if seconds <= s1:
                return b0 + (seconds - s0) * (b1 - b0) / (s1 - s0)
        return markers[-1][1] + (seconds - markers[-1][0]) * self._last_bpm() / 60

    def sample_to_beat_time(self, samples: float) -> float:
        if not self._warping:
            raise RuntimeError("The clip is not warped")
        return self._beat_at(samples / float(self._rate))

    def beat_to_sample_time(self, beat: float) -> float:
        if not self._warping:
            raise RuntimeError("The clip is not warped")
        low, high = -60.0, self._samples / float(self._rate) + 60.0
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if self._beat_at(middle) < beat else (low, middle)
        return low * self._rate

    # --- the loop --------------------------------------------------------------------------------

    @property
    def looping(self) -> bool:
        return self._looping

    @looping.setter
    def looping(self, value: bool) -> None:
        if value and not self._warping:
            raise RuntimeError("Only warped clips can be looped")
        old = self._looping
        self._change("looping", lambda: setattr(self, "_looping", old))
        self._looping = value
        self._notify("looping")

    def _set_region(self, name: str, value: float) -> None:
        if not isinstance(value, (int, float)):
            raise TypeError("expected a float")
        if "marker" in name and not self._looping:
            return  # Live ignores it silently
        new = dict(self._region)
        new[name] = float(value)
        kind = "loop_" if name.startswith("loop") else ""
        start, end = ("loop_start", "loop_end") if kind else ("start_marker", "end_marker")
        if new[end] <= new[start]:
            raise RuntimeError(f"Cannot set {name} beyond its counterpart")
        old = self._region
        self._change(name, lambda: setattr(self, "_region", old))
        self._region = new
        self._notify(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("loop_start", "loop_end", "start_marker", "end_marker"):
            self._check(name)
            self._set_region(name, value)
        elif name in ("warping", "looping"):
            self._check(name)
            self._world.refuse_inside_listeners(name)
            object.__setattr__(self, name, bool(value))
        else:
            if name in _TYPES and not isinstance(value, _TYPES[name]):
                raise TypeError(f"{name} = {value!r}: did not match C++ signature")
            super().__setattr__(name, value)


for _name in ("loop_start", "loop_end", "start_marker", "end_marker"):
    setattr(Clip, _name, property(lambda self, name=_name: self._region[name]))

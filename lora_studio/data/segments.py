"""Cuts a file into bar-aligned segments, and drops silent and repeated ones.

Works on lengths, grids and surveys.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from acestep.errors import InvalidRequest
from acestep.hearing.onsets import mono
from acestep.music.grid import Signature
from lora_studio.data.sound import FRAME_S, Floats, Survey

# Chosen by hand; the tests hold them on sounds made by arithmetic.
SILENT_PEAK_DB = -60.0  # no frame below this sounds …
SILENT_BELOW_LOUDEST_DB = 45.0  # … nor one this much below the loudest of its file
MIN_ACTIVE = 0.08  # a segment with less than this part of its frames sounding teaches silence
MIN_SEGMENT_S = 0.5  # a shorter one teaches nothing
LOOP_TOLERANCE_S = 0.03  # around whole bars, for a file to be a loop
SAME_LEVELS_DB = 3.0  # candidates; believed only after the audio itself is compared
SAME_CORRELATION = 0.98  # of the audio itself: two segments that correlate so are one
SLICES = 32  # of a segment whose levels are compared
MAX_COMPARED = 2  # nearest candidates, whose audio is compared
THINNED = 6  # 8 kHz are enough to tell sounds apart, and six times cheaper


@dataclass(frozen=True)
class Segment:
    """A stretch of a file; `bars` is None where no tempo is known."""

    start_s: float
    duration_s: float
    bars: float | None = None


@dataclass(frozen=True)
class Limits:
    """How long segments may be, in seconds."""

    shortest_s: float = MIN_SEGMENT_S
    longest_s: float = 20.0

    def __post_init__(self) -> None:
        if not 0.1 <= self.shortest_s < self.longest_s <= 240:
            raise InvalidRequest(
                f"segments of {self.shortest_s:g}–{self.longest_s:g} s cannot be cut: expected "
                "0.1 ≤ shortest < longest ≤ 240 seconds"
            )


def is_loop(seconds: float, bpm: float, signature: Signature) -> bool:
    """Whether the length is a whole number of bars: then the downbeat is at the first sample."""
    bar_s = signature.quarters_per_bar * 60 / bpm
    bars = round(seconds / bar_s)
    return bars >= 1 and abs(seconds - bars * bar_s) <= LOOP_TOLERANCE_S


def cut(
    seconds: float, bpm: float | None, signature: Signature, downbeat_s: float, limits: Limits
) -> list[Segment]:
    """Bar-aligned segments of a power of two bars where they fit; even pieces where no tempo is known."""
    if bpm is None:
        return _cut_evenly(seconds, limits)
    bar_s = signature.quarters_per_bar * 60 / bpm
    if bar_s > limits.longest_s or seconds - downbeat_s < bar_s - LOOP_TOLERANCE_S:
        return _cut_evenly(seconds, limits)
    longest = int((limits.longest_s + LOOP_TOLERANCE_S) / bar_s)
    total = int((seconds - downbeat_s + LOOP_TOLERANCE_S) / bar_s)
    if total <= longest:
        bars = total
    else:
        bars = 2 ** int(math.log2(longest))
    segments, at = [], 0
    while bars and at < total:
        count = min(bars, total - at)
        duration_s = min(count * bar_s, seconds - downbeat_s - at * bar_s)
        if duration_s >= limits.shortest_s:
            segments.append(Segment(round(downbeat_s + at * bar_s, 6), round(duration_s, 6), float(count)))
        at += count
    return segments


def _cut_evenly(seconds: float, limits: Limits) -> list[Segment]:
    if seconds < limits.shortest_s:
        return []
    count = max(1, math.ceil(seconds / limits.longest_s - 1e-6))
    length = seconds / count
    return [Segment(round(index * length, 6), round(length, 6)) for index in range(count)]


def is_silent(segment: Segment, found: Survey) -> bool:
    """Whether (nearly) nothing sounds in the segment."""
    levels = frames_of(segment, found.levels_db)
    if not len(levels):
        return True
    floor = max(SILENT_PEAK_DB, float(found.levels_db.max()) - SILENT_BELOW_LOUDEST_DB)
    return bool((levels > floor).mean() < MIN_ACTIVE)


def frames_of(segment: Segment, frames: Floats) -> Floats:
    """The frames of a survey that lie in the segment."""
    first = round(segment.start_s / FRAME_S)
    return frames[first : first + max(1, round(segment.duration_s / FRAME_S))]


class Seen:
    """Remembers segments, and says which earlier one a new one repeats.

    Levels over time find candidates; `audio_of` is asked only for those, and the sound decides.
    """

    def __init__(self, audio_of: Callable[[object, Segment], Floats]) -> None:
        self._audio_of = audio_of
        self._by_length: dict[int, _Shelf] = {}

    def find_or_add(self, owner: object, segment: Segment, found: Survey) -> object | None:
        """The owner of an equal segment seen before, or None after remembering this one."""
        print_ = _print(segment, found)
        length = round(segment.duration_s / 0.1)
        for near in (length, length - 1, length + 1):
            for other, other_segment in (
                self._by_length[near].alike(print_) if near in self._by_length else ()
            ):
                if self._sounds_the_same(owner, segment, other, other_segment):
                    return other
        self._by_length.setdefault(length, _Shelf(print_.size)).add(owner, segment, print_)
        return None

    def _sounds_the_same(
        self, owner: object, segment: Segment, other: object, other_segment: Segment
    ) -> bool:
        first = _thinned(self._audio_of(owner, segment))
        second = _thinned(self._audio_of(other, other_segment))
        length = min(len(first), len(second))
        size = 1 << (2 * length - 1).bit_length()
        product = np.fft.rfft(first[:length], size) * np.conj(np.fft.rfft(second[:length], size))
        correlation = np.fft.irfft(product, size)
        shift = 1440 // THINNED  # 30 ms: encoders delay, grids round
        peak = max(float(correlation[: shift + 1].max()), float(correlation[-shift:].max()))
        energy = float(np.sqrt((first[:length] ** 2).sum() * (second[:length] ** 2).sum()))
        return energy > 0 and peak / energy > SAME_CORRELATION


class _Shelf:
    """Segments of about one length with their prints as rows of one array, so that thousands are quick."""

    def __init__(self, width: int) -> None:
        self._entries: list[tuple[object, Segment]] = []
        self._prints = np.empty((16, width), np.float32)
        self._means = np.empty(16, np.float32)

    def add(self, owner: object, segment: Segment, print_: Floats) -> None:
        count = len(self._entries)
        if count == len(self._means):
            self._prints = np.concatenate([self._prints, np.empty_like(self._prints)])
            self._means = np.concatenate([self._means, np.empty_like(self._means)])
        self._prints[count], self._means[count] = print_.ravel(), print_.mean()
        self._entries.append((owner, segment))

    def alike(self, print_: Floats) -> list[tuple[object, Segment]]:
        """The few nearest, nearest first, as far as their levels may be the same."""
        means = self._means[: len(self._entries)]
        near = np.flatnonzero(np.abs(means - print_.mean()) <= SAME_LEVELS_DB)  # no mean differs by more
        distances = np.abs(self._prints[near] - print_.ravel()).mean(axis=1)
        nearest = np.argsort(distances)[:MAX_COMPARED]
        return [self._entries[near[i]] for i in nearest if distances[i] <= SAME_LEVELS_DB]


def _thinned(audio: Floats) -> Floats:
    """Stereo [2, N] at 48 kHz → mono at 8 kHz, by averaging."""
    samples = mono(audio)
    whole: Floats = samples[: len(samples) // THINNED * THINNED].reshape(-1, THINNED).mean(axis=1)
    return whole


def _print(segment: Segment, found: Survey) -> Floats:
    """[SLICES, bands]: mean levels over equal parts of the segment."""
    frames = frames_of(segment, found.bands)
    edges = np.linspace(0, len(frames), SLICES + 1).astype(int)
    parts = [
        frames[start : max(end, start + 1)].mean(axis=0) if start < len(frames) else frames[-1]
        for start, end in itertools.pairwise(edges)
    ]
    return np.stack(parts)

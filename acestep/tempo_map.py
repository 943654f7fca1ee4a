"""Tempi that change over a song, and bringing a clip made at one tempo onto them.

Positions are quarter notes from the map's start; between two points the tempo holds (as MIDI files say) or
rises evenly in quarters (a ramp). Knows nothing of MIDI bytes; `from_midi` asks mido.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acestep.errors import InvalidRequest
from acestep.grid import BPM_RANGE, SAMPLE_RATE_HZ, Grid, Signature

MAX_MIDI_BYTES = 16 << 20
WIDE_BPM = (BPM_RANGE[0] / 4, BPM_RANGE[1] * 4)  # what a map may contain on the way


@dataclass(frozen=True)
class TempoPoint:
    """From `quarters` on the tempo is `bpm`; with `ramp` it moves evenly to the next point's."""

    quarters: float
    bpm: float
    ramp: bool = False


@dataclass(frozen=True)
class TempoMap:
    """Points in order of time, the first at 0."""

    points: tuple[TempoPoint, ...]

    def __post_init__(self) -> None:
        places = [point.quarters for point in self.points]
        if not places or places[0] != 0 or sorted(set(places)) != places:
            raise InvalidRequest("a tempo map needs points in rising order, the first at quarter 0")
        for point in self.points:
            if not math.isfinite(point.bpm) or not WIDE_BPM[0] <= point.bpm <= WIDE_BPM[1]:
                raise InvalidRequest(
                    f"tempo {point.bpm!r} in a tempo map: expected {WIDE_BPM[0]}–{WIDE_BPM[1]}"
                )

    @classmethod
    def constant(cls, bpm: float) -> "TempoMap":
        """One tempo throughout."""
        return cls((TempoPoint(0.0, bpm),))

    @classmethod
    def from_midi(cls, path: str | Path) -> "TempoMap":
        """The set_tempo events of a MIDI file. Raises InvalidRequest for a file that is none."""
        import mido

        file = Path(path)
        try:
            if file.stat().st_size > MAX_MIDI_BYTES:
                raise InvalidRequest(f"{file} is too large for a MIDI file")
            midi = mido.MidiFile(file)
            ticks, found = 0, {0.0: 120.0}
            for message in mido.merge_tracks(midi.tracks):
                ticks += message.time
                if message.type == "set_tempo":
                    found[ticks / midi.ticks_per_beat] = mido.tempo2bpm(message.tempo)
        except (OSError, EOFError, ValueError, KeyError, IndexError, ZeroDivisionError) as error:
            raise InvalidRequest(f"{file} is no MIDI file: {error}") from error
        return cls(tuple(TempoPoint(at, bpm) for at, bpm in sorted(found.items())))

    def bpm_at(self, quarters: float) -> float:
        """The tempo at a position."""
        i = max(0, bisect_right([point.quarters for point in self.points], quarters) - 1)
        point = self.points[i]
        if not point.ramp or i + 1 == len(self.points):
            return point.bpm
        following = self.points[i + 1]
        share = (quarters - point.quarters) / (following.quarters - point.quarters)
        return point.bpm + share * (following.bpm - point.bpm)

    def seconds(self, quarters: float) -> float:
        """Time of a position, from quarter 0."""
        total = 0.0
        for i, point in enumerate(self.points):
            end = self.points[i + 1].quarters if i + 1 < len(self.points) else math.inf
            stop = min(quarters, end)
            if stop > point.quarters or i == 0:
                total += self._span_s(point, i, stop - point.quarters)
            if quarters <= end:
                break
        return total

    def _span_s(self, point: TempoPoint, i: int, length: float) -> float:
        if not point.ramp or i + 1 == len(self.points):
            return length * 60 / point.bpm
        following = self.points[i + 1]
        slope = (following.bpm - point.bpm) / (following.quarters - point.quarters)
        if abs(slope) < 1e-9:
            return length * 60 / point.bpm
        return 60 / slope * math.log((point.bpm + slope * length) / point.bpm)

    def samples(
        self,
        signature: Signature,
        bars: float,
        start_quarters: float = 0.0,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
    ) -> int:
        """Exact length of a clip of `bars` from a position."""
        end = start_quarters + bars * signature.quarters_per_bar
        return round((self.seconds(end) - self.seconds(start_quarters)) * sample_rate_hz)

    def mean_bpm(self, signature: Signature, bars: float, start_quarters: float = 0.0) -> float:
        """The one tempo at which as many bars last as long: what to ask a model for."""
        quarters = bars * signature.quarters_per_bar
        return quarters * 60 / (self.seconds(start_quarters + quarters) - self.seconds(start_quarters))


def follow(
    audio: np.ndarray,
    grid: Grid,
    tempo_map: TempoMap,
    *,
    start_quarters: float = 0.0,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    points: Sequence[float] | None = None,
) -> np.ndarray:
    """A clip that lies on `grid`, warped so that every quarter falls where the map has it; exact in length.

    `points` are the quarters that are placed (default: all of them); between two the stretch is constant.
    """
    from acestep.stretch import warp

    total = grid.bars * grid.signature.quarters_per_bar
    places = np.array(points if points is not None else [*np.arange(0, total - 1e-9, 1.0), total], float)
    source_s = places * 60 / grid.bpm
    start_s = tempo_map.seconds(start_quarters)
    target_s = np.array([tempo_map.seconds(start_quarters + float(at)) - start_s for at in places])
    if np.allclose(source_s, target_s, atol=0.25 / sample_rate_hz):
        return audio
    result = warp(audio, sample_rate_hz, source_s, target_s)
    length = tempo_map.samples(grid.signature, grid.bars, start_quarters, sample_rate_hz)
    missing = length - result.shape[1]
    return np.pad(result, ((0, 0), (0, missing))) if missing > 0 else result[:, :length]

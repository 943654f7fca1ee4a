"""Tempi that change over a song: where every quarter falls, exactly, over steps and ramps.

Positions are quarter notes from the map's start; between two points the tempo holds (as MIDI files say) or
rises evenly in quarters (a ramp).
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from acestep.console.spelling import tempo_points
from acestep.errors import InvalidRequest
from acestep.music.grid import BPM_RANGE, SAMPLE_RATE_HZ, Signature

MAX_POINTS = 10_000
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
        if not places or places[0] != 0 or sorted(set(places)) != places or not math.isfinite(places[-1]):
            raise InvalidRequest("a tempo map needs points in rising order, the first at quarter 0")
        if len(places) > MAX_POINTS:
            raise InvalidRequest(f"a tempo map of {len(places)} points: expected at most {MAX_POINTS}")
        for point in self.points:
            if not math.isfinite(point.bpm) or not WIDE_BPM[0] <= point.bpm <= WIDE_BPM[1]:
                raise InvalidRequest(
                    f"tempo {point.bpm!r} in a tempo map: expected {WIDE_BPM[0]}–{WIDE_BPM[1]}"
                )

    @classmethod
    def parse(cls, value: Any) -> "TempoMap":
        """A map, its points as (quarters, bpm) or (quarters, bpm, ramp), or `"0 100 ramp, 16 120"`.

        Raises InvalidRequest for anything else.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            try:
                value = tempo_points(value)
            except ValueError as error:
                raise InvalidRequest(str(error)) from None
        try:
            points = [(*point, False)[:3] for point in value]
            found = tuple(TempoPoint(float(at), float(bpm), bool(ramp)) for at, bpm, ramp in points)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidRequest(
                f"{value!r:.80} is not a tempo map: expected points like (0, 100, True), (16, 120): quarter, "
                "bpm, and whether the tempo glides to the next point"
            ) from error
        return cls(found)

    def to_list(self) -> list[list[float]]:
        """Plain JSON values; `parse` gives the same map back."""
        return [[point.quarters, point.bpm, point.ramp] for point in self.points]

    def bpm_at(self, quarters: float) -> float:
        """The tempo at a position."""
        i = max(0, bisect_right([point.quarters for point in self.points], quarters) - 1)
        point = self.points[i]
        if not point.ramp or i + 1 == len(self.points):
            return point.bpm
        following = self.points[i + 1]
        share = (quarters - point.quarters) / (following.quarters - point.quarters)
        return point.bpm + share * (following.bpm - point.bpm)

    def since(self, quarters: float) -> "TempoMap":
        """The map from a position on, which becomes its quarter 0."""
        i = max(0, bisect_right([point.quarters for point in self.points], quarters) - 1)
        first = TempoPoint(0.0, self.bpm_at(quarters), self.points[i].ramp)
        later = (TempoPoint(p.quarters - quarters, p.bpm, p.ramp) for p in self.points[i + 1 :])
        return TempoMap((first, *later))

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
        slope = self._slope(point, i)
        if not slope or length < 0:
            return length * 60 / point.bpm
        return 60 / slope * math.log1p(slope * length / point.bpm)

    def quarters(self, seconds: float) -> float:
        """The position of a time, from quarter 0: what `seconds` undoes."""
        at_s = 0.0
        for i, point in enumerate(self.points):
            last = i + 1 == len(self.points)
            length = math.inf if last else self.points[i + 1].quarters - point.quarters
            span_s = math.inf if last else self._span_s(point, i, length)
            if seconds < at_s + span_s:
                return point.quarters + self._length(point, i, seconds - at_s)
            at_s += span_s
        raise AssertionError

    def _slope(self, point: TempoPoint, i: int) -> float:
        """How much the tempo rises per quarter behind a point."""
        if not point.ramp or i + 1 == len(self.points):
            return 0.0
        following = self.points[i + 1]
        slope = (following.bpm - point.bpm) / (following.quarters - point.quarters)
        return slope if abs(slope) > 1e-9 else 0.0

    def _length(self, point: TempoPoint, i: int, seconds: float) -> float:
        slope = self._slope(point, i)
        if not slope or seconds < 0:
            return seconds * point.bpm / 60
        return point.bpm / slope * math.expm1(slope * seconds / 60)

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

"""Where the playhead is, and which bars lie where: plain arithmetic over a clock that is handed in.

Positions are in quarter notes from the song's beginning. Times are seconds of any clock that only goes
forward.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

from acestep.errors import InvalidRequest
from acestep.music.grid import BPM_RANGE, Signature
from acestep.ranges import number

COMMON = Signature(4, 4)
NEAR = 1e-6  # quarters: positions nearer than this are the same
FARTHEST = 1e6  # quarters: weeks of music


@dataclass(frozen=True)
class Playhead:
    """What was last heard of the transport, at `at_s`."""

    quarters: float = 0.0
    bpm: float = 120.0
    playing: bool = False
    at_s: float = 0.0

    def __post_init__(self) -> None:
        number("position", self.quarters, -FARTHEST, FARTHEST, "quarters")
        number("tempo", self.bpm, *BPM_RANGE, "quarter notes per minute")

    def quarters_at(self, now_s: float) -> float:
        """Where it is now, if it goes on."""
        return self.quarters + (now_s - self.at_s) * self.bpm / 60 if self.playing else self.quarters

    def reaches_s(self, quarters: float) -> float:
        """When it is there, if it goes on; the past for what lies behind it."""
        return self.at_s + (quarters - self.quarters) * 60 / self.bpm


@dataclass(frozen=True)
class Slot:
    """Bars that one segment fills: from `start` on, `bars` of them."""

    start: float
    bars: float
    signature: Signature

    @property
    def length(self) -> float:
        """In quarters."""
        return self.bars * self.signature.quarters_per_bar

    @property
    def end(self) -> float:
        """Where the next slot begins."""
        return self.start + self.length


@dataclass
class Layout:
    """Slots side by side over the whole song. What is changed holds from some place on; all before stays, so
    what was heard there can be played again.
    """

    bars: float = 4.0
    signature: Signature = COMMON
    _places: list[tuple[float, float, Signature]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 1 <= self.bars <= 32 or self.bars != int(self.bars):
            raise InvalidRequest(f"segments of {self.bars:g} bars: expected a whole number from 1 to 32")
        self._places = [(0.0, self.bars, self.signature)]

    @property
    def length(self) -> float:
        """Of the slots to come, in quarters."""
        return self.bars * self.signature.quarters_per_bar

    def slot(self, quarters: float) -> Slot:
        """The slot around a position. Before the song's beginning it is the first."""
        index = bisect_right(self._places, quarters + NEAR, key=lambda place: place[0]) - 1
        origin, bars, signature = self._places[max(index, 0)]
        length = bars * signature.quarters_per_bar
        count = max(0, int((quarters - origin + NEAR) // length))
        return Slot(origin + count * length, bars, signature)

    def change(self, at: float, bars: float | None = None, signature: Signature | None = None) -> None:
        """Other lengths from the end of the slot around `at` on."""
        _, own_bars, own_signature = self._places[-1]
        bars, signature = bars or own_bars, signature or own_signature
        Layout(bars, signature)  # checks
        self.bars, self.signature = bars, signature
        start = self.slot(at).end
        self._places = [place for place in self._places if place[0] < start - NEAR] or []
        self._places.append((start, bars, signature))

    def restart(self) -> None:
        """The present lengths everywhere: nothing was heard yet."""
        self._places = [(0.0, self.bars, self.signature)]

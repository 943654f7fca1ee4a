"""Musical time: signature, tempo and bars, and the exact number of samples they last.

Pure arithmetic. bpm counts quarter notes per minute, as every DAW host does; a *beat* is the signature's
denominator note; a bar of n/d lasts n·4/d quarters.
"""

import math
import re
from dataclasses import dataclass

from acestep import ranges
from acestep.errors import InvalidRequest

SAMPLE_RATE_HZ = 48_000

BPM_RANGE = (30.0, 300.0)  # ACE-Step's metadata range (FIELD facts: bpm 30–300)
BARS_RANGE = (0.0625, 512.0)  # from one sixteenth of a bar (a pick-up) to a long song
DURATION_RANGE_S = (0.05, 600.0)  # ACE-Step's longest song is 600 s
MAX_NUMERATOR = 32
DENOMINATORS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Signature:
    """A time signature `numerator/denominator`, for example 7/8."""

    numerator: int = 4
    denominator: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.numerator <= MAX_NUMERATOR or self.denominator not in DENOMINATORS:
            raise InvalidRequest(
                f"time signature {self.numerator}/{self.denominator:.6g} is not possible: expected "
                f"1–{MAX_NUMERATOR} over {', '.join(map(str, DENOMINATORS))}, for example 4/4 or 7/8"
            )

    @classmethod
    def parse(cls, text: object) -> "Signature":
        """`"6/8"` → Signature(6, 8). Raises InvalidRequest for anything else."""
        if isinstance(text, Signature):
            return text
        match = re.fullmatch(r"\s*(\d{1,4})\s*/\s*(\d{1,4})\s*", text) if isinstance(text, str) else None
        if match is None:
            raise InvalidRequest(
                f"time signature {text!r:.40} is not understood: expected N/D, for example 4/4 or 7/8"
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def quarters_per_bar(self) -> float:
        """Length of a bar in quarter notes."""
        return self.numerator * 4 / self.denominator

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"


def bars_in_words(bars: float) -> str:
    """`1 bar`, `4 bars`, `0.5 bars`."""
    return f"{bars:g} bar{'' if bars == 1 else 's'}"


@dataclass(frozen=True)
class Grid:
    """Tempo, time signature and bars: a clip's exact length.

    `bpm` quarter notes per minute; `bars` may be fractional for pick-ups.
    """

    bpm: float = 120.0
    signature: Signature = Signature()
    bars: float = 4.0

    def __post_init__(self) -> None:
        ranges.number("tempo", self.bpm, *BPM_RANGE, "quarter notes per minute")
        ranges.number("bars", self.bars, *BARS_RANGE, "bars")
        if not DURATION_RANGE_S[0] <= self.duration_s <= DURATION_RANGE_S[1]:
            low, high = DURATION_RANGE_S
            asked = f"{bars_in_words(self.bars)} of {self.signature} at {self.bpm:g} bpm"
            raise InvalidRequest(
                f"{asked}: {self.duration_s:.2f} s; expected {low:g}–{high:g} s: "
                f"ask for {'fewer' if self.duration_s > 1 else 'more'} bars"
            )

    @property
    def bar_s(self) -> float:
        """Seconds a bar lasts."""
        return self.signature.quarters_per_bar * 60 / self.bpm

    @property
    def beat_s(self) -> float:
        """Seconds a beat (the denominator's note) lasts."""
        return 4 / self.signature.denominator * 60 / self.bpm

    @property
    def beats(self) -> float:
        """How many beats (denominator's notes) the clip has."""
        return self.bars * self.signature.numerator

    @property
    def duration_s(self) -> float:
        """Seconds the whole grid lasts."""
        return self.bars * self.bar_s

    def samples(self, sample_rate_hz: int = SAMPLE_RATE_HZ) -> int:
        """Exact length in samples: round(bars · n·4/d · 60/bpm · rate)."""
        return round(self.bars * self.signature.quarters_per_bar * 60 / self.bpm * sample_rate_hz)

    def beat_times_s(self) -> list[float]:
        """Time of every beat from 0 up to, not including, the end."""
        return [i * self.beat_s for i in range(math.ceil(self.beats - 1e-9))]

    def bar_times_s(self) -> list[float]:
        """Time of every downbeat from 0 up to, not including, the end."""
        return [i * self.bar_s for i in range(math.ceil(self.bars - 1e-9))]

"""What a clip should be, and how near it comes: the one judgement that sidecars, labels and `inspect` read.

Knows measurements and grids; changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from acestep.errors import InvalidRequest
from acestep.grid import Grid, Signature
from acestep.groove import errors_on, straighten
from acestep.key import Key
from acestep.measure import Measurement, measure
from acestep.tempo_map import TempoMap
from acestep.tonality import OTHER_KEY, SAME_KEY, SAME_NOTES, compare_keys

__all__ = ["OTHER_KEY", "SAME_KEY", "SAME_NOTES", "Aim", "Errors", "errors", "judge"]

TEMPO_TOLERANCE_PCT = 0.5
DOWNBEAT_TOLERANCE_MS = 25.0


@dataclass(frozen=True)
class Aim:
    """What was asked for. `downbeat_s` is where the first bar begins; `on_bar`: see `measure`."""

    grid: Grid
    key: Key | None = None
    tempo_map: TempoMap | None = None
    downbeat_s: float = 0.0
    on_bar: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for the sidecar."""
        return {
            "bpm": self.grid.bpm,
            "signature": str(self.grid.signature),
            "bars": self.grid.bars,
            "key": str(self.key) if self.key else None,
            "tempo_map": self.tempo_map.to_list() if self.tempo_map else None,
            "downbeat_s": self.downbeat_s,
            "on_bar": self.on_bar,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Aim":
        """From `to_dict`'s values. Raises InvalidRequest for others."""
        try:
            return cls(
                Grid(values["bpm"], Signature.parse(values["signature"]), values["bars"]),
                Key.parse(values["key"]) if values["key"] else None,
                TempoMap.parse(values["tempo_map"]) if values["tempo_map"] else None,
                float(values["downbeat_s"]),
                bool(values["on_bar"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequest(f"the sidecar does not say what its clip should be: {error}") from error


@dataclass(frozen=True)
class Errors:
    """How far a clip is from its aim; None: not measurable. An early downbeat is negative."""

    tempo_error_pct: float | None
    downbeat_error_ms: float | None
    key_match: str | None  # same key, same notes, other

    @property
    def within(self) -> bool:
        """Whether nothing that could be measured is out of tolerance."""
        return not self.misses()

    def misses(self) -> list[str]:
        """What is out of tolerance, in words."""
        found = []
        if self.tempo_error_pct is not None and self.tempo_error_pct > TEMPO_TOLERANCE_PCT:
            found.append(
                f"the tempo is off by {self.tempo_error_pct:g} % (at most {TEMPO_TOLERANCE_PCT:g} %)"
            )
        if self.downbeat_error_ms is not None and abs(self.downbeat_error_ms) > DOWNBEAT_TOLERANCE_MS:
            found.append(
                f"the bar begins {abs(self.downbeat_error_ms):g} ms "
                f"{'early' if self.downbeat_error_ms < 0 else 'late'} (at most {DOWNBEAT_TOLERANCE_MS:g} ms)"
            )
        if self.key_match == OTHER_KEY:
            found.append("the notes are of another key")
        return found

    def verdict(self, changed: bool) -> str:
        """good, poor, untouched, or unmeasured: no beat and no key to judge by."""
        if self == Errors(None, None, None):
            return "unmeasured"
        return "poor" if not self.within else "good" if changed else "untouched"


def judge(audio: np.ndarray, sample_rate_hz: int, aim: Aim) -> tuple[Measurement, Errors]:
    """Measures `audio` [C, N] and holds it against `aim`; with a tempo map the errors are against that."""
    measured = measure(audio, sample_rate_hz, grid=aim.grid, key=aim.key, on_bar=aim.on_bar)
    found = errors(measured, aim)
    if aim.tempo_map is None:
        return measured, found
    on_map = errors_on(audio, aim.grid, aim.tempo_map, sample_rate_hz)
    if on_map is None:
        return measured, Errors(None, None, found.key_match)
    straight = straighten(audio, aim.grid, aim.tempo_map, sample_rate_hz)
    bar = errors(measure(straight, sample_rate_hz, grid=aim.grid, key=aim.key, on_bar=aim.on_bar), aim)
    tempo_pct, downbeat_ms = on_map
    if bar.downbeat_error_ms is not None and abs(bar.downbeat_error_ms) > DOWNBEAT_TOLERANCE_MS:
        downbeat_ms = bar.downbeat_error_ms  # the beats lie on the map, but the bar begins on another beat
    return measured, Errors(tempo_pct, downbeat_ms, found.key_match)


def errors(measured: Measurement, aim: Aim) -> Errors:
    """What was measured against `aim` without its tempo map."""
    grid, tempo, downbeat = aim.grid, None, None
    if measured.bpm is not None and measured.downbeat_s is not None:
        tempo = round(abs(measured.bpm / grid.bpm - 1) * 100, 3)
        offset_s = (measured.downbeat_s - aim.downbeat_s + grid.bar_s / 2) % grid.bar_s - grid.bar_s / 2
        downbeat = round(offset_s * 1000, 2)
    match = None if aim.key is None else compare_keys(aim.key, measured.key, measured.pitch_classes)
    return Errors(tempo, downbeat, match)

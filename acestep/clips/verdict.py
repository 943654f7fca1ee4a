"""What a clip should be, and how near it comes: the one judgement behind sidecars, labels and `inspect`.

The clip itself is not changed.
"""

from dataclasses import dataclass, replace

import numpy as np

from acestep.hearing.groove import Attacks, errors_on, straighten
from acestep.hearing.measure import Measurement, measure
from acestep.hearing.tonality import OTHER_KEY, SAME_KEY, SAME_NOTES, compare_keys
from acestep.music.aim import Aim

__all__ = ["OTHER_KEY", "SAME_KEY", "SAME_NOTES", "Aim", "Errors", "errors", "judge"]

# What is called good. Chosen by hand; `python -m tests.benchmarks.fit` measures how many clips keep both.
TEMPO_TOLERANCE_PCT = 0.5
DOWNBEAT_TOLERANCE_MS = 25.0
SURE_TEMPO = 0.5  # a part's own tempo is held against it only where it is heard surely


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

    def verdict(self, changed: bool, given: bool = False) -> str:
        """good, poor, untouched; unmeasured: no beat and no key to judge by; unsure: a part with nothing out
        of tolerance whose place on its context's beats cannot be told."""
        if not self.within:
            return "poor"
        if given and self.downbeat_error_ms is None:
            return "unsure"
        if self == Errors(None, None, None):
            return "unmeasured"
        return "good" if changed else "untouched"


def judge(audio: np.ndarray, sample_rate_hz: int, aim: Aim) -> tuple[Measurement, Errors]:
    """Measures `audio` [C, N] and holds it against `aim`; with a tempo map the errors are against that."""
    measured = measure(audio, sample_rate_hz, grid=aim.grid, key=aim.key, on_bar=aim.on_bar)
    if aim.given:
        return _judge_part(audio, sample_rate_hz, aim, measured)
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


def _judge_part(
    audio: np.ndarray, sample_rate_hz: int, aim: Aim, measured: Measurement
) -> tuple[Measurement, Errors]:
    """A part against the beats of its context; what was measured, with the swing by those beats."""
    grid, tempo_map = aim.grid, aim.tempo_map
    straight = audio if tempo_map is None else straighten(audio, grid, tempo_map, sample_rate_hz)
    attacks = Attacks.of(straight, sample_rate_hz)
    late_s, tempo = attacks.lateness_s(grid, aim.downbeat_s), None
    sure = tempo_map is None and measured.tempo_confidence >= SURE_TEMPO and measured.steady
    if late_s is not None:
        tempo = round(abs(measured.bpm / grid.bpm - 1) * 100, 3) if sure and measured.bpm else None
        if not _on_beat(measured, aim):  # the ear took off-beats for beats
            measured = replace(measured, swing=attacks.swing(grid, aim.downbeat_s + late_s))
    else:
        measured = replace(measured, swing=None)  # which beat an off-beat belongs to cannot be told
    downbeat = None if late_s is None else round(1000 * late_s, 2)
    match = None if aim.key is None else compare_keys(aim.key, measured.key, measured.pitch_classes)
    return measured, Errors(tempo, downbeat, match)


def _on_beat(measured: Measurement, aim: Aim) -> bool:
    """Whether the beats that were heard are those of the aim."""
    quarter_s = 60 / aim.grid.bpm
    off_s = ((measured.downbeat_s or 0.0) - aim.downbeat_s + quarter_s / 2) % quarter_s - quarter_s / 2
    return measured.downbeat_s is not None and abs(off_s) < 0.1 * quarter_s


def errors(measured: Measurement, aim: Aim) -> Errors:
    """What was measured against `aim` without its tempo map."""
    grid, tempo, downbeat = aim.grid, None, None
    if measured.bpm is not None and measured.downbeat_s is not None:
        tempo = round(abs(measured.bpm / grid.bpm - 1) * 100, 3)
        offset_s = (measured.downbeat_s - aim.downbeat_s + grid.bar_s / 2) % grid.bar_s - grid.bar_s / 2
        downbeat = round(offset_s * 1000, 2)
    match = None if aim.key is None else compare_keys(aim.key, measured.key, measured.pitch_classes)
    return Errors(tempo, downbeat, match)

"""Bringing a clip to its grid and key with the smallest change, and saying how well that went.

Measures, changes only what is off, cuts to the exact length, measures again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acestep.clips.verdict import SURE_TEMPO, judge
from acestep.hearing import groove
from acestep.hearing.attack import LATEST_S, freed, loop_attack
from acestep.hearing.groove import BEATS_S, Attacks
from acestep.hearing.measure import Measurement
from acestep.hearing.onsets import mono, onset_curve, pick_onsets
from acestep.hearing.singles import Single
from acestep.music.aim import Aim
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.sound.audio import repair
from acestep.sound.limiter import Level
from acestep.sound.loudness import seam_error
from acestep.sound.seam import cut_loop, smooth_seam, start_moved
from acestep.sound.stretch import ATTACK_S, TRANSPOSED_ATTACK_S, paste_attacks, stretch, warp

# Chosen by hand where nothing else is said; `python -m tests.benchmarks.fit` prints what comes of them:
# beat error, key, seam and sharpness of loops whose truth is known.
IN_PLACE_S = 0.010  # a start nearer than this to where it belongs is left alone: attacks are heard no finer …
IN_PLACE_LED_S = 0.002  # … where something leads into it, moving it costs nothing
BODY_IN_PLACE_S = 0.003  # and this near by the starts of its attacks, which are told more finely
BEGINS_S = 0.005  # a part's first attack is placed where a sixteenth of its context lies so near to its start
BETTER = 0.1  # in agreement of the attacks: a part is stretched only for that
STEADY_S = 0.012  # … and so is a tempo that is off by no more than this over the whole clip
WHOLE_LOOP = 0.006  # a file this near (relative) to whole bars is taken to be a loop
MIN_TEMPO_CONFIDENCE = 0.08  # below, a tempo is no ground to change anything
MIN_DOWNBEAT_CONFIDENCE = 0.5  # likelier than not
TUNING_TOLERANCE_CENTS = 15.0  # a tuning nearer to A = 440 Hz than this is left as it is
KEY_MARGIN = 1.5  # another key must be this much likelier (logarithm) before anything is transposed …
FIFTH_MARGIN = 4.0  # … and this much when it is a fifth away: such keys share six of seven tones
CLICK = 1.0  # of `seam_error`: as much movement as the loop's own
CLICK_TO_TOUCH = 2.0  # what is in place is left alone unless its seam really clicks
MAX_STRETCH = 1.35  # what needs more is left as it is: stretching is heard then
HIGH_BANDS = 5  # from 1.6 kHz up
PLACINGS = 3  # a soft attack is read better once it is near its place; each looks again
PLACED_S = 0.0005  # behind the first sample: where a clip's first attack is put
STRUCK = 0.15  # rise there that only percussion has, relative to the strongest onsets


Levelling = Callable[[np.ndarray], tuple[np.ndarray, Level]]


@dataclass(frozen=True)
class Hints:
    """What is known about how audio was made: `on_bar` (see `measure`), what leads into it [C, n] when it is
    played as a loop, and whether its beats are `given` by other music (see `Aim`).
    """

    on_bar: bool = False
    lead: np.ndarray | None = None
    given: bool = False


@dataclass(frozen=True)
class Fit:
    """A fitted clip [C, N], N exactly the grid's, with what was measured before and after."""

    audio: np.ndarray
    verdict: str  # good, poor, untouched, unsure, unmeasured (see `Errors.verdict`), off, single
    before: Measurement
    after: Measurement
    changes: tuple[str, ...]
    tempo_error_pct: float | None
    downbeat_error_ms: float | None  # negative is early
    key_match: str | None  # same key, same notes, other
    level: Level | None = None
    hit: Single | None = None  # what a one-shot is

    def turned(self, gain_db: float) -> "Fit":
        """The clip at another level, with all that is said of its level."""
        if gain_db == 0:
            return self
        level, after = self.level or Level(0.0, 0.0, None), self.after
        lufs, peak_db = (None if at is None else at + gain_db for at in (after.lufs, after.true_peak_db))
        return replace(
            self,
            audio=self.audio * np.float32(10 ** (gain_db / 20)),
            level=replace(level, gain_db=level.gain_db + gain_db),
            after=replace(after, lufs=lufs, true_peak_db=peak_db),
        )

    def to_dict(self) -> dict[str, Any]:
        """For the sidecar: verdict, errors, changes and both measurements."""
        return {
            "fit": self.verdict,
            "changes": list(self.changes),
            "tempo_error_pct": self.tempo_error_pct,
            "downbeat_error_ms": self.downbeat_error_ms,
            "key_match": self.key_match,
            "level": self.level.to_dict() if self.level else None,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
        }


@dataclass(frozen=True)
class Correction:
    """What has to change: `factor` is new length over old, `shift_s` the first bar's start in the source."""

    factor: float = 1.0
    shift_s: float = 0.0
    semitones: float = 0.0
    whole_loop: bool = False
    drifts: bool = False

    @property
    def nothing(self) -> bool:
        return self.factor == 1 and self.shift_s == 0 and self.semitones == 0 and not self.drifts


def fit(
    audio: np.ndarray,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    grid: Grid | None = None,
    key: Key | None = None,
    *,
    change: bool = True,
    downbeat_s: float | None = None,
    hints: Hints | None = None,
    level: Levelling | None = None,
) -> Fit:
    """`audio` [C, N] brought to `grid` and `key`; with `change=False` only measured and cut to length.

    `downbeat_s` says where the first bar begins in the clip when that is not its start. A part whose beats
    are given is moved by less than half a sixteenth, and never rotated. `level` is applied before the result
    is measured.
    """
    grid, hints = grid or Grid(), hints or Hints()
    audio, _ = repair(np.atleast_2d(audio).astype(np.float32, copy=False))
    aim = Aim(grid, key, None, downbeat_s or 0.0, hints.on_bar, hints.given)
    before, found = judge(audio, sample_rate_hz, aim)
    plan = Correction()
    if change and hints.given:
        plan = plan_part(before, Attacks.of(audio, sample_rate_hz), aim)
    elif change:
        in_place_s = IN_PLACE_S if hints.lead is None else IN_PLACE_LED_S
        plan = plan_fit(before, grid, key, downbeat_s, in_place_s)
    length = grid.samples(sample_rate_hz)
    if not change and audio.shape[1] > length:  # nothing rings on into a beginning that stays as it is
        audio = audio[:, :length]
    result, changes = _carry_out(audio, hints.lead if change else None, sample_rate_hz, grid, before, plan)
    if change:
        bent = bool(changes) or audio.shape[1] != result.shape[1]
        if seam_error(result, sample_rate_hz) > (CLICK if bent else CLICK_TO_TOUCH):
            result = smooth_seam(result, sample_rate_hz)
            changes += [] if bent else ["loop seam smoothed"]
        result, notes = _placed(result, sample_rate_hz, aim)
        changes += notes
    result, levelled = level(result) if level else (result, None)
    # A peak that is held back stands less far above its start.
    if change and levelled and levelled.limited_db:
        result, _ = _placed(result, sample_rate_hz, aim)
    if changes and seam_error(result, sample_rate_hz) > CLICK:
        result = smooth_seam(result, sample_rate_hz)
    if result is not audio:
        after, found = judge(result, sample_rate_hz, aim)
    else:
        after = before
    verdict = found.verdict(bool(changes), aim.given) if change else "off"
    return Fit(result, verdict, before, after, tuple(changes), **vars(found), level=levelled)


def moved(
    result: Fit,
    aim: Aim,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    swing: float | None = None,
    level: Levelling | None = None,
) -> Fit:
    """A fitted clip brought into a swing and onto the aim's tempo map, and measured there; itself if there is
    nothing to move. With a map the errors are those against the map."""
    audio, changes = result.audio, list(result.changes)
    heard = result.after.swing
    if swing is not None and heard is not None:
        audio = groove.swing(audio, aim.grid, heard, swing, aim.downbeat_s, sample_rate_hz)
        if audio is not result.audio:
            changes.append(f"off-beats moved from a swing of {heard:.2f} to {swing:.2f}")
    straight = audio
    if aim.tempo_map is not None:
        audio = groove.follow(audio, aim.grid, aim.tempo_map, sample_rate_hz)
        if audio is not straight:
            changes.append("moved onto the tempo map")
    if audio is result.audio:
        return result
    audio, notes = _attack_placed(audio, sample_rate_hz, aim)
    changes += notes
    audio, levelled = level(audio) if level else (audio, None)
    if levelled and levelled.limited_db:
        audio, _ = _attack_placed(audio, sample_rate_hz, aim)
    after, found = judge(audio, sample_rate_hz, aim)
    verdict = found.verdict(True, aim.given)
    return Fit(audio, verdict, result.before, after, tuple(changes), **vars(found), level=levelled)


def plan_fit(
    before: Measurement,
    grid: Grid,
    key: Key | None,
    downbeat_s: float | None = None,
    in_place_s: float = IN_PLACE_S,
) -> Correction:
    """The smallest change that puts what was measured onto the grid and into the key."""
    semitones = transposition(before, key)
    if before.bpm is None or before.tempo_confidence < MIN_TEMPO_CONFIDENCE or before.downbeat_s is None:
        return Correction(semitones=semitones)
    factor = before.bpm / grid.bpm
    bars = before.duration_s * before.bpm / 60 / grid.signature.quarters_per_bar
    whole = downbeat_s is None and round(bars / grid.bars) == 1 and abs(bars / grid.bars - 1) < WHOLE_LOOP
    if whole:
        factor = grid.duration_s / before.duration_s
    shift_s = before.downbeat_s
    beat_s = grid.beat_s / factor
    if downbeat_s is not None or before.downbeat_confidence < MIN_DOWNBEAT_CONFIDENCE:
        shift_s -= (downbeat_s or 0.0) / factor
        shift_s = (shift_s + beat_s / 2) % beat_s - beat_s / 2
    off_s = abs(factor - 1) * grid.duration_s
    if off_s < STEADY_S and before.steady:
        factor = 1.0
    untouched = factor == 1 and before.steady and not semitones
    if untouched and abs(shift_s) < in_place_s:
        shift_s = 0.0
    if not 1 / MAX_STRETCH < factor < MAX_STRETCH:
        return Correction(semitones=semitones)
    return Correction(factor, shift_s, semitones, whole, not before.steady)


def plan_part(before: Measurement, attacks: Attacks, aim: Aim) -> Correction:
    """The smallest change that puts a part's attacks onto the beats of its context, and the part into the
    key.

    It is never moved to another sixteenth: a lone part does not tell which beat begins its bar.
    """
    grid, factor = aim.grid, 1.0
    if before.bpm is not None and before.tempo_confidence >= SURE_TEMPO and before.steady:
        factor = before.bpm / grid.bpm
    better = attacks.agreement(grid, factor) > attacks.agreement(grid) + BETTER
    if (
        abs(factor - 1) * grid.duration_s < STEADY_S
        or not 1 / MAX_STRETCH < factor < MAX_STRETCH
        or not better
    ):
        factor = 1.0
    late_s = replace(attacks, starts_s=attacks.starts_s * factor).lateness_s(grid, aim.downbeat_s) or 0.0
    if abs(late_s) < BODY_IN_PLACE_S:
        late_s = 0.0
    return Correction(factor, late_s / factor, transposition(before, aim.key))


def transposition(before: Measurement, key: Key | None) -> float:
    """Semitones, with tuning, that bring what was measured into `key` by the shortest way; 0 for drums."""
    if key is None or before.key is None or not before.key_scores:
        return 0.0
    scores = np.array(before.key_scores)
    row = 0 if key.mode == "major" else 12
    wanted = {step: scores[row + (key.tonic - step) % 12] for step in range(-6, 7)}
    step = max(wanted, key=lambda s: (wanted[s] - 0.002 * abs(s), -abs(s)))
    if wanted[step] < wanted[0] + (FIFTH_MARGIN if abs(step) == 5 else KEY_MARGIN):
        step = 0
    cents = before.tuning_cents or 0.0
    return step - (cents / 100 if abs(cents) > TUNING_TOLERANCE_CENTS else 0.0)


def _placed(audio: np.ndarray, sample_rate_hz: int, aim: Aim) -> tuple[np.ndarray, list[str]]:
    """The loop with its attacks on the beat and the first of them on its first samples; what was done."""
    audio, turned = _body_placed(audio, sample_rate_hz, aim)
    audio, placed = _attack_placed(audio, sample_rate_hz, aim)
    return audio, turned + placed


def _body_placed(audio: np.ndarray, sample_rate_hz: int, aim: Aim) -> tuple[np.ndarray, list[str]]:
    """The loop turned by how far its attacks are off the beat, so that the first hit keeps its distance to
    the rest.
    """
    attacks = Attacks.of(audio, sample_rate_hz)
    place = attacks.lateness_s if aim.given else attacks.beats_late_s
    late_s = place(aim.grid, aim.downbeat_s)
    if late_s is None or not BODY_IN_PLACE_S <= abs(late_s) <= BEATS_S:
        return audio, []
    turned = np.roll(audio, -round(late_s * sample_rate_hz), axis=1)
    return turned, [f"all attacks moved by {-late_s * 1000:+.1f} ms"]


def _attack_placed(audio: np.ndarray, sample_rate_hz: int, aim: Aim) -> tuple[np.ndarray, list[str]]:
    """The loop with its first attack on its first samples, and nothing of it at its end.

    Unchanged if it is a part and no sixteenth of its context lies there.
    """
    step_s = 15 / aim.grid.bpm
    if abs((aim.downbeat_s + step_s / 2) % step_s - step_s / 2) > BEGINS_S:
        return audio, []
    moved_s = 0.0
    for _ in range(PLACINGS):  # a soft attack's start is read better once it is near its place
        start_s = loop_attack(audio, sample_rate_hz)
        if start_s is None or -PLACED_S <= start_s <= LATEST_S:
            break
        audio = start_moved(audio, round((start_s - PLACED_S) * sample_rate_hz), sample_rate_hz)
        moved_s -= start_s - PLACED_S
    changes = [f"first attack moved by {moved_s * 1000:+.1f} ms"] if moved_s else []
    return freed(audio, sample_rate_hz), changes


def _carry_out(
    audio: np.ndarray,
    lead: np.ndarray | None,
    sample_rate_hz: int,
    grid: Grid,
    before: Measurement,
    plan: Correction,
) -> tuple[np.ndarray, list[str]]:
    """The changed clip, exactly as long as the grid, and what was done in words."""
    length = grid.samples(sample_rate_hz)
    changes: list[str] = []
    lead_s = 0.0
    if lead is not None:
        audio, lead_s = np.concatenate([lead, audio], axis=1), lead.shape[1] / sample_rate_hz
    if plan.semitones:
        changes.append(f"moved by {plan.semitones:+.2f} semitones")
    if plan.drifts:
        audio, start = _straightened(audio, lead_s, sample_rate_hz, grid, before, plan)
        changes.append("beats straightened")
    else:
        start = round((lead_s + plan.shift_s) * plan.factor * sample_rate_hz)
        if plan.factor != 1 or plan.semitones:
            audio = _stretched(audio, sample_rate_hz, plan)
        if abs(plan.factor - 1) > 1e-9:
            changes.append(f"stretched by {(plan.factor - 1) * 100:+.2f} %")
    if abs(plan.shift_s) > 0.001 and not plan.drifts:
        changes.append(f"downbeat moved by {-plan.shift_s * 1000:+.1f} ms")
    if start == 0 and audio.shape[1] == length:
        return audio, changes
    if plan.whole_loop and lead is None:
        audio = _exact(audio, length)
        return np.roll(audio, -start, axis=1), changes
    clip = cut_loop(audio, start, length, sample_rate_hz)
    if not changes and audio.shape[1] != length:
        changes.append(f"cut from {audio.shape[1]} to {length} samples")
    return clip, changes


def _stretched(audio: np.ndarray, sample_rate_hz: int, plan: Correction) -> np.ndarray:
    result = stretch(audio, sample_rate_hz, plan.factor, plan.semitones, loop=plan.whole_loop)
    onsets = pick_onsets(onset_curve(mono(audio), sample_rate_hz))
    if plan.semitones:
        struck = onsets.bands[HIGH_BANDS:].sum(axis=0) > STRUCK
        times, attack_s = onsets.times_s[struck], TRANSPOSED_ATTACK_S
    else:
        times, attack_s = onsets.times_s, ATTACK_S
    return paste_attacks(result, audio, times * plan.factor, times, sample_rate_hz, attack_s)


def _straightened(
    audio: np.ndarray, lead_s: float, sample_rate_hz: int, grid: Grid, before: Measurement, plan: Correction
) -> tuple[np.ndarray, int]:
    """Every beat put where the grid has it, and where the first bar starts then."""
    beats = np.array(before.beats_s) + lead_s
    quarter_s = 60 / grid.bpm
    first = int(np.argmin(np.abs(beats - lead_s - plan.shift_s)))
    targets = (np.arange(len(beats)) - first) * quarter_s
    end_s = audio.shape[1] / sample_rate_hz
    step = np.median(np.diff(beats))
    source = np.concatenate([[0.0], beats[(beats > 0.02) & (beats < end_s - 0.02)], [end_s]])
    inner = targets[(beats > 0.02) & (beats < end_s - 0.02)]
    lead = (source[1] - 0.0) / step * quarter_s
    tail = (end_s - source[-2]) / step * quarter_s
    target = np.concatenate([[inner[0] - lead], inner, [inner[-1] + tail]])
    result = warp(audio, sample_rate_hz, source, target, plan.semitones)
    return result, round(-target[0] * sample_rate_hz)


def _exact(audio: np.ndarray, length: int) -> np.ndarray:
    missing = length - audio.shape[1]
    return np.pad(audio, ((0, 0), (0, missing)), mode="wrap") if missing > 0 else audio[:, :length]


def warm_up() -> None:
    """Loads every library a measurement needs, so that the first clip is as fast as the next."""
    fade = np.linspace(0.3, 0, 1200, dtype=np.float32)
    hit = np.random.default_rng(0).standard_normal((2, 1200)).astype(np.float32) * fade
    loop = np.pad(hit, ((0, 0), (0, 22_800)))
    fit(np.tile(loop, 8), SAMPLE_RATE_HZ, Grid(118.0, bars=2))

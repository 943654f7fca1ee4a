"""Moving the beats of a clip from a straight grid onto a tempo map or into a swing, and back.

The caller decides which map or swing a clip gets. Audio is [C, N] float32. A swing is the ratio of the long
to the short eighth: 1 straight, 2 triplets.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from acestep.hearing.attack import attack_start, levels
from acestep.hearing.beats import find_swing
from acestep.hearing.onsets import mono, onset_curve, pick_onsets
from acestep.hearing.tempo import refine_tempo
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.tempo_map import TempoMap
from acestep.sound.loudness import seam_error
from acestep.sound.seam import smooth_seam
from acestep.sound.stretch import ATTACK_S, paste_attacks, warp

# Chosen by hand, except for BY_CHANCE; the tests of groove play swings and maps that are known.
AUDIBLE_S = 0.006  # off-beats that would move by less are left alone
EDGE_S = 0.015  # beats nearer to the clip's ends than this are not moved by themselves
CLICK = 1.0  # of `seam_error`: as much movement as the loop's own
BEAT_SHARE = 0.2  # of a quarter: onsets this near to one are on it, whatever the swing
MARGIN_S = 0.3  # on both sides, so that the ends are stretched like the rest
STEPS = (1 / 4, 1 / 3)  # of a quarter: what attacks may lie on
BEATS_S = 0.05  # as far from a quarter an attack may be meant for it …
BEATS_SHARE = 0.1  # … and no farther than this much of one
AGREEING_S = 0.012  # half of the attacks on quarters lie closer together than this
MIN_ATTACKS = 4  # fewer tell nothing of a groove
MIN_AGREEMENT = 0.5  # length of the mean of all directions, each attack a place on a circle of one step
BY_CHANCE = 3.0  # attacks · agreement²: what is below may be chance in one case of twenty


def follow(
    audio: np.ndarray, grid: Grid, tempo_map: TempoMap, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> np.ndarray:
    """A loop on `grid`, warped so that every eighth falls where the map has it; the map's exact length."""
    straight = _eighths(grid)
    target_s = _on_map(straight, grid, tempo_map)
    if np.allclose(straight, target_s, atol=0.25 / sample_rate_hz):
        return audio
    length = tempo_map.samples(grid.signature, grid.bars, sample_rate_hz=sample_rate_hz)
    return _moved(audio, straight, target_s, length, sample_rate_hz)


def straighten(
    audio: np.ndarray, grid: Grid, tempo_map: TempoMap, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> np.ndarray:
    """Music that follows the map, warped onto the straight grid: what `follow` undoes. Not a loop."""
    end = tempo_map.quarters(audio.shape[1] / sample_rate_hz)
    straight = np.append(np.arange(0, end - 0.1, 0.5), end) * 60 / grid.bpm
    source_s = _on_map(straight, grid, tempo_map)
    return warp(audio, sample_rate_hz, source_s, straight)


def swing(
    audio: np.ndarray,
    grid: Grid,
    heard: float,
    wanted: float,
    downbeat_s: float = 0.0,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> np.ndarray:
    """A loop whose off-beat eighths swing as `heard`, moved to swing as `wanted`; the beats stay.

    The same array when nobody would hear a difference. `downbeat_s` is where a bar begins in the loop.
    """
    quarter_s = 60 / grid.bpm
    source, target = (quarter_s * ratio / (1 + ratio) for ratio in (heard, wanted))
    if abs(source - target) < AUDIBLE_S:
        return audio
    beats = downbeat_s % quarter_s + quarter_s * np.arange(-1, np.ceil(grid.duration_s / quarter_s))
    end_s = audio.shape[1] / sample_rate_hz
    pairs = np.concatenate([[beats, beats], [beats + source, beats + target]], axis=1)
    pairs = pairs[:, np.argsort(pairs[0])]
    inside = np.all((pairs > EDGE_S) & (pairs < end_s - EDGE_S), axis=0)
    pairs = np.concatenate([[[0.0], [0.0]], pairs[:, inside], [[end_s], [end_s]]], axis=1)
    return _moved(audio, pairs[0], pairs[1], audio.shape[1], sample_rate_hz)


@dataclass(frozen=True)
class Attacks:
    """Where a clip's attacks begin, in seconds, and how strong each is."""

    starts_s: np.ndarray
    strengths: np.ndarray

    @classmethod
    def of(cls, audio: np.ndarray, sample_rate_hz: int = SAMPLE_RATE_HZ) -> "Attacks":
        """The clear attacks of `audio` [C, N]."""
        samples = mono(audio)
        onsets = pick_onsets(onset_curve(samples, sample_rate_hz))
        level_db = levels(samples[None], sample_rate_hz, crisp=True)
        starts = [attack_start(level_db, float(at)) for at in onsets.times_s]
        clear = np.array([start is not None for start in starts], bool)
        return cls(np.array([start for start in starts if start is not None]), onsets.strengths[clear])

    def lateness_s(self, grid: Grid, downbeat_s: float = 0.0) -> float | None:
        """How far the attacks lie behind the places of a grid that is given (median; early is negative).

        By the quarters, where enough agree there, for what lies between them may swing; else by its steps.
        None where they lie on neither, so that nobody can tell. Which beat is which is never asked.
        """
        quarter_s = 60 / grid.bpm
        on_beats_s = self.beats_late_s(grid, downbeat_s)
        if on_beats_s is not None or len(self.starts_s) < MIN_ATTACKS:
            return on_beats_s
        for step_s in (share * quarter_s for share in STEPS):
            mean_s, agreement = self._mean(downbeat_s, step_s)
            if agreement < MIN_AGREEMENT or len(self.starts_s) * agreement**2 < BY_CHANCE:
                continue
            away = (self.starts_s - downbeat_s - mean_s + step_s / 2) % step_s - step_s / 2
            found = mean_s + _middle(away, self.strengths)[1]
            return (found + step_s / 2) % step_s - step_s / 2
        return None

    def beats_late_s(self, grid: Grid, downbeat_s: float = 0.0) -> float | None:
        """How far the attacks on quarters lie behind them (median); None if few, or without agreement."""
        quarter_s = 60 / grid.bpm
        away = (self.starts_s - downbeat_s + quarter_s / 2) % quarter_s - quarter_s / 2
        near = np.abs(away) < min(BEATS_S, BEATS_SHARE * quarter_s)
        if near.sum() < MIN_ATTACKS:
            return None
        lowest, middle, highest = _middle(away[near], self.strengths[near])
        return middle if highest - lowest < AGREEING_S else None

    def agreement(self, grid: Grid, factor: float = 1.0) -> float:
        """0–1: how well the attacks, every time multiplied by `factor`, lie on one ruler of sixteenths."""
        return replace(self, starts_s=self.starts_s * factor)._mean(0.0, STEPS[0] * 60 / grid.bpm)[1]

    def swing(self, grid: Grid, downbeat_s: float = 0.0) -> float | None:
        """The swing by a grid that is given; None without off-beats."""
        return find_swing(self.starts_s, self.strengths, downbeat_s, 60 / grid.bpm)

    def _mean(self, downbeat_s: float, step_s: float) -> tuple[float, float]:
        """The mean place within a step, and how well the attacks agree on it, 0–1."""
        if not len(self.starts_s):
            return 0.0, 0.0
        turns = np.exp(2j * np.pi * (self.starts_s - downbeat_s) / step_s)
        mean = complex(np.average(turns, weights=self.strengths))
        return float(np.angle(mean)) / (2 * np.pi) * step_s, abs(mean)


def _middle(values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """The quartiles and, between them, the median."""
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    lowest, middle, highest = values[order][np.searchsorted(sums, np.array([0.25, 0.5, 0.75]) * sums[-1])]
    return float(lowest), float(middle), float(highest)


def errors_on(
    audio: np.ndarray, grid: Grid, tempo_map: TempoMap, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> tuple[float, float] | None:
    """How far a clip is from its map: mean tempo in %, median distance of the beats in ms, negative when most
    are early.

    None when none is heard.
    The onsets' times are read through the map: where it is followed, they lie on the straight grid.
    """
    onsets = pick_onsets(onset_curve(mono(audio), sample_rate_hz))
    if len(onsets.times_s) < 4:
        return None
    quarters = np.array([tempo_map.quarters(at) for at in onsets.times_s])
    bpm = refine_tempo(replace(onsets, times_s=quarters * 60 / grid.bpm), grid.bpm)
    away = quarters - np.rint(quarters)
    near = np.abs(away) < BEAT_SHARE
    if near.sum() < 4:
        return None
    far = np.abs(away[near])
    order = np.argsort(far)
    sums = np.cumsum(onsets.strengths[near][order])
    beat = float(far[order][np.searchsorted(sums, sums[-1] / 2)])
    early = float(np.average(away[near], weights=onsets.strengths[near])) < 0
    beat = -beat if early else beat
    return round(abs(bpm / grid.bpm - 1) * 100, 3), round(beat * 60_000 / grid.bpm, 2)


def _eighths(grid: Grid) -> np.ndarray:
    quarters = grid.bars * grid.signature.quarters_per_bar
    return np.append(np.arange(0, quarters - 0.1, 0.5), quarters) * 60 / grid.bpm


def _on_map(straight_s: np.ndarray, grid: Grid, tempo_map: TempoMap) -> np.ndarray:
    place: Callable[[float], float] = tempo_map.seconds
    return np.array([place(float(at) * grid.bpm / 60) for at in straight_s])


def _moved(
    audio: np.ndarray, source_s: np.ndarray, target_s: np.ndarray, length: int, sample_rate_hz: int
) -> np.ndarray:
    """A loop warped from `source_s` to `target_s` (both from 0 to its end), with its attacks kept."""
    margin = min(round(MARGIN_S * sample_rate_hz), audio.shape[1] - 1)
    # before the start its own end; behind the end no new attack, which would be smeared into it
    around = np.pad(np.pad(audio, ((0, 0), (margin, 0)), mode="wrap"), ((0, 0), (0, margin)), mode="reflect")
    result = warp(around, sample_rate_hz, source_s + margin / sample_rate_hz, target_s)
    missing = length - result.shape[1]
    result = np.pad(result, ((0, 0), (0, missing))) if missing > 0 else result[:, :length]
    onsets = pick_onsets(onset_curve(mono(audio), sample_rate_hz)).times_s
    at_s = np.interp(onsets, source_s, target_s)
    result = paste_attacks(result, audio, at_s, onsets, sample_rate_hz, ATTACK_S)
    return smooth_seam(result, sample_rate_hz) if seam_error(result, sample_rate_hz) > CLICK else result

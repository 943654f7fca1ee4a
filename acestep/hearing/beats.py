"""Beats and bars: where the beat falls, which beat begins the bar, whether the tempo holds, and swing.

Needs a tempo. A bar is folded into slots of a sixteenth note.
"""

from dataclasses import dataclass

import numpy as np

from acestep.hearing.attack import attack_start
from acestep.hearing.evidence import chances, weights
from acestep.hearing.onsets import CURVE_RATE_HZ, OnsetCurve, Onsets
from acestep.music.grid import Signature

# Chosen by hand where nothing else is said; `python -m tests.benchmarks.fit` prints what comes of them
# of beats and bars. What speaks for a bar is learned (`evidence`).
STEADY_S = 0.012  # beats that stay this close to a ruler are steady
SWING_RANGE = (0.44, 0.74)  # where an off-beat eighth may lie within its beat
NEAR_S = 0.035  # an onset this near to a beat is on it
WIDE_S = 0.05  # soft attacks are heard up to this late
START_S = 0.010  # a start this near to a sixteenth is one (standard deviation)
WHOLE = 0.003  # a piece whose length is this near (relative) to whole bars is a loop
MOST_PHASES = 3  # of sixteenths that are looked at
MIN_DENSITY = 0.3  # of the densest phase: where fewer onsets fall is none
ON_BAR = 2.0  # log odds for a clip made to begin with a bar; with more, a late beat goes unheard
MIN_ATTACKS = 4  # fewer tell no phase
AGREEING_S = 0.006  # half of the attacks lie within this: hits do, notes that swell or overlap do not
TIGHTNESS = 120.0  # how strongly a beat is held to the period, against onset strength of spread 1


@dataclass(frozen=True)
class Beats:
    """The metrical grid that was heard; `downbeat_s` is the first bar's start, ≥ −0.03 s."""

    bpm: float
    downbeat_s: float
    downbeat_confidence: float
    beats_s: np.ndarray
    drift_pct: float
    steady: bool
    swing: float | None  # long to short eighth: 1 straight, 2 triplets; None: no off-beats


def find_beats(
    curve: OnsetCurve,
    onsets: Onsets,
    harmony: "Harmony",
    bpm: float,
    signature: Signature,
    duration_s: float,
    *,
    level_db: np.ndarray,
    on_bar: bool = False,
) -> Beats:
    """Beats of a piece with a known tempo.

    `level_db` is its `attack.levels`. `on_bar` says that it was made to begin with a bar.
    """
    quarter_s = 60 / bpm
    slot_s = quarter_s / 4
    bar = read_bar(curve, onsets, harmony, bpm, signature, duration_s, on_bar=on_bar)
    best = int(np.argmax(bar.scores))
    downbeat_s = bar.phase_s + best * slot_s
    beats_s, steady, drift = _follow(curve, onsets, downbeat_s, quarter_s)
    heard_s = downbeat_s + find_beat_offset(onsets, downbeat_s, quarter_s)  # by the onsets' own clock
    begun_s = attack_offset(level_db, onsets, downbeat_s, quarter_s)
    downbeat_s = heard_s if begun_s is None else downbeat_s + begun_s
    downbeat_s = (downbeat_s + 0.03) % (bar.slots * slot_s) - 0.03
    return Beats(
        bpm,
        downbeat_s,
        float(chances(bar.scores)[best]),
        beats_s,
        drift,
        steady,
        find_swing(onsets.times_s, onsets.strengths, heard_s, quarter_s),
    )


@dataclass(frozen=True)
class Harmony:
    """Tones over time: melody and bass chroma [T, 12], a frame every `frame_s` seconds."""

    chroma: np.ndarray
    bass: np.ndarray
    frame_s: float


@dataclass(frozen=True)
class Bar:
    """The bar folded into sixteenths that start at `phase_s`; a score for every slot to be the first."""

    phase_s: float
    slots: int
    scores: np.ndarray


def read_bar(
    curve: OnsetCurve,
    onsets: Onsets,
    harmony: Harmony,
    bpm: float,
    signature: Signature,
    duration_s: float,
    *,
    on_bar: bool = False,
) -> Bar:
    """Folds the piece into one bar at this tempo and scores where it may begin.

    Swung or syncopated music is densest beside the beat, so several phases of the sixteenths are tried.
    """
    kind = "made_" if on_bar else ""
    slot_s = 15 / bpm
    slots = max(1, round(signature.quarters_per_bar * 4))
    bars = []
    for phase_s, density in sixteenth_phases(onsets, slot_s):
        evidence = slot_evidence(curve, harmony, phase_s, slot_s, slots)
        scores = rotation_scores(evidence, signature, kind)
        slot, speaks = start_features(phase_s, slot_s, slots, duration_s, density)
        pull = weights(kind + "start")
        scores += float(pull[-1]) * speaks[-1]
        scores[slot] += float(pull[:-1] @ speaks[:-1]) + ON_BAR * on_bar
        bars.append(Bar(phase_s, slots, scores))
    return max(bars, key=lambda bar: float(bar.scores.max()))


def start_features(
    phase_s: float, slot_s: float, slots: int, duration_s: float, density: float
) -> tuple[int, np.ndarray]:
    """The slot that the piece starts with, and what speaks for it as the bar's first.

    These are: that it is the start, how exactly, and whether the piece is whole bars long, since loops are
    mostly cut at a bar. The last one, for the phase itself, is the logarithm of its density.
    """
    place = -phase_s / slot_s
    exact = float(np.exp(-0.5 * np.square((place - round(place)) * slot_s / START_S)))
    bars = duration_s / slot_s / slots
    whole = round(bars) >= 1 and abs(bars / round(bars) - 1) < WHOLE
    return round(place) % slots, np.array([1.0, exact, exact * whole, np.log(density)])


def sixteenth_phases(onsets: Onsets, slot_s: float) -> list[tuple[float, float]]:
    """Where in [0, slot) the sixteenths may start, and how dense the onsets are there against the densest.

    The best first; phases closer together than 30 ms are one.
    """
    steps = max(8, round(slot_s / 0.001))
    position = np.floor((onsets.times_s % slot_s) / slot_s * steps).astype(int) % steps
    histogram = np.bincount(position, onsets.strengths, minlength=steps)
    kernel = np.exp(-0.5 * np.square(np.arange(-24, 25) * slot_s / steps / 0.006))
    density = np.convolve(np.tile(histogram, 3), kernel, mode="same")[steps : 2 * steps]
    top, found = float(density.max()), []
    for _ in range(MOST_PHASES):
        best = int(np.argmax(density))
        if density[best] < MIN_DENSITY * top or top <= 0:
            break
        found.append(((best + 0.5) / steps * slot_s, float(density[best]) / top))
        away = np.abs((np.arange(steps) - best + steps / 2) % steps - steps / 2) * slot_s / steps
        density = np.where(away < max(0.03, 0.15 * slot_s), 0.0, density)
    return found or [(0.0, 1.0)]


def slot_evidence(
    curve: OnsetCurve, harmony: Harmony, phase_s: float, slot_s: float, slots: int
) -> np.ndarray:
    """[R, slots] what happens at each sixteenth of the bar, every row with mean 0 and spread 1.

    Rows: rise in each band, change of harmony over a half and over a whole quarter, change of the bass,
    low level after the moment, level of everything after against before.
    """
    end_s = curve.duration_s + curve.start_s
    count = max(slots, int((end_s - phase_s) / slot_s))
    times = phase_s + slot_s * np.arange(count)
    reach = np.arange(-round(0.02 * CURVE_RATE_HZ), round(0.025 * CURVE_RATE_HZ) + 1)
    last = curve.bands.shape[1] - 1
    frames = np.clip(np.rint(curve.frames(times)).astype(int)[:, None] + reach, 0, last)
    rises = np.sqrt(curve.bands[:, frames].max(axis=2))  # [B, count]
    sums = np.concatenate([np.zeros((len(curve.levels), 1)), np.cumsum(curve.levels, axis=1)], axis=1)

    def level(start_s: float, stop_s: float) -> np.ndarray:
        first = np.clip(np.rint(curve.frames(times + start_s)).astype(int), 0, last)
        stop = np.maximum(np.clip(np.rint(curve.frames(times + stop_s)).astype(int), 0, last), first + 1)
        mean: np.ndarray = (sums[:, stop] - sums[:, first]) / (stop - first)
        return mean

    after, before = level(0.01, 2 * slot_s), level(-2 * slot_s, -0.01)
    both = harmony.chroma + harmony.bass
    rows = np.concatenate(
        [
            rises,
            [
                _change(both, harmony.frame_s, times, 2 * slot_s),
                _change(both, harmony.frame_s, times, 4 * slot_s),
                _change(harmony.bass, harmony.frame_s, times, 4 * slot_s),
                after[:2].sum(axis=0),
                (after - before).sum(axis=0),
            ],
        ]
    )
    folded = np.stack([rows[:, i::slots].mean(axis=1) for i in range(slots)], axis=1)
    folded -= folded.mean(axis=1, keepdims=True)
    features: np.ndarray = np.clip(folded / np.maximum(folded.std(axis=1, keepdims=True), 1e-6), -3, 3)
    return features


def _change(chroma: np.ndarray, frame_s: float, times_s: np.ndarray, reach_s: float) -> np.ndarray:
    """How different the tones after each moment are from those before it, 0–1."""
    if len(chroma) < 3 or chroma.sum() <= 0:
        return np.zeros(len(times_s))
    reach = max(2, round(reach_s / frame_s))
    sums = np.concatenate([np.zeros((1, 12)), np.cumsum(chroma, axis=0)])
    middle = np.clip(np.rint(times_s / frame_s).astype(int), 0, len(chroma))
    before = sums[middle] - sums[np.maximum(middle - reach, 0)]
    after = sums[np.minimum(middle + reach, len(chroma))] - sums[middle]
    scale = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return np.where(scale > 0, 1 - (before * after).sum(axis=1) / np.maximum(scale, 1e-9), 0.0)


def roles(signature: Signature) -> np.ndarray:
    """[K, slots] what each slot of a bar is: first, middle, back beat, beat, half beat, last, third beat."""
    slots = max(1, round(signature.quarters_per_bar * 4))
    beat = 16 / signature.denominator
    if signature.denominator == 8 and signature.numerator % 3 == 0:
        beat *= 3  # 6/8, 9/8 and 12/8 are felt in dotted quarters
    place = np.arange(slots)
    common = str(signature) in ("4/4", "2/2")
    on_beat = place % beat < 1e-6
    return np.stack(
        [
            place == 0,
            (place == 8) & common,
            np.isin(place, (4, 12)) & common,
            on_beat,
            ((place * 2) % beat < 1e-6) & ~on_beat,
            place == slots - 1,
            on_beat & (place >= slots - beat),
        ]
    ).astype(float)


def rotation_scores(evidence: np.ndarray, signature: Signature, kind: str = "") -> np.ndarray:
    """[slots] how well the bar fits when it begins at each slot; `kind` is `made_` or nothing."""
    wanted = weights(kind + "bar").T @ roles(signature)
    slots = evidence.shape[1]
    if slots == 16 and str(signature) == "4/4":
        wanted = wanted + weights(kind + "common_time")
    return np.array([(np.roll(evidence, -r, axis=1) * wanted).sum() for r in range(slots)])


def attack_offset(level_db: np.ndarray, onsets: Onsets, downbeat_s: float, quarter_s: float) -> float | None:
    """How far the attacks on quarters begin from where the grid has them, in seconds (median; early is
    negative). None where fewer than four begin clearly, or do not agree."""
    near = np.flatnonzero(_near_quarters(onsets, downbeat_s, quarter_s)[1])
    starts = [(attack_start(level_db, float(onsets.times_s[i])), float(onsets.strengths[i])) for i in near]
    clear = np.array([(start, strength) for start, strength in starts if start is not None])
    if len(clear) < MIN_ATTACKS:
        return None
    away = (clear[:, 0] - downbeat_s + quarter_s / 2) % quarter_s - quarter_s / 2
    order = np.argsort(away)
    sums = np.cumsum(clear[order, 1])
    lowest, middle, highest = away[order][np.searchsorted(sums, np.array([0.25, 0.5, 0.75]) * sums[-1])]
    return float(middle) if highest - lowest < AGREEING_S else None


def find_beat_offset(onsets: Onsets, downbeat_s: float, quarter_s: float) -> float:
    """How far the beats lie from the grid, in seconds: the median of the onsets on quarters, less how late
    such sounds are heard.
    """
    near = on_quarters(onsets, downbeat_s, quarter_s)
    if near is None:
        return 0.0
    middle_s, features = near
    return middle_s - float(weights("lateness") @ features) / 1000


def on_quarters(onsets: Onsets, downbeat_s: float, quarter_s: float) -> tuple[float, np.ndarray] | None:
    """How far onsets lie from the quarters near them (median, s), and what tells how late they are heard: how
    steeply they rise, how far the earliest fifth lies before the median (ms), and 1. None for too few."""
    away, near = _near_quarters(onsets, downbeat_s, quarter_s)
    if near.sum() < 3:
        return None
    order = np.argsort(away[near])
    sums, away = np.cumsum(onsets.strengths[near][order]), away[near][order]
    middle_s = float(away[np.searchsorted(sums, sums[-1] / 2)])
    early_s = float(np.interp(0.2 * sums[-1], sums, away)) - middle_s
    steep = float(np.average(np.log(onsets.rises[near]), weights=onsets.strengths[near]))
    return middle_s, np.array([steep, 1000 * early_s, 1.0])


def _near_quarters(onsets: Onsets, downbeat_s: float, quarter_s: float) -> tuple[np.ndarray, np.ndarray]:
    """How far every onset is from its nearest quarter, and which are near enough to be meant for it."""
    away = (onsets.times_s - downbeat_s + quarter_s / 2) % quarter_s - quarter_s / 2
    return away, np.abs(away) < min(WIDE_S, quarter_s / 10)


def _follow(
    curve: OnsetCurve, onsets: Onsets, downbeat_s: float, quarter_s: float
) -> tuple[np.ndarray, bool, float]:
    """Quarter beats as they fall, whether evenly spaced beats would do, and how far the local tempo moves in
    %.
    """
    end_s = curve.duration_s + 2 * curve.start_s
    first = downbeat_s - quarter_s * np.floor((downbeat_s + 0.03) / quarter_s)
    ruler = first + quarter_s * np.arange(max(1, int(np.ceil((end_s - first) / quarter_s - 0.05))))
    if len(ruler) < 6:
        return ruler, True, 0.0
    path = _beat_path(curve, first, quarter_s)
    place = np.searchsorted(onsets.times_s, path)
    near = np.stack([np.clip(place - 1, 0, None), np.clip(place, None, len(onsets.times_s) - 1)])
    away = onsets.times_s[near] - path
    closest = np.where(np.abs(away[0]) < np.abs(away[1]), away[0], away[1])
    heard = np.abs(closest) < NEAR_S
    if heard.sum() < 5:
        return ruler, True, 0.0
    count = np.arange(len(path))
    followed = _smooth_line(count, path + closest, heard, count)
    line = np.polyval(np.polyfit(count[heard], followed[heard], 1), count)
    steady = bool(np.percentile(np.abs(followed - line), 75) < STEADY_S)
    steps = np.diff(followed)
    drift = float((steps.max() - steps.min()) / np.median(steps) * 100)
    return (ruler if steady else followed), steady, drift


def _smooth_line(x: np.ndarray, y: np.ndarray, valid: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Local straight lines through the valid points: jitter of single hits goes, drift stays."""
    result = np.empty(len(at))
    for i, centre in enumerate(at):
        weight = np.where(valid, np.exp(-0.5 * np.square((x - centre) / 2.5)), 0) + 1e-9 * valid
        mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = np.average(np.square(x - mean_x), weights=weight)
        slope = np.average((x - mean_x) * (y - mean_y), weights=weight) / max(spread, 1e-9)
        result[i] = mean_y + slope * (centre - mean_x)
    return result


def _beat_path(curve: OnsetCurve, first_s: float, quarter_s: float) -> np.ndarray:
    """Beat times by dynamic programming (Ellis 2007), held near the ruler that starts at `first_s`."""
    period = quarter_s * CURVE_RATE_HZ
    level = np.sqrt(curve.total)
    level = level / max(float(level.std()), 1e-9)
    frames = np.arange(len(level))
    off = ((curve.times_s(frames) - first_s) / quarter_s + 0.5) % 1 - 0.5
    level = level * np.square(np.cos(np.pi * off))
    lags = np.arange(int(0.85 * period), int(1.18 * period) + 1)
    cost = TIGHTNESS * np.square(np.log(lags / period))
    score, back = level.copy(), np.full(len(level), -1)
    for t in range(int(lags[0]), len(level)):
        reach = lags[: np.searchsorted(lags, t, side="right")]
        earlier = score[t - reach] - cost[: len(reach)]
        best = int(np.argmax(earlier))
        if earlier[best] > 0:
            score[t] = level[t] + earlier[best]
            back[t] = t - reach[best]
    tail = len(score) - int(period * 1.1)
    at = max(0, tail) + int(np.argmax(score[max(0, tail) :]))
    path = []
    while at >= 0:
        path.append(at)
        at = int(back[at])
    return curve.times_s(np.array(path[::-1], float))


def find_swing(
    times_s: np.ndarray, strengths: np.ndarray, downbeat_s: float, quarter_s: float
) -> float | None:
    """Ratio of the long to the short eighth, from where off-beat onsets lie; None without such."""
    place = ((times_s - downbeat_s) / quarter_s) % 1.0
    inside = (place > SWING_RANGE[0]) & (place < SWING_RANGE[1])
    weight = strengths[inside]
    if inside.sum() < 4 or weight.sum() < 0.08 * strengths.sum():
        return None
    order = np.argsort(place[inside])
    sums = np.cumsum(weight[order])
    middle = float(place[inside][order][np.searchsorted(sums, sums[-1] / 2)])
    return middle / (1 - middle)

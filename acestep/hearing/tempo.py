"""Tempo: how fast the quarter notes of a piece go, with or without an expected tempo.

Works on the onset curve alone. Tempi are float quarter notes per minute; rates are in hertz.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from acestep.hearing.evidence import chances, weights
from acestep.hearing.onsets import CURVE_RATE_HZ, OnsetCurve, Onsets

# Chosen by hand where nothing else is said; `python -m tests.benchmarks.fit` prints what comes of them
# of tempi. Which candidate is right is learned from RATIOS and LAGS (`evidence`).
RANGE_BPM = (40.0, 240.0)  # what is looked for without a hint
PRIOR_RANGE = (0.78, 1.28)  # a hint is believed to be wrong by at most this factor
PRIOR_WIDTH = 0.09  # … and usually by less than this (standard deviation of the logarithm)
SEGMENT_S = 14.0  # what a spectrum is taken over
GRID_STEP = 0.002  # of the logarithm of the tempo
PREFERRED_BPM = 110.0  # where the logarithm of the tempo counts as 0
RATIOS = (0.25, 0.5, 1, 1.5, 2, 3, 4, 8)  # of the quarters' rate
LAGS = (0.5, 1, 1.5, 2, 3, 4, 6, 8)  # of a quarter
MIN_SALIENCE = 0.10  # a weaker pulse is no tempo
LAID_CONFIDENCE = 0.25  # of a tempo that no pulse but the asked grid speaks for
ON_GRID = 4.5  # Rayleigh's z of onsets on the sixteenths asked for: by chance it is larger once in 90 times
CLOSE_LOOKS = 4  # candidates whose bar is looked at
PEAK_SHARPNESS = 2.0  # what scores count for in the softmax
WHOLE_LOOP = 0.003  # a piece whose length is this near (relative) to whole bars may be a loop
AS_SHARP = 0.97  # of the sharpness heard: onsets that fall this sharply onto a tempo are on it
ASKED_RANGE = 0.01  # a tempo this near (relative) to the one asked for may be the one asked for
SUPPORT: dict[
    int, dict[float, float]
] = {  # by part (0 low, 1 middle, 2 high, 3 all): ratio to the quarters' rate and weight
    0: {0.5: 0.6, 1: 0.6},
    1: {0.5: 0.6, 1: 0.4},
    2: {1: 0.2, 2: 0.5, 4: 0.3},
    3: {0.5: 0.1, 1: 1.0, 2: 1.0, 4: 0.6, 1.5: -0.3, 3: -0.2},
}


@dataclass(frozen=True)
class Tempo:
    """A tempo and how sure it is (0–1); `alternatives` are other readings, most likely first."""

    bpm: float
    confidence: float
    alternatives: tuple[float, ...] = ()


@dataclass(frozen=True)
class Pulse:
    """Spectrum and autocorrelation of the onset curve: low, middle, high and all bands."""

    rates_hz: np.ndarray
    spectra: np.ndarray  # [4, R], relative to the mean level
    lags_s: np.ndarray
    echo: np.ndarray  # autocorrelation over all bands, 1 at lag 0

    def at(self, rate_hz: np.ndarray, part: int = 3) -> np.ndarray:
        """Strength of pulses at `rate_hz`; part 0 low, 1 middle, 2 high, 3 all."""
        strengths: np.ndarray = np.interp(rate_hz, self.rates_hz, self.spectra[part], right=0.0)
        return strengths

    def repeats(self, lag_s: np.ndarray) -> np.ndarray:
        """How much the curve resembles itself `lag_s` later."""
        likeness: np.ndarray = np.interp(lag_s, self.lags_s, self.echo, right=0.0)
        return likeness


def pulse(curve: OnsetCurve) -> Pulse:
    """Averaged over stretches of 14 s, so that a slow drift does not blur it."""
    import scipy.fft

    bands = np.sqrt(curve.bands)
    parts = np.stack([bands[:2].sum(0), bands[2:6].sum(0), bands[6:].sum(0)])
    rows = np.concatenate([parts, parts.sum(0, keepdims=True), bands])
    length = min(rows.shape[1], round(SEGMENT_S * CURVE_RATE_HZ))
    size = scipy.fft.next_fast_len(8 * length, real=True)
    power = np.zeros((len(rows), size // 2 + 1))
    mean = np.zeros(len(rows))
    starts = range(0, max(1, rows.shape[1] - length + 1), max(1, length // 2))
    for start in starts:
        piece = rows[:, start : start + length]
        level = piece.mean(axis=1, keepdims=True)
        mean += level[:, 0] / len(starts)
        spectrum = scipy.fft.rfft((piece - level) * np.hanning(length + 2)[1:-1], size, axis=1)
        power += (np.square(spectrum.real) + np.square(spectrum.imag)) / len(starts)
    spectra = np.sqrt(power[:4]) / (0.5 * length * np.maximum(mean[:4, None], 1e-9))
    echo = scipy.fft.irfft(power[4:].sum(axis=0), size)[: length // 2 + length // 4]
    shape = scipy.fft.irfft(np.square(np.abs(scipy.fft.rfft(np.hanning(length + 2)[1:-1], size))), size)
    echo = echo / np.maximum(shape[: len(echo)] / shape[0], 0.05) / max(echo[0], 1e-12)
    rates = np.arange(size // 2 + 1) * CURVE_RATE_HZ / size
    return Pulse(rates, spectra, np.arange(len(echo)) / CURVE_RATE_HZ, echo)


def features(pulses: Pulse, bpm: np.ndarray, duration_s: float) -> np.ndarray:
    """[len(bpm), F]: what speaks for each tempo.

    Columns: pulses at RATIOS of the quarters' rate in the low, middle, high and all bands; likeness after
    LAGS quarters; whole bars in the file; logarithm of the tempo and its square.
    """
    rate = bpm / 60
    columns = [np.sqrt(pulses.at(rate * m, part)) for part in range(4) for m in RATIOS]
    columns += [pulses.repeats(m / rate) for m in LAGS]
    bars = duration_s * rate / 4
    near = np.exp(-0.5 * np.square((bars - np.maximum(np.rint(bars), 1)) / 0.02))
    columns.append(near * (np.abs(np.log2(np.maximum(np.rint(bars), 1)) % 1) < 1e-6))
    octave = np.log2(bpm / PREFERRED_BPM)
    columns += [octave, -np.square(octave)]
    return np.stack(columns, axis=1)


def support(pulses: Pulse, bpm: np.ndarray, quarters_per_bar: float) -> np.ndarray:
    """[len(bpm)] how much pulses and repeats at all, whichever level the quarter note is."""
    rate = bpm / 60
    score = np.zeros(len(bpm))
    for part, weighted in SUPPORT.items():
        for ratio, weight in weighted.items():
            score += weight * pulses.at(rate * ratio, part)
    for lag, weight in ((0.5, 0.2), (1, 0.6), (2, 0.6), (quarters_per_bar, 1.0), (2 * quarters_per_bar, 1.0)):
        score += weight * pulses.repeats(lag / rate)
    return score


def candidates(pulses: Pulse, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Tempi worth considering without a hint, and their features [C, F]."""
    grid = np.exp(np.arange(np.log(RANGE_BPM[0]), np.log(RANGE_BPM[1]), GRID_STEP))
    score = support(pulses, grid, 4.0)
    found: list[float] = []
    for bpm in grid[_peaks(grid, score)[:6]]:
        for ratio in (1.0, 2.0, 0.5, 1.5, 2 / 3):
            near = bpm * ratio
            if RANGE_BPM[0] <= near <= RANGE_BPM[1] and all(abs(np.log(near / old)) > 0.02 for old in found):
                found.append(float(near))
    tempi = np.array(found)
    return tempi, features(pulses, tempi, duration_s) if found else np.zeros((0, 0))


def estimate_tempo(
    curve: OnsetCurve,
    onsets: Onsets,
    *,
    expected_bpm: float | None = None,
    quarters_per_bar: float = 4.0,
    duration_s: float | None = None,
    bar_likeness: Callable[[float], float] = lambda _: 0.0,
) -> Tempo | None:
    """The tempo, read at the level of `expected_bpm` when that is known; None when there is no beat.

    `bar_likeness` says how much the music looks like a bar when its quarters go at a tempo.
    """
    if len(onsets.times_s) < 4:
        return None
    pulses = pulse(curve)
    if expected_bpm is None:
        tempi, columns = candidates(pulses, duration_s or curve.duration_s)
        if not len(tempi):
            return None
        scores = columns @ weights("tempo")[:-1]
        close = np.argsort(-scores)[:CLOSE_LOOKS]
        likeness = np.array([bar_likeness(refine_tempo(onsets, tempi[i])) for i in close])
        scores = np.append(scores[close] + weights("tempo")[-1] * likeness, np.delete(scores, close) - 3.0)
        tempi = np.append(tempi[close], np.delete(tempi, close))
    else:
        low, high = expected_bpm * PRIOR_RANGE[0], expected_bpm * PRIOR_RANGE[1]
        grid = np.exp(np.arange(np.log(low), np.log(high), GRID_STEP))
        score = support(pulses, grid, quarters_per_bar)
        score -= np.square(np.log(grid / expected_bpm) / PRIOR_WIDTH)
        peaks = _peaks(grid, score)
        if not len(peaks):
            return _laid_on(onsets, expected_bpm)
        tempi, scores = grid[peaks], PEAK_SHARPNESS * score[peaks]
    order = np.argsort(-scores)
    best = float(tempi[order[0]])
    salience = _salience(pulses, best)
    if salience < MIN_SALIENCE:
        return None if expected_bpm is None else _laid_on(onsets, expected_bpm)
    confidence = float(chances(scores)[order[0]] * np.clip(salience / 0.4, 0, 1))
    others = tuple(round(float(tempi[i]), 2) for i in order[1:4])
    return Tempo(refine_tempo(onsets, best), confidence, others)


def _laid_on(onsets: Onsets, expected_bpm: float) -> Tempo | None:
    """The tempo asked for, if onsets lie on its sixteenths: music without a pulse can still keep time."""
    phase = np.exp(-2j * np.pi * expected_bpm / 15 * onsets.times_s)
    together = np.abs(onsets.strengths @ phase)
    z = float(together**2 / np.square(onsets.strengths).sum())
    if z < ON_GRID:
        return None
    bpm = asked_tempo(onsets, refine_tempo(onsets, expected_bpm, ASKED_RANGE), expected_bpm)
    return Tempo(bpm, float(1 - np.exp(ON_GRID - z)) * LAID_CONFIDENCE)


def _salience(pulses: Pulse, bpm: float) -> float:
    """How strongly anything pulses at this tempo or its subdivisions, 0–1."""
    rate = bpm / 60
    comb = max(float(pulses.at(np.array([rate * m]))[0]) for m in (0.5, 1, 2, 4))
    echo = max(float(pulses.repeats(np.array([m / rate]))[0]) for m in (1, 2, 4))
    return float(np.clip(min(comb, 1.0) * 0.5 + max(echo, 0.0) * 0.5, 0, 1))


def _peaks(grid: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Indices of local maxima at least 4 % apart, best first."""
    inner = np.flatnonzero((scores[1:-1] >= scores[:-2]) & (scores[1:-1] > scores[2:])) + 1
    found: list[int] = []
    for i in inner[np.argsort(-scores[inner])]:
        if all(abs(np.log(grid[i] / grid[j])) > 0.04 for j in found):
            found.append(int(i))
    return np.array(found, int)


def refine_tempo(onsets: Onsets, bpm: float, width: float = 0.012) -> float:
    """The tempo near `bpm` at which onsets fall most sharply onto quarters, eighths and sixteenths."""
    span = onsets.times_s[-1] - onsets.times_s[0]
    for half_width in (width, width / 4, width / 24):
        grid = bpm * np.exp(np.linspace(-half_width, half_width, 41))
        scores = _sharpness(onsets, grid)
        bpm = float(grid[np.argmax(scores)])
        if half_width * span * bpm / 60 < 0.01:
            break
    return bpm


def loop_tempo(onsets: Onsets, bpm: float, duration_s: float, quarters_per_bar: float) -> float:
    """The tempo near `bpm` at which the piece is whole bars long, if onsets fall as sharply then; else `bpm`.

    A loop's length says its tempo more exactly than its onsets do.
    """
    bars = duration_s * bpm / 60 / quarters_per_bar
    if round(bars) < 1 or abs(bars / round(bars) - 1) > WHOLE_LOOP:
        return bpm
    exact = round(bars) * quarters_per_bar * 60 / duration_s
    heard, cut = _sharpness(onsets, np.array([bpm, exact]))
    return exact if cut > AS_SHARP * heard else bpm


def asked_tempo(onsets: Onsets, bpm: float, asked_bpm: float) -> float:
    """`asked_bpm` if it is near and onsets fall as sharply onto it; else `bpm`.

    Few onsets tell a tempo only roughly, so the asked tempo stays unless they contradict it.
    """
    if abs(bpm / asked_bpm - 1) > ASKED_RANGE:
        return bpm
    heard, asked = _sharpness(onsets, np.array([bpm, asked_bpm]))
    return asked_bpm if asked > AS_SHARP * heard else bpm


def _sharpness(onsets: Onsets, bpm: np.ndarray) -> np.ndarray:
    """[len(bpm)] how sharply onsets fall onto quarters, eighths, sixteenths and their halves."""
    scores = np.zeros(len(bpm))
    for multiple, weight in ((1, 1.0), (2, 1.0), (4, 0.7), (8, 0.3)):
        phase = np.exp(-2j * np.pi * np.outer(bpm / 60 * multiple, onsets.times_s))
        scores += weight * np.abs(phase @ onsets.strengths)
    return scores

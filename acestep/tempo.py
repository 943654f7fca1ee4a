"""Tempo: how fast the quarter notes of a piece go, with or without a hint what to expect.

Works on the onset curve alone; knows nothing of keys, files or requests. Tempi are float quarter notes
per minute; rates are in hertz.
"""

from dataclasses import dataclass

import numpy as np

from acestep.onsets import CURVE_RATE_HZ, OnsetCurve, Onsets

RANGE_BPM = (40.0, 240.0)
PRIOR_RANGE = (0.78, 1.28)  # a hint is believed to be wrong by at most this factor
PRIOR_WIDTH = 0.09  # … and usually by less than this (standard deviation of the logarithm)
SEGMENT_S = 14.0
GRID_STEP = 0.002  # of the logarithm of the tempo
PREFERRED_BPM = 112.0
PREFERRED_WIDTH = 0.45
MIN_SALIENCE = 0.10


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
        return np.interp(rate_hz, self.rates_hz, self.spectra[part], right=0.0)

    def repeats(self, lag_s: np.ndarray) -> np.ndarray:
        """How much the curve resembles itself `lag_s` later."""
        return np.interp(lag_s, self.lags_s, self.echo, right=0.0)


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


def features(pulses: Pulse, bpm: np.ndarray, quarters_per_bar: float, duration_s: float) -> np.ndarray:
    """[len(bpm), F]: what speaks for each tempo. The weights below belong to these columns."""
    rate = bpm / 60
    columns = [pulses.at(rate * m, 3) for m in (0.5, 1, 2, 4, 1.5, 3)]
    columns += [pulses.at(rate * m, 0) for m in (0.5, 1, 2)]
    columns += [pulses.at(rate * m, 1) for m in (0.5, 1, 2)]
    columns += [pulses.at(rate * m, 2) for m in (1, 2, 4)]
    columns += [pulses.repeats(m / rate) for m in (0.5, 1, 2, quarters_per_bar, 2 * quarters_per_bar)]
    bars = duration_s * rate / quarters_per_bar
    whole = np.exp(-0.5 * np.square((bars - np.maximum(np.rint(bars), 1)) / 0.02))
    columns.append(whole * (np.abs(np.log2(np.maximum(bars, 0.5)) % 1 - 0.5) > 0.45))
    columns.append(-np.square(np.log(bpm / PREFERRED_BPM) / PREFERRED_WIDTH))
    return np.stack(columns, axis=1)


WEIGHTS = np.array(
    [
        *(0.1, 1.0, 1.0, 0.6, -0.3, -0.2),
        *(0.6, 0.6, 0.0),
        *(0.6, 0.4, 0.0),
        *(0.2, 0.5, 0.3),
        *(0.2, 0.6, 0.6, 1.0, 1.0),
        *(0.5, 0.8),
    ]
)


def estimate_tempo(
    curve: OnsetCurve,
    onsets: Onsets,
    *,
    expected_bpm: float | None = None,
    quarters_per_bar: float = 4.0,
    duration_s: float | None = None,
) -> Tempo | None:
    """The tempo, read at the level of `expected_bpm` when that is known; None when there is no beat."""
    if len(onsets.times_s) < 4:
        return None
    pulses = pulse(curve)
    low, high = RANGE_BPM
    if expected_bpm is not None:
        low, high = expected_bpm * PRIOR_RANGE[0], expected_bpm * PRIOR_RANGE[1]
    grid = np.exp(np.arange(np.log(low), np.log(high), GRID_STEP))
    length_s = duration_s or curve.duration_s
    columns = features(pulses, grid, quarters_per_bar, length_s)
    scores = columns @ WEIGHTS
    if expected_bpm is not None:
        scores = (columns[:, :-1] @ WEIGHTS[:-1]) - np.square(np.log(grid / expected_bpm) / PRIOR_WIDTH)
    candidates = _peaks(grid, scores)
    if not len(candidates):
        return None
    salience = _salience(pulses, grid[candidates[0]])
    if salience < MIN_SALIENCE:
        return None
    bpm = refine_tempo(onsets, float(grid[candidates[0]]))
    margin = scores[candidates[0]] - (scores[candidates[1]] if len(candidates) > 1 else scores.min())
    confidence = float(np.clip(1 - np.exp(-2 * margin), 0, 1) * np.clip(salience / 0.4, 0, 1))
    others = tuple(round(float(grid[i]), 2) for i in candidates[1:4])
    return Tempo(bpm, confidence, others)


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
        scores = np.zeros(len(grid))
        for multiple, weight in ((1, 1.0), (2, 1.0), (4, 0.7), (8, 0.3)):
            phase = np.exp(-2j * np.pi * np.outer(grid / 60 * multiple, onsets.times_s))
            scores += weight * np.abs(phase @ onsets.strengths)
        bpm = float(grid[np.argmax(scores)])
        if half_width * span * bpm / 60 < 0.01:
            break
    return bpm

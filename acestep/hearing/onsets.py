"""Where sounds begin: an onset curve in frequency bands, and single onsets to about a millisecond.

B = bands, T = frames of the curve.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Chosen by hand where nothing else is said; `python -m tests.benchmarks.fit` prints what comes of them
# of tempo and downbeat.
CURVE_RATE_HZ = 200.0  # a frame in 5 ms
WINDOW_S = 1024 / 48_000  # 21 ms
LAG_FRAMES = 2  # rise over 10 ms
LEAD_S = 0.030  # frames begin this long before the first sample, so that an attack at 0 is seen rising
ATTACK_BIAS_S = 0.0035  # between clicks, whose rise peaks 6 ms early, and played notes, which rise late
BAND_EDGES_HZ = (0, 100, 200, 400, 800, 1600, 3200, 6400, 16000)  # octaves, the last one wider
FRAMES_AT_ONCE = 1024  # bounds memory
DYNAMIC_RANGE = 1000.0  # 60 dB below the loudest band counts as silence
MIN_GAP_S = 0.03  # two onsets closer than this are one
MONO_BLOCK = 12_000  # samples over which channels are compared: a quarter of a second
CANCELLED = 0.05  # of the loudest channel's power: opposites, or nearly
FAINTEST_ATTACK = 4.0  # of the summed logarithmic rise: below, swelling and beating are not attacks


@dataclass(frozen=True)
class OnsetCurve:
    """Spectral rise per band, [B, T] at CURVE_RATE_HZ; frame k is at `k / CURVE_RATE_HZ + start_s`."""

    bands: np.ndarray
    levels: np.ndarray  # log level per band [B, T], 0 = silent
    start_s: float

    @property
    def total(self) -> np.ndarray:
        """Rise over all bands, [T]."""
        risen: np.ndarray = self.bands.sum(axis=0)
        return risen

    @property
    def duration_s(self) -> float:
        """Length of the curve."""
        frames: int = self.bands.shape[1]
        return frames / CURVE_RATE_HZ

    def times_s(self, frames: np.ndarray) -> np.ndarray:
        """Seconds of (fractional) frames."""
        return frames / CURVE_RATE_HZ + self.start_s

    def frames(self, times_s: np.ndarray) -> np.ndarray:
        """Fractional frames of seconds."""
        return (times_s - self.start_s) * CURVE_RATE_HZ


@dataclass(frozen=True)
class Onsets:
    """Single onsets: seconds, strength relative to the strongest, the same per band [B, M], and the summed
    logarithmic rise, by which a hit (30 and more) differs from a swell."""

    times_s: np.ndarray
    strengths: np.ndarray
    bands: np.ndarray
    rises: np.ndarray


def mono(audio: np.ndarray) -> np.ndarray:
    """[C, N] → [N]: the mean of the channels; the loudest of them wherever the mean cancels out."""
    if audio.ndim == 1:
        return audio
    mixed: np.ndarray = audio.mean(axis=0)
    whole = -(-mixed.size // MONO_BLOCK) * MONO_BLOCK
    power, mixed_power = (
        np.square(np.pad(part, ((0, 0), (0, whole - mixed.size))))
        .reshape(len(part), -1, MONO_BLOCK)
        .mean(axis=2)
        for part in (audio, mixed[None])
    )
    cancels = mixed_power[0] <= CANCELLED * power.max(axis=0, initial=0)
    if not (cancels & (power.max(axis=0, initial=0) > 0)).any():
        return mixed
    loudest: np.ndarray = audio[np.argmax(power.sum(axis=1))]
    if np.square(mixed).mean() <= CANCELLED * np.square(loudest).mean():
        return loudest
    middles = (np.arange(cancels.size) + 0.5) * MONO_BLOCK  # faded from block to block, not switched
    share = np.interp(np.arange(mixed.size), middles, cancels.astype(np.float32)).astype(mixed.dtype)
    mixed += share * (loudest - mixed)
    return mixed


def onset_curve(samples: np.ndarray, sample_rate_hz: int) -> OnsetCurve:
    """The onset curve of mono `samples` [N]."""
    levels = np.concatenate(list(_band_levels(samples, sample_rate_hz)), axis=1)
    peak = float(levels.max(initial=0.0))
    levels = np.log1p(levels * (DYNAMIC_RANGE / peak)) if peak > 1e-7 else np.zeros_like(levels)
    before = np.maximum(levels[:, :-LAG_FRAMES], levels[:, 1 : 1 - LAG_FRAMES or None])
    rise = np.zeros_like(levels)
    rise[:, LAG_FRAMES:] = np.maximum(levels[:, LAG_FRAMES:] - before, 0)
    # the rise is ascribed to the middle of the interval it was measured over
    start_s = -LEAD_S - LAG_FRAMES / 2 / CURVE_RATE_HZ + ATTACK_BIAS_S
    return OnsetCurve(rise, levels, start_s)


def pick_onsets(curve: OnsetCurve, threshold: float = 0.1) -> Onsets:
    """Local maxima of the curve that stand out from their surroundings, strongest first kept apart."""
    total = curve.total
    if total.size < 5 or total.max() <= 0:
        return Onsets(np.zeros(0), np.zeros(0), np.zeros((len(curve.bands), 0)), np.zeros(0))
    top = max(float(np.percentile(total[total > 0], 99)), FAINTEST_ATTACK)
    floor = _moving_mean(total, round(0.25 * CURVE_RATE_HZ))
    inner = total[1:-1]
    peaks = 1 + np.flatnonzero((inner >= total[:-2]) & (inner > total[2:]))
    peaks = peaks[total[peaks] > 1.3 * floor[peaks] + threshold * top]
    peaks = _kept_apart(peaks, total[peaks], round(MIN_GAP_S * CURVE_RATE_HZ))
    left, middle, right = total[peaks - 1], total[peaks], total[peaks + 1]
    bend = left - 2 * middle + right
    shift = np.where(np.abs(bend) > 1e-9, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0)
    strengths = np.minimum(total[peaks] / top, 1.0)
    bands = np.stack([np.maximum(curve.bands[:, peaks - 1], curve.bands[:, peaks])], 0)[0] / top
    return Onsets(curve.times_s(peaks + np.clip(shift, -0.5, 0.5)), strengths, bands, total[peaks])


def _kept_apart(peaks: np.ndarray, heights: np.ndarray, gap: int) -> np.ndarray:
    kept = np.ones(len(peaks), bool)
    for i in np.argsort(-heights):
        if kept[i]:
            close = np.abs(peaks - peaks[i]) < gap
            close[i] = False
            kept &= ~close
    return peaks[kept]


def _moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    padded = np.pad(values, (width, width), mode="edge")
    sums = np.concatenate([[0.0], np.cumsum(padded, dtype=np.float64)])
    means: np.ndarray = ((sums[2 * width + 1 :] - sums[: -2 * width - 1]) / (2 * width + 1))[: len(values)]
    return means


def _band_levels(samples: np.ndarray, sample_rate_hz: int) -> Iterator[np.ndarray]:
    """Magnitude per band [B, frames], in blocks that bound memory and let other threads run."""
    import scipy.fft

    window = round(WINDOW_S * sample_rate_hz)
    hop = sample_rate_hz / CURVE_RATE_HZ
    lead = round(LEAD_S * sample_rate_hz) + window // 2
    padded = np.pad(samples.astype(np.float32, copy=False), (lead, lead))
    frames = int((len(padded) - window) / hop) + 1
    shape = np.hanning(window).astype(np.float32)
    bins_hz = np.fft.rfftfreq(window, 1 / sample_rate_hz)
    starts_hz = np.clip(np.searchsorted(bins_hz, BAND_EDGES_HZ[:-1]), 0, len(bins_hz) - 1)
    end = np.searchsorted(bins_hz, BAND_EDGES_HZ[-1])
    width = np.diff(np.append(starts_hz, end)).clip(1)
    views = np.lib.stride_tricks.sliding_window_view(padded, window)
    for first in range(0, frames, FRAMES_AT_ONCE):
        index = np.rint(np.arange(first, min(first + FRAMES_AT_ONCE, frames)) * hop).astype(int)
        spectrum = scipy.fft.rfft(views[index] * shape, axis=1)[:, :end]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        yield np.sqrt(np.add.reduceat(power, starts_hz, axis=1) / width).T

"""The drum hits in a piece of audio: when each begins, what it is, how hard, and how sure that is.

Onsets are our own; what is struck there is told by a small network that has heard many renders with known
hits, alone and in mixes. To it a note of a pitched instrument is no hit at all. Hits at the same time are
told apart. M = onsets.
"""

from dataclasses import dataclass

import numpy as np

from acestep.hearing.learned import likely, small
from acestep.hearing.onsets import OnsetCurve, onset_curve, pick_onsets

# What can be told apart, and the General MIDI key of each (GM 1, percussion key map).
KINDS = {
    "kick": 36, "snare": 38, "clap": 39, "rim": 37, "closed hat": 42, "open hat": 46, "ride": 51, "crash": 49,
    "low tom": 45, "high tom": 50, "shaker": 70, "conga": 63, "bell": 56,
}  # fmt: skip
# Chosen by hand; `python -m tests.benchmarks.midi` prints what comes of them.
FAINTEST = 0.02  # of the strongest onsets: what is looked at
SURE = 0.5  # likelihood of a hit
BANDS = 32  # of the levels that the network sees, equally wide to the ear
LOWEST_HZ, HIGHEST_HZ = 40.0, 16_000.0
WINDOW_S, STEP_S = 0.0214, 0.005
PLACES = (-8, -4, -2, 0, 2, 4, 8, 16, 32)  # steps around an onset
RANGE = 1000.0  # 60 dB below the loudest band counts as silence
AT_ONCE = 2048  # windows: bounds memory
BEFORE_S, AFTER_S = 0.1, 0.3  # of a loop's other end, heard before its beginning and after its end


@dataclass(frozen=True)
class Hit:
    """One hit of a drum; `kind` is one of KINDS, `velocity` and `confidence` are between 0 and 1."""

    start_s: float
    kind: str
    velocity: float
    confidence: float


def hear_hits(samples: np.ndarray, sample_rate_hz: int, loop: bool = False) -> tuple[Hit, ...]:
    """The hits in mono `samples` [N], in order; in a `loop` the end leads into the beginning."""
    starts_s, columns = onset_columns(samples, sample_rate_hz, loop)
    if not len(starts_s):
        return ()
    told = small("hits")(columns)
    sure, velocities = likely(told[:, : len(KINDS)]), np.clip(told[:, len(KINDS) :], 0.05, 1)
    return tuple(
        Hit(float(starts_s[onset]), kind, float(velocities[onset, place]), float(sure[onset, place]))
        for onset in range(len(starts_s))
        for place, kind in enumerate(KINDS)
        if sure[onset, place] >= SURE
    )


def onset_columns(
    samples: np.ndarray, sample_rate_hz: int, loop: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Where something begins, in seconds [M], and what the network sees there [M, F]."""
    duration_s, before = len(samples) / sample_rate_hz, 0
    if loop and duration_s > BEFORE_S + AFTER_S:
        before = round(BEFORE_S * sample_rate_hz)
        after = round(AFTER_S * sample_rate_hz)
        samples = np.concatenate([samples[-before:], samples, samples[:after]])
    curve = onset_curve(samples, sample_rate_hz)
    onsets = pick_onsets(curve, FAINTEST)
    starts_s = onsets.times_s - before / sample_rate_hz
    inside = (starts_s >= -0.01) & (starts_s < duration_s - 0.01)
    seen = _seen(samples, sample_rate_hz, onsets.times_s[inside])
    bands = onsets.bands[:, inside].T
    rises = _nearby_rises(curve, onsets.times_s[inside])
    return np.maximum(starts_s[inside], 0), np.concatenate([seen, bands, rises], axis=1).astype(np.float32)


def _seen(samples: np.ndarray, sample_rate_hz: int, times_s: np.ndarray) -> np.ndarray:
    """Levels around each time, [M, PLACES · BANDS]: their logarithm under the loudest of the piece."""
    import scipy.fft

    window = round(WINDOW_S * sample_rate_hz)
    reach = window + round(max(map(abs, PLACES)) * STEP_S * sample_rate_hz)
    padded = np.pad(samples.astype(np.float32, copy=False), (reach, reach))
    views = np.lib.stride_tricks.sliding_window_view(padded, window)
    at = np.add.outer(times_s, np.array(PLACES) * STEP_S) * sample_rate_hz + reach - window / 2
    index = np.clip(np.rint(at).astype(int), 0, len(views) - 1)
    shape = np.hanning(window).astype(np.float32)
    bins_hz = np.fft.rfftfreq(4 * window, 1 / sample_rate_hz)
    edges_hz = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    edges = np.searchsorted(bins_hz, edges_hz)
    edges = np.maximum.accumulate(np.maximum(edges, edges[0] + np.arange(BANDS + 1)))
    edges = np.minimum(edges, len(bins_hz) - 1)  # a low rate has no high bands: they see its last bin
    size = np.zeros((index.size, BANDS))
    for first in range(0, index.size, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        spectrum = np.abs(scipy.fft.rfft(views[index.ravel()[part]] * shape, 4 * window, axis=1)) ** 2
        sums = np.concatenate([np.zeros((len(spectrum), 1)), np.cumsum(spectrum, axis=1)], axis=1)
        size[part] = (sums[:, edges[1:]] - sums[:, edges[:-1]]) / np.maximum(np.diff(edges), 1)
    size = np.sqrt(np.maximum(size, 0))
    peak = max(float(size.max(initial=0.0)), 1e-9)
    levels: np.ndarray = np.log1p(size * (RANGE / peak)).reshape(len(times_s), len(PLACES) * BANDS)
    return levels


def _nearby_rises(curve: OnsetCurve, times_s: np.ndarray) -> np.ndarray:
    """[M, B] of the onset curve's bands, the most within 10 ms, unscaled: a swell rises less than a hit."""
    at = np.rint(curve.frames(times_s)).astype(int)
    last = curve.bands.shape[1] - 1
    near = np.stack([curve.bands[:, np.clip(at + by, 0, last)] for by in (-2, -1, 0, 1, 2)])
    most: np.ndarray = near.max(axis=0).T
    return most

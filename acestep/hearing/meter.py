"""Beats per bar: 2, 3, 4 or 6, or unsure. Needs a tempo."""

import numpy as np

from acestep.hearing.onsets import OnsetCurve

# Chosen by hand.
MIN_MARGIN = 0.05  # between three and two or four: below, the meter is unsure


def estimate_meter(curve: OnsetCurve, bpm: float) -> tuple[int | None, float]:
    """How many quarters a bar has, and how sure that is: the distance after which the music repeats most."""
    quarter_s = 60 / bpm
    frames_per_beat = quarter_s * (len(curve.total) / max(curve.duration_s, 1e-9))
    beats = int(len(curve.total) / frames_per_beat)
    if beats < 12:
        return None, 0.0
    edges = np.rint(np.arange(beats * 4 + 1) * frames_per_beat / 4).astype(int)
    rows = np.sqrt(np.add.reduceat(curve.bands, edges[:-1], axis=1))[:, : beats * 4]
    rows = rows - rows.mean(axis=1, keepdims=True)
    pattern = rows.reshape(len(rows), beats, 4).transpose(1, 0, 2).reshape(beats, -1)
    likeness = {lag: _likeness(pattern, lag) for lag in (1, 2, 3, 4, 6, 8)}
    triple = max(likeness[3], likeness[6]) - max(likeness[2], likeness[4])
    best = max(likeness.values())
    if best < 0.15 or abs(triple) < MIN_MARGIN:
        return None, 0.0
    confidence = float(np.clip(abs(triple) / 0.3, 0, 1))
    if triple > 0:
        return (3 if likeness[3] > 0.75 * likeness[6] else 6), confidence
    return (2 if likeness[2] > 0.97 * likeness[4] else 4), confidence


def _likeness(pattern: np.ndarray, lag: int) -> float:
    """Mean correlation of beats `lag` apart."""
    a, b = pattern[:-lag], pattern[lag:]
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else 0.0

"""Loudness, true peak, and how audible the joint of a loop is. Knows levels only.

Audio is [C, N] float32.
"""

import warnings

import numpy as np

MIN_LOUDNESS_S = 0.4  # one gating block of ITU-R BS.1770
SEAM_WINDOW = 64  # samples: 1.3 ms at 48 kHz
QUIET = 1e-4  # −80 dB: below, there is nothing to hear a click in


def integrated_lufs(audio: np.ndarray, sample_rate_hz: int) -> float | None:
    """Loudness by ITU-R BS.1770, None for silence and for less than 0.4 s."""
    import pyloudnorm

    if audio.shape[1] < MIN_LOUDNESS_S * sample_rate_hz or np.abs(audio).max() < QUIET:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(pyloudnorm.Meter(sample_rate_hz).integrated_loudness(audio.T))
    return value if np.isfinite(value) else None


def true_peak_db(audio: np.ndarray, sample_rate_hz: int) -> float | None:
    """Highest level between the samples (4× oversampled), in dB of full scale; None for silence."""
    import soxr

    loudest = float(np.abs(audio).max(initial=0.0))
    if loudest < 1e-7:
        return None
    peak = loudest
    reach = 64
    near = np.flatnonzero(np.abs(audio).max(axis=0) > 0.7 * loudest)
    starts = near[np.diff(near, prepend=-(10**9)) > reach]
    for start in starts[:2000]:
        lead = min(start, 2 * reach)
        piece = audio[:, start - lead : start + 3 * reach]
        finer = np.abs(soxr.resample(piece.T, 1, 4, "MQ"))
        peak = max(peak, float(finer[4 * max(0, lead - 8) : 4 * (lead + reach)].max()))
    return float(20 * np.log10(peak))


def seam_error(audio: np.ndarray) -> float:
    """Click at the loop point relative to the loop's own usual movement: ≤ 1 is no more than the music does.

    The bend from the last samples to the first, as far as it comes from an end that was cut off (an attack
    that begins with the loop is music, not a click), against the median bend over the livelier half.
    """
    if audio.shape[1] < 4 * SEAM_WINDOW:
        return 0.0
    bend = np.abs(np.diff(audio, n=2, axis=1)).max(axis=0)
    count = len(bend) // SEAM_WINDOW
    usual = np.sort(bend[: count * SEAM_WINDOW].reshape(count, SEAM_WINDOW).max(axis=1))
    median = float(np.median(usual[len(usual) // 2 :]))
    joint = np.concatenate([audio[:, -2:], audio[:, :2]], axis=1)
    jump = np.abs(np.diff(joint, n=2, axis=1)).max(axis=1)
    cut_off = np.abs(audio[:, -1]) + np.abs(audio[:, -1] - audio[:, -2])
    click = float(np.minimum(jump, cut_off).max())
    return click / median if median > 1e-7 else (0.0 if click < QUIET else 99.0)

"""Loudness, true peak, and how audible the joint of a loop is.

Audio is [C, N] float32.
"""

import warnings
from functools import lru_cache

import numpy as np

from acestep.music.grid import SAMPLE_RATE_HZ

MIN_LOUDNESS_S = 0.4  # one gating block of ITU-R BS.1770
# Of a seam, chosen by hand; `python -m tests.benchmarks.fit` prints the clicks of fitted loops.
SEAM_WINDOW = 64  # samples: 1.3 ms at 48 kHz
SEAM_REACH_S = 0.05  # heard to either side of the joint
# A click is as short as its band allows; what is as loud just beside it is an attack.
SEAM_BANDS = (
    ((0.0, 400.0), 0.003),
    ((400.0, 2000.0), 0.0015),
    ((2000.0, 6000.0), 0.0007),
    ((6000.0, 2e4), 0.0005),
)
FAINT = 10 ** (-66 / 20)  # of the loudest sample: a burst below is drowned
QUIET = 1e-4  # −80 dB: below, there is nothing to hear a click in
OVERSAMPLING = 4  # ITU-R BS.1770-4, annex 2
PEAK_CHUNK = 2400  # samples that are oversampled together
CHUNKS_AT_ONCE = 64  # 10 MB when oversampled
PEAK_EDGE = 64  # samples the resampler's filter is given on either side


def integrated_lufs(audio: np.ndarray, sample_rate_hz: int) -> float | None:
    """Loudness by ITU-R BS.1770, None for silence and for less than 0.4 s."""
    import pyloudnorm

    if audio.shape[1] < MIN_LOUDNESS_S * sample_rate_hz or np.abs(audio).max() < QUIET:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = float(pyloudnorm.Meter(sample_rate_hz).integrated_loudness(audio.T))
    return value if np.isfinite(value) else None


def true_peak_db(audio: np.ndarray) -> float | None:
    """Highest level between the samples (4× oversampled), in dB of full scale; None for silence."""
    loudest = float(np.abs(audio).max(initial=0.0))
    if loudest < 1e-7:
        return None
    return float(20 * np.log10(true_peaks(audio, PEAK_CHUNK, 0.7 * loudest).max()))


def true_peaks(audio: np.ndarray, block: int, above: float) -> np.ndarray:
    """Highest level of any channel between the samples of every block of `block` samples.

    Exact where samples reach `above`; elsewhere the highest sample. Counted both as a loop that plays round
    and as a file that begins and ends in silence.
    """
    total = audio.shape[1]
    per_chunk = max(1, PEAK_CHUNK // block)
    chunk = per_chunk * block
    chunks = -(-total // chunk)
    silent = np.zeros((audio.shape[0], chunks * chunk - total), np.float32)
    whole = np.concatenate([audio, silent], axis=1)
    around = np.concatenate([audio[:, -PEAK_EDGE:], whole, audio[:, :PEAK_EDGE]], axis=1)
    around[:, total + PEAK_EDGE : total + 2 * PEAK_EDGE] = audio[:, :PEAK_EDGE][:, : around.shape[1]]
    peaks = np.abs(whole).max(axis=0).reshape(-1, block).max(axis=1)
    views = np.lib.stride_tricks.sliding_window_view(around, chunk + 2 * PEAK_EDGE, axis=1)[:, ::chunk]
    loud = np.flatnonzero(peaks.reshape(chunks, per_chunk).max(axis=1) >= above)
    for first in range(0, len(loud), CHUNKS_AT_ONCE):
        chosen = loud[first : first + CHUNKS_AT_ONCE]
        places = chosen[:, None] * per_chunk + np.arange(per_chunk)
        peaks[places] = np.maximum(peaks[places], _between(views[:, chosen], per_chunk))
    for at in {0, chunks - 1} & set(loud.tolist()):
        alone = np.array(views[:, at : at + 1])
        if at == 0:
            alone[..., :PEAK_EDGE] = 0
        if at == chunks - 1:
            alone[..., PEAK_EDGE + total - at * chunk :] = 0
        place = slice(at * per_chunk, (at + 1) * per_chunk)
        peaks[place] = np.maximum(peaks[place], _between(alone, per_chunk)[0])
    found: np.ndarray = peaks[: -(-total // block)]
    return found


def _between(pieces: np.ndarray, blocks: int) -> np.ndarray:
    """Pieces [C, n, PEAK_EDGE + N + PEAK_EDGE] → the highest level between samples, by block of N [n, B]."""
    import soxr

    channels, count, length = pieces.shape
    flat = np.ascontiguousarray(pieces.reshape(channels * count, length).T)
    finer = np.abs(soxr.resample(flat, 1, OVERSAMPLING, "HQ"))
    finer = finer[OVERSAMPLING * PEAK_EDGE :][: OVERSAMPLING * (length - 2 * PEAK_EDGE)]
    return np.asarray(finer.reshape(blocks, -1, channels, count).max(axis=(1, 2)).T)


def seam_error(audio: np.ndarray, sample_rate_hz: int = SAMPLE_RATE_HZ) -> float:
    """Click at the loop point relative to the loop's own usual movement: 1 or less is no more than the music
    does.

    It is the worst of all bands (a tick above 6 kHz is hidden in the sum when a pad is loud below) and of the
    bend from the last samples to the first. An attack that begins with the loop is music, not a click: only
    what comes from an end that was cut off is counted.
    """
    reach = round(SEAM_REACH_S * sample_rate_hz)
    if audio.shape[1] < 4 * reach or float(np.abs(audio).max(initial=0.0)) < QUIET:
        return 0.0
    joint = np.concatenate([audio[:, -reach:], audio[:, :reach]], axis=1)
    cut_off = np.concatenate([audio[:, -reach:], np.zeros_like(audio[:, :reach])], axis=1)
    faintest = max(FAINT * float(np.abs(audio).max()), QUIET / 10)
    worst = _bend(audio)
    for band, width_s in SEAM_BANDS:
        if band[0] >= 0.45 * sample_rate_hz:
            continue
        width = max(4, round(width_s * sample_rate_hz))
        around, cut = (_in_band(part, band, sample_rate_hz) for part in (joint, cut_off))
        beside = max(
            around[reach - 6 * width : reach - 1].max(), around[reach + 2 * width :][: 6 * width].max()
        )
        bursts = _bursts(_in_band(audio, band, sample_rate_hz), width)
        usual = float(np.median(np.sort(bursts)[len(bursts) // 2 :]))
        click = min(float(around[reach : reach + width].max()), float(cut[reach : reach + width].max()))
        worst = max(worst, click / max(usual, float(beside), faintest))
    return worst


def _in_band(audio: np.ndarray, band_hz: tuple[float, float], sample_rate_hz: int) -> np.ndarray:
    """The louder channel's absolute value in a band [N]; the filter looks back only."""
    import scipy.signal

    sections = _band_filter(band_hz, sample_rate_hz)
    louder: np.ndarray = np.abs(scipy.signal.sosfilt(sections, audio, axis=1)).max(axis=0)
    return louder


@lru_cache(maxsize=64)  # designing it takes as long as filtering a second of sound
def _band_filter(band_hz: tuple[float, float], sample_rate_hz: int) -> np.ndarray:
    import scipy.signal

    low, high = band_hz[0], min(band_hz[1], 0.49 * sample_rate_hz)
    kind, edges = ("lowpass", high) if low == 0 else ("bandpass", (low, high))
    sections: np.ndarray = scipy.signal.butter(2, edges, kind, fs=sample_rate_hz, output="sos")
    return sections


def _bursts(band: np.ndarray, window: int) -> np.ndarray:
    count = len(band) // window
    bursts: np.ndarray = band[: count * window].reshape(count, window).max(axis=1)
    return bursts


def _bend(audio: np.ndarray) -> float:
    """The bend from the last samples to the first against the median bend over the livelier half."""
    bursts = _bursts(np.abs(np.diff(audio, n=2, axis=1)).max(axis=0), SEAM_WINDOW)
    median = float(np.median(np.sort(bursts)[len(bursts) // 2 :]))
    joint = np.concatenate([audio[:, -2:], audio[:, :2]], axis=1)
    jump = np.abs(np.diff(joint, n=2, axis=1)).max(axis=1)
    cut_off = np.abs(audio[:, -1]) + np.abs(audio[:, -1] - audio[:, -2])
    click = float(np.minimum(jump, cut_off).max())
    return click / median if median > 1e-7 else (0.0 if click < QUIET else 99.0)

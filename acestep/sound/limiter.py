"""The level of a clip: gain to a loudness, and a limiter that looks ahead so that no peak is cut off.

Audio is [C, N] float32, a loop.
"""

from dataclasses import dataclass

import numpy as np

from acestep.sound.loudness import integrated_lufs, true_peaks

# Chosen by hand where no standard is named; the tests hold ceiling and loudness.
CEILING_DB = -1.0  # true peak, as streaming services and EBU R 128 want it
MARGIN_DB = 0.3  # under the ceiling: a gain that moves makes peaks between samples of its own
AHEAD_S = 0.0015  # the gain is down this long before the peak
RELEASE_S = 0.060  # time constant of letting go
BLOCK_S = 0.0005  # of the gain
MOST_BETWEEN = 2.0  # a peak between samples is higher than them by less than this
MOST_LIMITED_DB = 15.0  # a clip that would need more is left quieter
MOST_GAIN_DB = 40.0  # of a quiet clip: beyond, it is noise that is turned up
NEAR_LU = 0.2  # a loudness this near is reached
AUDIBLE_DB = 6.0  # from here on a note tells of peaks held back
ROUNDS = 5  # limiting changes the loudness, which is then set again
SPLICE_S = 0.02  # at the edges of a new region, which are mostly what is around it


@dataclass(frozen=True)
class Level:
    """What was done to a clip's level: `gain_db` to all of it, `limited_db` at most at its peaks."""

    gain_db: float
    limited_db: float
    target_lufs: float | None

    def to_dict(self) -> dict[str, float | None]:
        """For the sidecar."""
        return {
            "gain_db": round(self.gain_db, 2),
            "limited_db": round(self.limited_db, 2),
            "target_lufs": self.target_lufs,
        }

    def notes(self) -> tuple[str, ...]:
        """What a musician should know: peaks that were held back audibly."""
        return (
            (f"peaks held back by up to {self.limited_db:.1f} dB",) if self.limited_db >= AUDIBLE_DB else ()
        )


def levelled(
    audio: np.ndarray, sample_rate_hz: int, target_lufs: float | None, ceiling_db: float = CEILING_DB
) -> tuple[np.ndarray, Level]:
    """`audio` at `target_lufs` (None: as loud as it is), with no true peak above the ceiling.

    Limiting lowers the loudness a little, so the gain is found by trying.
    """
    limiter = _Limiter(audio, sample_rate_hz, ceiling_db)
    heard = None if target_lufs is None else integrated_lufs(audio, sample_rate_hz)
    if heard is None or target_lufs is None:
        result, limited_db = limiter.at(1.0)
        return result, Level(0.0, limited_db, target_lufs)
    gain_db = min(target_lufs - heard, MOST_GAIN_DB)
    for _ in range(ROUNDS):
        result, limited_db = limiter.at(10 ** (gain_db / 20))
        if limited_db == 0:
            break
        short = target_lufs - (integrated_lufs(result, sample_rate_hz) or target_lufs)
        step = min(short, MOST_LIMITED_DB - limited_db, MOST_GAIN_DB - gain_db)
        if abs(short) < NEAR_LU or abs(step) < NEAR_LU / 2:
            break
        gain_db += step
    return result, Level(gain_db, limited_db, target_lufs)


def limited_inside(
    audio: np.ndarray, sample_rate_hz: int, region_s: tuple[float, float]
) -> tuple[np.ndarray, Level]:
    """The peaks of a new region held back. Samples outside of the region stay the same."""
    start, end = (min(round(edge_s * sample_rate_hz), audio.shape[1]) for edge_s in region_s)
    new = audio[:, start:end]
    if not new.shape[1]:
        return audio, Level(0.0, 0.0, None)
    held, level = levelled(new, sample_rate_hz, None)
    fade = max(1, min(round(SPLICE_S * sample_rate_hz), new.shape[1] // 2))
    place = np.arange(new.shape[1])
    rise = place / fade if start > 0 else np.ones(len(place))
    fall = place[::-1] / fade if end < audio.shape[1] else np.ones(len(place))
    share = np.clip(np.minimum(rise, fall), 0, 1).astype(np.float32)
    result = audio.copy()
    result[:, start:end] = new + share * (held - new)
    return result, level


class _Limiter:
    """Holds the peaks between an audio's samples under the ceiling, at any gain.

    The gain falls before a peak and comes back after it, the same in all channels; the loop's end looks ahead
    to its beginning.
    """

    def __init__(self, audio: np.ndarray, sample_rate_hz: int, ceiling_db: float) -> None:
        self.audio = audio
        self.ceiling = 10 ** ((ceiling_db - MARGIN_DB) / 20)
        self.block = max(1, round(BLOCK_S * sample_rate_hz))
        self._loudest = float(np.abs(audio).max(initial=0.0))
        self._peaks = np.zeros(0)

    def at(self, gain: float) -> tuple[np.ndarray, float]:
        """The audio times `gain`, limited, and by how many dB at most."""
        loud = self.audio * np.float32(gain) if gain != 1 else self.audio
        if self._loudest * gain <= self.ceiling / MOST_BETWEEN:
            return loud, 0.0
        if not len(self._peaks):
            # a gain that is found by trying may still grow by what the limiter takes
            above = self.ceiling / MOST_BETWEEN / gain / 10 ** (MOST_LIMITED_DB / 40)
            self._peaks = true_peaks(self.audio, self.block, above)
        needed = np.minimum(1.0, self.ceiling / np.maximum(self._peaks * gain, 1e-9))
        lowest = float(needed.min())
        if lowest >= 1.0:
            return loud, 0.0
        places = (np.arange(len(needed) + 1) * self.block).astype(np.float64)
        curve = np.interp(np.arange(loud.shape[1]), places, _smooth(_released(needed))).astype(np.float32)
        return loud * curve, float(-20 * np.log10(lowest))


def _smooth(gain: np.ndarray) -> np.ndarray:
    """The gain at the edges of its blocks: a weighted mean of minima that look far enough ahead, so that it
    is smooth and down when a peak comes."""
    ahead = round(AHEAD_S / BLOCK_S)
    lowest = np.min([np.roll(gain, -step) for step in range(-1, ahead + 1)], axis=0)
    ramp = np.hanning(ahead + 3)[1:-1]
    padded = np.concatenate([lowest[-ahead:], lowest, lowest[:1]])
    return np.convolve(padded, ramp / ramp.sum(), mode="valid")


def _released(needed: np.ndarray) -> np.ndarray:
    """The gain that follows `needed` down at once and comes back slowly, twice round the loop."""
    gain, now, back = np.empty_like(needed), 1.0, float(np.exp(-BLOCK_S / RELEASE_S))
    for _ in range(2):
        for k, wanted in enumerate(needed.tolist()):
            now = min(wanted, 1.0 - (1.0 - now) * back)
            gain[k] = now
    return gain

"""What hits lose on their way: their attack, and the silence before them. Nothing learned.

Audio is mono float [N] at 48 kHz.
"""

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from acestep.music.grid import SAMPLE_RATE_HZ as RATE

MS = RATE // 1000
# What counts as a hit, chosen by hand: a measure, held by the tests on sounds made by arithmetic.
HARD_DB = 12  # a hit is this much louder than what is before it
HIGH_HZ = 3000  # above, an attack is heard
SEARCH_MS = (15, 25)  # around a hit, for where it rises
SILENT = 1e-3  # amplitude


def hits(mono: np.ndarray) -> list[int]:
    """The samples at which something hits hard."""
    import librosa

    found = []
    for near in librosa.onset.onset_detect(y=mono, sr=RATE, hop_length=128, units="samples"):
        start = max(0, int(near) - 25 * MS)
        part = mono[start : int(near) + 25 * MS]
        if len(part) < 42 * MS:
            continue
        energy = np.log(uniform_filter1d(part.astype(float) ** 2, MS) + 1e-9)
        at = start + MS + int(np.argmax(energy[2 * MS :] - energy[: -2 * MS]))
        inside = 15 * MS < at < len(mono) - 15 * MS
        if inside and _level(mono[at : at + 10 * MS]) - level_before(mono, at) > HARD_DB:
            found.append(at)
    return sorted(set(found))


def level_before(mono: np.ndarray, at: int) -> float:
    """dB of full scale from 12 to 2 ms before a hit."""
    return _level(mono[at - 12 * MS : at - 2 * MS])


def attacks_ms(mono: np.ndarray, places: list[int]) -> list[float]:
    """From 10 to 90 % of the peak's amplitude above 3 kHz, at each hit that has something there."""
    high = sosfiltfilt(butter(6, HIGH_HZ, "high", fs=RATE, output="sos"), mono)
    size = np.sqrt(uniform_filter1d(high**2, 3 * MS).clip(0))
    found = []
    for at in places:
        start = max(at - SEARCH_MS[0] * MS, 0)
        part = size[start : at + SEARCH_MS[1] * MS]
        peak = float(part.max())
        if peak < SILENT:
            continue
        top = int(np.argmax(part >= 0.9 * peak))
        low = np.flatnonzero(part[: top + 1] <= 0.1 * peak)
        found.append((top - (int(low[-1]) if len(low) else 0)) / MS)
    return found


def _level(mono: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(mono.astype(float) ** 2) + 1e-12))

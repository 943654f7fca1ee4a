"""What hits and held notes lose on their way: attack, level before a hit, drop-outs. Nothing learned.

Audio is mono float [N] at 48 kHz.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from acestep.music.grid import SAMPLE_RATE_HZ as RATE

MS = RATE // 1000
HARD_DB = 12  # a hit is this much louder than what is before it
HIGH_HZ = 3000
SEARCH_MS = (15, 25)  # around a hit, for where it rises
SILENT = 1e-3  # amplitude
BRIGHT_HZ, FLAT_HZ = (10_000, 16_000), (4000, 16_000)
FFT = 2048
DIP_DB, DIP_MS = 6.0, 60  # a drop-out is this much below both sides within this time


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


def dropouts_per_s(mono: np.ndarray) -> float:
    """How often a second the sound falls well below what is around it and comes back at once."""
    size = np.sqrt(uniform_filter1d(mono.astype(float) ** 2, 10 * MS).clip(0))[:: 2 * MS]
    level = 20 * np.log10(size + 1e-6)
    reach = DIP_MS // 2  # frames of 2 ms
    loudest = maximum_filter1d(level, reach, mode="constant", cval=-120.0)
    before, after = np.roll(loudest, reach // 2 + 1), np.roll(loudest, -reach // 2 - 1)
    low = (level < np.minimum(before, after) - DIP_DB) & (np.minimum(before, after) > -45)
    starts = np.count_nonzero(low[1:] & ~low[:-1])
    sounding_s = np.count_nonzero(level > -50) * 0.002
    return starts / max(sounding_s, 0.1)


def brightness_db(mono: np.ndarray) -> float:
    """10 to 16 kHz beside the whole, dB."""
    power = np.abs(np.fft.rfft(mono.astype(float))) ** 2
    hz = np.fft.rfftfreq(len(mono), 1 / RATE)
    high = power[(hz >= BRIGHT_HZ[0]) & (hz < BRIGHT_HZ[1])].sum()
    return float(10 * np.log10((high + 1e-12) / (power.sum() + 1e-12)))


def flatness(mono: np.ndarray) -> float:
    """How much 4 to 16 kHz is like noise, 0 to 1: geometric over arithmetic mean of the power of a spectrum's
    bins, median of the louder half of the spectra.
    """
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(mono.astype(float), (0, FFT)), FFT)[:: FFT // 4]
    power = np.abs(np.fft.rfft(frames * np.hanning(FFT))) ** 2 + 1e-10
    hz = np.fft.rfftfreq(FFT, 1 / RATE)
    power = power[:, (hz >= FLAT_HZ[0]) & (hz < FLAT_HZ[1])]
    loud = power.mean(1) >= np.median(power.mean(1))
    return float(np.median(np.exp(np.log(power[loud]).mean(1)) / power[loud].mean(1)))


def _level(mono: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(mono.astype(float) ** 2) + 1e-12))

"""What sounds lose on their way through a codec: drop-outs of held notes, brightness, noise. Nothing learned.

Audio is mono float [N] at 48 kHz.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from acestep.music.grid import SAMPLE_RATE_HZ as RATE

MS = RATE // 1000
BRIGHT_HZ, FLAT_HZ = (10_000, 16_000), (4000, 16_000)
FFT = 2048
DIP_DB, DIP_MS = 6.0, 60  # a drop-out is this much below both sides within this time


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

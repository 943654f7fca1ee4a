"""What a single hit is: a kick, a snare, a hat, a tom, other percussion, or a note."""

import numpy as np

from acestep.hearing.onsets import mono
from acestep.hearing.pitch import Pitch

KINDS = ("kick", "snare", "hat", "tom", "percussion", "bass", "note", "chord")

# Bounds in Hz, chosen by hand on single hits of the recipe's kits.
LOW_HZ, HIGH_HZ, AIR_HZ = 160.0, 2_500.0, 5_000.0
HIGHEST_KICK_HZ, HIGHEST_TOM_HZ = 95.0, 400.0  # of their strongest tone
CLEAN = 0.1  # share of the power above HIGH_HZ: what has less has no noise in it
SIZE_S = 0.2  # of a hit is looked at
MIDDLE_C = 60


def spectrum_shares(sound: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, float]:
    """Shares of the power below LOW_HZ, up to HIGH_HZ, up to AIR_HZ and above; the strongest frequency."""
    samples = mono(sound)[: round(SIZE_S * sample_rate_hz)]
    power = np.square(np.abs(np.fft.rfft(samples * np.hanning(2 * len(samples))[len(samples) :])))
    hz = np.fft.rfftfreq(len(samples), 1 / sample_rate_hz)
    edges = (LOW_HZ, HIGH_HZ, AIR_HZ)
    bands = np.array([part.sum() for part in np.split(power, np.searchsorted(hz, edges))])
    return bands / max(float(bands.sum()), 1e-20), float(hz[np.argmax(power)])


def kind_of(
    sound: np.ndarray, sample_rate_hz: int, pitch: Pitch | None, *, tonal: bool = False
) -> tuple[str, float]:
    """The kind of a hit [C, N] with its pitch, and how sure that is, 0–1.

    `tonal` says that it comes from pitched music: what has a pitch is a note there.
    """
    if tonal and pitch is not None:
        return ("bass" if pitch.note < MIDDLE_C - 12 else "note"), pitch.likeness
    (low, middle, high, air), strongest_hz = spectrum_shares(sound, sample_rate_hz)
    noise = float(high + air)
    if tonal and noise < CLEAN and sound.shape[1] >= SIZE_S * sample_rate_hz:
        return "chord", 1 - noise
    if pitch is not None:
        strongest_hz = min(strongest_hz, pitch.hz)
    if air >= 0.5 and noise >= 0.8:
        return "hat", noise
    if low >= 0.45:  # a hat may sound along with a kick
        return ("kick" if strongest_hz < HIGHEST_KICK_HZ else "tom"), float(low)
    if noise >= CLEAN:
        return "snare", float(min(1.0, 2 * min(noise, 1 - air)))
    if strongest_hz < HIGHEST_TOM_HZ:
        return "tom", float(middle)
    return "percussion", float(middle)

"""The pitch of one sound: which note it is tuned to, and how surely. Chords have none.

The method is the normalised autocorrelation of McLeod and Wyvill's "A smarter way to find pitch" (2005).
"""

from dataclasses import dataclass

import numpy as np

from acestep.hearing.onsets import mono

# Chosen by hand; tests/acestep/hearing/test_pitch.py holds them on tones and kicks made by arithmetic.
LOWEST_HZ, HIGHEST_HZ = 27.0, 2_000.0  # from about A0 to B6
RATE_HZ = 12_000  # enough for HIGHEST_HZ
SETTLE_S = 0.06  # an attack is noise, and a kick's tone falls for as long
HEARD_S = 0.25  # of a sound is listened to
PERIODS = 2.5  # must be heard of the lowest tone
NEAR_BEST = 0.9  # of the best likeness: the first peak this high is the period, later ones are multiples
SURE = 0.8  # likeness from which a sound is called tuned
SILENT = 1e-4  # amplitude
NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")  # no sharps: # is no letter in URLs


@dataclass(frozen=True)
class Pitch:
    """A tone's frequency and how alike its periods are, 0–1."""

    hz: float
    likeness: float

    @property
    def exact(self) -> float:
        """MIDI note with its fraction; 60 is middle C."""
        return 69 + 12 * float(np.log2(self.hz / 440))

    @property
    def note(self) -> int:
        """The nearest MIDI note."""
        return round(self.exact)

    @property
    def cents(self) -> float:
        """How far above the nearest note the tone is."""
        return 100 * (self.exact - self.note)


def note_name(note: int) -> str:
    """`F1` for MIDI note 29: C4 is middle C, and black keys are flats, which file names may hold."""
    return f"{NAMES[note % 12]}{note // 12 - 1}"


def find_pitch(audio: np.ndarray, sample_rate_hz: int) -> Pitch | None:
    """The pitch of a single sound [C, N] that begins at its first sample; None where none is clear."""
    import scipy.fft
    import soxr

    samples = soxr.resample(mono(audio).astype(np.float32), sample_rate_hz, RATE_HZ, "MQ")
    longest = round(RATE_HZ / LOWEST_HZ)
    settle = min(round(SETTLE_S * RATE_HZ), len(samples) // 3)
    part = samples[settle : settle + round(HEARD_S * RATE_HZ)].astype(np.float64)
    longest = min(longest, int(len(part) / PERIODS))
    if longest < RATE_HZ / HIGHEST_HZ * 2 or np.abs(part).max(initial=0) < SILENT:
        return None
    part = part - part.mean()
    spectrum = scipy.fft.rfft(part, 2 * len(part))
    product = scipy.fft.irfft(np.square(np.abs(spectrum)))[: longest + 2]
    powers = np.concatenate([[0.0], np.cumsum(np.square(part))])
    lags = np.arange(longest + 2)
    energy = powers[len(part) - lags] + powers[-1] - powers[lags]
    likeness = 2 * product / np.maximum(energy, 1e-12)
    return _first_period(likeness)


def _first_period(likeness: np.ndarray) -> Pitch | None:
    below = np.flatnonzero(likeness < 0)
    if not len(below):  # it never turns: lower than can be heard here
        return None
    inner = likeness[1:-1]
    peaks = 1 + np.flatnonzero((inner >= likeness[:-2]) & (inner > likeness[2:]))
    peaks = peaks[(peaks > below[0]) & (peaks >= RATE_HZ / HIGHEST_HZ)]
    if not len(peaks):
        return None
    lag = int(peaks[likeness[peaks] >= NEAR_BEST * likeness[peaks].max()][0])
    left, middle, right = likeness[lag - 1 : lag + 2]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend else 0.0
    if middle < SURE:
        return None
    return Pitch(RATE_HZ / (lag + shift), float(min(middle, 1.0)))

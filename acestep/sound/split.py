"""Audio into what is struck and what sounds on, without anything learned: `percussive` and `tonal`.

Struck sounds stand upright in a spectrogram, held tones lie in it (Fitzgerald, "Harmonic/percussive
separation using median filtering", DAFx 2010). Each band is looked at with windows of its own length. It
knows no instruments: a kick's tone goes to the tonal part, a plucked string's attack to the percussive one.
"""

import numpy as np

# Chosen by `python -m tests.benchmarks.split`.
EDGES_HZ = (180.0, 2_000.0)  # between the bands
WINDOWS = (8_192, 4_096, 2_048)  # of each band, in samples at 48 kHz
HELD_S = (0.50, 0.30, 0.20)  # over which a tone is looked for
STRUCK_HZ = (120.0, 400.0, 1_500.0)  # over which a hit is looked for
POWER = 2.0  # of the masks
PARTS = ("percussive", "tonal")


def split(audio: np.ndarray, sample_rate_hz: int) -> dict[str, np.ndarray]:
    """`audio` [C, N] as PARTS [C, N]; their sum is the audio, to the last bit of 24."""
    length = audio.shape[1]
    room = max(0, WINDOWS[0] - length)  # nothing is shorter than the longest window
    bands = _bands(np.pad(audio.astype(np.float64), ((0, 0), (0, room))), sample_rate_hz)
    struck = np.sum([_struck(band, sample_rate_hz, place) for place, band in enumerate(bands)], axis=0)
    struck = struck[:, :length]
    whole = 2.0**23  # on the grid of 24 bits both parts are exact floats, and so is their sum
    percussive = np.rint(struck * whole) / whole
    tonal = audio - percussive
    return {"percussive": percussive.astype(np.float32), "tonal": tonal.astype(np.float32)}


def _bands(audio: np.ndarray, sample_rate_hz: int) -> list[np.ndarray]:
    """Low to high; their sum is the audio."""
    from scipy.signal import butter, sosfiltfilt

    bands, rest = [], audio
    for edge_hz in EDGES_HZ:
        low = sosfiltfilt(butter(4, edge_hz, fs=sample_rate_hz, output="sos"), rest, axis=1)
        bands.append(low)
        rest = rest - low
    return [*bands, rest]


def _struck(band: np.ndarray, sample_rate_hz: int, place: int) -> np.ndarray:
    """The percussive part of a band [C, N]."""
    from scipy.signal import istft, stft

    window = WINDOWS[place]
    hop = window // 4
    _, _, spectrum = stft(band, sample_rate_hz, nperseg=window, noverlap=window - hop)
    size = np.sqrt(np.square(np.abs(spectrum)).mean(axis=0))  # one mask for all channels: nothing moves
    frames = max(3, round(HELD_S[place] * sample_rate_hz / hop) | 1)
    bins = max(3, round(STRUCK_HZ[place] * window / sample_rate_hz) | 1)
    held = _medians(size, frames) ** POWER
    struck = _medians(size.T, bins).T ** POWER
    mask = struck / np.maximum(struck + held, 1e-20)
    _, found = istft(spectrum * mask, sample_rate_hz, nperseg=window, noverlap=window - hop)
    part = np.zeros(band.shape)
    length = min(found.shape[1], band.shape[1])
    part[:, :length] = found[:, :length]
    return part


def _medians(rows: np.ndarray, width: int) -> np.ndarray:
    """The median of `width` (odd) values around each, along each row; rows go on mirrored at their ends."""
    from scipy.ndimage import median_filter

    half = width // 2
    padded = np.pad(rows.astype(np.float32), ((0, 0), (half, half)), "symmetric")
    # all rows as one: only along a single axis the filter is quick
    medians: np.ndarray = median_filter(padded.ravel(), width).reshape(padded.shape)
    return medians[:, half : half + rows.shape[1]]

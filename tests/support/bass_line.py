"""A reader of bass lines by arithmetic, as the MIDI files of clips were written before: a baseline to measure
against.
"""

from dataclasses import dataclass

import numpy as np

from acestep.hearing.onsets import mono
from acestep.music.grid import SAMPLE_RATE_HZ, Grid

BASS_RATE_HZ = 4_000  # a bass needs no more
BASS_HZ = (35.0, 220.0)  # from below E1 to about A3
WINDOW = 512  # 128 ms
HOP = 64  # 16 ms
MIN_SURE = 0.6  # of the sixteenths with bass in them must be one clear tone
CLEAR = 0.5  # share of a clear tone's harmonics in the low band's energy
SILENT = 0.05  # of the loudest moment


@dataclass(frozen=True)
class BassNote:
    """One note, in quarters from the clip's start."""

    quarters: float
    length: float
    pitch: int


def bass_line(audio: np.ndarray, grid: Grid, sample_rate_hz: int = SAMPLE_RATE_HZ) -> tuple[BassNote, ...]:
    """The notes of a monophonic bass on the grid's sixteenths; () when it is not surely one."""
    import soxr

    low = soxr.resample(mono(audio).astype(np.float32), sample_rate_hz, BASS_RATE_HZ, "MQ")
    pitch, clear, level = _low_tones(low)
    if not len(level) or level.max() <= 1e-6:
        return ()
    steps = round(grid.bars * grid.signature.quarters_per_bar * 4)
    step_s = 15 / grid.bpm
    found: list[int | None] = []
    sure = heard = 0
    for step in range(steps):
        first = int((step + 0.3) * step_s * BASS_RATE_HZ / HOP)
        part = slice(first, max(first + 1, int((step + 1) * step_s * BASS_RATE_HZ / HOP)))
        if not len(level[part]) or np.median(level[part]) < SILENT * level.max():
            found.append(None)
            continue
        heard += 1
        tone = round(float(np.median(pitch[part])))
        agreed = np.mean(np.abs(pitch[part] - tone) < 0.7) > 0.6 and np.median(clear[part]) > CLEAR
        sure += int(agreed)
        found.append(tone if agreed else None)
    if heard < 4 or sure < MIN_SURE * heard:
        return ()
    return _joined(found, _struck(level, steps, step_s))


def _low_tones(low: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per frame: pitch of the strongest low tone, its share of the energy below 500 Hz, and level."""
    import scipy.fft

    padded = np.pad(low, (WINDOW // 2, WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW).astype(
        np.float32
    )
    size = np.abs(scipy.fft.rfft(frames, 8 * WINDOW, axis=1))
    hz = np.arange(size.shape[1]) * BASS_RATE_HZ / (8 * WINDOW)
    band = np.flatnonzero((hz >= BASS_HZ[0]) & (hz <= BASS_HZ[1]))
    # the fundamental is where it and its first harmonics together are strongest
    comb = size[:, band] + 0.5 * size[:, np.minimum(2 * band, size.shape[1] - 1)]
    comb += 0.3 * size[:, np.minimum(3 * band, size.shape[1] - 1)]
    best = band[np.argmax(comb, axis=1)]
    pitch = 69 + 12 * np.log2(hz[best] / 440)
    rows = np.arange(len(size))
    power = np.square(size)
    reach = 16
    near = sum(
        power[
            rows[:, None],
            np.clip(best[:, None] * harmonic + np.arange(-reach, reach + 1), 0, size.shape[1] - 1),
        ].sum(axis=1)
        for harmonic in (1, 2)
    )
    total = power[:, hz < 500].sum(axis=1) + 1e-12
    return pitch, np.minimum(near / total, 1.0), np.sqrt(power[:, band].sum(axis=1))


def _struck(level: np.ndarray, steps: int, step_s: float) -> list[bool]:
    """Whether the bass is struck anew at each sixteenth."""
    result = []
    for step in range(steps):
        at = int(step * step_s * BASS_RATE_HZ / HOP)
        before = level[max(0, at - 2) : at + 1].mean() if at else 0.0
        after = level[at + 1 : at + 5]
        result.append(bool(len(after) and after.max() > 1.3 * before + SILENT * level.max()))
    return result


def _joined(found: list[int | None], struck: list[bool]) -> tuple[BassNote, ...]:
    notes: list[BassNote] = []
    for step, pitch in enumerate(found):
        if pitch is None:
            continue
        last = notes[-1] if notes else None
        if (
            last
            and last.pitch == pitch
            and abs(last.quarters + last.length - step / 4) < 1e-9
            and not struck[step]
        ):
            notes[-1] = BassNote(last.quarters, last.length + 0.25, pitch)
        else:
            notes.append(BassNote(step / 4, 0.25, pitch))
    return tuple(notes)

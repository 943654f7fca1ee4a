"""How a sound looks: the lowest and highest sample of each column, and its spectrum over pitch."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from acestep.sound.audio import audio_blocks, probe

LOW_HZ, HIGH_HZ = 40.0, 18_000.0  # about what loops hold, and what ears hear
SIZE = 2048  # samples of a spectrum: 43 ms at 48 kHz, short enough to show hits, long enough for bass notes
FLOOR_DB = -85.0  # what is drawn as nothing
COLUMNS, ROWS = 900, 160  # of a picture, twice as fine as it is usually shown
_BLOCK = 1 << 16

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A sound in W columns.

    `lows` ≤ 0 ≤ `highs`: [W], 1 is full scale. `levels`: [ROWS, W] in dB, low pitches first.
    """

    lows: Floats
    highs: Floats
    levels: Floats
    duration_s: float

    @property
    def brightness(self) -> Floats:
        """`levels` from 0 (FLOOR_DB or less) to 1 (full scale)."""
        return np.asarray(np.clip(1 - self.levels / FLOOR_DB, 0, 1), np.float32)


def picture_of(path: Path, columns: int = COLUMNS) -> Picture:
    """Of a file, read in pieces however long it is. Raises UnreadableAudio."""
    info = probe(path)
    return picture(audio_blocks(path, _BLOCK), info.frames, info.sample_rate_hz, columns)


def picture(
    blocks: Iterable[NDArray[np.floating]], frames: int, rate_hz: int, columns: int = COLUMNS
) -> Picture:
    """Of samples [n, channels] that come in `blocks`, `frames` in all."""
    width = max(1, min(columns, frames))
    lows, highs = np.zeros(width, np.float32), np.zeros(width, np.float32)
    power = np.zeros((width, ROWS), np.float32)
    windows, begin = _Windows(hop=int(np.clip(frames // width, 1, SIZE))), 0

    def column(sample: NDArray[np.integer]) -> NDArray[np.integer]:
        return np.asarray(np.minimum(sample * width // max(1, frames), width - 1), np.intp)

    def draw(block: NDArray[np.floating]) -> None:
        middles, pieces = windows.push(block)
        spectra = np.abs(np.fft.rfft(pieces * windows.shape, axis=2)) ** 2 / (SIZE / 4) ** 2
        # channels apart, and then their mean: opposites would cancel
        np.maximum.at(power, column(middles), spectra.mean(axis=1) @ _rows(rate_hz))

    for block in blocks:
        at = column(begin + np.arange(len(block)))
        np.minimum.at(lows, at, block.min(axis=1))
        np.maximum.at(highs, at, block.max(axis=1))
        begin += len(block)
        draw(block)
        silence = np.zeros((SIZE // 2, block.shape[1]), np.float32)
    if begin:
        draw(silence)
    levels = 10 * np.log10(power.T + 1e-12)
    return Picture(lows, highs, np.asarray(levels, np.float32), frames / rate_hz)


class _Windows:
    """Cuts pieces of SIZE samples around every `hop`-th sample of what is pushed; before it is silence."""

    def __init__(self, hop: int) -> None:
        self._hop = hop
        self.shape = np.hanning(SIZE).astype(np.float32)
        self._waiting: NDArray[np.floating] | None = None
        self._middle = 0

    def push(self, block: NDArray[np.floating]) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """Block [n, channels] → the middles of the pieces it completes [m], and those [m, channels, SIZE]."""
        before = self._waiting
        if before is None:
            before = np.zeros((SIZE // 2, block.shape[1]), np.float32)
        samples = np.concatenate([before, block])
        count = max(0, (len(samples) - SIZE) // self._hop + 1)
        middles = self._middle + self._hop * np.arange(count)
        self._middle += self._hop * count
        self._waiting = samples[self._hop * count :]
        if not count:
            return middles, np.zeros((0, block.shape[1], SIZE), np.float32)
        return middles, np.lib.stride_tricks.sliding_window_view(samples, SIZE, axis=0)[:: self._hop][:count]


@functools.cache
def _rows(rate_hz: int) -> Floats:
    """Weights [SIZE / 2 + 1, ROWS] that read a power spectrum at ROWS pitches, LOW_HZ to HIGH_HZ.

    Each is a triangle between its neighbours, but never narrower than two lines of the spectrum: low pitches
    lie between those lines, and are interpolated instead of drawn as steps.
    """
    lines = np.fft.rfftfreq(SIZE, 1 / rate_hz)
    pitches = np.geomspace(LOW_HZ, HIGH_HZ, ROWS)
    widths = np.maximum(np.gradient(pitches), lines[1])
    weights = np.maximum(0, 1 - np.abs(lines[:, None] - pitches) / widths)
    return np.asarray(weights / np.maximum(1, weights.sum(axis=0)), np.float32)

"""A style of its own for the adapter benchmark: broken chords of a chip's pulse waves, crushed, with ticks.

Loops of four bars at any tempo, each different, in minor keys that anyone hears. Knows nothing of models.
"""

from pathlib import Path
from typing import Any

import numpy as np

from acestep.music.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.music.key import Key

Floats = np.ndarray[Any, np.dtype[np.float32]]
BARS = 4.0
CHORDS = ((0, 5, 3, 4), (0, 3, 4, 0), (0, 5, 2, 6), (0, 3, 0, 4))  # degrees of the minor scale, a bar each


def style_loop(seed: int) -> tuple[Floats, Grid, Key]:
    """A loop [2, N] with its grid and key."""
    random = np.random.default_rng(seed)
    grid = Grid(float(random.integers(84, 132)), Signature(4, 4), BARS)
    key = Key(int(random.integers(12)), "minor")
    audio = np.zeros((2, grid.samples()))
    scale = sorted((pitch - key.tonic) % 12 for pitch in key.pitch_classes)
    chords = CHORDS[int(random.integers(len(CHORDS)))]
    shape = random.permutation([0, 2, 4, 7, 4, 2])  # steps above the chord's root, sixteenth by sixteenth
    for step in range(round(grid.beats * 4)):
        at = round(step * grid.beat_s / 4 * SAMPLE_RATE_HZ)
        root = chords[step // 16]
        degree = root + int(shape[step % len(shape)])
        pitch = 60 + key.tonic + scale[degree % 7] + 12 * (degree // 7)
        accent = step % 16 == 0
        if accent or random.random() < 0.85:
            _add(audio, at, _pulse(pitch, 0.16, 0.125), 0.4 if accent else 0.26, random.uniform(0.3, 0.7))
        if step % 4 == 0:
            low = 36 + key.tonic + scale[root % 7]
            _add(audio, at, _pulse(low, 0.9 * grid.beat_s, 0.5), 0.3, 0.5)
        if step % 2 == 0:
            _add(audio, at, _tick(random), 0.16 if step % 4 else 0.34, 0.5)
    crushed = np.round(np.tanh(1.4 * audio) * 24) / 24  # five bits, roughly
    return (0.6 * crushed).astype(np.float32), grid, key


def _pulse(pitch: float, length_s: float, width: float) -> Floats:
    """A pulse wave of a duty `width`, whose partials end below 8 kHz; it falls away linearly."""
    t = np.arange(round(length_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    hz = 440 * 2 ** ((pitch - 69) / 12)
    partials = np.arange(1, max(2, int(8000 / hz)))
    weights = np.sin(np.pi * partials * width) / partials
    wave = (weights[:, None] * np.cos(2 * np.pi * hz * partials[:, None] * t)).sum(0)
    return np.asarray(wave * np.minimum(1, t / 0.002) * (1 - t / length_s), np.float32)


def _tick(random: np.random.Generator) -> Floats:
    t = np.arange(round(0.03 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return np.asarray(random.normal(0, 1, len(t)) * np.exp(-220 * t), np.float32)


def _add(audio: np.ndarray, at: int, sound: Floats, level: float, pan: float) -> None:
    """Add a sound; what rings over the end starts the loop, so that it repeats without a seam."""
    place = (at + np.arange(len(sound))) % audio.shape[1]
    audio[0, place] += level * sound * np.sqrt(1 - pan)
    audio[1, place] += level * sound * np.sqrt(pan)


def write_style(folder: Path, seeds: range) -> list[Path]:
    """Loops as WAV files whose names say tempo and key."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for seed in seeds:
        audio, grid, key = style_loop(seed)
        path = folder / f"chip_arps_{seed:03}_{grid.bpm:g}bpm_{key.short}.wav"
        soundfile.write(path, audio.T, SAMPLE_RATE_HZ, subtype="PCM_24")
        written.append(path)
    return written

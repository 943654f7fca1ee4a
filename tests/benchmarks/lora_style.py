"""A style of its own for the adapter benchmark: crushed FM bells over a drone, with ticking noise.

Loops of four bars at any tempo and key, each different. Knows nothing of models.
"""

from pathlib import Path
from typing import Any

import numpy as np

from acestep.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.key import Key

Floats = np.ndarray[Any, np.dtype[np.float32]]
KEYS = ("A minor", "C minor", "D minor", "E minor", "G minor", "F minor")
BARS = 4.0


def style_loop(seed: int) -> tuple[Floats, Grid, Key]:
    """A loop [2, N] with its grid and key."""
    random = np.random.default_rng(seed)
    grid = Grid(float(random.integers(84, 132)), Signature(4, 4), BARS)
    key = Key.parse(KEYS[int(random.integers(len(KEYS)))])
    samples = grid.samples()
    audio = np.zeros((2, samples))
    scale = key.pitch_classes
    for step in range(round(grid.beats * 2)):  # eighths
        at = round(step * grid.beat_s / 2 * SAMPLE_RATE_HZ)
        accent = step % 8 == 0
        if accent or random.random() < 0.55:
            degree = 0 if accent else int(random.integers(7))
            pitch = 60 + scale[degree] + 12 * int(random.integers(0, 2))
            _add(audio, at, _bell(pitch, random), 0.5 if accent else 0.32, random.uniform(0.3, 0.7))
        _add(audio, at, _tick(random), 0.22 if step % 2 else 0.4, 0.5)
    root = 36 + key.tonic
    t = np.arange(samples) / SAMPLE_RATE_HZ
    hz = 440 * 2 ** ((root - 69) / 12)
    drone = 0.12 * np.sign(np.sin(2 * np.pi * hz * t)) * (0.7 + 0.3 * np.sin(2 * np.pi * t / grid.bar_s))
    audio += drone
    crushed = np.round(np.tanh(1.5 * audio) * 24) / 24  # five bits, roughly
    return (0.6 * crushed).astype(np.float32), grid, key


def _bell(pitch: float, random: np.random.Generator) -> Floats:
    t = np.arange(round(0.5 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    hz = 440 * 2 ** ((pitch - 69) / 12)
    index = random.uniform(2.5, 4.0) * np.exp(-6 * t)
    return np.asarray(
        np.exp(-7 * t) * np.sin(2 * np.pi * hz * t + index * np.sin(2 * np.pi * 3.5 * hz * t)), np.float32
    )


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
        path = folder / f"crushed_bells_{seed:03}_{grid.bpm:g}bpm_{key.short}.wav"
        soundfile.write(path, audio.T, SAMPLE_RATE_HZ, subtype="PCM_24")
        written.append(path)
    return written

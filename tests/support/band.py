"""Audio made by arithmetic for the tests: a small band whose tempo, bars and key are known exactly.

No soundfonts, no programs from outside, the same samples every time. Arrays are [2, N] float32 at 48 kHz.
"""

from pathlib import Path

import numpy as np

from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.sound.riff import MusicalData, wav_bytes


def drums(grid: Grid, tail_s: float = 0.0) -> np.ndarray:
    """Kick on the bar and its middle, snare on 2 and 4 (or on the last beat), hats on eighths."""
    length = grid.samples()
    out = np.zeros(length + round(tail_s * SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ, np.float32)
    quarter_s = 60 / grid.bpm
    per_bar = grid.signature.quarters_per_bar
    end_s = grid.duration_s + tail_s - 0.001
    for step in range(int(end_s / (quarter_s / 2)) + 1):
        at_s = step * quarter_s / 2
        if at_s >= end_s:
            break
        place = (step / 2) % per_bar
        _add(out, at_s, 0.25 * _hat(step))
        if abs(place) < 1e-6 or abs(place - 2.5) < 1e-6:
            _add(out, at_s, _kick())
        if place in ((1.0, 3.0) if per_bar >= 4 else (per_bar - 1,)):
            _add(out, at_s, 0.6 * _snare(step))
    out = 0.5 * out[: length + round(tail_s * SAMPLE_RATE_HZ)]
    return np.stack([out, out])


def band(grid: Grid, key: Key, tail_s: float = 0.0) -> np.ndarray:
    """Drums, a bass on the roots and a chord per bar: I vi IV V (major) or i VI iv v (minor)."""
    out = drums(grid, tail_s)[0]
    bars = int(np.ceil(grid.bars + tail_s / grid.bar_s - 1e-6))
    steps = (0, 5, 3, 4)
    scale = key.pitch_classes
    for bar in range(bars):
        root = steps[bar % 4]
        for tone, octave, level in ((0, 3, 0.3), (0, 4, 0.1), (2, 4, 0.1), (4, 4, 0.1)):
            pitch = 12 * (octave + 1) + key.tonic + (scale[(root + tone) % 7] - key.tonic) % 12
            _add(out, bar * grid.bar_s, level * _tone(pitch, grid.bar_s * 0.98))
    return np.stack([out, out]).astype(np.float32)


def pad(key: Key, duration_s: float) -> np.ndarray:
    """A sustained triad without any beat."""
    third = 4 if key.mode == "major" else 3
    notes = [48 + key.tonic, 60 + key.tonic, 60 + key.tonic + third, 67 + key.tonic]
    t = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    swell = np.minimum(1, np.minimum(t, duration_s - t) / (duration_s / 3))
    out = sum(np.sin(2 * np.pi * 440 * 2 ** ((n - 69) / 12) * t) for n in notes) * 0.1 * swell
    return np.stack([out, out]).astype(np.float32)


def shifted(audio: np.ndarray, seconds: float) -> np.ndarray:
    """The loop started `seconds` earlier: its downbeat comes that much later."""
    return np.roll(audio, round(seconds * SAMPLE_RATE_HZ), axis=1)


def write_labelled(file: Path) -> Path:
    """Two bars of the band in A minor at 97.25 BPM, in a WAV whose chunks say so."""
    data = MusicalData(
        bpm=97.25, numerator=4, denominator=4, quarters=8, root=9, key="A minor", downbeats=(0,), title="x"
    )
    audio = band(Grid(97.25, bars=2), Key.parse("A minor")) * 0.5
    file.write_bytes(wav_bytes(audio, 48_000, "pcm24", data))
    return file


def _add(out: np.ndarray, at_s: float, sound: np.ndarray) -> None:
    at = round(at_s * SAMPLE_RATE_HZ)
    sound = sound[: max(0, len(out) - at)]
    out[at : at + len(sound)] += sound


def _kick() -> np.ndarray:
    t = np.arange(9600) / SAMPLE_RATE_HZ
    return (np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-t * 40)))) * np.exp(-t * 14)).astype(np.float32)


def _snare(seed: int) -> np.ndarray:
    t = np.arange(7200) / SAMPLE_RATE_HZ
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return ((noise * 0.5 + np.sin(2 * np.pi * 190 * t)) * np.exp(-t * 28)).astype(np.float32)


def _hat(seed: int) -> np.ndarray:
    t = np.arange(2400) / SAMPLE_RATE_HZ
    noise = np.diff(np.random.default_rng(seed + 999).standard_normal(len(t) + 1))
    return (noise * np.exp(-t * 90)).astype(np.float32)


def _tone(pitch: int, duration_s: float) -> np.ndarray:
    t = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    hz = 440 * 2 ** ((pitch - 69) / 12)
    wave = sum(np.sin(2 * np.pi * hz * k * t) / k**1.5 for k in range(1, 6))
    fade = np.minimum(1, np.minimum(t / 0.005, (duration_s - t) / 0.03))
    return (wave * fade * np.exp(-t * 0.7)).astype(np.float32)


RATE_HZ = 48_000


def hits(at_s: list[float], seconds: float = 2.0, rise_s: float = 0.003, hz: float = 180.0) -> np.ndarray:
    """A loop of hits that swell from nothing within `rise_s` and die away; what is left over comes round."""
    total = round(seconds * RATE_HZ)
    t = np.arange(round(0.4 * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(1).standard_normal(len(t))
    shape = np.minimum(1.0, t / rise_s) * np.exp(-t / 0.06)
    hit = shape * (0.6 * np.sin(2 * np.pi * hz * t) + 0.2 * noise)
    loop = np.zeros(total)
    for start_s in at_s:
        np.add.at(loop, (round(start_s * RATE_HZ) + np.arange(len(hit))) % total, hit)
    return np.tile(loop.astype(np.float32), (2, 1))

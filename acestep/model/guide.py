"""The grid and the key as something a model is given: as extra context channels, or as quiet audio.

Where a transformer sees the beat phase of every latent frame, the tempo is an input and not a hint.
`cascade.json`'s `"guide": {"beat": 8, "key": 24}` says who takes channels; a click with root and fifth is
for checkpoints that only take context audio.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key

if TYPE_CHECKING:
    import torch

BEAT_CHANNELS = 8  # sine, then cosine, of 1/numerator (the bar), 1, 2 and 4 × the beat phase
KEY_CHANNELS = 24  # one-hot of the tonic, then membership of the scale
# Of the click, chosen by hand; nothing measures the choice.
CLICK_LEVEL = {True: 0.16, False: 0.08}  # on the bar, on the other beats
CLICK_S = 0.05  # how long it lasts
TONE_LEVEL, TONE_RISE_S = 0.03, 0.02
LOWEST_ROOT = 36  # the tonic's MIDI pitch lies in the octave from here


def guide_channels(
    grid: Grid,
    key: Key | None,
    frames: int,
    latent_rate_hz: float,
    beat: int = BEAT_CHANNELS,
    key_channels: int = KEY_CHANNELS,
    *,
    first_frame: float = 0.0,
) -> torch.Tensor:
    """The guide of `frames` latent frames from `first_frame` on → float32 [frames, beat + key_channels].

    A beat is the signature's denominator note (6/8 counts six eighths). The key's channels are 0 for None.
    """
    import torch

    if beat not in (0, BEAT_CHANNELS) or key_channels not in (0, KEY_CHANNELS):
        raise ValueError(
            f"a guide of {beat} beat and {key_channels} key channels is not known: "
            f"expected 0 or {BEAT_CHANNELS}, and 0 or {KEY_CHANNELS}"
        )
    # float64: after 64 bars the phase of 4 × the beat must still be exact to a millisecond
    time_s = (torch.arange(frames, dtype=torch.float64) + first_frame) / latent_rate_hz
    parts = []
    if beat:
        rates = torch.tensor([1 / grid.signature.numerator, 1.0, 2.0, 4.0], dtype=torch.float64)
        phase = 2 * math.pi * (time_s / grid.beat_s)[:, None] * rates
        parts += [phase.sin(), phase.cos()]
    if key_channels:
        parts.append(_key_vector(key).expand(frames, -1))
    if not parts:
        return torch.zeros(frames, 0)
    return torch.cat(parts, dim=1).float()


def guide_audio(
    grid: Grid, key: Key | None, samples: int, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> np.ndarray:
    """The guide as audio [2, samples]: a click on every beat, louder on the bar, and in a key its root and
    fifth, struck anew with every bar. Clicks are noise, which has no key. Quiet: no peak above -14 dB."""
    out = np.zeros(samples)

    def add(at_s: float, sound: np.ndarray) -> None:
        at = round(at_s * sample_rate_hz)
        out[at : at + len(sound)] += sound[: max(0, samples - at)]

    def time_s(length_s: float) -> np.ndarray:
        return np.arange(round(length_s * sample_rate_hz)) / sample_rate_hz

    t = time_s(CLICK_S)
    noise = np.random.default_rng(0).uniform(-1, 1, len(t)) * np.exp(-t / (CLICK_S / 5))
    for beat in range(math.ceil(samples / sample_rate_hz / grid.beat_s)):
        add(beat * grid.beat_s, CLICK_LEVEL[beat % grid.signature.numerator == 0] * noise)
    if key is not None:
        t = time_s(grid.bar_s)
        shape = TONE_LEVEL * np.minimum(1, np.minimum(t, grid.bar_s - t) / TONE_RISE_S)
        root = LOWEST_ROOT + (key.tonic - LOWEST_ROOT) % 12
        pitches = [440 * 2 ** ((root + up - 69) / 12) for up in (0, 7, 12)]
        tone = shape * sum(np.sin(2 * np.pi * hz * t) for hz in pitches)
        for bar in range(math.ceil(samples / sample_rate_hz / grid.bar_s)):
            add(bar * grid.bar_s, tone)
    return np.tile(out, (2, 1)).astype(np.float32)


def _key_vector(key: Key | None) -> torch.Tensor:
    import torch

    vector = torch.zeros(1, KEY_CHANNELS, dtype=torch.float64)
    if key is not None:
        vector[0, key.tonic] = 1
        vector[0, [12 + pitch for pitch in key.pitch_classes]] = 1
    return vector

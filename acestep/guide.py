"""The grid and the key as extra context channels, frame by frame, for checkpoints that take them.

Where a transformer sees the beat phase of every latent frame, the tempo is an input and not a hint.
Knows nothing of latents or models; `cascade.json`'s `"guide": {"beat": 8, "key": 24}` says who wants it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from acestep.grid import Grid
from acestep.key import Key

if TYPE_CHECKING:
    import torch

BEAT_CHANNELS = 8  # sine, then cosine, of 1/numerator (the bar), 1, 2 and 4 × the beat phase
KEY_CHANNELS = 24  # one-hot of the tonic, then membership of the scale


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


def _key_vector(key: Key | None) -> torch.Tensor:
    import torch

    vector = torch.zeros(1, KEY_CHANNELS, dtype=torch.float64)
    if key is not None:
        vector[0, key.tonic] = 1
        vector[0, [12 + pitch for pitch in key.pitch_classes]] = 1
    return vector

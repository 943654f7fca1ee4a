"""Low tones get the pitch that spectra four times as long tell of: in short ones a semitone is under a bin.

Shapes: B clips, S spectra, F bins of short spectra, L bins of long ones (106).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from acestep.model.codec.phase import FFT

LONG_FFT = 8192  # samples: four times as long as the short ones
LONG_BINS = (6, 112)  # 35 to 656 Hz
PROMINENCE = 0.75  # natural log of amplitude: a tone of a long spectrum over what is a short bin away from it


def with_tones(magnitude: Tensor, long: Tensor) -> Tensor:
    """Magnitudes [B, S, F] with low peaks where the long spectra's levels [B, S, L] have a tone near them.

    A peak and its neighbours keep their energy and take the shape of a Hann window's lobe around the tone's
    frequency: between two bins, that is all a short spectrum tells of it.
    """
    ratio, first, last = LONG_FFT // FFT, LONG_BINS[0], LONG_BINS[1] - 1
    bins = torch.arange(2, last // ratio, device=long.device)
    levels = F.pad(long, (first, 0), value=-math.inf)
    around = levels.unfold(-1, 2 * ratio + 1, ratio)[..., bins - 1, :]  # a bin to either side
    place = (ratio * (bins - 1) + around.argmax(-1)).clamp(first + 1, last - 1)
    left, top, right = (levels.gather(-1, place + step) for step in (-1, 0, 1))
    bend = (left - 2 * top + right).clamp_max(-1e-6)
    tone = (place + (0.5 * (left - right) / bend).clamp(-0.5, 0.5)) / ratio
    beside = torch.maximum(
        levels.gather(-1, (place - ratio).clamp_min(first)),
        levels.gather(-1, (place + ratio).clamp_max(last)),
    )
    lobe = magnitude.unfold(-1, 3, 1)[..., bins - 1, :]  # the bins and their neighbours
    peak = (lobe[..., 1] > lobe[..., 0]) & (lobe[..., 1] >= lobe[..., 2]) & (top - beside > PROMINENCE)
    shape = _hann_lobe(tone[..., None] - (bins[:, None] + torch.arange(-1, 2, device=long.device)))
    wanted = shape * (lobe.square().sum(-1) / shape.square().sum(-1).clamp_min(1e-6)).sqrt()[..., None]
    made = magnitude.clone()
    for step in range(3):
        here = bins + step - 1
        made[..., here] = torch.where(peak, wanted[..., step], made[..., here])
    return made


def _hann_lobe(distance: Tensor) -> Tensor:
    """A Hann window's spectrum at a distance in bins from a tone, 1 at the tone."""
    x = distance.clamp(-1.99, 1.99)
    x = torch.where((x.abs() - 1).abs() < 1e-3, x * 1.002, x)  # ½ there, but 0 / 0
    return torch.sinc(x) / (1 - x.square())

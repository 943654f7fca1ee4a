"""Which pitches sound and begin, frame by frame: basic-pitch's network, run in torch.

The network is the one of Bittner et al., "A Lightweight Instrument-Agnostic Model for Polyphonic Note
Transcription and Multipitch Estimation" (ICASSP 2022): a constant-Q spectrum, stacked so that harmonics lie
on top of each other, and six convolutions. Its weights are Spotify's (basic-pitch 0.4.0, `nmp.onnx`, Apache
License 2.0; the text lies beside them), renamed and kept as safetensors, otherwise unchanged. It hears
harmonics of loud low notes as notes, and knows nothing of drums.

T = frames, a frame in 256/22,050 s.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

FILE = Path(__file__).with_name("pitches.safetensors")
# All sizes are the published network's.
RATE_HZ = 22_050
HOP = 256
FRAME_S = HOP / RATE_HZ
LOWEST = 21  # MIDI number of the first of 88 pitches: A0
PITCHES = 88
WINDOW = 43_844  # samples heard at once: 2 s less a hop
FRAMES = 172  # of a window
EDGE = 15  # frames at either side of a window that the next one knows better
OCTAVES = 9
CONTOURS = 3 * PITCHES  # three bins a semitone
STACK = (-36, 0, 36, 57, 72, 84, 93, 101)  # bins from a tone to half of it, itself, and its harmonics 2–7
AT_ONCE = 8  # windows: bounds memory


@dataclass(frozen=True)
class Pitches:
    """How likely each pitch begins, and sounds, [T, 88] each; frame k is at `k · FRAME_S`."""

    begins: np.ndarray
    sounds: np.ndarray


def hear_pitches(samples: np.ndarray, sample_rate_hz: int, loop: bool = False) -> Pitches:
    """The pitches in mono `samples` [N]; in a `loop` the end is what comes before the beginning."""
    import soxr
    import torch

    low = soxr.resample(samples.astype(np.float32, copy=False), sample_rate_hz, RATE_HZ, "HQ")
    frames = len(low) // HOP + 1
    kept = FRAMES - 2 * EDGE
    count = -(-frames // kept)
    before, after = EDGE * HOP, count * kept * HOP + WINDOW - len(low)
    if loop and len(low):
        padded = np.concatenate([np.resize(low[::-1], before)[::-1], low, np.resize(low, after)])
    else:
        padded = np.pad(low, (before, after))
    begins: list[np.ndarray] = []
    sounds: list[np.ndarray] = []
    with torch.inference_mode():
        for first in range(0, count, AT_ONCE):
            starts = range(first * kept * HOP, min(first + AT_ONCE, count) * kept * HOP, kept * HOP)
            windows = torch.from_numpy(np.stack([padded[at : at + WINDOW] for at in starts]))
            for found, heard in zip((begins, sounds), _network(windows), strict=True):
                found.append(heard[:, EDGE : FRAMES - EDGE].reshape(-1, PITCHES).numpy())
    return Pitches(np.concatenate(begins)[:frames], np.concatenate(sounds)[:frames])


def _network(windows: "Tensor") -> "tuple[Tensor, Tensor]":
    """Windows [B, WINDOW] to (begins, sounds), [B, FRAMES, 88] each, between 0 and 1."""
    import torch
    from torch.nn import functional as F

    weights = _weights()

    def layer(name: str, x: "Tensor", stride: int, padding: tuple[int, int]) -> "Tensor":
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], (1, stride), padding)

    stacked = _stacked(_spectrum(windows))
    contours = torch.sigmoid(layer("contour.out", layer("contour.in", stacked, 1, (1, 19)).relu(), 1, (2, 2)))
    sounds = torch.sigmoid(layer("note.out", layer("note.in", contours, 3, (3, 2)).relu(), 1, (3, 1)))
    struck = torch.cat([sounds, layer("onset.in", stacked, 3, (2, 1)).relu()], dim=1)
    return torch.sigmoid(layer("onset.out", struck, 1, (1, 1)))[:, 0], sounds[:, 0]


def _spectrum(windows: "Tensor") -> "Tensor":
    """Constant-Q levels [B, 1, FRAMES, bins], 36 bins an octave from A0, scaled to each window's range."""
    import torch
    from torch.nn import functional as F

    weights = _weights()
    bank = torch.cat([weights["cqt.real"], weights["cqt.imag"]])
    octave, octaves = windows[:, None], []
    for halvings in range(OCTAVES):
        if halvings:
            octave = F.conv1d(F.pad(octave, (127, 127)), weights["cqt.halve"], stride=2)
        parts = F.conv1d(F.pad(octave, (128, 128), "reflect"), bank, stride=HOP >> halvings)
        octaves.append(parts.unflatten(1, (2, -1)).square().sum(dim=1))
    scale = weights["cqt.scale"]
    power = torch.cat(octaves[::-1], dim=1)[:, -len(scale) :] * scale[:, None].square()
    level = 10 * torch.log10(power + 1e-10)
    level = level - level.amin(dim=(1, 2), keepdim=True)
    level = level / level.amax(dim=(1, 2), keepdim=True).clamp_min(1e-9)
    return (level * weights["norm.scale"] + weights["norm.shift"]).transpose(1, 2)[:, None]


def _stacked(spectrum: "Tensor") -> "Tensor":
    """[B, 1, T, bins] to [B, 8, T, CONTOURS]: one copy for each of STACK, moved down by as many bins."""
    import torch
    from torch.nn import functional as F

    bins = spectrum.shape[-1]
    copies = [F.pad(spectrum, (max(-by, 0), max(by, 0)))[..., max(by, 0) :][..., :bins] for by in STACK]
    together = torch.cat(copies, dim=1)[..., :CONTOURS]
    return together.contiguous(memory_format=torch.channels_last)  # five times as fast


@cache
def _weights() -> "dict[str, Tensor]":
    from safetensors.torch import load_file

    return load_file(FILE)

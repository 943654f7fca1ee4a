"""The network that tells from levels how phases go on, from frame to frame and bin to bin, with certainty.

A phase itself cannot be told from magnitudes (any shift of a partial sounds alike), its differences can:
how far a bin turns from one frame to the next (where in the bin a partial lies), and how neighbouring bins
differ (where in the frame a hit lies). Both come as complex numbers whose angle is the likeliest difference
and whose length, 0 to 1, is its certainty: what the squared error against unit phasors leads to. A ConvNeXt
hears all bands at once and says a little to every band; small convolutions over frames and bands, the same
for all bands, do the rest: up to 3 kHz a band is a bin, so what they learn of one partial holds for all.
`acestep.model.codec.phase_integration` makes phases of it. Shapes: B clips, S frames, K bands, L bins of
long spectra, F bins.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep.model.codec.block import Block
from acestep.model.codec.phase import BINS, FFT, HOP

TURN = 2 * math.pi * HOP / FFT  # radians that a partial one bin higher turns more from frame to frame
CONTEXT = 8  # channels each band gets from the network that hears all bands
AROUND = tuple((t, k) for t in range(3) for k in range(5))  # levels a band sees: a frame and two bands off
PER_BAND = 6  # complex: turn at the bins' own pace, turn at the band's, difference to the next bin


class Patch(nn.Module):
    """`Block` over frames and bands, with few channels: [B, S, K, channels] stays."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.up = nn.Linear(channels, channels * 4 // 3)
        self.down = nn.Linear(channels * 4 // 3, channels)
        self.gain = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # on a CPU this gradient is slow in bfloat16
            mixed = self.mix(x.float().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        result: Tensor = x + self.gain * self.down(F.relu(self.up(mixed)))
        return result


class PhaseNetwork(nn.Module):
    """Levels of bands and of long spectra → phase differences with their certainty."""

    mean: Tensor
    deviation: Tensor
    _band: Tensor
    _lag: Tensor

    def __init__(
        self,
        edges: list[int],
        long_bins: int,
        width: int = 256,
        blocks: int = 4,
        kernel: int = 7,
        channels: int = 24,
        patches: int = 3,
    ) -> None:
        super().__init__()
        self.config = {
            "width": width, "blocks": blocks, "kernel": kernel, "channels": channels, "patches": patches
        }  # fmt: skip
        bands = len(edges) - 1
        self.margin = blocks * (kernel // 2) + patches + 1  # frames it sees to either side
        self.register_buffer("mean", torch.zeros(bands + long_bins))
        self.register_buffer("deviation", torch.ones(bands + long_bins))
        self.bands = bands
        self.hear = nn.Linear(bands + long_bins, width)
        self.blocks = nn.Sequential(*[Block(width, kernel, 3) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width)
        self.tell = nn.Linear(width, CONTEXT * bands)
        self.place = nn.Parameter(torch.zeros(bands, channels))
        self.enter = nn.Linear(len(AROUND) + CONTEXT, channels)
        self.patches = nn.Sequential(*[Patch(channels) for _ in range(patches)])
        self.leave = nn.Linear(channels, PER_BAND)
        with torch.no_grad():  # overlapping frames make most differences small: begin with that
            self.leave.bias.copy_(torch.tensor([0.6, 0, 0, 0, 0.6, 0]))
        width_of = torch.tensor([end - start for start, end in itertools.pairwise(edges)])
        centres = torch.tensor([(start + end - 1) / 2 for start, end in itertools.pairwise(edges)])
        band = torch.repeat_interleave(torch.arange(bands), width_of)
        self.register_buffer("_band", band, persistent=False)
        lag = TURN * (centres[band] - torch.arange(BINS))
        self.register_buffer("_lag", torch.polar(torch.ones(BINS), lag), persistent=False)

    def forward(self, levels: Tensor, long: Tensor) -> tuple[Tensor, Tensor]:
        """Levels [B, S, K] and [B, S, L], natural log of amplitude → (turn from the frame before beyond the
        bin's own frequency, difference to the next bin around the frame's centre), complex [B, S, F] each.
        """
        heard = (torch.cat([levels, long], -1) - self.mean) / self.deviation
        context = self.tell(self.norm(self.blocks(self.hear(heard))))
        frames, wide = levels.shape[1], F.pad(heard[..., : self.bands], (2, 2, 1, 1))
        maps = [wide[:, t : t + frames, k : k + self.bands] for t, k in AROUND]
        maps += context.unflatten(-1, (CONTEXT, self.bands)).unbind(-2)
        x = self.enter(torch.stack([part.to(context) for part in maps], -1)) + self.place.to(context)
        told = self.leave(self.patches(x)).float()[..., self._band, :]
        own, shared, delay = torch.view_as_complex(told.unflatten(-1, (3, 2))).unbind(-1)
        return own + shared * self._lag, delay

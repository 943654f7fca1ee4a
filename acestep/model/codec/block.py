"""The block that nano's decoder and its network of phases are made of."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """ConvNeXt block over time: a depthwise convolution, then a gated two-layer mix."""

    def __init__(self, width: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.mix_time = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width * expansion)
        self.down = nn.Linear(width * expansion, width)
        self.gain = nn.Parameter(torch.full((width,), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] → the same shape."""
        mixed = self.mix_time(x.transpose(1, 2)).transpose(1, 2)
        result: Tensor = x + self.gain * self.down(F.gelu(self.up(self.norm(mixed))))
        return result

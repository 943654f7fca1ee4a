"""Weights of a stage's transformer as 8-bit integers, and what that changes, measured.

Weight-only: each row of a linear layer's weight becomes int8 with one scale, and is made a float again
where it is used, so sums are as exact as before. A few lines of our own instead of a library: they run
alike on CUDA, MPS and CPU, and torchao (0.18), once installed, makes diffusers (0.42) try its classes at
every import and fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from acestep.model.stage import Stage

PACKED_FROM = 64  # numbers in a row: of fewer, a scale is too large a part
# The input that the error of int8 is measured with, chosen by hand.
PROBE_FRAMES = 64
PROBE_TOKENS = 16
PROBE_LEVELS = (0.9, 0.3)  # of noise: near the start of a song's way, and near its end


class Int8Linear(nn.Module):
    """A linear layer whose weight [out, in] is int8 with a scale per output."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        wide = linear.weight.detach().float()
        scale = wide.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("weight", (wide / scale).round().to(torch.int8))
        self.register_buffer("scale", scale[:, 0].to(linear.weight.dtype))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """As the layer it stands for; the scale is applied to the sums, which are fewer than the weights."""
        result = nn.functional.linear(x, self.weight.to(x.dtype)) * self.scale
        return result if self.bias is None else result + self.bias


@torch.no_grad()
def quantise(stage: Stage) -> float:
    """Turn the linear layers of a stage's blocks into int8, in place; gives the velocity's relative error.

    The error is ‖v − v'‖ / ‖v‖ over two noise levels, for noise under a random condition.
    """
    before = _velocity(stage)
    for block in stage.transformer.layers:
        for path, layer in list(block.named_modules()):
            if isinstance(layer, nn.Linear):
                parent, _, last = path.rpartition(".")
                setattr(block.get_submodule(parent), last, Int8Linear(layer))
    stage.forget()
    after = _velocity(stage)
    stage.forget()
    return float((after - before).norm() / before.norm())


def packed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights for a small file: matrices as int8 with a scale for each row under `NAME.scale`, the rest in
    half precision.
    """
    made = {}
    for name, value in tensors.items():
        wide = value.detach().float().cpu()
        if wide.ndim == 2 and wide.shape[1] >= PACKED_FROM:
            scale = wide.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / 127
            made[name] = (wide / scale).round().to(torch.int8)
            made[f"{name}.scale"] = scale[:, 0]
        else:
            made[name] = wide.half()
    return {name: value.contiguous() for name, value in made.items()}


def unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `packed` was given, as float32, as far as its numbers tell."""
    scales = {name: value for name, value in tensors.items() if name.endswith(".scale")}
    made = {name: value.float() for name, value in tensors.items() if name not in scales}
    for name, scale in scales.items():
        made[name.removesuffix(".scale")] *= scale[:, None]
    return made


def is_quantised(layer: nn.Module) -> bool:
    """Whether a layer's weight is not a plain floating one."""
    match layer:
        case nn.Module(weight=Tensor() as weight):
            return not weight.is_floating_point() or type(weight) not in (Tensor, nn.Parameter)
    return False


def _velocity(stage: Stage) -> Tensor:
    """The stage's velocity for a fixed input, whatever it was trained for: [levels, T, C] float32."""
    generator = torch.Generator("cpu").manual_seed(0)
    config, like = stage.transformer.config, stage.like
    width = config.encoder_hidden_size or config.hidden_size
    x = torch.randn(1, PROBE_FRAMES, stage.channels, generator=generator)
    states = torch.randn(1, PROBE_TOKENS, width, generator=generator)
    silence = stage.silence(PROBE_FRAMES)
    guide = silence.new_zeros(1, PROBE_FRAMES, stage.guide_channels)
    context = torch.cat([silence, torch.ones_like(silence), guide], dim=-1)
    branch = stage.attendable(states.to(like))
    denoiser = stage.denoiser(PROBE_LEVELS, PROBE_FRAMES)
    found = [denoiser(step, x.to(like.device), [(branch, context)])[0] for step in range(len(PROBE_LEVELS))]
    return torch.cat(found).float()

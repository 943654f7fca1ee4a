"""A frozen linear layer with a LoRA beside it, in fewer passes over memory than layer by layer.

The same numbers and gradients as peft's layer: x·Wᵀ + s·(x·Aᵀ)·Bᵀ, with products added in place. A and B may
be in single precision beside a half-precision W: they are rounded for the product and get a gradient in their
own. Knows peft's layers by what they hold; whatever it does not cover (DoRA, dropout) is left to them.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


def project(layer: Any, x: Tensor) -> Tensor:
    """The layer's output for x [..., in]."""
    low = _plain_low_rank(layer, x)
    if low is None:
        found: Tensor = layer(x)
        return found
    down, up, scaling = low
    base = layer.base_layer
    result: Tensor = _LowRank.apply(x, base.weight, base.bias, down, up, scaling)
    return result


def _plain_low_rank(layer: Any, x: Tensor) -> tuple[Tensor, Tensor, float] | None:
    """(A, B, scaling) of a peft layer with one active plain LoRA, None for everything else."""
    active = getattr(layer, "active_adapters", None)
    if not active or not hasattr(layer, "lora_A") or layer.disable_adapters or len(active) != 1:
        return None
    name = active[0]
    if name not in layer.lora_A or layer.use_dora.get(name) or layer.merged:
        return None
    dropout = layer.lora_dropout[name]
    if not isinstance(dropout, torch.nn.Identity) and layer.training:
        return None
    down, up = layer.lora_A[name].weight, layer.lora_B[name].weight
    if x.dtype != layer.base_layer.weight.dtype:
        return None
    return down, up, float(layer.scaling[name])


class _LowRank(torch.autograd.Function):
    """Forward and backward over rows [N, in]; the frozen weight gets no gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scaling: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        ctx.trained_in = down.dtype
        down, up = down.to(x.dtype), up.to(x.dtype)
        low = rows @ down.t()  # [N, r]
        result = functional.linear(rows, weight, bias).addmm_(low, up.t(), alpha=scaling)
        ctx.save_for_backward(rows, weight, down, up, low)
        ctx.scaling = scaling
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, down, up, low = ctx.saved_tensors
        (gradient,) = gradients
        flat = gradient.reshape(-1, gradient.shape[-1])
        to_low = (flat @ up).mul_(ctx.scaling)  # [N, r]
        for_down = to_low.t() @ rows
        for_up = (flat.t() @ low).mul_(ctx.scaling)
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = (flat @ weight).addmm_(to_low, down).view(*gradient.shape[:-1], -1)
        return for_x, None, None, for_down.to(ctx.trained_in), for_up.to(ctx.trained_in), None

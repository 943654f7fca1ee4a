"""Norms, rotary embedding and short attention with their gradients written out, for training on a CPU.

Autograd's own chains of small operations there cost as much as the products between them. The same numbers
as the stock modules to float tolerance, and a gradient for every input that wants one.
Letters: B examples, S tokens, D width, H heads, E head width, L keys.
"""

from typing import Any  # of autograd's contexts, which hold what a function puts there

import torch
from torch import Tensor
from torch.nn import functional

from acestep.model.modules import Rope

DENSE_UP_TO = 512  # queries and keys: beyond, all scores at once cost more memory than they save time


def norm(
    x: Tensor, eps: float, factor: Tensor, shift: Tensor | None = None, rope: Rope | None = None
) -> Tensor:
    """x / rms(x) · factor + shift over the last dimension, then turned by `rope` (x is [B, S, H, E])."""
    if x.device.type == "cpu":
        result: Tensor = _Norm.apply(x, eps, factor, shift, rope)  # type: ignore[no-untyped-call]  # torch gives it no types
        return result
    normed = functional.rms_norm(x.float(), (x.shape[-1],), None, eps)
    return _placed(normed, factor, shift, rope).to(x.dtype)


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float) -> Tensor:
    """Attention [B, H, S, E] to keys and values [B, H or fewer, L, E]; `mask` is bool, True is seen."""
    grouped = query.shape[1] != key.shape[1]
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling, enable_gqa=grouped
        )
    if query.dtype is torch.bfloat16 and max(query.shape[2], key.shape[2]) <= DENSE_UP_TO and not grouped:
        result: Tensor = _Attention.apply(query, key, value, mask, scaling)  # type: ignore[no-untyped-call]  # torch gives it no types
        return result
    found = functional.scaled_dot_product_attention(  # the CPU's kernel is faster in single precision
        query.float(), key.float(), value.float(), attn_mask=mask, scale=scaling, enable_gqa=grouped
    )
    return found.to(query.dtype)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) · up."""
    result: Tensor = _Gated.apply(gate, up)  # type: ignore[no-untyped-call]  # torch gives it no types
    return result


def _placed(normed: Tensor, factor: Tensor, shift: Tensor | None, rope: Rope | None) -> Tensor:
    scaled = normed * factor if shift is None else torch.addcmul(shift, normed, factor)
    return scaled if rope is None else _turned(scaled.float(), rope[0], rope[1])


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in Qwen3's layout: the two halves of a head are the pair."""
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat([-second, first], dim=-1), sin)


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, eps: float, factor: Tensor, shift: Tensor | None, rope: Rope | None
    ) -> Tensor:
        ctx.save_for_backward(x, factor)
        ctx.eps, ctx.rope, ctx.shift_shape = eps, rope, None if shift is None else shift.shape
        normed = functional.rms_norm(x.float(), (x.shape[-1],), None, eps)
        return _placed(normed, factor, shift, rope).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, factor = ctx.saved_tensors
        wide, slope = x.float(), gradients[0].float()
        if ctx.rope is not None:
            slope = _turned(slope, ctx.rope[0], -ctx.rope[1])
        inverse = (wide.square().mean(dim=-1, keepdim=True) + ctx.eps).rsqrt()
        _, _, for_factor, for_shift, _ = ctx.needs_input_grad
        slopes: list[Tensor | None] = [None, None]
        if for_factor:
            slopes[0] = (slope * wide * inverse).sum_to_size(factor.shape).to(factor.dtype)
        if for_shift:
            slopes[1] = slope.sum_to_size(ctx.shift_shape).to(factor.dtype)
        slope = slope * factor
        along = (slope * wide).mean(dim=-1, keepdim=True) * inverse.square()
        found = torch.addcmul(slope, wide, along, value=-1).mul_(inverse)
        return found.to(x.dtype), None, *slopes, None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float
    ) -> Tensor:
        scores = (query * scaling) @ key.transpose(-1, -2)  # [B, H, S, L]
        if mask is not None:
            scores = scores.masked_fill_(~mask, -torch.inf)
        weights = scores.softmax(dim=-1)
        ctx.save_for_backward(query, key, value, weights)
        ctx.scaling = scaling
        return weights @ value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, weights = ctx.saved_tensors
        (gradient,) = gradients
        for_value = weights.transpose(-1, -2) @ gradient
        for_weights = gradient @ value.transpose(-1, -2)
        # what autograd itself calls; it has no public name, and by hand it takes another tensor of this size
        for_scores = torch._softmax_backward_data(for_weights, weights, -1, weights.dtype)
        for_query = (for_scores @ key).mul_(ctx.scaling)
        for_key = (for_scores.transpose(-1, -2) @ query).mul_(ctx.scaling)
        return for_query, for_key, for_value, None, None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        (gradient,) = gradients
        for_up = functional.silu(gate).mul_(gradient)
        return torch.ops.aten.silu_backward(gradient * up, gate), for_up

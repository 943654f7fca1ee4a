"""A transformer's velocity with gradients: the one forward that everything that trains goes through.

The same numbers and gradients as diffusers' `AceStepTransformer1DModel.forward` at r = t, plus a choice of
layers and padding masks, so that clips of different lengths and captions share a batch. Whatever trains gets
its gradient: the whole model, or only layers that were put into it (`lora`). Computes in the precision of the
transformer's weights, whatever the inputs' is. (`model.stage` is the forward that plays: without gradients,
and with all that is constant over the steps of a song computed once.)

Letters: B examples, T latent frames, C latent channels, S = T / patch tokens, L condition tokens, D width.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from acestep.model.modules import Attention, Block, FeedForward, Norm, Rope, Transformer
from acestep.training.gradients import attention, gated, norm

SHAPES_KEPT = 16  # lengths whose rotary embedding and window are not made again
FAST_HALF = ("avx512_bf16", "amx_bf16")  # of x86: elsewhere on CPUs it has not been measured
Module = TypeVar("Module", bound=nn.Module)


@dataclass
class Conditions:
    """What the transformer looks at: tokens [B, L, D] and which of them are there [B, L]."""

    states: Tensor
    mask: Tensor

    def dropped(self, null: Tensor, drop: Tensor) -> Conditions:
        """The null condition where `drop` [B] is true."""
        return Conditions(
            torch.where(drop[:, None, None], null.expand_as(self.states), self.states), self.mask
        )


class Velocity(nn.Module):
    """Wraps a stock transformer; `forward` gives v for noisy latents at levels t."""

    def __init__(self, transformer: Transformer, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.transformer = transformer
        self.gradient_checkpointing = gradient_checkpointing

    def forward(
        self,
        noisy: Tensor,  # [B, T, C]
        t: Tensor,  # [B]
        condition: Tensor,  # [B, L, Dc]
        context: Tensor,  # [B, T, Cc]
        frame_mask: Tensor | None = None,  # [B, T] bool, True where there is audio
        condition_mask: Tensor | None = None,  # [B, L] bool
        layers: Sequence[int] | None = None,  # run these only; None: all
    ) -> Tensor:
        """The velocity [B, T, C]."""
        net = self.transformer
        frames, dtype = noisy.shape[1], net.proj_in_conv.weight.dtype
        hidden = torch.cat([context, noisy], dim=-1).to(dtype)
        if frame_mask is not None:  # a patch may be half padding: the same zeros as at the end of a clip
            hidden = hidden * frame_mask[..., None]
        short = -frames % net.patch_size
        if short:
            hidden = functional.pad(hidden, (0, 0, 0, short))
        hidden = net.proj_in_conv(hidden.transpose(1, 2)).transpose(1, 2)
        condition = net.condition_embedder(condition.to(dtype))
        time, modulation = (part.to(dtype) for part in self._time(t))
        tokens = _token_mask(frame_mask, net.patch_size)
        window = _window(hidden.shape[1], net.config.sliding_window, hidden.device)
        masks = {
            "sliding_attention": _both(window, tokens),
            "full_attention": _both(None, tokens),
        }
        whole = condition_mask is None or bool(condition_mask.all())
        cross = None if condition_mask is None or whole else condition_mask[:, None, None, :]
        rope = _rope(hidden.shape[1], net.head_dim, net.rope_theta, hidden.device, hidden.dtype)
        for index in range(len(net.layers)) if layers is None else layers:
            mask = masks[net.layer_types[index]]
            arguments = (net.layers[index], hidden, modulation, rope, mask, condition, cross)
            if self.gradient_checkpointing and torch.is_grad_enabled():
                hidden = checkpoint(_block, *arguments, use_reentrant=False)
            else:
                hidden = _block(*arguments)
        shift, scale = (net.scale_shift_table + time.unsqueeze(1)).chunk(2, dim=1)
        hidden = _modulated(net.norm_out, hidden, scale, shift)
        velocity: Tensor = net.proj_out_conv(hidden.transpose(1, 2)).transpose(1, 2)[:, :frames]
        return velocity

    def _time(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and modulation of t, plus those of t − r = 0, in the precision they are embedded in."""
        embed, embed_r = self.transformer.time_embed, self.transformer.time_embed_r
        t = t.to(embed.linear_1.weight.dtype)
        time, modulation = embed(t)
        rest, rest_modulation = embed_r(torch.zeros_like(t[:1]))
        return time + rest, modulation + rest_modulation


def half_is_fast(device: torch.device | str) -> bool:
    """Whether the device multiplies bfloat16 faster than float32. An EPYC without instructions for it took 50
    times as long for a product of 1024 × 320 and 320 × 1280 on one thread.
    """
    if torch.device(device).type != "cpu":
        return True
    # PyTorch may not tell: `get_capabilities` is younger than the oldest version that we run on
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name) for name in FAST_HALF)


def half_copy(module: Module) -> Module:
    """A bfloat16 copy to compute on, except for what embeds noise levels: 0.80 is not 0.803."""
    half = copy.deepcopy(module).bfloat16()
    for path, part in half.named_modules():
        if path.rpartition(".")[2] in ("time_embed", "time_embed_r"):
            part.float()
    return half


@functools.lru_cache(maxsize=SHAPES_KEPT)
def _rope(tokens: int, width: int, theta: float, device: torch.device, dtype: torch.dtype) -> Rope:
    """Cosine and sine [S, 1, E] in Qwen3's layout: both halves alike."""
    from diffusers.models.embeddings import get_1d_rotary_pos_embed

    with torch.inference_mode(False):  # who asks next may want gradients
        positions = torch.arange(tokens, device=device, dtype=torch.float32)
        cos, sin = get_1d_rotary_pos_embed(
            width,
            positions,  # type: ignore[arg-type]  # takes tensors, whatever its hints say
            theta=theta,
            use_real=True,
            repeat_interleave_real=False,
        )
        # rounded to the model's dtype and used in float32, as diffusers does
        return cos.to(dtype).float()[:, None, :], sin.to(dtype).float()[:, None, :]


@functools.lru_cache(maxsize=SHAPES_KEPT)
def _window(tokens: int, reach: int, device: torch.device) -> Tensor | None:
    """[1, 1, S, S] bool for sliding layers; None where the whole sequence lies inside the window."""
    if tokens - 1 <= reach:
        return None
    with torch.inference_mode(False):
        place = torch.arange(tokens, device=device)
        return ((place[:, None] - place[None, :]).abs() <= reach)[None, None]


def _token_mask(frame_mask: Tensor | None, patch: int) -> Tensor | None:
    """[B, T] → [B, 1, 1, S]: a token counts if any of its frames does; None if all do."""
    if frame_mask is None or bool(frame_mask.all()):
        return None
    short = -frame_mask.shape[1] % patch
    padded = functional.pad(frame_mask, (0, short))
    tokens: Tensor = padded.unflatten(1, (-1, patch)).any(dim=2)[:, None, None, :]
    return tokens


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Both masks. Rows that see nothing would be NaN: a padding token may look at itself."""
    if second is None:
        return first
    if first is None:
        return second
    both = first & second
    return both | torch.eye(both.shape[-1], dtype=torch.bool, device=both.device)[None, None]


def _block(
    block: Block,
    hidden: Tensor,
    modulation: Tensor,
    rope: Rope,
    mask: Tensor | None,
    condition: Tensor,
    cross: Tensor | None,
) -> Tensor:
    """One transformer block, as AceStepTransformerBlock."""
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = (block.scale_shift_table + modulation).chunk(
        6, dim=1
    )
    normed = _modulated(block.self_attn_norm, hidden, scale, shift)
    hidden = torch.addcmul(hidden, _attend(block.self_attn, normed, normed, mask, rope), gate)
    normed = norm(hidden, block.cross_attn_norm.eps, block.cross_attn_norm.weight)
    hidden = hidden + _attend(block.cross_attn, normed, condition, cross, None)
    normed = _modulated(block.mlp_norm, hidden, mlp_scale, mlp_shift)
    return torch.addcmul(hidden, _feed_forward(block.mlp, normed), mlp_gate)


def _modulated(part: Norm, hidden: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """RMSNorm, then the noise level's scale and shift."""
    return norm(hidden, part.eps, part.weight * (1 + scale), shift)


def _feed_forward(part: FeedForward, hidden: Tensor) -> Tensor:
    """SwiGLU, as AceStepMLP."""
    return part.down_proj(gated(part.gate_proj(hidden), part.up_proj(hidden)))


def _attend(
    part: Attention, hidden: Tensor, source: Tensor, mask: Tensor | None, rope: Rope | None
) -> Tensor:
    """Attention with normalised queries and keys. [B, S, D] → [B, S, D]."""
    query = part.to_q(hidden).unflatten(-1, (part.heads, part.head_dim))
    key = part.to_k(source).unflatten(-1, (part.kv_heads, part.head_dim))
    value = part.to_v(source).unflatten(-1, (part.kv_heads, part.head_dim))
    query = norm(query, part.norm_q.eps, part.norm_q.weight, rope=rope)
    key = norm(key, part.norm_k.eps, part.norm_k.weight, rope=rope)
    found = attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), mask, part.scaling)
    return part.to_out[0](found.transpose(1, 2).flatten(2))

"""A stage's velocity for training: the stock modules without what they repeat on every step.

The same numbers and gradients as diffusers' `AceStepTransformer1DModel.forward` at r = t, plus padding
masks, so that segments of different lengths and captions share a batch. Masks, RoPE and time_embed_r(0) are
made once per shape. Computes in the precision of the transformer's weights, whatever the inputs' is.

Letters: B examples, T latent frames, S = T / patch tokens, L condition tokens, D hidden size.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from lora_studio.adapters.low_rank import project
from lora_studio.training.gradients import attention, gated, norm


class Velocity(nn.Module):
    """Wraps a stock transformer; `forward` gives v for noisy latents at levels t."""

    def __init__(self, transformer: Any, gradient_checkpointing: bool = False) -> None:
        super().__init__()
        self.transformer = transformer
        self.gradient_checkpointing = gradient_checkpointing
        self._rope: dict[tuple[int, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}
        self._windows: dict[tuple[int, torch.device], Tensor | None] = {}
        self._rest: tuple[Tensor, Tensor] | None = None

    def forward(
        self,
        noisy: Tensor,  # [B, T, C]
        t: Tensor,  # [B]
        condition: Tensor,  # [B, L, Dc]
        context: Tensor,  # [B, T, Cc]
        frame_mask: Tensor | None = None,  # [B, T] bool, True where there is audio
        condition_mask: Tensor | None = None,  # [B, L] bool
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
        window = self._window(hidden.shape[1], hidden.device)
        masks = {
            "sliding_attention": _both(window, tokens),
            "full_attention": _both(None, tokens),
        }
        cross = None if condition_mask is None else condition_mask[:, None, None, :]
        rope = self._rotary(hidden.shape[1], hidden)
        for layer, kind in zip(net.layers, net.layer_types, strict=True):
            arguments = (hidden, modulation, rope, masks[kind], condition, cross)
            if self.gradient_checkpointing and torch.is_grad_enabled():
                hidden = checkpoint(_block, layer, *arguments, use_reentrant=False)
            else:
                hidden = _block(layer, *arguments)
        shift, scale = (net.scale_shift_table + time.unsqueeze(1)).chunk(2, dim=1)
        hidden = _modulated(net.norm_out, hidden, scale, shift)
        velocity: Tensor = net.proj_out_conv(hidden.transpose(1, 2)).transpose(1, 2)[:, :frames]
        return velocity

    def _time(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding and modulation of t, plus those of t − r = 0, which never change."""
        net = self.transformer
        t = t.to(net.time_embed.linear_1.weight.dtype)
        if self._rest is None:
            with torch.no_grad():
                rest = net.time_embed_r(torch.zeros(1, device=t.device, dtype=t.dtype))
            self._rest = (rest[0].clone(), rest[1].clone())
        time, modulation = net.time_embed(t)
        return time + self._rest[0], modulation + self._rest[1]

    def _rotary(self, tokens: int, like: Tensor) -> tuple[Tensor, Tensor]:
        from diffusers.models.embeddings import get_1d_rotary_pos_embed

        key = (tokens, like.device, like.dtype)
        if key not in self._rope:
            positions = torch.arange(tokens, device=like.device, dtype=torch.float32)
            cos, sin = get_1d_rotary_pos_embed(
                self.transformer.head_dim,
                positions,  # type: ignore[arg-type]  # takes tensors, whatever its hints say
                theta=self.transformer.rope_theta,
                use_real=True,
                repeat_interleave_real=False,
            )
            # rounded to the model's dtype and used in float32, as diffusers does
            self._rope[key] = (cos.to(like.dtype).float()[:, None, :], sin.to(like.dtype).float()[:, None, :])
        return self._rope[key]

    def _window(self, tokens: int, device: torch.device) -> Tensor | None:
        """[S, S] bool for sliding layers; None where the whole sequence lies inside the window."""
        key = (tokens, device)
        if key not in self._windows:
            reach = self.transformer.config.sliding_window
            place = torch.arange(tokens, device=device)
            near = (place[:, None] - place[None, :]).abs() <= reach
            self._windows[key] = None if tokens - 1 <= reach else near[None, None]
        return self._windows[key]


def half_copy(transformer: Any) -> Any:
    """A bfloat16 copy to train an adapter on, except for what embeds the noise level: 0.80 is not 0.803."""
    half = copy.deepcopy(transformer).bfloat16()
    half.time_embed.float()
    half.time_embed_r.float()
    return half


def _token_mask(frame_mask: Tensor | None, patch: int) -> Tensor | None:
    """[B, T] → [B, 1, 1, S]: a token counts if any of its frames does; None if all do."""
    if frame_mask is None or bool(frame_mask.all()):
        return None
    short = -frame_mask.shape[1] % patch
    padded = functional.pad(frame_mask, (0, short))
    return padded.unflatten(1, (-1, patch)).any(dim=2)[:, None, None, :]


def _both(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Both masks. Rows that see nothing would be NaN: a padding token may look at itself."""
    if second is None:
        return first
    if first is None:
        return second
    both = first & second
    return both | torch.eye(both.shape[-1], dtype=torch.bool, device=both.device)[None, None]


def _block(
    layer: Any,
    hidden: Tensor,
    modulation: Tensor,
    rope: tuple[Tensor, Tensor],
    mask: Tensor | None,
    condition: Tensor,
    cross: Tensor | None,
) -> Tensor:
    """One transformer block, as AceStepTransformerBlock."""
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = (layer.scale_shift_table + modulation).chunk(
        6, dim=1
    )
    normed = _modulated(layer.self_attn_norm, hidden, scale, shift)
    hidden = torch.addcmul(hidden, _attend(layer.self_attn, normed, normed, mask, rope), gate)
    normed = norm(hidden, layer.cross_attn_norm.eps, layer.cross_attn_norm.weight)
    hidden = hidden + _attend(layer.cross_attn, normed, condition, cross, None)
    normed = _modulated(layer.mlp_norm, hidden, mlp_scale, mlp_shift)
    return torch.addcmul(hidden, _feed_forward(layer.mlp, normed), mlp_gate)


def _modulated(part: Any, hidden: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """RMSNorm, then the noise level's scale and shift."""
    return norm(hidden, part.eps, part.weight * (1 + scale), shift)


def _feed_forward(part: Any, hidden: Tensor) -> Tensor:
    """SwiGLU, as AceStepMLP."""
    return project(part.down_proj, gated(project(part.gate_proj, hidden), project(part.up_proj, hidden)))


def _attend(
    part: Any, hidden: Tensor, source: Tensor, mask: Tensor | None, rope: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Attention with normalised queries and keys. [B, S, D] → [B, S, D]."""
    query = project(part.to_q, hidden).unflatten(-1, (part.heads, part.head_dim))
    key = project(part.to_k, source).unflatten(-1, (part.kv_heads, part.head_dim))
    value = project(part.to_v, source).unflatten(-1, (part.kv_heads, part.head_dim))
    query = norm(query, part.norm_q.eps, part.norm_q.weight, rope=rope)
    key = norm(key, part.norm_k.eps, part.norm_k.weight, rope=rope)
    found = attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), mask, part.scaling)
    return project(part.to_out[0], found.transpose(1, 2).flatten(2))

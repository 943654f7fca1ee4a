"""One stage: a DiT with its condition encoder, run so that whatever is constant over steps is computed once.

Runs diffusers' own modules (weights and LoRA wrappers stay theirs) in its own loop over the layers.
Shapes: R rows (takes, windows), L tokens, T latent frames, C latent channels, D width, H heads, E head
width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep.errors import Cancelled, Unsupported
from acestep.model import conditions
from acestep.model.conditions import Words
from acestep.model.modules import (
    Attention,
    AudioDetokenizer,
    AudioTokenizer,
    Block,
    ConditionEncoder,
    Norm,
    Rope,
    Transformer,
)

BANDED_FROM_WINDOWS = 4  # sliding attention is cut into blocks from this many windows on


Kept = TypeVar("Kept")


class Recent(Generic[Kept]):
    """The last few results by key. Computing one again gives the same, so any of them may be forgotten."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._results: OrderedDict[Hashable, Kept] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Kept]) -> Kept:
        """The result kept for `key`, or a newly computed one."""
        if key not in self._results:
            self._results[key] = compute()
        self._results.move_to_end(key)
        while len(self._results) > self.size:
            self._results.popitem(last=False)
        return self._results[key]

    def clear(self) -> None:
        """Forget everything: the weights have changed."""
        self._results.clear()


@dataclass
class Branch:
    """A condition ready for cross-attention: per layer keys and values [1, H, L, E], or, for a single token
    (attending to one is reading its value), that layer's constant output [1, 1, D]."""

    keys_values: list[tuple[Tensor, Tensor]]
    constants: list[Tensor]


class Stage:
    """A DiT, its condition encoder and, where it has them, its semantic tokenizer and detokenizer."""

    def __init__(
        self,
        name: str,
        transformer: Transformer,
        condition_encoder: ConditionEncoder,
        audio_tokenizer: AudioTokenizer | None = None,
        audio_token_detokenizer: AudioDetokenizer | None = None,
        timbre_token: bool = False,
    ) -> None:
        self.name = name
        self.transformer = transformer
        self.condition_encoder = condition_encoder
        self.audio_tokenizer = audio_tokenizer
        self.audio_token_detokenizer = audio_token_detokenizer
        self.timbre_token = timbre_token
        self.int8_error: float | None = None  # of the velocity, relative; None: not quantised
        self.adapted: tuple[tuple[str, float], ...] = ()  # active adapters and scales; see `adapters`
        self._timbres = Recent[Tensor](8)
        self._branches = Recent[Branch](6)
        self._ropes = Recent[Rope](8)

    @property
    def channels(self) -> int:
        """Latent channels."""
        return self.transformer.config.audio_acoustic_hidden_dim

    @property
    def guide_channels(self) -> int:
        """Context channels beyond source and mask."""
        return self.transformer.config.in_channels - 3 * self.channels

    @property
    def is_turbo(self) -> bool:
        """Guidance is distilled into the weights, so none is applied."""
        config = self.transformer.config
        return bool(config.is_turbo or config.model_version == "turbo")

    @property
    def int8_note(self) -> str:
        """What int8 changes, in words; "" where it is not used."""
        if self.int8_error is None:
            return ""
        return f"stage {self.name} has int8 weights: its velocity is off by {100 * self.int8_error:.2f} %"

    @property
    def like(self) -> Tensor:
        """A tensor of the DiT's device and floating dtype (a norm's weight: quantising leaves it alone)."""
        return self.transformer.norm_out.weight

    def parts(self) -> dict[str, nn.Module]:
        """The stage's modules by their folder names."""
        found = {
            "transformer": self.transformer,
            "condition_encoder": self.condition_encoder,
            "audio_tokenizer": self.audio_tokenizer,
            "audio_token_detokenizer": self.audio_token_detokenizer,
        }
        return {name: part for name, part in found.items() if part is not None}

    def to(self, device: str | torch.device) -> None:
        """Move every part; caches are forgotten."""
        for part in self.parts().values():
            part.to(device)
        self.forget()

    def forget(self) -> None:
        """Drop everything that was computed from the weights."""
        self._timbres.clear()
        self._branches.clear()
        self._ropes.clear()

    def forget_conditions(self) -> None:
        """Drop keys and values: the layers that made them have changed."""
        self._branches.clear()

    def silence(self, frames: int, first: int = 0) -> Tensor:
        """Latents of silence [1, T, C]."""
        return conditions.silence(self.condition_encoder.silence_latent, frames, first).to(self.like)

    def semantic(self, source: Tensor) -> Tensor:
        """Source latents [1, T, C] as the semantic tokens keep them, for covers."""
        if self.audio_tokenizer is None or self.audio_token_detokenizer is None:
            raise Unsupported(
                f"stage {self.name} has no audio tokenizer, which covers need: choose another stage"
            )
        return conditions.semantic_latents(
            self.audio_tokenizer, self.audio_token_detokenizer, source.to(self.like), self.silence(16)
        )

    @property
    def codebook(self) -> int:
        """How many different audio codes the stage can read; 0 without tokenizer and detokenizer."""
        if self.audio_tokenizer is None or self.audio_token_detokenizer is None:
            return 0
        return self.audio_tokenizer.quantizer.codebook_size

    @torch.no_grad()
    def hints(self, codes: Sequence[int]) -> Tensor:
        """Latents [1, T, C] that audio codes, 5 a second, stand for: melody and rhythm, little sound."""
        if self.audio_tokenizer is None or self.audio_token_detokenizer is None:
            raise Unsupported(f"stage {self.name} has no audio tokenizer, which audio codes need")
        indices = torch.tensor(codes, device=self.like.device)[None, :, None]
        quantized = self.audio_tokenizer.quantizer.get_output_from_indices(indices)
        return self.audio_token_detokenizer(quantized.to(self.like))

    @torch.no_grad()
    def timbre(self, key: Hashable, reference: Tensor | None, frames: int, strength: float = 1.0) -> Tensor:
        """Timbre [1, 1, D] of reference latents, or of `frames` of silence for None.

        Between strengths 0 and 1 it is mixed with that of silence, which is what "no reference" means.
        """

        def embed(latents: Tensor) -> Tensor:
            latents = latents.to(self.like)
            return conditions.timbre_embedding(self.condition_encoder, latents, self.timbre_token)

        def silent() -> Tensor:
            return embed(self.condition_encoder.silence_latent[:, :frames])

        if reference is None or strength <= 0:
            return self._timbres.get(("silence", frames), silent)
        heard = self._timbres.get(key, lambda: embed(reference))
        if strength >= 1:
            return heard
        return torch.lerp(self._timbres.get(("silence", frames), silent), heard, strength)

    @torch.no_grad()
    def branch(self, key: Hashable, words: Words, timbre: Callable[[], Tensor]) -> Branch:
        """The condition of words and timbre, ready for cross-attention; kept under `key`."""

        def compute() -> Branch:
            cast = Words(words.text.to(self.like), words.lyrics.to(self.like))
            return self.attendable(conditions.condition_states(self.condition_encoder, cast, timbre()))

        return self._branches.get((key, self.adapted), compute)

    @torch.no_grad()
    def null_branch(self) -> Branch:
        """The learnt "no condition", for guidance."""
        return self._branches.get(
            ("null", self.adapted),
            lambda: self.attendable(self.condition_encoder.null_condition_emb.to(self.like)),
        )

    @torch.no_grad()
    def attendable(self, states: Tensor) -> Branch:
        """Keys and values of condition states [1, L, D] in every layer."""
        states = self.transformer.condition_embedder(states)
        branch = Branch([], [])
        for layer in self.transformer.layers:
            attn = layer.cross_attn
            value = attn.to_v(states).unflatten(-1, (attn.kv_heads, attn.head_dim))
            if states.shape[1] == 1:
                heads = value.repeat_interleave(attn.heads // attn.kv_heads, dim=2)
                branch.constants.append(attn.to_out[0](heads.flatten(2)))
            else:
                key = attn.norm_k(attn.to_k(states).unflatten(-1, (attn.kv_heads, attn.head_dim)))
                pair = (key.transpose(1, 2), value.transpose(1, 2))
                branch.keys_values.append(tuple(_for_all_heads(t, attn).contiguous() for t in pair))  # type: ignore[arg-type]
        return branch

    @torch.no_grad()
    def denoiser(
        self, sigmas: Sequence[float], frames: int, cancelled: Callable[[], bool] | None = None
    ) -> Denoiser:
        """The DiT prepared for these noise levels and T latent frames."""
        tokens = -(-frames // self.transformer.patch_size)
        rope = self._ropes.get(tokens, lambda: _rope(self.transformer, tokens, self.like))
        return Denoiser(self, sigmas, rope, cancelled)


class Denoiser:
    """One stage's velocity at given noise levels and length: time embeddings, masks and RoPE are fixed."""

    def __init__(
        self,
        stage: Stage,
        sigmas: Sequence[float],
        rope: tuple[Tensor, Tensor],
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self.transformer = stage.transformer
        self.rope = rope
        self.cancelled = cancelled
        self.band = _Band(rope[0].shape[1], self.transformer.config.sliding_window, stage.like)
        times = torch.tensor(sigmas, dtype=torch.float32).to(stage.like)
        embed, embed_r = self.transformer.time_embed, self.transformer.time_embed_r
        (temb, modulation), (temb_r, modulation_r) = embed(times), embed_r(torch.zeros_like(times[:1]))
        self.temb = temb + temb_r  # [steps, D]
        self.modulation = modulation + modulation_r  # [steps, 6, D]

    @torch.no_grad()
    def __call__(self, step: int, x: Tensor, given: Sequence[tuple[Branch, Tensor]]) -> list[Tensor]:
        """Velocity at noise level number `step` for x [R, T, C] under each branch with its context latents
        [1 or R, T, ·]: [R, T, C] each.
        """
        model, frames = self.transformer, x.shape[1]
        branches = [branch for branch, _ in given]
        hidden = self._tokens(x, [context for _, context in given])
        modulation = self.modulation[step : step + 1]
        for i, layer in enumerate(model.layers):
            if self.cancelled is not None and self.cancelled():
                raise Cancelled("the job was cancelled")
            hidden = self._layer(i, layer, hidden, modulation, branches)
        shift, scale = (model.scale_shift_table + self.temb[step][None, None]).chunk(2, dim=1)
        hidden = _modulated(model.norm_out, hidden, scale, shift)
        velocity = model.proj_out_conv(hidden.transpose(1, 2)).transpose(1, 2)[:, :frames]
        return list(velocity.to(x.dtype).chunk(len(branches)))

    def _tokens(self, x: Tensor, contexts: Sequence[Tensor]) -> Tensor:
        """x [R, T, C] beside each of the context latents, as tokens [contexts · R, L, D].

        A context that is there twice is read once: guidance multiplies what rounding makes of two readings.
        """
        model, tokens = self.transformer, dict[int, Tensor]()
        for context in contexts:
            if id(context) not in tokens:
                rows = torch.cat([context.expand(x.shape[0], -1, -1), x.to(context)], dim=-1)
                rows = F.pad(rows, (0, 0, 0, -x.shape[1] % model.patch_size))
                tokens[id(context)] = model.proj_in_conv(rows.transpose(1, 2)).transpose(1, 2)
        return torch.cat([tokens[id(context)] for context in contexts])

    def _layer(
        self, i: int, layer: Block, hidden: Tensor, modulation: Tensor, branches: Sequence[Branch]
    ) -> Tensor:
        shift, scale, gate, ff_shift, ff_scale, ff_gate = (layer.scale_shift_table + modulation).chunk(
            6, dim=1
        )
        sliding = self.transformer.layer_types[i] == "sliding_attention"
        normed = _modulated(layer.self_attn_norm, hidden, scale, shift)
        hidden = torch.addcmul(hidden, self._self_attention(layer.self_attn, normed, sliding), gate)
        hidden = hidden + self._cross_attention(i, layer, hidden, branches)
        normed = _modulated(layer.mlp_norm, hidden, ff_scale, ff_shift)
        return torch.addcmul(hidden, layer.mlp(normed), ff_gate)

    def _self_attention(self, attn: Attention, x: Tensor, sliding: bool) -> Tensor:
        query = attn.norm_q(attn.to_q(x).unflatten(-1, (attn.heads, attn.head_dim)))
        key = attn.norm_k(attn.to_k(x).unflatten(-1, (attn.kv_heads, attn.head_dim)))
        value = attn.to_v(x).unflatten(-1, (attn.kv_heads, attn.head_dim))
        query, key = _rotated(query, self.rope).transpose(1, 2), _rotated(key, self.rope).transpose(1, 2)
        attend = self.band if sliding else _attend
        out = attend(
            query, _for_all_heads(key, attn), _for_all_heads(value.transpose(1, 2), attn), attn.scaling
        )
        return attn.to_out[0](out.transpose(1, 2).flatten(2))

    def _cross_attention(self, i: int, layer: Block, hidden: Tensor, branches: Sequence[Branch]) -> Tensor:
        attn, outputs = layer.cross_attn, []
        for rows, branch in zip(hidden.chunk(len(branches)), branches, strict=True):
            if branch.constants:
                outputs.append(branch.constants[i].expand_as(rows))
                continue
            key, value = branch.keys_values[i]
            query = attn.norm_q(
                attn.to_q(layer.cross_attn_norm(rows)).unflatten(-1, (attn.heads, attn.head_dim))
            )
            # all rows read the same keys and no query sees another: one long row of queries
            query = query.flatten(0, 1).transpose(0, 1)[None]
            out = _attend(query, key, value, attn.scaling)[0].transpose(0, 1)
            outputs.append(attn.to_out[0](out.reshape(*rows.shape[:2], -1)))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


class _Band:
    """Attention to at most `window` tokens on either side: dense when short, in blocks when long."""

    def __init__(self, tokens: int, window: int, like: Tensor) -> None:
        self.tokens, self.window = tokens, window
        self.blocks = -(-tokens // window) if tokens >= BANDED_FROM_WINDOWS * window else 0
        self.mask: Tensor | None = None
        at = torch.arange(tokens, device=like.device)
        if self.blocks:
            query = torch.arange(window, device=like.device)[:, None]
            # of a key, counted from its block's start
            offset = torch.arange(3 * window, device=like.device)[None] - window
            position = torch.arange(self.blocks, device=like.device)[:, None, None] * window + offset
            allowed = ((offset - query).abs() <= window) & (position >= 0) & (position < tokens)
            self.mask = _additive(allowed, like)[:, None]  # [blocks, 1, window, 3 · window]
        elif tokens > window + 1:
            self.mask = _additive((at[:, None] - at[None]).abs() <= window, like)

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Query, key and value [R, H, L, E] → [R, H, L, E]."""
        if not self.blocks:
            return _attend(query, key, value, scaling, self.mask)
        assert self.mask is not None
        rows, tokens = query.shape[0], query.shape[2]
        fill = self.blocks * self.window - tokens
        query = F.pad(query, (0, 0, 0, fill)).unflatten(2, (self.blocks, self.window))
        out = _attend(
            query.transpose(1, 2).flatten(0, 1),  # [R · blocks, H, window, E]
            self._neighbours(key, fill),
            self._neighbours(value, fill),
            scaling,
            self.mask.repeat(rows, 1, 1, 1),
        )
        joined: Tensor = out.unflatten(0, (rows, self.blocks)).transpose(1, 2).flatten(2, 3)[:, :, :tokens]
        return joined

    def _neighbours(self, x: Tensor, fill: int) -> Tensor:
        """Each block with the one before and after it: [R · blocks, H, 3 · window, E]."""
        x = F.pad(x, (0, 0, self.window, self.window + fill))
        return x.unfold(2, 3 * self.window, self.window).permute(0, 2, 1, 4, 3).flatten(0, 1)


def _attend(query: Tensor, key: Tensor, value: Tensor, scaling: float, mask: Tensor | None = None) -> Tensor:
    grouped = query.shape[1] != key.shape[1]
    return F.scaled_dot_product_attention(query, key, value, mask, scale=scaling, enable_gqa=grouped)


def _for_all_heads(x: Tensor, attn: Attention) -> Tensor:
    """Keys or values [R, kv heads, L, E] for every head. Off the CPU the kernels share them by themselves."""
    if attn.heads == attn.kv_heads or x.device.type != "cpu":
        return x
    return x.repeat_interleave(attn.heads // attn.kv_heads, dim=1)


def _additive(allowed: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(allowed, dtype=like.dtype).masked_fill(~allowed, torch.finfo(like.dtype).min)


def _modulated(norm: Norm, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return torch.addcmul(shift, norm(x), 1 + scale).type_as(x)


def _rope(transformer: Transformer, tokens: int, like: Tensor) -> Rope:
    """Cosine and sine [1, L, 1, E] in the layout of Qwen3's rotary embedding: both halves alike."""
    half = torch.arange(0, transformer.head_dim, 2, dtype=torch.float32) / transformer.head_dim
    angles = torch.outer(torch.arange(tokens, dtype=torch.float32), 1.0 / transformer.rope_theta**half)
    angles = torch.cat([angles, angles], dim=-1)[None, :, None]
    # rounded to the model's dtype and used as float32, as diffusers does
    return tuple(t.to(like.dtype).to(like.device, torch.float32) for t in (angles.cos(), angles.sin()))  # type: ignore[return-value]


def _rotated(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rope
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    return torch.addcmul(wide * cos, torch.cat([-second, first], dim=-1), sin).type_as(x)

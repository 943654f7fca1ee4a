"""What training and evaluation compute: conditions without padding effects, and the velocity at any depth.

Mirrors the forward passes of diffusers' ACE-Step modules, whose weights it uses; what it adds is a mask for
padded text and a subset of layers. Shapes: B clips, T frames, S condition tokens, C channels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.ace_step_transformer import (
    AceStepAttnProcessor2_0,
    _ace_step_rotary_freqs,
    _create_4d_mask,
)
from torch import Tensor

from acestep.model.codec.spectral import SpectralCodec
from acestep.nano.checkpoint import LYRICS, REFERENCE_S


@dataclass
class Conditions:
    """What the transformer looks at: tokens [B, S, C] and which of them are there [B, S]."""

    states: Tensor
    mask: Tensor

    def dropped(self, null: Tensor, drop: Tensor) -> "Conditions":
        """The null condition where `drop` [B] is true."""
        return Conditions(
            torch.where(drop[:, None, None], null.expand_as(self.states), self.states), self.mask
        )


def tokenise(tokenizer: Any, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Texts → ids and mask [B, S], padded on the right."""
    tokens = tokenizer(texts, padding="longest", truncation=True, max_length=256, return_tensors="pt")
    return tokens.input_ids, tokens.attention_mask.bool()


def conditions(
    text_encoder: Any, encoder: Any, tokenizer: Any, texts: list[str], references: list[Tensor | None]
) -> Conditions:
    """Prompts and references (latents [frames, 192] or None) → condition tokens: lyrics, timbre, text."""
    device = encoder.silence_latent.device
    ids, mask = (part.to(device) for part in tokenise(tokenizer, texts))
    text = encoder.text_projector(text_encoder(input_ids=ids).last_hidden_state)
    lyric_ids, lyric_mask = (part.to(device) for part in tokenise(tokenizer, [LYRICS]))
    lyric = encoder.lyric_encoder(
        inputs_embeds=text_encoder.get_input_embeddings()(lyric_ids), attention_mask=lyric_mask
    )
    timbre = _timbre(encoder, references)
    count = len(texts)
    states = torch.cat([lyric.expand(count, -1, -1), timbre, text], 1)
    there = torch.ones(count, lyric.shape[1] + 1, dtype=torch.bool, device=device)
    return Conditions(states, torch.cat([there, mask], 1))


def velocity(
    transformer: Any,
    x: Tensor,
    t: Tensor,
    given: Conditions,
    context: Tensor,
    layers: tuple[int, ...] | None = None,
) -> Tensor:
    """Noise minus data at x [B, T, 192], t [B]; `layers` runs some of the blocks only."""
    embedding, shifts = transformer.time_embed(t)  # in single precision: bfloat16 cannot tell 0.80 from 0.803
    embedding_r, shifts_r = transformer.time_embed_r(torch.zeros_like(t))
    dtype = transformer.proj_in_conv.weight.dtype
    embedding, shifts = (embedding + embedding_r).to(dtype), (shifts + shifts_r).to(dtype)
    hidden = torch.cat([context, x], -1).to(dtype)
    frames = hidden.shape[1]
    hidden = torch.nn.functional.pad(hidden, (0, 0, 0, -frames % transformer.patch_size))
    hidden = transformer.proj_in_conv(hidden.transpose(1, 2)).transpose(1, 2)
    states = transformer.condition_embedder(given.states)
    rotary = _ace_step_rotary_freqs(
        hidden.shape[1], transformer.head_dim, transformer.rope_theta, hidden.device, hidden.dtype
    )
    near = _create_4d_mask(
        seq_len=hidden.shape[1], dtype=hidden.dtype, device=hidden.device, is_causal=False,
        sliding_window=transformer.config.sliding_window, is_sliding_window=True,
    )  # fmt: skip
    seen = None if bool(given.mask.all()) else given.mask[:, None, None, :]
    for index in layers if layers is not None else range(len(transformer.layers)):
        hidden = transformer.layers[index](
            hidden_states=hidden,
            position_embeddings=rotary,
            temb=shifts,
            attention_mask=near if transformer.layer_types[index] == "sliding_attention" else None,
            encoder_hidden_states=states,
            encoder_attention_mask=seen,
        )
    shift, scale = (transformer.scale_shift_table + embedding[:, None]).chunk(2, dim=1)
    hidden = (transformer.norm_out(hidden) * (1 + scale) + shift).type_as(hidden)
    return transformer.proj_out_conv(hidden.transpose(1, 2)).transpose(1, 2)[:, :frames]


class SingleAttention(AceStepAttnProcessor2_0):
    """Attention in single precision inside a half-precision model: on CPUs its kernel is the faster one."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """As the stock processor, with queries, keys and values cast around the product."""
        cross = attn.is_cross_attention and encoder_hidden_states is not None
        source = encoder_hidden_states if cross else hidden_states
        query = attn.norm_q(attn.to_q(hidden_states).unflatten(-1, (attn.heads, attn.head_dim))).float()
        key = attn.norm_k(attn.to_k(source).unflatten(-1, (attn.kv_heads, attn.head_dim))).float()
        value = attn.to_v(source).unflatten(-1, (attn.kv_heads, attn.head_dim)).float()
        if not cross and image_rotary_emb is not None:
            turn: dict[str, Any] = {"use_real": True, "use_real_unbind_dim": -2, "sequence_dim": 1}
            rotary: Any = (image_rotary_emb[0].float(), image_rotary_emb[1].float())
            query, key = apply_rotary_emb(query, rotary, **turn), apply_rotary_emb(key, rotary, **turn)
        if attention_mask is not None and attention_mask.is_floating_point():
            attention_mask = attention_mask.float()
        made = torch.nn.functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=attention_mask,
            scale=attn.scaling,
            enable_gqa=attn.heads != attn.kv_heads,
        )
        return attn.to_out[0](made.transpose(1, 2).flatten(2).to(hidden_states.dtype))


def reference_frames(latent_rate_hz: float = SpectralCodec.latent_rate_hz) -> int:
    """Latent frames the timbre encoder takes."""
    return round(REFERENCE_S * latent_rate_hz)


def _timbre(encoder: Any, references: list[Tensor | None]) -> Tensor:
    """[B, 1, C]: the silence token where there is no reference, computed once for all of them."""
    silence = encoder.silence_latent[:, : reference_frames()]
    packed = torch.cat([silence, *(reference[None] for reference in references if reference is not None)])
    tokens, _ = encoder.timbre_encoder(packed, torch.arange(len(packed), device=packed.device))
    places, following = [], 1
    for reference in references:
        places.append(0 if reference is None else following)
        following += reference is not None
    return tokens[torch.tensor(places)]

"""diffusers' and transformers' modules as this code reads them: names and types, for the type checker.

To it an attribute of an nn.Module is "a Tensor or a Module", so the loaded models are declared here, as far
as anything reads them. No object is ever made of these classes: what is loaded is an
AceStepTransformer1DModel, an AceStepConditionEncoder and so on, and `loading` calls it by these names.
Letters: D width, H heads, E head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Norm(nn.Module):
    """An RMS norm."""

    weight: nn.Parameter
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """[..., D] → [..., D]."""
        raise NotImplementedError


class Layer(nn.Module):
    """What stands where a linear layer was built: that layer, or one with an adapter or int8 weights."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        raise NotImplementedError


class Attention(nn.Module):
    """Attention with normalised queries and keys; several heads may share a key and value."""

    heads: int
    kv_heads: int
    head_dim: int
    scaling: float
    to_q: Layer
    to_k: Layer
    to_v: Layer
    to_out: Layers
    norm_q: Norm
    norm_k: Norm


class Layers(nn.ModuleList):
    """A list of linear layers."""

    def __getitem__(self, index: int) -> Layer:  # type: ignore[override]  # nothing here takes slices
        raise NotImplementedError


class FeedForward(nn.Module):
    """SwiGLU."""

    gate_proj: Layer
    up_proj: Layer
    down_proj: Layer

    def __call__(self, x: Tensor) -> Tensor:
        """[B, S, D] → [B, S, D]."""
        raise NotImplementedError


class Block(nn.Module):
    """One layer of the transformer."""

    scale_shift_table: nn.Parameter  # [1, 6, D]
    self_attn_norm: Norm
    self_attn: Attention
    cross_attn_norm: Norm
    cross_attn: Attention
    mlp_norm: Norm
    mlp: FeedForward


class Blocks(nn.ModuleList):
    """The layers of the transformer."""

    def __getitem__(self, index: int) -> Block:  # type: ignore[override]  # nothing here takes slices
        raise NotImplementedError

    def __iter__(self) -> Iterator[Block]:
        raise NotImplementedError


class TimeEmbedding(nn.Module):
    """What a noise level is to the layers."""

    linear_1: nn.Linear
    time_proj: nn.Linear

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """t [B] → its embedding [B, D] and six modulations [B, 6, D]."""
        raise NotImplementedError


class Config(dict[str, Any]):
    """What a config.json holds; diffusers gives its keys as attributes too."""


class Saved(nn.Module):
    """A module that can be written in the layout of its library."""

    def save_pretrained(self, folder: Path) -> None:
        """config.json and model.safetensors."""
        raise NotImplementedError


class TransformerConfig(Config):
    """The sizes of a transformer."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    in_channels: int
    audio_acoustic_hidden_dim: int
    patch_size: int
    sliding_window: int
    encoder_hidden_size: int | None
    is_turbo: bool
    model_version: str | None


class Transformer(Saved):
    """diffusers' AceStepTransformer1DModel."""

    config: TransformerConfig
    patch_size: int
    head_dim: int
    rope_theta: float
    layer_types: list[str]
    layers: Blocks
    proj_in_conv: nn.Conv1d
    time_embed: TimeEmbedding
    time_embed_r: TimeEmbedding
    condition_embedder: nn.Linear
    norm_out: Norm
    proj_out_conv: nn.ConvTranspose1d
    scale_shift_table: nn.Parameter  # [1, 2, D]


class OobleckConfig(Config):
    """The sizes of an Oobleck autoencoder."""

    downsampling_ratios: list[int]
    sampling_rate: int
    decoder_input_channels: int


class Mode(Protocol):
    """A distribution of latents."""

    def mode(self) -> Tensor:
        """Its likeliest value [B, C, T]."""
        ...


class OobleckEncoded(Protocol):
    """What the autoencoder makes of audio."""

    latent_dist: Mode


class OobleckDecoded(Protocol):
    """What the autoencoder makes of latents."""

    sample: Tensor  # [B, 2, N]


class Oobleck(nn.Module):
    """diffusers' AutoencoderOobleck."""

    config: OobleckConfig
    decoder: nn.Module

    def encode(self, x: Tensor) -> OobleckEncoded:
        """Audio [B, 2, N] → latents."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> OobleckDecoded:
        """Latents [B, C, T] → audio."""
        raise NotImplementedError


class SequenceEncoder(nn.Module):
    """The lyric encoder."""

    def __call__(self, *, inputs_embeds: Tensor, attention_mask: Tensor) -> Tensor:
        """[B, L, D] → [B, L, D]."""
        raise NotImplementedError


class TimbreEncoder(nn.Module):
    """What is heard of a reference, in a token."""

    special_token: nn.Parameter
    embed_tokens: nn.Linear

    def __call__(self, packed: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Latents [N, T, C] of the clips that `order` [N] tells → tokens [B, n, D] and which are there."""
        raise NotImplementedError


class ConditionEncoder(Saved):
    """diffusers' AceStepConditionEncoder."""

    config: Config
    silence_latent: Tensor  # [1, T, C]
    null_condition_emb: nn.Parameter  # "no condition" [1, 1, D]: attending to it once is as to many copies
    text_projector: nn.Linear
    lyric_encoder: SequenceEncoder
    timbre_encoder: TimbreEncoder


class Quantizer(Protocol):
    """The code book of an audio tokenizer."""

    codebook_size: int

    def get_output_from_indices(self, indices: Tensor) -> Tensor:
        """[B, L, 1] → [B, L, D]."""
        ...


class AudioTokenizer(nn.Module):
    """diffusers' AceStepAudioTokenizer."""

    quantizer: Quantizer

    def tokenize(self, latents: Tensor, silence: Tensor) -> tuple[Tensor, Tensor]:
        """Latents [B, T, C] → five tokens a second [B, L, D] and their codes."""
        raise NotImplementedError


class AudioDetokenizer(nn.Module):
    """diffusers' AceStepAudioTokenDetokenizer."""

    def __call__(self, tokens: Tensor) -> Tensor:
        """[B, L, D] → latents [B, T, C]."""
        raise NotImplementedError


class Encoded(Protocol):
    """What a text encoder gives."""

    last_hidden_state: Tensor


class TextConfig(Protocol):
    """The sizes of a text encoder."""

    hidden_size: int


class TextEncoder(Saved):
    """transformers' encoder of the prompt."""

    config: TextConfig

    def __call__(self, *, input_ids: Tensor) -> Encoded:
        """[B, L] → states [B, L, D]."""
        raise NotImplementedError

    def get_input_embeddings(self) -> nn.Embedding:
        """The embeddings that words begin as."""
        raise NotImplementedError


class Tokenizer(Protocol):
    """transformers' tokenizer."""

    def __call__(self, text: str | list[str], **options: Any) -> Any:
        """Token ids and masks, in containers of the kind that the options ask for."""
        ...

    def save_pretrained(self, folder: Path, /) -> object:
        """tokenizer.json and tokenizer_config.json."""
        ...

    def __len__(self) -> int: ...


Rope = tuple[torch.Tensor, torch.Tensor]  # cosine and sine, both halves of a head alike

"""The sizes of the stages as diffusers' modules, which can be counted without using memory.

L and M are ACE-Step 1.5's XL and 2B; S is the same, made smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from acestep.checkpoints.memory import CODEC_PARAMETERS, TEXT_ENCODER_PARAMETERS

LATENT_CHANNELS = 64


@dataclass(frozen=True)
class Variant:
    """One size: its two configurations, and the parts in the published figure."""

    width: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    encoder_width: int
    encoder_feed_forward: int
    encoder_heads: int
    encoder_kv_heads: int
    counts: tuple[str, ...]
    head_dim: int = 128

    def transformer_config(self, **overrides: Any) -> dict[str, Any]:
        """Arguments of diffusers' AceStepTransformer1DModel."""
        return {
            "hidden_size": self.width,
            "intermediate_size": self.feed_forward,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "in_channels": 3 * LATENT_CHANNELS,
            "audio_acoustic_hidden_dim": LATENT_CHANNELS,
            "encoder_hidden_size": self.encoder_width,
            **overrides,
        }

    def condition_encoder_config(self, **overrides: Any) -> dict[str, Any]:
        """Arguments of diffusers' AceStepConditionEncoder."""
        return {
            "hidden_size": self.encoder_width,
            "intermediate_size": self.encoder_feed_forward,
            "num_attention_heads": self.encoder_heads,
            "num_key_value_heads": self.encoder_kv_heads,
            "head_dim": self.head_dim,
            **overrides,
        }

    def tokenizer_config(self, **overrides: Any) -> dict[str, Any]:
        """Arguments of diffusers' AceStepAudioTokenDetokenizer; its AudioTokenizer also takes `fsq_dim`."""
        return self.condition_encoder_config(**overrides)


VARIANTS = {
    "l": Variant(
        2560, 9728, 32, 32, 8, 2048, 6144, 16, 8,
        counts=("transformer", "condition_encoder", "text_encoder", "codec"),
    ),
    "m": Variant(
        2048, 6144, 24, 16, 8, 2048, 6144, 16, 8,
        counts=("transformer", "condition_encoder", "audio_tokenizer", "audio_token_detokenizer"),
    ),
    "s": Variant(
        1280, 3840, 18, 10, 5, 1280, 3840, 10, 5,
        counts=("transformer", "condition_encoder", "audio_tokenizer", "audio_token_detokenizer"),
    ),
}  # fmt: skip


def build(variant: Variant, device: str = "meta") -> dict[str, Any]:
    """The variant's diffusers modules on a device, by name; on "meta" they take no memory."""
    import torch
    from diffusers import AceStepAudioTokenDetokenizer, AceStepAudioTokenizer, AceStepConditionEncoder
    from diffusers import AceStepTransformer1DModel as Transformer

    with torch.device(device):
        return {
            "transformer": Transformer(**variant.transformer_config()),
            "condition_encoder": AceStepConditionEncoder(**variant.condition_encoder_config()),
            "audio_tokenizer": AceStepAudioTokenizer(
                **variant.tokenizer_config(), fsq_dim=variant.encoder_width
            ),
            "audio_token_detokenizer": AceStepAudioTokenDetokenizer(**variant.tokenizer_config()),
        }


def parameter_counts(variant: Variant) -> dict[str, int]:
    """Parameters of every part the variant runs with, counted on the meta device."""
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in build(variant).items()}
    return {**counts, "text_encoder": TEXT_ENCODER_PARAMETERS, "codec": CODEC_PARAMETERS}


def published_count(variant: Variant) -> int:
    """Parameters that the variant's published figure counts."""
    counts = parameter_counts(variant)
    return sum(counts[name] for name in variant.counts)

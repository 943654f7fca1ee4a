"""Tiny random checkpoints in the published layouts, for tests. Knows nothing of our loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def tiny_tokenizer() -> Any:
    """A byte-level BPE without merges: any text, one token a byte, as a PreTrainedTokenizerFast."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0, "<pad>": 1, **{letter: i + 2 for i, letter in enumerate(alphabet)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>", "<pad>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<pad>")


def tiny_text_encoder(width: int = 24) -> Any:
    """A one-layer Qwen3Model."""
    from transformers import Qwen3Config, Qwen3Model

    return Qwen3Model(
        Qwen3Config(
            vocab_size=300,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
            use_cache=False,
        )
    )


def tiny_modules(*, turbo: bool, xl: bool = False, width: int = 32, layers: int = 3, window: int = 8) -> dict:
    """Transformer, condition encoder, tokenizer and detokenizer with random weights."""
    from diffusers import (
        AceStepAudioTokenDetokenizer,
        AceStepAudioTokenizer,
        AceStepConditionEncoder,
        AceStepTransformer1DModel,
    )

    shared = {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": window,
        "intermediate_size": 2 * width,
    }
    encoder_width = width - 8 if xl else width
    parts = {
        "transformer": AceStepTransformer1DModel(
            hidden_size=width,
            num_hidden_layers=layers,
            in_channels=24,
            audio_acoustic_hidden_dim=8,
            encoder_hidden_size=encoder_width,
            is_turbo=turbo,
            model_version="turbo" if turbo else "base",
            **shared,
        ),
        "condition_encoder": AceStepConditionEncoder(
            hidden_size=encoder_width,
            text_hidden_dim=24,
            timbre_hidden_dim=8,
            num_lyric_encoder_hidden_layers=2,
            num_timbre_encoder_hidden_layers=2,
            **shared,
        ),
        "audio_tokenizer": AceStepAudioTokenizer(
            hidden_size=encoder_width, audio_acoustic_hidden_dim=8, fsq_dim=encoder_width, **shared
        ),
        "audio_token_detokenizer": AceStepAudioTokenDetokenizer(
            hidden_size=encoder_width, audio_acoustic_hidden_dim=8, **shared
        ),
    }
    # as initialised, a random DiT hardly depends on its inputs: larger weights make a wrong one show
    with torch.no_grad():
        for part in parts.values():
            for name, weight in part.named_parameters():
                if weight.ndim > 1 and "scale_shift" not in name:
                    weight.mul_(1.5)
        parts["condition_encoder"].silence_latent = torch.randn(1, 15_000, 8).cumsum(1).sin()
    return parts


def tiny_codec() -> Any:
    """An AutoencoderOobleck with 8 latent channels and 1920 samples a frame."""
    from diffusers import AutoencoderOobleck

    return AutoencoderOobleck(
        encoder_hidden_size=16,
        downsampling_ratios=[4, 8, 6, 10],
        channel_multiples=[1, 1, 2, 2],
        decoder_channels=8,
        decoder_input_channels=8,
        audio_channels=2,
        sampling_rate=48_000,
    )


def tiny_pipeline(*, turbo: bool, xl: bool = False, seed: int = 0, **sizes: int) -> Any:
    """A whole stock AceStepPipeline with random weights."""
    from diffusers import AceStepPipeline, FlowMatchEulerDiscreteScheduler

    torch.manual_seed(seed)
    return AceStepPipeline(
        vae=tiny_codec().eval(),
        text_encoder=tiny_text_encoder().eval(),
        tokenizer=tiny_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0),
        **{name: part.eval() for name, part in tiny_modules(turbo=turbo, xl=xl, **sizes).items()},
    )


def save_pipeline(folder: Path, **options: Any) -> Any:
    """Save a tiny pipeline as `AceStepPipeline.save_pretrained` does; gives the pipeline."""
    pipeline = tiny_pipeline(**options)
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_planner(folder: Path, codes: int = 1000, seed: int = 0) -> Any:
    """A 5 Hz language model as published: a Qwen3 with chat template and audio codes in its vocabulary."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = tiny_tokenizer()
    marks = ["<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    tokenizer.add_special_tokens({"additional_special_tokens": marks[:2]})
    tokenizer.add_tokens([*marks[2:], *(f"<|audio_code_{code}|>" for code in range(codes))])
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            tie_word_embeddings=True,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model

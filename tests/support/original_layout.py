"""ACE-Step's original layout, written from a tiny pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch

from tests.support.tiny_checkpoints import tiny_pipeline

ATTENTION = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out.0": "o_proj", "norm_q": "q_norm",
             "norm_k": "k_norm"}  # fmt: skip


PREFIX = {"transformer": "decoder", "condition_encoder": "encoder", "audio_tokenizer": "tokenizer",
          "audio_token_detokenizer": "detokenizer"}  # fmt: skip


def original_key(part: str, name: str) -> str:
    """The original's name of a diffusers weight."""
    if name == "null_condition_emb":
        return name
    for ours, theirs in ATTENTION.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    name = name.replace("proj_in_conv.", "proj_in.1.").replace("proj_out_conv.", "proj_out.1.")
    return f"{PREFIX[part]}.{name}"


def write_original(
    folder: Path, *, turbo: bool, xl: bool = False, shards: int = 1, seed: int = 1, dit: str = "dit"
):
    """A published checkpoint beside vae/ and text encoder; gives (folder of the DiT, stock pipeline)."""
    pipeline = tiny_pipeline(turbo=turbo, xl=xl, seed=seed)
    pipeline.set_progress_bar_config(disable=True)
    tensors = {}
    for part in PREFIX:
        for name, tensor in getattr(pipeline, part).state_dict().items():
            if name != "silence_latent":
                tensors[original_key(part, name)] = tensor.contiguous()
    transformer, encoder = pipeline.transformer.config, pipeline.condition_encoder.config
    tokenizer = pipeline.audio_tokenizer.config
    config = {
        name: transformer[name]
        for name in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "in_channels", "audio_acoustic_hidden_dim", "patch_size",
            "rope_theta", "attention_bias", "attention_dropout", "rms_norm_eps", "sliding_window",
            "is_turbo", "model_version",
        )
    }  # fmt: skip
    config |= {name: encoder[name] for name in ("text_hidden_dim", "timbre_hidden_dim",
               "num_lyric_encoder_hidden_layers", "num_timbre_encoder_hidden_layers")}  # fmt: skip
    config["layer_types"] = pipeline.transformer.layer_types
    config["fsq_dim"] = tokenizer["fsq_dim"]
    if xl:
        config |= {f"encoder_{name}": encoder[name] for name in ("hidden_size", "intermediate_size",
                   "num_attention_heads", "num_key_value_heads")}  # fmt: skip
    target = folder / dit
    target.mkdir(parents=True)
    (target / "config.json").write_text(json.dumps(config))
    torch.save(
        pipeline.condition_encoder.silence_latent.transpose(1, 2).clone(), target / "silence_latent.pt"
    )
    names, where = sorted(tensors), {}
    for shard in range(shards):
        file = "model.safetensors" if shards == 1 else f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        safetensors.torch.save_file(part, target / file)
        where |= dict.fromkeys(part, file)
    if shards > 1:
        (target / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    if not (folder / "vae").exists():
        pipeline.vae.save_pretrained(folder / "vae")
        pipeline.text_encoder.save_pretrained(folder / "Qwen3-Embedding-0.6B")
        pipeline.tokenizer.save_pretrained(folder / "Qwen3-Embedding-0.6B")
    return target, pipeline

"""ACE-Step's original checkpoint layout as data: configs, key names and the latents of silence.

A folder with config.json, model.safetensors (or shards with an index) and silence_latent.pt.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.checkpoints import weights
from acestep.checkpoints.weights import Entry
from acestep.errors import CheckpointError, NotFound

if TYPE_CHECKING:
    import torch

SILENCE_FRAMES = 15_000  # what diffusers' condition encoder keeps: 600 s
# Original prefix → the part of a stage it becomes
PARTS = {
    "decoder.": "transformer",
    "encoder.": "condition_encoder",
    "tokenizer.": "audio_tokenizer",
    "detokenizer.": "audio_token_detokenizer",
}
RENAMED = (
    (".q_proj.", ".to_q."),
    (".k_proj.", ".to_k."),
    (".v_proj.", ".to_v."),
    (".o_proj.", ".to_out.0."),
    (".q_norm.", ".norm_q."),
    (".k_norm.", ".norm_k."),
)
SHARED_CONFIG = (
    "head_dim",
    "rope_theta",
    "attention_bias",
    "attention_dropout",
    "rms_norm_eps",
    "sliding_window",
)
CLASSES = {
    "transformer": "AceStepTransformer1DModel",
    "condition_encoder": "AceStepConditionEncoder",
    "audio_tokenizer": "AceStepAudioTokenizer",
    "audio_token_detokenizer": "AceStepAudioTokenDetokenizer",
}


@dataclass(frozen=True)
class Original:
    """A checkpoint in the original layout: its config and what its weights become."""

    folder: Path
    config: dict[str, Any]
    parts: dict[str, dict[str, Entry]]  # part → diffusers name → tensor

    @property
    def is_xl(self) -> bool:
        """XL has a condition encoder narrower than its DiT, and a timbre token in front."""
        width: int = self.config["hidden_size"]
        return bool(self.config.get("encoder_hidden_size", width) != width)

    @property
    def kind(self) -> str:
        """turbo, sft or base."""
        version = str(self.config.get("model_version") or self.folder.name).lower()
        if self.config.get("is_turbo") or "turbo" in version:
            return "turbo"
        return "sft" if "sft" in version else "base"


def read_original(folder: Path) -> Original:
    """The headers of a checkpoint in the original layout, with its keys sorted into parts."""
    if not folder.is_dir():
        raise NotFound(f"{folder} is not a folder: expected the folder of a DiT checkpoint")
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is missing or not JSON: expected the folder of a DiT checkpoint"
        ) from error
    needed = ("hidden_size", "num_hidden_layers", "in_channels", "timbre_hidden_dim")
    missing = [key for key in needed if key not in config]
    if missing:
        raise CheckpointError(f"{path} is of another architecture: it has no {', '.join(missing)}")
    parts: dict[str, dict[str, Entry]] = {part: {} for part in PARTS.values()}
    unknown = []
    for key, entry in weights.read_headers(folder).items():
        part, name = sorted_key(key)
        if part:
            parts[part][name] = entry
        elif not key.endswith("rotary_emb.inv_freq"):
            unknown.append(key)
    if unknown:
        raise CheckpointError(
            f"{folder} holds {len(unknown)} tensors that ACE-Step 1.5 does not have: {', '.join(unknown[:5])}"
        )
    return Original(folder, config, parts)


def sorted_key(key: str) -> tuple[str, str]:
    """An original key's part and diffusers name; ("", "") for one that is in no part."""
    if key == "null_condition_emb":
        return "condition_encoder", key
    for prefix, part in PARTS.items():
        if key.startswith(prefix) and not key.endswith("rotary_emb.inv_freq"):
            name = key.removeprefix(prefix)
            for old, new in RENAMED:
                name = name.replace(old, new)
            if part == "transformer":
                name = name.replace("proj_in.1.", "proj_in_conv.").replace("proj_out.1.", "proj_out_conv.")
            return part, name
    return "", ""


def part_configs(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """diffusers' configs of the four parts from the original's one."""
    own = {name: config[name] for name in SHARED_CONFIG if name in config}
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    wide = {name: config[name] for name in sizes}
    narrow = {name: config.get(f"encoder_{name}") or config[name] for name in sizes}
    transformer: dict[str, Any] = {
        **own,
        **wide,
        **{
            name: config[name]
            for name in (
                "num_hidden_layers",
                "in_channels",
                "audio_acoustic_hidden_dim",
                "patch_size",
                "layer_types",
            )
            if name in config
        },
        "encoder_hidden_size": narrow["hidden_size"],
        "is_turbo": bool(config.get("is_turbo", False)),
        "model_version": config.get("model_version"),
    }
    encoder_names = (
        "text_hidden_dim",
        "timbre_hidden_dim",
        "num_lyric_encoder_hidden_layers",
        "num_timbre_encoder_hidden_layers",
    )
    pooler_layers = config.get("num_attention_pooler_hidden_layers", 2)
    pooler: dict[str, Any] = {
        **own,
        **narrow,
        "audio_acoustic_hidden_dim": config["audio_acoustic_hidden_dim"],
        "pool_window_size": config.get("pool_window_size", 5),
        "num_attention_pooler_hidden_layers": pooler_layers,
    }
    if "layer_types" in config:
        pooler["layer_types"] = config["layer_types"][:pooler_layers]
    fsq = {
        "fsq_dim": config.get("fsq_dim", narrow["hidden_size"]),
        "fsq_input_levels": config.get("fsq_input_levels", [8, 8, 8, 5, 5, 5]),
        "fsq_input_num_quantizers": config.get("fsq_input_num_quantizers", 1),
    }
    return {
        "transformer": transformer,
        "condition_encoder": own | narrow | {n: config[n] for n in encoder_names if n in config},
        "audio_tokenizer": {**pooler, **fsq},
        "audio_token_detokenizer": pooler,
    }


def modules_on_meta(configs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """diffusers' modules of the configs, without memory."""
    import diffusers
    import torch

    with torch.device("meta"):
        return {part: getattr(diffusers, CLASSES[part])(**config) for part, config in configs.items()}


def check_keys(original: Original, configs: dict[str, dict[str, Any]]) -> None:
    """Every weight is there with its shape, and none too many; else CheckpointError names the first five."""
    for part, module in modules_on_meta(configs).items():
        expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        expected.pop("silence_latent", None)
        found = {name: entry.shape for name, entry in original.parts[part].items()}
        problems = {
            "missing": sorted(set(expected) - set(found)),
            "too many": sorted(set(found) - set(expected)),
            "of another shape": sorted(n for n in expected if n in found and found[n] != expected[n]),
        }
        for what, names in problems.items():
            if names:
                listed = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
                raise CheckpointError(
                    f"{original.folder}: {len(names)} weights of the {part} are {what}: {listed}"
                )


def read_silence(folder: Path) -> torch.Tensor:
    """The latents of silence as [1, SILENCE_FRAMES, C], from silence_latent.pt or .safetensors."""
    import pickle

    import torch

    path = folder / "silence_latent.pt"
    if path.is_file():
        try:
            value = torch.load(path, weights_only=True, map_location="cpu")
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            raise CheckpointError(
                f"{path} is refused: it is broken, or holds code instead of a tensor"
            ) from error
    elif (folder / "silence_latent.safetensors").is_file():
        value = next(iter(weights.read_header(folder / "silence_latent.safetensors").values())).read()
    else:
        raise CheckpointError(f"{folder} has no silence_latent.pt: without it text-to-music drones")
    if not isinstance(value, torch.Tensor) or value.ndim != 3:
        raise CheckpointError(f"{path} holds no tensor [1, channels, frames]")
    value = value.transpose(1, 2)[:1]
    return value.repeat(1, -(-SILENCE_FRAMES // value.shape[1]), 1)[:, :SILENCE_FRAMES].contiguous()

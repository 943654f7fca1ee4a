"""An adapter's files in the spellings others read: a PEFT folder, ComfyUI's file, diffusers' file, LyCORIS'.

LoRA weights come and go under diffusers' names with one alpha; LoKr and LoHa as the updates they are read
into.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, tensor

from acestep.adapters.updates import Update
from lora_studio.files import write_tensors

# diffusers → ACE-Step upstream; the MLP's names are the same
_UPSTREAM = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out.0": "o_proj"}
PREFIX = "base_model.model."
LYCORIS_WEIGHTS = "lycoris.safetensors"
PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class StageAdapter:
    """One stage's adapter: weights by diffusers' names (`layers.0.self_attn.to_q.lora_A.weight`)."""

    weights: dict[str, Tensor]
    rank: int
    alpha: float
    dora: bool = False
    trigger: str = ""
    base: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def modules(self) -> list[str]:
        """The layers that are adapted, by diffusers' names."""
        return sorted({name.rpartition(".lora_")[0] for name in self.weights})

    def at(self, strength: float) -> "StageAdapter":
        """The same adapter so that at scale 1 it acts as this one at `strength`."""
        weights = {
            name: value * strength if ".lora_B." in name else value for name, value in self.weights.items()
        }
        return replace(self, weights=weights)

    def safetensors_metadata(self) -> dict[str, str]:
        """What goes into the files' headers: alpha and trigger words belong there, not into a config."""
        return {
            "format": "pt",
            "lora_rank": str(self.rank),
            "lora_alpha": f"{self.alpha:g}",
            "trigger_words": self.trigger,
            "base_model": self.base,
            **self.metadata,
        }


def upstream_name(name: str) -> str:
    """`layers.0.self_attn.to_out.0.lora_A.weight` → `layers.0.self_attn.o_proj.lora_A.weight`."""
    for ours, theirs in _UPSTREAM.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def write_all(adapter: StageAdapter, folder: Path, stage: str) -> None:
    """PEFT files in `folder/stage`, and the two single files beside it."""
    write_peft(adapter, folder / stage)
    write_comfyui(adapter, folder / f"{stage}.comfyui.safetensors")
    write_diffusers(adapter, folder / f"{stage}.diffusers.safetensors")


def write_peft(adapter: StageAdapter, folder: Path) -> None:
    """A PEFT directory in upstream's names, as ACE-Step, HOT-Step and acestep.cpp read it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / PEFT_WEIGHTS, _peft_weights(adapter), adapter.safetensors_metadata())
    kinds = sorted({upstream_name(f"{module}.").rstrip(".").rpartition(".")[2] for module in adapter.modules})
    config = {
        "peft_type": "LORA",
        "auto_mapping": None,
        "base_model_name_or_path": adapter.base,
        "bias": "none",
        "inference_mode": True,
        "r": adapter.rank,
        "lora_alpha": _whole(adapter.alpha),
        "lora_dropout": 0.0,
        "target_modules": kinds,
        "use_dora": adapter.dora,
        "use_rslora": False,
        "task_type": "FEATURE_EXTRACTION",
    }
    (folder / PEFT_CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")


def _peft_weights(adapter: StageAdapter) -> dict[str, Tensor]:
    return {
        PREFIX + upstream_name(name).replace("lora_magnitude_vector.weight", "lora_magnitude_vector"): value
        for name, value in adapter.weights.items()
    }


def write_comfyui(adapter: StageAdapter, path: Path) -> None:
    """One file with the same names and an `.alpha` for each layer; DoRA as `.dora_scale` [out, 1]."""
    values: dict[str, Tensor] = {}
    for name, value in _peft_weights(adapter).items():
        if name.endswith("lora_magnitude_vector"):
            values[name.replace("lora_magnitude_vector", "dora_scale")] = value[:, None]
        else:
            values[name] = value
    for module in adapter.modules:
        values[f"{PREFIX}{upstream_name(module + '.').rstrip('.')}.alpha"] = tensor(float(adapter.alpha))
    write_tensors(path, values, adapter.safetensors_metadata())


def write_diffusers(adapter: StageAdapter, path: Path) -> None:
    """One file in diffusers' names, with the settings where its loader looks for alpha."""
    values = {f"transformer.{name}": value for name, value in adapter.weights.items()}
    settings: dict[str, Any] = {
        "r": adapter.rank,
        "lora_alpha": _whole(adapter.alpha),
        "target_modules": adapter.modules,
        "use_dora": adapter.dora,
    }
    told = json.dumps({f"transformer.{name}": value for name, value in settings.items()}, sort_keys=True)
    metadata = {**adapter.safetensors_metadata(), "lora_adapter_metadata": told}
    write_tensors(path, values, metadata)


def write_lycoris(updates: Mapping[str, Update], path: Path, metadata: Mapping[str, str]) -> None:
    """One file in LyCORIS' names, which ComfyUI plays too: LoRA, LoKr and LoHa side by side, DoRA of each."""
    values: dict[str, Tensor] = {}
    for module, update in updates.items():
        stem = "lycoris_" + upstream_name(f"{module}.").rstrip(".").replace(".", "_")
        parts, scaling = dict(update.tensors), update.scaling
        if not update.rank:  # whole matrices are played as they are, whatever alpha says
            first = next(iter(parts))
            parts[first], scaling = parts[first] * scaling, 1.0
        values |= {f"{stem}.{part}": value.clone() for part, value in parts.items()}
        values[f"{stem}.alpha"] = tensor(scaling * max(1, update.rank))
        if update.magnitude is not None:
            per_input = update.magnitude.ndim == 2
            values[f"{stem}.dora_scale"] = update.magnitude if per_input else update.magnitude[:, None]
    write_tensors(path, values, {"format": "pt", **metadata})


def _whole(alpha: float) -> float | int:
    return int(alpha) if float(alpha).is_integer() else alpha

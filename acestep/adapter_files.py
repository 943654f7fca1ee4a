"""Reading LoRA files in every published spelling into one: module path → down, up, alpha, magnitude.

Spellings: PEFT folders in ACE-Step's own module names (upstream, lora_studio), single files of ComfyUI and
kohya with `.alpha` tensors, diffusers files, DoRA of each. Knows nothing of loaded models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.checkpoint import home
from acestep.errors import AdapterError, NotFound

if TYPE_CHECKING:
    from torch import Tensor

PREFIXES = ("base_model.model.", "diffusion_model.", "transformer.", "model.", "decoder.", "dit.")
# ACE-Step's names of the DiT's modules → diffusers'
RENAMED = {
    "q_proj": "to_q",
    "k_proj": "to_k",
    "v_proj": "to_v",
    "o_proj": "to_out.0",
    "to_out": "to_out.0",
    "q_norm": "norm_q",
    "k_norm": "norm_k",
}
TENSORS = {
    "lora_A.weight": "down",
    "lora_down.weight": "down",
    "lora.down.weight": "down",
    "lora_B.weight": "up",
    "lora_up.weight": "up",
    "lora.up.weight": "up",
    "alpha": "alpha",
    "dora_scale": "magnitude",
    "lora_magnitude_vector": "magnitude",
    "lora_magnitude_vector.weight": "magnitude",
}
OTHER_METHODS = {"lokr_": "LoKr", "hada_": "LoHa", "oft_": "OFT", "vera_": "VeRA", "ia3_": "IA³"}


@dataclass
class Low:
    """One module's update: up [out, r] · down [r, in], times alpha / r; DoRA has a magnitude [out] too."""

    down: Tensor
    up: Tensor
    alpha: float
    magnitude: Tensor | None = None

    @property
    def rank(self) -> int:
        """Rank of the update."""
        return self.down.shape[0]

    @property
    def scaling(self) -> float:
        """What the product is multiplied with at scale 1."""
        return self.alpha / self.rank


@dataclass(frozen=True)
class AdapterFile:
    """An adapter on disk: its updates by stage (None: any that fits) and diffusers module path."""

    name: str
    path: Path
    stages: dict[str | None, dict[str, Low]]
    trigger: str = ""


def adapters_folder() -> Path:
    """Where adapters are looked for by name."""
    return home() / "adapters"


def available() -> dict[str, Path]:
    """Every adapter in home, by name."""
    folder, found = adapters_folder(), {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.suffix == ".safetensors":
                found[path.stem] = path
            elif (path / "adapter.json").is_file() or (path / "adapter_config.json").is_file():
                found[path.name] = path
    return found


def find(name_or_path: str | Path) -> Path:
    """The adapter of that name in home, or at that path. Raises NotFound."""
    here = available()
    if str(name_or_path) in here:
        return here[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_file() or (path.is_dir() and len(path.parts) > 1):
        return path
    raise NotFound(
        f"no adapter {str(name_or_path)!r}: here are {', '.join(here) or 'none'}; put a PEFT folder or a "
        f".safetensors file into {adapters_folder()}"
    )


def read_adapter(path: Path) -> AdapterFile:
    """An adapter from its file or folder. Raises AdapterError with what is wrong in it."""
    if path.is_file():
        return AdapterFile(path.stem, path, {None: _read_updates(path, {})})
    description = path / "adapter.json"
    if not description.is_file():
        return AdapterFile(path.name, path, {None: _read_peft(path)})
    values = _read_json(description)
    folders = values.get("stages")
    if not isinstance(folders, dict) or not folders:
        raise AdapterError(f"{description} names no stages: expected {{'stages': {{'l': 'l'}}}}")
    inside = path.resolve()
    stages: dict[str | None, dict[str, Low]] = {}
    for stage, folder in folders.items():
        part = (path / str(folder)).resolve()
        if not part.is_relative_to(inside):
            raise AdapterError(f"{description} points outside its folder: {folder!r}")
        stages[str(stage)] = _read_peft(part)
    return AdapterFile(str(values.get("name") or path.name), path, stages, str(values.get("trigger", "")))


def _read_peft(folder: Path) -> dict[str, Low]:
    files = [folder / "adapter_model.safetensors", *sorted(folder.glob("*.safetensors"))]
    file = next((candidate for candidate in files if candidate.is_file()), None)
    if file is None:
        pickles = ", ".join(path.name for path in folder.glob("*.bin"))
        raise AdapterError(
            f"{folder} has no adapter_model.safetensors"
            + (f"; {pickles} is a pickle, which may contain code: save it as safetensors" if pickles else "")
        )
    config = folder / "adapter_config.json"
    return _read_updates(file, _read_json(config) if config.is_file() else {})


def _read_updates(file: Path, config: Mapping[str, Any]) -> dict[str, Low]:
    """Every update in a safetensors file, with the alpha that belongs to it."""
    import safetensors

    if file.suffix != ".safetensors":
        raise AdapterError(
            f"{file} is not a safetensors file: other formats may contain code and are not read"
        )
    try:
        with safetensors.safe_open(str(file), framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, safetensors.SafetensorError) as error:
        raise AdapterError(f"{file} is not a whole safetensors file: {error}") from error
    modules = _by_module(tensors, file)
    config = dict(config) or _metadata_config(metadata)
    if config.get("peft_type", "LORA") != "LORA":
        raise AdapterError(f"{file} is a {config['peft_type']} adapter: expected LoRA or DoRA")
    return {
        module: Low(parts["down"], parts["up"], _alpha(module, parts, config), parts.get("magnitude"))
        for module, parts in modules.items()
    }


def _by_module(tensors: Mapping[str, Tensor], file: Path) -> dict[str, dict[str, Any]]:
    modules: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        method = next((name for mark, name in OTHER_METHODS.items() if mark in key), None)
        if method:
            raise AdapterError(f"{file} is a {method} adapter ({key}): expected LoRA or DoRA")
        plain = re.sub(r"\.(default|default_0)(?=\.|$)", "", key)
        suffix = next((ending for ending in TENSORS if plain.endswith("." + ending)), None)
        if suffix is None:
            raise AdapterError(
                f"{file} holds {key}, which no LoRA spelling has: expected …lora_A.weight and so on"
            )
        part = TENSORS[suffix]
        module = _module_path(plain.removesuffix("." + suffix))
        modules.setdefault(module, {})[part] = tensor.flatten() if part == "magnitude" else tensor
    if not modules:
        raise AdapterError(f"{file} holds no tensors: expected a LoRA")
    for module, parts in modules.items():
        missing = [part for part in ("down", "up") if part not in parts]
        if missing:
            raise AdapterError(f"{file} has no {' and '.join(missing)} matrix for {module}: it is incomplete")
        down, up = parts["down"], parts["up"]
        if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1]:
            raise AdapterError(
                f"{file}: {module} has {list(down.shape)} and {list(up.shape)}: expected [r, in] and [out, r]"
            )
    return modules


def _module_path(name: str) -> str:
    """A module's path in diffusers' AceStepTransformer1DModel."""
    if name.startswith(("lora_unet_", "lora_transformer_")):  # kohya joins names with underscores
        name = name.removeprefix("lora_unet_").removeprefix("lora_transformer_")
        name = re.sub(r"^(?:decoder_)?layers_(\d+)_(self_attn|cross_attn|mlp)_", r"layers.\1.\2.", name)
    stripped = True
    while stripped:
        stripped = False
        for prefix in PREFIXES:
            if name.startswith(prefix):
                name, stripped = name.removeprefix(prefix), True
    head, _, last = name.rpartition(".")
    renamed = RENAMED.get(last, last)
    return f"{head}.{renamed}" if head else renamed


def _alpha(module: str, parts: Mapping[str, Any], config: Mapping[str, Any]) -> float:
    """The alpha tensor's value, else the config's for this module, else the rank (scaling 1)."""
    rank = parts["down"].shape[0]
    if "alpha" in parts:
        return float(parts["alpha"].item())
    alpha = config.get("lora_alpha")
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(?:.*\.)?(?:{_module_path(pattern.strip('^$'))})", module):
            alpha = value
    if alpha is None:
        return float(rank)
    return float(alpha) * (rank**0.5 if config.get("use_rslora") else 1.0)


def _metadata_config(metadata: Mapping[str, str]) -> dict[str, Any]:
    """LoRA settings from a safetensors header: diffusers' JSON, or a plain alpha."""
    if "lora_adapter_metadata" in metadata:
        try:
            values = json.loads(metadata["lora_adapter_metadata"])
        except ValueError:
            return {}
        return {str(key).removeprefix("transformer."): value for key, value in values.items()}
    for name in ("lora_alpha", "alpha", "ss_network_alpha"):
        try:
            return {"lora_alpha": float(metadata[name])}
        except (KeyError, ValueError):
            continue
    return {}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"{path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise AdapterError(f"{path} is not an object: expected an adapter's settings")
    return values

"""Merges adapters: several into one, or into a copy of their base that then needs none.

Products of low rank are concatenated and added, never approximated; only weights that are stored in half
precision round. Knows nothing of training.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from acestep import adapter_files, checkpoint
from acestep.adapter_files import AdapterFile, Low
from acestep.errors import AdapterError, AlreadyExists, InvalidRequest, Unsupported
from acestep.loading import load_model
from lora_studio.config import NAME_PATTERN
from lora_studio.files import write_folder
from lora_studio.library import Entry, find, write_adapter

SMALL_BYTES = 1 << 30
Scaled = Sequence[tuple[str, float]]


def merge_adapters(wanted: Scaled, name: str) -> Entry:
    """One adapter that does what several do together at these scales; its rank is the sum of theirs."""
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidRequest(f"name {name!r} is none: choose another with --name")
    target = adapter_files.adapters_folder() / name
    if target.exists():
        raise AlreadyExists(f"there is an adapter {name!r} already: choose another with --name")
    files = [(adapter_files.read_adapter(adapter_files.find(one)), scale) for one, scale in wanted]
    keys = {key for file, _ in files for key in file.stages}
    if None in keys and len(keys) > 1:
        raise AdapterError(
            "adapters for named stages do not merge with one for any stage: import that with --stage"
        )
    stages = {
        key: _joined([(file.stages[key], scale) for file, scale in files if key in file.stages])
        for key in sorted(keys, key=str)
    }
    triggers = ", ".join(dict.fromkeys(file.trigger for file, _ in files if file.trigger))
    bases = {find(one).base for one, _ in wanted}
    merged = AdapterFile(
        name, Path(" + ".join(f"{one}:{scale:g}" for one, scale in wanted)), stages, triggers
    )
    base = bases.pop() if len(bases) == 1 else ""
    write_folder(target, lambda temporary: write_adapter(merged, stages, temporary, name, base))
    return find(name)


def _joined(parts: Sequence[tuple[dict[str, Low], float]]) -> dict[str, Low]:
    """Per module: downs below each other, ups (scaled) side by side."""
    joined: dict[str, Low] = {}
    for module in sorted({module for updates, _ in parts for module in updates}):
        lows = [(updates[module], scale) for updates, scale in parts if module in updates]
        if any(low.magnitude is not None for low, _ in lows):
            raise Unsupported("DoRA adapters do not add up: merge them into their base with --into")
        down = torch.cat([low.down.float() for low, _ in lows])
        up = torch.cat([low.up.float() * low.scaling * scale for low, scale in lows], dim=1)
        joined[module] = Low(down, up, float(down.shape[0]))
    return joined


def merge_into_base(wanted: Scaled, base: str, folder: Path) -> Path:
    """A copy of a cascade whose weights have the adapters built in, at these scales."""
    if folder.exists():
        raise AlreadyExists(f"{folder} exists already: choose another place")
    files = [(adapter_files.read_adapter(adapter_files.find(one)), scale) for one, scale in wanted]
    source = checkpoint.find(base or find(wanted[0][0]).base or "nano")
    write_folder(folder, lambda temporary: _merged_copy(source, files, wanted, temporary))
    return folder


def _merged_copy(source: Path, files: list[tuple[AdapterFile, float]], wanted: Scaled, folder: Path) -> None:
    from diffusers import AceStepTransformer1DModel

    shutil.copytree(source, folder, dirs_exist_ok=True)
    spec = checkpoint.read_spec(folder)
    foreign = [stage.name for stage in spec.stages if not stage.folder.is_relative_to(folder)]
    if foreign:  # its weights are another cascade's, and would be changed there
        raise Unsupported(
            f"cascade {spec.name} takes stage {', '.join(foreign)} from another cascade: merge into that one"
        )
    merged = 0
    for stage in spec.stages:
        updates = [(file.stages.get(stage.name, file.stages.get(None, {})), scale) for file, scale in files]
        if not any(part for part, _ in updates):
            continue
        place = stage.folder / "transformer"
        transformer = load_model(AceStepTransformer1DModel, place, _precision(place))
        for part, scale in updates:
            merged += _build_in(transformer, part, scale)
        shutil.rmtree(place)
        transformer.save_pretrained(place)
    if not merged:
        raise AdapterError(f"the adapters change no stage of {spec.name}: are they for another base?")
    description = folder / "cascade.json"
    if description.is_file():
        values = json.loads(description.read_text(encoding="utf-8"))
        values["merged_adapters"] = [[one, scale] for one, scale in wanted]
        description.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")


def _precision(folder: Path) -> torch.dtype:
    """The weights' own precision where they are large; float32 where that costs little and loses nothing."""
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if sum(file.stat().st_size for file in files) < SMALL_BYTES:
        return torch.float32
    with safe_open(files[0], framework="pt") as opened:
        kind = opened.get_slice(next(iter(opened.keys()))).get_dtype()
    return {"BF16": torch.bfloat16, "F16": torch.float16}.get(kind, torch.float32)


@torch.no_grad()
def _build_in(transformer: Any, updates: dict[str, Low], scale: float) -> int:
    """W + scale · alpha/r · up·down, and for DoRA its rows brought to the learnt magnitude."""
    modules = dict(transformer.named_modules())
    for module, low in updates.items():
        layer = modules.get(module)
        if layer is None or tuple(layer.weight.shape) != (low.up.shape[0], low.down.shape[1]):
            raise AdapterError(
                f"{module}: the adapter's {low.down.shape[1]}→{low.up.shape[0]} does not fit this base"
            )
        weight = layer.weight.float() + scale * low.scaling * (low.up.float() @ low.down.float())
        if low.magnitude is not None:
            weight = weight * (low.magnitude.float() / weight.norm(dim=1))[:, None]
        layer.weight.copy_(weight.to(layer.weight.dtype))
    return len(updates)

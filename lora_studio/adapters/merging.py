"""Merges adapters: several into one, or into a copy of their base that then needs none.

Products of low rank are concatenated and added, never approximated; only weights that are stored in half
precision round.
"""

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from acestep.adapters import files as adapter_files
from acestep.adapters.files import AdapterFile
from acestep.adapters.shapes import Shapes, Updates, fitting
from acestep.adapters.updates import Low, built_in
from acestep.checkpoints import checkpoint
from acestep.checkpoints.weights import read_headers
from acestep.errors import AdapterError, AlreadyExists, InvalidRequest, Unsupported
from acestep.model.loading import load_model
from lora_studio.adapters.library import Entry, find, write_adapter
from lora_studio.config import NAME_PATTERN
from lora_studio.files import write_folder

SMALL_BYTES = 1 << 30  # of weights: up to here float32 costs little
Scaled = Sequence[tuple[str, float]]


def merge_adapters(wanted: Scaled, name: str, home: Path | None = None) -> Entry:
    """One adapter that does what several do together at these scales; its rank is the sum of theirs."""
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidRequest(f"name {name!r} cannot be used: choose another with --name")
    target = adapter_files.adapters_folder(home) / name
    if target.exists():
        raise AlreadyExists(f"there is an adapter {name!r} already: choose another with --name")
    files = _read(wanted, home)
    bases = {base for one, _ in wanted if (base := find(one, home).base)}
    stages = {key: _joined(parts, wanted) for key, parts in _by_stage(files, bases, home).items()}
    triggers = ", ".join(dict.fromkeys(file.trigger for file, _ in files if file.trigger))
    merged = AdapterFile(
        name, Path(" + ".join(f"{one}:{scale:g}" for one, scale in wanted)), stages, triggers
    )
    base = bases.pop() if len(bases) == 1 else ""
    write_folder(target, lambda temporary: write_adapter(merged, stages, temporary, name, base))
    return find(name, home)


def _read(wanted: Scaled, home: Path | None) -> list[tuple[AdapterFile, float]]:
    folder = adapter_files.adapters_folder(home)
    return [(adapter_files.read_adapter(adapter_files.find(one, folder)), scale) for one, scale in wanted]


def _by_stage(
    files: Sequence[tuple[AdapterFile, float]], bases: set[str], home: Path | None
) -> dict[str | None, list[tuple[Updates, float]]]:
    """What acts on each stage. Beside ones for named stages, one for any goes where their base has it."""
    keys = {key for file, _ in files for key in file.stages}
    if None in keys and len(keys) > 1:
        base = next(iter(bases), "nano")
        if len(bases) > 1:
            raise AdapterError(f"these adapters are for different cascades ({', '.join(sorted(bases))})")
        shapes = _shapes(checkpoint.read_spec(checkpoint.find(base, home), home))
        placed: list[tuple[Mapping[Any, Updates], float]] = [
            (fitting(file, shapes)[0], scale) for file, scale in files
        ]
    else:
        placed = [(file.stages, scale) for file, scale in files]
    found: dict[str | None, list[tuple[Updates, float]]] = {}
    for stages, scale in placed:
        for key, updates in stages.items():
            found.setdefault(key, []).append((updates, scale))
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def _joined(parts: Sequence[tuple[Updates, float]], wanted: Scaled) -> Updates:
    """Per module: downs below each other, ups (scaled) side by side."""
    joined: Updates = {}
    for module in sorted({module for updates, _ in parts for module in updates}):
        lows: list[tuple[Low, float]] = []
        for updates, scale in parts:
            low = updates.get(module)
            if low is None:
                continue
            if isinstance(low, Low) and low.magnitude is None:
                lows.append((low, scale))
            else:
                kind = low.kind if low.magnitude is None else "DoRA"
                told = shlex.join(f"{one}:{scale:g}" for one, scale in wanted)
                raise Unsupported(
                    f"{kind} adapters do not add up to one adapter: build them into a copy of their base "
                    f"with lora_studio merge {told} --into FOLDER"
                )
        down = torch.cat([low.down.float() for low, _ in lows])
        up = torch.cat([low.up.float() * low.scaling * scale for low, scale in lows], dim=1)
        joined[module] = Low(down, up, float(down.shape[0]))
    return joined


def merge_into_base(wanted: Scaled, base: str, folder: Path, home: Path | None = None) -> Path:
    """A copy of a cascade whose weights have the adapters built in, at these scales."""
    if folder.exists():
        raise AlreadyExists(f"{folder} exists already: choose another place")
    files = _read(wanted, home)
    source = checkpoint.find(base or find(wanted[0][0], home).base or "nano", home)
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
    shapes = _shapes(spec)
    placed = [(fitting(file, shapes)[0], scale) for file, scale in files]
    for stage in spec.stages:
        updates = [(stages[stage.name], scale) for stages, scale in placed if stage.name in stages]
        if not updates:
            continue
        place = stage.folder / "transformer"
        transformer = load_model(AceStepTransformer1DModel, place, _precision(place))
        _build_in(transformer, updates)
        shutil.rmtree(place)
        transformer.save_pretrained(place)
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


def _shapes(spec: checkpoint.CascadeSpec) -> dict[str, Shapes]:
    """The stages' layers and their shapes, from the files' headers."""
    return {
        stage.name: {
            name.removesuffix(".weight"): (entry.shape[0], entry.shape[1])
            for name, entry in read_headers(stage.folder / "transformer").items()
            if name.endswith(".weight") and len(entry.shape) == 2
        }
        for stage in spec.stages
    }


@torch.no_grad()
def _build_in(transformer: Any, adapters: Sequence[tuple[Updates, float]]) -> None:
    """Each weight plus what every adapter changes of it, as when they play side by side."""
    for module in sorted({module for updates, _ in adapters for module in updates}):
        layer = transformer.get_submodule(module)
        weight = layer.weight.float()
        changes = [
            built_in(updates[module], weight, scale) - weight
            for updates, scale in adapters
            if module in updates
        ]
        layer.weight.copy_((weight + sum(changes)).to(layer.weight.dtype))

"""The adapters that are here: list, show, export for other programs, take over from elsewhere, delete.

Reads every spelling the engine reads.
"""

import json
import os
import shutil
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from acestep import typed_json
from acestep.adapters import files as adapter_files
from acestep.adapters.files import AdapterFile, listed
from acestep.adapters.updates import Low, Update
from acestep.errors import AdapterError, AlreadyExists, InvalidRequest, NotFound, StorageError, Unsupported
from acestep.home import home as users_home
from acestep.home import make_private
from lora_studio.adapters.formats import (
    LYCORIS_WEIGHTS,
    StageAdapter,
    write_comfyui,
    write_diffusers,
    write_lycoris,
    write_peft,
)
from lora_studio.config import NAME_PATTERN
from lora_studio.files import write_atomically, write_file, write_folder


@dataclass(frozen=True)
class Entry:
    """One adapter: where it is, what it is for, and what is known of it."""

    name: str
    folder: Path
    stages: list[str]
    base: str = ""
    trigger: str = ""
    note: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  # tensors of its files that no layer of ACE-Step is called by

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "path": str(self.folder),
            "stages": self.stages,
            "base": self.base,
            "trigger": self.trigger,
            "note": self.note,
            **({"details": self.values} if self.values else {}),
            **({"left_out": list(self.left_out)} if self.left_out else {}),
        }

    def card(self) -> str:
        """What people want to read about it."""
        readme = self.folder / "README.md"
        if readme.is_file():
            return readme.read_text(encoding="utf-8")
        lines = [f"{self.name}: {self.folder}", f"stages: {', '.join(self.stages)}"]
        if self.trigger:
            lines.append(f"trigger word: {self.trigger}")
        if self.left_out:
            lines.append(f"without a layer, and left out: {listed(self.left_out)}")
        return "\n".join([*lines, self.note])


def adapters(home: Path | None = None) -> list[Entry]:
    """Every adapter in a home (the user's), by name. A broken one is listed with what is wrong."""
    here = adapter_files.available(adapter_files.adapters_folder(home))
    return [_listed(name, path) for name, path in here.items()]


def _listed(name: str, path: Path) -> Entry:
    try:
        return _entry(name, path)
    except (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        return Entry(name, path, [], note=f"broken: {type(error).__name__}: {error}")


def find(name: str, home: Path | None = None) -> Entry:
    """One adapter by its name in a home (the user's), or by path. Raises NotFound or AdapterError."""
    path = adapter_files.find(name, adapter_files.adapters_folder(home))
    entry = _entry(path.stem if path.is_file() else path.name, path)
    if not entry.stages:
        raise AdapterError(entry.note)
    return entry


def _entry(name: str, path: Path) -> Entry:
    try:
        file = adapter_files.read_adapter(path)
        values: dict[str, Any] = {}
        if (path / "adapter.json").is_file():
            values = typed_json.read(path / "adapter.json", typed_json.Fields, error=AdapterError)
    except AdapterError as error:
        return Entry(name, path, [], note=f"broken: {error}")
    stages = [stage or "any that fits" for stage in file.stages]
    base, left_out = str(values.get("base") or ""), file.left_out
    return Entry(name, path, stages, base, file.trigger, _note(file), values, left_out)


def _note(file: AdapterFile) -> str:
    """Kind, rank and size in words."""
    updates = [update for stage in file.stages.values() for update in stage.values()]
    kinds = sorted({_kind(update) for update in updates})
    ranks = sorted({update.rank for update in updates if update.rank})
    numbers = sum(tensor.numel() for update in updates for tensor in update.tensors.values())
    rank = f"rank {'–'.join(str(r) for r in sorted({ranks[0], ranks[-1]}))}" if ranks else "whole matrices"
    return f"{' and '.join(kinds)}, {rank}, {numbers / 1e6:.1f} M parameters"


def _kind(update: Update) -> str:
    if update.magnitude is None:
        return update.kind
    return "DoRA" if isinstance(update, Low) else f"{update.kind} with DoRA"


def lora_only(updates: dict[str, Update]) -> dict[str, Low] | None:
    """The updates if all are LoRA that PEFT's folders can hold, else None."""
    found = {
        module: update
        for module, update in updates.items()
        if isinstance(update, Low) and (update.magnitude is None or update.magnitude.ndim == 1)
    }
    return found if len(found) == len(updates) else None


def stage_adapter(file: AdapterFile, updates: dict[str, Low], base: str = "") -> StageAdapter:
    """One stage's updates in one rank and alpha: as they are where they agree, else exactly rewritten."""
    ranks, alphas = {low.rank for low in updates.values()}, {low.alpha for low in updates.values()}
    rank = max(ranks)
    uniform = len(ranks) == 1 and len(alphas) == 1
    weights = {}
    for module, low in updates.items():
        down, up = low.down.float(), low.up.float()
        if not uniform:  # scaling moves into `up`, zeros fill the rank: the product is the same
            short = rank - low.rank
            down = torch.cat([down, down.new_zeros(short, down.shape[1])])
            up = torch.cat([up * low.scaling, up.new_zeros(up.shape[0], short)], dim=1)
        weights[f"{module}.lora_A.weight"] = down
        weights[f"{module}.lora_B.weight"] = up
        if low.magnitude is not None:
            weights[f"{module}.lora_magnitude_vector.weight"] = low.magnitude.float()
    dora = any(low.magnitude is not None for low in updates.values())
    alpha = next(iter(alphas)) if uniform else float(rank)
    return StageAdapter(weights, rank, alpha, dora, file.trigger, base)


def export(name: str, out: Path, format_: str, stage: str = "", home: Path | None = None) -> Path:
    """Write an adapter for another program. One file or folder is one stage's, except for zip."""
    entry = find(name, home)
    if out.exists():
        raise AlreadyExists(f"{out} exists already: choose another place")
    if format_ == "zip":
        write_file(out, lambda temporary: _zip(entry.folder, temporary))
        return out
    file = adapter_files.read_adapter(entry.folder)
    updates = file.stages[_chosen(file, stage)]
    plain = lora_only(updates)
    if plain is None:
        if format_ != "comfyui":
            raise Unsupported(
                f"{name} is {entry.note.partition(',')[0]}, which {format_} files do not hold: export it "
                "with --format comfyui (in LyCORIS' names) or zip"
            )
        write_lycoris(updates, out, _metadata(file, entry.base))
        return out
    adapter = stage_adapter(file, plain, entry.base)
    if format_ == "peft":
        write_folder(out, lambda temporary: write_peft(adapter, temporary))
    elif format_ == "comfyui":
        write_comfyui(adapter, out)
    else:
        write_diffusers(adapter, out)
    return out


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        files = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
        for path in files:
            archive.write(path, path.relative_to(folder.parent))


def _chosen(file: AdapterFile, stage: str) -> str | None:
    if stage in file.stages:
        return stage
    if stage:
        have = ", ".join(name or "any" for name in file.stages)
        raise NotFound(f"adapter {file.name} has no stage {stage!r}: it has {have}")
    if len(file.stages) > 1:
        have = ", ".join(str(name) for name in file.stages)
        raise InvalidRequest(f"adapter {file.name} has several stages: choose one of {have} with --stage")
    return next(iter(file.stages))


def bring_in(path: Path, name: str = "", base: str = "", stage: str = "", home: Path | None = None) -> Entry:
    """Copy an adapter from elsewhere into a home (the user's), in our spelling, checked.

    Its own file stays as it is. With `base`, it must fit that cascade. Raises AdapterError, AlreadyExists or
    NotFound.
    """
    if not path.exists():
        raise NotFound(f"{path} does not exist: expected an adapter's folder or a safetensors file")
    file = adapter_files.read_adapter(path)
    name = name or file.name
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidRequest(f"name {name!r} cannot be used: choose one with --name")
    target = adapter_files.adapters_folder(home) / name
    if target.exists() or target.with_suffix(".safetensors").exists():
        raise AlreadyExists(f"adapter {name!r} exists already: choose another with --name")
    if base:
        _require_fit(path, base, home)
    stages = dict(file.stages)
    if stage:
        stages = {stage: file.stages[_chosen(file, stage if stage in file.stages else "")]}
    make_private(home or users_home(), "adapters")
    write_folder(target, lambda temporary: write_adapter(file, stages, temporary, name, base))
    return replace(find(name, home), left_out=file.left_out)


def remove(name: str, home: Path | None = None) -> Path:
    """Delete an adapter, also a broken one, in a home (the user's); gives its path. Raises NotFound.

    It goes at once: no file of it is left where a running daemon would find half an adapter.
    """
    folder = adapter_files.adapters_folder(home)
    here = adapter_files.available(folder)
    if name not in here:
        raise NotFound(
            f"no adapter {name!r} in {folder}: "
            + (f"here are {', '.join(here)}" if here else "none is there yet")
        )
    path = here[name]
    gone = path.with_name(f".{path.name}.{os.getpid()}.removed")
    try:
        path.rename(gone)
        if gone.is_dir() and not gone.is_symlink():
            shutil.rmtree(gone)
        else:
            gone.unlink()
    except OSError as error:
        raise StorageError(f"{path} cannot be deleted: {error.strerror or error}") from None
    return path


def write_adapter(
    file: AdapterFile, stages: dict[str | None, dict[str, Update]], folder: Path, name: str, base: str
) -> None:
    """An adapter folder: one sub-folder a stage, or a plain folder where the stage is not known."""
    for stage, updates in stages.items():
        place, plain = folder / (stage or ""), lora_only(updates)
        if plain is not None:
            write_peft(stage_adapter(file, plain, base), place)
        else:
            place.mkdir(parents=True, exist_ok=True)
            write_lycoris(updates, place / LYCORIS_WEIGHTS, _metadata(file, base))
        if stage is None:
            return
    first = next(iter(stages.values()))
    values = {
        "format": 1,
        "name": name,
        "base": base,
        "stages": {stage: stage for stage in stages},
        "trigger": file.trigger,
        "rank": max(update.rank for update in first.values()),
        "source": file.path.name,
    }
    write_atomically(folder / "adapter.json", json.dumps(values, indent=1).encode("utf-8"))


def _metadata(file: AdapterFile, base: str) -> dict[str, str]:
    return {"trigger_words": file.trigger, "base_model": base}


def _require_fit(path: Path, base: str, home: Path | None) -> None:
    from acestep.model.cascade import Cascade

    Cascade.load(base, device="cpu", home=home).load_adapter(path)

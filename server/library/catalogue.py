"""Which cascades and adapters there are and which are loaded, as messages of the wire.

Reads `acestep`'s own lists; keeps nothing.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from acestep import typed_json
from acestep.adapters.files import available
from acestep.errors import AceStepError, AdapterError, NotFound, OutOfMemory
from acestep.typed_json import Count, Text
from protos.acestep.v1 import acestep_pb2 as pb
from server.models import Models

if TYPE_CHECKING:
    from acestep.checkpoints.checkpoint import CascadeSpec, Listed

MAX_WHY_CHARS = 1_000

# what a file that is not as expected may raise, beside our own errors
FAULTS = (AceStepError, OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


def cascades(models: Models) -> pb.ListCascadesResponse:
    """All cascades on this machine, and the loaded one if it was named by its path; each fails alone."""
    from acestep.checkpoints.checkpoint import abilities, available, listed
    from acestep.checkpoints.playing import usual

    home = models.home
    device, memory = device_memory()
    cascade = models.cascade
    found = pb.ListCascadesResponse()
    for name, folder in available(home).items():
        try:
            loaded = cascade is not None and folder == cascade.spec.folder
            found.cascades.append(_cascade(listed(name, folder, home), home, loaded, device, memory))
        except FAULTS as error:
            found.unreadable.append(_unreadable(name, folder, error))
    if cascade is not None and not any(item.loaded for item in found.cascades):
        stages = list(cascade.stages)
        able, parts = abilities(cascade.spec), usual(cascade.spec)
        found.cascades.add(
            name=models.loaded_name, loaded=True, stages=stages, supports=able, fits=True, parts=parts
        )
    return found


def _cascade(item: "Listed", home: Path | None, loaded: bool, device: str, memory: int) -> pb.Cascade:
    """`loaded` by its folder: a variant is loaded by another name, and a path may hold a namesake."""
    from acestep.checkpoints.checkpoint import read_spec
    from acestep.checkpoints.playing import usual

    spec = read_spec(item.folder, home)
    fits, note = _fit(spec, item.stages, device, memory)
    return pb.Cascade(
        name=item.name,
        loaded=loaded,
        stages=item.stages,
        supports=item.supports,
        parameters=item.parameters,
        bytes=item.bytes,
        folder=str(item.folder),
        license=item.license,
        fits=fits,
        note=note,
        parts=usual(spec),
    )


def _unreadable(name: str, path: Path, error: BaseException) -> pb.Unreadable:
    why = str(error) if isinstance(error, AceStepError) else f"{type(error).__name__}: {error}"
    texts = (name, str(path), why[:MAX_WHY_CHARS])
    name, where, why = (text.encode("utf-8", "backslashreplace").decode() for text in texts)
    return pb.Unreadable(name=name, path=where, message=why)


def cascade(models: Models, name: str) -> pb.Cascade:
    """One of them. Raises NotFound."""
    for item in cascades(models).cascades:
        if item.name == name or (item.loaded and name == models.loaded_name):  # a variant, by what it is
            return item
    if name == models.default:
        return pb.Cascade(name=name, loaded=models.loaded_name == name, fits=True)
    raise NotFound(f"no cascade {name!r} here: `acestep models` lists those there are")


def _fit(spec: "CascadeSpec", stages: tuple[str, ...], device: str, memory: int) -> tuple[bool, str]:
    """Whether a cascade fits a device with so much memory, and what it needs or gives up."""
    from acestep.checkpoints.memory import GB, plan_within

    try:
        found = plan_within(spec, device, lambda: float(memory))
    except OutOfMemory as error:
        return False, str(error)
    whole = found.stages == stages and found.resident and not found.int8
    return True, f"needs {found.needed_bytes / GB:.1f} GB" + ("" if whole else f" as {found}")


def device_memory() -> tuple[str, int]:
    """(cuda or cpu, bytes) of this machine's GPU, else of its main memory; torch is not loaded for it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return "cuda", int(torch.cuda.get_device_properties(0).total_memory)
    if torch is None and (tool := shutil.which("nvidia-smi")):
        asked = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        if said and said[0].isdigit():
            return "cuda", int(said[0]) << 20
    return "cpu", int(psutil.virtual_memory().total)


def adapters(models: Models, folder: Path) -> pb.ListAdaptersResponse:
    """The adapters in `folder`, and those that are loaded; each fails alone."""
    loaded = _loaded_adapters(models)
    here = available(folder)
    found = pb.ListAdaptersResponse()
    for name, path in here.items():
        try:
            stages, details = loaded.get(name, ()), _adapter_details(path)
            found.adapters.add(name=name, path=str(path), loaded=name in loaded, stages=stages, **details)
        except FAULTS as error:
            found.unreadable.append(_unreadable(name, path, error))
    for name in loaded:
        if name not in here:
            found.adapters.add(name=name, loaded=True, stages=loaded[name])
    return found


def adapter_names(folder: Path) -> list[str]:
    """The names by which requests may ask for adapters, in order."""
    return [name for name in available(folder) if "\\" not in name]


def adapter_path(folder: Path, name: str) -> Path | None:
    """The adapter of that name, as it would be loaded; None if there is none."""
    return available(folder).get(name)


@dataclass(frozen=True)
class _AdapterFile:
    """What adapter.json and PEFT's adapter_config.json say of an adapter, as far as lists show it."""

    rank: Count | None = None
    r: Count | None = None
    alpha: float | None = None
    lora_alpha: float | None = None
    trigger: Text | None = None
    stages: dict[str, str] | None = None


def _adapter_details(path: Path) -> dict[str, Any]:
    """Rank, alpha and trigger words where the adapter's own files say them."""
    ours, peft = _told_by(path / "adapter.json"), _told_by(path / "adapter_config.json")
    for part in (ours.stages or {}).values():
        inside = (path / part).resolve()
        if peft.r is None and inside.is_relative_to(path.resolve()):
            peft = _told_by(inside / "adapter_config.json")
    rank = peft.r if ours.rank is None else ours.rank
    alpha = peft.lora_alpha if ours.alpha is None else ours.alpha
    return {"rank": rank or 0, "alpha": alpha or 0.0, "trigger_words": [ours.trigger] if ours.trigger else []}


def _told_by(file: Path) -> _AdapterFile:
    try:
        return typed_json.read(file, _AdapterFile, error=AdapterError)
    except (FileNotFoundError, NotADirectoryError):
        return _AdapterFile()


def load_adapter(models: Models, folder: Path, name: str) -> None:
    """Loads an adapter into the cascade in memory, or into the default one. Worker only."""
    path = adapter_path(folder, name)
    if path is None:
        raise NotFound(f"no adapter {name!r} in {folder}: see `lora_studio list`")
    models.use(models.loaded_name).load_adapter(path)


def unload_adapter(models: Models, name: str) -> None:
    """Takes an adapter out of the loaded cascade. Worker only."""
    cascade = models.cascade
    if cascade is None or name not in cascade.adapters.loaded:
        raise NotFound(f"adapter {name!r} is not loaded")
    cascade.unload_adapter(name)


def _loaded_adapters(models: Models) -> dict[str, tuple[str, ...]]:
    """Name → stages of the loaded ones that are still there: a deleted one can be asked for no more."""
    if models.cascade is None:
        return {}
    adapters = models.cascade.adapters
    paths = adapters.paths
    return {name: on for name, on in dict(adapters.loaded).items() if paths[name].exists()}

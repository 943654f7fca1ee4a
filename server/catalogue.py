"""Which cascades and adapters there are and which are loaded, as messages of the wire.

Reads `acestep`'s own lists; keeps nothing.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.adapter_files import available
from acestep.errors import NotFound, OutOfMemory
from protos.acestep.v1 import acestep_pb2 as pb
from server.models import Models

if TYPE_CHECKING:
    from acestep.checkpoint import Listed


def cascades(models: Models) -> list[pb.Cascade]:
    """All cascades on this machine, and the loaded one if it was named by its path."""
    from acestep.checkpoint import list_cascades

    device, memory = device_memory()
    spec = getattr(models.cascade, "spec", None)
    here = [(item, _fit(item, device, memory)) for item in list_cascades()]
    found = [
        pb.Cascade(
            name=item.name,
            # by its folder: a variant is loaded by another name, and a path may hold a namesake
            loaded=item.folder == spec.folder if spec else item.name == models.loaded_name,
            stages=item.stages,
            supports=item.supports,
            parameters=item.parameters,
            bytes=item.bytes,
            folder=str(item.folder),
            license=item.license,
            fits=fits,
            note=note,
        )
        for item, (fits, note) in here
    ]
    if models.cascade is not None and not any(item.loaded for item in found):
        stages = list(models.cascade.stages)
        found.append(pb.Cascade(name=models.loaded_name, loaded=True, stages=stages, fits=True))
    return found


def cascade(models: Models, name: str) -> pb.Cascade:
    """One of them. Raises NotFound."""
    for item in cascades(models):
        if item.name == name or (item.loaded and name == models.loaded_name):  # a variant, by what it is
            return item
    if name == models.default:
        return pb.Cascade(name=name, loaded=models.loaded_name == name, fits=True)
    raise NotFound(f"no cascade {name!r} here: `acestep models` lists those there are")


def _fit(item: "Listed", device: str, memory: int) -> tuple[bool, str]:
    """Whether a cascade fits a device with so much memory, and what it needs or gives up."""
    from acestep.checkpoint import read_spec
    from acestep.memory import GB, plan_within

    try:
        found = plan_within(read_spec(item.folder), device, lambda: float(memory))
    except OutOfMemory as error:
        return False, str(error)
    whole = found.stages == item.stages and found.resident and not found.int8
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
    return "cpu", _main_memory_bytes()


def _main_memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # Windows
        return sys.maxsize


def adapters(models: Models, folder: Path) -> list[pb.Adapter]:
    """The adapters in `folder`, and those that are loaded."""
    loaded = _loaded_adapters(models)
    found = available(folder)
    return [
        pb.Adapter(
            name=name,
            path=str(found.get(name, "")),
            loaded=name in loaded,
            **(_adapter_details(found[name]) if name in found else {}),
            stages=loaded.get(name, ()),
        )
        for name in [*found, *(name for name in loaded if name not in found)]
    ]


def adapter_path(folder: Path, name: str) -> Path | None:
    """The adapter of that name, as it would be loaded; None if there is none."""
    return available(folder).get(name)


def _adapter_details(path: Path) -> dict[str, Any]:
    """Rank, alpha and trigger words where the adapter's settings say them."""
    ours = _settings(path / "adapter.json")
    peft = _settings(path / "adapter_config.json")
    for part in (ours.get("stages") or {}).values() if isinstance(ours.get("stages"), dict) else ():
        peft = peft or _settings(path / str(part) / "adapter_config.json")
    rank, alpha = ours.get("rank", peft.get("r")), ours.get("alpha", peft.get("lora_alpha"))
    return {
        "rank": rank if isinstance(rank, int) and rank > 0 else 0,
        "alpha": alpha if isinstance(alpha, int | float) else 0.0,
        "trigger_words": [str(ours["trigger"])] if ours.get("trigger") else [],
    }


def _settings(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


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
    paths = getattr(adapters, "paths", {})
    return {
        name: on for name, on in dict(adapters.loaded).items() if name not in paths or paths[name].exists()
    }

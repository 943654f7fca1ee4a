"""Which cascades and adapters there are and which are loaded, as messages of the wire.

Reads `acestep`'s own lists; keeps nothing.
"""

import json
import math
import os
import sys
from pathlib import Path

from acestep.errors import AceStepError, NotFound
from acestep.request import CONTEXT_TASKS
from protos.acestep.v1 import acestep_pb2 as pb
from server.models import Models

MAX_HEADER_BYTES = 64 << 20


def cascades(models: Models) -> list[pb.Cascade]:
    """All cascades on this machine."""
    from acestep.checkpoint import available

    here = available()
    if models.loaded_name and models.loaded_name not in here:  # loaded by its path
        here[models.loaded_name] = Path(models.loaded_name)
    return [_described(name, folder, name == models.loaded_name) for name, folder in here.items()]


def cascade(models: Models, name: str) -> pb.Cascade:
    """One of them. Raises NotFound."""
    for item in cascades(models):
        if item.name == name:
            return item
    if name == models.default:
        return pb.Cascade(name=name, loaded=models.loaded_name == name, fits=True)
    raise NotFound(f"no cascade {name!r} here: `acestep models` lists those there are")


def _described(name: str, folder: Path, loaded: bool) -> pb.Cascade:
    from acestep.checkpoint import read_spec

    try:
        spec = read_spec(folder)
    except AceStepError as error:
        return pb.Cascade(name=name, folder=str(folder), note=f"broken: {error}")
    weights = list(folder.rglob("*.safetensors"))
    size = sum(file.stat().st_size for file in weights)
    return pb.Cascade(
        name=name,
        loaded=loaded,
        stages=[stage.name for stage in spec.stages],
        supports=spec.supports or ("text", "reference", *CONTEXT_TASKS),
        parameters=sum(_parameters(file) for file in weights),
        bytes=size,
        folder=str(folder),
        license=spec.license,
        fits=size < _memory_bytes(),
    )


def _parameters(file: Path) -> int:
    """Counted from the header of a safetensors file, without reading its weights."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, MAX_HEADER_BYTES)))
    except (OSError, ValueError):
        return 0
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")


def _memory_bytes() -> int:
    """Memory of this machine's GPU if torch is loaded and sees one, else its main memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # Windows
        return sys.maxsize


def adapters(models: Models, folder: Path) -> list[pb.Adapter]:
    """The adapters in `folder`, and those that are loaded."""
    loaded = _loaded_adapters(models)
    found = {}
    if folder.is_dir():
        for item in sorted(folder.iterdir()):
            if not item.name.startswith(".") and (item.is_dir() or item.suffix == ".safetensors"):
                found[item.stem if item.is_file() else item.name] = item
    names = [*found, *(name for name in loaded if name not in found)]
    return [
        pb.Adapter(
            name=name, path=str(found.get(name, "")), loaded=name in loaded, stages=loaded.get(name, ())
        )
        for name in names
    ]


def load_adapter(models: Models, name: str) -> None:
    """Loads an adapter into the default cascade or the one in memory. Worker only."""
    cascade = models.use(models.loaded_name)
    if name not in cascade.adapters.loaded:
        cascade.load_adapter(name)


def unload_adapter(models: Models, name: str) -> None:
    """Takes an adapter out of the loaded cascade. Worker only."""
    if name not in _loaded_adapters(models):
        raise NotFound(f"adapter {name!r} is not loaded")
    models.cascade.unload_adapter(name)


def _loaded_adapters(models: Models) -> dict[str, list[str]]:
    cascade = models.cascade
    return dict(cascade.adapters.loaded) if cascade is not None else {}

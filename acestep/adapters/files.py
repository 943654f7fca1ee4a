"""Adapter files of every published layout, read into one: a layer's path → its update.

Layouts: PEFT folders (upstream, lora_studio), LyCORIS' files and folders (upstream, Side-Step), single
files of ComfyUI, kohya and diffusers; LoRA, LoKr and LoHa, DoRA of each. What is read is hashed as it is
read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.adapters import keys as adapter_keys
from acestep.adapters.adapter_config import AdapterConfig, parsed
from acestep.adapters.keys import Key, Names
from acestep.errors import AdapterError, NotFound
from acestep.home import home
from acestep.typed_json import fault_of

if TYPE_CHECKING:
    from torch import Tensor

    from acestep.adapters.updates import Update

MAX_BYTES = 16 << 30  # of a file of unknown origin
MAX_LISTED = 5  # names in a sentence
CONFIG, MANIFEST = "adapter_config.json", "adapter.json"
Stamps = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class AdapterFile:
    """An adapter on disk: its updates by stage (None: any that fits) and diffusers module path.

    `left_out` names the tensors that belong to no layer of ours, `hashes` the content of every file read.
    """

    name: str
    path: Path
    stages: dict[str | None, dict[str, Update]]
    trigger: str = ""
    left_out: tuple[str, ...] = ()
    hashes: dict[str, str] = field(default_factory=dict)


def adapters_folder(of: Path | None = None) -> Path:
    """Where adapters are looked for by name: in the home `of`, without one in the user's."""
    return (of or home()) / "adapters"


def available(folder: Path | None = None) -> dict[str, Path]:
    """Every adapter in a folder (the home's), by name; before a file of the same name a folder counts."""
    folder, found = folder or adapters_folder(), {}
    if folder.is_dir():
        for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
            if path.name.startswith("."):
                continue
            if path.suffix == ".safetensors" and path.is_file():
                found[path.stem] = path
            elif is_adapter(path):
                found[path.name] = path
    return dict(sorted(found.items()))


def is_adapter(path: Path) -> bool:
    """Whether a folder looks like an adapter: it has its configuration or weights."""
    if not path.is_dir():
        return False
    if any((path / name).is_file() for name in (MANIFEST, CONFIG)):
        return True
    return any(file.is_file() for file in path.glob("*.safetensors"))


def find(name_or_path: str | Path, folder: Path | None = None) -> Path:
    """The adapter of that name in a folder (the home's), or at that path. Raises NotFound."""
    here = available(folder)
    if str(name_or_path) in here:
        return here[str(name_or_path)]
    with contextlib.suppress(OSError, RuntimeError):  # no name that a file can have
        path = Path(name_or_path).expanduser()
        if path.is_file() or (path.is_dir() and len(path.parts) > 1):
            return path
    raise NotFound(
        f"no adapter {str(name_or_path)!r}: here are {', '.join(here) or 'none'}; put a PEFT folder or a "
        f".safetensors file into {folder or adapters_folder()}"
    )


def name_of(path: Path) -> str:
    """What an adapter is called: as its folder, or as its file without the ending."""
    return path.stem if path.is_file() else path.name


def stamps(path: Path) -> Stamps:
    """The present state on disk of every file that an adapter may be read from; {} where it is gone."""
    files = [path] if path.is_file() else [*path.glob("*"), *path.glob("*/*")]
    found: Stamps = {}
    for file in files:
        if file.suffix not in (".safetensors", ".json"):
            continue
        try:
            state = file.stat()
        except OSError:  # gone meanwhile
            continue
        found[str(file)] = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return found


def read_adapter(path: Path, names: Names | None = None) -> AdapterFile:
    """An adapter from its file or folder; `names` are the model's layers (default: ACE-Step 1.5's).

    Raises AdapterError with what is wrong in it, naming the tensor.
    """
    reader = _Reader(path, names or adapter_keys.architecture())
    stages: dict[str | None, dict[str, Update]] = {}
    trigger = ""
    if path.is_file():
        stages[None] = reader.updates(path, {})
    elif not (path / MANIFEST).is_file():
        stages[None] = reader.folder(path)
    else:
        values = reader.settings(path / MANIFEST)
        trigger = str(values.get("trigger") or "")
        for stage, part in _stage_folders(path, values).items():
            stages[stage] = reader.folder(part)
    return AdapterFile(name_of(path), path, stages, trigger, tuple(reader.left_out), reader.hashes)


def _stage_folders(path: Path, values: Mapping[str, Any]) -> dict[str, Path]:
    folders = values.get("stages")
    if not isinstance(folders, dict) or not folders:
        raise AdapterError(f"{path / MANIFEST} names no stages: expected {{'stages': {{'l': 'l'}}}}")
    inside, found = path.resolve(), {}
    for stage, folder in folders.items():
        part = (path / str(folder)).resolve()
        if not part.is_relative_to(inside):
            raise AdapterError(f"{path / MANIFEST} points outside its folder: {folder!r}")
        found[str(stage)] = path / str(folder)
    return found


class _Reader:
    """Reads an adapter's files, and keeps what they held and what was left out."""

    def __init__(self, path: Path, names: Names) -> None:
        self.inside = path if path.is_dir() else path.parent
        self.names = names
        self.hashes: dict[str, str] = {}
        self.left_out: list[str] = []

    def content(self, file: Path) -> bytes:
        """A file's bytes, whose hash is kept: what is hashed is what is loaded."""
        try:
            size = file.stat().st_size
            if size > MAX_BYTES:
                raise AdapterError(
                    f"{file} has {size >> 30} GiB: expected an adapter of at most {MAX_BYTES >> 30}"
                )
            data = file.read_bytes()
        except OSError as error:
            raise AdapterError(f"{file} cannot be read: {error.strerror or error}") from None
        name = file.relative_to(self.inside).as_posix()
        self.hashes[name] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        return data

    def settings(self, file: Path) -> dict[str, Any]:
        return parsed(self.content(file), str(file))

    def folder(self, folder: Path) -> dict[str, Update]:
        """A PEFT folder, or one that holds a single file of weights."""
        files = [folder / "adapter_model.safetensors", *sorted(folder.glob("*.safetensors"))]
        file = next((candidate for candidate in files if candidate.is_file()), None)
        if file is None:
            pickles = ", ".join(path.name for path in folder.glob("*.bin"))
            raise AdapterError(
                f"{folder} has no adapter_model.safetensors"
                + (
                    f"; {pickles} is a pickle, which may contain code: save it as safetensors"
                    if pickles
                    else ""
                )
            )
        config = folder / CONFIG
        return self.updates(file, self.settings(config) if config.is_file() else {})

    def updates(self, file: Path, config: Mapping[str, Any]) -> dict[str, Update]:
        """Every update in a safetensors file, with the alpha that belongs to it."""
        tensors, metadata = self._tensors(file)
        settings = AdapterConfig.read(config, str(file.parent / CONFIG)) if config else None
        settings = settings or AdapterConfig.of_header(metadata, str(file))
        from acestep.adapters.layers import Layer

        layers = self._layers(tensors, file)
        paths, others = self.names.match(list(layers))
        self.left_out += [key for stem in others for key in layers[stem].values()]
        made: dict[str, Update] = {}
        for stem, path in paths.items():
            keys = layers[stem]
            if set(keys) <= {"alpha", "magnitude"}:
                self.left_out += keys.values()
                continue
            own = {key: tensors[key] for key in keys.values()}
            made[path] = Layer(file, stem, path, own, keys).update(settings)
        if not made:
            raise AdapterError(self._nothing(file, list(tensors)))
        return made

    def _tensors(self, file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
        import safetensors
        import safetensors.torch

        if file.suffix != ".safetensors":
            raise AdapterError(
                f"{file} is not a safetensors file: other formats may contain code and are not read"
            )
        data = self.content(file)
        try:
            tensors = safetensors.torch.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        except (ValueError, RecursionError, KeyError, safetensors.SafetensorError) as error:
            raise AdapterError(f"{file} is not a whole safetensors file: {fault_of(error)}") from None
        return dict(sorted(tensors.items())), header.get("__metadata__") or {}

    def _layers(self, tensors: Mapping[str, Tensor], file: Path) -> dict[str, dict[str, str]]:
        """The file's name of a layer → part → the tensor's key. What is not part of an update is left out."""
        layers: dict[str, dict[str, str]] = {}
        adapters: set[str] = set()
        for name in tensors:
            key: Key | None = adapter_keys.read_key(name)
            if key is None:
                self.left_out.append(name)
                continue
            adapters.add(key.adapter)
            if layers.setdefault(key.stem, {}).setdefault(key.part, name) != name:
                raise AdapterError(
                    f"{file} holds {layers[key.stem][key.part]} and {name}: expected one of them"
                )
        if len(adapters) > 1:
            told = ", ".join(sorted(adapter or "one without a name" for adapter in adapters))
            raise AdapterError(f"{file} holds several adapters ({told}): save one of them alone")
        return layers

    def _nothing(self, file: Path, keys: list[str]) -> str:
        if not keys:
            return f"{file} holds no tensors: expected a LoRA, LoKr or LoHa"
        kind = adapter_keys.other_kind(keys)
        if kind:
            return f"{file} is of another kind, {kind} ({keys[0]}): expected LoRA, LoKr or LoHa"
        return (
            f"{file} changes no layer of ACE-Step: it holds {listed(keys)}; expected names such as "
            "layers.0.self_attn.q_proj.lora_A.weight"
        )


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")

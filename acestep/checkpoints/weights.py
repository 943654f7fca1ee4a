"""Safetensors files tensor by tensor: checked for completeness, cast, and written with one in memory.

Nothing here executes what a file contains.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from acestep.errors import CheckpointError
from acestep.typed_json import fault_of

if TYPE_CHECKING:
    import torch

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
# What libraries raise on files that are not what they should be.
BROKEN_FILES = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,  # RecursionError too
    ArithmeticError,
    AssertionError,
    MemoryError,
    SafetensorError,
)
MAX_HEADER_BYTES = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class Entry:
    """A tensor in a file: where its bytes are and what they mean."""

    file: Path
    name: str
    dtype: str  # the format's name: F32, BF16 …
    shape: tuple[int, ...]
    begin: int
    end: int

    def read(self) -> torch.Tensor:
        """The tensor; its own memory, nothing is mapped."""
        import torch

        with self.file.open("rb") as opened:
            opened.seek(self.begin)
            data = bytearray(opened.read(self.end - self.begin))
        if len(data) != self.end - self.begin:
            raise CheckpointError(f"{self.file} is cut off within {self.name}: fetch it again")
        if not data:
            return torch.empty(self.shape, dtype=getattr(torch, DTYPES[self.dtype]))
        return torch.frombuffer(data, dtype=getattr(torch, DTYPES[self.dtype])).reshape(self.shape)


def read_header(file: Path) -> dict[str, Entry]:
    """Every tensor in a safetensors file, by name. Raises CheckpointError for a broken or truncated one."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise CheckpointError(
                    f"{file} is not a safetensors file, or cut off at its start: fetch it again"
                )
            header = json.loads(opened.read(length))
    except OSError as error:
        raise CheckpointError(f"{file} is missing or cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} has a broken header: fetch it again") from error
    entries, start = {}, 8 + length
    for name, values in header.items():
        if name != "__metadata__":
            entries[name] = _entry(file, name, values, start)
    wanted = max((entry.end for entry in entries.values()), default=start)
    if wanted > size:
        raise CheckpointError(f"{file} is cut off: {size} of {wanted} bytes are there; fetch it again")
    return entries


def _entry(file: Path, name: str, values: Any, start: int) -> Entry:
    try:
        dtype, shape = str(values["dtype"]), tuple(int(n) for n in values["shape"])
        begin, end = (start + int(offset) for offset in values["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} describes {name} wrongly: fetch it again") from error
    if dtype not in DTYPES:
        raise CheckpointError(f"{file}: {name} has dtype {dtype}: expected one of {', '.join(DTYPES)}")
    if end - begin != math.prod(shape) * item_bytes(dtype) or begin < start:
        raise CheckpointError(f"{file} describes {name} wrongly: its size does not match its shape")
    return Entry(file, name, dtype, shape, begin, end)


def weight_files(folder: Path) -> list[Path]:
    """A model's safetensors in a folder: the shards its index names, or its single file."""
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if indexes:
        try:
            names = sorted(set(json.loads(indexes[0].read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise CheckpointError(f"{indexes[0]} is not an index of shards: {fault_of(error)}") from error
        foreign = [name for name in names if not isinstance(name, str) or Path(name).name != name]
        if foreign:
            raise CheckpointError(
                f"{indexes[0]} names shards outside of its folder: {str(foreign[0])[:80]!r}"
            )
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            listed = ", ".join(missing[:5])
            raise CheckpointError(f"{folder} lacks {len(missing)} of {len(names)} shards: {listed}")
        return [folder / name for name in names]
    files = sorted(folder.glob("*.safetensors"))
    files = [file for file in files if "silence_latent" not in file.name]
    if not files:
        raise CheckpointError(
            f"{folder} has no .safetensors weights (pickles are not read: they may contain code)"
        )
    return files


def read_headers(folder: Path) -> dict[str, Entry]:
    """Every tensor of a model's folder, over all its shards."""
    entries: dict[str, Entry] = {}
    for file in weight_files(folder):
        entries |= read_header(file)
    return entries


def write(
    file: Path,
    tensors: Iterable[tuple[str, tuple[int, ...], Callable[[], torch.Tensor]]],
    dtype: str = "BF16",
    on_tensor: Callable[[int], None] | None = None,
) -> int:
    """Write (name, shape, how to get it) as one file, one tensor in memory at a time; gives its bytes.

    `on_tensor(bytes)` is called after each.
    """
    import torch

    kind, header, offset = getattr(torch, DTYPES[dtype]), {}, 0
    tensors = list(tensors)
    for name, shape, _ in tensors:
        size = math.prod(shape) * item_bytes(dtype)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little"))
        opened.write(text)
        for name, shape, get in tensors:
            value = get().to(kind).contiguous()
            if tuple(value.shape) != shape:
                raise CheckpointError(f"{name} has shape {tuple(value.shape)}: expected {shape}")
            opened.write(value.view(torch.uint8).numpy().tobytes() if value.numel() else b"")
            if on_tensor is not None:
                on_tensor(value.numel() * value.element_size())
    return 8 + len(text) + offset


def item_bytes(dtype: str) -> int:
    """Bytes of one number."""
    if dtype in ("BOOL", "U8", "I8"):
        return 1
    return int("".join(letter for letter in dtype if letter.isdigit())) // 8

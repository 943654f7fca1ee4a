"""Files of a training: JSON, tensors and folders, each written whole or not at all."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.errors import StorageError
from acestep.files import appearing, appearing_folder

if TYPE_CHECKING:
    from torch import Tensor


def write_atomically(path: Path, data: bytes) -> None:
    """Write under a hidden temporary name in the same folder, flush to disk, rename."""
    write_file(path, lambda temporary: temporary.write_bytes(data))


def write_json(path: Path, values: Any) -> None:
    """A value as JSON that people can read."""
    write_atomically(path, json.dumps(values, indent=1, ensure_ascii=False).encode("utf-8"))


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Like `write_atomically` for whatever `write(temporary_path)` writes."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing(path) as hidden:
            write(hidden)
    except OSError as error:
        raise _storage_error(path, error) from error


def write_tensors(
    path: Path, tensors: "Mapping[str, Tensor]", metadata: dict[str, str] | None = None
) -> None:
    """A safetensors file, atomically. Made in memory, so that a full disk is an OSError like any other."""
    from safetensors.torch import save

    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata))


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """A folder that appears whole: filled under a hidden name, flushed, renamed. `path` must not exist."""
    try:
        with appearing_folder(path) as hidden:
            fill(hidden)
    except OSError as error:
        raise _storage_error(path, error) from error


def require_writable(folder: Path) -> None:
    """Raises StorageError unless a file can be made in the folder (or in the folder it would be made in)."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise StorageError(f"{folder} cannot be written: name another folder, or change its permissions")


def _storage_error(path: Path, error: OSError) -> StorageError:
    if isinstance(error, StorageError):
        return error
    what = {28: "the disk is full", 30: "the file system is read-only", 13: "its permissions forbid it"}
    reason = what.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"{path} cannot be written: {reason}; what was there before is unchanged")

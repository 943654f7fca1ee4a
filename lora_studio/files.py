"""Writing files so that a crash or a full disk leaves the old one or the new one, never half of one."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.errors import StorageError

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        raise _storage_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_tensors(
    path: Path, tensors: "Mapping[str, Tensor]", metadata: dict[str, str] | None = None
) -> None:
    """A safetensors file, atomically. Made in memory, so that a full disk is an OSError like any other."""
    from safetensors.torch import save

    plain = {name: tensor.detach().to("cpu").contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata))


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """A folder that appears whole: filled under a hidden name, flushed, renamed. `path` must not exist."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        fill(temporary)
        for file in sorted(temporary.rglob("*")):
            flush(file)
        flush(temporary)
        temporary.rename(path)
        flush(path.parent)
    except OSError as error:
        raise _storage_error(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def flush(path: Path) -> None:
    """fsync a file or a folder (folders cannot be opened on Windows; there the rename has to do)."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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

"""Which weights and libraries made a clip, for its sidecar: hashes of the checkpoint's files, and versions.

A file is read once per process and change; above a gigabyte only parts of it are.
"""

import hashlib
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import acestep

if TYPE_CHECKING:
    from acestep.request import GenerateRequest

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy", "soxr", "python-stretch")
WHOLE_UP_TO_BYTES = 1 << 30
PART_BYTES = 1 << 20
PARTS = 64


def origin(cascade: Any, request: "GenerateRequest") -> dict[str, Any]:
    """Name and hashes of the checkpoint's files and of the adapters in use, as far as the cascade says."""
    spec = getattr(cascade, "spec", None)
    int8 = any(stage.int8_error is not None for stage in getattr(cascade, "stages", {}).values())
    return {
        "name": spec.name if spec else "",
        **({"int8": True} if int8 else {}),
        "files": fingerprint(spec.folder) if spec else {},
        "adapters": cascade.adapters.hashes(request.adapters) if spec and request.adapters else {},
    }


def versions() -> dict[str, str]:
    """Of this package, Python, the platform, and the libraries that decide how a clip sounds."""
    found = {
        "acestep-bridge": acestep.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def fingerprint(folder: Path) -> dict[str, str]:
    """Relative path → hash of every weight and configuration file below `folder` (or of the one file)."""
    if folder.is_file():
        return {folder.name: file_hash(folder)}
    files = sorted(file for ending in ("*.safetensors", "*.json") for file in folder.rglob(ending))
    return {file.relative_to(folder).as_posix(): file_hash(file) for file in files if file.is_file()}


def file_hash(file: Path) -> str:
    """`sha256:…` of the file; of a very large one `sha256-sampled:…`, 64 spread parts and the size."""
    found = file.stat()
    return _hash(str(file), found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash(path: str, size: int, _changed: int) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        if size <= WHOLE_UP_TO_BYTES:
            while block := stream.read(PART_BYTES):
                digest.update(block)
            return f"sha256:{digest.hexdigest()}"
        digest.update(str(size).encode())
        for part in range(PARTS):
            stream.seek((size - PART_BYTES) * part // (PARTS - 1))
            digest.update(stream.read(PART_BYTES))
    return f"sha256-sampled:{digest.hexdigest()}"

"""What a checkpoint is, as hashes of its weight files: so that a sidecar can say which weights made a clip.

Knows files only. A file is read once per process and change; above a gigabyte only parts of it are.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

WHOLE_UP_TO_BYTES = 1 << 30
PART_BYTES = 1 << 20
PARTS = 64


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

"""What made a clip, for its sidecar: hashes of the files that were loaded and heard, and versions.

A file's content is known by its hash, which is taken once per state of the file on disk; above a gigabyte
only parts of it are read.
"""

import hashlib
import os
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from acestep.version import __version__

if TYPE_CHECKING:
    from acestep.checkpoints.checkpoint import CascadeSpec
    from acestep.request import GenerateRequest

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "scipy", "soxr", "python-stretch")
WHOLE_UP_TO_BYTES = 1 << 30  # a larger file is read in parts
PART_BYTES = 1 << 20  # of a part that is read
PARTS = 64  # evenly spread over a large file
# what a checkpoint's parts are read from: weights, settings, and the tokenizers' vocabularies
ENDINGS = (".safetensors", ".json", ".txt", ".model", ".jinja")
Stamp = tuple[int, ...]  # of a file on disk: device, inode, size, and when content and entry changed


def heard(request: "GenerateRequest") -> dict[str, str]:
    """Hashes of the audio that a request names, by "reference", "context" and, for more files of it,
    "context 2" …"""
    sources = {"reference": request.reference, "context": request.context}
    files = {
        name if number == 1 else f"{name} {number}": Path(one.path).expanduser()
        for name, audio in sources.items()
        if audio is not None
        for number, one in enumerate(audio.sources, 1)
    }
    return {name: file_hash(file) for name, file in files.items() if file.is_file()}


def versions() -> dict[str, str]:
    """Of this package, Python, the platform, and the libraries that decide how a clip sounds."""
    found = {
        "acestep-bridge": __version__,
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
    """Relative path → hash of every file below `folder` that parts are read from (or of the one file)."""
    if folder.is_file():
        return {folder.name: file_hash(folder)}
    return {file.relative_to(folder).as_posix(): file_hash(file) for file in _files(folder)}


def checkpoint_files(spec: "CascadeSpec") -> dict[str, Path]:
    """Every file that a cascade is loaded from, by its path seen from the cascade's folder: a composed
    cascade's stages lie elsewhere."""
    parts = [spec.codec, spec.text_encoder, spec.tokenizer, *(stage.folder for stage in spec.stages)]
    found = [spec.folder / name for name in ("cascade.json", "model_index.json")]
    for part in parts:
        found += _files(part)
    return {Path(os.path.relpath(file, spec.folder)).as_posix(): file for file in found if file.is_file()}


def stamps(spec: "CascadeSpec") -> dict[str, Stamp]:
    """The present state on disk of every file that a cascade is loaded from."""
    return {name: stamp(file) for name, file in checkpoint_files(spec).items()}


def stamp(file: Path) -> Stamp:
    """A file's state on disk. It changes whenever the file is replaced or written, whatever its name and
    times.
    """
    found = file.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def file_hash(file: Path) -> str:
    """`sha256:…` of the file; of a very large one `sha256-sampled:…`, 64 spread parts and the size."""
    return _hash(str(file.absolute()), stamp(file))


def _files(folder: Path) -> list[Path]:
    found = (file for ending in ENDINGS for file in folder.rglob(f"*{ending}"))
    return sorted(file for file in found if file.is_file())


@lru_cache(maxsize=4096)
def _hash(path: str, state: Stamp) -> str:
    digest, size = hashlib.sha256(), state[2]
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

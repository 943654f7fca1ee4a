"""Finding sidecars in folders, whatever else lies in them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from acestep.clip import SIDECAR_ENDING


def sidecars(folder: Path, below: bool = True) -> Iterator[Path]:
    """Sidecars in the folder and one level below, where the trash keeps its own."""
    folders = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:  # an unmounted disk comes back
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.endswith(SIDECAR_ENDING):
                yield Path(entry.path)
            if below and _is_folder(entry):
                folders.append(entry.path)
    for inner in folders:
        yield from sidecars(Path(inner), below=False)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in circles
        return False


def stamp(file: Path) -> float | None:
    """When the file was changed, or None where it cannot be told."""
    try:
        return file.stat().st_mtime
    except OSError:
        return None

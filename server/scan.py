"""Finding sidecars in folders, whatever else lies in them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from acestep.clip import SIDECAR_ENDING


def sidecars(folder: Path) -> Iterator[Path]:
    """Sidecars in the folder and one level below, where the trash keeps its own."""
    inside = _entries(folder)
    yield from _visible_sidecars(inside)
    for entry in inside:
        with contextlib.suppress(OSError):  # a link that leads in circles
            if not entry.name.startswith(".") and entry.is_dir():
                yield from _visible_sidecars(_entries(Path(entry.path)))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:  # an unmounted disk, a locked folder: its clips come back with it
        return []


def _visible_sidecars(entries: list[os.DirEntry[str]]) -> Iterator[Path]:
    for entry in entries:
        if entry.name.endswith(SIDECAR_ENDING) and not entry.name.startswith("."):
            yield Path(entry.path)


def stamp(file: Path) -> float | None:
    """When the file was changed, or None where it cannot be told."""
    try:
        return file.stat().st_mtime
    except OSError:
        return None

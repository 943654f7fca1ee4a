"""Finding clips in folders, whatever else lies in them: each once, however many links lead to it.

Nothing is opened: what is a pipe or a device would be waited for without end.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from acestep.clip import SIDECAR_ENDING


@dataclass(frozen=True)
class Unreadable:
    """A clip that cannot be used, and why."""

    path: str
    message: str


def clips(folders: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """(audio, sidecar) in the folders and one level below, where the trash keeps its own.

    Folders and files are known by what they are behind all links; those with a path of their own come first.
    """
    looked_in: set[str] = set()
    links: list[tuple[Path, Path]] = []
    inner: list[Path] = []
    known: set[str] = set()
    for below in (True, False):
        for folder in folders:
            real = os.path.realpath(folder)
            if real in looked_in:
                continue
            looked_in.add(real)
            for entry in _entries(folder):
                if entry.name.endswith(SIDECAR_ENDING):
                    sidecar = Path(entry.path)
                    file = sidecar.with_name(entry.name.removesuffix(SIDECAR_ENDING))
                    if file.is_symlink():
                        links.append((file, sidecar))
                    else:
                        known.add(str(Path(real, file.name)))
                        yield file, sidecar
                if below and _is_folder(entry):
                    inner.append(Path(entry.path))
        folders = sorted(inner, key=Path.is_symlink)
    for file, sidecar in links:
        real = os.path.realpath(file)
        if real not in known:
            known.add(real)
            yield file, sidecar


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:  # an unmounted disk comes back
        return []


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    with contextlib.suppress(OSError):  # a link that leads in circles
        return entry.is_dir()
    return False


def stamp(file: Path) -> float | None:
    """When the file was changed, or None where it cannot be told."""
    try:
        return file.stat().st_mtime
    except OSError:
        return None


def is_ordinary(file: Path) -> bool | None:
    """Whether it is a file with content: no pipe, socket, device or folder. None: it is not there."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except (OSError, ValueError):
        return None

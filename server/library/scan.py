"""Finding clips in folders, whatever else lies in them: each once, however many links lead to it.

Nothing is opened: what is a pipe or a device would be waited for without end.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from acestep.sources.sidecar import SIDECAR_ENDING


@dataclass(frozen=True)
class Unreadable:
    """A clip that cannot be used, and why."""

    path: str
    message: str


def clips(folders: Iterable[str | Path]) -> Iterator[tuple[Path, Path]]:
    """(audio, sidecar) in the folders and one level below, where the trash keeps its own.

    Folders and files are known by what they are behind all links; those with a path of their own come first.
    Goes through a folder as it reads it: what it holds in memory does not grow with the clips.
    """
    looked_in: set[str] = set()
    links: list[tuple[Path, Path]] = []
    inner: list[str] = []
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
                        yield file, sidecar
                if below and _is_folder(entry):
                    inner.append(entry.path)
        folders = sorted(inner, key=os.path.islink)
    linked: set[str] = set()
    for file, sidecar in links:
        real = os.path.realpath(file)
        if real not in linked and not _told_of(Path(real), looked_in):
            linked.add(real)
            yield file, sidecar


def _entries(folder: str | Path) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except OSError:  # an unmounted disk comes back
        return


def _told_of(file: Path, looked_in: set[str]) -> bool:
    """Whether it was found as a clip in one of the folders."""
    sidecar = file.with_name(file.name + SIDECAR_ENDING)
    return str(file.parent) in looked_in and not file.name.startswith(".") and os.path.lexists(sidecar)


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

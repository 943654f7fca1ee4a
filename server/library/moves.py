"""Moving a clip with all that belongs to it, so that it can be gone on with wherever it was cut short.

No file is ever written over.
"""

import contextlib
import errno
import filecmp
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acestep.clips.clip import COMPANIONS, Clip
from acestep.errors import AceStepError, AlreadyExists, NotFound, StorageError
from acestep.files import flush, hidden_in, rename_new, write_whole
from acestep.sources.sidecar import SIDECAR_ENDING


class Turns:
    """One change of a clip at a time: its file name stays the same wherever it moves, or it holds both."""

    def __init__(self) -> None:
        self._changing = threading.Condition()
        self._in_hand: set[str] = set()  # file names

    @contextlib.contextmanager
    def __call__(self, *names: str, wait: bool = True) -> Iterator[bool]:
        """Whether the clips of these names or paths are the caller's now; False only without `wait`."""
        keys = {Path(name).name for name in names}
        with self._changing:
            if not (wait or keys.isdisjoint(self._in_hand)):
                yield False
                return
            self._changing.wait_for(lambda: keys.isdisjoint(self._in_hand))  # all at once, or none
            self._in_hand |= keys
        try:
            yield True
        finally:
            with self._changing:
                self._in_hand -= keys
                self._changing.notify_all()


def move_clip(source: Path, target: Path, sidecar: bytes) -> None:
    """Moves the audio, then its companions, then writes `sidecar` beside it; across disks as well.

    What has been done already is not done again. Raises NotFound where the audio is in neither place.
    """
    with _errors(f"cannot move {source} to {target.parent}"):
        if not source.exists() and not target.exists():
            raise NotFound(f"{source} is no longer there: somebody moved or deleted it")
        target.parent.mkdir(parents=True, exist_ok=True)
        _move_file(source, target)
        for ending in COMPANIONS:
            _move_file(source.with_suffix(ending), target.with_suffix(ending))
        replace_file(target.with_name(target.name + SIDECAR_ENDING), sidecar)
        source.with_name(source.name + SIDECAR_ENDING).unlink(missing_ok=True)


def nothing_moved(source: Path, target: Path, error: AceStepError) -> bool:
    """Whether a move that failed with `error` had not begun: its name is free, or is somebody else's."""
    return not target.exists() or (isinstance(error, AlreadyExists) and source.exists())


def replace_file(file: Path, content: bytes) -> None:
    """Puts the content in place of the file's, whole or not at all."""
    with _errors(f"cannot change {file}"):
        write_whole(file, content)


def remove_empty(folder: Path) -> None:
    """Removes a folder that nothing is in."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _move_file(source: Path, target: Path) -> None:
    if not source.exists():
        return
    if not target.exists():
        try:
            taken = not rename_new(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            taken = not _copy_new(source, target)
    else:  # a move that was cut short before its source went
        taken = not filecmp.cmp(source, target, shallow=False)
    if taken:
        raise AlreadyExists(f"{target} exists, and nothing is overwritten: rename it first")
    source.unlink(missing_ok=True)


def _copy_new(source: Path, target: Path) -> bool:
    if not source.is_file():  # reading a pipe or a device need not end
        raise StorageError(f"{source} is not an ordinary file: move it by hand")
    hidden = hidden_in(target.parent)
    try:
        shutil.copy2(source, hidden)
        flush(hidden)  # the source goes next
        return rename_new(hidden, target)
    finally:
        hidden.unlink(missing_ok=True)


@contextlib.contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except (NotFound, StorageError):
        raise
    except OSError as error:
        raise StorageError(f"{what} ({error.strerror or error})") from error


def changed(clip: Clip, changes: dict[str, object], **outer: object) -> dict[str, Any]:
    """The clip's sidecar with other values; those that are None are taken out."""
    sidecar = clip.sidecar
    sidecar["clip"] = {**sidecar["clip"], **changes}
    sidecar |= outer
    return {name: value for name, value in sidecar.items() if value is not None or name not in outer}

"""Writing files: each appears whole or not at all, whatever happens meanwhile, and nobody sees half of one.

What is written lies under a hidden name beside its place, goes down to the disk, and is renamed. The hidden
name tells which process writes, so that what a killed one left is known and removed.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".acestep-{}-{}.part"  # process, and letters that nobody else has
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


def hidden_in(folder: Path) -> Path:
    """A hidden name in a folder that nothing has."""
    return folder / TEMPORARY.format(os.getpid(), secrets.token_hex(6))


@contextlib.contextmanager
def appearing(path: Path, *, private: bool = False) -> Iterator[Path]:
    """A hidden file to write; at the end it takes the place of `path`. What fails leaves `path` as it was.

    `private`: only its owner may read it (mode 0600). Raises OSError.
    """
    hidden = hidden_in(path.parent)
    try:
        hidden.touch(mode=0o600 if private else 0o666, exist_ok=False)
        yield hidden
        flush(hidden)
        hidden.replace(path)
        flush(path.parent)
    finally:
        hidden.unlink(missing_ok=True)


@contextlib.contextmanager
def appearing_folder(path: Path) -> Iterator[Path]:
    """A hidden folder to fill; at the end it is renamed to `path`, which must not exist. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(path.parent)
    hidden = hidden_in(path.parent)
    try:
        hidden.mkdir()
        yield hidden
        for inside in sorted(hidden.rglob("*")):
            if not inside.is_symlink():
                flush(inside)
        flush(hidden)
        hidden.rename(path)
        flush(path.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def write_whole(path: Path, data: bytes, *, private: bool = False) -> None:
    """Puts `data` at `path`, over what is there. Raises OSError."""
    with appearing(path, private=private) as hidden:
        hidden.write_bytes(data)


def write_new(path: Path, data: bytes, *, private: bool = False) -> bool:
    """Puts `data` at `path`; False where something is there already, which stays. Raises OSError.

    `private`: only its owner may read it (mode 0600).
    """
    hidden = hidden_in(path.parent)
    try:
        write_down(hidden, data, private=private)
        return rename_new(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def write_down(path: Path, data: bytes, *, private: bool = False) -> None:
    """Writes a file that is not there yet, down to the disk. Raises OSError."""
    path.touch(mode=0o600 if private else 0o666, exist_ok=False)
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def rename_new(source: Path, target: Path) -> bool:
    """Renames unless `target` exists; atomic wherever the file system has hard links (and on Windows).

    Where it has, `source` stays as a second name, which the caller removes.
    """
    try:
        if os.name == "nt":
            source.rename(target)
        else:
            os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if os.name == "nt" or error.errno not in _NO_HARD_LINKS:
            raise
        if target.exists():
            return False
        source.rename(target)
    return True


def flush(path: Path) -> None:
    """Has the system put a file or a folder on the disk (Windows opens no folders; the rename has to do)."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def writer_of(hidden: Path) -> int | None:
    """The process that writes under this hidden name; None for a name of another kind."""
    found = re.fullmatch(r"\.acestep-(\d+)-\w+\.\w+", hidden.name)
    return int(found[1]) if found else None


def is_left_over(hidden: Path) -> bool:
    """Whether nobody writes under this hidden name any more: its process has ended, or is this one, which
    asks before it writes."""
    writer = writer_of(hidden)
    return writer is not None and (writer == os.getpid() or not is_alive(writer))


def remove_left_over(folder: Path) -> None:
    """Removes what killed processes left half-written in a folder."""
    for hidden in folder.glob(TEMPORARY.format("*", "*")):
        if is_left_over(hidden) and writer_of(hidden) != os.getpid():
            if hidden.is_dir():
                shutil.rmtree(hidden, ignore_errors=True)
            else:
                hidden.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Whether a process of that number runs."""
    import psutil

    return bool(psutil.pid_exists(process))

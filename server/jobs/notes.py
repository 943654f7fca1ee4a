"""Lines that must be written even where the disk is full: in a file whose room was taken beforehand."""

import errno
import io
import os
from pathlib import Path

from acestep.errors import StorageError
from server.security import private_file

ROOM_BYTES = 1 << 20  # some thousand changes of jobs; while they are late, no new jobs are taken
MAX_READ_BYTES = 64 << 20


class Notes:
    """Lines in a file of fixed size, which are overwritten in place; they end at the first zero byte.

    A full disk cannot refuse them, except on file systems that copy what is overwritten.
    """

    def __init__(self, path: Path):
        self._path = path
        self._end = 0
        self.ready = False

    def reserve(self) -> None:
        """Takes the room. Raises StorageError where there is none."""
        if self.ready:
            return
        try:
            with private_file(self._path).open("ab", buffering=0) as file:  # what a dead daemon noted stays
                size = file.tell()
                try:
                    if size < ROOM_BYTES:
                        _put(file, bytes(ROOM_BYTES - size))
                except OSError:
                    file.truncate(size)  # a part is of no use, and others need it
                    raise
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written ({error.strerror}): make room") from error
        self.ready = True

    def lines(self) -> list[bytes]:
        """All that is noted; the last line may be half a one."""
        try:
            with self._path.open("rb") as file:
                noted = file.read(MAX_READ_BYTES).partition(b"\0")[0]
        except OSError:
            return []
        self._end = len(noted)
        return noted.splitlines()

    def add(self, line: bytes) -> None:
        """One more line, on the disk when this returns. Raises OSError."""
        self._write(self._end, line + b"\n\0")
        self._end += len(line) + 1

    def clear(self) -> None:
        """Forgets them. Raises OSError."""
        if self._path.exists():
            self._write(0, bytes(self._end))  # all: behind a line that is cut short later is nothing then
        self._end = 0

    def _write(self, where: int, content: bytes) -> None:
        with self._path.open("r+b" if self._path.exists() else "w+b", buffering=0) as file:
            file.seek(where)
            _put(file, content)


def _put(file: io.FileIO, content: bytes) -> None:
    """Writes all of it, down to the disk. Raises OSError, also where only a part has room."""
    if file.write(content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file.fileno())

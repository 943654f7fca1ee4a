"""The folders the daemon lives in: one daemon per home, a home that is deleted, a disk that is unmounted."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from acestep.errors import AlreadyExists, StorageError
from server.security import private_file


class HomeLock:
    """One daemon per home: the journal tells dead jobs from living ones only so.

    A second lock, by the home's path, lies among the user's temporary files: it holds even when the home is
    deleted and made again. Raises AlreadyExists where another daemon holds either.
    """

    def __init__(self, home: Path):
        self.home = home
        self._file = home / "daemon.lock"
        with contextlib.ExitStack() as opened:
            opened.callback(_locked(private_file(self._file), home).release)
            self._state = self._file.stat()  # its number is not given to another file while it is open
            with contextlib.suppress(OSError):  # no folder for it: the lock in the home has to do
                opened.callback(_locked(_beside(home), home).release)
            self._opened = opened.pop_all()

    def is_there(self) -> bool:
        """False once the home was deleted, or another one is in its place."""
        try:
            return os.path.samestat(self._state, self._file.stat())
        except OSError:
            return False

    def __enter__(self) -> "HomeLock":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


class Disk:
    """The disk that `folder` is on when this is made: what to write there must not land elsewhere."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.mount = _mount_of(folder)

    def check(self) -> None:
        """Raises StorageError where the disk was unmounted; one that was mounted since is the new one."""
        now = _mount_of(self.folder)
        if now != self.mount and self.mount.is_relative_to(now):
            raise StorageError(
                f"the disk at {self.mount}, which holds {self.folder}, is not mounted any more: connect it "
                "again; until then nothing is written"
            )
        self.mount = now


def _mount_of(folder: Path) -> Path:
    """Where the disk that holds `folder` is mounted; of the nearest folder above where it does not exist."""
    place = Path(os.path.realpath(folder))
    while not place.is_mount() and place != place.parent:
        place = place.parent
    return place


def _beside(home: Path) -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"acestep-{user}"
    folder.mkdir(exist_ok=True, mode=0o700)
    if os.name == "posix" and folder.lstat().st_uid != user:
        raise PermissionError(f"{folder} belongs to another user")
    return folder / f"{hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:24]}.lock"


def _locked(path: Path, home: Path) -> FileLock:
    """The lock on a file, taken. The system lets go of it when the process ends, however it ends."""
    try:
        return FileLock(path, mode=0o600, thread_local=False).acquire(blocking=False).lock
    except Timeout:
        raise AlreadyExists(
            f"a daemon with the home {home} is already running{_whose(home)}: use it, stop it, or "
            "choose another home with --home"
        ) from None


def _whose(home: Path) -> str:
    try:
        running = json.loads((home / "daemon.json").read_text("utf-8"))
        return (
            f" (process {running['pid']}, gRPC port {running['grpc_port']}, OSC port {running['osc_port']})"
        )
    except (OSError, ValueError, KeyError):
        return ""

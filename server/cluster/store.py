"""What a node keeps: cascades, adapters, planners and audio, brought from the daemon once and known by hash.

They lie in `cluster` of the node's own home. What the node has already under the same name and with the same
hashes is used where it is.
"""

import contextlib
import hashlib
import os
import posixpath
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from acestep.adapters import files as adapter_files
from acestep.checkpoints import checkpoint
from acestep.checkpoints.fingerprint import checkpoint_files, file_hash
from acestep.errors import AceStepError, CheckpointError, StorageError
from acestep.files import appearing_folder
from server.cluster.work import Bundle

MAX_AUDIO_BYTES = 2 << 30
USED_LATELY_S = 3600.0  # what another replica of this node may be hearing now
Read: TypeAlias = Callable[[str, str, int], "tuple[bytes, str] | str"]  # as Depot.read


class Store:
    """Bundles on this node. `read` asks the daemon's depot for bytes."""

    def __init__(self, home: Path, read: Read) -> None:
        self._home, self._read = home, read
        self._folder = home / "cluster"

    def cascade(self, bundle: Bundle) -> tuple[Path, Path]:
        """The folder of a cascade, and the home in which its parts are found."""
        with contextlib.suppress(AceStepError):
            own = checkpoint.find(bundle.name, self._home)
            found = checkpoint_files(checkpoint.read_spec(own, self._home))
            if {below(bundle.name, name): file_hash(file) for name, file in found.items()} == bundle.files:
                return own, self._home
        if not bundle.whole:
            raise CheckpointError(
                f"cascade {bundle.name} is made of parts that lie outside of its home's cascades, and this "
                f"node has not the same ones: have the same on every node (`acestep pull`, `acestep compose`)"
            )
        home = self._brought(bundle, "cascades")
        return home / "cascades" / bundle.name, home

    def planner(self, bundle: Bundle) -> Path:
        """The folder of a planner."""
        return self._brought(bundle) / bundle.name

    def audio(self, bundle: Bundle) -> Path:
        """A reference, a context, or a part of an idea; its sidecar, if it has one, lies beside it."""
        path = self._brought(bundle) / bundle.name
        with contextlib.suppress(OSError):
            os.utime(path)
        self._make_room(keep=path)
        return path

    def adapter(self, bundle: Bundle, folder: Path) -> None:
        """Puts an adapter into a folder under its name, by links, in place of another of that name."""
        own = adapter_files.available(adapter_files.adapters_folder(self._home)).get(bundle.name)
        same = own is not None and _hashes(own) == dict(bundle.files)
        source = own if own is not None and same else self._brought(bundle) / _top(bundle)
        link = folder / source.name
        if link.is_symlink() and link.readlink() == source:
            return
        for other in (folder / bundle.name, folder / f"{bundle.name}.safetensors"):
            other.unlink(missing_ok=True)
        link.symlink_to(source)

    def _brought(self, bundle: Bundle, below: str = "") -> Path:
        """The folder with all files of a bundle, fetched and checked if it is not here yet."""
        folder = self._folder / bundle.kind / bundle.digest
        if folder.is_dir():
            return folder
        try:
            with appearing_folder(folder) as hidden:
                for file, wanted in bundle.files.items():
                    self._fetch(bundle, file, wanted, hidden / below / file)
        except OSError as error:
            if folder.is_dir():  # another replica of this node was quicker
                return folder
            if isinstance(error, StorageError):
                raise
            raise StorageError(
                f"{bundle.kind} {bundle.name} cannot be kept on this node ({error})"
            ) from error
        return folder

    def _fetch(self, bundle: Bundle, file: str, wanted: str, path: Path) -> None:
        if posixpath.normpath(file) != file or file.startswith(("..", "/")):
            raise StorageError(
                f"{bundle.kind} {bundle.name} names a file by {file!r}: expected one inside it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            for body in self._pieces(bundle, file):
                stream.write(body)
        if file_hash(path) != wanted:
            raise StorageError(
                f"{file} of {bundle.kind} {bundle.name} is another one than the daemon has told"
            )

    def _pieces(self, bundle: Bundle, file: str) -> Iterator[bytes]:
        offset = 0
        while True:
            answer = self._read(bundle.digest, file, offset)
            if isinstance(answer, str):
                raise StorageError(f"{file} of {bundle.kind} {bundle.name} cannot be had: {answer}")
            body, told = answer
            if hashlib.sha256(body).hexdigest() != told:
                raise StorageError(f"{file} of {bundle.kind} {bundle.name} was damaged on its way")
            if not body:
                return
            yield body
            offset += len(body)

    def _make_room(self, keep: Path) -> None:
        """Removes audio that was not heard for long, the oldest first."""
        found = []
        for file in (self._folder / "audio").glob("*/*"):
            with contextlib.suppress(OSError):
                state = file.stat()
                found.append((state.st_mtime, state.st_size, file))
        total, old = sum(size for _, size, _ in found), time.time() - USED_LATELY_S
        for at, size, file in sorted(found):
            if total <= MAX_AUDIO_BYTES or at > old:
                return
            if file != keep:
                shutil.rmtree(file.parent, ignore_errors=True)
                total -= size


def below(name: str, file: str) -> str:
    """The path of a cascade's file, which may lie in another cascade, seen from the folder of cascades."""
    return posixpath.normpath(f"{name}/{file}")


def _top(bundle: Bundle) -> str:
    """The file or folder that a bundle consists of."""
    return next(iter(bundle.files)).partition("/")[0]


def _hashes(path: Path) -> dict[str, str]:
    return {name: file_hash(file) for name, file in adapter_contents(path).items()}


def adapter_contents(path: Path) -> dict[str, Path]:
    """An adapter's files, by their paths seen from the folder it lies in."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    kept = [file for file in files if file.suffix in (".safetensors", ".json")]
    return {file.relative_to(path.parent).as_posix(): file for file in kept}

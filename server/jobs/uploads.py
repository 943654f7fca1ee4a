"""Audio that clients without a shared disk streamed up: a bounded folder in home, the oldest go first.

Checks size and that it is audio.
"""

import contextlib
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from acestep.errors import InvalidRequest, NotFound, StorageError, UnreadableAudio
from acestep.files import appearing, remove_left_over
from protos import AUDIO_ENDINGS

PREFIX = "upload:"
MAX_CHUNK_BYTES = 1 << 20


class Uploads:
    """`upload:ID` names and the files behind them."""

    def __init__(self, folder: Path, max_file_bytes: int, max_total_bytes: int):
        self.folder = folder
        self.max_file_bytes = max_file_bytes
        self.max_total_bytes = max_total_bytes
        self._lock = threading.Lock()

    def save(self, name: str, chunks: Iterable[bytes]) -> tuple[str, float]:
        """Stores the chunks; (`upload:ID`, seconds of audio). Nothing stays when it is refused."""
        ending = Path(name).suffix.lower()
        if ending not in AUDIO_ENDINGS:
            raise InvalidRequest(
                f"upload {name!r}: expected a file name ending in {', '.join(AUDIO_ENDINGS)}"
            )
        file = self.folder / f"{secrets.token_hex(8)}{ending}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with appearing(file) as hidden:
                with hidden.open("wb") as stream:
                    for chunk in self._bounded(chunks):
                        stream.write(chunk)
                duration_s = _duration_s(hidden, name)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"the upload cannot be stored ({error})") from error
        self._make_room(keep=file)
        return PREFIX + file.name, duration_s

    def path(self, name: str) -> Path:
        """The file behind `upload:ID`. Raises NotFound."""
        file_name = name.removeprefix(PREFIX)
        file = self.folder / file_name
        if not re.fullmatch(r"[0-9a-f]{16}\.\w+", file_name) or not file.is_file():
            raise NotFound(f"no upload {name!r}: it is unknown or was removed to make room; send it again")
        os.utime(file)  # used lately, so removed late
        return file

    def _bounded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        total = 0
        for chunk in chunks:
            total += len(chunk)
            if total > self.max_file_bytes:
                limit = self.max_file_bytes >> 20
                raise InvalidRequest(f"the upload is larger than {limit} MB: send the part that is needed")
            yield chunk
        if total == 0:
            raise InvalidRequest("the upload is empty: expected an audio file in chunks")

    def _make_room(self, keep: Path) -> None:
        with self._lock:
            files = []
            for item in self.folder.iterdir():
                with contextlib.suppress(FileNotFoundError):  # another upload has just ended
                    if item.is_file() and not item.name.startswith("."):
                        found = item.stat()
                        files.append((found.st_mtime, found.st_size, item))
            total = sum(size for _, size, _ in files)
            for _, size, item in sorted(files):
                if total <= self.max_total_bytes:
                    return
                if item != keep:
                    total -= size
                    item.unlink(missing_ok=True)

    def sweep(self) -> None:
        """At start: removes what a dead daemon left half-received."""
        remove_left_over(self.folder)


def _duration_s(file: Path, name: str) -> float:
    """Seconds of audio; what is none is named as the client named it."""
    from acestep.sound.audio import probe

    try:
        return probe(file).duration_s
    except UnreadableAudio as error:
        raise UnreadableAudio(str(error).replace(str(file), Path(name).name)) from None

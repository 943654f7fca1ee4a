"""The file with a batch's results: one line of JSON for each request that has ended, each there whole or not.

It is what a batch that was stopped goes on from, so it is written before anybody is told.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from acestep import typed_json
from acestep.clips.clip import Clip
from acestep.errors import AceStepError, AlreadyExists, InvalidRequest, StorageError
from acestep.files import write_whole
from plugin_bridge import words
from server.cli.batch.lines import Line, Requests

NAME = "results.jsonl"
LOCK = ".acestep-batch.lock"
# What is told of each clip: what it is, and how well it was measured to fit
FIGURES = (
    "take", "seed", "bpm", "signature", "key", "bars", "duration_s", "fit", "tempo_error_pct",
    "downbeat_error_ms", "key_match", "lufs",
)  # fmt: skip


class Results:
    """The results in a folder, which belongs to one batch at a time. Use it as a context manager.

    Raises AlreadyExists where another batch writes there, StorageError where nothing can be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / NAME
        self.done: dict[str, typed_json.Fields] = {}  # identity → its line
        self.failed: list[typed_json.Fields] = []  # of this run
        if folder.exists() and not folder.is_dir():
            raise InvalidRequest(f"{folder} is a file: expected a folder for the clips")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / LOCK, thread_local=False).acquire(blocking=False).lock
        except Timeout:
            raise AlreadyExists(
                f"another `acestep batch` works in {folder}: wait for it, or choose another folder with --out"
            ) from None
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            self._read()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "Results":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def begin(self, requests: Requests) -> None:
        """Keeps what is done; what failed is tried again, and what can never be made is told of at once."""
        self.failed = [
            {"line": one.number, "state": "failed", "reason": one.reason, "message": one.message}
            for one in requests.refused
        ]
        repeated = [
            {"line": number, "state": "repeated", "of_line": first}
            for number, first in requests.repeated.items()
        ]
        try:
            write_whole(self.path, b"".join(map(_as_line, [*self.done.values(), *self.failed, *repeated])))
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def add(self, line: Line, clips: Sequence[Clip | words.Clip], seconds: float | None = None) -> None:
        """A request's clips, and how long they took where that is known."""
        told: typed_json.Fields = _named(line) | {"state": "done"}
        if clips:
            told["job"] = clips[0].job
        if seconds is not None:
            told["seconds"] = round(seconds, 3)
        told["clips"] = [
            {"file": clip.name} | {name: getattr(clip, name) for name in FIGURES} for clip in clips
        ]
        self._add(told)
        self.done[line.id] = told

    def fail(self, line: Line, error: AceStepError) -> None:
        """Why a request has no clips."""
        told = _named(line) | {"state": "failed", "reason": error.reason, "message": str(error)}
        self._add(told)
        self.failed.append(told)

    def _read(self) -> None:
        """What earlier runs have made. A line that a full disk or a power cut has broken is passed over."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(
                f"{self.path} cannot be read ({error.strerror}), and it says what is made already: mend its "
                f"permissions, or choose another folder with --out"
            ) from error
        for text in content.split(b"\n"):
            try:
                told = typed_json.parse(text, typed_json.Fields, "a result")
            except InvalidRequest:
                continue
            if told.get("state") == "done" and isinstance(told.get("id"), str):
                self.done[told["id"]] = told

    def _add(self, told: typed_json.Fields) -> None:
        size = None
        try:
            with self.path.open("ab", buffering=0) as file:
                size = file.tell()
                data = _as_line(told)
                if file.write(data) != len(data):
                    raise OSError(28, "No space left on device")
                os.fsync(file.fileno())
        except OSError as error:
            if size is not None:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, size)  # no half of a line
            raise _unwritable(self.folder, error) from error


def files_of(results: Iterable[typed_json.Fields]) -> set[str]:
    """The names of the clips that these results tell of."""
    clips = [clip for told in results for clip in told.get("clips") or () if isinstance(clip, dict)]
    return {str(clip.get("file")) for clip in clips}


def _named(line: Line) -> dict[str, Any]:
    return {"line": line.number, "id": line.id, "prompt": line.request.prompt}


def _as_line(told: typed_json.Fields) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode() + b"\n"


def _unwritable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{folder} cannot be written ({error.strerror or error}): make room, mend its permissions, or choose "
        "another folder with --out"
    )

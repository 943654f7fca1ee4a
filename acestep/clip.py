"""A finished clip: a file that fits the song, its sidecar, its name, and writing both without half files.

Knows files and folders; knows nothing of how the audio was made or measured.
"""

import contextlib
import dataclasses
import errno
import json
import os
import re
import secrets
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep.errors import InvalidRequest, NotFound, StorageError
from acestep.grid import Grid
from acestep.key import Key

SIDECAR_FORMAT = 1
SIDECAR_ENDING = ".json"  # NAME.wav.json beside NAME.wav
TEMPORARY = ".acestep-{}-{}.part"  # hidden; the process id tells the living from the dead
MAX_SIDECAR_BYTES = 4 << 20
MAX_SLUG_CHARS = 40
MAX_SAME_NAME = 1000
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EXDEV)


@dataclass(frozen=True)
class Clip:
    """What is known of a clip on disk; the fields are those of message Clip in acestep.proto."""

    name: str
    path: str
    job: str
    take: int  # from 0
    seed: int
    bpm: float
    signature: str
    key: str  # "" for unpitched material
    bars: float
    duration_s: float
    samples: int
    sample_rate_hz: int
    tempo_error_pct: float | None
    downbeat_error_ms: float | None  # negative is early
    key_match: str | None  # same key, same notes, other
    fit: str  # good, poor, untouched, off
    prompt: str
    cascade: str
    adapters: tuple[tuple[str, float], ...] = ()
    created: str = ""  # ISO 8601
    lufs: float | None = None  # integrated loudness
    starred: bool = False
    trashed: bool = False
    sidecar_json: str = ""

    @property
    def sidecar(self) -> dict[str, Any]:
        """The sidecar's content."""
        return json.loads(self.sidecar_json) if self.sidecar_json else {}

    @classmethod
    def from_sidecar(cls, sidecar: Mapping[str, Any], path: str | Path) -> "Clip":
        """The clip at `path` as its sidecar describes it: how a library is rebuilt from the files."""
        fields = {field.name for field in dataclasses.fields(cls)}
        try:
            values = {name: value for name, value in sidecar["clip"].items() if name in fields}
            values["adapters"] = tuple((name, float(scale)) for name, scale in values.get("adapters", ()))
            values |= {"name": Path(path).name, "path": str(path)}
            if isinstance(values.get("key_match"), bool):  # version 0.1 told two cases apart
                values["key_match"] = "same key" if values["key_match"] else "other"
            return cls(**values, sidecar_json=json.dumps(sidecar, ensure_ascii=False, sort_keys=True))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidRequest(f"{path}{SIDECAR_ENDING} is no sidecar of a clip: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> "Clip":
        """The clip of an audio file that has a sidecar (either may be named)."""
        file = Path(path)
        if file.name.endswith(SIDECAR_ENDING):
            file = file.with_name(file.name.removesuffix(SIDECAR_ENDING))
        return cls.from_sidecar(read_sidecar(file), file)


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The sidecar of an audio file, or the sidecar itself. Raises NotFound or InvalidRequest."""
    file = Path(path)
    if not file.name.endswith(SIDECAR_ENDING):
        file = file.with_name(file.name + SIDECAR_ENDING)
    try:
        if file.stat().st_size > MAX_SIDECAR_BYTES:
            raise InvalidRequest(f"{file} is larger than a sidecar can be")
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"there is no sidecar {file}") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidRequest(f"{file} is no sidecar: {error}") from error
    if not isinstance(content, dict) or content.get("format") != SIDECAR_FORMAT:
        raise InvalidRequest(f"{file} is no sidecar of format {SIDECAR_FORMAT}: made by a newer version?")
    return content


def clip_stem(prompt: str, grid: Grid, key: Key | None, take: int, when: time.struct_time) -> str:
    """`20261122-214501_dusty-breakbeat_92.5bpm_Am_4bars_t1`: sorts by time, reads well, plain ASCII."""
    signature = "" if str(grid.signature) == "4/4" else f"{str(grid.signature).replace('/', '-')}_"
    bars = f"{grid.bars:.4g}bar{'' if grid.bars == 1 else 's'}"
    pitch = f"{key.short}_" if key else ""
    stamp = time.strftime("%Y%m%d-%H%M%S", when)
    return f"{stamp}_{slug(prompt)}_{grid.bpm:.6g}bpm_{signature}{pitch}{bars}_t{take + 1}"


def slug(text: str) -> str:
    """Lower-case ASCII words joined by `-`, at most 40 characters, never empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    joined = "-".join(words)[: MAX_SLUG_CHARS + 1]
    if len(joined) > MAX_SLUG_CHARS:
        joined = joined[: joined.rfind("-")] if "-" in joined else joined[:MAX_SLUG_CHARS]
    return joined or "clip"


def write_clip(folder: Path, stem: str, ending: str, body: bytes, sidecar: dict[str, Any]) -> Clip:
    """Writes `stem.ending` and its sidecar into `folder` and returns the clip.

    The sidecar takes the name first, then the audio appears whole; an existing name gets `-2`, `-3` …
    Raises StorageError when the folder cannot be written, and leaves nothing behind then.
    """
    with _storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, MAX_SAME_NAME + 1):
            file = folder / f"{stem}{f'-{attempt}' if attempt > 1 else ''}{ending}"
            companion = file.with_name(file.name + SIDECAR_ENDING)
            sidecar["clip"] |= {"name": file.name}
            text = json.dumps(sidecar, indent=1, ensure_ascii=False, sort_keys=True)
            if file.exists() or not _place(folder, companion, text.encode("utf-8")):
                continue
            try:
                if _place(folder, file, body):
                    return Clip.from_sidecar(sidecar, file)
            except OSError:
                companion.unlink(missing_ok=True)
                raise
            companion.unlink(missing_ok=True)
    raise StorageError(f"{folder} already holds {MAX_SAME_NAME} files named {stem}")


def write_file(file: Path, body: bytes) -> None:
    """Writes a companion file whole or not at all; never over an existing one."""
    with _storage_errors(file.parent):
        if not _place(file.parent, file, body):
            raise StorageError(f"{file} exists, and nothing is ever overwritten")


def remove_clip(clip: Clip) -> None:
    """Deletes a clip's file, sidecar and companions: for a job cancelled while it was writing."""
    file = Path(clip.path)
    for path in (file, file.with_name(file.name + SIDECAR_ENDING), file.with_suffix(".mid")):
        path.unlink(missing_ok=True)


def sweep_unfinished(folder: Path) -> int:
    """Deletes half-written files that a killed process left behind, and says how many."""
    swept = 0
    for file in folder.glob(".acestep-*.part"):
        owner = re.fullmatch(r"\.acestep-(\d+)-\w+\.part", file.name)
        if owner and not (_is_alive(int(owner[1])) and int(owner[1]) != os.getpid()):
            file.unlink(missing_ok=True)
            swept += 1
    return swept


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        return False  # os.kill would end it; a file still in use cannot be deleted there anyway
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _place(folder: Path, file: Path, body: bytes) -> bool:
    """Writes to a hidden name, flushes, renames. False when the name is taken."""
    hidden = folder / TEMPORARY.format(os.getpid(), secrets.token_hex(6))
    try:
        with hidden.open("xb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        return _rename_new(hidden, file)
    finally:
        hidden.unlink(missing_ok=True)


def _rename_new(source: Path, target: Path) -> bool:
    """Renames unless `target` exists; atomic wherever the file system has hard links (and on Windows)."""
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


@contextlib.contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        what = {
            errno.ENOSPC: "its disk is full",
            errno.EDQUOT: "the quota is used up",
            errno.EROFS: "it is read-only",
            errno.EACCES: "its permissions forbid it",
            errno.EPERM: "its permissions forbid it",
            errno.ENOTDIR: "it is not a folder",
            errno.EEXIST: "it is not a folder",
        }.get(error.errno or 0, str(error))
        raise StorageError(f"cannot write into {folder}: {what}") from error

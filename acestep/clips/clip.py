"""A finished clip: a file that fits the song, its sidecar, its name, and writing them whole or not at all."""

import contextlib
import errno
import json
import os
import re
import shutil
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from acestep import typed_json
from acestep.clips.score import Score
from acestep.errors import AceStepError, Cancelled, InvalidRequest, StorageError
from acestep.files import hidden_in, is_left_over, rename_new, write_down, write_new
from acestep.music.grid import Grid
from acestep.music.key import Key
from acestep.sources.sidecar import SIDECAR_ENDING, read_sidecar, sidecar_text
from acestep.typed_json import Count, Name, Size, Text

READY = ".ready"  # in place of .part: all that is in there is whole, and appears even if its writer dies
MIDI_ENDING = ".mid"
COMPANIONS = (MIDI_ENDING,)  # files that go with a clip: NAME.mid beside NAME.wav
MAX_SLUG_CHARS = 40  # of the prompt in a name
MAX_SAME_NAME = 1000  # names that are tried: NAME-2, NAME-3 …


@dataclass(frozen=True)
class Clip:
    """What is known of a clip on disk; the fields are those of message Clip in acestep.proto."""

    name: str
    path: str
    job: Name
    take: Count  # from 0
    seed: Count
    bpm: float  # 0 for a one-shot, which has no bars either
    signature: Name
    key: Name  # "" for unpitched material
    bars: float
    duration_s: float
    samples: Size
    sample_rate_hz: Count
    tempo_error_pct: float | None
    downbeat_error_ms: float | None  # negative is early
    key_match: Name | None  # same key, same notes, other
    fit: Name  # see acestep/README.md
    prompt: Text
    cascade: Text
    adapters: tuple[tuple[Name, float], ...] = ()
    created: Name = ""  # ISO 8601
    lufs: float | None = None  # integrated loudness
    starred: bool = False
    trashed: bool = False
    tags: tuple[Name, ...] = ()  # words to find it by
    idea: Name = ""  # the id that the parts of an idea share
    part: Name = ""  # which of them: drums, bass …, or mix
    midi: str = ""  # path of the MIDI file beside it, if there is one
    sidecar_json: str = ""

    @property
    def sharp_key(self) -> str:
        """The key in the one spelling that indexes know; "" for none."""
        try:
            return str(Key.parse(self.key).sharp)
        except InvalidRequest:
            return ""

    @property
    def sidecar(self) -> dict[str, Any]:
        """The sidecar's content."""
        return json.loads(self.sidecar_json) if self.sidecar_json else {}

    @classmethod
    def from_sidecar(cls, sidecar: Mapping[str, Any], path: str | Path) -> "Clip":
        """The clip at `path` as its sidecar describes it: how a library is rebuilt from the files."""
        where = f"{path}{SIDECAR_ENDING}"
        told = sidecar.get("clip")
        if not isinstance(told, Mapping):
            raise InvalidRequest(f"{where} is not a sidecar of a clip: it describes none")
        midi = Path(path).with_suffix(MIDI_ENDING)
        written = "midi" in sidecar and midi.is_file()  # a musician may take it away
        placed = {"name": Path(path).name, "path": str(path), "midi": str(midi) if written else ""}
        values = {**told, **placed, "sidecar_json": json.dumps(sidecar, ensure_ascii=False, sort_keys=True)}
        if isinstance(values.get("key_match"), bool):  # version 0.1 told two cases apart
            values["key_match"] = "same key" if values["key_match"] else "other"
        return typed_json.convert(values, cls, where)

    @classmethod
    def load(cls, path: str | Path) -> "Clip":
        """The clip of an audio file that has a sidecar (either may be named)."""
        file = Path(path)
        if file.name.endswith(SIDECAR_ENDING):
            file = file.with_name(file.name.removesuffix(SIDECAR_ENDING))
        return cls.from_sidecar(read_sidecar(file), file)


def clip_stem(prompt: str, grid: Grid, key: Key | None, which: str, when: time.struct_time) -> str:
    """`20261122-214501_dusty-breakbeat_92.5bpm_Am_4bars_t1`: sorts by time, reads well, plain ASCII.

    `which` clip of its job it is: a take, `t1`, or a part.
    """
    signature = "" if str(grid.signature) == "4/4" else f"{str(grid.signature).replace('/', '-')}_"
    bars = f"{grid.bars:.4g}bar{'' if grid.bars == 1 else 's'}"
    pitch = f"{key.short}_" if key else ""
    stamp = time.strftime("%Y%m%d-%H%M%S", when)
    return f"{stamp}_{slug(prompt)}_{grid.bpm:.6g}bpm_{signature}{pitch}{bars}_{slug(which)}"


def slug(text: str) -> str:
    """Lower-case ASCII words joined by `-`, at most 40 characters, never empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    joined = "-".join(words)[: MAX_SLUG_CHARS + 1]
    if len(joined) > MAX_SLUG_CHARS:
        joined = joined[: joined.rfind("-")] if "-" in joined else joined[:MAX_SLUG_CHARS]
    return joined or "clip"


class Staging:
    """The clips of one job, written out of sight: they appear together on `publish`, or never.

    Use it as a context manager: at its end whatever was not published is deleted. If the process is killed
    before `publish`, a hidden folder remains that `sweep_unfinished` deletes; if it is killed within
    `publish`, `sweep_unfinished` lets the clips appear. Raises StorageError if the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._hidden = hidden_in(folder)
        self._names: list[str] = []

    def __enter__(self) -> "Staging":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hidden in (self._hidden, self._hidden.with_suffix(READY)):
            shutil.rmtree(hidden, ignore_errors=True)

    def add(
        self, stem: str, ending: str, body: bytes, sidecar: dict[str, Any], midi: bytes | None = None
    ) -> None:
        """Writes the audio, its sidecar and its MIDI file; a name that is taken gets `-2`, `-3` …"""
        with storage_errors(self.folder):
            self._hidden.mkdir(parents=True, exist_ok=True)
            name = _free_name(self.folder, stem, ending, self._names)
            sidecar["clip"] |= {"name": name}
            for hidden, content in (
                (self._hidden / (name + SIDECAR_ENDING), sidecar_text(sidecar)),
                ((self._hidden / name).with_suffix(MIDI_ENDING), midi),
                (self._hidden / name, body),
            ):
                if content is not None:
                    write_down(hidden, content)
            self._names.append(name)

    def publish(self) -> list[Clip]:
        """Lets all clips appear, in the order in which they were added."""
        with storage_errors(self.folder):
            if not self._names:
                return []
            ready = self._hidden.rename(self._hidden.with_suffix(READY))
            files: list[Path] = []
            try:
                files += (_appear(ready, name) for name in self._names)
            except BaseException:
                for file in files:
                    remove_files(file)
                raise
            return [Clip.load(file) for file in files]


@dataclass(frozen=True)
class Finished:
    """A clip that is made and lies nowhere yet: what its name begins with, its file's bytes, its sidecar, and
    the bytes of a MIDI file beside it with the notes in that.
    """

    stem: str
    ending: str
    body: bytes
    sidecar: dict[str, Any]
    midi: bytes | None = None
    score: Score | None = None


def write(clips: Iterable[Finished], folder: Path, cancelled: Callable[[], bool] | None = None) -> list[Clip]:
    """Puts finished clips into a folder, where they appear together.

    Raises Cancelled when `cancelled` says so, and StorageError for the folder; then nothing of them remains.
    """
    with Staging(folder) as staging:
        for clip in clips:
            staging.add(clip.stem, clip.ending, clip.body, clip.sidecar, clip.midi)
        if cancelled is not None and cancelled():
            raise Cancelled("the job was cancelled")
        return staging.publish()


def write_file(file: Path, body: bytes) -> None:
    """Writes a companion file whole or not at all; never over an existing one."""
    with storage_errors(file.parent):
        if not write_new(file, body):
            raise StorageError(f"{file} exists, and nothing is ever overwritten")


def remove_files(file: Path) -> None:
    """Deletes an audio file and all that belongs to it, whatever of it exists."""
    for path in (file, *belongings(file)):
        path.unlink(missing_ok=True)


def belongings(file: Path) -> list[Path]:
    """Where an audio file's sidecar and companions are, if there are any."""
    return [file.with_name(file.name + SIDECAR_ENDING), *(file.with_suffix(end) for end in COMPANIONS)]


def sweep_unfinished(folder: Path) -> int:
    """Clears up after killed processes and says after how many writings.

    What was half written is deleted; clips that were whole and about to appear, appear.
    """
    swept = 0
    for hidden in [*folder.glob(".acestep-*.part"), *folder.glob(f".acestep-*{READY}")]:
        if not is_left_over(hidden):
            continue
        if hidden.suffix == READY and hidden.is_dir():
            try:
                beside = (SIDECAR_ENDING, *COMPANIONS)
                for body in sorted(file for file in hidden.iterdir() if file.suffix not in beside):
                    _appear(hidden, body.name)
            except AceStepError:  # audio without a sidecar is not one of ours
                continue
        if hidden.is_dir():
            shutil.rmtree(hidden, ignore_errors=True)
        else:
            hidden.unlink(missing_ok=True)
        swept += 1
    return swept


def _free_name(folder: Path, stem: str, ending: str, taken: Sequence[str] = ()) -> str:
    """A name that neither an audio file nor what goes with one has."""
    for attempt in range(1, MAX_SAME_NAME + 1):
        name = f"{stem}{f'-{attempt}' if attempt > 1 else ''}{ending}"
        file = folder / name
        if name not in taken and not any(map(os.path.lexists, (file, *belongings(file)))):
            return name
    raise StorageError(f"{folder} already holds {MAX_SAME_NAME} files named {stem}")


def _appear(hidden: Path, name: str) -> Path:
    """Moves a clip out of its hidden folder, audio last; continues where a killed process stopped."""
    folder = hidden.parent
    body, file = hidden / name, folder / name
    beside = {hidden / target.name: target for target in belongings(file)}
    here = {one: target for one, target in beside.items() if one.exists()}
    named = all(_is_same(one, target) or rename_new(one, target) for one, target in here.items())
    if named and (_is_same(body, file) or rename_new(body, file)):
        for one in (*here, body):
            one.unlink(missing_ok=True)
        return file
    _take_back(hidden, beside)  # somebody took a name meanwhile
    other = _free_name(folder, body.stem, body.suffix)
    sidecar, *companions = beside
    content = read_sidecar(sidecar)
    content["clip"] |= {"name": other}
    write_down(hidden / (other + SIDECAR_ENDING), sidecar_text(content))
    for one in companions:
        if one.exists():
            one.rename((hidden / other).with_suffix(one.suffix))
    body.rename(hidden / other)
    sidecar.unlink()
    return _appear(hidden, other)


def _take_back(hidden: Path, beside: Mapping[Path, Path]) -> None:
    """Takes out of sight what went with a clip that could not appear; what is somebody else's stays."""
    sidecar, target = next(iter(beside.items()))
    ours = sidecar if sidecar.exists() else target
    companions = COMPANIONS if "midi" in read_sidecar(ours) else ()
    for one, target in beside.items():
        if one.exists():
            if _is_same(one, target):
                target.unlink()
        elif target.exists() and (one == sidecar or one.suffix in companions):  # it was renamed, not linked
            target.rename(one)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """The system's errors as StorageError, which names the folder and says what is wrong with it."""
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

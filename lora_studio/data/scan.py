"""Finds the audio in a folder, the manifests beside it, and which files are stems of one song.

Looks at names, sizes and headers.
"""

import csv
import dataclasses
import io
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

from acestep.console.command import explain
from acestep.errors import InvalidRequest, NotFound
from acestep.sound.audio import probe
from acestep.typed_json import fault_of, read_text_of
from lora_studio.data.dataset import ALIASES, Dataset, Sample, Skipped, is_own, read_dataset, sample_from
from lora_studio.data.names import read_part
from lora_studio.data.sound import AUDIO_SUFFIXES

SEPARATORS = (",", ";", "\t", "|")
MAX_TABLE_BYTES = 64 << 20  # of a file of unknown origin


def table_rows(path: Path, names: Iterable[str]) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a CSV or JSON-lines file with their line or row numbers, without empty ones.

    A table must have a column of `names`. Raises InvalidRequest for a file that cannot be read.
    """
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise InvalidRequest(f"{path.name} is larger than {MAX_TABLE_BYTES >> 20} MB")
        text = read_text_of(path)
        rows = _json_rows(text) if path.suffix.lower() == ".jsonl" else _csv_rows(text, set(names))
    except OSError as error:
        raise InvalidRequest(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, csv.Error) as error:
        raise InvalidRequest(f"{path.name} cannot be read as a manifest: {fault_of(error)}") from error
    return rows


def _json_rows(text: str) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            rows.append((number, row))
    return rows


def _csv_rows(text: str, names: set[str]) -> list[tuple[int, dict[str, Any]]]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first, _, rest = text.lstrip("\ufeff\n").partition("\n")
    told = first.strip().lower()
    separator = ""
    if told.startswith("sep=") and len(told) == 5:  # Excel's own first line
        separator, (first, _, _) = first.strip()[4], rest.partition("\n")
    else:
        rest = f"{first}\n{rest}"
    separator = separator or max(SEPARATORS, key=lambda each: _fit(first, each, names))
    table = list(csv.reader(io.StringIO(rest, newline=""), delimiter=separator, skipinitialspace=True))
    if not table:
        return []
    header = [name.strip() for name in table[0]]
    if not names & {_spelled(name) for name in header}:
        raise ValueError(
            f"it has no column that names audio files: expected one of {', '.join(sorted(names))}"
        )
    rows = []
    for number, cells in enumerate(table[1:], 1):
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name}
        if any(row.values()):
            rows.append((number, row))
    return rows


def _fit(line: str, separator: str, names: set[str]) -> tuple[bool, int]:
    """How well a separator suits a header: it leaves a known name, and makes many columns."""
    columns = [_spelled(name) for name in next(csv.reader([line], delimiter=separator), [])]
    return bool(names & set(columns)), len(columns)


def _spelled(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


class Places:
    """Where the files of a folder are, by names that other systems wrote."""

    def __init__(self, files: Sequence[str]) -> None:
        self._paths: dict[str, str] = {}
        self._folded: dict[str, set[str]] = defaultdict(set)
        self._names: dict[str, set[str]] = defaultdict(set)
        for relative in files:
            self._paths[_same(relative)] = relative
            self._folded[_same(relative).casefold()].add(relative)
            self._names[_same(relative).rpartition("/")[2].casefold()].add(relative)

    def find(self, named: str) -> str:
        """The file's relative path; "" where there is none, or where it could be several.

        Tried: the path as named, its ends (data sets move between machines), other letter cases, the name.
        """
        parts = _parts(named)
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        for end in ends:
            if end in self._paths:
                return self._paths[end]
        for end in ends:
            if len(found := self._folded.get(end.casefold(), set())) == 1:
                return next(iter(found))
        found = self._names.get(parts[-1].casefold(), set()) if parts else set()
        return next(iter(found)) if len(found) == 1 else ""


def _parts(named: str) -> list[str]:
    """`C:\\a\\b.wav`, `file:///a/b%20c.wav`, `./a/b.wav` → their parts."""
    text = named.strip().strip('"')
    if text.lower().startswith("file:"):
        text = unquote(text[5:])
    if "\\" in text:
        text = text.replace("\\", "/")
    if len(text) > 1 and text[1] == ":":
        text = text[2:]
    return [part for part in _same(text).split("/") if part not in ("", ".", "..")]


def _same(text: str) -> str:
    """One spelling: macOS writes é as two characters, others as one."""
    return unicodedata.normalize("NFC", text)


MANIFESTS = (
    "dataset.studio.json",
    "dataset.json",
    "manifest.json",
    "metadata.jsonl",
    "metadata.csv",
    "key_bpm.csv",
)
MAX_FILES = 200_000  # a folder with more is hardly meant
SAME_LENGTH_S = 0.75  # stems of one song end together, give or take an exported tail
SAME_LENGTH_PART = 0.02  # or so much of their length


@dataclass
class Found:
    """One audio file: where it is, and what a manifest says about it (None: nothing)."""

    path: Path
    relative: str
    seconds: float
    manifest: Sample | None = None


@dataclass
class Group:
    """Files that are treated together: the aligned stems of a song, or one file alone (`song` is "")."""

    song: str
    files: list[Found] = field(default_factory=list)
    stems: dict[str, str] = field(default_factory=dict)  # relative path → stem


@dataclass
class Scan:
    """Everything found in a folder."""

    folder: Path
    groups: list[Group] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dataset: Dataset | None = None  # the manifest that was a data set, for its name and trigger
    other_files: int = 0


def scan(folder: Path) -> Scan:
    """Walk the folder. Raises NotFound or InvalidRequest when there is nothing to train on."""
    if not folder.exists():
        raise NotFound(f"{folder} does not exist: expected a folder with audio")
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is a file: expected the folder it is in")
    result = Scan(folder)
    audio: dict[str, Path] = {}
    for path in _walk(folder):
        if path.suffix.lower() not in AUDIO_SUFFIXES:
            result.other_files += 1
            continue
        if len(audio) >= MAX_FILES:
            raise InvalidRequest(f"{folder} holds more than {MAX_FILES} audio files: name a smaller folder")
        audio[path.relative_to(folder).as_posix()] = path
    manifest = _manifest(folder, Places(list(audio)), result)
    files: list[Found] = []
    for relative, path in audio.items():
        try:
            files.append(Found(path, relative, probe(path).duration_s, manifest.pop(relative, None)))
        except Exception as error:  # noqa: BLE001 (whatever is wrong with one file, the others are read)
            reason = explain(error)[1].replace(str(path), path.name)
            result.skipped.append(Skipped(relative, reason))
    if not files and not result.skipped:
        raise InvalidRequest(
            f"{folder} holds no audio ({result.other_files} other files): "
            f"expected {', '.join(AUDIO_SUFFIXES)}"
        )
    result.groups = group(files, result.notes)
    return result


def _walk(folder: Path) -> Iterator[Path]:
    """Files in a stable order, without hidden ones, and without following links out or in circles."""
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(here) / name


def _manifest(folder: Path, places: Places, result: Scan) -> dict[str, Sample]:
    """Relative path → what the manifests say; the first manifest to name a file wins.

    One that cannot be read is listed and the next is read; only our own data set must be right, as it is what
    the musician edits.
    """
    found: dict[str, Sample] = {}
    here = {path.name.casefold(): path for path in sorted(folder.iterdir())}  # Metadata.CSV is one as well
    for path in (here[name] for name in MANIFESTS if name in here):
        if not path.is_file():
            continue
        name = path.name
        try:
            samples = _read_manifest(path, result)
        except InvalidRequest as error:
            if path.suffix.lower() == ".json" and is_own(path):
                raise
            result.skipped.append(Skipped(name, str(error).replace(str(path), name)))
            continue
        result.notes.append(f"{name}: {len(samples)} entries read")
        for sample in samples:
            relative = places.find(sample.audio_path)
            if relative:
                found.setdefault(relative, dataclasses.replace(sample, audio_path=relative))
            else:
                reason = f"named in {name}, but there is no such audio file in this folder"
                result.skipped.append(Skipped(sample.audio_path, reason))
    return found


def _read_manifest(path: Path, result: Scan) -> list[Sample]:
    if path.suffix.lower() == ".json":
        dataset = read_dataset(path)
        result.dataset = result.dataset or dataset
        result.notes += dataset.notes
        if not is_own(path):
            for sample in dataset.samples:  # theirs: segments, split and sources are still to be found
                sample.sources = {}
        return [
            dataclasses.replace(sample, audio_path=str(dataset.root / sample.audio_path))
            for sample in dataset.samples
        ]
    samples = []
    for number, row in table_rows(path, ALIASES["audio_path"]):
        try:
            sample, notes = sample_from(row, f"{path.name}, row {number}")
        except InvalidRequest as error:
            result.notes.append(f"{error}; the row was passed over")
            continue
        result.notes += notes
        samples.append(sample)
    return samples


def group(files: list[Found], notes: list[str]) -> list[Group]:
    """Songs (two or more different stems that line up) first, then every other file alone."""
    parts = {file.relative: read_part(PurePath(file.relative)) for file in files}
    stems = {r: part.stem for r, part in parts.items()}
    for file in files:
        if file.manifest and file.manifest.stem:
            stems[file.relative] = file.manifest.stem
    groups: list[Group] = []
    left = {file.relative: file for file in files}
    for key in ("manifest", "song", "folder_song"):
        by_song: dict[str, list[Found]] = defaultdict(list)
        for relative, file in left.items():
            if key == "manifest":
                song = file.manifest.song if file.manifest else ""
                if song:
                    by_song[song].append(file)
            elif stems[relative] and parts[relative].stem:
                by_song[getattr(parts[relative], key)].append(file)
        for song, members in sorted(by_song.items()):
            aligned = _aligned(song, members, stems, notes)
            if aligned:
                name = song or files[0].path.parent.name
                groups.append(Group(name, aligned, {f.relative: stems[f.relative] for f in aligned}))
                for file in aligned:
                    del left[file.relative]
    groups += [Group("", [file], {r: stems[r]}) for r, file in left.items()]
    return groups


def _aligned(song: str, members: list[Found], stems: dict[str, str], notes: list[str]) -> list[Found]:
    """Members of equal length that are at least two different stems; says which do not line up."""
    if len({stems[file.relative] for file in members}) < 2:
        return []
    lengths = sorted(file.seconds for file in members)
    usual = lengths[len(lengths) // 2]
    slack = max(SAME_LENGTH_S, usual * SAME_LENGTH_PART)
    aligned = [file for file in members if abs(file.seconds - usual) <= slack]
    if len({stems[file.relative] for file in aligned}) < 2:
        aligned = []
    for file in members:
        if file not in aligned:
            note = (
                f"{file.relative} lasts {file.seconds:.1f} s and the other stems of “{song}” {usual:.1f} s: "
                "it is used alone, not as a part of the song"
            )
            if note not in notes:  # the same members are looked at once by song and once by folder
                notes.append(note)
    return aligned

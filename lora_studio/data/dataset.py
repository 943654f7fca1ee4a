"""The data set: what is trained on, as an editable `dataset.json` in the fields the community uses.

Reads our own, ACE-Step's and Side-Step's JSON under every field name they use, and writes one form.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acestep.errors import InvalidRequest, StorageError
from acestep.music.grid import BPM_RANGE, Signature
from acestep.music.key import Key
from acestep.ranges import is_number
from acestep.sound.labels import key_in, tempo_in
from acestep.typed_json import fault_of, read_text_of
from lora_studio.data.segments import Segment
from lora_studio.files import write_atomically

FORMAT = "lora_studio/1"
SPLITS = ("train", "held_out")
INSTRUMENTAL = "[Instrumental]"

# One meaning, many spellings: dropping `key` because it was not called `keyscale` is how others lost it.
ALIASES: dict[str, tuple[str, ...]] = {
    "audio_path": ("audio_path", "path", "file", "audio", "file_name", "filename", "location"),
    "caption": ("caption", "text", "prompt", "description", "tags"),
    "lyrics": ("lyrics", "lyric", "raw_lyrics", "formatted_lyrics"),
    "bpm": ("bpm", "tempo"),
    "keyscale": ("keyscale", "key_scale", "key", "musical_key"),
    "timesignature": ("timesignature", "time_signature", "signature", "timesig", "meter"),
    "language": ("language", "vocal_language", "lang"),
    "is_instrumental": ("is_instrumental", "instrumental"),
    "custom_tag": ("custom_tag", "trigger", "activation_tag"),
    "genre": ("genre", "genres"),
    "duration": ("duration", "duration_s", "length"),
    "stem": ("stem", "track", "instrument"),
    "song": ("song", "group"),
}
# Fields of theirs that carry nothing we need; everything else unknown is kept in `extra`.
_KNOWN_ELSEWHERE = frozenset(
    ("id", "labeled", "prompt_override", "repeat", "created_at", "artist", "title", "album")
)


@dataclass
class Sample:
    """One audio file of the data set. `sources` says where bpm, key … came from and how sure that is."""

    audio_path: str
    caption: str = ""
    lyrics: str = ""
    bpm: float | None = None
    keyscale: str = ""
    timesignature: str = ""
    duration: float = 0.0
    language: str = "unknown"
    is_instrumental: bool = True
    custom_tag: str = ""
    genre: str = ""
    stem: str = ""
    song: str = ""
    split: str = "train"
    use: bool = True
    downbeat_s: float = 0.0
    content: str = ""
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def signature(self) -> Signature:
        """Time signature; 4/4 where none is known."""
        return parse_signature(self.timesignature) or Signature(4, 4)

    @property
    def key(self) -> Key | None:
        """Key, or None."""
        return Key.parse(self.keyscale) if self.keyscale else None


@dataclass
class Skipped:
    """A file, or a part of one, that is not trained on, and why."""

    path: str
    reason: str


@dataclass
class Dataset:
    """Samples, what was skipped, and the folder that relative paths start from."""

    name: str
    root: Path
    custom_tag: str = ""
    tag_position: str = "prepend"
    samples: list[Sample] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def path_of(self, sample: Sample) -> Path:
        """Where the sample's audio is."""
        return self.root / sample.audio_path

    def used(self, split: str | None = None) -> list[Sample]:
        """Samples that are trained on (or validated on, by split)."""
        return [s for s in self.samples if s.use and s.segments and (split is None or s.split == split)]

    @property
    def seconds(self) -> float:
        """Audio that is trained on or validated on, in seconds."""
        return sum(segment.duration_s for sample in self.used() for segment in sample.segments)


def parse_signature(text: str) -> Signature | None:
    """ACE-Step's "4" (beats in a bar), "6" (6/8) or a full "7/8"; None for "" and "N/A"."""
    text = str(text).strip()
    if text in ("", "N/A", "None", "null"):
        return None
    if text.isdigit():
        return Signature(int(text), 8 if text in ("6", "9", "12") else 4)
    return Signature.parse(text)


def signature_field(signature: Signature) -> str:
    """The field's spelling: "4" where ACE-Step has one, else "7/8"."""
    text = str(signature)
    return {"2/4": "2", "3/4": "3", "4/4": "4", "6/8": "6"}.get(text, text)


def sample_from(values: Mapping[str, Any], where: str) -> tuple[Sample, list[str]]:
    """A sample from anybody's field names, and notes on values that could not be used."""
    lowered = {str(name).strip().lower().replace(" ", "_"): value for name, value in values.items()}
    found: dict[str, Any] = {}
    notes: list[str] = []
    for name, spellings in ALIASES.items():
        for spelling in spellings:
            if lowered.get(spelling) not in (None, ""):
                found[name] = lowered[spelling]
                break
    path = found.get("audio_path")
    if not isinstance(path, str):
        raise InvalidRequest(f"{where} names no audio file: expected the field audio_path")
    sample = Sample(audio_path=path)
    for name in ("caption", "lyrics", "language", "custom_tag", "genre", "stem", "song"):
        if name in found:
            setattr(sample, name, str(found[name]).strip())
    if str(lowered.get("prompt_override")).lower() == "genre" and sample.genre:  # ACE-Step's and Side-Step's
        sample.caption = sample.genre
    sample.bpm = _bpm(found.get("bpm"), where, notes)
    sample.keyscale = _key(found.get("keyscale"), where, notes)
    sample.timesignature = _signature(found.get("timesignature"), where, notes)
    sample.duration = _number(found.get("duration")) or 0.0
    if "is_instrumental" in found:
        sample.is_instrumental = str(found["is_instrumental"]).lower() in ("true", "1", "yes")
    elif sample.lyrics:
        sample.is_instrumental = sample.lyrics.strip().lower() == INSTRUMENTAL.lower()
    known = {spelling for spellings in ALIASES.values() for spelling in spellings} | _KNOWN_ELSEWHERE
    sample.extra = {name: value for name, value in values.items() if str(name).lower() not in known | _OWN}
    return sample, notes


_OWN = frozenset(f.name for f in dataclasses.fields(Sample))


def _bpm(value: Any, where: str, notes: list[str]) -> float | None:
    bpm = _number(value)
    if bpm is None and isinstance(value, str):
        bpm = tempo_in(value)  # "92.5 BPM"
    if bpm is None:
        if value not in (None, "", "N/A"):
            notes.append(f"{where}: bpm {value!r} is not a number")
        return None
    if not BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:
        notes.append(f"{where}: bpm {bpm:g} is outside {BPM_RANGE[0]:g}–{BPM_RANGE[1]:g}")
        return None
    return bpm


def _key(value: Any, where: str, notes: list[str]) -> str:
    if value in (None, "", "N/A"):
        return ""
    if key := key_in(str(value)):  # "8A / Am" too
        return key
    try:
        return str(Key.parse(str(value)))
    except InvalidRequest as error:
        notes.append(f"{where}: {error}")
        return ""


def _signature(value: Any, where: str, notes: list[str]) -> str:
    try:
        signature = parse_signature(value) if value is not None else None
    except InvalidRequest as error:
        notes.append(f"{where}: {error}")
        return ""
    return signature_field(signature) if signature else ""


def _number(value: Any) -> float | None:
    try:
        number = float(str(value).replace(",", "."))
    except ValueError:
        return None
    return (
        number if number == number and abs(number) != float("inf") and not isinstance(value, bool) else None
    )


def read_dataset(path: Path) -> Dataset:
    """Our own dataset.json, or ACE-Step's or Side-Step's. Raises InvalidRequest saying what is wrong."""
    document = read_json(path)
    rows = document if isinstance(document, list) else None
    if isinstance(document, dict):
        rows = next((document[name] for name in ("samples", "data", "items") if name in document), None)
    if not isinstance(rows, list):
        raise InvalidRequest(f"{path} is not a data set: expected an object with a list of samples")
    document = document if isinstance(document, dict) else {}
    metadata = document.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    dataset = Dataset(
        name=str(metadata.get("name") or document.get("name") or path.parent.name),
        root=(path.parent / _typed(document, "root", str, ".", path.name)).resolve(),
        custom_tag=str(metadata.get("custom_tag") or ""),
        tag_position=str(metadata.get("tag_position") or "prepend"),
    )
    own = document.get("format") == FORMAT
    if _number(metadata.get("genre_ratio")):
        dataset.notes.append(
            f"{path.name}: genre_ratio {metadata['genre_ratio']} is not used: captions are, and genres where "
            "prompt_override says so"
        )
    for number, row in enumerate(rows, 1):
        where = f"{path.name}, sample {number}"
        if not isinstance(row, dict):
            raise InvalidRequest(f"{where} is a {type(row).__name__}: expected an object")
        sample, notes = sample_from(row, where)
        dataset.notes += notes
        if sample.extra:
            dataset.notes.append(f"{where}: kept but not used: {', '.join(sorted(sample.extra))}")
        if own:
            _read_own(sample, row, where)
        if all_instrumental(metadata, row):
            sample.is_instrumental = True
        dataset.samples.append(sample)
    if own:
        rows = _typed(document, "skipped", list, [], path.name)
        dataset.skipped = [
            Skipped(_typed(row, "path", str, "", path.name), _typed(row, "reason", str, "", path.name))
            for row in rows
        ]
    return dataset


def all_instrumental(metadata: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """ACE-Step marks whole data sets as instrumental; a sample's own word wins."""
    return bool(metadata.get("all_instrumental")) and "is_instrumental" not in row


def _read_own(sample: Sample, row: Mapping[str, Any], where: str) -> None:
    sample.split = str(row.get("split", "train"))
    if sample.split not in SPLITS:
        raise InvalidRequest(f"{where}: split {sample.split!r} is unknown: expected {' or '.join(SPLITS)}")
    sample.use = bool(row.get("use", True))
    sample.downbeat_s = float(_typed(row, "downbeat_s", float, 0.0, where))
    sample.content = str(row.get("content", ""))
    sources = _typed(row, "sources", dict, {}, where)
    sample.sources = {name: _typed(sources, name, dict, {}, where) for name in sources}
    for segment in _typed(row, "segments", list, [], where):
        if not isinstance(segment, list) or len(segment) != 3 or not all(map(is_number, segment[:2])):
            raise InvalidRequest(
                f"{where}: {segment!r:.60} is not a segment: expected [start_s, duration_s, bars]"
            )
        start_s, duration_s, bars = segment
        sample.segments.append(Segment(float(start_s), float(duration_s), bars if is_number(bars) else None))


def _typed(values: Any, name: str, kind: type, default: Any, where: str) -> Any:
    """`values[name]`, or the default. Raises InvalidRequest for values of another kind than `kind`."""
    value = values.get(name, default) if isinstance(values, Mapping) else None
    if not (is_number(value) if kind is float else isinstance(value, kind)):
        words = {str: "text", float: "a number", list: "a list", dict: "names and values"}
        raise InvalidRequest(f"{where}: {name} is {value!r:.60}: expected {words[kind]}")
    return value


def is_own(path: Path) -> bool:
    """Whether a JSON file was written by us, and may be written again."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("format") == FORMAT


def read_json(path: Path) -> Any:
    """A JSON document. Raises InvalidRequest with the place of the mistake."""
    try:
        return json.loads(read_text_of(path).lstrip("\ufeff"))
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path} is not JSON: {fault_of(error)}") from error


def write_dataset(dataset: Dataset, path: Path) -> None:
    """Write dataset.json atomically; raises StorageError when the folder cannot be written."""
    if path.exists() and not is_own(path):
        raise StorageError(
            f"{path} was not written by lora_studio and is left alone: name another with --out"
        )
    root = os.path.relpath(dataset.root, path.parent.resolve())
    document = {
        "format": FORMAT,
        "root": Path(root).as_posix(),
        "metadata": {
            "name": dataset.name,
            "custom_tag": dataset.custom_tag,
            "tag_position": dataset.tag_position,
            "num_samples": len(dataset.samples),
            "all_instrumental": all(sample.is_instrumental for sample in dataset.samples),
        },
        "samples": [_row(sample) for sample in dataset.samples],
        "skipped": [dataclasses.asdict(entry) for entry in dataset.skipped],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    write_atomically(path, text.encode("utf-8"))


def _row(sample: Sample) -> dict[str, Any]:
    row = dataclasses.asdict(sample)
    row["segments"] = [[s.start_s, s.duration_s, s.bars] for s in sample.segments]
    extra = row.pop("extra")
    return {**extra, **row}


# Chosen by hand.
HELD_OUT_PART = 0.1  # of the songs
MAX_HELD_OUT = 32  # songs: more are not needed to see the loss fall


def hold_out(dataset: Dataset) -> None:
    """Hold out whole files (whole songs where they are stems), the same ones every time."""
    units: dict[str, list[Sample]] = {}
    for sample in dataset.used():
        units.setdefault(f"song {sample.song}" if sample.song else sample.content, []).append(sample)
    if any(sample.split == "held_out" for sample in dataset.used()):
        return
    count = max(round(len(units) * HELD_OUT_PART), min(2, len(units) // 5), 1 if len(units) >= 2 else 0)
    count = min(MAX_HELD_OUT, count)
    if count == 0:
        dataset.notes.append("only one file: nothing can be held out, so validation cannot be trusted")
    order = sorted(units, key=lambda unit: hashlib.sha256(unit.encode()).hexdigest())
    for unit in order[:count]:
        for sample in units[unit]:
            sample.split = "held_out"

"""Tempo, key, signature, title and genre that an audio file says about itself, as taggers really write them.

Reads ACID, Apple's basc, LIST/INFO, ID3, APE tags, Vorbis comments and AIFF's texts, and never decodes
audio. What is there but cannot be understood is told.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from acestep.errors import InvalidRequest
from acestep.music.grid import BPM_RANGE, Signature
from acestep.music.key import Key
from acestep.sound.chunks import Chunks, read_layout
from acestep.sound.riff import chunks_and_notes, decoded
from acestep.sound.tags import MAX_TAG_BYTES, TagError, fields_of_file, fields_of_id3, read_basc

Fields = Iterator[tuple[str, str]]
MEANING = {
    "bpm": "bpm", "tempo": "bpm", "tbpm": "bpm", "fbpm": "bpm", "ibpm": "bpm", "beats_per_minute": "bpm",
    "bpm_(beats_per_minute)": "bpm",
    "initial_key": "key", "initialkey": "key", "key": "key", "ikey": "key", "tkey": "key",
    "musical_key": "key",
    "timesignature": "signature", "time_signature": "signature", "meter": "signature",
    "title": "title", "inam": "title", "artist": "artist", "iart": "artist", "genre": "genre",
    "ignr": "genre",
    "comment": "comment", "comments": "comment", "description": "comment", "icmt": "comment",
}  # fmt: skip
UNSAID = ("0", "0.0", "0.00", "o", "none", "n/a", "unknown", "off", "-")  # "o" is ID3's off key
_TEMPO = re.compile(r"(?:bpm|tempo)?\s*[:=]?\s*(\d{1,4}(?:[.,]\d+)?)\s*(?:bpm|b\.p\.m\.)?", re.IGNORECASE)
_CENTS = re.compile(r"[\s(]*[+\-−±]\s*\d{1,2}(?:[.,]\d+)?\s*(?:cents?|ct|c|¢|%)?\s*\)?$", re.IGNORECASE)
_TEXTS = {b"NAME": "title", b"AUTH": "artist", b"ANNO": "comment"}  # AIFF


@dataclass
class Tags:
    """What was found; None or "" where the file says nothing. `unread` tells what could not be understood."""

    bpm: float | None = None
    key: str = ""
    root: int | None = None  # pitch class without a mode: ACID knows only the root note
    signature: str = ""
    beats: float | None = None  # number of beats in a loop, of the signature's lower number
    title: str = ""
    artist: str = ""
    genre: str = ""
    comment: str = ""
    unread: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, str | float]:
        """What was found, for people and JSON."""
        names = ("bpm", "key", "signature", "title", "artist", "genre", "comment")
        return {name: value for name in names if (value := getattr(self, name))}


def read_labels(path: Path) -> Tags:
    """What a WAV, AIFF, MP3, FLAC or OGG file says; nothing if it has no tags or cannot be read."""
    tags = Tags()
    try:
        layout = read_layout(path)
        if layout is None:
            _take(tags, fields_of_file(path))
        else:
            _read_layout(path, layout, tags)
    except TagError as error:
        tags.unread.append(f"its tags are broken and were passed over ({error})")
    except OSError:
        pass  # whoever reads the audio will say so
    return tags


def _read_layout(path: Path, layout: Chunks, tags: Tags) -> None:
    if layout.offset:  # an ID3 tag in front of everything
        with path.open("rb") as stream:
            _take(tags, fields_of_id3(stream.read(min(layout.offset, MAX_TAG_BYTES))))
    if layout.form == b"WAVE":
        chunks, notes = chunks_and_notes(path)
        tags.unread += [note for note in notes if "acid" in note or "LIST" in note]
        if "acid" in chunks:
            _take_acid(tags, chunks["acid"])
        _take(tags, ((name.lower(), text) for name, text in chunks.get("info", {}).items()))
    with path.open("rb") as stream:
        for chunk in layout.chunks:
            if chunk.name not in (b"id3 ", b"ID3 ", b"basc", *_TEXTS) or chunk.size > MAX_TAG_BYTES:
                continue
            stream.seek(chunk.start)
            content = stream.read(chunk.size)
            if chunk.name in (b"id3 ", b"ID3 "):
                _take(tags, fields_of_id3(content))
            elif chunk.name in _TEXTS and layout.form != b"WAVE":
                _take(tags, iter([(_TEXTS[chunk.name], decoded(content.rstrip(b"\0")))]))
            elif chunk.name == b"basc":
                _take_basc(tags, content)


def _take_acid(tags: Tags, acid: dict[str, object]) -> None:
    root, bpm, beats = acid["root_note"], acid["bpm"], acid["quarters"]
    if isinstance(root, int):
        tags.root = root % 12
    if acid["one_shot"]:
        return
    if isinstance(bpm, float) and BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:
        tags.bpm = round(bpm, 3)
    elif bpm:
        tags.unread.append(f"its acid chunk's tempo {bpm:.6g} is outside {BPM_RANGE[0]:g}–{BPM_RANGE[1]:g}")
    tags.beats = float(beats) if isinstance(beats, int) and 0 < beats < 100_000 else None
    tags.signature = _signature(str(acid["signature"])) or ""


def _take_basc(tags: Tags, content: bytes) -> None:
    """Apple Loops: beats, root note with scale, signature."""
    try:
        found = read_basc(content)
    except struct.error:
        tags.unread.append("its basc chunk is too short")
        return
    tags.beats = tags.beats or float(found["beats"]) or None
    tags.signature = tags.signature or _signature(found["signature"]) or ""
    if found["root_note"]:
        tags.root = int(found["root_note"]) % 12
        tags.key = tags.key or str(Key(tags.root, found["scale"]))


def _take(tags: Tags, fields: Fields) -> None:
    """Puts fields where they belong; the first of each that can be understood counts."""
    exact: list[float] = []
    for name, text in fields:
        meaning, text = MEANING.get(name.strip().lower().replace(" ", "_"), ""), text.strip()
        if not meaning or not text or text.lower() in UNSAID:
            continue
        if meaning == "bpm":
            bpm = tempo_in(text)
            if bpm is None:
                tags.unread.append(f"its tempo tag {text[:40]!r} is not a tempo between 30 and 300 bpm")
            else:
                exact.append(bpm)
        elif meaning == "key":
            key = key_in(text)
            if not key:
                tags.unread.append(f"its key tag {text[:40]!r} is not a key in major or minor")
            tags.key = tags.key or key
        elif meaning == "signature":
            signature = _signature(text)
            if signature is None:
                tags.unread.append(f"its time signature tag {text[:40]!r} is not a time signature")
            tags.signature = tags.signature or signature or ""
        elif not getattr(tags, meaning):
            setattr(tags, meaning, text)
    if exact and tags.bpm is None:
        # ID3's own field takes whole numbers only; many write the exact tempo into another beside it.
        finer = [bpm for bpm in exact if bpm % 1 and abs(bpm - exact[0]) < 1]
        tags.bpm = finer[0] if finer else exact[0]


def tempo_in(text: str) -> float | None:
    """`128`, `127,5`, `127.5 BPM` → bpm; None for anything else and what is outside a song's range."""
    match = _TEMPO.fullmatch(text.strip())
    bpm = float(match[1].replace(",", ".")) if match else 0.0
    return round(bpm, 3) if BPM_RANGE[0] <= bpm <= BPM_RANGE[1] else None


def key_in(text: str) -> str:
    """`Am`, `8A`, `1m`, `F#m +13`, `8A / Am` → a key; "" for anything else, and for two different keys."""
    keys = set()
    for part in re.split(r"[/|,;()\[\]]|\s-\s", _CENTS.sub("", text.strip())):
        if not part.strip():
            continue
        try:
            keys.add(Key.parse(_CENTS.sub("", part.strip())))
        except InvalidRequest:
            return ""
    return str(keys.pop()) if len(keys) == 1 else ""


def _signature(text: str) -> str | None:
    try:
        return str(Signature.parse(f"{text}/4" if text.isdigit() else text))
    except InvalidRequest:
        return None

"""Tempo, key, signature, title and genre that an audio file carries about itself (ACID, ID3, Vorbis).

Reads a few kilobytes of the file's own chunks and never decodes audio. Knows nothing of file names,
sidecars or measurement; a broken or absent tag is simply not found.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from acestep.errors import InvalidRequest
from acestep.grid import BPM_RANGE
from acestep.key import Key

MAX_TAG_BYTES = 1 << 20  # a tag block above a megabyte is a picture, not text
ACID_ONE_SHOT = 0x01
ACID_ROOT_SET = 0x02

_ID3_FIELDS = {
    "TBPM": "bpm",
    "TBP": "bpm",
    "TKEY": "key",
    "TKE": "key",
    "TIT2": "title",
    "TT2": "title",
    "TPE1": "artist",
    "TP1": "artist",
    "TCON": "genre",
    "TCO": "genre",
    "COMM": "comment",
    "COM": "comment",
}
_VORBIS_FIELDS = {
    "bpm": "bpm",
    "tempo": "bpm",
    "tbpm": "bpm",
    "initialkey": "key",
    "initial_key": "key",
    "key": "key",
    "title": "title",
    "artist": "artist",
    "genre": "genre",
    "comment": "comment",
    "description": "comment",
    "timesignature": "signature",
    "time_signature": "signature",
}
_INFO_FIELDS = {b"INAM": "title", b"IART": "artist", b"IGNR": "genre", b"ICMT": "comment"}


@dataclass
class Tags:
    """What was found; None or "" where the file says nothing."""

    bpm: float | None = None
    key: str = ""
    root: int | None = None  # pitch class without a mode: ACID knows only the root note
    signature: str = ""
    beats: float | None = None  # ACID: number of beats in the loop
    title: str = ""
    artist: str = ""
    genre: str = ""
    comment: str = ""


def read_tags(path: Path) -> Tags:
    """Tags of a WAV, AIFF, MP3, FLAC or OGG file; empty ones if it has none or cannot be read."""
    tags = Tags()
    try:
        with path.open("rb") as file:
            head = file.read(12)
            file.seek(0)
            if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
                _read_chunks(file, tags, "<")
            elif head[:4] == b"FORM":
                _read_chunks(file, tags, ">")
            elif head[:4] == b"fLaC":
                _read_flac(file, tags)
            elif head[:4] == b"OggS":
                _read_ogg(file, tags)
            elif head[:3] == b"ID3":
                _read_id3(file.read(MAX_TAG_BYTES), tags)
    except (OSError, struct.error, ValueError, IndexError):
        pass  # a broken tag must not keep good audio out of the data set
    return tags


def _read_chunks(file: BinaryIO, tags: Tags, order: str) -> None:
    """RIFF (little endian) and AIFF (big endian): chunks of name, size and body, padded to even."""
    size_of_file = file.seek(0, 2)
    file.seek(12)
    while True:
        header = file.read(8)
        if len(header) < 8:
            return
        name, size = header[:4], struct.unpack(order + "I", header[4:])[0]
        start = file.tell()
        if name in (b"acid", b"id3 ", b"ID3 ", b"LIST") and size <= MAX_TAG_BYTES:
            body = file.read(size)
            if name == b"acid" and len(body) >= 24:
                _read_acid(body, tags)
            elif name == b"LIST" and body[:4] == b"INFO":
                _read_info(body[4:], tags)
            elif name != b"LIST":
                _read_id3(body, tags)
        following = start + size + (size & 1)
        if following >= size_of_file:
            return
        file.seek(following)


def _read_acid(body: bytes, tags: Tags) -> None:
    """ACID chunk: flags, root note, beats, signature, tempo (24 bytes, little endian)."""
    flags, root, _, _, beats, denominator, numerator, tempo = struct.unpack("<IHHfIHHf", body[:24])
    if flags & ACID_ROOT_SET and 0 <= root <= 127:
        tags.root = root % 12
    if flags & ACID_ONE_SHOT:
        return
    _set_bpm(tags, tempo)
    if beats:
        tags.beats = float(beats)
    if 1 <= numerator <= 32 and denominator in (1, 2, 4, 8, 16, 32):
        tags.signature = f"{numerator}/{denominator}"


def _read_info(body: bytes, tags: Tags) -> None:
    at = 0
    while at + 8 <= len(body):
        name, size = body[at : at + 4], struct.unpack("<I", body[at + 4 : at + 8])[0]
        if name in _INFO_FIELDS:
            text = body[at + 8 : at + 8 + size].split(b"\0")[0].decode("utf-8", "replace")
            _set(tags, _INFO_FIELDS[name], text)
        at += 8 + size + (size & 1)


def _read_id3(data: bytes, tags: Tags) -> None:
    """ID3v2.2–2.4 text frames (unsynchronised and extended headers are rare, and skipped)."""
    if data[:3] != b"ID3" or len(data) < 10:
        return
    version = data[3]
    end = min(len(data), 10 + _syncsafe(data[6:10]))
    at = 10
    name_size, header_size = (3, 6) if version == 2 else (4, 10)
    while at + header_size <= end:
        name = data[at : at + name_size].decode("latin-1")
        raw = data[at + name_size : at + 2 * name_size]
        size = _syncsafe(raw) if version == 4 else int.from_bytes(raw, "big")
        if not name.strip("\0") or size <= 0:
            return
        body = data[at + header_size : at + header_size + size]
        at += header_size + size
        if name in ("TXXX", "TXX"):
            label, _, value = _id3_text(body).partition("\0")
            _set(tags, _VORBIS_FIELDS.get(label.strip().lower(), ""), value)
        elif name in ("COMM", "COM"):
            text = _id3_text(body[:1] + body[4:])  # after encoding: three letters of language
            _set(tags, "comment", text.rpartition("\0")[2])
        elif name in _ID3_FIELDS:
            _set(tags, _ID3_FIELDS[name], _id3_text(body).split("\0")[0])


def _syncsafe(raw: bytes) -> int:
    value = 0
    for byte in raw:
        value = value << 7 | (byte & 0x7F)
    return value


def _id3_text(body: bytes) -> str:
    if not body:
        return ""
    encoding = {0: "latin-1", 1: "utf-16", 2: "utf-16-be", 3: "utf-8"}.get(body[0], "latin-1")
    return body[1:].decode(encoding, "replace").strip("\0").replace("\ufeff", "")


def _read_flac(file: BinaryIO, tags: Tags) -> None:
    file.seek(4)
    while True:
        header = file.read(4)
        if len(header) < 4:
            return
        kind, size = header[0] & 0x7F, int.from_bytes(header[1:], "big")
        if kind == 4 and size <= MAX_TAG_BYTES:
            _read_vorbis(file.read(size), tags)
            return
        file.seek(size, 1)
        if header[0] & 0x80:
            return


def _read_ogg(file: BinaryIO, tags: Tags) -> None:
    """The comment packet of Vorbis or Opus in its first 64 kB, page headers removed."""
    data = file.read(1 << 16)
    stream = bytearray()
    at = 0
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        segments = data[at + 26]
        sizes = data[at + 27 : at + 27 + segments]
        start = at + 27 + segments
        stream += data[start : start + sum(sizes)]
        at = start + sum(sizes)
    for mark in (b"\x03vorbis", b"OpusTags"):
        found = stream.find(mark)
        if found >= 0:
            _read_vorbis(bytes(stream[found + len(mark) :]), tags)
            return


def _read_vorbis(body: bytes, tags: Tags) -> None:
    """Vorbis comments: vendor, count, then NAME=value, each with a little-endian length."""
    (vendor,) = struct.unpack_from("<I", body, 0)
    (count,) = struct.unpack_from("<I", body, 4 + vendor)
    at = 8 + vendor
    for _ in range(min(count, 1000)):
        (size,) = struct.unpack_from("<I", body, at)
        name, _, value = body[at + 4 : at + 4 + size].decode("utf-8", "replace").partition("=")
        at += 4 + size
        _set(tags, _VORBIS_FIELDS.get(name.strip().lower(), ""), value)


def _set(tags: Tags, field: str, text: str) -> None:
    text = text.strip()
    if not field or not text:
        return
    if field == "bpm":
        try:
            _set_bpm(tags, float(text.replace(",", ".")))
        except ValueError:
            return
    elif field == "key":
        try:
            tags.key = str(Key.parse(text))
        except InvalidRequest:
            return  # "8A", "o" (ID3's off key): not a key we can use
    elif not getattr(tags, field):
        setattr(tags, field, text)


def _set_bpm(tags: Tags, bpm: float) -> None:
    if tags.bpm is None and BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:
        tags.bpm = round(float(bpm), 3)

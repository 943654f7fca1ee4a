"""Chunks of WAV (RIFF, RIFX, RF64, BW64), AIFF and RMID files: where each one lies and how long it really is.

Chunks that are too short, at odd places or of a wrong length are skipped with a note, never an error.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

Order = Literal["little", "big"]
HEADER_BYTES = 8  # of a chunk: name and length
UNKNOWN_FROM = 0x7F00_0000  # writers that cannot go back leave 0, 0x7F000000, 0x7FFFF000, 0xFFFFFFFF …
PLACEHOLDER = 0xFFFF_FFFF  # RF64: the true length is in ds64
STALE_FROM_BYTES = 4096  # so much sound behind the promised end is sound; less is rubbish
SOUND = (b"data", b"SSND")
APPENDED = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")  # tags that some put behind the last chunk
BEHIND_SOUND = re.compile(
    rb"LIST|[iI][dD]3 |bext|iXML|acid|smpl|cue |fact|inst|PAD |JUNK|junk|afsp|_PMX|axml|"
    rb"NAME|AUTH|ANNO|COMT|MARK|INST|APPL|MIDI"
)
MAX_CHUNKS = 10_000
SEARCH_BYTES = 1 << 20  # how far a lost chunk is looked for


@dataclass(frozen=True)
class Chunk:
    """A chunk: `start` of its content in the file, `size` of it in bytes, `declared` what its header says.

    Only for sound may `size` lie beyond the end of the file: then the file is cut off.
    """

    name: bytes
    start: int
    size: int
    declared: int


@dataclass(frozen=True)
class Chunks:
    """What a file is made of. `form` is `WAVE`, `AIFF`, `AIFC`, `RMID` …; `magic` its first four bytes."""

    magic: bytes
    form: bytes
    order: Order
    offset: int  # where the first four bytes are: behind an ID3 tag that somebody put in front
    chunks: tuple[Chunk, ...]
    notes: tuple[str, ...]

    def first(self, *names: bytes) -> Chunk | None:
        """The first chunk of one of these names."""
        return next((chunk for chunk in self.chunks if chunk.name in names), None)


def read_layout(path: str | Path) -> Chunks | None:
    """The chunks of a file; None where it is made of none. Raises OSError where it cannot be read."""
    with Path(path).open("rb") as stream:
        return layout_of(stream)


def layout_of(stream: BinaryIO) -> Chunks | None:
    """The chunks of an open file; None where it is made of none."""
    offset = after_id3(stream)
    stream.seek(offset)
    head = stream.read(12)
    magic, form = head[:4], head[8:12]
    if magic in (b"RIFF", b"RF64", b"BW64"):
        order: Order = "little"
    elif magic in (b"RIFX", b"FORM"):
        order = "big"
    else:
        return None
    walk = _Walk(stream, order)
    chunks = tuple(walk.chunks(offset + 12))
    return Chunks(magic, form, order, offset, chunks, tuple(walk.notes))


def after_id3(stream: BinaryIO) -> int:
    """Where the file itself begins: behind the ID3v2 tags in front of it, if there are any."""
    at = 0
    while True:
        stream.seek(at)
        head = stream.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 0x7F:
            return at
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte
        at += 10 + size + (10 if head[5] & 0x10 else 0)  # with a footer


class _Walk:
    """One way through a file from its first chunk to its end."""

    def __init__(self, stream: BinaryIO, order: Order) -> None:
        self._stream, self._order = stream, order
        self._size = stream.seek(0, 2)
        self._long: dict[bytes, int] = {}  # lengths above 4 GB, from ds64
        self.notes: list[str] = []

    def chunks(self, at: int) -> Iterator[Chunk]:
        """Every chunk that can be found."""
        sound = False
        previous = at
        for _ in range(MAX_CHUNKS):
            if at + HEADER_BYTES > self._size:
                return
            name, declared = self._header(at)
            if not _is_name(name):
                at = self._found_again(previous, at, sound)
                if at < 0:
                    return
                name, declared = self._header(at)
            start = at + HEADER_BYTES
            size = self._long.get(name, declared) if declared == PLACEHOLDER else declared
            if name in SOUND:
                sound = True
                size = self._sound_size(name, start, size)
            elif size > self._size - start:
                lost = -1 if sound else self._search(start)
                if lost < 0:
                    self._note(f"its {_word(name)} chunk is longer than the file")
                size = (self._size if lost < 0 else lost) - start
            if name == b"ds64":
                self._read_ds64(start, size)
            yield Chunk(name, start, size, declared)
            previous, at = start, self._behind(start, size)

    def _header(self, at: int) -> tuple[bytes, int]:
        self._stream.seek(at)
        header = self._stream.read(HEADER_BYTES)
        return header[:4], int.from_bytes(header[4:], self._order)

    def _behind(self, start: int, size: int) -> int:
        """The place after a chunk. Chunks begin at even places, but some writers forget the padding byte."""
        end = start + size
        if size % 2 and not _is_name(self._header(end + 1)[0]) and _is_name(self._header(end)[0]):
            return end
        return end + size % 2

    def _found_again(self, previous: int, at: int, sound: bool) -> int:
        """The place where the chunks continue if none is where it should be; -1 if they do not."""
        if sound:
            return -1  # rubbish behind the sound is common and harms nobody
        found = self._search(previous)
        if found >= 0:
            self._note(f"a chunk before byte {at} has a wrong length")
        return found

    def _search(self, start: int) -> int:
        """The nearest place from `start` on where the format or the sound begins; -1 where neither does."""
        self._stream.seek(start)
        content = self._stream.read(SEARCH_BYTES)
        places = (content.find(name) for name in (b"fmt ", b"COMM", *SOUND))
        return min((start + place for place in places if place >= 0), default=-1)

    def _sound_size(self, name: bytes, start: int, size: int) -> int:
        """How many bytes of sound there are: at least what the header says, and more if the header cannot
        know.
        """
        there = self._size - start
        if size == 0 or (size > there and size >= UNKNOWN_FROM):
            if there == 0 or (size == 0 and self._are_chunks(start)):
                return 0
            self._note("its header does not say how long it is: it was read to the end of the file")
            return self._end_of_sound(start) - start
        end = start + size + size % 2
        if size > there or self._size - end < STALE_FROM_BYTES or self._are_chunks(end):
            return size
        self._stream.seek(end)
        behind = self._stream.read(1 << 16)
        if behind.startswith(APPENDED) or len(set(behind)) == 1:
            return size
        there = self._end_of_sound(start) - start
        self._note(stale_note(size, there))
        return there

    def _end_of_sound(self, start: int) -> int:
        """Where sound of unknown length ends: at the chunks that close the file, else at its end."""
        begin = max(start, self._size - SEARCH_BYTES)
        self._stream.seek(begin)
        content = self._stream.read()
        places = (begin + found.start() for found in BEHIND_SOUND.finditer(content))
        return next((at for at in places if self._are_chunks(at)), self._size)

    def _are_chunks(self, at: int) -> bool:
        """Whether there is nothing but chunks from here to the end."""
        for _ in range(MAX_CHUNKS):
            left = self._size - at
            if left <= 1:
                return True
            name, size = self._header(at)
            if name.startswith(APPENDED):
                return True
            if left < HEADER_BYTES or not _is_name(name) or size > left - HEADER_BYTES:
                return False
            at = self._behind(at + HEADER_BYTES, size)
        return False

    def _read_ds64(self, start: int, size: int) -> None:
        self._stream.seek(start)
        content = self._stream.read(min(size, 1 << 16))
        if len(content) < 24:
            self._note("its ds64 chunk is too short")
            return
        self._long[b"data"] = int.from_bytes(content[8:16], self._order)
        for at in range(28, len(content) - 11, 12):
            self._long[content[at : at + 4]] = int.from_bytes(content[at + 4 : at + 12], self._order)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def stale_note(promised: int, there: int) -> str:
    """The note on sound that is longer than its header says."""
    return f"its header promises {promised} bytes of sound and {there} are there: it was read to the end"


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(0x20 <= byte <= 0x7E for byte in name) and name != b"    "


def _word(name: bytes) -> str:
    return name.decode("latin-1").strip()

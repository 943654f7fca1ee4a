"""Audio files as the decoder should see them: with true lengths, and without chunks that it cannot read.

`view_of` gives either the file as it is, or a new header for what is really there: streams from pipes,
recordings that crashed, joined MP3s, BW64. A note says what was assumed. Nothing is copied; `decoding` reads.
"""

import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from acestep.errors import UnreadableAudio
from acestep.sound.chunks import UNKNOWN_FROM, Chunk, Chunks, read_layout, stale_note
from acestep.sound.frames import mpeg_tag, read_flac, read_mpeg, read_ogg
from acestep.sound.surround import apple_layout

TO_THE_END = "its header does not say how long it is: it was read to the end of the file"
PCM, IEEE_FLOAT, MPEG_LAYER_3, EXTENSIBLE = 1, 3, 0x55, 0xFFFE
PLAIN_AIFF = (b"", b"NONE", b"sowt", b"twos", b"fl32", b"FL32", b"fl64")
BYTES_JUDGED = 1 << 16  # of what lies behind the sound
ID3V1_BYTES = 128
FLAC_TOTAL = slice(13, 18)  # in STREAMINFO: four bits of something else and 36 of the number of samples


@dataclass(frozen=True)
class View:
    """How to read a file: `head`, then its bytes from `start` to `end`, then the parts after it."""

    head: bytes = b""
    start: int = 0
    end: int | None = None
    notes: tuple[str, ...] = ()
    mask: int | None = None  # loudspeakers of the channels, as the file names them
    named: tuple[str, ...] = ()  # the same in the order of the channels, where that may be any
    ogg: bool = False
    mpeg: bool = False  # or so it is named
    joined: tuple["View", ...] = ()

    @property
    def as_it_is(self) -> bool:
        """Whether the file is read from its first byte to its last."""
        return not self.head and not self.start and self.end is None


def view_of(file: Path) -> View:
    """How to read a file. Raises UnreadableAudio for one that is cut off."""
    try:
        with file.open("rb") as stream:
            magic = stream.read(4)
        if magic in _OF_MAGIC:
            return _OF_MAGIC[magic](file)
        layout = read_layout(file)
        if layout is not None:
            return _of_chunks(file, layout)
        flac = _of_flac(file)
        if flac is not None:
            return flac
        return _of_mpeg(file) if magic.startswith((b"ID3", b"\xff")) or _is_mp3(file) else View()
    except OSError as error:
        raise UnreadableAudio(f"{file} cannot be read: {error.strerror}") from error


def _of_chunks(file: Path, layout: Chunks) -> View:
    sound, size = layout.first(b"data", b"SSND"), file.stat().st_size
    if layout.form not in (b"WAVE", b"AIFF", b"AIFC"):
        return View()
    if sound is None:
        raise UnreadableAudio(f"{file} is cut off: it ends before its sound begins")
    if sound.start + sound.size > size:
        raise UnreadableAudio(
            f"{file} is cut off: its header promises {sound.start + sound.size} bytes, {size} are there"
        )
    if layout.form == b"WAVE":
        return _of_wave(file, layout, sound)
    places = layout.first(b"CHAN")
    named = apple_layout(_content(file, places)) if places else ()
    common = layout.first(b"COMM")
    if common is None or sound.size == sound.declared:
        return View(notes=layout.notes, named=named)
    return replace(_of_aiff(file, layout, common, sound), named=named)


def _of_wave(file: Path, layout: Chunks, sound: Chunk) -> View:
    """Only format and sound, under a header of the right length: the decoder needs no more."""
    form = layout.first(b"fmt ")
    if form is None:
        raise UnreadableAudio(f"{file} is not audio that can be read: it has no fmt chunk")
    content = _plain_format(_content(file, form), layout.order)
    sound, notes = _without_rubbish(file, layout, sound, _Samples.of_wave(content, layout.order))
    mask = None
    if len(content) >= 24 and int.from_bytes(content[:2], layout.order) == EXTENSIBLE:
        mask = int.from_bytes(content[20:24], layout.order)
    chunks = _chunk(b"fmt ", content, layout)
    fact = layout.first(b"fact")
    if fact is not None and fact.size >= 4:
        chunks += _chunk(b"fact", _content(file, fact)[:4], layout)
    total = 4 + len(chunks) + 8 + sound.size
    if total < 0xFFFF_FFFF:
        magic = b"RIFX" if layout.order == "big" else b"RIFF"
        head = magic + total.to_bytes(4, layout.order) + b"WAVE" + chunks
        head += b"data" + sound.size.to_bytes(4, layout.order)
    else:
        long = struct.pack("<QQQI", total + 36, sound.size, 0, 0)
        head = b"RF64\xff\xff\xff\xffWAVE" + b"ds64" + struct.pack("<I", len(long)) + long + chunks
        head += b"data\xff\xff\xff\xff"
    mpeg = int.from_bytes(content[:2], layout.order) == MPEG_LAYER_3
    return View(head, sound.start, sound.start + sound.size, notes, mask, mpeg=mpeg)


def _plain_format(content: bytes, order: Literal["little", "big"]) -> bytes:
    """The fmt chunk as libsndfile understands it.

    Samples of 24 bits in 32-bit places are read as 32-bit samples. A format that calls itself extensible but
    is cut short, or does not say how many bits a sample has, is read as a plain one.
    """
    tag, channels, align, bits = (
        int.from_bytes(content[a:b], order) for a, b in ((0, 2), (2, 4), (12, 14), (14, 16))
    )
    width = align // channels if channels else 0
    short = (tag == EXTENSIBLE and 16 <= len(content) < 40) or (tag == PCM and len(content) == 14)
    if tag == EXTENSIBLE and not short and content[24:26] == PCM.to_bytes(2, order) and bits < 8 * width:
        return content[:14] + (8 * width).to_bytes(2, order) + content[16:]
    if short or (tag == PCM and 20 <= bits <= 24 and width == 4):
        return PCM.to_bytes(2, order) + content[2:14] + (8 * width).to_bytes(2, order)
    return content


@dataclass(frozen=True)
class _Samples:
    """How uncompressed sound lies in a file. `kind` as NumPy's: i, u or f; "" for all that is compressed."""

    kind: str = ""
    width: int = 0  # bytes
    channels: int = 0
    order: str = "<"

    @classmethod
    def of_wave(cls, content: bytes, order: Literal["little", "big"]) -> "_Samples":
        tag, channels, bits = (int.from_bytes(content[a:b], order) for a, b in ((0, 2), (2, 4), (14, 16)))
        if tag == EXTENSIBLE:
            tag = int.from_bytes(content[24:26], order)
        width = -(-bits // 8)
        if tag not in (PCM, IEEE_FLOAT) or not channels or width not in (1, 2, 3, 4, 8):
            return cls()
        kind = "f" if tag == IEEE_FLOAT else "u" if width == 1 else "i"
        return cls(kind, width, channels, ">" if order == "big" else "<")

    @classmethod
    def of_aiff(cls, common: bytes) -> "_Samples":
        channels, width = int.from_bytes(common[0:2], "big"), -(-int.from_bytes(common[6:8], "big") // 8)
        kind = {b"fl32": "f", b"FL32": "f", b"fl64": "f"}.get(common[18:22], "i")
        if common[18:22] not in PLAIN_AIFF or not channels or width not in (1, 2, 3, 4, 8):
            return cls()
        return cls(kind, width, channels, "<" if common[18:22] == b"sowt" else ">")

    def of(self, content: bytes) -> np.ndarray:
        """The samples [n, C], full scale 1."""
        content = content[: len(content) // (self.width * self.channels) * self.width * self.channels]
        if self.kind == "f":
            with np.errstate(invalid="ignore", over="ignore"):  # foreign bytes may be not numbers
                values = np.frombuffer(content, f"{self.order}f{self.width}").astype(np.float64)
        elif self.width == 3:
            bytes_ = np.frombuffer(content, np.uint8).reshape(-1, 3)[:, :: -1 if self.order == "<" else 1]
            wide = np.concatenate([bytes_, np.zeros((len(bytes_), 1), np.uint8)], axis=1)
            values = np.ascontiguousarray(wide).view(">i4")[:, 0] / 2**31
        else:
            values = np.frombuffer(content, f"{self.order}{self.kind}{self.width}") / 2 ** (
                8 * self.width - 1
            )
            values = values - 1 if self.kind == "u" else values
        return values.reshape(-1, self.channels)


def _without_rubbish(
    file: Path, layout: Chunks, sound: Chunk, samples: _Samples
) -> tuple[Chunk, tuple[str, ...]]:
    """The sound without foreign bytes after its promised end, and the notes on the file."""
    promised = sound.declared
    if not samples.kind or not 0 < promised < min(sound.size, UNKNOWN_FROM):
        return sound, layout.notes
    frame = samples.width * samples.channels
    with file.open("rb") as stream:
        stream.seek(sound.start + promised // frame * frame)
        behind = samples.of(stream.read(BYTES_JUDGED))
    if _is_sound(behind):
        return sound, layout.notes
    notes = tuple(note for note in layout.notes if note != stale_note(promised, sound.size))
    rubbish = f"{sound.size - promised} bytes behind its sound are something else and were passed over"
    return replace(sound, size=promised), (*notes, rubbish)


def _is_sound(samples: np.ndarray) -> bool:
    """Whether samples [n, C] continue as sound does. Compressed data and foreign bytes look different: huge
    numbers, all far from zero (letters), or noise at full scale.
    """
    if len(samples) < 2 or not np.isfinite(samples).all() or np.abs(samples).max() > 16:
        return False
    steps = np.abs(np.diff(samples, axis=0)).mean()
    return bool(abs(samples.mean()) < 0.25 and steps < 0.5)


def _of_aiff(file: Path, layout: Chunks, common: Chunk, sound: Chunk) -> View:
    """The same chunks up to the sound, whose length and number of frames are put right."""
    content = bytearray(_content(file, common))
    sound, notes = _without_rubbish(file, layout, sound, _Samples.of_aiff(bytes(content)))
    with file.open("rb") as stream:
        stream.seek(sound.start)
        skip = int.from_bytes(stream.read(4), "big")
    frame = int.from_bytes(content[0:2], "big") * -(-int.from_bytes(content[6:8], "big") // 8)
    if frame and content[18:22] in PLAIN_AIFF:
        content[2:6] = (max(0, sound.size - 8 - skip) // frame).to_bytes(4, "big")
    chunks = b"FVER" + struct.pack(">II", 4, 0xA2805140) if layout.form == b"AIFC" else b""
    chunks += _chunk(b"COMM", bytes(content), layout)
    head = b"FORM" + (4 + len(chunks) + 8 + sound.size).to_bytes(4, "big") + layout.form + chunks
    head += b"SSND" + sound.size.to_bytes(4, "big")
    return View(head, sound.start, sound.start + sound.size, notes)


def _content(file: Path, chunk: Chunk) -> bytes:
    with file.open("rb") as stream:
        stream.seek(chunk.start)
        return stream.read(min(chunk.size, 1 << 16))


def _chunk(name: bytes, content: bytes, layout: Chunks) -> bytes:
    return name + len(content).to_bytes(4, layout.order) + content + b"\0" * (len(content) % 2)


def _of_flac(file: Path) -> View | None:
    stream = read_flac(file)
    if stream is None:
        return None
    if not stream.found or stream.found == stream.declared:
        return View(mask=stream.mask)
    rate_hz = int.from_bytes(stream.info[10:13], "big") >> 4
    if stream.found < stream.declared and stream.end < file.stat().st_size - ID3V1_BYTES:
        raise UnreadableAudio(
            f"{file} is cut off: its header promises {stream.declared / rate_hz:.2f} s, "
            f"{stream.found / rate_hz:.2f} s are there"
        )
    note = TO_THE_END
    if stream.declared:
        note = (
            f"its header promises {stream.declared / rate_hz:.2f} s and {stream.found / rate_hz:.2f} s are "
            "there: it was read to the end of the file"
        )
    info = bytearray(stream.info)
    total = int.from_bytes(info[FLAC_TOTAL], "big") & ~0xF_FFFF_FFFF | stream.found
    info[FLAC_TOTAL] = total.to_bytes(5, "big")
    with file.open("rb") as content:
        content.seek(stream.offset)
        head = content.read(8) + bytes(info)
    return View(head, stream.offset + len(head), stream.end, (note,), stream.mask)


def _is_mp3(file: Path) -> bool:
    return file.suffix.lower() in (".mp3", ".mp2", ".mp1", ".mpga")


def _of_mpeg(file: Path) -> View:
    """An MP3. If its own count of frames is right, it is read as it is; else its frames are counted."""
    stream = read_mpeg(file)
    if stream is None or not stream.frames or stream.tag_frames == stream.frames:
        return View(mpeg=True)
    size = file.stat().st_size
    missing = (stream.tag_frames or 0) - stream.frames
    promised = stream.first - len(stream.tag) + (stream.tag_bytes or 0)
    if missing > 0.001 * stream.frames + 1 and promised > size:
        raise UnreadableAudio(f"{file} is cut off: its header promises {promised} bytes, {size} are there")
    notes: tuple[str, ...] = ()
    if stream.tag_frames is not None and abs(missing) > 1:
        counts = f"its header counts {stream.tag_frames} frames and {stream.frames} are there"
        notes = (f"{counts}: it was read to the end",)
    return View(mpeg_tag(stream), stream.first, stream.end, notes, mpeg=True)


def _of_au(file: Path) -> View:
    """Sun's format. A length of 0, or one beyond the file's end, means that the writer did not know it."""
    with file.open("rb") as stream:
        head, size = stream.read(24), stream.seek(0, 2)
    start, declared = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    if not 24 <= start < size or 0 < declared <= size - start:
        return View()
    if 0 < declared < UNKNOWN_FROM:
        raise UnreadableAudio(
            f"{file} is cut off: its header promises {start + declared} bytes, {size} are there"
        )
    plain = b".snd" + struct.pack(">II", 24, size - start) + head[12:24]
    return View(plain, start, size, (TO_THE_END,))


def _of_caf(file: Path) -> View:
    """Apple's format, in which a length of −1 means: to the end of the file."""
    with file.open("rb") as stream:
        size, at = stream.seek(0, 2), 8
        named: tuple[str, ...] = ()
        while at + 12 <= size:
            stream.seek(at)
            name, length = struct.unpack(">4sq", stream.read(12))
            if name == b"data" and (length == -1 or (length >= UNKNOWN_FROM and length > size - at - 12)):
                stream.seek(0)
                head = stream.read(at) + struct.pack(">4sq", name, size - at - 12)
                return View(head, at + 12, size, (TO_THE_END,), named=named)
            if name == b"chan":
                named = apple_layout(stream.read(min(max(length, 0), 1 << 12)))
            if length < 0:
                break
            at += 12 + length
    return View(named=named)


def _of_ogg(file: Path) -> View:
    """OGG. Streams may be joined one after the other, and a broken download ends in half a page."""
    found = read_ogg(file)
    whole = [stream for stream in found.streams if stream.sounds]
    if not whole:
        raise UnreadableAudio(f"{file} is cut off: it ends before its sound begins")
    if found.damaged:
        raise UnreadableAudio(
            f"{file} is damaged: {found.damaged} of its {found.pages} pages hold other bytes than were "
            "written: fetch or export it again"
        )
    notes = ("it is cut off inside: what is there was read",) if found.cut_off else ()
    views = [View(start=stream.start, end=stream.end, ogg=True) for stream in whole]
    return replace(views[0], notes=notes, joined=tuple(views[1:]))


def _of_xi(file: Path) -> View:
    return View(notes=("files of its kind do not say their sample rate: 44100 Hz is assumed",))


_OF_MAGIC = {b"OggS": _of_ogg, b".snd": _of_au, b"caff": _of_caf, b"Exte": _of_xi}

"""Tags of FLAC, OGG, MP3 and AIFF files: title, tempo, key and what else a DJ program or DAW looks for.

Writes Vorbis comments and ID3v2.4. Reads these, older ID3, APE and Apple's basc chunk as names and values;
`labels` works out what the values mean.
"""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from acestep.sound.chunks import after_id3
from acestep.sound.id3 import plain_id3
from acestep.sound.riff import MusicalData

VORBIS_COMMENT, PADDING = 4, 1
MAX_TAG_BYTES = 1 << 26  # with large pictures
ID3V1_BYTES = 128
UTF_8 = 3
APE_FOOTER_BYTES, APE_NAME_CHARS, APE_TEXT = 32, 256, 0


def tag_values(data: MusicalData) -> dict[str, str]:
    """Names and values as Vorbis comments spell them."""
    values = {
        "TITLE": data.title,
        "BPM": f"{data.bpm:.10g}" if data.bpm else "",
        "INITIALKEY": short_key(data.key),
        "TIME_SIGNATURE": f"{data.numerator}/{data.denominator}" if data.bpm else "",
        "COMMENT": data.comment,
        "DATE": data.created[:10],
        "ENCODER": data.software,
    }
    return {name: value for name, value in (values | data.extra).items() if value}


def short_key(key: str) -> str:
    """`F# minor` → `F#m`, as INITIALKEY and TKEY want it."""
    tonic, _, mode = key.partition(" ")
    return tonic + ("m" if mode == "minor" else "")


def flac_tagged(content: bytes, data: MusicalData) -> bytes:
    """A FLAC file with its Vorbis comment replaced."""
    vendor = data.software.encode("utf-8")
    comments = [f"{name}={value}".encode() for name, value in tag_values(data).items()]
    block = struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", len(comments))
    block += b"".join(struct.pack("<I", len(comment)) + comment for comment in comments)
    blocks, end = _flac_blocks(content)
    kept = [(kind, payload) for kind, payload in blocks if kind not in (VORBIS_COMMENT, PADDING)]
    kept.insert(1, (VORBIS_COMMENT, block))
    head = b"fLaC"
    for i, (kind, payload) in enumerate(kept):
        last = 0x80 if i == len(kept) - 1 else 0
        head += bytes([kind | last]) + len(payload).to_bytes(3, "big") + payload
    return head + content[end:]


def _flac_blocks(content: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """The metadata blocks and where the audio begins."""
    blocks, at = [], 4
    while at + 4 <= len(content):
        head, size = content[at], int.from_bytes(content[at + 1 : at + 4], "big")
        blocks.append((head & 0x7F, content[at + 4 : at + 4 + size]))
        at += 4 + size
        if head & 0x80:
            break
    return blocks, at


def id3_tag(data: MusicalData) -> bytes:
    """An ID3v2.4 tag: title, tempo (whole, as TBPM must be, and exact), key, comment, the rest as TXXX."""
    values = tag_values(data)
    frames = _frame(b"TIT2", values.pop("TITLE", ""))
    frames += _frame(b"TBPM", str(round(data.bpm)) if data.bpm else "") + _frame(
        b"TKEY", values.get("INITIALKEY", "")
    )
    frames += _frame(b"TDRC", values.pop("DATE", "")) + _frame(b"TSSE", values.pop("ENCODER", ""))
    if comment := values.pop("COMMENT", ""):
        body = bytes([UTF_8]) + b"eng\0" + comment.encode("utf-8")
        frames += b"COMM" + _safe_size(len(body)) + b"\0\0" + body
    for name, value in values.items():
        body = bytes([UTF_8]) + name.encode() + b"\0" + value.encode("utf-8")
        frames += b"TXXX" + _safe_size(len(body)) + b"\0\0" + body
    return b"ID3\x04\0\0" + _safe_size(len(frames)) + frames


def _frame(name: bytes, text: str) -> bytes:
    if not text:
        return b""
    body = bytes([UTF_8]) + text.encode("utf-8")
    return name + _safe_size(len(body)) + b"\0\0" + body


def _safe_size(size: int) -> bytes:
    return bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))


def fields_of_file(path: Path) -> Iterator[tuple[str, str]]:
    """Names and values of a FLAC, OGG or MP3 file's tags. Raises TagError for broken ones, OSError."""
    with path.open("rb") as stream:
        offset = after_id3(stream)
        stream.seek(0)
        if offset:
            yield from fields_of_id3(stream.read(min(offset, MAX_TAG_BYTES)))
        stream.seek(offset)
        magic = stream.read(4)
        if magic in (b"fLaC", b"OggS"):
            stream.seek(offset)
            yield from _fields(io.BytesIO(stream.read(MAX_TAG_BYTES)) if offset else stream)
        elif magic[:1] == b"\xff":
            yield from _ape_fields(stream)
            if stream.seek(0, 2) >= offset + ID3V1_BYTES:
                stream.seek(-ID3V1_BYTES, 2)
                last = stream.read()
                if last[:3] == b"TAG":
                    yield from _fields(io.BytesIO(magic + last))


def _ape_fields(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    """Names and texts of an APE tag at the end of an MP3, also in front of an ID3v1 tag."""
    size = stream.seek(0, 2)
    for end in (size, size - ID3V1_BYTES):
        stream.seek(max(0, end - APE_FOOTER_BYTES))
        footer = stream.read(APE_FOOTER_BYTES)
        if footer[:8] != b"APETAGEX" or len(footer) < APE_FOOTER_BYTES:
            continue
        length = int.from_bytes(footer[12:16], "little")
        if not APE_FOOTER_BYTES <= length <= min(end, MAX_TAG_BYTES):
            raise TagError("its APE tag has a wrong length")
        stream.seek(end - length)
        yield from _ape_items(stream.read(length - APE_FOOTER_BYTES))
        return


def _ape_items(content: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at + 8 < len(content):
        size, flags = struct.unpack_from("<II", content, at)
        name, _, _ = content[at + 8 : at + 8 + APE_NAME_CHARS].partition(b"\0")
        at += 8 + len(name) + 1
        if flags >> 1 & 3 == APE_TEXT:
            for text in content[at : at + size].split(b"\0"):
                yield name.decode("latin-1"), text.decode("utf-8", "replace")
        at += size


def fields_of_id3(tag: bytes) -> Iterator[tuple[str, str]]:
    """Names and values of an ID3v2 tag of whatever kind."""
    plain = plain_id3(tag)
    if plain:
        yield from _fields(io.BytesIO(plain))


class TagError(Exception):
    """Tags that are broken."""


def _fields(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    from tinytag import TinyTag, TinyTagException

    try:
        found = TinyTag.get(file_obj=stream, duration=False).as_dict()
    except TinyTagException as error:
        raise TagError(str(error)) from error
    for name, values in found.items():
        if isinstance(values, list):
            yield from ((name, value) for value in values)


def read_basc(content: bytes) -> dict[str, str]:
    """Apple's basc chunk. Raises struct.error where it is too short."""
    _, beats, root, scale, top, bottom, loop = struct.unpack_from(">IIHHHHH", content)
    modes = {1: "minor", 2: "major"}
    return {
        "beats": str(beats),
        "root_note": str(root) if scale in modes else "",
        "scale": modes.get(scale, ""),
        "signature": f"{top}/{bottom}",
        "loop": str(bool(loop)).lower(),
    }

"""Tags of FLAC, MP3 and AIFF files: title, tempo, key and what else a DJ program or DAW looks for.

Writes Vorbis comments and ID3v2.4; reads both and Apple's basc chunk. Knows byte layouts only.
"""

import struct
from pathlib import Path

from acestep.riff import MusicalData

VORBIS_COMMENT, PADDING = 4, 1
MAX_TAG_BYTES = 1 << 20
UTF_8 = 3


def tag_values(data: MusicalData) -> dict[str, str]:
    """Names and values as Vorbis comments spell them."""
    values = {
        "TITLE": data.title,
        "BPM": f"{data.bpm:.10g}",
        "INITIALKEY": short_key(data.key),
        "TIME_SIGNATURE": f"{data.numerator}/{data.denominator}",
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
    frames += _frame(b"TBPM", str(round(data.bpm))) + _frame(b"TKEY", values.get("INITIALKEY", ""))
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


def _plain_size(four: bytes) -> int:
    return sum((byte & 0x7F) << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=True))


def read_tags(path: str | Path) -> dict[str, str]:
    """Tags of a FLAC or MP3 file and the basc chunk of an AIFF file; {} for others and for broken ones."""
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(MAX_TAG_BYTES)
        if content[:4] == b"fLaC":
            return _read_flac(content)
        if content[:3] == b"ID3":
            return _read_id3(content)
        if content[:4] == b"FORM":
            return _read_basc(content)
    except (OSError, struct.error, IndexError, ValueError):
        pass
    return {}


def _read_flac(content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, block in _flac_blocks(content)[0]:
        if kind != VORBIS_COMMENT:
            continue
        at = 4 + struct.unpack_from("<I", block)[0]
        count = struct.unpack_from("<I", block, at)[0]
        at += 4
        for _ in range(min(count, 1000)):
            size = struct.unpack_from("<I", block, at)[0]
            name, _, value = block[at + 4 : at + 4 + size].decode("utf-8", "replace").partition("=")
            found[name.upper()] = value
            at += 4 + size
    return found


def _read_id3(content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at, end = 10, min(len(content), 10 + _plain_size(content[6:10]))
    while at + 10 <= end and content[at] != 0:
        name = content[at : at + 4].decode("latin-1")
        size = (
            _plain_size(content[at + 4 : at + 8])
            if content[3] == 4
            else int.from_bytes(content[at + 4 : at + 8], "big")
        )
        body = content[at + 10 : at + 10 + size]
        if name == "TXXX" and body[:1] == bytes([UTF_8]):
            name, _, value = body[1:].decode("utf-8", "replace").partition("\0")
            found[name] = value
        elif name.startswith("T") and body[:1] == bytes([UTF_8]):
            found[name] = body[1:].decode("utf-8", "replace")
        at += 10 + size
    return found


def _read_basc(content: bytes) -> dict[str, str]:
    at = 12
    while at + 8 <= len(content):
        name, size = content[at : at + 4], struct.unpack_from(">I", content, at + 4)[0]
        if name == b"basc":
            _, beats, root, scale, top, bottom, loop = struct.unpack_from(">IIHHHHH", content, at + 8)
            modes = {1: "minor", 2: "major"}
            return {
                "beats": str(beats),
                "root_note": str(root) if scale in modes else "",
                "scale": modes.get(scale, ""),
                "signature": f"{top}/{bottom}",
                "loop": str(bool(loop)).lower(),
            }
        at += 8 + size + size % 2
    return {}

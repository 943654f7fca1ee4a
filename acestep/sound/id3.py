"""ID3v2 tags of every kind, turned into the plain kind that tinytag can read.

Taggers also write unsynchronised tags and frames, extended headers, compressed frames, and version 2.4 frames
with lengths of version 2.3 (iTunes). These are undone here.
"""

import zlib

UNSYNCHRONISED, EXTENDED = 0x80, 0x40  # flags of a tag
MAX_FRAME_BYTES = 1 << 20  # of text; what is larger is a picture
WANTED = (b"T", b"C")  # text frames and comments


def plain_id3(tag: bytes) -> bytes:
    """The same text frames and comments in a tag without flags and without pictures.

    Returns b"" if the bytes are not a tag, and what can be read of a broken one.
    """
    if len(tag) < 10 or tag[:3] != b"ID3" or tag[3] not in (2, 3, 4):
        return b""
    version, flags = tag[3], tag[5]
    body = tag[10 : 10 + _syncsafe(tag[6:10])]
    if flags & UNSYNCHRONISED and version < 4:
        body = body.replace(b"\xff\x00", b"\xff")
    at = 0
    if flags & EXTENDED and version == 3 and len(body) >= 4:
        at = 4 + int.from_bytes(body[:4], "big")
    elif flags & EXTENDED and version == 4:
        at = _syncsafe(body[:4])
    frames = b"".join(_frames(body[at:], version, bool(flags & UNSYNCHRONISED)))
    return b"ID3" + bytes((version, 0, 0)) + _as_syncsafe(len(frames) + 10) + frames + bytes(10)


def _frames(body: bytes, version: int, unsynchronised: bool) -> list[bytes]:
    """The frames that are wanted, each with a plain header."""
    name_size, header_size = (3, 6) if version == 2 else (4, 10)
    found, at = [], 0
    while at + header_size <= len(body) and _is_name(body[at : at + name_size]):
        name = body[at : at + name_size]
        size = _frame_size(body, at, version)
        start = at + header_size
        flags = 0 if version == 2 else int.from_bytes(body[at + 8 : at + 10], "big")
        content = body[start : start + size]
        at = start + size
        if not name.startswith(WANTED) or size > MAX_FRAME_BYTES:
            continue
        opened = _opened(content, flags, version, unsynchronised)
        if opened:
            length = _as_syncsafe(len(opened)) if version == 4 else len(opened).to_bytes(name_size, "big")
            found.append(name + length + (b"" if version == 2 else b"\0\0") + opened)
    return found


def _frame_size(body: bytes, at: int, version: int) -> int:
    if version == 2:
        return int.from_bytes(body[at + 3 : at + 6], "big")
    plain = int.from_bytes(body[at + 4 : at + 8], "big")
    if version == 3:
        return plain
    size = _syncsafe(body[at + 4 : at + 8])
    if plain == size or _is_end_or_frame(body, at + 10 + size):
        return size
    return plain if _is_end_or_frame(body, at + 10 + plain) else size


def _is_end_or_frame(body: bytes, at: int) -> bool:
    name = body[at : at + 4]
    return at == len(body) or (at < len(body) and (not any(name) or (len(name) == 4 and _is_name(name))))


def _is_name(name: bytes) -> bool:
    return name.isalnum() and name.isupper()


def _opened(content: bytes, flags: int, version: int, unsynchronised: bool) -> bytes:
    """A frame's content with the changes undone that its flags name; b"" if it is encrypted or broken."""
    if version == 3:
        encrypted, packed, grouped, counted, doubled = flags & 0x40, flags & 0x80, flags & 0x20, 0, False
        counted = packed
    else:
        encrypted, packed, grouped, counted = flags & 0x04, flags & 0x08, flags & 0x40, flags & 0x01
        doubled = version == 4 and (bool(flags & 0x02) or unsynchronised)
    if encrypted:
        return b""
    if doubled:
        content = content.replace(b"\xff\x00", b"\xff")
    content = content[(1 if grouped else 0) + (4 if counted else 0) :]
    if packed:
        try:
            return zlib.decompressobj().decompress(content, MAX_FRAME_BYTES)
        except zlib.error:
            return b""
    return content


def _syncsafe(four: bytes) -> int:
    value = 0
    for byte in four:
        value = value << 7 | (byte & 0x7F)
    return value


def _as_syncsafe(size: int) -> bytes:
    return bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))

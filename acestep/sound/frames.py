"""How many samples an MP3 or FLAC stream really holds, counted by its frames; where OGG streams lie.

Encoders that write to a pipe cannot write the length, and cutting or joining files leaves the old one. Frame
headers (ISO 11172-3, RFC 9639), pages (RFC 3533) and the length in a Xing or VBRI frame are read; nothing is
decoded.
"""

import mmap
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from acestep.sound.chunks import after_id3

FLAC_TAIL_BYTES = 1 << 20  # more than a frame of eight channels of 65,535 samples of 24 bits rarely has
FIRST_FRAME_WITHIN = 1 << 16  # of rubbish in front of an MP3
RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_V1 = {
    3: (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_V2 = {
    3: (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    1: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
OGG_HEAD_BYTES = 27  # of a page, before its table of lengths
OGG_BEGINS = 2  # a flag of pages
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_KEPT = 0xFFFE_0C00  # bits of a header that all frames of a stream share: sync, version, layer, rate


@dataclass(frozen=True)
class MpegFrame:
    """What a frame's four bytes say."""

    length: int  # in bytes
    samples: int
    side_bytes: int  # where a Xing tag would be


@dataclass(frozen=True)
class MpegStream:
    """An MP3 counted to its end. `tag` is its Xing, Info or VBRI frame with its own counts, if it has one."""

    first: int  # byte of the first frame with sound
    frames: int
    end: int  # byte behind the last whole frame
    tag: bytes = b""
    tag_frames: int | None = None
    tag_bytes: int | None = None
    head: bytes = b""  # four bytes of the first frame


def read_mpeg(path: Path) -> MpegStream | None:
    """Walks through the frames of an MP3; None where there is no stream of known frame lengths."""
    with path.open("rb") as stream:
        offset = after_id3(stream)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _walk_mpeg(data, _next_frame(data, offset, None, offset + FIRST_FRAME_WITHIN))


def _walk_mpeg(data: mmap.mmap, at: int) -> MpegStream | None:
    if at < 0:
        return None
    kept = _word(data, at) & _KEPT
    begin = mpeg_frame(data, at)
    assert begin is not None
    tag = data[at : at + begin.length]
    tag_frames, tag_bytes, is_tag = _xing(tag, begin)
    first = at + begin.length if is_tag else at
    at, count, end = first, 0, first
    while 0 <= at < len(data):
        frame = mpeg_frame(data, at) if at + 4 <= len(data) and _word(data, at) & _KEPT == kept else None
        if frame is None:
            if data[at : at + 8].startswith((b"TAG", b"APETAGEX")):
                break
            at = _next_frame(data, at + 1, kept)
            continue
        if at + frame.length > len(data):
            break
        count, at = count + 1, at + frame.length
        end = at
    head = data[first : first + 4] if count else b""
    return MpegStream(first, count, end, tag if is_tag else b"", tag_frames, tag_bytes, head)


def _word(data: bytes | bytearray | mmap.mmap, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def mpeg_frame(data: bytes | bytearray | mmap.mmap, at: int) -> MpegFrame | None:
    """The frame at a place; None where there is none, or one of free format."""
    word = _word(data, at)
    if word >> 21 != 0x7FF:
        return None
    version, layer = word >> 19 & 3, word >> 17 & 3  # 3, 2, 0: MPEG 1, 2, 2.5; 3, 2, 1: layers I, II, III
    rate, bits = word >> 10 & 3, word >> 12 & 15
    if version == 1 or layer == 0 or rate == 3 or bits in (0, 15):
        return None
    rate_hz = RATES_HZ[version][rate]
    bits_s = (_V1 if version == 3 else _V2)[layer][bits] * 1000
    padding = word >> 9 & 1
    if layer == 3:
        return MpegFrame((12 * bits_s // rate_hz + padding) * 4, 384, 4)
    samples = 576 if layer == 1 and version != 3 else 1152
    mono = word >> 6 & 3 == 3
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return MpegFrame(samples // 8 * bits_s // rate_hz + padding, samples, 4 + side)


def _next_frame(data: mmap.mmap, at: int, kept: int | None, until: int | None = None) -> int:
    """The next place where a frame begins that another of its kind follows; -1 where none does."""
    end = len(data) - 4 if until is None else min(until, len(data) - 4)
    while 0 <= (at := data.find(b"\xff", at)) < end:
        frame = mpeg_frame(data, at)
        shared = _word(data, at) & _KEPT
        if frame is not None and frame.length and kept in (None, shared):
            following = at + frame.length
            if following + 4 > len(data) or _word(data, following) & _KEPT == shared:
                return at
        at += 1
    return -1


def _xing(tag: bytes, frame: MpegFrame) -> tuple[int | None, int | None, bool]:
    """Frames and bytes that the first frame names, and whether it is such a frame at all."""
    if tag[36:40] == b"VBRI":
        return _word(tag, 50), _word(tag, 46), True
    at = frame.side_bytes
    if tag[at : at + 4] not in (b"Xing", b"Info"):
        return None, None, False
    flags, at = _word(tag, at + 4), at + 8
    frames = _word(tag, at) if flags & 1 else None
    return frames, _word(tag, at + 4 * (flags & 1)) if flags & 2 else None, True


def mpeg_tag(stream: MpegStream) -> bytes:
    """A Xing frame with the true numbers: the file's own, corrected, or a plain one."""
    byte_count = stream.end - stream.first
    own = bytearray(stream.tag)
    plain = mpeg_frame(own or stream.head, 0)
    assert plain is not None
    at = plain.side_bytes
    if bytes(own[at : at + 4]) in (b"Xing", b"Info") and _word(own, at + 4) & 3 == 3:
        own[at + 8 : at + 12] = stream.frames.to_bytes(4, "big")
        own[at + 12 : at + 16] = (byte_count + len(own)).to_bytes(4, "big")
        return bytes(own)
    head = bytearray(stream.head)
    for bits in range(9, 15):  # of a bit rate whose frames hold the tag
        head[1] |= 1  # without a checksum
        head[2] = head[2] & 0x0D | bits << 4
        frame = mpeg_frame(bytes(head), 0)
        if frame is not None and frame.length >= frame.side_bytes + 16:
            break
    assert frame is not None
    numbers = stream.frames.to_bytes(4, "big") + (byte_count + frame.length).to_bytes(4, "big")
    tag = bytes(head) + bytes(frame.side_bytes - 4) + b"Xing\0\0\0\3" + numbers
    return tag.ljust(frame.length, b"\0")


@dataclass(frozen=True)
class FlacStream:
    """What STREAMINFO says and what the frames show, in samples; `found` is None where there is no frame."""

    offset: int  # of `fLaC`
    info: bytes  # the 34 bytes of STREAMINFO
    declared: int
    found: int | None  # up to the end of the last whole frame
    end: int  # byte behind it; less than the file's size where the file ends within a frame
    mask: int | None  # loudspeakers, where a comment names them


def read_flac(path: Path) -> FlacStream | None:
    """The length of a FLAC stream, as declared and as found; None for what is not FLAC."""
    with path.open("rb") as stream:
        offset = after_id3(stream)
        stream.seek(offset)
        head = stream.read(42)
        if len(head) < 42 or head[:4] != b"fLaC" or head[4] & 0x7F != 0:
            return None
        info = head[8:42]
        declared = int.from_bytes(info[13:18], "big") & 0xF_FFFF_FFFF
        mask, begin = _flac_metadata(stream, offset + 4)
        size = stream.seek(0, 2)
        tail_from = max(begin, size - FLAC_TAIL_BYTES)
        stream.seek(tail_from)
        found, end = _last_flac_frame(stream.read(), info)
        return FlacStream(offset, info, declared, found, tail_from + end, mask)


def _flac_metadata(stream: BinaryIO, at: int) -> tuple[int | None, int]:
    """The channel mask that a Vorbis comment may name, and where the frames begin."""
    mask = None
    while True:
        stream.seek(at)
        head = stream.read(4)
        if len(head) < 4:
            return mask, at
        size = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == 4:
            comments = stream.read(size)
            _, found, value = comments.upper().partition(b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0X")
            if found:
                digits = value[:8].split(b"\0")[0]
                hexadecimal = "".join(c for c in digits.decode("latin-1") if c in "0123456789ABCDEF")
                mask = int(hexadecimal or "0", 16) or None
        at += 4 + size
        if head[0] & 0x80:
            return mask, at


def _last_flac_frame(data: bytes, info: bytes) -> tuple[int | None, int]:
    """The number of samples up to the end of the last whole frame, and the place behind that frame."""
    block = int.from_bytes(info[0:2], "big")
    at = end = len(data)
    if data[-128:-125] == b"TAG":  # ID3v1 behind it
        at = end = end - 128
    while (at := data.rfind(b"\xff", 0, at)) >= 0:
        place = _flac_frame_place(data[at : at + 16], block, info)
        if place is None:
            continue
        first, samples = place
        if _crc16(data[at : end - 2]) == int.from_bytes(data[end - 2 : end], "big"):
            return first + samples, end
        return (first, at) if first else (None, at)
    return None, 0


def _flac_frame_place(head: bytes, block: int, info: bytes) -> tuple[int, int] | None:
    """First sample and samples of a frame, by its header of at most 16 bytes; None where it is none."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    code, rate = head[2] >> 4, head[2] & 15
    channels = (info[12] >> 1 & 7) + 1
    told = head[3] >> 4
    if code == 0 or rate == 15 or told > 10 or (told + 1 if told < 8 else 2) != channels:
        return None
    ones = 8 - (~head[4] & 0xFF).bit_length()  # a number written as UTF-8 writes a character
    if ones in (1, 8):
        return None
    count = max(1, ones)
    number = head[4] & (0x7F >> ones if ones else 0x7F)
    for byte in head[5 : 4 + count]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 0x3F
    at = 4 + count
    if code in (6, 7):
        samples = int.from_bytes(head[at : at + code - 5], "big") + 1
        at += code - 5
    else:
        samples = 192 if code == 1 else 576 << code - 2 if code <= 5 else 256 << code - 8
    at += {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if at >= len(head) or _crc(head[:at], 8, 0x07) != head[at]:
        return None
    return (number if head[1] & 1 else number * block), samples


def _crc16(data: bytes) -> int:
    return _crc(data, 16, 0x8005)


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    value, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
    return value


@dataclass(frozen=True)
class OggStream:
    """One of the streams that are joined in a file: its bytes up to its last whole page.

    `sounds` says whether any of its pages ends a piece of sound.
    """

    start: int
    end: int
    sounds: bool


@dataclass(frozen=True)
class OggFile:
    """The streams in a file, one after the other; how many pages they have, and how many of these are
    damaged.
    """

    streams: tuple[OggStream, ...]
    cut_off: bool  # inside a page
    pages: int
    damaged: int


def read_ogg(path: Path) -> OggFile:
    """Walks through the pages of an OGG file."""
    streams: list[OggStream] = []
    headers = cut_off = False  # headers: the page before begins a stream; those of one piece lie together
    pages = damaged = at = 0
    with path.open("rb") as stream:
        while head := stream.read(OGG_HEAD_BYTES):
            if head[:4] != b"OggS"[: len(head)]:
                break  # tags, or what else somebody put behind
            table = stream.read(head[26]) if len(head) == OGG_HEAD_BYTES else b""
            body = stream.read(sum(table))
            if len(head) < OGG_HEAD_BYTES or len(table) < head[26] or len(body) < sum(table):
                cut_off = True
                break
            end = at + OGG_HEAD_BYTES + len(table) + len(body)
            begins = bool(head[5] & OGG_BEGINS)
            if not streams or (begins and not headers):
                streams.append(OggStream(at, end, False))
            ended = int.from_bytes(head[6:14], "little", signed=True) > 0
            streams[-1] = OggStream(streams[-1].start, end, streams[-1].sounds or ended)
            pages += 1
            damaged += _ogg_crc(head[:22] + bytes(4) + head[26:] + table + body) != head[22:26]
            headers, at = begins, end
    return OggFile(tuple(streams), cut_off, pages, damaged)


def _ogg_crc(page: bytes) -> bytes:
    """The checksum of a page. It is zlib's with the bits of every byte the other way round."""
    turned = zlib.crc32(page.translate(_TURNED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return turned.to_bytes(4, "big").translate(_TURNED)

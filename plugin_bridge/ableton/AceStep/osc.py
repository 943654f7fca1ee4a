"""OSC 1.0 messages to bytes and back, as far as the daemon and controllers use them.

Types: i f s T F h d b m (read), i f s T F (written); bundles are read,
their time is ignored: what arrives is meant now.
"""

from __future__ import annotations

import struct
from typing import Any, Tuple

MAX_BYTES = 8192  # the daemon takes no more
_MAX_DEPTH = 4  # bundles within bundles

Message = Tuple[str, Tuple[Any, ...]]


class OscError(ValueError):
    """Bytes that are not OSC, or a value that OSC has no type for."""


def encode(address: str, *args: Any) -> bytes:
    """One message. Raises OscError for a value without a type, or more than MAX_BYTES."""
    if not address.startswith("/"):
        raise OscError(f"address {address!r} does not begin with /")
    tags, data = [","], []
    for value in args:
        tag, packed = _pack(value)
        tags.append(tag)
        data.append(packed)
    packet = _string(address) + _string("".join(tags)) + b"".join(data)
    if len(packet) > MAX_BYTES:
        raise OscError(f"{address} has {len(packet)} bytes: at most {MAX_BYTES} go")
    return packet


def _pack(value: Any) -> tuple[str, bytes]:
    if value is True:
        return "T", b""
    if value is False:
        return "F", b""
    if isinstance(value, int):
        if not -(2**31) <= value < 2**31:
            return "h", struct.pack(">q", value)
        return "i", struct.pack(">i", value)
    if isinstance(value, float):
        return "f", struct.pack(">f", value)
    if isinstance(value, str):
        return "s", _string(value)
    raise OscError(f"a {type(value).__name__} has no OSC type here")


def _string(text: str) -> bytes:
    raw = text.encode("utf-8")
    if b"\0" in raw:
        raise OscError(f"text with a zero byte: {text!r}")
    return raw + b"\0" * (4 - len(raw) % 4)


def decode(packet: bytes, depth: int = 0) -> list[Message]:
    """The messages of a packet, in order. Raises OscError for anything that is none."""
    if len(packet) > MAX_BYTES:
        raise OscError(f"{len(packet)} bytes: at most {MAX_BYTES} are read")
    if packet.startswith(b"#bundle\0"):
        return _bundle(packet, depth)
    try:
        return [_message(packet)]
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise OscError(f"no OSC message: {error}") from error


def _bundle(packet: bytes, depth: int) -> list[Message]:
    if depth >= _MAX_DEPTH or len(packet) < 16:
        raise OscError("a bundle that is too deep or too short")
    found: list[Message] = []
    at = 16
    while at < len(packet):
        if at + 4 > len(packet):
            raise OscError("a bundle that breaks off")
        (size,) = struct.unpack_from(">i", packet, at)
        at += 4
        if size <= 0 or size % 4 or at + size > len(packet):
            raise OscError(f"a bundle with an element of {size} bytes")
        found.extend(decode(packet[at : at + size], depth + 1))
        at += size
    return found


def _message(packet: bytes) -> Message:
    address, at = _read_string(packet, 0)
    if not address.startswith("/"):
        raise OscError(f"address {address[:40]!r} does not begin with /")
    if at >= len(packet):
        return address, ()  # very old senders leave the type tags out when there is nothing to tag
    tags, at = _read_string(packet, at)
    if not tags.startswith(","):
        raise OscError(f"type tags {tags[:40]!r} do not begin with a comma")
    values = []
    for tag in tags[1:]:
        value, at = _unpack(tag, packet, at)
        values.append(value)
    if at != len(packet):
        raise OscError(f"{len(packet) - at} bytes after the last value")
    return address, tuple(values)


def _unpack(tag: str, packet: bytes, at: int) -> tuple[Any, int]:
    if tag == "i":
        return struct.unpack_from(">i", packet, at)[0], at + 4
    if tag == "f":
        return struct.unpack_from(">f", packet, at)[0], at + 4
    if tag == "s" or tag == "S":
        return _read_string(packet, at)
    if tag == "T" or tag == "F":
        return tag == "T", at
    if tag == "N":
        return None, at
    if tag == "h":
        return struct.unpack_from(">q", packet, at)[0], at + 8
    if tag == "d":
        return struct.unpack_from(">d", packet, at)[0], at + 8
    if tag == "m":
        return struct.unpack_from("4s", packet, at)[0], at + 4
    if tag == "b":
        (size,) = struct.unpack_from(">i", packet, at)
        end = at + 4 + size
        if size < 0 or end > len(packet):
            raise OscError(f"a blob of {size} bytes that is not there")
        return packet[at + 4 : end], end + -size % 4
    raise OscError(f"type tag {tag!r} is not known")


def _read_string(packet: bytes, at: int) -> tuple[str, int]:
    end = packet.find(b"\0", at)
    if end < 0:
        raise OscError("text that does not end")
    after = end + 4 - (end - at) % 4
    if after > len(packet):
        raise OscError("text without its padding")
    return packet[at:end].decode("utf-8"), after

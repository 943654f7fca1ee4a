"""OSC packets to messages and back, strictly: what is not whole and right is refused with a reason.

Reading is our own because python-osc's parser fills up missing bytes and skips types it does not know;
writing is python-osc's.
"""

import math
import struct
from dataclasses import dataclass
from typing import TypeAlias

from pythonosc.osc_message_builder import OscMessageBuilder

from acestep.errors import InvalidRequest

MAX_MESSAGE_BYTES = 8_192
MAX_BUNDLE_DEPTH = 8
_BUNDLE = b"#bundle\0"
_BUNDLE_HEAD_BYTES = 16  # "#bundle" and a time tag; we act at once whatever it says
_NUMBERS = {"i": ">i", "f": ">f", "h": ">q", "d": ">d"}
_CONSTANTS = {"T": True, "F": False, "N": None, "I": float("inf")}
TYPES = "i, f or s"
_MAX_FLOAT = 3.4028234663852886e38  # the largest of 32 bits


Value: TypeAlias = int | float | str | bytes | bool | None


@dataclass(frozen=True)
class Message:
    """An address and its values."""

    address: str
    values: tuple[Value, ...]


def parse(datagram: bytes) -> list[Message]:
    """The messages in a packet, bundles unpacked in order; raises InvalidRequest for what is not OSC."""
    if len(datagram) > MAX_MESSAGE_BYTES:
        raise InvalidRequest(
            f"the packet has {len(datagram)} bytes: expected at most {MAX_MESSAGE_BYTES}; send more by gRPC"
        )
    if not datagram.startswith((b"/", _BUNDLE)):
        raise InvalidRequest("the packet is not OSC: expected an address such as /acestep/ping")
    try:
        return _unpacked(datagram, 0)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise InvalidRequest("the packet is broken: expected a whole OSC 1.0 message or bundle") from None


def _unpacked(packet: bytes, depth: int) -> list[Message]:
    if not packet.startswith(_BUNDLE):
        return [_message(packet)]
    if depth > MAX_BUNDLE_DEPTH:
        raise InvalidRequest(f"bundles are nested deeper than {MAX_BUNDLE_DEPTH}")
    messages: list[Message] = []
    at = _BUNDLE_HEAD_BYTES
    if len(packet) < at:
        raise IndexError
    while at < len(packet):
        (size,) = struct.unpack_from(">i", packet, at)
        at += 4
        if size <= 0 or at + size > len(packet):
            raise IndexError
        messages += _unpacked(packet[at : at + size], depth + 1)
        at += size
    return messages


def _message(packet: bytes) -> Message:
    address, at = _text(packet, 0)
    if not address.startswith("/"):
        raise InvalidRequest(f"{address[:40]!r} is not an OSC address: expected one such as /acestep/ping")
    if at == len(packet):  # old senders leave the types out where there are no values
        return Message(address, ())
    tags, at = _text(packet, at)
    if not tags.startswith(","):
        raise IndexError
    values: list[Value] = []
    for tag in tags[1:]:
        if tag in _NUMBERS:
            values.append(struct.unpack_from(_NUMBERS[tag], packet, at)[0])
            at += struct.calcsize(_NUMBERS[tag])
        elif tag in ("s", "S"):  # a symbol, as Max writes it, is text
            text, at = _text(packet, at, any_encoding=True)
            values.append(text)
        elif tag == "b":
            (size,) = struct.unpack_from(">i", packet, at)
            if size < 0 or at + 4 + size > len(packet):
                raise IndexError
            values.append(packet[at + 4 : at + 4 + size])
            at += 4 + size + -size % 4
        elif tag in _CONSTANTS:
            values.append(_CONSTANTS[tag])
        else:
            raise InvalidRequest(f"{address[:80]} has a value of type {tag!r}: expected {TYPES}")
    if at != len(packet):
        raise IndexError
    return Message(address, tuple(values))


def _text(packet: bytes, at: int, any_encoding: bool = False) -> tuple[str, int]:
    """The zero-terminated text at `at`, and where what follows begins (the next multiple of four).

    With `any_encoding` what is not UTF-8 is read as Windows and old fader apps write it.
    """
    end = packet.find(b"\0", at)
    after = end + 4 - (end - at) % 4
    if end < 0 or after > len(packet):
        raise IndexError
    try:
        return packet[at:end].decode("utf-8"), after
    except UnicodeDecodeError:
        if not any_encoding:
            raise
        return packet[at:end].decode("cp1252", "replace"), after


def encode(address: str, *values: str | float | int) -> bytes:
    """A message with the types of the Python values: s, f, i."""
    builder = OscMessageBuilder(address)
    for value in values:
        kind = "s" if isinstance(value, str) else "f" if isinstance(value, float) else "i"
        builder.add_arg(_plain(value), kind)
    return builder.build().dgram


def _plain(value: str | float | int) -> str | float | int:
    """What OSC can carry: numbers of 32 bits; no zero in texts, and a question mark for bytes
    of file names that are not UTF-8."""
    if isinstance(value, float):
        return value if abs(value) <= _MAX_FLOAT or value != value else math.copysign(math.inf, value)
    if isinstance(value, int):
        return max(-(2**31), min(2**31 - 1, value))
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")

"""OSC packets to messages and back, strictly: what is not whole and right is refused with a reason.

Uses python-osc for the bytes; knows nothing of addresses or sockets.
"""

import struct

from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle import ParseError as BundleError
from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_message_builder import OscMessageBuilder

from acestep.errors import InvalidRequest

MAX_MESSAGE_BYTES = 8_192
MAX_BUNDLE_DEPTH = 8
_BROKEN = (ParseError, BundleError, UnicodeDecodeError, ValueError, IndexError, struct.error, RecursionError)
_KNOWN_TYPES = set("ifsbhdtrmTFN[]")


def parse(datagram: bytes) -> list[OscMessage]:
    """The messages in a packet, bundles unpacked; raises InvalidRequest for what is not OSC."""
    if len(datagram) > MAX_MESSAGE_BYTES:
        raise InvalidRequest(
            f"the packet has {len(datagram)} bytes: expected at most {MAX_MESSAGE_BYTES}; send more by gRPC"
        )
    try:
        if OscBundle.dgram_is_bundle(datagram):
            return _unpacked(OscBundle(datagram), 0)
        if not OscMessage.dgram_is_message(datagram):
            raise InvalidRequest("the packet is not OSC: expected an address such as /acestep/ping")
        return [_checked(OscMessage(datagram))]
    except _BROKEN as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest("the packet is broken: expected an OSC 1.0 message or bundle") from None


def _unpacked(bundle: OscBundle, depth: int) -> list[OscMessage]:
    if depth > MAX_BUNDLE_DEPTH:
        raise InvalidRequest(f"bundles are nested deeper than {MAX_BUNDLE_DEPTH}")
    messages: list[OscMessage] = []
    for content in bundle:
        inner = _unpacked(content, depth + 1) if isinstance(content, OscBundle) else [_checked(content)]
        messages.extend(inner)
    return messages


def _checked(message: OscMessage) -> OscMessage:
    """python-osc passes over types it does not know, which would shift all values behind them."""
    dgram = message.dgram
    comma = dgram.find(b"\0,")
    tags = dgram[comma + 2 : dgram.find(b"\0", comma + 2)].decode("ascii", "replace") if comma >= 0 else ""
    if set(tags) - _KNOWN_TYPES:
        raise InvalidRequest(f"{message.address[:80]} has values of types {tags[:20]!r}: expected i, f or s")
    return message


def encode(address: str, *values: str | float | int) -> bytes:
    """A message with the types of the Python values: s, f, i."""
    builder = OscMessageBuilder(address)
    for value in values:
        kind = "s" if isinstance(value, str) else "f" if isinstance(value, float) else "i"
        builder.add_arg(value.replace("\0", "") if isinstance(value, str) else value, kind)
    return builder.build().dgram

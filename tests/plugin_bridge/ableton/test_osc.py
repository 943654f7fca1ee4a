"""The Live script's own OSC codec, against python-osc's, and against bytes that are not OSC."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from plugin_bridge.ableton.AceStep import osc

ADDRESSES = st.from_regex(r"/[a-z0-9_]{1,12}(/[a-z0-9_]{1,12}){0,3}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
VALUES = st.one_of(
    st.integers(-(2**31) + 1, 2**31 - 1),
    st.floats(width=32, allow_nan=False),
    TEXTS,
    st.booleans(),
)


def reference_packet(address: str, values: list[object]) -> bytes:
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)  # type: ignore[arg-type]
    return bytes(builder.build().dgram)


@given(ADDRESSES, st.lists(VALUES, max_size=8))
def test_it_writes_the_same_bytes_as_python_osc(address: str, values: list[object]) -> None:
    assert osc.encode(address, *values) == reference_packet(address, values)


@given(ADDRESSES, st.lists(VALUES, max_size=8))
def test_it_reads_back_what_python_osc_writes(address: str, values: list[object]) -> None:
    assert osc.decode(reference_packet(address, values)) == [(address, tuple(values))]


@given(ADDRESSES, st.lists(VALUES, max_size=8))
def test_python_osc_reads_what_it_writes(address: str, values: list[object]) -> None:
    message = OscMessage(osc.encode(address, *values))
    assert (message.address, list(message.params)) == (address, values)


def test_it_reads_every_type_a_controller_may_send() -> None:
    packet = (
        b"/a\0\0,hdbNm\0\0"
        + struct.pack(">qd", 2**40, math.pi)
        + struct.pack(">i", 5)
        + b"12345\0\0\0"
        + b"\0\x90\x3c\x7f"
    )
    assert osc.decode(packet) == [("/a", (2**40, math.pi, b"12345", None, b"\0\x90\x3c\x7f"))]


def test_a_bundle_is_its_messages_in_order() -> None:
    inner = OscBundleBuilder(IMMEDIATELY)
    inner.add_content(OscMessageBuilder("/b").build())
    outer = OscBundleBuilder(IMMEDIATELY)
    outer.add_content(OscMessageBuilder("/a").build())
    outer.add_content(inner.build())
    assert osc.decode(outer.build().dgram) == [("/a", ()), ("/b", ())]


def test_a_message_without_type_tags_has_no_values() -> None:
    assert osc.decode(b"/a/b\0\0\0\0") == [("/a/b", ())]


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused_and_never_break_it(packet: bytes) -> None:
    try:
        messages = osc.decode(packet)
    except osc.OscError:
        return
    assert all(address.startswith("/") for address, _ in messages)


@given(ADDRESSES, st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_a_message_that_breaks_off_is_refused(
    address: str, values: list[object], data: st.DataObject
) -> None:
    packet = osc.encode(address, *values)
    cut = packet[: data.draw(st.integers(0, len(packet) - 1))]
    try:
        messages = osc.decode(cut)
    except osc.OscError:
        return
    assert messages[0][1] == ()  # only an address without tags is a whole message by itself


def test_bundles_within_bundles_within_bundles_are_refused() -> None:
    packet = osc.encode("/a")
    for _ in range(6):
        packet = b"#bundle\0" + b"\0" * 7 + b"\1" + struct.pack(">i", len(packet)) + packet
    with pytest.raises(osc.OscError, match="deep"):
        osc.decode(packet)


@pytest.mark.parametrize("value", ["a\0b", "x" * 9000, b"bytes", None, [1], {"a": 1}])
def test_what_has_no_place_in_a_message_is_refused(value: object) -> None:
    with pytest.raises(osc.OscError):
        osc.encode("/a", value)


def test_an_address_needs_its_slash() -> None:
    with pytest.raises(osc.OscError):
        osc.encode("a")

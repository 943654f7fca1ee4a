"""JSON from strangers: types, bounds, and one sentence for everything that is not as expected."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep import typed_json
from acestep.errors import CheckpointError, InvalidRequest
from acestep.typed_json import Count, Fields, Name


@dataclass(frozen=True)
class Label:
    name: Name
    bpm: float
    take: Count = 0
    adapters: tuple[tuple[Name, float], ...] = ()
    key_match: bool | None = None


def label(**changes: Any) -> str:
    return json.dumps({"name": "a", "bpm": 120, **changes})


def test_whole_values_of_the_right_types_are_read() -> None:
    text = label(take=2, adapters=[["tape", 1]], unknown={"left": "out"}, key_match=None)
    read = typed_json.parse(text, Label, "a.json")
    assert read == Label("a", 120.0, 2, (("tape", 1.0),), None)
    assert isinstance(read.bpm, float)
    assert typed_json.parse(b"\xef\xbb\xbf" + text.encode(), Label, "a.json") == read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[" * 200_000, "not JSON: it is nested too deep"),
        ("[" * 100 + "]" * 100, "nested deeper than 48 levels"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested deeper than 48 levels"),
        ('{"name": "a", "bpm": NaN}', "not JSON"),
        ('{"name": "a", "bpm": 1e400}', "out of range"),
        ('{"name": "\\ud800", "bpm": 1}', "not JSON"),
        (b'{"name": "\xff", "bpm": 1}', "not JSON"),
        ("{}".encode("utf-16"), "not JSON"),
        ('{"take": ' + "9" * 6000 + "}", "out of range"),
        ("[1]", "expected an object, got a list"),
        ('{"bpm": 1}', "missing required field name"),
        (label(bpm="fast"), "bpm: expected a number, got text"),
        (label(bpm={"a": 1}), "bpm: expected a number, got an object"),
        (label(take=-1), "take: expected a whole number >= 0"),
        (label(take=2**40), "take: expected a whole number <= 4294967295"),
        (label(take=10**30), "take"),
        (label(take=True), "take: expected a whole number, got true or false"),
        (label(adapters=[["a", "b"]]), r"adapters\[0\]\[1\]: expected a number, got text"),
        (label(adapters="zz"), "adapters: expected a list, got text"),
        (label(key_match="yes"), "key_match: expected true or false or nothing, got text"),
        (label(name="x" * 1000), "name: expected text of length <= 300"),
    ],
)
def test_what_is_not_as_expected_is_refused_in_a_sentence(text: str | bytes, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        typed_json.parse(text, Label, "a.json", error=CheckpointError)
    assert str(caught.value).startswith("a.json is ")
    assert len(str(caught.value)) < 200


def test_files_are_bounded_and_only_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with pytest.raises(FileNotFoundError):
        typed_json.read(file, Fields)
    file.write_text(json.dumps({"a": "x" * 2000}))
    assert typed_json.read(file, Fields)["a"][:1] == "x"
    with pytest.raises(InvalidRequest, match="larger than 1 kB"):
        typed_json.read(file, Fields, max_bytes=1024)
    with pytest.raises(InvalidRequest, match="not a file"):
        typed_json.read(tmp_path, Fields)


@pytest.mark.skipif(os.name == "nt", reason="no named pipes in folders there")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(InvalidRequest, match="not a file"):
        typed_json.read(tmp_path / "a.json", Fields)


@given(st.one_of(st.binary(max_size=60), st.text('[]{}",:0123456789eE.-+tfn\\u ', max_size=60)))
def test_any_bytes_are_values_that_can_be_written_again_or_refused(content: bytes | str) -> None:
    try:
        values = typed_json.parse(content, Fields, "x")
    except InvalidRequest:
        return
    json.dumps(values, allow_nan=False).encode()

"""Requests: all validation in one place, and JSON that gives the same request back."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep.errors import InvalidRequest
from acestep.music.grid import DENOMINATORS, Signature
from acestep.music.key import Key
from acestep.request import FORMATS, AudioRange, GenerateRequest

requests = st.builds(
    GenerateRequest,
    prompt=st.text(min_size=1, max_size=50).filter(str.strip),
    lyrics=st.text(max_size=50),
    bpm=st.floats(60, 200),
    signature=st.builds(Signature, st.integers(2, 8), st.sampled_from(DENOMINATORS[2:4])),
    bars=st.floats(1, 16),
    key=st.none() | st.builds(Key, st.integers(0, 11), st.sampled_from(["major", "minor"])),
    seed=st.none() | st.integers(0, 2**32 - 1),
    takes=st.integers(1, 16),
    candidates=st.integers(1, 16),
    reference=st.none() | st.builds(AudioRange, st.just("/a.wav"), st.floats(0, 5), st.floats(6, 30)),
    adapters=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.floats(-4, 4)), max_size=3),
    stages=st.lists(st.sampled_from(["l", "m", "s"]), max_size=3),
    format=st.sampled_from(FORMATS),
)


@given(requests)
def test_json_gives_the_same_request_back(request):
    again = GenerateRequest.from_dict(json.loads(request.to_json()))
    assert again == request
    assert again.to_json() == request.to_json()


def test_a_tempo_map_sets_the_tempo_to_its_mean_and_survives_json():
    request = GenerateRequest(prompt="x", bpm=77, tempo_map=[(0, 100, True), (16, 120)], swing=1.5, bars=4)
    assert request.bpm == pytest.approx(20 / math.log(1.2))
    assert GenerateRequest.from_dict(json.loads(request.to_json())) == request
    longer = dataclasses.replace(request, bars=8)
    assert request.bpm < longer.bpm < 120
    with pytest.raises(InvalidRequest, match="leave the tempo map out"):
        GenerateRequest(prompt="x", task="cover", context="/a.wav", tempo_map=[(0, 100)])


def test_a_repaint_request_survives_json():
    request = GenerateRequest(prompt="x", task="repaint", context="/a.wav", repaint_s=(1, 2))
    assert GenerateRequest.from_dict(request.to_dict()) == request


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("prompt", "", "prompt is empty"),
        ("prompt", "   ", "prompt is empty"),
        ("prompt", "x" * 100_000, "100000 characters"),
        ("prompt", None, "expected text"),
        ("lyrics", "x" * 10_000, "lyrics"),
        ("bpm", 0, "tempo 0"),
        ("bpm", math.nan, "tempo nan"),
        ("bpm", 5000, "tempo 5000"),
        ("key", "H minor", "key 'H minor'"),
        ("signature", "0/4", "signature 0/4"),
        ("bars", 0, "bars 0"),
        ("bars", 10_000, "bars 10000"),
        ("takes", 0, "takes"),
        ("takes", 17, "takes"),
        ("takes", True, "takes"),
        ("candidates", 0, "candidates"),
        ("seed", -1, "seed"),
        ("seed", 2**32, "seed"),
        ("strength", 1.5, "strength"),
        ("swing", 0.5, "swing"),
        ("tempo_map", [], "at quarter 0"),
        ("tempo_map", [(0, 5000)], "tempo 5000"),
        ("tempo_map", 120, "expected points"),
        ("steps", 0, "steps"),
        ("guidance", math.inf, "guidance"),
        ("task", "dance", "task 'dance'"),
        ("task", "cover", "needs a context"),
        ("repaint_s", (1, 2), "only for task repaint"),
        ("format", "ogg", "format 'ogg'"),
        ("sample_format", "int8", "sample_format"),
        ("track", "drums", "would do nothing"),
        ("reference", 5, "audio 5"),
        ("reference", "", "audio path"),
        ("reference", "a\0b", "audio path"),
        ("adapters", [("x", 99)], "scale"),
        ("adapters", [("", 1)], "adapter"),
        ("adapters", ["a"] * 9, "at most 8"),
    ],
)
def test_what_cannot_be_is_refused_with_the_value_and_what_was_expected(setting, value, words):
    with pytest.raises(InvalidRequest, match=words.replace("(", r"\(")) as refused:
        GenerateRequest(**({"prompt": "x"} | {setting: value}))
    words_of_advice = ("expected", "needs", "only", "lora_studio list", "leave it out")
    assert any(word in str(refused.value) for word in words_of_advice)
    assert len(str(refused.value)) < 500


def test_an_empty_audio_range_and_repaint_region_are_refused():
    with pytest.raises(InvalidRequest, match="empty"):
        AudioRange("/a.wav", 5, 4)
    with pytest.raises(InvalidRequest, match="empty"):
        GenerateRequest(prompt="x", task="repaint", context="/a.wav", repaint_s=(2, 1))
    with pytest.raises(InvalidRequest, match="needs a region"):
        GenerateRequest(prompt="x", task="repaint", context="/a.wav")


@pytest.mark.parametrize("format", ["flac", "mp3"])
def test_float_samples_are_asked_for_only_where_a_file_can_hold_them(format):
    with pytest.raises(InvalidRequest, match=f"{format} files hold no float32 samples.*wav or aiff"):
        GenerateRequest(prompt="x", format=format, sample_format="float32")
    assert GenerateRequest(prompt="x", format="AIFF", sample_format="Float32").format == "aiff"


@pytest.mark.parametrize("task", ["cover", "repaint", "extract"])
def test_what_stays_aligned_takes_no_swing(task):
    region = {"repaint_s": (0, 1)} if task == "repaint" else {}
    with pytest.raises(InvalidRequest, match="leave the swing out"):
        GenerateRequest(prompt="x", task=task, context="/a.wav", swing=1.5, **region)


def test_unknown_settings_are_named():
    with pytest.raises(InvalidRequest, match="tempo"):
        GenerateRequest.from_dict({"prompt": "x", "tempo": 120})
    with pytest.raises(InvalidRequest, match="no prompt"):
        GenerateRequest.from_dict({"bpm": 120})


def test_a_seed_is_drawn_once_and_only_when_there_is_none():
    open_seed = GenerateRequest(prompt="x")
    drawn = open_seed.seeded()
    assert drawn.seed is not None
    assert drawn.seeded() is drawn
    assert dataclasses.replace(drawn, seed=None) == open_seed


def test_a_request_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GenerateRequest(prompt="x").bpm = 90  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"adapters": [["a"]]},
        {"adapters": "dusty"},
        {"adapters": [["a", 1, 2]]},
        {"adapters": [["n" * 5000, 1.0]]},
        {"adapters": [["\udcff", 1.0]]},
        {"adapters": [[{}, 1.0]]},
        {"repaint_s": [1], "task": "repaint", "context": "/x.wav"},
        {"repaint_s": "ab", "task": "repaint", "context": "/x.wav"},
        {"repaint_s": 7, "task": "repaint", "context": "/x.wav"},
        {"bars": 10**400},
        {"bpm": -(10**400)},
        {"strength": 10**400},
        {"tempo_map": [[0, 10**400]]},
        {"tempo_map": 5},
        {"tempo_map": [["x", {}]]},
        {"stages": 5},
        {"stages": [["l"]]},
        {"reference": {"file": "/x.wav"}},
        {"reference": {"path": "/x.wav", "more": 1}},
        {"reference": {"path": 5}},
        {"prompt": "\ud800"},
        {"lyrics": "\udcff"},
        {"track": "\udcff"},
        {"format": [1]},
        {"task": {"x": 1}},
        {"fit": "no"},
        {"strict": 1},
        {"guide": "yes"},
    ],
)
def test_values_of_the_wrong_kind_are_refused_with_a_short_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        GenerateRequest.from_dict({"prompt": "p", **changes})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("values", [[1, 2], "abc", None, 5])
def test_a_request_that_is_none_is_refused(values: Any) -> None:
    with pytest.raises(InvalidRequest, match="names and values"):
        GenerateRequest.from_dict(values)

"""One-shots: single hits cut out of what a cascade plays."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.clips.clip import Clip
from acestep.clips.inspect import describe
from acestep.clips.oneshot import asked_kind
from acestep.clips.production import produce, reproduce
from acestep.clips.wording import describe as in_words
from acestep.errors import InvalidRequest, PoorFit
from acestep.request import GenerateRequest
from tests.support.small_band import SmallBand

KICK = GenerateRequest(prompt="punchy kick", kind="oneshot", seed=2)


def test_a_one_shot_is_one_hit_without_tempo_and_loop(tmp_path: Path) -> None:
    (clip,) = produce(SmallBand(), KICK, tmp_path)
    assert (clip.bpm, clip.bars, clip.signature, clip.key, clip.fit) == (0, 0, "", "", "single")
    assert clip.tempo_error_pct is clip.downbeat_error_ms is clip.key_match is None
    assert clip.sidecar["hit"]["kind"] == "kick"
    note = clip.sidecar["hit"]["note"]
    assert re.fullmatch(rf"\d{{8}}-\d{{6}}_punchy-kick_({note}_)?t1\.wav", clip.name)
    sound = soundfile.read(clip.path)[0]
    assert len(sound) / 48_000 == clip.duration_s < 1.0
    assert np.abs(sound[: 48 * 3]).max() > 0.05, "it begins at once"
    assert np.abs(sound[-240:]).max() < 0.01, "and ends in silence"
    said = describe(clip.path)
    assert said["chunks"]["acid"]["one_shot"]
    assert "BPM" not in str(said["chunks"])
    assert "claimed" not in said, "it has no tempo to be held against"
    assert Clip.load(clip.path) == clip
    assert "one clear hit" in in_words(clip)


def test_the_note_of_a_one_shot_is_where_samplers_look_for_it(tmp_path: Path) -> None:
    (clip,) = produce(
        SmallBand(), dataclasses.replace(KICK, prompt="deep bass note", key="F minor"), tmp_path
    )
    hit = clip.sidecar["hit"]
    assert hit["note"], "the small band plays notes in a key"
    assert f"_{hit['note']}_t1.wav" in clip.name
    chunks = describe(clip.path)["chunks"]
    expected = round(69 + 12 * np.log2(hit["hz"] / 440))
    assert chunks["acid"]["root_note"] == expected


def test_eight_takes_are_eight_files_and_the_best_candidate_is_the_clearest(tmp_path: Path) -> None:
    clips = produce(SmallBand(), dataclasses.replace(KICK, takes=8, candidates=2), tmp_path)
    assert len({clip.name for clip in clips}) == 8
    for clip in clips:
        first, second = clip.sidecar["candidates"]
        assert first["score"] <= second["score"]
        assert set(first["parts"]) <= {"clarity", "other"}


def test_a_one_shot_is_made_again_to_the_same_samples(tmp_path: Path) -> None:
    (clip,) = produce(SmallBand(), KICK, tmp_path / "a")
    again = reproduce(clip.path + ".json", SmallBand(), tmp_path / "b")
    assert np.array_equal(soundfile.read(clip.path)[0], soundfile.read(again.path)[0])


@pytest.mark.parametrize("kind", ["flac", "mp3", "aiff"])
def test_other_files_say_no_tempo_either(tmp_path: Path, kind: str) -> None:
    (clip,) = produce(SmallBand(), dataclasses.replace(KICK, format=kind), tmp_path)
    assert describe(clip.path)["tags"].get("bpm") in (None, 0)


def test_a_hit_of_another_kind_is_called_poor_and_refused_where_strict(tmp_path: Path) -> None:
    cowbell = dataclasses.replace(KICK, prompt="cowbell")
    (clip,) = produce(SmallBand(), cowbell, tmp_path)
    assert clip.fit == "poor"
    with pytest.raises(PoorFit, match="no clear single hit"):
        produce(SmallBand(), dataclasses.replace(cowbell, strict=True), tmp_path)
    assert len(list(tmp_path.glob("*.wav"))) == 1


def test_what_a_single_hit_cannot_have_is_refused() -> None:
    for value in ({"context": "/c.wav"}, {"swing": 1.5}, {"tempo_map": "0 100, 4 120"}):
        with pytest.raises(InvalidRequest, match="single hit without a tempo"):
            GenerateRequest(prompt="kick", kind="oneshot", **value)
    with pytest.raises(InvalidRequest, match="kind"):
        GenerateRequest(prompt="kick", kind="twoshot")


def test_a_tempo_beside_it_changes_nothing() -> None:
    given = dataclasses.replace(KICK, bpm=174, bars=8, signature="3/4")
    assert given == KICK
    assert GenerateRequest.from_dict(KICK.to_dict()) == KICK


def test_the_kind_is_the_word_that_comes_first() -> None:
    assert asked_kind("punchy KICK with a bit of snare") == "kick"
    assert asked_kind("warm bass stab") is None
    assert asked_kind("hatred") is None

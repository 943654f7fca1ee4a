"""An idea in parts, from request to files, with a cascade that plays single parts."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.clips.clip import Clip
from acestep.clips.idea import Delivery, Idea
from acestep.clips.parts import produce_parts
from acestep.clips.production import reproduce
from acestep.errors import Cancelled, InvalidRequest, NotFound, Unsupported
from acestep.request import GenerateRequest
from acestep.sound.audio import read_audio
from tests.support.closeness import assert_close
from tests.support.parts_band import PartsBand, Spec

REQUEST = GenerateRequest(
    prompt="dusty",
    bpm=100,
    bars=2,
    key="A minor",
    parts="drums, bass: warm sub; chords",
    seed=3,
    loudness_lufs=-24,
)
NAMES = ["drums", "bass", "chords", "mix"]


def again(idea: str, **values) -> GenerateRequest:
    return GenerateRequest(prompt="", idea=idea, seed=9, **values)


def of(clips: list[Clip]) -> Delivery:
    return Delivery(lambda clip: None, lambda idea: clips)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[PartsBand, list[Clip]]:
    band = PartsBand()
    return band, produce_parts(band, REQUEST, tmp_path_factory.mktemp("made"), job="261129-1")


def test_an_idea_is_a_clip_a_part_and_their_mix_all_of_one_length_and_id(made):
    _, clips = made
    assert [clip.part for clip in clips] == NAMES
    assert {clip.idea for clip in clips} == {"261129-1"}
    assert {soundfile.info(clip.path).frames for clip in clips} == {REQUEST.grid.samples()}
    assert [Path(clip.path).stem.rpartition("_")[2] for clip in clips] == NAMES
    assert len({Path(clip.path).stem.rpartition("_")[0] for clip in clips}) == 1
    assert Clip.load(clips[1].path) == clips[1]


def test_each_part_hears_the_mix_of_those_before(made):
    band, clips = made
    assert [one.task for one in band.asked] == ["text", "lego", "lego"]
    assert [one.track for one in band.asked] == ["", "bass", "keyboard"]
    assert [one.path for one in band.asked[2].context.sources] == [clip.path for clip in clips[:2]]
    assert [one.prompt for one in band.asked] == ["dusty, drums", "dusty, warm sub bass", "dusty, chords"]
    heard = read_audio(band.asked[2].context)
    assert_close(heard, read_audio(clips[0].path) + read_audio(clips[1].path))


def test_the_mix_is_the_sum_of_the_parts(made):
    _, clips = made
    total = sum(read_audio(clip.path) for clip in clips[:-1])
    assert clips[-1].sidecar["measured"]["level"]["limited_db"] == 0
    assert np.abs(read_audio(clips[-1].path) - total).max() < 1e-5


def test_the_label_says_how_the_parts_fit(made):
    _, clips = made
    (pair,) = clips[1].sidecar["idea"]["together"]
    assert (pair["part"], pair["other"]) == ("bass", "drums")
    assert pair["onsets"]["share"] >= 0.95 > pair["onsets"]["by_chance"]
    pairs = clips[-1].sidecar["idea"]["together"]
    assert {(one["part"], one["other"]) for one in pairs} == {
        ("bass", "drums"), ("chords", "drums"), ("chords", "bass")
    }  # fmt: skip
    shared = next(one["notes"] for one in pairs if one["notes"])
    assert shared["share"] >= 0.9 > shared["by_chance"]


def test_a_part_that_fits_no_better_than_chance_is_made_again(tmp_path):
    band = PartsBand(late_s=(0.07, 0.07))
    clips = produce_parts(
        band, dataclasses.replace(REQUEST, parts="drums, bass", fit=False), tmp_path, job="j"
    )
    told = clips[1].sidecar["idea"]
    assert told["tried"] == 3
    assert told["together"][0]["onsets"]["share"] >= 0.95
    assert clips[1].seed == band.asked[-1].seed
    never = PartsBand(late_s=(0.07,) * 3)
    clips = produce_parts(
        never, dataclasses.replace(REQUEST, parts="drums, bass", fit=False), tmp_path, job="k"
    )
    assert any("no better than" in note for note in clips[1].sidecar["notes"])


def test_one_part_is_made_anew_and_the_others_stay(made, tmp_path):
    _, clips = made
    band = PartsBand()
    new = produce_parts(band, again("261129-1", redo="bass: picked"), tmp_path, delivery=of(clips))
    assert [clip.part for clip in new] == ["bass", "mix"]
    (asked,) = band.asked
    assert asked.prompt == "dusty, picked bass"
    assert [one.path for one in asked.context.sources] == [clips[0].path, clips[2].path]
    assert new[1].sidecar["idea"]["parts"] == {
        "drums": clips[0].name, "bass": new[0].name, "chords": clips[2].name
    }  # fmt: skip
    whole = Idea.of(again("261129-1", parts="lead"), [*clips, *new])
    assert {name: clip.path for name, clip in whole.members.items()} == {
        "drums": clips[0].path, "bass": new[0].path, "chords": clips[2].path
    }  # fmt: skip


def test_a_part_is_added_later_in_the_ideas_key_and_grid(made, tmp_path):
    _, clips = made
    new = produce_parts(PartsBand(), again("261129-1", parts="lead"), tmp_path, delivery=of(clips))
    assert [clip.part for clip in new] == ["lead", "mix"]
    assert (new[0].bpm, new[0].bars, new[0].key) == (100, 2, "A minor")
    assert len(new[1].sidecar["idea"]["parts"]) == 4


def test_without_a_key_the_seed_draws_one_for_all(tmp_path):
    request = dataclasses.replace(REQUEST, key=None, parts="bass, chords", seed=4)
    band = PartsBand()
    clips = produce_parts(band, request, tmp_path / "a")
    assert len({one.key for one in band.asked} - {None}) == 1
    assert any("drawn by the seed" in note for note in clips[0].sidecar["notes"])
    others = produce_parts(PartsBand(), request, tmp_path / "b")
    assert [clip.key for clip in others] == [clip.key for clip in clips]


def test_a_checkpoint_without_a_context_task_makes_independent_takes_and_says_so(tmp_path):
    band = PartsBand(spec=Spec(supports=("text",)))
    clips = produce_parts(band, REQUEST, tmp_path)
    assert {one.task for one in band.asked} == {"text"}
    assert len({clip.samples for clip in clips}) == 1
    assert all(any("made for itself" in note for note in clip.sidecar["notes"]) for clip in clips)


def test_parts_are_told_as_they_are_ready_and_stay_when_the_job_is_cancelled(tmp_path):
    told: list[Clip] = []
    with pytest.raises(Cancelled):
        produce_parts(
            PartsBand(),
            REQUEST,
            tmp_path,
            delivery=Delivery(told.append, lambda idea: ()),
            cancelled=lambda: len(told) >= 1,
        )
    assert [clip.part for clip in told] == ["drums"]
    assert [file.name for file in tmp_path.glob("*.wav")] == [told[0].name]
    more = produce_parts(PartsBand(), again(told[0].idea, parts="bass"), tmp_path, delivery=of(told))
    assert [clip.part for clip in more] == ["bass", "mix"]


def test_a_part_made_again_from_its_sidecar_is_the_same(made, tmp_path):
    _, clips = made
    same = reproduce(clips[1].path + ".json", PartsBand(), tmp_path)
    assert np.array_equal(read_audio(same.path), read_audio(clips[1].path))
    assert (same.idea, same.part) == (clips[1].idea, "bass")


def test_candidates_are_chosen_by_how_they_stand_and_so_they_are_when_made_again(tmp_path):
    request = dataclasses.replace(REQUEST, parts="drums, bass", candidates=3, fit=False)
    clips = produce_parts(PartsBand(late_by_seed=True), request, tmp_path / "a")
    assert any(one["parts"].get("apart") for one in clips[1].sidecar["candidates"])
    assert clips[1].sidecar["idea"]["together"][0]["onsets"]["share"] >= 0.9
    same = reproduce(clips[1].path + ".json", PartsBand(late_by_seed=True), tmp_path / "b")
    assert same.seed == clips[1].seed == 104
    assert np.array_equal(read_audio(same.path), read_audio(clips[1].path))


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"redo": "lead"}, InvalidRequest, "does not have: it has drums, bass, chords"),
        ({"parts": "bass"}, InvalidRequest, "has bass already"),
        ({"redo": "bass", "bpm": 90}, InvalidRequest, "idea 261129-1 has 100"),
        ({"redo": "bass", "key": "C major"}, InvalidRequest, "has A minor"),
        ({"parts": "tuba"}, Unsupported, "cannot play tuba: expected parts out of .*bass"),
    ],
)
def test_what_an_idea_cannot_have_is_said_and_makes_nothing(made, tmp_path, values, error, said):
    with pytest.raises(error, match=said):
        produce_parts(PartsBand(), again("261129-1", **values), tmp_path / "out", delivery=of(made[1]))
    assert not (tmp_path / "out").exists()


def test_an_idea_that_is_not_whole_is_refused_in_words(made):
    _, clips = made
    redo = again("261129-1", redo="drums")
    with pytest.raises(NotFound, match="no idea 'other'"):
        Idea.of(again("other", redo="drums"), clips)
    binned = [dataclasses.replace(clip, trashed=clip.part == "bass") for clip in clips]
    with pytest.raises(NotFound, match="bass in the trash: restore it, or make it anew"):
        Idea.of(redo, binned)
    moved = [
        dataclasses.replace(clip, path="/gone/a.wav") if clip.part == "chords" else clip for clip in clips
    ]
    with pytest.raises(NotFound, match="chords moved or deleted"):
        Idea.of(redo, moved)
    Idea.of(again("261129-1", redo="chords"), moved)  # what is made anew need not be there
    without = [clip for clip in clips if clip.part not in ("mix", "drums")]  # nor does any mix tell of it
    with pytest.raises(NotFound, match="drums moved or deleted"):
        Idea.of(again("261129-1", redo="bass"), without)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"parts": "drums", "takes": 2}, "one idea at a time"),
        ({"parts": "drums", "task": "lego", "context": "/a.wav"}, "task and track by themselves"),
        ({"parts": "drums", "track": "bass"}, "task and track by themselves"),
        ({"redo": "drums"}, "redo needs an idea"),
        ({"idea": "x"}, "without parts and redo"),
        ({"idea": "x", "parts": "drums", "redo": "drums"}, "in parts and in redo"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(values, said):
    with pytest.raises(InvalidRequest, match=said):
        GenerateRequest(prompt="p", **values)


def test_the_mixs_notes_are_those_of_its_parts_also_after_one_was_made_anew(tmp_path):
    band = PartsBand()
    first = produce_parts(band, dataclasses.replace(REQUEST, midi_out=True), tmp_path)

    def told(clip: Clip) -> dict[str, int]:
        return {name: one["notes"] for name, one in clip.sidecar["midi"]["parts"].items()}

    *parts, mix = first
    drums, bass, _ = parts
    assert told(mix) == {**told(drums), **told(bass)}  # the tones of this band's chords never begin
    assert {name: one["channel"] for name, one in mix.sidecar["midi"]["parts"].items()} == {
        "drums": 10,
        "bass": 1,
    }
    assert Path(mix.midi).is_file()
    bass, later = produce_parts(band, again(mix.idea, redo="bass"), tmp_path, delivery=of(first))
    assert told(later) == {**told(mix), "bass": told(bass)["bass"]}

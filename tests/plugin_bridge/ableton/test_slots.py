"""Clips into slots and arrangement of the double: in time, one undo step, never over the user's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from plugin_bridge.ableton.AceStep import ideas, slots
from tests.support.live.app import App
from tests.support.live.studio import insert, new_clip, stepped, write_wav

NEW_ENOUGH = ("11.3.25", "12.0.5", "12.1.5", "12.2.0")


# --- into the slot ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", NEW_ENOUGH)
@pytest.mark.parametrize(("bpm", "bars", "meter"), [(92.5, 4, (4, 4)), (127.37, 2, (7, 8)), (120, 3, (6, 8))])
def test_a_clip_arrives_warped_looped_named_and_as_one_undo_step(
    version: str, bpm: float, bars: float, meter: tuple[int, int], live: Callable[..., App], tmp_path: Path
) -> None:
    app = live(version)
    new = new_clip(tmp_path, bpm, bars, meter)
    target = slots.find_target(app.song, in_arrangement=False)
    assert insert(app, target, new) == ""
    clip = app.song.tracks[0].clip_slots[0].clip
    assert (clip.warping, clip.looping, clip.name, clip.warp_mode) == (True, True, "name", 4)
    assert (clip.loop_start, clip.loop_end) == (0.0, pytest.approx(new.beats))
    assert (clip.start_marker, clip.end_marker) == (0.0, pytest.approx(new.beats))
    assert (clip.signature_numerator, clip.signature_denominator) == meter
    real = [(marker.sample_time, marker.beat_time) for marker in clip.warp_markers][:-1]
    assert real == [(0.0, 0.0), (pytest.approx(clip.sample_length / 48_000), new.beats)]
    assert real[1][1] * 60 / real[1][0] == pytest.approx(bpm, rel=1e-5)
    assert len(app.world.undo_steps) == 1
    app.song.undo()
    assert not app.song.tracks[0].clip_slots[0].has_clip


@pytest.mark.parametrize("version", ["11.0.12", "12.0.0"])
def test_a_live_that_cannot_add_clips_says_which_can(version: str, live: Callable[..., App]) -> None:
    with pytest.raises(slots.Refused, match=r"11\.3\.25.*12\.0\.5"):
        slots.find_target(live(version).song, in_arrangement=False)


def test_takes_fill_the_next_empty_slots_and_then_new_scenes(
    live: Callable[..., App], tmp_path: Path
) -> None:
    app = live(scenes=3)
    track = app.song.tracks[0]
    mine = track.clip_slots[1].create_audio_clip(write_wav(tmp_path / "mine.wav", 1))
    target = slots.find_target(app.song, in_arrangement=False)
    for _ in range(3):
        assert insert(app, target, new_clip(tmp_path)) == ""
    assert track.clip_slots[1].clip is mine
    assert [slot.has_clip for slot in track.clip_slots] == [True, True, True, True]
    app.song.undo()
    assert len(app.song.scenes) == 3


def test_no_room_for_a_scene_is_told_and_leaves_nothing(live: Callable[..., App], tmp_path: Path) -> None:
    app = live(scenes=1)
    app.song._max_scenes = 1
    app.song.tracks[0].clip_slots[0].create_audio_clip(write_wav(tmp_path / "mine.wav", 1))
    steps = len(app.world.undo_steps)
    problem = insert(app, slots.find_target(app.song, in_arrangement=False), new_clip(tmp_path))
    assert "no more scenes" in problem
    assert len(app.world.undo_steps) == steps


def _frozen(app: App, target: slots.Target, new: slots.NewClip) -> None:
    target.track.user_freezes()


def _track_deleted(app: App, target: slots.Target, new: slots.NewClip) -> None:
    app.song.user_deletes_track(target.track)


def _scene_deleted(app: App, target: slots.Target, new: slots.NewClip) -> None:
    app.song.user_deletes_scene(0)


def _file_deleted(app: App, target: slots.Target, new: slots.NewClip) -> None:
    Path(new.path).unlink()


def _file_is_no_audio(app: App, target: slots.Target, new: slots.NewClip) -> None:
    Path(new.path).write_text("no audio")


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (_frozen, "frozen"),
        (_track_deleted, "track was deleted"),
        (_scene_deleted, "slot was deleted"),
        (_file_deleted, "is gone"),
        (_file_is_no_audio, "no valid audio file"),
    ],
)
def test_what_happens_while_a_job_runs_is_told_and_changes_nothing(
    happens: Callable[..., None], words: str, live: Callable[..., App], tmp_path: Path
) -> None:
    app = live()
    target = slots.find_target(app.song, in_arrangement=False)
    new = new_clip(tmp_path)
    happens(app, target, new)
    assert words in insert(app, target, new)
    assert app.world.undo_steps == []
    assert not any(slot.has_clip for track in app.song.tracks for slot in track.clip_slots)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("midi", "not an audio track"), ("group", "not an audio track"), ("return", "select a slot")],
)
def test_a_place_that_takes_no_audio_is_refused_before_anything_is_made(
    kind: str, words: str, live: Callable[..., App]
) -> None:
    app = live(tracks="audio " + kind)
    app.song.view.user_selects(app.song.tracks[1])
    with pytest.raises(slots.Refused, match=words):
        slots.find_target(app.song, in_arrangement=False)


# --- into the arrangement ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meter", "now", "beat"),
    [((4, 4), 9.0, 8.0), ((4, 4), 10.5, 12.0), ((7, 8), 8.0, 7.0), ((3, 4), 0.0, 0.0)],
)
def test_in_the_arrangement_a_clip_lands_at_the_bar_nearest_to_the_playhead(
    meter: tuple[int, int], now: float, beat: float, live: Callable[..., App]
) -> None:
    app = live()
    app.song.signature_numerator, app.song.signature_denominator = meter
    app.song.current_song_time = now
    assert slots.find_target(app.song, in_arrangement=True).beat == pytest.approx(beat)


@pytest.mark.parametrize("version", NEW_ENOUGH)
def test_an_arrangement_clip_is_in_time_also_where_live_returns_none(
    version: str, live: Callable[..., App], tmp_path: Path
) -> None:
    app = live(version)
    app.song.current_song_time = 8.0
    new = new_clip(tmp_path)
    assert insert(app, slots.find_target(app.song, in_arrangement=True), new) == ""
    (clip,) = app.song.tracks[0].arrangement_clips
    assert (clip.start_time, clip.end_time) == (8.0, 24.0)
    assert len(app.world.undo_steps) == 1


def test_what_is_in_the_arrangement_is_never_overwritten(live: Callable[..., App], tmp_path: Path) -> None:
    for version, lanes in (("12.1.5", 0), ("12.2.0", 1)):
        app = live(version)
        track = app.song.tracks[0]
        track.create_audio_clip(write_wav(tmp_path / "mine.wav", 4), 0.0)
        (mine,) = track.arrangement_clips
        problem = insert(app, slots.find_target(app.song, in_arrangement=True), new_clip(tmp_path))
        assert track.arrangement_clips == (mine,)
        if lanes:
            assert problem == ""
            assert len(track.take_lanes[0].arrangement_clips) == 1
        else:
            assert "there is a clip at beat 0" in problem


# --- slot to slot -----------------------------------------------------------------------------------


def test_a_warped_clips_loop_brace_becomes_seconds_and_tempo_of_its_file(
    live: Callable[..., App], tmp_path: Path
) -> None:
    app = live()
    insert(app, slots.find_target(app.song, in_arrangement=False), new_clip(tmp_path, bpm=100, bars=4))
    clip = app.song.tracks[0].clip_slots[0].clip
    clip.loop_end, clip.loop_start = 12.0, 4.0
    app.song.view.user_selects(app.song.tracks[0])
    piece = slots.stretch(slots.selected_audio_clip(app.song))
    assert (piece.start_s, piece.end_s) == (pytest.approx(2.4), pytest.approx(7.2))
    assert (piece.beats, piece.bpm) == (pytest.approx(8), pytest.approx(100))


def test_an_unwarped_clip_is_taken_in_seconds_and_has_no_tempo(
    live: Callable[..., App], tmp_path: Path
) -> None:
    app = live()
    clip = app.song.tracks[0].clip_slots[0].create_audio_clip(write_wav(tmp_path / "a.wav", 3))
    piece = slots.stretch(clip)
    assert (piece.start_s, piece.end_s, piece.bpm) == (0, pytest.approx(3), 0)


def test_a_brace_beyond_the_file_is_cut_to_what_is_heard(live: Callable[..., App], tmp_path: Path) -> None:
    app = live()
    insert(app, slots.find_target(app.song, in_arrangement=False), new_clip(tmp_path, bpm=120, bars=1))
    clip = app.song.tracks[0].clip_slots[0].clip
    clip.loop_end = 8.0
    piece = slots.stretch(clip)
    assert (piece.end_s, piece.beats, piece.bpm) == (
        pytest.approx(2.0),
        pytest.approx(4.0),
        pytest.approx(120),
    )


def test_without_an_audio_clip_a_reference_is_refused(live: Callable[..., App], tmp_path: Path) -> None:
    app = live()
    with pytest.raises(slots.Refused, match="select an audio clip"):
        slots.selected_audio_clip(app.song)
    path = write_wav(tmp_path / "a.wav", 1)
    clip = app.song.tracks[0].clip_slots[0].create_audio_clip(path)
    Path(path).unlink()
    with pytest.raises(slots.Refused, match="is gone"):
        slots.stretch(clip)


# --- ideas in parts ---------------------------------------------------------------------------------


def insert_idea(app: App, row: ideas.Row, tmp_path: Path, *parts: str) -> str:
    clips = [new_clip(tmp_path)._replace(part=part) for part in parts]
    return stepped(app, ideas.insert_idea(app.module, app.song, row, clips, lambda new: (new.part, 4)))


def test_an_idea_takes_the_first_scene_that_is_free_on_all_its_tracks(
    live: Callable[..., App], tmp_path: Path
) -> None:
    app = live(tracks="audio midi audio audio", scenes=3)
    song = app.song
    for number, name in ((0, "Drums"), (1, "lead"), (3, "4 Backing Vocals")):
        song.tracks[number].name = name
    song.tracks[3].clip_slots[1].create_audio_clip(write_wav(tmp_path / "mine.wav", 1))
    song.view.user_selects(song.tracks[1], 1)
    row = ideas.find_row(song, in_arrangement=False)
    steps = len(app.world.undo_steps)
    assert insert_idea(app, row, tmp_path, "drums", "backing_vocals", "lead", "mix") == ""
    assert [track.name for track in song.tracks] == ["Drums", "lead", "3-Audio", "4 Backing Vocals", "lead"]
    taken = [[slot.has_clip for slot in song.tracks[number].clip_slots] for number in (0, 3, 4)]
    assert taken == [[False, False, True], [False, True, True], [False, False, True]]
    assert song.view.highlighted_clip_slot is song.tracks[1].clip_slots[1]
    assert insert_idea(app, row, tmp_path, "drums") == ""  # alone there was room before
    assert song.tracks[0].clip_slots[1].has_clip
    assert insert_idea(app, row, tmp_path, "drums", "backing_vocals") == ""
    assert len(song.scenes) == 4
    assert len(app.world.undo_steps) == steps + 3
    for _ in range(3):
        song.undo()
    assert (len(song.tracks), len(song.scenes)) == (4, 3)
    assert not any(slot.has_clip for slot in song.tracks[0].clip_slots)


def test_an_idea_in_the_arrangement_begins_at_one_bar(live: Callable[..., App], tmp_path: Path) -> None:
    app = live()
    app.song.current_song_time = 7.0
    row = ideas.find_row(app.song, in_arrangement=True)
    assert insert_idea(app, row, tmp_path, "drums", "bass") == ""
    assert [clip.start_time for track in app.song.tracks[3:] for clip in track.arrangement_clips] == [
        8.0,
        8.0,
    ]


def test_an_idea_without_room_is_told_and_leaves_no_clip(live: Callable[..., App], tmp_path: Path) -> None:
    app = live()
    app.song._max_tracks = 4
    problem = insert_idea(app, ideas.find_row(app.song, in_arrangement=False), tmp_path, "drums", "bass")
    assert "no more tracks" in problem
    row = ideas.find_row(app.song, in_arrangement=False)
    app.song.user_deletes_scene(0)
    assert "scene was deleted" in insert_idea(app, row, tmp_path, "drums")
    assert not any(slot.has_clip for track in app.song.tracks for slot in track.clip_slots)


def test_selected_tracks_and_groups_within_groups_sound_together(
    live: Callable[..., App], tmp_path: Path
) -> None:
    app = live(tracks="group group audio audio audio")
    song = app.song
    outer, inner, drums, bass, lead = song.tracks
    inner.user_puts_into(outer)
    drums.user_puts_into(inner)
    bass.user_puts_into(outer)
    made = {}
    for track in (drums, bass, lead):
        made[track] = track.clip_slots[2].create_audio_clip(write_wav(tmp_path / f"{track.name}.wav", 1))
    for track, also, expected in (
        (outer, (), (drums, bass)),
        (inner, (), (drums,)),
        (lead, (inner,), (drums, lead)),
        (lead, (), (lead,)),
    ):
        song.view.user_selects(track, 2, also)
        assert slots.clips_together(song) == [made[one] for one in expected]
    song.view.user_selects(outer, 0)
    with pytest.raises(slots.Refused, match="scene 1"):
        slots.clips_together(song)


def test_clips_of_different_tempi_are_no_one_context() -> None:
    one = slots.Stretch("drums.wav", 0.0, 2.0, 4.0, 0)
    slots.require_one_tempo([one, one._replace(beats=0.0), one._replace(beats=4.01)])
    with pytest.raises(slots.Refused, match=r"120, 180 bpm"):
        slots.require_one_tempo([one, one._replace(beats=6.0)])

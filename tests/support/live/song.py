"""Song, tracks, slots, scenes and views of the double, with what a user does to them.

The methods that begin with `user_` are hands on the mouse; all others are Live's documented ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .clip import Clip
from .lom import LomObject, World

MAX_BEATS = 1576800.0
SCALES = {
    "Major": (0, 2, 4, 5, 7, 9, 11),
    "Minor": (0, 2, 3, 5, 7, 8, 10),
    "Dorian": (0, 2, 3, 5, 7, 9, 10),
    "Mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "Whole Tone": (0, 2, 4, 6, 8, 10),
    "Harmonic Minor": (0, 2, 3, 5, 7, 8, 11),
    "Minor Blues": (0, 3, 5, 6, 7, 10),
    "Half-Whole Dim.": (0, 1, 3, 4, 6, 7, 9, 10),
    "In-Sen": (0, 1, 5, 7, 10),
}


class BeatTime(NamedTuple):
    """Song position as bars, beats, sixteenths and ticks, counted from 1."""

    bars: int
    beats: int
    sub_division: int
    ticks: int


class ClipSlot(LomObject):
    """A place for one clip."""

    def __init__(self, world: World, track: Track) -> None:
        super().__init__(world)
        self._track = track
        self._clip: Clip | None = None

    @property
    def canonical_parent(self) -> Track:
        return self._track

    @property
    def clip(self) -> Clip | None:
        return self._clip

    @property
    def has_clip(self) -> bool:
        return self._clip is not None

    @property
    def is_group_slot(self) -> bool:
        return self._track._kind == "group"

    def create_audio_clip(self, path: str) -> Clip:
        self._track._require_audio()
        if self._clip is not None:
            raise RuntimeError("the slot is not empty")
        clip = Clip(self._world, self, path, self._track._song._tempo)

        def undo() -> None:
            self._clip, clip._dead = None, True

        self._change("create_audio_clip", undo)
        self._clip = clip
        return clip

    def delete_clip(self) -> None:
        if self._clip is None:
            raise RuntimeError("the slot is empty")
        clip = self._clip
        self._change("delete_clip", lambda: setattr(self, "_clip", clip))
        self._clip, clip._dead = None, True


class TakeLane(LomObject):
    """A lane below an arrangement track (Live 12.2)."""

    def __init__(self, world: World, track: Track) -> None:
        super().__init__(world)
        self._track = track
        self._clips: list[Clip] = []

    @property
    def arrangement_clips(self) -> tuple[Clip, ...]:
        return tuple(self._clips)

    def create_audio_clip(self, path: str, start: float) -> Clip:
        return self._track._add_to(self._clips, self, path, start)


class Track(LomObject):
    """An audio, midi, group, return or main track."""

    _settable = frozenset({"name"})

    def __init__(self, world: World, song: Song, kind: str, name: str, scenes: int) -> None:
        super().__init__(world)
        self._song, self._kind, self._frozen = song, kind, False
        self._group: Track | None = None
        self._selected = False
        object.__setattr__(self, "name", name)
        self._slots = [ClipSlot(world, self) for _ in range(scenes)]
        self._clips: list[Clip] = []
        self._lanes: list[TakeLane] = []

    @property
    def clip_slots(self) -> tuple[ClipSlot, ...]:
        return tuple(self._slots)

    @property
    def arrangement_clips(self) -> tuple[Clip, ...]:
        return tuple(self._clips)

    @property
    def has_audio_input(self) -> bool:
        return self._kind in ("audio", "group", "return", "main")

    @property
    def has_midi_input(self) -> bool:
        return self._kind == "midi"

    @property
    def is_foldable(self) -> bool:
        return self._kind == "group"

    @property
    def group_track(self) -> Track | None:
        return self._group

    @property
    def is_part_of_selection(self) -> bool:
        return self._selected

    @property
    def is_frozen(self) -> bool:
        return self._frozen

    @property
    def take_lanes(self) -> tuple[TakeLane, ...]:
        return tuple(self._lanes)

    def create_take_lane(self) -> TakeLane:
        lane = TakeLane(self._world, self)
        self._change("create_take_lane", lambda: self._lanes.remove(lane))
        self._lanes.append(lane)
        return lane

    def create_audio_clip(self, path: str, position: float) -> Clip | None:
        clip = self._add_to(self._clips, self, path, position)
        return clip if self._world.version.track_clip_is_returned else None

    def _add_to(self, clips: list[Clip], parent: Any, path: str, position: float) -> Clip:
        self._require_audio()
        if not 0 <= position <= MAX_BEATS:
            raise RuntimeError("position out of range")
        clip = Clip(self._world, parent, path, self._song._tempo, position)

        def undo() -> None:
            clips.remove(clip)
            clip._dead = True

        self._change("create_audio_clip", undo)
        clips.append(clip)
        return clip

    def _require_audio(self) -> None:
        if self._kind != "audio":
            raise RuntimeError("not an audio track")
        if self._frozen:
            raise RuntimeError("the track is frozen")

    def user_freezes(self) -> None:
        self._frozen = True

    def user_puts_into(self, group: Track) -> None:
        self._group = group


class Scene(LomObject):
    """A row of slots."""

    _settable = frozenset({"name"})

    def __init__(self, world: World) -> None:
        super().__init__(world)
        object.__setattr__(self, "name", "")


class SongView(LomObject):
    """What is selected."""

    _observable = frozenset({"selected_track", "selected_scene", "detail_clip"})
    _settable = frozenset({"selected_track", "selected_scene", "detail_clip", "highlighted_clip_slot"})

    def __init__(self, world: World, song: Song) -> None:
        super().__init__(world)
        for name, value in (
            ("selected_track", song._tracks[0]),
            ("selected_scene", song._scenes[0]),
            ("detail_clip", None),
            ("highlighted_clip_slot", song._tracks[0]._slots[0]),
        ):
            object.__setattr__(self, name, value)

    def user_selects(self, track: Track, scene: int = 0, also: tuple[Track, ...] = ()) -> None:
        """Clicks a slot; `also`: further tracks, by shift."""
        for one in track._song._tracks:
            one._selected = one is track or one in also
        slot = track._slots[scene] if track._kind in ("audio", "midi", "group") else None
        for name, value in (
            ("selected_track", track),
            ("selected_scene", track._song._scenes[scene]),
            ("highlighted_clip_slot", slot),
            ("detail_clip", slot._clip if slot is not None else None),
        ):
            object.__setattr__(self, name, value)
            self._notify(name)


class Song(LomObject):
    """A Live set."""

    _observable = frozenset(
        {
            "tempo",
            "signature_numerator",
            "signature_denominator",
            "root_note",
            "scale_name",
            "scale_mode",
        }
    )
    _settable = (_observable - {"tempo"}) | frozenset({"current_song_time"})

    def __init__(self, world: World, tracks: str, scenes: int) -> None:
        super().__init__(world)
        self._tempo = 120.0
        for name, value in (
            ("signature_numerator", 4),
            ("signature_denominator", 4),
            ("root_note", 0),
            ("scale_name", "Major"),
            ("scale_mode", False),
            ("current_song_time", 0.0),
            ("file_path", ""),
        ):
            object.__setattr__(self, name, value)
        self._scenes = [Scene(world) for _ in range(scenes)]
        self._max_scenes = self._max_tracks = 1000
        self._tracks = [
            Track(world, self, kind, f"{number}-{kind.title()}", scenes)
            for number, kind in enumerate(tracks.split(), 1)
        ]
        self._view = SongView(world, self)

    @property
    def tempo(self) -> float:
        return self._tempo

    @tempo.setter
    def tempo(self, value: float) -> None:
        if not 20 <= value <= 999:
            raise RuntimeError("tempo out of range")
        old = self._tempo
        self._change("tempo", lambda: setattr(self, "_tempo", old))
        self._tempo = float(value)
        self._notify("tempo")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("tempo", "current_song_time"):  # moving the playhead is nothing to undo
            self._check(name)
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def view(self) -> SongView:
        return self._view

    @property
    def tracks(self) -> tuple[Track, ...]:
        return tuple(self._tracks)

    @property
    def scenes(self) -> tuple[Scene, ...]:
        return tuple(self._scenes)

    @property
    def scale_intervals(self) -> tuple[int, ...]:
        return SCALES[self.scale_name]

    def get_current_beats_song_time(self) -> BeatTime:
        beat = 4.0 / self.signature_denominator
        bar = self.signature_numerator * beat
        bars, rest = divmod(self.current_song_time, bar)
        beats, rest = divmod(rest, beat)
        sixteenths, rest = divmod(rest, 0.25)
        return BeatTime(int(bars) + 1, int(beats) + 1, int(sixteenths) + 1, int(rest / 0.25 * 60))

    def create_audio_track(self, index: int) -> Track:
        if len(self._tracks) >= self._max_tracks:
            raise RuntimeError("this Live has no more tracks")
        if index != -1:
            raise RuntimeError("the double only appends tracks")
        track = Track(self._world, self, "audio", f"{len(self._tracks) + 1}-Audio", len(self._scenes))
        self._change("create_audio_track", lambda: self._tracks.remove(track))
        self._tracks.append(track)
        object.__setattr__(self._view, "selected_track", track)  # Live selects what is new
        object.__setattr__(self._view, "highlighted_clip_slot", track._slots[0])
        return track

    def create_scene(self, index: int) -> Scene:
        if len(self._scenes) >= self._max_scenes:
            raise RuntimeError("this Live has no more scenes")
        if index != -1:
            raise RuntimeError("the double only appends scenes")
        scene = Scene(self._world)
        added = [(track, ClipSlot(self._world, track)) for track in self._tracks]

        def undo() -> None:
            self._scenes.remove(scene)
            for track, slot in added:
                track._slots.remove(slot)

        self._change("create_scene", undo)
        self._scenes.append(scene)
        for track, slot in added:
            track._slots.append(slot)
        return scene

    def begin_undo_step(self) -> None:
        self._world.begin()

    def end_undo_step(self) -> None:
        self._world.end()

    def undo(self) -> None:
        self._world.undo()

    def user_deletes_track(self, track: Track) -> None:
        self._tracks.remove(track)
        for thing in [track, *track._slots, *track._clips]:
            thing._dead = True

    def user_deletes_scene(self, index: int) -> None:
        self._scenes.pop(index)._dead = True
        for track in self._tracks:
            track._slots.pop(index)._dead = True

    def user_saves(self, path: str) -> None:
        object.__setattr__(self, "file_path", path)

"""Where a clip goes in the set, and how it gets there: in time, looped, named, as one undo step.

Nothing that is already in the set is
changed: a place that is taken, frozen or gone refuses, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generator, NamedTuple

# What Live raises when an object is gone, frozen, full, or of an older version.
LIVE_ERRORS = (RuntimeError, TypeError, AttributeError, ValueError)
MAX_BEATS = 1576800.0  # Live's arrangement ends there
WARP_TICKS = 20  # Live applies `warping` after the call returns, usually by the next tick
GOOD, DOUBTFUL = 0x1AFF2F, 0xFF8F1F  # colours; Live takes the nearest of its own
GOOD_TEMPO_ERROR_PCT = 0.5
ONE_TEMPO = 0.005  # relative: as in the daemon, two tempi closer than this are one, told less precisely


class Refused(Exception):
    """Live or the set does not allow it; the text is for the status bar."""


class NewClip(NamedTuple):
    """A clip as `/acestep/clip` tells it."""

    path: str
    bpm: float
    signature: tuple[int, int]
    key: str
    bars: float
    tempo_error_pct: float
    part: str = ""  # of an idea

    @property
    def beats(self) -> float:
        """Length in quarter notes, which is what Live calls beats."""
        return self.bars * self.signature[0] * 4.0 / self.signature[1]


class Target(NamedTuple):
    """A place for clips: a slot and those below it, or a position in the arrangement."""

    track: Any
    slot: Any = None
    beat: float = 0.0


def alive(thing: Any) -> bool:
    """False for None and for a Live object that was deleted (it then equals None)."""
    return thing is not None and thing != None  # noqa: E711


def find_target(song: Any, in_arrangement: bool) -> Target:
    """Where clips go if asked for now. Raises Refused, saying what to select."""
    if in_arrangement:
        track = song.view.selected_track
        _require_audio(track)
        require_able(track)
        return Target(track, None, bar_at_playhead(song))
    slot = song.view.highlighted_clip_slot
    if not alive(slot):
        raise Refused("select a slot of an audio track (not of the main track or a return)")
    track = slot.canonical_parent
    _require_audio(track)
    require_able(slot)
    return Target(track, slot)


def require_able(place: Any) -> None:
    """Raises Refused in a Live whose tracks and slots take no audio from scripts."""
    if not hasattr(place, "create_audio_clip"):
        raise Refused("this Live cannot add audio clips itself: Live 11.3.25, or 12.0.5 and later can")


def _require_audio(track: Any) -> None:
    if not alive(track):
        raise Refused("the track was deleted")
    if getattr(track, "is_foldable", False) or not track.has_audio_input or track.has_midi_input:
        raise Refused(f"{track.name} is not an audio track: select one")
    if track.is_frozen:
        raise Refused(f"{track.name} is frozen: unfreeze it first")


def bar_at_playhead(song: Any) -> float:
    """The bar line nearest to the playhead, in beats; right also after changes of signature."""
    now, bar = song.current_song_time, song.signature_numerator * 4.0 / song.signature_denominator
    if hasattr(song, "get_current_beats_song_time"):
        at = song.get_current_beats_song_time()
        quarter = 4.0 / song.signature_denominator
        into = (at.beats - 1) * quarter + (at.sub_division - 1) * 0.25 + at.ticks * 0.25 / 60
    else:
        into = now % bar
    return float(min(max(0.0, now - into if into <= bar / 2 else now - into + bar), MAX_BEATS))


def insert(
    live: Any, song: Any, target: Target, new: NewClip, look: tuple[str, int]
) -> Generator[None, None, None]:
    """Puts a clip into the set, a step a tick: run it with `next` until it ends. `look`: name, warp mode.

    Raises Refused. Whatever happens, the undo step that it opens is closed.
    """
    require_file(new)
    _require_audio(target.track)
    song.begin_undo_step()
    try:
        yield from put(live, song, target, new, look)
    finally:
        song.end_undo_step()


def put(
    live: Any, song: Any, target: Target, new: NewClip, look: tuple[str, int]
) -> Generator[None, None, None]:
    """A clip in its place, within the undo step that is open. Raises Refused."""
    try:
        clip = _create_in_slot(song, target, new) if target.slot is not None else _create_at(target, new)
        clip.name = look[0]
        if new.tempo_error_pct >= 0:  # below 0: not measured
            clip.color = GOOD if new.tempo_error_pct <= GOOD_TEMPO_ERROR_PCT else DOUBTFUL
        clip.warping = True
        for _ in range(WARP_TICKS):
            yield
            if clip.warping:
                break
        if look[1] in tuple(getattr(clip, "available_warp_modes", ())):
            clip.warp_mode = look[1]
        in_time = _pin(live, clip, new.beats)
        _loop(clip, new)
    except LIVE_ERRORS as error:
        raise Refused(f"Live refused {Path(new.path).name}: {error}") from error
    if not in_time:
        raise Refused(f"{clip.name} is in, but look at its warp: Live keeps another tempo")


def require_file(new: NewClip) -> None:
    """Raises Refused for a clip whose file is not there."""
    if not Path(new.path).is_file():
        raise Refused(f"{new.path} is gone: it was moved or deleted")


def _create_in_slot(song: Any, target: Target, new: NewClip) -> Any:
    slots = list(target.track.clip_slots)
    if not alive(target.slot) or target.slot not in slots:
        raise Refused(f"its slot was deleted meanwhile; the clip is at {new.path}")
    free = [slot for slot in slots[slots.index(target.slot) :] if not slot.has_clip]
    if not free:
        song.create_scene(-1)
        free = [target.track.clip_slots[-1]]
    clip = free[0].create_audio_clip(new.path)
    return clip if clip is not None else free[0].clip


def _create_at(target: Target, new: NewClip) -> Any:
    """At the playhead's bar; where that is taken, in a take lane (Live 12.2+)."""
    track, beat = target.track, target.beat
    if _taken(track.arrangement_clips, beat, beat + new.beats):
        if not hasattr(track, "create_take_lane"):
            raise Refused(f"there is a clip at beat {beat:g} of {track.name}; the new one is at {new.path}")
        lanes = [
            lane for lane in track.take_lanes if not _taken(lane.arrangement_clips, beat, beat + new.beats)
        ]
        home = lanes[0] if lanes else track.create_take_lane()
    else:
        home = track
    clip = home.create_audio_clip(new.path, beat)
    return clip if clip is not None else _find(home, new.path, beat)  # Live before 12.2 returns None


def _taken(clips: Any, start: float, end: float) -> bool:
    return any(clip.start_time < end - 1e-6 and clip.end_time > start + 1e-6 for clip in clips)


def _find(home: Any, path: str, beat: float) -> Any:
    for clip in home.arrangement_clips:
        if abs(clip.start_time - beat) < 1e-3 and clip.file_path == path:
            return clip
    raise Refused(f"Live did not add {path}")


def _pin(live: Any, clip: Any, beats: float) -> bool:
    """Fixes the first sample to beat 0 and the last to `beats`. True if Live then agrees.

    Live guesses a tempo for a new file, often the half or double; two markers say it exactly. A marker is
    never moved but removed and added, and the last one that Live insists on keeping goes in the second round.
    """
    if not hasattr(clip, "add_warp_marker"):
        return bool(abs(clip.length - beats) < 0.01)
    length_s = clip.sample_length / float(clip.sample_rate)
    wanted = [(0.0, 0.0), (length_s, beats)]
    for _ in range(2):
        for seconds, beat in _markers(clip):
            if not _near((seconds, beat), wanted):
                _attempt(clip.remove_warp_marker, beat)
        for seconds, beat in wanted:
            if not _near((seconds, beat), _markers(clip)):
                _attempt(clip.add_warp_marker, live.Clip.WarpMarker(seconds, beat))
    end = clip.sample_to_beat_time(clip.sample_length)
    return bool(abs(end - beats) < 0.01 and abs(clip.sample_to_beat_time(0)) < 0.01)


def _markers(clip: Any) -> list[tuple[float, float]]:
    """(seconds, beat) of the real markers; the last that Live lists is a shadow no one can touch."""
    return [(marker.sample_time, marker.beat_time) for marker in clip.warp_markers][:-1]


def _near(marker: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    return any(abs(marker[0] - s) < 1e-6 and abs(marker[1] - b) < 1e-6 for s, b in others)


def _attempt(call: Any, value: Any) -> None:
    try:
        call(value)
    except RuntimeError:
        return  # the round after, or the check at the end, finds out


def _loop(clip: Any, new: NewClip) -> None:
    clip.signature_numerator, clip.signature_denominator = new.signature
    clip.looping = True
    for start, end in (("loop_start", "loop_end"), ("start_marker", "end_marker")):
        names = ((end, new.beats), (start, 0.0))  # Live refuses an end before the start, at any moment
        if new.beats <= getattr(clip, start):
            names = (names[1], names[0])
        for name, value in names:
            setattr(clip, name, value)


def selected_audio_clip(song: Any) -> Any:
    """The clip shown in the clip view, else the one in the highlighted slot. Raises Refused without one."""
    candidates: list[Any] = [getattr(song.view, "detail_clip", None)]
    slot: Any = getattr(song.view, "highlighted_clip_slot", None)
    if alive(slot) and slot.has_clip:
        candidates.append(slot.clip)
    for clip in candidates:
        if alive(clip) and clip.is_audio_clip and clip.file_path:
            return clip
    raise Refused("select an audio clip first")


def clips_together(song: Any) -> list[Any]:
    """What is to sound together: the clips of a selected group, or of several selected tracks, that lie in
    the selected row; else the selected clip alone. Raises Refused without one.

    Live tells scripts which tracks are selected together, but of clips only one.
    """
    slot: Any = getattr(song.view, "highlighted_clip_slot", None)
    track: Any = slot.canonical_parent if alive(slot) else song.view.selected_track
    chosen = [one for one in song.tracks if getattr(one, "is_part_of_selection", False)]
    if alive(track) and getattr(track, "is_foldable", False):
        chosen = [one for one in song.tracks if track in _groups_of(one)]
    elif len(chosen) > 1:
        chosen = [one for one in song.tracks if one in chosen or set(_groups_of(one)) & set(chosen)]
    else:
        return [selected_audio_clip(song)]
    scenes, scene = list(song.scenes), song.view.selected_scene
    row = scenes.index(scene) if alive(scene) and scene in scenes else -1
    row_slots = [one.clip_slots[row] for one in chosen if 0 <= row < len(one.clip_slots)]
    held = [one.clip for one in row_slots if one.has_clip]
    clips = [clip for clip in held if clip.is_audio_clip and clip.file_path]
    if not clips:
        raise Refused(f"none of these tracks has an audio clip in scene {row + 1}: select another")
    return clips


def _groups_of(track: Any) -> list[Any]:
    """The group tracks that hold it, the inner one first."""
    found: list[Any] = []
    group = getattr(track, "group_track", None)
    while alive(group):
        found.append(group)
        group = getattr(group, "group_track", None)
    return found


def require_one_tempo(pieces: list[Stretch]) -> None:
    """Raises Refused for stretches of different tempi: summed as they are, they drift apart."""
    told = sorted({round(piece.bpm, 1) for piece in pieces if piece.beats})
    if told and told[-1] / told[0] - 1 > ONE_TEMPO:
        raise Refused(
            f"these files have different tempi ({', '.join(f'{bpm:g}' for bpm in told)} bpm) and would not "
            "sound together: select clips of one tempo"
        )


class Stretch(NamedTuple):
    """A stretch of a file as a clip plays it: its loop brace, and its own tempo where it is warped."""

    path: str
    start_s: float
    end_s: float
    beats: float  # quarter notes; 0 for an unwarped clip
    transposed: int  # semitones that Live adds

    @property
    def bpm(self) -> float:
        """Mean tempo of the stretch in its own file, 0 when unknown."""
        return self.beats * 60.0 / (self.end_s - self.start_s) if self.beats else 0.0


def stretch(clip: Any) -> Stretch:
    """What a clip plays of its file. Raises Refused for one whose file is gone or which plays nothing."""
    path, length_s = str(clip.file_path), clip.sample_length / float(clip.sample_rate)
    if not Path(path).is_file():
        raise Refused(f"the file of {clip.name} is gone: {path}")
    start, end, beats = float(clip.loop_start), float(clip.loop_end), 0.0
    if clip.warping:
        beats = end - start
        start, end = (clip.beat_to_sample_time(at) / float(clip.sample_rate) for at in (start, end))
    from_s, to_s = max(0.0, start), min(end, length_s)
    if to_s - from_s < 0.05:
        raise Refused(f"{clip.name} plays nothing of its file")
    heard = (to_s - from_s) / (end - start)  # a brace may reach beyond the file
    return Stretch(path, from_s, to_s, beats * heard, int(getattr(clip, "pitch_coarse", 0)))

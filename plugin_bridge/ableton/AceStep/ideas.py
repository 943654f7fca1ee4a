"""An idea in parts in the set: an audio track for each part, all in one scene, as one undo step."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Callable, Generator, NamedTuple, Tuple

from .slots import (
    LIVE_ERRORS,
    NewClip,
    Refused,
    Target,
    alive,
    bar_at_playhead,
    put,
    require_able,
    require_file,
)

MIX = "mix"  # of all parts; in the set they sound together anyway
_NUMBER = re.compile(r"^\d+\W+")  # that Live puts before a track's name

Look = Callable[[NewClip], Tuple[str, int]]  # a clip's name and warp mode


class Row(NamedTuple):
    """Where ideas go: a scene and those below it, or a position in the arrangement."""

    scene: Any = None
    beat: float = 0.0
    number: int = 0  # of the idea, among those that were asked for together


def find_row(song: Any, in_arrangement: bool) -> Row:
    """Where an idea goes if asked for now. Raises Refused in a Live that cannot take it."""
    if in_arrangement:
        require_able(song.view.selected_track)
        return Row(None, bar_at_playhead(song))
    scene = song.view.selected_scene
    if not alive(scene):
        raise Refused("select a scene, or a slot in it")
    for track in song.tracks:
        for slot in track.clip_slots:
            require_able(slot)
            return Row(scene)
    return Row(scene)


def insert_idea(
    live: Any, song: Any, row: Row, clips: list[NewClip], look: Look
) -> Generator[None, None, None]:
    """Puts each part on its track, a step a tick. Raises Refused; the undo step that it opens is closed."""
    parts = [new for new in clips if new.part != MIX]
    if not parts:
        return
    for new in parts:
        require_file(new)
    seen = (song.view.selected_track, getattr(song.view, "highlighted_clip_slot", None))
    song.begin_undo_step()
    try:
        tracks = []
        for new in parts:
            tracks.append(_track_for(song, new.part))
            yield
        targets = _targets(song, row, tracks, parts[0].beats)
        troubles = []
        for new, target in zip(parts, targets):
            try:
                yield from put(live, song, target, new, look(new))
            except Refused as refused:  # the others still belong to one another
                troubles.append(str(refused))
        if troubles:
            raise Refused("; ".join(troubles))
    except LIVE_ERRORS as error:
        raise Refused(
            f"Live refused the idea: {error}; its clips are in {Path(clips[0].path).parent}"
        ) from error
    finally:
        _look_back(song, seen)
        song.end_undo_step()


def idea_of(clip: Any) -> tuple[str, str]:
    """The idea and the part that a clip of the set is, as the file beside it tells. Raises Refused."""
    sidecar = Path(str(clip.file_path) + ".json")
    try:
        told = json.loads(sidecar.read_text("utf-8"))["idea"]
        return str(told["id"]), str(told["part"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused(f"{clip.name} is no part of an idea: {sidecar.name} does not tell one") from None


def plain(name: str) -> str:
    """A track's name as parts are called: `3 Backing Vocals` is `backing_vocals`."""
    return re.sub(r"[\s_-]+", "_", _NUMBER.sub("", name.strip()).lower())


def _track_for(song: Any, part: str) -> Any:
    """The audio track that is named like the part, else a new one behind all others."""
    for track in song.tracks:
        audio = track.has_audio_input and not track.has_midi_input
        group = getattr(track, "is_foldable", False)
        if plain(str(track.name)) == part and audio and not (group or track.is_frozen):
            return track
    track = song.create_audio_track(-1)
    track.name = part.replace("_", " ")
    return track


def _targets(song: Any, row: Row, tracks: list[Any], beats: float) -> list[Target]:
    """Places side by side: in the first scene from the row on in which all these tracks are free, a new one
    if there is none; in the arrangement at the beat, or one idea behind the other where there are no lanes.
    """
    if row.scene is None:
        lanes = all(hasattr(track, "create_take_lane") for track in tracks)
        return [Target(track, None, row.beat + (0 if lanes else row.number * beats)) for track in tracks]
    scenes = list(song.scenes)
    if not alive(row.scene) or row.scene not in scenes:
        raise Refused("its scene was deleted meanwhile; the clips are in the samples folder")
    free = [
        number
        for number in range(scenes.index(row.scene), len(scenes))
        if not any(track.clip_slots[number].has_clip for track in tracks)
    ]
    if not free:
        song.create_scene(-1)
    number = free[0] if free else len(scenes)
    return [Target(track, track.clip_slots[number]) for track in tracks]


def _look_back(song: Any, seen: tuple[Any, Any]) -> None:
    """A new track takes the selection along: it goes back to where it was."""
    track, slot = seen
    if alive(track) and song.view.selected_track != track:
        song.view.selected_track = track
    if alive(slot) and song.view.highlighted_clip_slot != slot:
        song.view.highlighted_clip_slot = slot

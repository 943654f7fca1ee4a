"""The MIDI file beside a clip: tempo, signature, key, a marker on every bar, and a track for each part."""

import io
import itertools
import math

import mido
import numpy as np

from acestep.clips.score import Score, ScoreNote
from acestep.music.aim import Aim
from acestep.music.grid import Grid
from acestep.music.key import PITCH_NAMES, Key
from acestep.music.tempo_map import TempoMap

TICKS_PER_QUARTER = 960  # as usual in DAWs


def clip_midi(aim: Aim, key: Key | None, score: Score | None = None) -> bytes:
    """A standard MIDI file (format 1) of the clip's length. Ramps become a tempo per sixteenth.

    Notes outside of `key` are told by a text beside them.
    """
    grid = aim.grid
    end = grid.bars * grid.signature.quarters_per_bar
    midi = mido.MidiFile(ticks_per_beat=TICKS_PER_QUARTER)
    midi.tracks.append(_conductor(aim, key, end))
    for part in score.parts if score else ():
        midi.tracks.append(_track(part.name, part.channel, part.notes, key, end))
    stream = io.BytesIO()
    midi.save(file=stream)
    return stream.getvalue()


# at which tick, which comes first there, and what
_Event = tuple[int, int, mido.Message | mido.MetaMessage]


def _conductor(aim: Aim, key: Key | None, end: float) -> mido.MidiTrack:
    grid, signature = aim.grid, aim.grid.signature
    events: list[_Event] = []
    for quarters, bpm in _tempi(grid, aim.tempo_map):
        tempo = mido.MetaMessage("set_tempo", tempo=round(60_000_000 / bpm))
        events.append((_tick(quarters), 0, tempo))
    top, bottom = signature.numerator, signature.denominator
    events.append((0, 0, mido.MetaMessage("time_signature", numerator=top, denominator=bottom)))
    if key is not None:
        events.append((0, 0, mido.MetaMessage("key_signature", key=_signature_name(key))))
    first = aim.downbeat_s * grid.bpm / 60 % signature.quarters_per_bar
    for bar in range(math.ceil((end - first) / signature.quarters_per_bar - 1e-9)):
        at = _tick(first + bar * signature.quarters_per_bar)
        events.append((at, 1, mido.MetaMessage("marker", text=f"bar {bar + 1}")))
    return _written(events, end)


def _track(
    name: str, channel: int, notes: tuple[ScoreNote, ...], key: Key | None, end: float
) -> mido.MidiTrack:
    events: list[_Event] = [(0, 0, mido.MetaMessage("track_name", name=name))]
    for note in notes:
        on, off = _tick(note.quarters), _tick(note.quarters + note.length)
        velocity = max(1, min(127, round(note.velocity * 127)))
        if note.outside:
            told = f"{PITCH_NAMES[note.pitch % 12]}{note.pitch // 12 - 1} is outside of {key}"
            events.append((on, 1, mido.MetaMessage("text", text=told)))
        events.append((on, 3, mido.Message("note_on", channel=channel, note=note.pitch, velocity=velocity)))
        events.append((max(off, on + 1), 2, mido.Message("note_off", channel=channel, note=note.pitch)))
    return _written(events, end)


def _written(events: list[_Event], end: float) -> mido.MidiTrack:
    """The events as a track, each with the ticks since the one before."""
    track, last = mido.MidiTrack(), 0
    for at, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=at - last))
        last = at
    track.append(mido.MetaMessage("end_of_track", time=max(0, _tick(end) - last)))
    return track


def _tick(quarters: float) -> int:
    return round(quarters * TICKS_PER_QUARTER)


def _tempi(grid: Grid, tempo_map: TempoMap | None) -> list[tuple[float, float]]:
    """Every change of tempo within the clip: quarters and the mean bpm up to the next one."""
    if tempo_map is None:
        return [(0.0, grid.bpm)]
    end = grid.bars * grid.signature.quarters_per_bar
    places = {point.quarters for point in tempo_map.points if point.quarters < end} | {end}
    for point, following in itertools.pairwise(tempo_map.points):
        if point.ramp:
            places |= set(np.arange(point.quarters, min(following.quarters, end), 0.25).tolist())
    order = sorted(places)
    return [
        (a, (b - a) * 60 / (tempo_map.seconds(b) - tempo_map.seconds(a)))
        for a, b in itertools.pairwise(order)
    ]


def _signature_name(key: Key) -> str:
    """MIDI knows keys by up to seven sharps or flats: G# major is Ab there."""
    flat = {"C#": "Db", "D#": "Eb", "G#": "Ab", "A#": "Bb"}
    name = PITCH_NAMES[key.tonic]
    if key.mode == "major":
        return flat.get(name, name)
    return ("Bb" if name == "A#" else "Eb" if name == "D#" else name) + "m"

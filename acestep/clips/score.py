"""What is played in a clip, as notes on its grid: heard, then cleaned by what is known of the clip.

Positions are in quarters from the file's start. Known are the grid (notes are moved towards it, a swing is
kept), the key (what lies outside of it is told, never deleted), and that a clip is a loop. Which instrument
plays a note is not heard: parts are told apart by register and by whether their notes sound together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from acestep.errors import InvalidRequest
from acestep.hearing.hits import KINDS, hear_hits
from acestep.hearing.notes import HeardNote, hear_notes
from acestep.hearing.onsets import mono
from acestep.music.aim import Aim
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap
from acestep.sound.audio import repair

# Chosen by hand; `python -m tests.benchmarks.midi` prints what comes of them.
SILENT = 1e-4  # amplitude
CHANNELS = {"bass": 0, "chords": 1, "lead": 2, "drums": 9}  # from 0; General MIDI has drums on the tenth
CALLED = {  # what people call them, in a request for a track
    "bass": {"bass", "bassline", "sub"},
    "chords": {"chords", "piano", "keys", "keyboard", "pad", "pads", "strings", "organ", "guitar", "harmony"},
    "lead": {"lead", "melody", "vocals", "vocal", "arp", "flute", "sax", "saxophone", "trumpet", "violin"},
    "drums": {"drums", "drum", "percussion", "beat", "breakbeat", "kick", "snare", "hats"},
}
LISTENED = ("auto", "drums", "notes")
SIXTEENTH, TRIPLETS = 0.25, (1 / 3, 1 / 6)  # quarters
TRIPLET_GAIN = 0.6  # triplets must fit so much better, of the share of a step that notes are off
FEW = 4  # notes that say nothing of swing or triplets yet
TOGETHER = 0.13  # quarters: notes that begin so close are struck together
BASS_BELOW = 52  # MIDI number: the lowest note of a mix is its bass below E3
SHORTEST = 0.125  # quarters; a shorter note is drawn out
LEGATO = 0.2  # quarters: a melody's notes that overlap by less are meant to touch
MOST_AT_ONCE = 32  # notes that may be struck together
SURE_PART = 0.55  # mean confidence from which a part is there at all


@dataclass(frozen=True)
class ScoreNote:
    """One note; `velocity` and `confidence` between 0 and 1; `outside` of the key."""

    quarters: float
    length: float
    pitch: int
    velocity: float
    confidence: float
    outside: bool = False


@dataclass(frozen=True)
class ScorePart:
    """The notes of one track. `name` is one of CHANNELS, or a part of an idea; `channel` counts from 0."""

    name: str
    notes: tuple[ScoreNote, ...]
    channel: int

    @property
    def confidence(self) -> float:
        """The mean of its notes'."""
        return float(np.mean([note.confidence for note in self.notes]))


@dataclass(frozen=True)
class Score:
    """What was heard; `remarks` say what a musician should know."""

    parts: tuple[ScorePart, ...]
    quantise: float
    remarks: tuple[str, ...] = ()

    @property
    def confidence(self) -> float:
        """The mean of all notes'; 0 where there are none."""
        notes = [note.confidence for part in self.parts for note in part.notes]
        return float(np.mean(notes)) if notes else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: each part's notes, how sure they are, and how many are outside of the key."""
        return {
            "confidence": round(self.confidence, 3),
            "quantise": self.quantise,
            "parts": {
                part.name: {
                    "channel": part.channel + 1,
                    "notes": len(part.notes),
                    "confidence": round(part.confidence, 3),
                    "outside_key": sum(note.outside for note in part.notes),
                }
                for part in self.parts
            },
            "notes": list(self.remarks),
        }


@dataclass(frozen=True)
class Time:
    """How seconds become quarters: by `bpm` or a tempo map, and where in the file a beat lies; `length` in
    quarters.
    """

    bpm: float
    length: float
    beat_s: float = 0.0
    tempo_map: TempoMap | None = None

    def quarters(self, at_s: float) -> float:
        return self.tempo_map.quarters(at_s) if self.tempo_map else at_s * self.bpm / 60

    @property
    def phase(self) -> float:
        """Quarters from the file's start to a beat."""
        return self.beat_s * self.bpm / 60


def part_of(track: str) -> str:
    """Which of CHANNELS a track is that a request names; "" where the word does not say."""
    words = set(track.lower().split())
    return next((name for name, called in CALLED.items() if words & called), "")


def clip_score(
    audio: np.ndarray,
    aim: Aim,
    key: Key | None,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    quantise: float = 1.0,
    listen: str = "auto",
    part: str = "",
    loop: bool = True,
) -> Score:
    """The notes of audio [C, N] that lies on the grid of `aim`, or on its tempo map.

    `quantise` is how far notes are moved to the grid, 0 to 1. `listen` says what to hear: drums, notes or,
    with auto, both. `part` (one of CHANNELS) says that it is that part alone. Raises InvalidRequest.
    """
    if listen not in LISTENED:
        raise InvalidRequest(f"what to hear is {listen!r:.40}: expected one of {', '.join(LISTENED)}")
    if not 0 <= quantise <= 1:
        raise InvalidRequest(f"quantise is {quantise:g}: expected 0 (as played) to 1 (on the grid)")
    grid = aim.grid
    time = Time(grid.bpm, grid.bars * grid.signature.quarters_per_bar, aim.downbeat_s, aim.tempo_map)
    audio, _ = repair(np.atleast_2d(audio).astype(np.float32, copy=False))
    samples = mono(audio)
    if not len(samples) or np.abs(samples - samples.mean()).max() < SILENT:
        return Score((), quantise, ("silence: there are no notes in it",))
    heard: dict[str, list[ScoreNote]] = {}
    if listen != "drums" and part != "drums":
        notes = [_placed(note, time) for note in hear_notes(samples, sample_rate_hz, loop)]
        heard = {part: notes} if part else _told_apart(notes)
    if listen != "notes" and part in ("", "drums"):
        heard["drums"] = [
            ScoreNote(time.quarters(hit.start_s), SIXTEENTH, KINDS[hit.kind], hit.velocity, hit.confidence)
            for hit in hear_hits(samples, sample_rate_hz, loop)
        ]
    parts, remarks = [], []
    for name in CHANNELS:
        notes = heard.get(name, [])
        if not notes or (
            listen == "auto" and not part and np.mean([n.confidence for n in notes]) < SURE_PART
        ):
            continue
        parts.append(ScorePart(name, _cleaned(notes, name, time, key, quantise, loop), CHANNELS[name]))
    if not parts:
        wanted = {"drums": "drum hit", "notes": "note with a pitch"}.get(listen, "note or drum hit")
        remarks.append(f"no {wanted} was heard")
    unsure = bool(parts) and float(np.mean([one.confidence for one in parts])) < SURE_PART
    if listen == "notes" and 0 < sum(len(one.notes) for one in parts) < FEW:
        unsure = unsure or len(hear_hits(samples, sample_rate_hz, loop)) > 2 * FEW
    for name, other in (("drums", "notes"), ("notes", "drums")):
        if listen == name and unsure:
            remarks.append(f"little of this sounds like {name}: hear {other}, or leave it open")
    return Score(tuple(parts), quantise, tuple(remarks))


def merged(scores: Mapping[str, Score]) -> Score:
    """The notes of an idea: each part's, as they are heard in its own clip, on a channel of its own.

    What is struck is on General MIDI's channel for drums, whatever part strikes it.
    """
    kept = {CHANNELS[name] for name in scores if name in CHANNELS} | {CHANNELS["drums"]}
    free = iter(sorted(set(range(16)) - kept))
    parts = []
    for name, score in scores.items():
        struck = [note for part in score.parts if part.name == "drums" for note in part.notes]
        notes = [note for part in score.parts if part.name != "drums" for note in part.notes]
        if notes:
            parts.append(
                ScorePart(name, _in_order(notes), CHANNELS[name] if name in CHANNELS else next(free))
            )
        if struck:
            parts.append(ScorePart(f"{name} hits" if notes else name, _in_order(struck), CHANNELS["drums"]))
    remarks = (f"{name}: {remark}" for name, score in scores.items() for remark in score.remarks)
    return Score(tuple(parts), min(score.quantise for score in scores.values()), tuple(remarks))


def _in_order(notes: list[ScoreNote]) -> tuple[ScoreNote, ...]:
    return tuple(sorted(notes, key=lambda note: (note.quarters, note.pitch)))


def _placed(note: HeardNote, time: Time) -> ScoreNote:
    start = time.quarters(note.start_s)
    return ScoreNote(start, time.quarters(note.end_s) - start, note.pitch, note.velocity, note.confidence)


def _told_apart(notes: Sequence[ScoreNote]) -> dict[str, list[ScoreNote]]:
    """Bass, chords and lead. All is one part unless there is a bass under something higher."""
    pitches = np.array([note.pitch for note in notes])
    bass: list[ScoreNote] = []
    rest: list[ScoreNote] = []
    for note, together in zip(notes, _overlaps(notes), strict=True):
        under = (pitches < min(note.pitch, BASS_BELOW)) & (together > 0.5 * note.length)
        (bass if note.pitch < BASS_BELOW and not under.any() else rest).append(note)
    if len(rest) < max(FEW, 0.1 * len(notes)) and not _struck_together(rest):
        bass, rest = list(notes), []
    if bass and len(bass) < max(FEW, 0.1 * len(notes)):
        bass, rest = [], list(notes)
    name = "chords" if _struck_together(rest) else "lead"
    return {"bass": bass, name: rest}


def _overlaps(notes: Sequence[ScoreNote]) -> Iterator[np.ndarray]:
    """For each note, for how long each of them sounds with it."""
    starts = np.array([note.quarters for note in notes])
    ends = starts + [note.length for note in notes]
    for start, end in zip(starts, ends, strict=True):
        yield np.minimum(ends, end) - np.maximum(starts, start)


def _struck_together(notes: Sequence[ScoreNote]) -> bool:
    """Whether more than half of the notes begin with another, or sound with two others."""
    starts = np.array([note.quarters for note in notes])
    lengths = np.array([note.length for note in notes])
    together = 0
    for note, over in zip(notes, _overlaps(notes), strict=True):
        struck = np.sum(np.abs(starts - note.quarters) < TOGETHER) > 1
        held = np.sum(over > 0.5 * np.minimum(lengths, note.length)) > 2
        together += bool(struck or held)
    return together > 0.5 * len(notes)


def _cleaned(
    notes: Sequence[ScoreNote], name: str, time: Time, key: Key | None, quantise: float, loop: bool
) -> tuple[ScoreNote, ...]:
    """The part's notes on the grid, none longer than to its next one, none beyond the clip."""
    starts = on_grid(np.array([note.quarters for note in notes]) - time.phase) + time.phase
    moved = []
    for note, target in zip(notes, starts, strict=True):
        at = note.quarters + quantise * (float(target) - note.quarters)
        if at >= time.length - 1e-6 or at < 0:  # the next round's first
            at = at % time.length if loop else float(np.clip(at, 0, max(time.length - SHORTEST, 0)))
        outside = name != "drums" and key is not None and note.pitch % 12 not in key.pitch_classes
        length = min(max(note.length, SHORTEST), time.length - at)
        moved.append(replace(note, quarters=at, length=length, outside=outside))
    return tuple(_apart(moved, one_voice=name in ("bass", "lead")))


def _apart(notes: Iterable[ScoreNote], one_voice: bool) -> list[ScoreNote]:
    """Each note ended before its pitch begins again; in one voice, where notes only touch, before the next
    one. What begins twice at once is there once."""
    kept: list[ScoreNote] = []
    for note in sorted(notes, key=lambda note: (note.quarters, note.pitch, -note.confidence)):
        recent = range(len(kept) - 1, max(len(kept) - MOST_AT_ONCE, 0) - 1, -1)
        twin = next((k for k in recent if _same(kept[k], note)), None)
        if twin is None:
            kept.append(note)
        elif note.confidence > kept[twin].confidence:
            kept[twin] = note
    for index, note in enumerate(kept):
        for later in kept[index + 1 :]:
            over = note.quarters + note.length - later.quarters
            if over <= 0:
                break
            touching = one_voice and over < LEGATO and later.quarters - note.quarters >= SHORTEST
            if later.pitch == note.pitch or touching:
                kept[index] = note = replace(note, length=later.quarters - note.quarters)
    return kept


def _same(one: ScoreNote, other: ScoreNote) -> bool:
    return one.pitch == other.pitch and abs(one.quarters - other.quarters) < SHORTEST / 4


def on_grid(starts: np.ndarray) -> np.ndarray:
    """Where notes at `starts` (quarters from a beat) belong: on sixteenths or triplets, whichever they are
    nearer to, with the swing that they have: each place in a beat as late as most of its notes are."""
    step = SIXTEENTH
    if len(starts) >= FEW:
        off = {one: float(np.mean(np.abs(_away(starts, one)))) / one for one in (SIXTEENTH, *TRIPLETS)}
        best = min(TRIPLETS, key=lambda one: off[one])
        step = best if off[best] < TRIPLET_GAIN * off[SIXTEENTH] else SIXTEENTH
    number = np.rint(starts / step)
    targets: np.ndarray = number * step
    places = round(1 / step)
    place, late = number.astype(int) % places, starts - targets
    for one in range(1, places):
        here = late[place == one]
        if len(here) >= FEW and _agree(here):
            targets = targets + np.where(place == one, np.median(here), 0.0)
    return targets


def _away(starts: np.ndarray, step: float) -> np.ndarray:
    away: np.ndarray = starts - np.rint(starts / step) * step
    return away


def _agree(late: np.ndarray) -> bool:
    """Whether notes are late together, and by more than hands are unsteady."""
    middle = float(np.median(late))
    return abs(middle) > 0.02 and float(np.median(np.abs(late - middle))) < 0.5 * abs(middle)

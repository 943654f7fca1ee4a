"""The notes in a piece of audio: when each begins and ends, its pitch, how hard, and how sure that is.

The published network (see `pitches`) says where something may begin; a small network that has heard many
renders with known notes decides which of these are notes, and where they begin. What it does not know: which
instrument plays what. M = candidates.
"""

from dataclasses import dataclass

import numpy as np

from acestep.hearing.learned import likely, small
from acestep.hearing.onsets import OnsetCurve, onset_curve
from acestep.hearing.pitches import FRAME_S, LOWEST, PITCHES, Pitches, hear_pitches

# Chosen on renders with the fonts that were learned from; `python -m tests.benchmarks.midi` prints what comes
# of them.
CANDIDATE = 0.3  # likelihood of a beginning from which it is looked at
SURE = 0.5  # likelihood of a note
LASTS = 0.3  # a pitch goes on while it sounds as likely as this …
PAUSE_FRAMES = 6  # … or is less likely for no longer than this: 70 ms
MIN_NOTE_S = 0.04
AROUND = 16  # frames that are looked at to either side
OFFSETS = (-24, -19, -12, -7, -1, 1, 7, 12, 19)  # semitones to pitches whose harmonics may be meant
LATEST_FRAMES = 10.0  # how far a candidate may lie from where its note begins


@dataclass(frozen=True)
class HeardNote:
    """One note; `velocity` and `confidence` between 0 and 1."""

    start_s: float
    end_s: float
    pitch: int
    velocity: float
    confidence: float


@dataclass(frozen=True)
class Candidates:
    """Frames and pitches (from 0) where a note may begin, [M] each, with what is known of them, [M, F]."""

    frames: np.ndarray
    pitches: np.ndarray
    columns: np.ndarray


def hear_notes(samples: np.ndarray, sample_rate_hz: int, loop: bool = False) -> tuple[HeardNote, ...]:
    """The notes in mono `samples` [N] by their beginnings; in a `loop` the end leads into the beginning."""
    heard = hear_pitches(samples, sample_rate_hz, loop)
    found = note_candidates(heard, onset_curve(samples, sample_rate_hz), loop)
    if not len(found.frames):
        return ()
    told = small("notes")(found.columns)
    sure = likely(told[:, 0])
    starts = np.maximum(found.frames - np.clip(told[:, 1], -LATEST_FRAMES, LATEST_FRAMES), 0)
    notes = []
    for pitch in np.unique(found.pitches):
        here = np.flatnonzero((found.pitches == pitch) & (sure >= SURE))
        kept = _distinct(here, starts, sure)
        begun = [int(found.frames[index]) for index in kept]
        for index, at, following in zip(kept, begun, [*begun, len(heard.sounds)][1:], strict=True):
            start_s = float(starts[index]) * FRAME_S
            end_s = max(_end(heard.sounds[at:following, pitch], at) * FRAME_S, start_s + MIN_NOTE_S)
            velocity = float(np.clip(told[index, 2], 0.05, 1))
            notes.append(HeardNote(start_s, end_s, int(pitch) + LOWEST, velocity, float(sure[index])))
    return tuple(sorted(notes, key=lambda note: (note.start_s, note.pitch)))


def note_candidates(heard: Pitches, curve: OnsetCurve, loop: bool = False) -> Candidates:
    """Where the likelihood of a beginning has a peak, and what lies around it in time and pitch."""
    begins, sounds = (_surrounded(part, loop) for part in (heard.begins, heard.sounds))
    middle = begins[AROUND:-AROUND, -min(OFFSETS) : -min(OFFSETS) + PITCHES]
    before, after = (
        begins[AROUND + by : len(begins) - AROUND + by, -min(OFFSETS) : -min(OFFSETS) + PITCHES]
        for by in (-1, 1)
    )
    frames, rows = np.nonzero((middle >= before) & (middle > after) & (middle > CANDIDATE))
    at, pitch = frames + AROUND, rows - min(OFFSETS)

    def over(part: np.ndarray, first: int, last: int, to: int = 0) -> np.ndarray:
        return np.stack([part[at + by, pitch + to] for by in range(first, last)])

    columns = [_odds(begins[at + by, pitch]) for by in (-2, -1, 0, 1, 2)]
    columns += [
        _odds(over(sounds, first, last).mean(axis=0)) for first, last in ((-8, -2), (-2, 1), (1, 5), (5, 13))
    ]
    columns += [over(begins, -14, -3).max(axis=0), over(begins, 4, 14).max(axis=0)]
    for to in OFFSETS:
        columns += [over(begins, -3, 4, to).max(axis=0), over(sounds, 1, 7, to).mean(axis=0)]
    loudest = begins.max(axis=1)
    columns += [np.stack([loudest[at + by] for by in range(-3, 4)]).max(axis=0)]
    columns += [(begins[at] > CANDIDATE).sum(axis=1), rows / PITCHES, np.square(rows / PITCHES)]
    total = curve.total / max(float(curve.total.max(initial=0)), 1e-6)
    place = np.rint(curve.frames(frames * FRAME_S)).astype(int)
    for first, last in ((-24, -8), (-8, -3), (-3, 4), (4, 9)):  # 5 ms each
        near = np.stack([total[np.clip(place + by, 0, len(total) - 1)] for by in range(first, last)])
        columns.append(near.max(axis=0))
    return Candidates(frames, rows, np.stack(columns, axis=1).astype(np.float32))


def _surrounded(part: np.ndarray, loop: bool) -> np.ndarray:
    """[T, 88] with frames before and after and silent pitches above and below."""
    widened = np.pad(part, ((0, 0), (-min(OFFSETS), max(OFFSETS))))
    if loop and len(part) >= AROUND:
        return np.concatenate([widened[-AROUND:], widened, widened[:AROUND]])
    return np.pad(widened, ((AROUND, AROUND), (0, 0)))


def _odds(share: np.ndarray) -> np.ndarray:
    kept = np.clip(share, 0.003, 0.997)
    odds: np.ndarray = np.log(kept / (1 - kept))
    return odds


def _distinct(here: np.ndarray, starts: np.ndarray, sure: np.ndarray) -> list[int]:
    """Of the candidates of one pitch the surest of those that mean the same note, in order."""
    kept: list[int] = []
    for index in here[np.argsort(-sure[here], kind="stable")]:
        if all(abs(starts[index] - starts[other]) * FRAME_S >= MIN_NOTE_S for other in kept):
            kept.append(int(index))
    return sorted(kept, key=lambda index: float(starts[index]))


def _end(sounds: np.ndarray, begun: int) -> int:
    """The frame behind the last one in which a pitch is heard that begins with the first of `sounds`."""
    heard = np.flatnonzero(sounds >= LASTS)
    if not len(heard) or heard[0] > PAUSE_FRAMES:
        return begun + 1
    pauses = np.flatnonzero(np.diff(heard) > PAUSE_FRAMES)
    return begun + 1 + int(heard[pauses[0]] if len(pauses) else heard[-1])

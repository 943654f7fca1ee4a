"""The single sounds in audio, hits or notes: where each begins and ends, how clear it is, and what it is.

Audio is [C, N] float32.
"""

from dataclasses import dataclass

import numpy as np

from acestep.hearing.attack import attack_start, levels
from acestep.hearing.kinds import kind_of
from acestep.hearing.onsets import FAINTEST_ATTACK, mono, onset_curve, pick_onsets
from acestep.hearing.pitch import Pitch, find_pitch

# Chosen by hand; tests/acestep/hearing/test_hits.py holds where hits are cut, on hits made by arithmetic.
BEFORE_S = 0.0007  # a hit is cut this long before its attack is heard to begin, which is told within 0.7 ms
SHORTEST_S = 0.04  # what is cut off sooner by the next hit is no sample of its own

LEAST_RISE_DB = 6.0  # what rises by less is heard as a part of what was there
LEAST_FALL_DB = 10.0  # what falls by less, and is not cut off by the next hit, is held like a pad
SILENT_DB = -60.0  # under its loudest moment a hit has died away
LONGEST_S = 4.0
FADE_SHARE, FADE_S = 0.15, (0.004, 0.060)  # of a tail that is cut off, within these bounds
ATTACK_BLOCKS = 8  # of LEVEL_S: where a hit is loudest
LEVEL_S = 0.010  # over which the level at the edges of a hit is read
CLEAREST_DB = 40.0  # of a rise or a fall: more makes no better sample


@dataclass(frozen=True)
class Single:
    """One sound. `clarity_db`: how far it rises out of what was before it, and falls until it is cut off."""

    start: int  # samples
    end: int
    rise_db: float
    fall_db: float
    kind: str  # see kinds
    sureness: float  # of the kind, 0–1
    pitch: Pitch | None

    @property
    def clarity_db(self) -> float:
        return min(self.rise_db, CLEAREST_DB) + min(self.fall_db, CLEAREST_DB)


def find_singles(audio: np.ndarray, sample_rate_hz: int, *, tonal: bool = False) -> list[Single]:
    """The hits in `audio`, in time order; [] where nothing clearly begins, as in a pad.

    `tonal` says that it holds notes rather than drums: a hit with a clear pitch is a note then.
    """
    starts = _starts(audio, sample_rate_hz)
    if not starts:
        return []
    ends = [*starts[1:], audio.shape[1] + 1]
    found = []
    for start, next_start in zip(starts, ends, strict=True):
        end = _died_away(audio[:, start:next_start], sample_rate_hz) + start
        if end - start < SHORTEST_S * sample_rate_hz:
            continue
        rise_db, fall_db = _edges_db(audio, start, end, sample_rate_hz)
        sounds_on = fall_db < LEAST_FALL_DB and end != next_start
        if rise_db < LEAST_RISE_DB or sounds_on:
            continue
        sound = audio[:, start:end]
        pitch = find_pitch(sound, sample_rate_hz)
        kind, sureness = kind_of(sound, sample_rate_hz, pitch, tonal=tonal)
        found.append(Single(start, end, rise_db, fall_db, kind, sureness, pitch))
    return found


def cut(audio: np.ndarray, hit: Single, sample_rate_hz: int) -> np.ndarray:
    """The hit alone [C, n]: it comes up before its attack, and its tail ends in silence."""
    sound = audio[:, hit.start : hit.end].astype(np.float32, copy=True)
    opening = min(round(BEFORE_S * sample_rate_hz), sound.shape[1])
    if hit.start:  # what was before it is still there
        sound[:, :opening] *= _slope(opening)
    low, high = (round(edge_s * sample_rate_hz) for edge_s in FADE_S)
    closing = min(sound.shape[1], max(low, min(high, round(FADE_SHARE * sound.shape[1]))))
    sound[:, sound.shape[1] - closing :] *= _slope(closing)[::-1]
    sound[:, -1] = 0.0
    return sound


def _starts(audio: np.ndarray, sample_rate_hz: int) -> list[int]:
    """Where hits are to be cut, each once."""
    if audio.shape[1] < SHORTEST_S * sample_rate_hz:
        return []
    onsets = pick_onsets(onset_curve(mono(audio), sample_rate_hz))
    heights = [levels(audio, sample_rate_hz, crisp=crisp) for crisp in (False, True)]
    found: list[int] = []
    for near_s, rise in zip(onsets.times_s, onsets.rises, strict=True):
        if rise < FAINTEST_ATTACK:
            continue
        read = [start for level in heights if (start := attack_start(level, near_s)) is not None]
        if not read:
            continue
        start = max(0, round((max(read) - BEFORE_S) * sample_rate_hz))
        if not found or start - found[-1] >= SHORTEST_S * sample_rate_hz:
            found.append(start)
    return found


def _died_away(sound: np.ndarray, sample_rate_hz: int) -> int:
    """How many samples of a hit are heard."""
    level_db = _level_db(sound, sample_rate_hz)
    heard = np.flatnonzero(level_db > level_db.max(initial=-200.0) + SILENT_DB)
    last = (int(heard[-1]) + 2) * round(LEVEL_S * sample_rate_hz) if len(heard) else 0
    length: int = sound.shape[1]
    return min(last, length, round(LONGEST_S * sample_rate_hz))


def _edges_db(audio: np.ndarray, start: int, end: int, sample_rate_hz: int) -> tuple[float, float]:
    """How far the hit's attack is above what was before it, and above its own end.

    Before the first sample is what a loop ends with: a pad begins nowhere.
    """
    block = round(LEVEL_S * sample_rate_hz)
    attack_db = float(
        _level_db(audio[:, start : min(end, start + ATTACK_BLOCKS * block)], sample_rate_hz).max()
    )
    before = audio[:, start - block : start] if start >= block else audio[:, -block:]
    after = audio[:, max(start, end - block) : end]
    rise_db, fall_db = (
        attack_db - max(float(_level_db(part, sample_rate_hz)[0]), attack_db + 2 * SILENT_DB)
        for part in (before, after)
    )
    return rise_db, fall_db


def _level_db(audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Level of every LEVEL_S, the last one of what is left."""
    block = round(LEVEL_S * sample_rate_hz)
    if not audio.shape[1]:
        return np.zeros(0)
    power = np.square(audio, dtype=np.float64).mean(axis=0)
    edges = np.arange(0, len(power), block)
    sizes = np.diff(np.append(edges, len(power)))
    level: np.ndarray = 10 * np.log10(np.add.reduceat(power, edges) / sizes + 1e-20)
    return level


def _slope(length: int) -> np.ndarray:
    """From 0 to 1 without a corner."""
    slope: np.ndarray = (0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / max(length, 1))).astype(
        np.float32
    )
    return slope

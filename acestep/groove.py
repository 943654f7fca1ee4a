"""Where the beats of a clip on a straight grid are moved to: onto a tempo map, into a swing – and back.

Knows samples and positions; what a clip's map or swing should be is decided by its caller.
Audio is [C, N] float32. A swing is the ratio of the long to the short eighth: 1 straight, 2 triplets.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from acestep.grid import SAMPLE_RATE_HZ, Grid
from acestep.loudness import seam_error
from acestep.onsets import mono, onset_curve, pick_onsets
from acestep.seam import smooth_seam
from acestep.stretch import ATTACK_S, paste_attacks, warp
from acestep.tempo import refine_tempo
from acestep.tempo_map import TempoMap

AUDIBLE_S = 0.006  # off-beats that would move by less are left alone
EDGE_S = 0.015  # beats nearer to the clip's ends than this are not moved by themselves
CLICK = 1.0
BEAT_SHARE = 0.2  # of a quarter: onsets this near to one are on it, whatever the swing
MARGIN_S = 0.3  # on both sides, so that the ends are stretched like the rest


def follow(
    audio: np.ndarray, grid: Grid, tempo_map: TempoMap, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> np.ndarray:
    """A loop on `grid`, warped so that every eighth falls where the map has it; the map's exact length."""
    straight = _eighths(grid)
    target_s = _on_map(straight, grid, tempo_map)
    if np.allclose(straight, target_s, atol=0.25 / sample_rate_hz):
        return audio
    length = tempo_map.samples(grid.signature, grid.bars, sample_rate_hz=sample_rate_hz)
    return _moved(audio, straight, target_s, length, sample_rate_hz)


def straighten(
    audio: np.ndarray, grid: Grid, tempo_map: TempoMap, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> np.ndarray:
    """Music that follows the map, warped onto the straight grid: what `follow` undoes. Not a loop."""
    end = tempo_map.quarters(audio.shape[1] / sample_rate_hz)
    straight = np.append(np.arange(0, end - 0.1, 0.5), end) * 60 / grid.bpm
    source_s = _on_map(straight, grid, tempo_map)
    return warp(audio, sample_rate_hz, source_s, straight)


def swing(
    audio: np.ndarray,
    grid: Grid,
    heard: float,
    wanted: float,
    downbeat_s: float = 0.0,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> np.ndarray:
    """A loop whose off-beat eighths swing as `heard`, moved to swing as `wanted`; the beats stay.

    The same array when nobody would hear a difference. `downbeat_s` is where a bar begins in the loop.
    """
    quarter_s = 60 / grid.bpm
    source, target = (quarter_s * ratio / (1 + ratio) for ratio in (heard, wanted))
    if abs(source - target) < AUDIBLE_S:
        return audio
    beats = downbeat_s % quarter_s + quarter_s * np.arange(-1, np.ceil(grid.duration_s / quarter_s))
    end_s = audio.shape[1] / sample_rate_hz
    pairs = np.concatenate([[beats, beats], [beats + source, beats + target]], axis=1)
    pairs = pairs[:, np.argsort(pairs[0])]
    inside = np.all((pairs > EDGE_S) & (pairs < end_s - EDGE_S), axis=0)
    pairs = np.concatenate([[[0.0], [0.0]], pairs[:, inside], [[end_s], [end_s]]], axis=1)
    return _moved(audio, pairs[0], pairs[1], audio.shape[1], sample_rate_hz)


def errors_on(
    audio: np.ndarray, grid: Grid, tempo_map: TempoMap, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> tuple[float, float] | None:
    """How far a clip is from its map: mean tempo in %, median distance of the beats in ms, negative when most
    are early.

    None when none is heard.
    The onsets' times are read through the map: where it is followed, they lie on the straight grid.
    """
    onsets = pick_onsets(onset_curve(mono(audio), sample_rate_hz))
    if len(onsets.times_s) < 4:
        return None
    quarters = np.array([tempo_map.quarters(at) for at in onsets.times_s])
    bpm = refine_tempo(replace(onsets, times_s=quarters * 60 / grid.bpm), grid.bpm)
    away = quarters - np.rint(quarters)
    near = np.abs(away) < BEAT_SHARE
    if near.sum() < 4:
        return None
    far = np.abs(away[near])
    order = np.argsort(far)
    sums = np.cumsum(onsets.strengths[near][order])
    beat = float(far[order][np.searchsorted(sums, sums[-1] / 2)])
    early = float(np.average(away[near], weights=onsets.strengths[near])) < 0
    beat = -beat if early else beat
    return round(abs(bpm / grid.bpm - 1) * 100, 3), round(beat * 60_000 / grid.bpm, 2)


def _eighths(grid: Grid) -> np.ndarray:
    quarters = grid.bars * grid.signature.quarters_per_bar
    return np.append(np.arange(0, quarters - 0.1, 0.5), quarters) * 60 / grid.bpm


def _on_map(straight_s: np.ndarray, grid: Grid, tempo_map: TempoMap) -> np.ndarray:
    place: Callable[[float], float] = tempo_map.seconds
    return np.array([place(float(at) * grid.bpm / 60) for at in straight_s])


def _moved(
    audio: np.ndarray, source_s: np.ndarray, target_s: np.ndarray, length: int, sample_rate_hz: int
) -> np.ndarray:
    """A loop warped from `source_s` to `target_s` (both from 0 to its end), with its attacks kept."""
    margin = min(round(MARGIN_S * sample_rate_hz), audio.shape[1] - 1)
    # before the start its own end; behind the end no new attack, which would be smeared into it
    around = np.pad(np.pad(audio, ((0, 0), (margin, 0)), mode="wrap"), ((0, 0), (0, margin)), mode="reflect")
    result = warp(around, sample_rate_hz, source_s + margin / sample_rate_hz, target_s)
    missing = length - result.shape[1]
    result = np.pad(result, ((0, 0), (0, missing))) if missing > 0 else result[:, :length]
    onsets = pick_onsets(onset_curve(mono(audio), sample_rate_hz)).times_s
    at_s = np.interp(onsets, source_s, target_s)
    result = paste_attacks(result, audio, at_s, onsets, sample_rate_hz, ATTACK_S)
    return smooth_seam(result, sample_rate_hz) if seam_error(result, sample_rate_hz) > CLICK else result

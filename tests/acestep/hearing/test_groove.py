"""Moving a fitted clip: onto a tempo map and back, into a swing, and measuring it there."""

import numpy as np
import pytest

from acestep.clips.fit import fit, moved
from acestep.hearing.beats import find_beat_offset
from acestep.hearing.groove import errors_on, follow, straighten, swing
from acestep.hearing.measure import measure
from acestep.hearing.onsets import mono, onset_curve, pick_onsets
from acestep.music.aim import Aim
from acestep.music.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.music.tempo_map import TempoMap, TempoPoint
from acestep.sound.loudness import seam_error
from tests.support.band import drums

RAMP = TempoMap((TempoPoint(0, 100, ramp=True), TempoPoint(16, 120), TempoPoint(24, 90)))
FOUR = Signature(4, 4)
GRID = Grid(RAMP.mean_bpm(FOUR, 4), FOUR, 4)


def strong_onsets_s(audio: np.ndarray) -> np.ndarray:
    onsets = pick_onsets(onset_curve(mono(audio), SAMPLE_RATE_HZ))
    return onsets.times_s[onsets.strengths > 0.5]


def test_a_clip_follows_a_ramp():
    clip = follow(drums(GRID), GRID, RAMP)
    assert clip.shape[1] == RAMP.samples(FOUR, 4)
    wanted = np.array([RAMP.seconds(half / 2) for half in range(32)])
    away_ms = np.abs(strong_onsets_s(clip)[:, None] - wanted).min(axis=1) * 1000
    assert np.percentile(away_ms, 95) < 8  # clicks rise early: the onsets themselves are heard 5 ms ahead
    assert seam_error(clip) <= 1.0


def test_what_follows_the_map_is_measured_as_such_and_what_does_not_as_off():
    tempo_pct, beat_ms = errors_on(follow(drums(GRID), GRID, RAMP), GRID, RAMP)
    assert tempo_pct < 0.2
    assert beat_ms < 8
    _, straight_ms = errors_on(drums(GRID), GRID, RAMP)
    assert straight_ms > 25
    assert errors_on(np.zeros((2, 100_000), np.float32), GRID, RAMP) is None


def test_a_clip_that_follows_already_is_untouched():
    grid = Grid(100.0, bars=2)
    loop = drums(grid)
    assert follow(loop, grid, TempoMap.parse([(0, 100)])) is loop


def test_music_on_a_map_is_brought_back_to_one_tempo():
    found = measure(straighten(follow(drums(GRID), GRID, RAMP), GRID, RAMP), grid=GRID)
    assert found.steady
    assert found.bpm == pytest.approx(GRID.bpm, rel=2e-3)


@pytest.mark.parametrize("late_s", [0.0, 0.7])
def test_off_beats_are_moved_and_beats_stay(late_s):
    grid = Grid(104.0, bars=4)
    loop = np.roll(drums(grid), round(late_s * SAMPLE_RATE_HZ), axis=1)
    swung = swing(loop, grid, 1.0, 1.8, late_s)
    assert swung.shape == loop.shape
    found = measure(swung, grid=grid)
    assert found.swing == pytest.approx(1.8, abs=0.08)
    onsets = pick_onsets(onset_curve(mono(swung), SAMPLE_RATE_HZ))
    assert abs(find_beat_offset(onsets, late_s, grid.beat_s)) < 0.004
    assert swing(loop, grid, 1.0, 1.01, late_s) is loop


def test_a_moved_clip_carries_its_errors_against_the_map():
    fitted = fit(drums(GRID), SAMPLE_RATE_HZ, GRID)
    placed = moved(fitted, Aim(GRID, tempo_map=RAMP), swing=1.6)
    assert placed.audio.shape[1] == RAMP.samples(FOUR, 4)
    assert placed.verdict == "good"
    assert abs(placed.downbeat_error_ms) < 12
    assert [change.split(" from ")[0] for change in placed.changes] == [
        "off-beats moved",
        "moved onto the tempo map",
    ]
    assert moved(fitted, Aim(GRID)) is fitted

"""Fitting: what is off is brought to the grid, what is in place stays as it is."""

import numpy as np
import pytest

from acestep.clips.fit import Hints, fit
from acestep.hearing.attack import attack_start, levels, loop_attack
from acestep.hearing.onsets import mono, onset_curve, pick_onsets
from acestep.music.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.music.key import Key
from tests.support.band import band, drums, pad, shifted


def beat_errors_ms(audio: np.ndarray, grid: Grid) -> np.ndarray:
    """How far strong attacks begin from the grid's half beats."""
    onsets = pick_onsets(onset_curve(mono(audio), SAMPLE_RATE_HZ))
    level_db = levels(audio, SAMPLE_RATE_HZ)
    starts = [attack_start(level_db, at) for at in onsets.times_s[onsets.strengths > 0.3]]
    begun = np.array([start for start in starts if start is not None])
    assert len(begun) > 8
    half = grid.beat_s / 2
    return np.abs((begun + half / 2) % half - half / 2) * 1000


@pytest.mark.parametrize("bpm", [74.0, 92.5, 127.37, 160.0])
@pytest.mark.parametrize("off", [0.93, 1.07])
@pytest.mark.parametrize("shift_s", [0.0, 0.4321])
def test_a_loop_that_is_off_is_brought_to_the_grid(bpm, off, shift_s):
    grid = Grid(bpm, bars=4)
    loop = shifted(drums(Grid(bpm * off, bars=4)), shift_s)
    fitted = fit(loop, SAMPLE_RATE_HZ, grid)
    assert fitted.audio.shape == (2, grid.samples())
    assert fitted.verdict == "good"
    away = beat_errors_ms(fitted.audio, grid)
    assert np.median(away) < 5
    assert np.percentile(away, 95) < 12


@pytest.mark.parametrize("signature", ["4/4", "3/4", "7/8", "6/8"])
def test_what_is_in_place_passes_untouched(signature):
    grid = Grid(120.0, Signature.parse(signature), 4)
    loop = drums(grid)
    fitted = fit(loop, SAMPLE_RATE_HZ, grid)
    assert fitted.verdict == "untouched"
    assert np.array_equal(fitted.audio, loop)


def test_an_open_end_is_cut_to_the_sample_and_rings_into_the_beginning():
    grid = Grid(100.0, bars=2)
    fitted = fit(band(grid, Key.parse("A minor"), tail_s=0.7), SAMPLE_RATE_HZ, grid, Key.parse("A minor"))
    assert fitted.audio.shape[1] == grid.samples()
    assert fitted.after.seam_error <= 1.0
    assert fitted.tempo_error_pct < 0.5


@pytest.mark.parametrize("steps", [-2, -1, 1, 2])
def test_key_is_moved_the_shortest_way(steps):
    asked = Key.parse("A minor")
    played = Key((asked.tonic - steps) % 12, "minor")
    grid = Grid(110.0, bars=4)
    fitted = fit(band(grid, played), SAMPLE_RATE_HZ, grid, asked)
    assert fitted.key_match == "same key"
    assert f"moved by {steps:+.2f} semitones" in fitted.changes


def test_drums_are_never_transposed():
    grid = Grid(110.0, bars=4)
    loop = drums(grid)
    fitted = fit(loop, SAMPLE_RATE_HZ, grid, Key.parse("F# minor"))
    assert np.array_equal(fitted.audio, loop)
    assert fitted.key_match is None


def test_a_key_that_was_not_asked_for_is_left_alone():
    grid = Grid(110.0, bars=4)
    fitted = fit(band(grid, Key.parse("C minor")), SAMPLE_RATE_HZ, grid)
    assert not any("semitones" in change for change in fitted.changes)


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros((2, 100_000)),
        np.full((2, 300_000), np.nan),
        np.zeros((2, 10)),
        np.ones((2, 200_000)) * 0.3,
        np.random.default_rng(0).standard_normal((2, 250_000)) * 0.1,
    ],
    ids=["silence", "nan", "tiny", "dc", "noise"],
)
def test_whatever_comes_the_length_is_exact_and_finite(audio):
    grid = Grid(123.4, bars=2)
    fitted = fit(audio.astype(np.float32), SAMPLE_RATE_HZ, grid, Key.parse("C"))
    assert fitted.audio.shape == (2, grid.samples())
    assert np.isfinite(fitted.audio).all()


def test_beatless_material_is_only_cut():
    grid = Grid(100.0, bars=2)
    sound = pad(Key.parse("A minor"), grid.duration_s + 0.5)
    fitted = fit(sound, SAMPLE_RATE_HZ, grid, Key.parse("A minor"))
    assert fitted.tempo_error_pct is None
    assert not any("stretched" in change for change in fitted.changes)


def test_a_tempo_that_drifts_is_straightened():
    grid = Grid(110.0, bars=6)
    pieces = [drums(Grid(bpm, bars=1)) for bpm in (108.5, 109.2, 109.8, 110.4, 111.0, 111.6)]
    fitted = fit(np.concatenate(pieces, axis=1), SAMPLE_RATE_HZ, grid)
    assert np.percentile(beat_errors_ms(fitted.audio, grid), 90) < 15


def test_fitting_twice_changes_nothing_more():
    grid = Grid(96.0, bars=4)
    once = fit(shifted(drums(Grid(102.0, bars=4)), 0.3), SAMPLE_RATE_HZ, grid)
    twice = fit(once.audio, SAMPLE_RATE_HZ, grid)
    assert np.array_equal(once.audio, twice.audio)


def test_the_same_input_gives_the_same_samples():
    grid = Grid(96.0, bars=2)
    loop = band(Grid(101.0, bars=2), Key.parse("B minor"))
    one = fit(loop, SAMPLE_RATE_HZ, grid, Key.parse("A minor"))
    two = fit(loop, SAMPLE_RATE_HZ, grid, Key.parse("A minor"))
    assert np.array_equal(one.audio, two.audio)


@pytest.mark.parametrize("late_s", [-0.008, 0.012])
def test_a_part_keeps_the_beats_it_is_given_and_begins_on_its_first_sample(late_s):
    grid = Grid(100.0, bars=2)
    off_beats = np.roll(
        drums(grid), round(grid.beat_s / 2 * SAMPLE_RATE_HZ), axis=1
    )  # a bar the ear misreads
    result = fit(shifted(off_beats, late_s), grid=grid, downbeat_s=0.0, hints=Hints(given=True))
    assert result.verdict in ("good", "untouched")
    assert abs(result.downbeat_error_ms) < 4
    start_s = loop_attack(result.audio, SAMPLE_RATE_HZ)
    assert start_s is not None
    assert -0.001 <= start_s <= 0.002
    moved = result.audio.mean(axis=0), off_beats.mean(axis=0)
    assert np.corrcoef(*moved)[0, 1] > 0.6  # on the half beat, where it was


def test_a_part_without_attacks_is_unsure_not_poor():
    result = fit(
        pad(Key.parse("A minor"), 4.8), grid=Grid(100.0, bars=2), downbeat_s=0.0, hints=Hints(given=True)
    )
    assert result.verdict == "unsure"
    assert result.downbeat_error_ms is None

"""Measuring audio whose truth is known because it was made here; saying so when there is nothing to hear."""

import numpy as np
import pytest

from acestep.hearing.measure import measure
from acestep.music.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.music.key import Key
from tests.support.band import band, drums, pad, shifted


@pytest.mark.parametrize("bpm", [68.3, 92.5, 111.0, 127.37, 151.9, 174.0])
@pytest.mark.parametrize("off", [0.94, 1.0, 1.07])
def test_tempo_is_found_near_the_one_asked_for(bpm, off):
    grid = Grid(bpm * off, bars=4)
    found = measure(drums(grid), grid=Grid(bpm))
    assert found.bpm == pytest.approx(grid.bpm, rel=0.005)
    assert found.tempo_confidence > 0.5
    assert found.steady


@pytest.mark.parametrize("bpm", [84.0, 97.3, 120.0, 133.7])
def test_tempo_is_found_without_a_hint(bpm):
    found = measure(band(Grid(bpm, bars=4), Key.parse("D minor")))
    assert found.bpm == pytest.approx(bpm, rel=0.005)


@pytest.mark.parametrize("shift_s", [0.0, 0.21, 0.5, 1.234])
def test_the_downbeat_is_found(shift_s):
    grid = Grid(112.0, bars=4)
    found = measure(shifted(band(grid, Key.parse("G")), shift_s), grid=grid)
    error_s = (found.downbeat_s - shift_s + grid.bar_s / 2) % grid.bar_s - grid.bar_s / 2
    assert abs(error_s) < 0.010


@pytest.mark.parametrize("name", ["C major", "A minor", "F# minor", "Bb major", "E minor", "Eb major"])
def test_key_is_found(name):
    found = measure(band(Grid(104.0, bars=4), Key.parse(name)))
    assert found.key == Key.parse(name)
    assert abs(found.tuning_cents) < 8


def test_tuning_is_measured_in_cents():
    audio = pad(Key.parse("C"), 6.0)
    length = audio.shape[1]
    sharp = np.stack(
        [np.interp(np.arange(length) * 2 ** (30 / 1200), np.arange(length), row) for row in audio]
    )
    assert measure(sharp).tuning_cents == pytest.approx(30, abs=5)


def test_drums_have_no_key_and_pads_have_no_beat():
    beat = measure(drums(Grid(100.0, bars=4)))
    assert beat.key is None
    assert "no key" in beat.notes
    chord = measure(pad(Key.parse("A minor"), 8.0))
    assert chord.bpm is None
    assert "no beat" in chord.notes
    assert chord.key is not None


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 96_000, 192_000])
def test_any_sample_rate_is_measured(rate_hz):
    import soxr

    audio = soxr.resample(band(Grid(110.0, bars=2), Key.parse("A minor")).T, SAMPLE_RATE_HZ, rate_hz).T
    found = measure(audio, rate_hz, grid=Grid(110.0))
    assert found.bpm == pytest.approx(110.0, rel=0.005)


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros((2, 48_000)),
        np.full((2, 48_000), 0.5),
        np.full((2, 48_000), np.nan),
        np.zeros((2, 0)),
        np.ones((1, 1)),
        np.zeros(100),
    ],
    ids=["silence", "dc", "nan", "empty", "one sample", "short"],
)
def test_nothing_to_hear_is_said_and_never_a_crash(audio):
    found = measure(audio.astype(np.float32))
    assert (found.bpm, found.key, found.downbeat_s) == (None, None, None)
    assert found.notes


def test_noise_has_neither_beat_nor_key():
    noise = np.random.default_rng(3).standard_normal((2, 8 * SAMPLE_RATE_HZ)).astype(np.float32) * 0.2
    found = measure(noise)
    assert found.key is None
    assert found.bpm is None or found.tempo_confidence < 0.3


def test_a_single_click_has_no_beat():
    audio = np.zeros((2, 4 * SAMPLE_RATE_HZ), np.float32)
    audio[:, 50_000:50_020] = 0.9
    found = measure(audio)
    assert found.bpm is None
    assert found.key is None


@pytest.mark.parametrize("duration_s", [0.05, 0.3, 0.9])
def test_very_short_audio_is_no_tempo(duration_s):
    found = measure(drums(Grid(120.0))[:, : round(duration_s * SAMPLE_RATE_HZ)])
    assert found.bpm is None


def test_holes_and_clipping_are_survived_and_noted():
    audio = drums(Grid(120.0, bars=4)) * 6
    audio = np.clip(audio, -1, 1)
    audio[0, 100:200] = np.nan
    found = measure(audio, grid=Grid(120.0))
    assert found.bpm == pytest.approx(120, rel=0.005)
    assert "clipped" in found.notes
    assert any("not numbers" in note for note in found.notes)


def test_a_moving_tempo_is_said_to_move():
    pieces = [drums(Grid(bpm, bars=1)) for bpm in (100, 104, 108, 112, 116, 120)]
    found = measure(np.concatenate(pieces, axis=1))
    assert found.bpm is None or not found.steady or found.tempo_confidence < 0.5


def test_meter_is_three_four_or_unsure():
    waltz = measure(band(Grid(110.0, Signature(3, 4), 8), Key.parse("C")))
    assert waltz.meter in (3, 6, None)
    common = measure(band(Grid(110.0, Signature(4, 4), 8), Key.parse("C")))
    assert common.meter in (2, 4, None)


def test_out_of_phase_stereo_is_heard():
    left = drums(Grid(120.0, bars=4))[:1]
    found = measure(np.concatenate([left, -left]), grid=Grid(120.0))
    assert found.bpm == pytest.approx(120, rel=0.005)


def test_loudness_follows_the_standard():
    t = np.arange(5 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = (10 ** (-20 / 20) * np.sin(2 * np.pi * 997 * t)).astype(np.float32)
    found = measure(np.stack([tone, tone]))
    assert found.lufs == pytest.approx(-20, abs=0.3)  # one channel reads −3.01 below its peak, two add up
    assert found.true_peak_db == pytest.approx(-20, abs=0.2)


def clicks(times_s, duration_s: float) -> np.ndarray:
    """Equal clicks and nothing else [2, N]."""
    audio = np.zeros((2, round(duration_s * SAMPLE_RATE_HZ)), np.float32)
    click = np.random.default_rng(1).standard_normal(600) * np.exp(-np.arange(600) / 90) * 0.3
    for at in np.rint(np.asarray(times_s) * SAMPLE_RATE_HZ).astype(int):
        audio[:, at : at + 600] += click[: audio.shape[1] - at].astype(np.float32)
    return audio


def test_a_clip_made_on_the_bar_is_believed_until_its_music_says_otherwise():
    grid = Grid(112.0, bars=4)
    even = clicks(np.arange(16) * grid.beat_s + 0.0, grid.duration_s)
    assert measure(even, grid=grid, on_bar=True).downbeat_s == pytest.approx(0, abs=0.012)
    late = measure(shifted(band(grid, Key.parse("G")), 2 * grid.beat_s), grid=grid, on_bar=True)
    assert late.downbeat_s == pytest.approx(2 * grid.beat_s, abs=0.012)


def test_few_notes_that_allow_the_tempo_asked_for_are_in_it():
    grid = Grid(100.0, bars=2)
    unsteady = [0.0, 0.612, 1.203, 2.398, 3.009, 3.594]  # played by hand: 0.5 % slow at best
    found = measure(clicks(unsteady, grid.duration_s), grid=grid)
    assert found.bpm == pytest.approx(100.0)
    steady = measure(drums(Grid(100.7, bars=8)), grid=Grid(100.0, bars=8))
    assert steady.bpm == pytest.approx(100.7, rel=0.001)


def test_notes_without_a_pulse_keep_the_time_asked_for_or_none():
    grid = Grid(88.0, bars=4)
    random = np.random.default_rng(3)
    sixteenths = np.sort(random.choice(64, 15, replace=False))
    on_grid = measure(clicks(sixteenths * grid.beat_s / 4, grid.duration_s), grid=grid)
    assert on_grid.bpm == pytest.approx(88.0, rel=0.005)
    anywhere = measure(clicks(np.sort(random.uniform(0, 10, 15)), grid.duration_s), grid=grid)
    assert anywhere.bpm is None or abs(anywhere.bpm / 88 - 1) > 0.01 or anywhere.tempo_confidence < 0.3

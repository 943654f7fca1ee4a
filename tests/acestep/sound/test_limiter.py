"""Levels: a clip's loudness, and peaks that are held back instead of cut off."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.music.grid import Grid
from acestep.sound.limiter import MOST_LIMITED_DB, levelled, limited_inside
from acestep.sound.loudness import integrated_lufs, seam_error, true_peak_db
from tests.support.band import drums, hits

RATE_HZ = 48_000


def finer_true_peak(audio: np.ndarray) -> float:
    """Sixteen times oversampled by the steepest filter, in dB: four times finer than what the product reads.

    scipy's resample_poly is not a meter here: its short filter lets images of noise pass, which adds 0.3 dB.
    """
    around = np.concatenate([audio[:, -500:], audio, audio[:, :500]], axis=1)
    return float(20 * np.log10(np.abs(soxr.resample(around.T, 1, 16, "VHQ")).max()))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(-30, 20), st.sampled_from([44_100, 48_000]), st.floats(-30, -8))
def test_no_peak_between_samples_is_above_the_ceiling(seed, gain_db, rate_hz, target):
    chance = np.random.default_rng(seed)
    audio = hits(sorted(chance.uniform(0, 2, 6)), rise_s=float(chance.uniform(0.0002, 0.01)))
    audio = audio + 0.05 * chance.standard_normal(audio.shape).astype(np.float32)
    result, level = levelled(audio * np.float32(10 ** (gain_db / 20)), rate_hz, target)
    assert finer_true_peak(result) < -0.9
    assert result.shape == audio.shape
    assert level.limited_db <= MOST_LIMITED_DB + 0.1


@pytest.mark.parametrize("target", [-20.0, -14.0])
def test_a_clip_gets_the_loudness_that_was_asked_for(target):
    for audio in (drums(Grid(120, bars=2)), hits([0.0, 0.5, 1.0, 1.5]) * 0.05, hits([0.0, 0.5]) * 4):
        result, level = levelled(audio.astype(np.float32), RATE_HZ, target)
        assert integrated_lufs(result, RATE_HZ) == pytest.approx(target, abs=0.7)
        assert level.target_lufs == target


def test_a_quiet_clip_is_only_turned_up_and_a_fitting_one_is_the_same_array():
    audio = hits([0.0, 0.5, 1.0, 1.5]) * 0.05
    result, level = levelled(audio, RATE_HZ, integrated_lufs(audio, RATE_HZ) + 6)
    assert level.limited_db == 0
    assert result == pytest.approx(audio * 10 ** (6 / 20), rel=1e-3, abs=1e-6)
    assert levelled(audio, RATE_HZ, None)[0] is audio


def test_what_would_need_too_much_limiting_stays_quieter():
    spike = np.zeros((2, 3 * RATE_HZ), np.float32)
    spike[:, 1000::RATE_HZ] = 0.9
    spike += np.random.default_rng(0).standard_normal(spike.shape).astype(np.float32) * 1e-3
    result, level = levelled(spike, RATE_HZ, -14.0)
    assert level.limited_db == pytest.approx(MOST_LIMITED_DB, abs=0.5)
    assert integrated_lufs(result, RATE_HZ) < -15
    assert "held back" in level.notes()[0]


def test_the_gain_falls_before_a_peak_and_has_no_step():
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.tile((0.3 * np.sin(2 * np.pi * 200 * t)).astype(np.float32), (2, 1))
    loud = tone.copy()
    loud[:, RATE_HZ : RATE_HZ + 480] *= 6
    result, level = levelled(loud, RATE_HZ, None)
    gain = result[0] / np.where(np.abs(loud[0]) > 0.05, loud[0], np.nan)
    assert level.limited_db > 5
    assert np.nanmax(np.abs(np.diff(gain))) < 0.03
    assert np.nanmin(gain[RATE_HZ - 24 : RATE_HZ]) < 0.6
    assert seam_error(result) <= 1.0


def test_silence_has_no_loudness_and_stays():
    silence = np.zeros((2, RATE_HZ), np.float32)
    result, level = levelled(silence, RATE_HZ, -14.0)
    assert result is silence
    assert level.gain_db == 0
    assert true_peak_db(silence) is None


def test_only_a_new_region_is_held_back_and_all_around_stays_to_the_sample():
    audio = np.random.default_rng(3).standard_normal((2, 96_000)).astype(np.float32)
    result, level = limited_inside(audio, 48_000, (0.5, 1.0))
    assert level.limited_db > 3
    assert np.array_equal(result[:, :24_000], audio[:, :24_000])
    assert np.array_equal(result[:, 48_000:], audio[:, 48_000:])
    assert true_peak_db(result[:, 25_000:47_000]) <= -0.9

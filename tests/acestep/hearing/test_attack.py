"""Where attacks begin, and a loop whose first hit is whole and on its first sample."""

import numpy as np
import pytest

from acestep.hearing.attack import attack_start, freed, levels, loop_attack
from acestep.sound.loudness import seam_error
from acestep.sound.seam import start_moved
from tests.support.band import RATE_HZ, hits


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 96_000])
@pytest.mark.parametrize("rise_s", [0.0005, 0.003])
def test_an_attack_is_found_where_it_begins_not_where_it_peaks(rate_hz, rise_s):
    t = np.arange(rate_hz) / rate_hz - 0.5
    wave = np.where(t > 0, np.minimum(1, t / rise_s) * np.exp(-t / 0.1) * np.sin(2 * np.pi * 90 * t + 1), 0)
    found = attack_start(levels(wave[None], rate_hz), 0.506)
    assert found == pytest.approx(0.5, abs=0.001)


def test_a_swell_and_a_steady_tone_have_no_attack():
    t = np.arange(RATE_HZ) / RATE_HZ
    tone = 0.5 * np.sin(2 * np.pi * 220 * t)
    assert attack_start(levels(tone[None], RATE_HZ), 0.5) is None
    assert attack_start(levels((tone * t)[None], RATE_HZ), 0.5) is None


@pytest.mark.parametrize("late_s", [-0.008, -0.004, 0.006, 0.012])
def test_the_first_hit_is_moved_onto_the_first_sample_and_the_others_stay(late_s):
    loop = hits([late_s, 0.5, 1.0, 1.5])
    assert loop_attack(loop, RATE_HZ) == pytest.approx(late_s, abs=0.0015)
    placed = freed(start_moved(loop, round(late_s * RATE_HZ), RATE_HZ), RATE_HZ)
    assert placed.shape == loop.shape
    assert loop_attack(placed, RATE_HZ) == pytest.approx(0, abs=0.0015)
    assert np.array_equal(placed[:, 9_600:84_000], loop[:, 9_600:84_000])
    assert seam_error(placed) <= 1.0


def test_nothing_of_the_first_hit_is_left_at_the_end():
    loop = hits([-0.004, 0.5, 1.0, 1.5], rise_s=0.01)
    peak = np.abs(loop).max()
    assert np.abs(loop[:, -96:]).max() > 0.05 * peak
    clear = freed(loop, RATE_HZ)
    assert np.abs(clear[:, -96:]).max() < 0.05 * peak
    assert np.array_equal(clear[:, 2_000:-2_000], loop[:, 2_000:-2_000])


def test_a_loop_without_an_attack_is_left_alone():
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    pad = np.tile((0.3 * np.sin(2 * np.pi * 220 * t)).astype(np.float32), (2, 1))
    assert freed(pad, RATE_HZ) is pad
    assert freed(np.zeros((2, 100), np.float32), RATE_HZ).shape == (2, 100)

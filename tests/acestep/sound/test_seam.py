"""The joint of a loop: exact length, tails that ring into the beginning, and no clicks."""

import numpy as np
import pytest

from acestep.sound.loudness import seam_error
from acestep.sound.seam import cut_loop, smooth_seam

RATE_HZ = 48_000


def ringing(seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = 0.5 * np.sin(2 * np.pi * 220 * t) * np.exp(-1.5 * t)
    return np.stack([wave, wave]).astype(np.float32)


def test_a_tail_that_rings_on_is_heard_at_the_beginning():
    sound = ringing(2.0)
    clip = cut_loop(sound, 0, 48_000, RATE_HZ)
    assert clip.shape == (2, 48_000)
    assert np.abs(clip[:, :2000] - sound[:, :2000]).max() > 0.05
    assert np.abs(clip[:, -2000:] - sound[:, 46_000:48_000]).max() < 1e-3
    assert seam_error(smooth_seam(clip, RATE_HZ)) <= 1.0


def test_music_that_goes_on_is_not_mixed_into_the_beginning():
    hits = np.concatenate([ringing(0.5)] * 4, axis=1)
    clip = cut_loop(hits, 0, 48_000, RATE_HZ)
    assert np.array_equal(clip, hits[:, :48_000])


def test_what_came_before_leads_into_the_start():
    t = np.arange(round(2.2 * RATE_HZ)) / RATE_HZ
    sound = np.tile((0.5 * np.sin(2 * np.pi * 233.3 * t)).astype(np.float32), (2, 1))
    start = round(0.2 * RATE_HZ)
    clip = cut_loop(sound, start, 48_000, RATE_HZ)
    assert np.array_equal(clip[:, :40_000], sound[:, start : start + 40_000])
    assert seam_error(clip) <= 1.0


def test_a_start_before_the_material_is_filled_from_the_loop_not_with_silence():
    t = np.arange(50_000) / RATE_HZ
    sound = np.tile((0.5 * np.sin(2 * np.pi * 220 * t)).astype(np.float32), (2, 1))
    clip = cut_loop(sound, -500, 48_000, RATE_HZ)
    assert np.array_equal(clip[:, 500:], sound[:, :47_500])
    assert np.abs(clip[:, :400]).max() > 0.4
    assert seam_error(clip) <= 1.01  # a pure tone's joint moves as the tone does everywhere


@pytest.mark.parametrize("start", [0, 30_000, -500])
def test_material_that_is_too_short_is_wrapped_around(start):
    clip = cut_loop(ringing(1.0), start, 60_000, RATE_HZ)
    assert clip.shape == (2, 60_000)
    assert np.isfinite(clip).all()


def test_a_click_is_measured_and_bent_away():
    t = np.arange(48_000) / RATE_HZ
    wave = (0.5 * np.sin(2 * np.pi * 220.4 * t + 1.0)).astype(np.float32)
    loop = np.stack([wave, wave])
    assert seam_error(loop) > 3
    smoothed = smooth_seam(loop, RATE_HZ)
    assert seam_error(smoothed) <= 1.0
    assert np.array_equal(smoothed[:, :-400], loop[:, :-400])


def test_an_attack_at_the_start_is_no_click():
    loop = np.concatenate([ringing(0.5), np.zeros((2, 24_000), np.float32)], axis=1)
    loop[:, 0] = 0.4
    assert seam_error(loop) <= 1.0


@pytest.mark.parametrize("level", [0.01, 0.5, 1.0])
def test_noise_is_bent_without_growing_louder(level):
    noise = np.random.default_rng(3).uniform(-level, level, (2, 48_000)).astype(np.float32)
    smoothed = smooth_seam(noise, RATE_HZ)
    assert np.abs(smoothed).max() <= level
    for start in (1_000, -500):  # led into, and filled from the end
        assert np.abs(cut_loop(noise, start, 40_000, RATE_HZ)).max() <= level

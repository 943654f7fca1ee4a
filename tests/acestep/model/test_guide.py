"""The guide channels: where beats, bars and keys lie in them, and how guidance presses for the key."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.hearing.measure import measure
from acestep.model.cascade import Cascade
from acestep.model.guide import guide_audio, guide_channels
from acestep.music.grid import Grid, Signature
from acestep.music.key import Key
from acestep.nano.checkpoint import TINY, write_untrained
from acestep.request import GenerateRequest
from tests.support.closeness import assert_close, assert_differs, rounding

PHASE = 2 * math.pi * rounding(1)  # a phase counts turns and is rounded once; its sine is off by 2π of that


def test_every_beat_starts_at_phase_zero():
    grid = Grid(120, Signature(4, 4), 4)
    guide = guide_channels(grid, None, 400, 100.0)
    beats = guide[::50]  # 120 bpm: a beat every 50 frames
    assert beats[:, 1:4].abs().max() <= PHASE
    assert_close(beats[:, 5:8], torch.ones(8, 3), PHASE)


def test_the_first_channel_tells_the_bar():
    guide = guide_channels(Grid(120, Signature(3, 4), 4), None, 151, 100.0)
    assert guide[150, 0] == pytest.approx(0, abs=PHASE)
    assert guide[150, 4] == pytest.approx(1, abs=PHASE)
    assert guide[50, 0] == pytest.approx(math.sin(2 * math.pi / 3), abs=PHASE)


def test_a_beat_of_six_eight_is_an_eighth():
    grid = Grid(120, Signature(6, 8), 2)
    guide = guide_channels(grid, None, 26, 100.0)
    assert guide[25, 1] == pytest.approx(0, abs=PHASE)  # an eighth lasts 0.25 s


def test_the_key_is_a_tonic_and_a_scale():
    guide = guide_channels(Grid(), Key.parse("A minor"), 3, 100.0)[:, 8:]
    assert guide[:, :12].sum(1).tolist() == [1, 1, 1]
    assert guide[0, 9] == 1
    assert guide[0, 12:].nonzero().flatten().tolist() == [0, 2, 4, 5, 7, 9, 11]


def test_no_key_is_all_zeros():
    assert guide_channels(Grid(), None, 5, 100.0)[:, 8:].abs().max() == 0


def test_sizes_other_than_the_known_ones_are_refused():
    with pytest.raises(ValueError, match="expected 0 or 8"):
        guide_channels(Grid(), None, 5, 100.0, beat=7)
    assert guide_channels(Grid(), None, 5, 100.0, beat=0, key_channels=0).shape == (5, 0)


@settings(max_examples=25, deadline=None)
@given(
    bpm=st.floats(30, 300),
    signature=st.sampled_from([Signature(4, 4), Signature(3, 4), Signature(6, 8), Signature(7, 8)]),
    first=st.integers(0, 5000),
)
def test_a_stretch_equals_the_same_frames_of_the_whole(bpm, signature, first):
    grid = Grid(bpm, signature, 4)
    whole = guide_channels(grid, Key(3), first + 20, 100.0)
    part = guide_channels(grid, Key(3), 20, 100.0, first_frame=first)
    assert_close(part, whole[first:], PHASE)
    assert whole[:, :8].abs().max() <= 1 + PHASE


@pytest.mark.parametrize(("bpm", "signature"), [(92.5, "4/4"), (127.37, "3/4")])
def test_the_guide_as_audio_is_quiet_and_measures_as_what_it_says(bpm, signature):
    grid, key = Grid(bpm, Signature.parse(signature), 8), Key.parse("F# minor")
    audio = guide_audio(grid, key, grid.samples())
    assert audio.shape == (2, grid.samples())
    assert np.abs(audio).max() < 0.2
    found = measure(audio, grid=grid)
    assert found.bpm == pytest.approx(bpm, rel=1e-3)
    assert abs(found.downbeat_s) < 0.01
    clicks = guide_audio(grid, None, grid.samples())
    assert measure(clicks, grid=grid).key is None
    quiet = np.abs(clicks[0, round(0.7 * grid.beat_s * 48_000)])
    assert quiet < 1e-3
    assert 0 < np.abs(audio - clicks).max() < 0.1


def test_guidance_moves_away_from_no_key_at_all(tmp_path):
    """One step is linear in the velocity: two scales tell the one that guidance moves away from."""
    write_untrained(tmp_path, TINY)
    cascade = Cascade.load(tmp_path, device="cpu")
    plain, away = {}, {}
    for key in (None, Key.parse("C minor"), Key.parse("F# major")):
        request = GenerateRequest(prompt="house", bars=1, key=key, seed=3, steps=1, stages=("s",))
        plain[key], double = (
            cascade.latents(dataclasses.replace(request, guidance=scale)) for scale in (1.0, 2.0)
        )
        away[key] = 2 * plain[key] - double
    for key in (Key.parse("C minor"), Key.parse("F# major")):
        assert_differs(plain[key], plain[None])
        assert_close(away[key], away[None])

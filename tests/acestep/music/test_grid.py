"""Musical time: exact lengths for any tempo and signature."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep.errors import InvalidRequest
from acestep.music.grid import DENOMINATORS, Grid, Signature

signatures = st.builds(Signature, st.integers(1, 32), st.sampled_from(DENOMINATORS))


@pytest.mark.parametrize(
    ("bpm", "signature", "bars", "samples"),
    [
        (120.0, "4/4", 4, 384_000),
        (127.5, "4/4", 8, 722_824),
        (92.5, "4/4", 4, 498_162),
        (120.0, "6/8", 2, 144_000),
        (127.37, "7/8", 4, 316_558),
        (90.0, "3/4", 0.5, 48_000),
    ],
)
def test_lengths_are_exact(bpm, signature, bars, samples):
    assert Grid(bpm, Signature.parse(signature), bars).samples() == samples


@given(st.floats(30, 300), signatures, st.floats(0.0625, 64), st.sampled_from([44_100, 48_000, 96_000]))
def test_length_is_the_rounded_exact_fraction(bpm, signature, bars, rate_hz):
    try:
        grid = Grid(bpm, signature, bars)
    except InvalidRequest:
        return
    exact = Fraction(bars) * signature.numerator * 4 / signature.denominator * 60 / Fraction(bpm) * rate_hz
    assert abs(grid.samples(rate_hz) - exact) <= Fraction(1, 2) + Fraction(1, 10**6)


@given(st.floats(30, 300), signatures, st.integers(1, 16))
def test_bars_and_beats_tile_the_clip(bpm, signature, bars):
    try:
        grid = Grid(bpm, signature, bars)
    except InvalidRequest:
        return
    beats, downbeats = grid.beat_times_s(), grid.bar_times_s()
    assert len(downbeats) == bars
    assert len(beats) == bars * signature.numerator
    assert beats[-1] < grid.duration_s
    assert downbeats == pytest.approx(beats[:: signature.numerator])
    assert grid.bar_s * bars == pytest.approx(grid.duration_s)


@pytest.mark.parametrize("bpm", [0, -1, math.nan, math.inf, 5000, 29.9, True, "120", None])
def test_tempi_that_are_none_are_refused(bpm):
    with pytest.raises(InvalidRequest, match="tempo"):
        Grid(bpm)


@pytest.mark.parametrize("bars", [0, -4, 10_000, math.nan])
def test_bars_that_are_none_are_refused(bars):
    with pytest.raises(InvalidRequest, match="bars"):
        Grid(120, bars=bars)


@pytest.mark.parametrize("text", ["0/4", "4/0", "4/3", "4", "", "x/y", "33/4", "4/4/4", None, 4])
def test_signatures_that_are_none_are_refused(text):
    with pytest.raises(InvalidRequest, match="signature"):
        Signature.parse(text)


@given(signatures)
def test_a_signature_reads_what_it_writes(signature):
    assert Signature.parse(str(signature)) == signature


def test_a_clip_longer_than_ten_minutes_is_refused_with_advice():
    with pytest.raises(InvalidRequest, match="fewer bars"):
        Grid(30, Signature(4, 4), 100)

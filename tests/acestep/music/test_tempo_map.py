"""Tempo maps: exact times over steps and ramps, and clips that follow them."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep.console.spelling import tempo_text
from acestep.errors import InvalidRequest
from acestep.music.grid import Grid, Signature
from acestep.music.tempo_map import TempoMap, TempoPoint

RAMP = TempoMap((TempoPoint(0, 100, ramp=True), TempoPoint(16, 120), TempoPoint(24, 90)))


def test_steps_and_ramps_take_the_time_they_take():
    assert TempoMap.parse([(0, 120)]).seconds(8) == pytest.approx(4.0)
    assert RAMP.seconds(16) == pytest.approx(16 / 20 * 60 * math.log(120 / 100))
    assert RAMP.seconds(24) - RAMP.seconds(16) == pytest.approx(8 * 60 / 120)
    assert RAMP.seconds(30) - RAMP.seconds(24) == pytest.approx(6 * 60 / 90)
    assert (RAMP.bpm_at(8), RAMP.bpm_at(20), RAMP.bpm_at(99)) == (110, 120, 90)


@given(st.floats(0, 60), st.floats(0, 60))
def test_time_only_goes_forward(a, b):
    if a < b:
        assert RAMP.seconds(a) <= RAMP.seconds(b)


@given(st.floats(0, 60))
def test_every_time_has_one_position(quarters):
    assert RAMP.quarters(RAMP.seconds(quarters)) == pytest.approx(quarters, abs=1e-6)


@given(st.floats(0, 40), st.floats(0, 20))
def test_a_map_from_a_position_on_goes_on_as_before(start, later):
    part = RAMP.since(start)
    assert part.seconds(later) == pytest.approx(RAMP.seconds(start + later) - RAMP.seconds(start), abs=1e-6)


def test_a_map_survives_json():
    assert TempoMap.parse(json.loads(json.dumps(RAMP.to_list()))) == RAMP
    for wrong in (3, "fast", [(0,)], [(0, "x")], [None]):
        with pytest.raises(InvalidRequest, match="tempo map"):
            TempoMap.parse(wrong)


def test_lengths_are_exact_and_the_mean_tempo_has_the_same_length():
    four = Signature(4, 4)
    assert TempoMap.parse([(0, 127.37)]).samples(four, 4) == Grid(127.37, four, 4).samples()
    mean = RAMP.mean_bpm(four, 6)
    assert Grid(mean, four, 6).duration_s == pytest.approx(RAMP.seconds(24))


def test_what_is_no_map_is_refused():
    for points in ((), (TempoPoint(1, 120),), (TempoPoint(0, math.nan),), (TempoPoint(0, 1e6),)):
        with pytest.raises(InvalidRequest):
            TempoMap(points)


def test_a_map_is_read_as_people_write_it():
    written = TempoMap.parse("0 92,5 ramp, 8 100; 16 90.5")
    assert written.to_list() == [[0.0, 92.5, True], [8.0, 100.0, False], [16.0, 90.5, False]]
    assert TempoMap.parse(tempo_text(written.to_list())) == written
    with pytest.raises(InvalidRequest, match=r"'fast'.*0 100 ramp, 16 120"):
        TempoMap.parse("0 100, fast")

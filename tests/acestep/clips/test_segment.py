"""Segments of music that plays on: joined at the bar line, as loud and as bright as the first."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.checkpoints.schedule import legs
from acestep.clips.clip import write
from acestep.clips.segment import as_bright_as, at_tempo, centroid_hz, fewer_steps, joined, make_segment
from acestep.model.cascade import Cascade
from acestep.request import GenerateRequest
from acestep.sound.loudness import integrated_lufs
from tests.support.closeness import assert_close

RATE_HZ = 48_000
REQUEST = GenerateRequest(
    prompt="deep house, bass and chords and drums", bpm=124, bars=2, key="F minor", seed=11, family=11
)


def noise(seed: int, slope: float) -> np.ndarray:
    """A loop of noise whose amplitude falls with frequency to the power of `slope`."""
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.standard_normal((2, RATE_HZ)), axis=1)
    spectrum *= np.maximum(np.arange(spectrum.shape[1]), 20.0) ** -slope
    made = np.fft.irfft(spectrum, RATE_HZ, axis=1)
    return (0.1 * made / np.abs(made).max()).astype(np.float32)


@given(seed=st.integers(0, 99), samples=st.integers(2, 4_000))
@settings(max_examples=25, deadline=None)
def test_a_joint_begins_where_the_loop_before_would_go_on(seed: int, samples: int) -> None:
    before, audio = noise(seed, 0.5)[:, :samples], noise(seed + 1, 0.5)[:, :samples]
    made = joined(before, audio, RATE_HZ)
    assert made.shape == audio.shape
    assert (made[:, 0] == before[:, 0]).all()
    assert (made[:, 577:] == audio[:, 577:]).all()  # 12 ms


@pytest.mark.parametrize("slope", [0.2, 0.9])
def test_brightness_is_brought_to_the_anchors_and_the_loop_stays_one(slope: float) -> None:
    anchor = centroid_hz(noise(1, 0.5), RATE_HZ)
    loop = noise(2, slope)
    made = as_bright_as(loop, anchor, RATE_HZ)
    assert abs(centroid_hz(made, RATE_HZ) / anchor - 1) < 0.06
    turned = as_bright_as(np.roll(loop, 12_345, axis=1), centroid_hz(made, RATE_HZ), RATE_HZ)
    assert_close(np.roll(turned, -12_345, axis=1), made, within=0.02)


def test_what_is_as_bright_is_left_alone() -> None:
    loop = noise(3, 0.5)
    assert as_bright_as(loop, 1.03 * centroid_hz(loop, RATE_HZ), RATE_HZ) is loop


@pytest.fixture(scope="module")
def nano() -> Cascade:
    return Cascade.load("nano")


def test_segments_of_nano_are_one_piece(nano: Cascade, tmp_path: Path) -> None:
    first = make_segment(nano, replace(REQUEST, variation=0.0))
    segments = [first]
    for number in range(1, 3):
        request = replace(REQUEST, seed=REQUEST.seed + number, variation=0.5)
        segments.append(make_segment(nano, request, before=segments[-1].audio, anchor=first.anchor))
    assert {one.audio.shape for one in segments} == {(2, REQUEST.grid.samples())}
    moves = np.abs(np.diff(first.audio, axis=1)).max()
    for one, other in pairwise(segments):
        assert np.abs(other.audio[:, 0] - one.audio[:, -1]).max() <= moves
        assert np.abs(other.audio - one.audio).max() > 0.05  # it is another take of the music
        assert abs(integrated_lufs(other.audio, RATE_HZ) - first.anchor.lufs) < 1.5
        assert abs(centroid_hz(other.audio, RATE_HZ) / first.anchor.centroid_hz - 1) < 0.1
    path = Path(write([segments[1].file], tmp_path)[0].path)
    audio, rate_hz = soundfile.read(path, always_2d=True)
    assert_close(audio.T, segments[1].audio, within=2e-6)
    slower = Path(write([at_tempo(path, 100.0)], tmp_path)[0].path)
    assert soundfile.info(slower).frames == round(2 * 4 * 60 / 100 * rate_hz)
    with pytest.raises(Exception, match="expected 30"):
        at_tempo(path, 1_000.0)


def test_a_hasty_segment_takes_fewer_steps_and_is_whole(nano: Cascade) -> None:
    own = sum(leg.steps for leg in legs(nano.spec.plans()))
    hasty = fewer_steps(nano, REQUEST)
    assert 1 <= hasty.steps < own
    assert make_segment(nano, hasty).audio.shape == (2, REQUEST.grid.samples())
    assert fewer_steps(nano, replace(REQUEST, steps=20)).steps == 12

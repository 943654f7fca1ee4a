"""Pictures of sound show what is there, the same however the samples come, and pages stay readable."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.drawing import marks, style
from acestep.drawing.sound import HIGH_HZ, LOW_HZ, ROWS, Picture, picture
from tests.support.closeness import assert_close

RATE_HZ = 48_000


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    """A full-scale sine, [n, 1]."""
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)[:, None].astype(np.float32)


def whole(audio: np.ndarray, columns: int = 200) -> Picture:
    return picture([audio], len(audio), RATE_HZ, columns)


@pytest.mark.parametrize("hz", [55, 110, 440, 1_000, 4_000, 12_000])
def test_a_tone_is_brightest_at_its_pitch(hz: float) -> None:
    middle = whole(tone(hz)).levels[:, 100]
    pitches = np.geomspace(LOW_HZ, HIGH_HZ, ROWS)
    found = pitches[int(middle.argmax())]
    spacing = RATE_HZ / 2048  # of the spectrum's lines
    assert abs(found - hz) <= max(0.05 * hz, spacing)


def test_low_pitches_are_interpolated_not_drawn_as_steps() -> None:
    noise = np.random.default_rng(0).standard_normal((RATE_HZ, 1)).astype(np.float32)
    rows = whole(noise).levels[:30, 100]  # many rows lie between two lines of the spectrum there
    assert len(set(rows.tolist())) == len(rows)


def test_opposite_channels_do_not_cancel() -> None:
    one = tone(440)
    opposite = whole(np.concatenate([one, -one], axis=1))
    assert_close(opposite.levels, whole(one).levels)
    assert opposite.brightness.max() > 0.9


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6_000), min_size=1, max_size=12), st.integers(1, 300))
def test_the_picture_is_the_same_however_the_samples_come(sizes: list[int], columns: int) -> None:
    frames = sum(sizes)
    audio = np.random.default_rng(frames).uniform(-1, 1, (frames, 2)).astype(np.float32)
    pieces = np.split(audio, np.cumsum(sizes)[:-1])
    there, here = picture(pieces, frames, RATE_HZ, columns), picture([audio], frames, RATE_HZ, columns)
    assert_close(there.lows, here.lows)
    assert_close(there.levels, here.levels)
    width = min(columns, frames)
    assert there.lows.shape == there.highs.shape == (width,)
    assert there.levels.shape == (ROWS, width)
    assert there.highs.max() == max(0, audio.max())
    assert there.lows.min() == min(0, audio.min())


def test_nothing_at_all_is_still_a_picture() -> None:
    empty = picture([], 0, RATE_HZ)
    assert len(empty.lows) == 1
    assert empty.brightness.max() == 0


def test_silence_is_drawn_as_a_line() -> None:
    drawn = marks.wave(whole(np.zeros((4_800, 2), np.float32)))
    heights = {float(y) for y in re.findall(r"\d+,(\d+\.\d)", drawn)}
    assert heights == {49.5, 50.5}


def test_bars_lie_where_they_are_said_and_none_outside() -> None:
    drawn = marks.wave(whole(tone(100, 2.0), 201), [0.0, 0.5, 1.0, 5.0])
    assert re.findall(r'x1="([\d.]+)"', drawn) == ["0.0", "50.0", "100.0"]


def test_a_chart_of_nothing_says_so() -> None:
    assert "no keys found" in marks.bars("Key", {}, "no keys found")
    assert "svg" not in marks.bars("Key", {}, "no keys found")
    drawn = marks.bars("Key", {"A minor": 3, "<b>": 1}, "no keys found")
    assert "A minor: 3" in drawn
    assert "<b>" not in drawn


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2."""
    values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent", "good", "warn", "bad"])
@pytest.mark.parametrize("ground", ["ground", "surface", "raised", "well"])
def test_text_can_be_read_on_every_ground(text: str, ground: str, theme: str) -> None:
    light, dark = sorted((luminance(style.colour(one, theme)) for one in (text, ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5

"""The stretcher's own process gives the same samples as the calling one, and may die without harm."""

import numpy as np
import pytest

from acestep.sound import stretcher


@pytest.fixture
def child():
    one = stretcher.Child()
    one.wanted = True
    yield one
    one.stop()


def sound() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (2, 20_000)).astype(np.float32)


def test_the_child_answers_with_the_same_samples(child):
    for factor, semitones in ((1.07, 0.0), (0.9, 2.0)):
        expected = stretcher.process(sound(), 48_000, factor, semitones)
        assert np.array_equal(child.process(sound(), 48_000, factor, semitones), expected)
    assert child.alive


def test_a_child_that_dies_is_replaced_and_the_work_is_still_done(child):
    expected = stretcher.process(sound(), 48_000, 1.1, 0.0)
    assert np.array_equal(child.process(sound(), 48_000, 1.1, 0.0), expected)
    child.stop()
    assert not child.alive
    assert np.array_equal(child.process(sound(), 48_000, 1.1, 0.0), expected)
    assert child.alive


def test_length_and_attacks_survive_a_stretch():
    audio = np.zeros((2, 96_000), np.float32)
    audio[:, 24_000:24_200] = 0.8
    from acestep.sound.stretch import stretch

    longer = stretch(audio, 48_000, 1.25)
    assert longer.shape == (2, 120_000)
    assert abs(int(np.abs(longer[0]).argmax()) - 30_100) < 480

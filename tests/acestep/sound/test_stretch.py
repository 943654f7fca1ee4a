"""Stretching keeps the length asked for and the attacks."""

import numpy as np


def test_length_and_attacks_survive_a_stretch():
    audio = np.zeros((2, 96_000), np.float32)
    audio[:, 24_000:24_200] = 0.8
    from acestep.sound.stretch import stretch

    longer = stretch(audio, 48_000, 1.25)
    assert longer.shape == (2, 120_000)
    assert abs(int(np.abs(longer[0]).argmax()) - 30_100) < 480

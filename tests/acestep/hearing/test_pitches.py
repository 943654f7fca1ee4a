"""The published pitch network, as torch runs it, beside what onnxruntime makes of the published file."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from acestep.hearing.hits import hear_hits
from acestep.hearing.notes import hear_notes
from acestep.hearing.pitches import FRAME_S, FRAMES, LOWEST, RATE_HZ, WINDOW, _network, hear_pitches
from tests.support.closeness import assert_close

# what onnxruntime 1.32 makes of basic-pitch 0.4.0's nmp.onnx and `window`, at some frames
EXPECTED = json.loads(Path(__file__).with_name("pitches.json").read_text("utf-8"))
WITHIN = 1e-4  # the expected values have six digits


def window() -> np.ndarray:
    """Four plucked tones with seven harmonics each, struck one after the other again and again."""
    t = np.arange(WINDOW) / RATE_HZ
    tones = (
        np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * h * t) / h * np.exp(-2 * ((t - start) % 1.3))
        for pitch, start in ((40, 0), (60, 0.2), (64, 0.2), (67, 0.5))
        for h in range(1, 8)
    )
    return sum(tones).astype(np.float32) * np.float32(0.1)


@pytest.mark.numeric
def test_torch_computes_what_onnxruntime_computes():
    with torch.inference_mode():
        begins, sounds = _network(torch.from_numpy(window())[None])
    assert begins.shape == sounds.shape == (1, FRAMES, 88)
    for name, found in (("begins", begins), ("sounds", sounds)):
        assert_close(found[0, EXPECTED["frames"]], torch.tensor(EXPECTED[name]), WITHIN)


@pytest.mark.parametrize("seconds", [0.01, 1.9, 2.0, 5.3])
def test_a_piece_of_any_length_has_a_frame_for_each_of_its_moments(seconds):
    samples = np.resize(window(), round(seconds * RATE_HZ))
    for loop in (False, True):
        heard = hear_pitches(samples, RATE_HZ, loop)
        assert heard.begins.shape == heard.sounds.shape == (len(samples) // 256 + 1, 88)


def test_windows_do_not_show_in_what_is_heard():
    """A tone that is struck every half second is heard the same wherever a window begins."""
    t = np.arange(RATE_HZ // 2) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * 220 * h * t) / h for h in range(1, 6)) * np.exp(-5 * t)
    heard = hear_pitches(np.tile(tone.astype(np.float32) * 0.3, 12), RATE_HZ, loop=True)
    at = np.rint(np.arange(12) * 0.5 / FRAME_S).astype(int)
    strengths = [heard.begins[max(0, k - 2) : k + 3, 57 - LOWEST].max() for k in at]
    assert min(strengths) > 0.5


def test_silence_and_nothing_have_neither_notes_nor_hits():
    for samples in (np.zeros(48_000, np.float32), np.zeros(0, np.float32)):
        assert hear_notes(samples, 48_000) == ()
        assert hear_hits(samples, 48_000) == ()

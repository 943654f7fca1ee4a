"""Single sounds in audio: where they are cut, and what they are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.hearing.pitch import find_pitch, note_name
from acestep.hearing.singles import cut, find_singles
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.nano.data.synth import synth_kit
from tests.support.band import drums, hits, pad

RATE = SAMPLE_RATE_HZ


def struck(hz: float, seconds: float = 0.6, fall: float = 0.0) -> np.ndarray:
    """A tone that is struck and dies away; `fall` Hz higher at its attack, as a kick is. [2, N]"""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * (hz * t + fall * (1 - np.exp(-t * 60)) / 60)
    tone = np.sin(phase) * np.exp(-t * 7) * np.minimum(1, t / 0.0005)
    return np.stack([tone, tone]).astype(np.float32)


@given(
    starts_ms=st.lists(st.integers(2, 15), min_size=1, max_size=6),
    hz=st.sampled_from([60.0, 180.0, 900.0]),
)
@settings(max_examples=20, deadline=None)
def test_hits_are_cut_at_most_a_millisecond_before_their_attack(starts_ms: list[int], hz: float) -> None:
    at_s = [round(0.05 + 0.25 * place + 0.007 * by, 4) for place, by in enumerate(starts_ms)]
    found = find_singles(hits(at_s, seconds=2.0, rise_s=0.0005, hz=hz), RATE)
    assert len(found) == len(at_s)
    for one, true_s in zip(found, at_s, strict=True):
        assert -0.00005 <= true_s - one.start / RATE <= 0.001


def test_a_tail_ends_in_silence_before_the_next_hit() -> None:
    audio = drums(Grid(120, bars=1))
    found = find_singles(audio, RATE)
    assert len(found) >= 6
    for one, following in itertools.pairwise(found):
        assert one.end <= following.start
    for one in found:
        sound = cut(audio, one, RATE)
        assert not sound[:, -1].any()
        assert np.abs(sound[:, -48:]).max() < 0.01 * np.abs(sound).max()


def test_a_pad_has_no_single_sounds() -> None:
    assert find_singles(pad(Key.parse("A minor"), 6.0), RATE) == []
    assert find_singles(np.zeros((2, RATE), np.float32), RATE) == []
    assert find_singles(np.zeros((2, 10), np.float32), RATE) == []


@given(note=st.integers(26, 88))
@settings(max_examples=40, deadline=None)
def test_the_note_of_a_struck_tone_is_told(note: int) -> None:
    pitch = find_pitch(struck(440 * 2 ** ((note - 69) / 12)), RATE)
    assert pitch is not None
    assert pitch.note == note
    assert abs(pitch.cents) < 12


def test_a_kick_is_tuned_to_what_it_falls_to() -> None:
    pitch = find_pitch(struck(43.65, fall=200), RATE)
    assert pitch is not None
    assert note_name(pitch.note) == "F1"


def test_noise_has_no_note() -> None:
    noise = np.random.default_rng(3).standard_normal((2, RATE // 2)).astype(np.float32)
    assert find_pitch(noise, RATE) is None


@pytest.mark.parametrize(
    ("hit", "kind"), [("kick", "kick"), ("snare", "snare"), ("closed", "hat"), ("tom_high", "tom")]
)
def test_drums_are_told_apart(hit: str, kind: str) -> None:
    told = []
    for seed in range(5):
        sound = np.pad(synth_kit(seed)[hit].T, ((0, 0), (RATE // 10, RATE // 2)))
        (one,) = find_singles(sound, RATE)
        told.append(one.kind)
    assert told.count(kind) >= 4, told

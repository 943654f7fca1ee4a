"""What is mended in clips that stages made: dips of tones are filled, and hits rise at once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.model.cascade import Cascade
from acestep.model.codec.base import load_codec
from acestep.model.codec.held_tones import before_hits, without_dips
from acestep.model.codec.spectral import SpectralCodec
from acestep.model.codec.steep_hits import HitStream, steepened
from acestep.nano import WEIGHTS
from acestep.nano.hits import attacks_ms, hits, level_before
from tests.support.closeness import assert_close
from tests.support.fidelity import dropouts_per_s
from tests.support.windows import SAME, off_in_windows

RATE = 48_000


def bands(spectra: int = 120, count: int = 40) -> torch.Tensor:
    """Levels of steady noise with a tone in band 20."""
    levels = torch.full((1, spectra, count), -4.0)
    levels[..., 20] = 0.0
    return levels


NO_HITS = torch.zeros(1, 120, dtype=torch.bool)


def test_a_short_dip_of_a_tone_is_filled_and_a_rest_is_kept() -> None:
    levels = bands()
    levels[:, 50:56, 20] = -2.0
    assert_close(without_dips(levels, NO_HITS), bands())
    rest = bands()
    rest[:, 50:75, 20] = -2.0
    assert torch.equal(without_dips(rest, NO_HITS)[..., 20], rest[..., 20])


def test_noise_is_left_alone() -> None:
    noise = 0.4 * torch.randn(1, 200, 60, generator=torch.Generator().manual_seed(1))
    noise -= noise.mean(1, keepdim=True)
    changed = without_dips(noise, torch.zeros(1, 200, dtype=torch.bool)) - noise
    assert changed.abs().mean() < 0.05


def test_nothing_is_filled_before_a_hit() -> None:
    levels = bands()
    levels[:, 50:56, 20] = -2.0
    high = torch.full((1, 120, 30), -5.0)
    high[:, 56:] = -2.0
    hit = before_hits(high)
    assert hit[0, 51:57].all()
    assert not hit[0, :49].any()
    assert (without_dips(levels, hit)[0, 51:56, 20] == -2.0).all()


def struck(seconds: float, rise_ms: float, seed: int = 0) -> np.ndarray:
    """Hits of noise that rise for `rise_ms`, every quarter second, over quiet noise: [2, N]."""
    random = np.random.default_rng(seed)
    audio = 1e-4 * random.standard_normal((2, round(seconds * RATE)))
    rise = round(rise_ms * RATE / 1000)
    shape = np.concatenate([np.linspace(0, 1, rise) ** 2, np.exp(-np.arange(RATE // 5) / (0.03 * RATE))])
    for at in np.arange(0.15, seconds - 0.35, 0.25):
        start = round(at * RATE)
        audio[:, start : start + len(shape)] += 0.2 * shape * random.standard_normal((2, len(shape)))
    return audio.astype(np.float32)


def test_soft_hits_become_steep_and_quiet_before() -> None:
    audio = struck(3.0, 14.0)
    made = steepened(torch.from_numpy(audio)[None])[0].numpy()
    places = hits(audio.mean(0))
    assert len(places) >= 8
    assert np.median(attacks_ms(made.mean(0), places)) < 0.7 * np.median(attacks_ms(audio.mean(0), places))
    before = [np.median([level_before(sound.mean(0), at) for at in places]) for sound in (audio, made)]
    assert before[1] < before[0] + 0.5


def test_what_swells_or_stands_still_is_not_touched() -> None:
    time = np.arange(2 * RATE) / RATE
    tone = 0.3 * np.minimum(time / 0.5, 1) * np.sin(2 * np.pi * 3100 * time)
    audio = torch.from_numpy(np.stack([tone, tone]).astype(np.float32))[None]
    assert_close(steepened(audio)[..., RATE // 4 :], audio[..., RATE // 4 :])


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(1, 57_599), max_size=6), st.integers(0, 99))
def test_hits_in_pieces_are_those_of_the_whole(cuts: set[int], seed: int) -> None:
    audio = torch.from_numpy(struck(1.2, 9.0, seed))[None]
    assert audio.shape[-1] == 57_600
    pieces, stream = audio.tensor_split(sorted(cuts), -1), HitStream()
    shaped = [stream.push(piece, last=number == len(cuts)) for number, piece in enumerate(pieces)]
    assert_close(torch.cat(shaped, -1), steepened(audio))


@pytest.fixture(scope="module")
def crumbling() -> torch.Tensor:
    """Latents of a held tone that dips."""
    codec = load_codec(WEIGHTS / "codec")
    time = np.arange(3 * RATE // 1920 * 1920) / RATE
    tone = sum(0.1 * np.sin(2 * np.pi * hz * time) for hz in (880.0, 1760.0, 2640.0))
    dips = 1 - 0.8 * (np.sin(2 * np.pi * 3 * time) > 0.98)
    audio = np.stack([tone * dips] * 2).astype(np.float32)
    return codec.encode(torch.from_numpy(audio)[None])


def test_a_cascade_mends_what_it_plays(crumbling: torch.Tensor) -> None:
    plain, playing = load_codec(WEIGHTS / "codec"), Cascade.load(WEIGHTS, stages=("l",), device="cpu").codec
    crumbled, mended = (codec.decode(crumbling)[0].mean(0).numpy() for codec in (plain, playing))
    assert dropouts_per_s(crumbled) > 1
    assert dropouts_per_s(mended) < 0.5 * dropouts_per_s(crumbled)


def test_windows_do_not_matter_to_what_is_mended(crumbling: torch.Tensor) -> None:
    codec = SpectralCodec.load(WEIGHTS / "codec")
    codec.for_playing()
    noise = torch.randn(crumbling.shape, generator=torch.Generator().manual_seed(1))
    assert off_in_windows(codec, torch.cat([crumbling, noise]), (6, 12, 25)) < SAME

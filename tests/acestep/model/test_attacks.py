"""Channels that give attacks back: what they keep, what they leave alone, windows, files."""

import itertools
import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from acestep.errors import CheckpointError
from acestep.model.codec.attacks import BANDS, REACH, STEP, STEPS, Attacks, AttackStream
from acestep.model.codec.base import load_codec
from acestep.model.codec.spectral import SpectralCodec
from acestep.nano import WEIGHTS
from acestep.nano.carry import grown_by
from acestep.nano.hits import attacks_ms, hits, level_before
from acestep.nano.judges import ear_of
from tests.support.windows import SAME, off_in_windows

RATE = 48_000
CHANNELS = 16


def struck(seed: int, seconds: float = 4.0) -> torch.Tensor:
    """Hits of noise on silence, at a few places and of a few lengths: mid channel [N]."""
    random = np.random.default_rng(seed)
    audio = 1e-4 * random.standard_normal(round(seconds * RATE))
    for at in np.arange(0.1, seconds - 0.3, 0.25) + random.uniform(0, 0.05):
        time = np.arange(round(0.2 * RATE)) / RATE
        hit = random.standard_normal(len(time)) * np.exp(-time / random.uniform(0.01, 0.05))
        start = round(float(at) * RATE)
        audio[start : start + len(hit)] += random.uniform(0.1, 0.4) * hit
    return torch.from_numpy(audio.astype(np.float32))


@pytest.fixture(scope="module")
def attacks() -> Attacks:
    """Fitted to hits of other seeds than the tests'."""
    made = Attacks(CHANNELS)
    changes = [made.changes(struck(seed)[None])[0].reshape(-1, STEPS * BANDS) for seed in range(20, 30)]
    made.fit(torch.cat(changes))
    return made


@pytest.fixture(scope="module")
def codec(attacks: Attacks) -> SpectralCodec:
    """The shipped one with those channels."""
    made = grown_by(SpectralCodec.load(WEIGHTS / "codec"), CHANNELS)
    assert made.attacks is not None
    made.attacks.load_state_dict(attacks.state_dict())
    return made


def test_hits_come_back_sharper_and_with_less_before_them(codec: SpectralCodec) -> None:
    audio = struck(1)
    clip = audio.expand(1, 2, -1)
    latents = codec.encode(clip)
    places = hits(audio.numpy())
    assert len(places) >= 5
    plain = SpectralCodec.load(WEIGHTS / "codec").decode(latents[..., : codec.components])[0].mean(0).numpy()
    made = codec.decode(latents)[0].mean(0).numpy()
    before, now = (float(np.median([level_before(one, at) for at in places])) for one in (plain, made))
    assert now < before - 6
    rise, sharp = (float(np.median(attacks_ms(one, places))) for one in (plain, made))
    assert sharp <= rise + 0.2


def test_what_stands_still_has_no_attacks(attacks: Attacks) -> None:
    time = torch.arange(RATE) / RATE
    for hz in (41.0, 82.0, 220.0, 3000.0):
        tone = 0.3 * torch.sin(2 * torch.pi * hz * time)
        inside = attacks.changes(tone[None])[0, 30:-30]
        assert float(inside.abs().max()) < 0.2
    noise = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert float((attacks.changes(noise[None])[0] != 0).float().mean()) < 0.15


def test_a_sound_that_has_its_attacks_is_left_alone(attacks: Attacks) -> None:
    audio = struck(2)[None, None].expand(1, 2, -1)
    shaped = attacks.shape(audio, attacks.changes(audio.mean(1)))
    assert float((shaped - audio).norm() / audio.norm()) < 1e-4


def test_latents_have_unit_variance_and_a_place_in_time(attacks: Attacks) -> None:
    latents = torch.cat([attacks.encode(struck(seed)[None]) for seed in range(30, 36)], 1)
    assert float(latents.mean()) == pytest.approx(0, abs=0.1)
    assert float(latents.std()) == pytest.approx(1, rel=0.2)
    audio = struck(3)
    later = torch.nn.functional.pad(audio, (STEP * STEPS, 0))[: len(audio)]
    first, second = attacks.encode(audio[None]), attacks.encode(later[None])
    assert float((second[:, 3:-3] - first[:, 2:-4]).abs().max()) < 1e-2


def test_windows_of_any_length_give_the_same_samples(codec: SpectralCodec) -> None:
    latents = torch.randn(2, 130, codec.channels, generator=torch.Generator().manual_seed(1))
    assert off_in_windows(deepcopy(codec), latents, (7, 25, 60)) < SAME


def test_pieces_of_odd_lengths_are_joined(attacks: Attacks) -> None:
    audio = struck(4)[None, None].expand(1, 2, -1)[..., : 60 * STEPS * STEP]
    latents = attacks.encode(struck(5)[None])[:, :60]
    whole = attacks.shape(audio, attacks.decode(latents))
    stream, pieces, cuts = (
        AttackStream(attacks, latents),
        [],
        [0, 100, 12_345, 12_346, 60_001, audio.shape[-1]],
    )
    for start, end in itertools.pairwise(cuts):
        pieces.append(stream.push(audio[..., start:end], end == cuts[-1]))
    assert pieces[0].shape[-1] == 0  # less than what later samples reach
    joined = torch.cat(pieces, -1)
    assert joined.shape == whole.shape
    assert float((joined - whole).norm() / whole.norm()) < 1e-4
    assert REACH * STEP < 0.1 * RATE  # what a player waits longer for


@pytest.mark.parametrize("samples", [1, 1919, 1920, 1921, 47_999])
def test_any_length_and_silence_are_decoded(codec: SpectralCodec, samples: int) -> None:
    latents = codec.encode(torch.zeros(1, 2, samples))
    assert latents.shape == (1, -(-samples // codec.hop), codec.channels)
    assert bool(torch.isfinite(latents).all())
    made = codec.decode(latents)
    assert made.shape == (1, 2, latents.shape[1] * codec.hop)
    assert float(made.abs().max()) < 0.01


def test_latents_far_from_any_sound_make_finite_samples(codec: SpectralCodec) -> None:
    latents = torch.zeros(1, 20, codec.channels)
    latents[..., codec.components :] = 50 * torch.randn(1, 20, CHANNELS)
    made = codec.decode(latents)
    assert bool(torch.isfinite(made).all())


def test_a_saved_codec_keeps_its_attacks_and_an_older_one_has_none(
    codec: SpectralCodec, tmp_path: Path
) -> None:
    codec.save(tmp_path)
    again = load_codec(tmp_path)
    assert isinstance(again, SpectralCodec)
    audio = struck(6)[None, None].expand(1, 2, -1)
    first, second = codec.encode(audio), again.encode(audio)
    assert torch.equal(first[..., codec.components :], second[..., codec.components :])
    older = load_codec(WEIGHTS / "codec")
    assert older.channels in (codec.components, codec.channels)
    config = json.loads((tmp_path / "config.json").read_text())
    config["attacks"] = CHANNELS + 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"does not fit its config\.json"):
        load_codec(tmp_path)


def test_what_is_heard_of_latents_is_the_same_with_and_without_attacks(codec: SpectralCodec) -> None:
    latents = codec.encode(struck(7).expand(1, 2, -1))
    plain = latents[..., : codec.components]
    assert torch.equal(codec.decode_features(latents), codec.decode_features(plain))
    ear = ear_of(codec)
    assert np.array_equal(ear.frames(latents[0]), ear.frames(plain[0]))

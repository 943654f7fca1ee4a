"""A finished checkpoint with new channels: what it said before it still says, and it can be trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from acestep.errors import AlreadyExists
from acestep.model.codec.base import silence_of
from acestep.model.codec.spectral import CHANNELS, SpectralCodec
from acestep.model.guide import BEAT_CHANNELS, KEY_CHANNELS
from acestep.nano import recipe
from acestep.nano.carry import carry_over, grown_by, widened
from acestep.nano.checkpoint import TINY, NanoConfig, NanoModules, load_checkpoint, write_untrained
from acestep.nano.latents import Example, View, label
from acestep.nano.train_stages import CARRIED, StageRecipe, StageTraining
from acestep.training.velocity import Velocity
from tests.support.closeness import FORWARD, assert_close, rounding

OLD = NanoConfig(
    **{**TINY.__dict__, "attacks": 0, "width": 48},
)
GUIDE = BEAT_CHANNELS + KEY_CHANNELS


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A checkpoint without channels for attacks, its blocks and outputs not zero."""
    write_untrained(tmp_path / "old", OLD)
    return tmp_path / "old"


def context(source: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
    return torch.cat([source, torch.ones_like(source), guide], -1)


@torch.no_grad()
def test_the_first_velocity_is_the_old_one(old: Path) -> None:
    before, _, codec, _ = load_checkpoint(old)
    after = widened(before, TINY, silence_of(grown_by(codec, TINY.attacks))[0, 0]).eval()
    random = torch.Generator().manual_seed(0)
    x, source = (torch.randn(2, 40, TINY.channels, generator=random) for _ in range(2))
    guide, states = torch.randn(2, 40, GUIDE, generator=random), torch.randn(2, 9, 32, generator=random)
    reference = torch.randn(1, 75, TINY.channels, generator=random)
    for name, transformer in before.transformers.items():
        t = torch.tensor([0.2, 0.9])
        first = Velocity(transformer)(x[..., :CHANNELS], t, states, context(source[..., :CHANNELS], guide))
        second = Velocity(after.transformers[name])(x, t, states, context(source, guide))
        assert float(first.abs().max()) > 0
        assert_close(second[..., :CHANNELS], first, rounding(FORWARD))
        assert float(second[..., CHANNELS:].abs().max()) == 0
        heard, told = (
            modules.condition_encoders[name].timbre_encoder(part, torch.arange(1))[0]
            for modules, part in ((before, reference[..., :CHANNELS]), (after, reference))
        )
        assert_close(told, heard, rounding(FORWARD))


def test_the_new_channels_are_learned(old: Path) -> None:
    before, tokenizer, codec, _ = load_checkpoint(old)
    silence = silence_of(grown_by(codec, TINY.attacks))[0, 0].clone()
    start = widened(before, TINY, silence).state_dict()
    random, loop = np.random.default_rng(0), label(1)
    latents = random.standard_normal((300, TINY.channels)).astype(np.float16)
    latents[:, CHANNELS:] = 3.0  # told by nothing else, and easily
    roles = tuple(part.role for part in loop.parts)
    examples = [Example(loop, (View(roles, latents, (), None, latents[:75]),))]
    training = StageTraining(
        replace(CARRIED, frames_per_batch=512, bfloat16=False, steps=1000, only="l", warmup=5),
        TINY, examples, tokenizer, silence, before.text_encoder, start,
    )  # fmt: skip
    training.train_step()
    first = training.running.values["attacks l"]
    for _ in range(60):
        training.train_step()
    assert training.running.values["attacks l"] < 0.8 * first
    assert {"level 0.7", "attacks l"} <= set(training.running.values)
    assert any(name.startswith("part ") for name in training.running.values)


def test_the_running_losses_go_on_with_the_run(old: Path, tmp_path: Path) -> None:
    before, tokenizer, codec, _ = load_checkpoint(old)
    silence = silence_of(grown_by(codec, TINY.attacks))[0, 0].clone()
    latents = np.zeros((300, TINY.channels), np.float16)
    examples = [Example(label(1), (View(("drums",), latents, (), None, latents[:75]),))]

    def begin() -> StageTraining:
        settings = StageRecipe(frames_per_batch=256, bfloat16=False, steps=50)
        return StageTraining(settings, TINY, examples, tokenizer, silence, before.text_encoder)

    training = begin()
    training.train_step()
    again = begin()
    again.restore(training.state())
    assert again.running.values == training.running.values


def test_a_work_folder_goes_on_from_a_checkpoint(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    codec = grown_by(load_checkpoint(old)[2], TINY.attacks)
    codec.save(work / "codec0")  # latents may have been made with it
    made = torch.load(carry_over(work, old, TINY), weights_only=True)["modules"]
    fresh = NanoModules(TINY, 400).state_dict()
    assert {name: value.shape for name, value in made.items() if "text_encoder" not in name} == {
        name: value.shape for name, value in fresh.items() if "text_encoder" not in name
    }
    assert SpectralCodec.load(work / "codec").channels == TINY.channels
    assert (work / "tokenizer").is_dir()
    assert (work / "text_encoder" / "config.json").exists()
    monkeypatch.setattr(recipe, "build_bank", lambda folder: None)
    with pytest.raises(AlreadyExists, match=r"start\.pt"):
        recipe.go_on_from(work, old)

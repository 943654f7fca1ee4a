"""Variations of a seed, and two prompts at once, of nano."""

from dataclasses import replace

import pytest
import torch

from acestep.errors import InvalidRequest
from acestep.model.cascade import Cascade
from acestep.model.sampling import Noise
from acestep.request import GenerateRequest
from tests.support.closeness import assert_close

REQUEST = GenerateRequest(prompt="dusty house drums", bpm=120, bars=1, seed=5)


@pytest.fixture(scope="module")
def nano() -> Cascade:
    return Cascade.load("nano")


def away(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm())


def test_variations_go_from_the_family_to_another_music(nano: Cascade) -> None:
    family = nano.latents(REQUEST)
    varied = [nano.latents(replace(REQUEST, seed=9, family=5, variation=far)) for far in (0.0, 0.3, 0.7, 1.0)]
    assert torch.equal(varied[0], family)
    distances = [away(one, family) for one in varied]
    assert distances == sorted(distances)
    assert torch.equal(varied[3], nano.latents(replace(REQUEST, seed=9)))


def test_behind_the_highest_seed_comes_the_lowest(nano: Cascade) -> None:
    last = replace(REQUEST, seed=2**32 - 1, takes=2)
    assert [take.seed for take in nano.generate(last)] == [2**32 - 1, 0]
    assert_close(nano.latents(last)[1], nano.latents(replace(REQUEST, seed=0))[0], within=1e-3)


def test_noise_of_a_family_is_as_strong_as_any() -> None:
    made = Noise(1, 4_000, 8, family=2, variation=0.6).draw()
    assert abs(float(made.std()) - 1) < 0.02
    assert float(torch.nn.functional.cosine_similarity(made, Noise(2, 4_000, 8).draw(), dim=1).mean()) > 0.7


def test_a_morph_goes_from_one_prompt_to_the_other(nano: Cascade) -> None:
    both = replace(REQUEST, prompt_b="warm ambient pad")
    made = [nano.latents(replace(both, morph=at)) for at in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert torch.equal(made[0], nano.latents(REQUEST))
    assert torch.equal(made[-1], nano.latents(replace(REQUEST, prompt="warm ambient pad")))
    from_first = [away(one, made[0]) for one in made]
    from_second = [away(one, made[-1]) for one in made]
    assert from_first == sorted(from_first)
    assert from_second == sorted(from_second, reverse=True)


def test_parts_have_words_of_their_own() -> None:
    with pytest.raises(InvalidRequest, match="parts have words of their own"):
        GenerateRequest(prompt="house", prompt_b="techno", parts="drums, bass")

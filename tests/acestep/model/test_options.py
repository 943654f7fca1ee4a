"""Settings that would do nothing: refused where they can only be a mistake, said where they are harmless."""

import pytest
import torch

from acestep import Cascade, GenerateRequest, errors
from acestep.checkpoints.checkpoint import EMBEDDED, read_spec
from tests.support.cascades import split_in_three, tone_file, variant

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cascade of three stages of one turbo model, with tokenizers."""
    return split_in_three(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def cascade(folder):
    return Cascade.load(folder)


@pytest.fixture(scope="module")
def tone(tmp_path_factory) -> str:
    return tone_file(tmp_path_factory.mktemp("audio"))


def request(**values) -> GenerateRequest:
    known = {"prompt": "dusty breakbeat", "bpm": 120, "bars": 1, "seed": 7, "key": "A minor"}
    return GenerateRequest(**known | values)


def test_lyrics_for_a_checkpoint_that_cannot_sing_are_refused(cascade, folder, tmp_path):
    values = {"prompt_template": "{caption}\n{metas}{instruction}", "supports": ["text"]}
    mute = Cascade.load(variant(folder, tmp_path / "mute", **values))
    with pytest.raises(errors.Unsupported, match="cannot sing: leave the lyrics out"):
        mute.generate(request(lyrics="la la la"))
    assert mute.latents(request(lyrics="[Instrumental]")).isfinite().all()
    assert read_spec(EMBEDDED["nano"]).sings is False
    assert cascade.spec.sings == (not cascade.spec.prompt_template)


def test_tracks_are_those_that_the_checkpoint_knows(cascade, tone):
    wanted = request(task="lego", context=tone, track="backing vocals")
    spelt = request(task="lego", context=tone, track="Backing_Vocals")
    assert torch.equal(cascade.latents(wanted), cascade.latents(spelt))
    with pytest.raises(errors.Unsupported, match="knows no track kazoo: expected some of backing_v"):
        cascade.generate(request(task="complete", context=tone, track="drums | Kazoo"))


def test_stages_are_named_in_any_case(cascade):
    (take,) = cascade.generate(request(stages="M,L"))
    assert take.plan.stages == ("l", "m")
    assert torch.equal(cascade.latents(request(stages="M,L")), cascade.latents(request(stages="l,m")))
    with pytest.raises(errors.InvalidRequest, match="no stage x in this cascade: it has l, m, s"):
        cascade.generate(request(stages="L,x"))


def test_what_changes_nothing_is_said(cascade):
    (take,) = cascade.generate(request(strength=0.5, steps=1, fit=False, swing=1.5))
    assert "strength has no meaning without a reference and was left out" in take.notes
    assert "the swing was not made, because fit is off" in take.notes
    left = [name for name in ("l", "m", "s") if name not in take.plan.stages]
    assert left
    for name in left:
        assert f"stage {name} did not run: 1 steps are too few for it" in take.notes
    assert set(take.plan.stages) <= set(take.seconds)
    assert take.plan.to_dict() == cascade.generate(request(steps=1), plan=take.plan)[0].plan.to_dict()

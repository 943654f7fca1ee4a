"""What a sidecar says was loaded and heard is what was: files are known by what they hold, not by name."""

import os
import shutil

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from acestep import Cascade, GenerateRequest, errors, produce
from acestep.clips.production import reproduce
from server.models import Models
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


def test_a_sidecar_names_the_checkpoint_that_was_loaded_not_what_lies_there_now(folder, tmp_path):
    here = variant(folder, tmp_path / "mine")
    models = Models("mine", "cpu", lambda name, device: Cascade.load(here, device=device))
    first = models.use()
    assert models.use() is first
    (made,) = produce(first, request(), tmp_path / "out")
    weights = next(here.glob("stages/*/transformer/*.safetensors"))
    name, before = weights.relative_to(here).as_posix(), weights.stat()
    tensors = {key: 0.9 * value for key, value in safetensors.torch.load_file(weights).items()}
    safetensors.torch.save_file(tensors, weights, metadata={"format": "pt"})
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.stat().st_size == before.st_size
    (still,) = produce(first, request(), tmp_path / "out")
    assert still.sidecar["checkpoint"] == made.sidecar["checkpoint"], "it sounds as it was loaded"
    assert models.use() is not first, "a checkpoint that was replaced under its name is loaded anew"
    (other,) = produce(models.use(), request(), tmp_path / "out")
    files = [clip.sidecar["checkpoint"]["files"] for clip in (made, other)]
    assert files[0][name] != files[1][name]
    with pytest.raises(errors.InvalidRequest, match=r"checkpoint .* is another by now"):
        reproduce(made.path + ".json", models.use(), tmp_path / "again")


def test_a_reference_is_known_by_what_it_holds(cascade, tone, tmp_path):
    file = tmp_path / "reference.wav"
    shutil.copy(tone, file)
    before = file.stat()
    first = cascade.latents(request(reference=str(file)))
    samples, rate = soundfile.read(file)
    soundfile.write(file, samples[::-1] * np.hanning(len(samples))[:, None], rate, subtype="FLOAT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert not torch.equal(cascade.latents(request(reference=str(file))), first)
    assert torch.equal(cascade.latents(request(reference=tone)), first)

"""Our latents against the stock AceStepPipeline's on tiny random checkpoints, for every task and model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import soundfile

from acestep import Cascade, GenerateRequest
from tests.support.cascades import cascade_folder
from tests.support.closeness import assert_close
from tests.support.stock import base_options, stock_latents, turbo_options, within
from tests.support.tiny_checkpoints import save_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    """Folder and stock pipeline by (turbo, xl)."""
    made = {}

    def get(turbo: bool, xl: bool = False):
        if (turbo, xl) not in made:
            folder = tmp_path_factory.mktemp("checkpoint") / f"turbo{turbo}-xl{xl}"
            pipeline = save_pipeline(folder, turbo=turbo, xl=xl, seed=1 + turbo + 2 * xl)
            made[turbo, xl] = folder, pipeline, Cascade.load(folder)
        return made[turbo, xl]

    return get


@pytest.fixture(autouse=True)
def stock_takes_the_mean(monkeypatch):
    """The stock pipeline draws its encodings from the global generator; ours uses the distribution's mean."""
    from diffusers.models.autoencoders.autoencoder_oobleck import OobleckDiagonalGaussianDistribution

    monkeypatch.setattr(OobleckDiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean)


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> str:
    """1.68 s (42 latent frames) of stereo noise that swells, as a file."""
    path = tmp_path_factory.mktemp("audio") / "song.wav"
    rng = np.random.default_rng(0)
    swell = np.linspace(0.1, 0.5, 80_640)[:, None]
    soundfile.write(path, rng.uniform(-1, 1, (80_640, 2)) * swell, 48_000, subtype="FLOAT")
    return str(path)


def settings(task: str, song: str) -> dict:
    by_task = {
        "text": {"reference": song},
        "cover": {"context": song},
        "repaint": {"context": song, "repaint_s": (0.4, 1.1)},
        "lego": {"context": song, "track": "drums"},
        "extract": {"context": song, "track": "vocals"},
        "complete": {"context": song, "track": "drums|bass"},
    }
    return {
        "task": task,
        "prompt": "dusty breakbeat",
        "bpm": 240 / 1.68,
        "signature": "4/4",
        "bars": 1,
        "key": "F# minor",
        **by_task[task],
    }


@pytest.mark.parametrize("task", ["text", "cover", "repaint", "lego", "extract", "complete"])
@pytest.mark.parametrize("kind", ["turbo", "base", "base without guidance"])
def test_latents_equal_the_stock_pipeline(pipelines, song, task, kind):
    _, pipeline, cascade = pipelines(kind == "turbo")
    request = GenerateRequest(seed=5, lyrics="[verse]\nhello", **settings(task, song))
    if kind != "turbo" and task == "text":
        request = dataclasses.replace(request, reference=None)
    options = turbo_options()
    if kind != "turbo":
        scale = 1.0 if "without" in kind else 7.0
        request = dataclasses.replace(request, steps=6, guidance=scale)
        options = base_options(scale=scale)
    if task == "complete":
        options["complete_track_classes"] = request.track.split("|")
    elif request.track:
        options["track_name"] = request.track
    if request.repaint_s:
        options |= {"repainting_start": request.repaint_s[0], "repainting_end": request.repaint_s[1]}
    theirs = stock_latents(pipeline, cascade, request, **options)
    assert theirs.std() > 0.1 * theirs.abs().max()
    assert_close(cascade.latents(request), theirs, within(options))


@pytest.mark.parametrize("turbo", [True, False])
@pytest.mark.parametrize("reference", [True, False])
def test_a_weak_cover_equals_the_stock_pipeline(pipelines, song, turbo, reference):
    _, pipeline, cascade = pipelines(turbo)
    values = settings("cover", song) | {"strength": 0.6, "seed": 8, "steps": 5}
    if reference:
        values["reference"] = song
    request = GenerateRequest(**values)
    options = {**turbo_options(), "num_inference_steps": 5} if turbo else base_options(5)
    theirs = stock_latents(pipeline, cascade, request, audio_cover_strength=0.6, **options)
    assert_close(cascade.latents(request), theirs, within(options))


@pytest.mark.parametrize("turbo", [True, False])
def test_the_xl_layout_equals_the_stock_pipeline(pipelines, turbo):
    _, pipeline, cascade = pipelines(turbo, xl=True)
    request = GenerateRequest(prompt="strings", bpm=97.4, signature="3/4", bars=2, seed=2, steps=8)
    options = turbo_options() if turbo else base_options(8)
    theirs = stock_latents(pipeline, cascade, request, **options)
    assert_close(cascade.latents(request), theirs, within(options))


def test_guidance_within_an_interval_equals_the_stock_pipeline(pipelines, tmp_path):
    folder, pipeline, _ = pipelines(False)
    interval = (0.3, 0.7)
    written = cascade_folder(tmp_path / "interval", folder, [("m", [0, 10])], interval=interval)
    cascade = Cascade.load(written)
    request = GenerateRequest(prompt="strings", bars=1, seed=2)
    theirs = stock_latents(
        pipeline, cascade, request, **base_options(10), cfg_interval_start=0.3, cfg_interval_end=0.7
    )
    assert_close(cascade.latents(request), theirs, within(base_options()))


@pytest.mark.parametrize("turbo", [True, False])
def test_three_stages_that_are_copies_equal_the_unsplit_run(pipelines, tmp_path, turbo):
    folder, pipeline, single = pipelines(turbo)
    split = cascade_folder(
        tmp_path / "split", folder, [("l", [0, 3]), ("m", [3, 6]), ("s", [6, 8])], steps=8, turbo=turbo
    )
    cascade = Cascade.load(split)
    request = GenerateRequest(prompt="strings", bars=1, seed=2, steps=8, key="C major")
    options = turbo_options() if turbo else base_options(8)
    ours = cascade.latents(request)
    assert_close(ours, single.latents(request), within(options))
    assert_close(ours, stock_latents(pipeline, cascade, request, **options), within(options))

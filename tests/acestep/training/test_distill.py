"""Distillation on tiny checkpoints: the loss falls, a stopped run goes on, the result is a stage."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch

from acestep import Cascade, GenerateRequest
from acestep.checkpoints.variants import VARIANTS
from acestep.training.distill import Distillation, Recipe, Student, condition_states
from acestep.training.distill_material import Batch
from acestep.training.pruning import kept_layers, smaller_config
from server.cli.acestep import main
from tests.support.closeness import FORWARD, assert_close, rounding
from tests.support.tiny_checkpoints import save_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

CAPTIONS = ("dusty breakbeat", "soft piano", "strings, slow and dark", "acid bass")
SIZE = ("--width", "0.5", "--depth", "0.7", "--seconds", "1", "--batch", "3", "--device", "cpu")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a turbo and a base teacher, captions and audio."""
    home = tmp_path_factory.mktemp("home")
    for name, turbo in (("turbo", True), ("base", False)):
        save_pipeline(home / "cascades" / name, turbo=turbo)
    (home / "captions.txt").write_text("\n".join(CAPTIONS))
    (home / "music").mkdir()
    random = np.random.default_rng(0)
    for number, caption in enumerate(CAPTIONS[:2]):
        soundfile.write(home / "music" / f"{number}.wav", random.normal(0, 0.1, (70_000, 2)), 48_000)
        (home / "music" / f"{number}.txt").write_text(caption)
    return home


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(home))


def distill(home, name, *options):
    """Run the command; gives its exit code and the held-out errors by step."""
    code = main(["distill", *options, *SIZE, "--name", name])
    log = home / "distill" / name / "log.json"
    return code, {int(k): v for k, v in json.loads(log.read_text())["error"].items()} if log.is_file() else {}


def test_a_distilled_stage_learns_and_is_composed_and_generates(home, capsys):
    options = ("turbo:5-8", "--captions", str(home / "captions.txt"), "--steps", "40", "--rate", "3e-3")
    code, errors = distill(home, "small", *options)
    assert code == 0
    assert errors[40] < 0.9 * errors[0]
    assert "velocity error on held-out examples" in capsys.readouterr().err
    stages = ("--stage", "m=turbo:0-5", "--stage", "s=small:5-8")
    assert main(["compose", *stages, "--name", "m-then-s"]) == 0
    cascade = Cascade.load("m-then-s")
    assert cascade.stages["s"].transformer.config.hidden_size == 16
    take = cascade.generate(GenerateRequest(prompt=CAPTIONS[0], bpm=200, bars=1, seed=1))[0]
    assert set(take.seconds) >= {"m", "s"}
    assert np.isfinite(take.audio).all()
    assert np.abs(take.audio).max() > 0


def test_a_base_teacher_is_learned_with_its_guidance_from_audio(home):
    options = ("base", "--audio", str(home / "music"), "--steps", "20", "--rate", "3e-3")
    code, errors = distill(home, "from-base", *options)
    assert code == 0
    assert errors[20] < errors[0]
    cascade = Cascade.load("from-base")
    assert cascade.stages["s"].is_turbo  # nobody guides it a second time
    assert not cascade.supports("lego")


def test_music_that_cannot_be_read_is_named_and_captions_may_be_in_any_encoding(home, tmp_path, capsys):
    for file in (home / "music").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "1.txt").write_bytes("für Gitarre, schön leise".encode("cp1252"))
    (tmp_path / "cut.wav").write_bytes((home / "music" / "0.wav").read_bytes()[:30_000])
    code, errors = distill(home, "some", "turbo", "--audio", str(tmp_path), "--steps", "1")
    assert code == 0
    assert set(errors) == {0, 1}
    assert "left out: " in (told := capsys.readouterr().err)
    assert "cut.wav is cut off" in told


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(home):
    recipe = Recipe("turbo", captions=str(home / "captions.txt"), width=0.5, depth=0.7, steps=12, batch=2,
                    seconds=1, rate=1e-3)  # fmt: skip
    whole = Distillation(recipe, home / "runs" / "whole", "cpu")
    whole.train(save_every=100)
    first = Distillation(recipe, home / "runs" / "parted", "cpu")
    record = {"error": {"0": first.error()}}
    for _ in range(7):
        first.train_step()
    first._save(record)
    second = Distillation(recipe, home / "runs" / "parted", "cpu")
    assert second.step == 7
    second.train(save_every=100)
    ours, theirs = second.student.state_dict(), whole.student.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_another_recipe_does_not_take_over_a_run(home, capsys):
    captions = ("--captions", str(home / "captions.txt"), "--steps", "1")
    assert main(["distill", "turbo", *captions, *SIZE, "--name", "mine"]) == 0
    (home / "cascades" / "mine").rename(home / "moved")
    assert main(["distill", "turbo", *captions, *SIZE, "--seed", "9", "--name", "mine"]) == 2
    assert "seed 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "either"),
        (("--captions", "nowhere.txt"), "cannot be read"),
        (("--audio", "nowhere"), "no readable audio"),
        (("--captions", "x", "--width", "2"), "out of range"),
        (("--captions", "x", "--device", "cuda:99"), "no device 'cuda:99' here"),
    ],
)
def test_what_cannot_be_distilled_is_refused(home, capsys, options, message):
    assert main(["distill", "turbo", "--name", f"bad{len(message)}", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (home / "cascades" / f"bad{len(message)}").exists()


def test_the_teacher_is_heard_as_the_engine_plays_it_and_a_whole_student_equals_it(home):
    cascade = Cascade.load("turbo")
    stage = next(iter(cascade.stages.values()))
    words = [cascade.encode_text(text, "la") for text in CAPTIONS[:2]]
    batch = Batch(words, [None, None], 750)
    x, t = torch.randn(2, 25, 8), torch.tensor([0.9, 0.9])
    student = Student(stage, 1.0, 1.0).eval()
    silence = stage.silence(25)
    context = torch.cat([silence, torch.ones_like(silence)], -1)
    with torch.no_grad():
        made = student(x, t, context.expand(2, -1, -1), batch)
        for row in range(2):
            branch = stage.branch(("test", row), words[row], lambda: stage.timbre(None, None, 750))
            asked = stage.denoiser([0.9], 25)(0, x[row : row + 1], [(branch, context)])[0]
            assert_close(made[row : row + 1], asked, rounding(FORWARD))
    masked = condition_states(stage.condition_encoder, batch, False, torch.float32)
    assert masked.mask.sum(1).tolist() == [w.text.shape[1] + w.lyrics.shape[1] + 1 for w in words]


def test_a_student_takes_over_what_its_shapes_allow(home):
    stage = next(iter(Cascade.load("turbo").stages.values()))
    begun = Student(stage, 1.0, 0.7).transformer
    kept = kept_layers(3, 2)
    assert kept == [0, 2]
    for ours, theirs in enumerate(kept):
        assert torch.equal(
            begun.layers[ours].mlp.up_proj.weight, stage.transformer.layers[theirs].mlp.up_proj.weight
        )
        assert begun.layer_types[ours] == stage.transformer.layer_types[theirs]
    narrow = Student(stage, 0.5, 1.0).transformer
    part = stage.transformer.layers[1].self_attn.to_q.weight[:16, :16]
    assert_close(narrow.layers[1].self_attn.to_q.weight, part * 2**0.5, rounding(1))


def test_s_is_m_made_smaller_by_the_default_recipe():
    config = smaller_config(
        {**VARIANTS["m"].transformer_config(), "layer_types": None}, Recipe.width, Recipe.depth
    )
    wanted = VARIANTS["s"].transformer_config()
    assert {key: config[key] for key in wanted} == wanted
    encoder = smaller_config(VARIANTS["m"].condition_encoder_config(), Recipe.width, Recipe.depth)
    assert encoder == VARIANTS["s"].condition_encoder_config()

"""Distillation on tiny checkpoints: the loss falls, a stopped run goes on, the result is a stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from acestep import Cascade, GenerateRequest
from acestep.errors import InvalidRequest
from acestep.training.distill import Distillation, Recipe, Student, condition_states
from acestep.training.distill_material import Batch
from acestep.training.pruning import kept_layers, smaller_config
from server.cli.acestep import main
from tests.support.closeness import FORWARD, assert_close, rounding
from tests.support.tiny_checkpoints import save_pipeline
from tests.support.variants import VARIANTS

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
    told = capsys.readouterr().err
    assert "velocity error on held-out examples" in told
    assert "acestep distill: training takes about 0.00 GB a process (weights 0.00, trained 0.00" in told
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


@pytest.fixture
def saved_at_3(home, tmp_path):
    """A run that has saved its state once, after three steps, with its record."""
    recipe = Recipe("turbo", captions=str(home / "captions.txt"), width=0.5, depth=0.7, steps=12, batch=2,
                    seconds=1, rate=1e-3)  # fmt: skip
    run = Distillation(recipe, tmp_path / "run", "cpu")
    for _ in range(3):
        run.train_step()
    record = {"error": {"0": 1.0}}
    run._save(record)
    return run, record


def test_a_state_that_could_not_be_written_leaves_the_one_before(saved_at_3, monkeypatch):
    run, record = saved_at_3
    run.train_step()
    whole = run.accelerator.save_state

    def disk_full(folder):
        whole(folder)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run.accelerator, "save_state", disk_full)
    with pytest.raises(OSError, match="No space"):
        run._save(record)
    assert Distillation(run.recipe, run.folder, "cpu").step == 3
    assert [path.name for path in run.folder.glob("[.s]*")] == ["state-000000003"]


def test_a_run_that_was_killed_while_it_saved_goes_on_from_the_newest_whole_state(saved_at_3):
    run, record = saved_at_3
    left = (
        run.folder / f".acestep-{2**22 + 1}-abcdef.part"
    )  # killed while it wrote; no process has that number
    left.mkdir()
    old = run.folder / "state-000000001"  # killed while it removed this one
    old.mkdir()
    again = Distillation(run.recipe, run.folder, "cpu")
    assert again.step == 3
    again.train_step()
    again._save(record)
    assert Distillation(run.recipe, run.folder, "cpu").step == 4
    assert sorted(path.name for path in run.folder.glob("[.s]*")) == ["state-000000004"]


def test_another_recipe_does_not_take_over_a_run(home, capsys):
    captions = ("--captions", str(home / "captions.txt"), "--steps", "1")
    assert main(["distill", "turbo", *captions, *SIZE, "--name", "mine"]) == 0
    (home / "cascades" / "mine").rename(home / "moved")
    assert main(["distill", "turbo", *captions, *SIZE, "--seed", "9", "--name", "mine"]) == 2
    assert "seed 0" in capsys.readouterr().err


def test_a_run_goes_on_with_as_many_processes_as_it_was_begun_with(saved_at_3):
    run, _ = saved_at_3
    file = run.folder / "recipe.json"
    begun = json.loads(file.read_text())
    file.write_text(json.dumps(begun | {"processes": 2}))
    with pytest.raises(InvalidRequest, match=r"was begun with processes 2: give the same"):
        Distillation(run.recipe, run.folder, "cpu")
    del begun["processes"], begun["accumulate"]  # as version 0.2 wrote it
    file.write_text(json.dumps(begun))
    assert Distillation(run.recipe, run.folder, "cpu").step == 3


@pytest.mark.heavy
@pytest.mark.numeric
@pytest.mark.timeout(600)
def test_two_processes_learn_what_one_does_that_adds_twice_as_many_batches_up(home, tmp_path):
    script = tmp_path / "distill.py"
    script.write_text("""
import json, os, sys
from pathlib import Path
from acestep.errors import InvalidRequest
from acestep.training.distill import Distillation, Recipe
home, folder, accumulate = sys.argv[1:]
found = {}
for name, source in (("walk", {"captions": f"{home}/captions.txt"}), ("audio", {"audio": f"{home}/music"})):
    recipe = Recipe("turbo", width=0.5, depth=0.7, steps=6, batch=2, seconds=1, rate=1e-3,
                    accumulate=int(accumulate), **source)
    losses = []
    run = Distillation(recipe, Path(folder) / name, "cpu")
    record = run.train(save_every=3, on_step=lambda step, loss: losses.append(loss))
    found[name] = [losses, list(record["error"].values())]
Path(folder, "rank" + os.environ.get("RANK", "0")).write_text(json.dumps(found))
""")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    found = {}
    for folder, launch, accumulate in (("alone", (), "4"), ("together", torchrun, "2")):
        (tmp_path / folder).mkdir()
        told = subprocess.run(
            [sys.executable, *launch, str(script), str(home), str(tmp_path / folder), accumulate],
            capture_output=True, text=True, timeout=280, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "ACESTEP_HOME": str(home)},
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        found[folder] = [json.loads(path.read_text()) for path in sorted((tmp_path / folder).glob("rank*"))]
    (alone,), (first, second) = found["alone"], found["together"]
    assert first == second
    for name in ("walk", "audio"):
        for ours, theirs in zip(first[name], alone[name], strict=True):  # loss of each step, held-out errors
            assert_close(np.array(ours), np.array(theirs), 1e-5)


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

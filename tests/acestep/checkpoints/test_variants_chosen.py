"""Variants, int8 and memory that runs out, on tiny checkpoints: what is chosen, said, and comes out."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from acestep import Cascade, GenerateRequest, errors, produce
from acestep.checkpoints.compose import compose, parse_stage
from acestep.checkpoints.memory import WINDOWS
from acestep.clips.production import reproduce
from acestep.sources.sidecar import read_sidecar
from server.cli import acestep as cli
from server.config import load
from tests.support.closeness import assert_close
from tests.support.tiny_checkpoints import save_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with one published cascade (stage m) and one composed of two stages."""
    home = tmp_path_factory.mktemp("home")
    save_pipeline(home / "cascades" / "turbo", turbo=True, seed=3)
    return home


@pytest.fixture(autouse=True)
def at_home(home, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(home))
    monkeypatch.setenv("ACESTEP_GRPC_PORT", "0")  # a daemon that runs on this machine is not asked
    if not (home / "cascades" / "both").exists():
        chosen = [parse_stage("l=turbo:0-5"), parse_stage("s=turbo:5-8")]
        compose(chosen, home / "cascades" / "both")


def request(**values):
    return GenerateRequest(**{"prompt": "strings", "bars": 4, "bpm": 200, "seed": 2} | values)


def test_auto_takes_the_largest_cascade_here_and_says_why():
    cascade = Cascade.load("auto")
    assert cascade.spec.name == "both"  # the same weights twice are more than once
    assert cascade.notes[0].startswith("auto: both")
    assert "small enough for any machine" in cascade.notes[0]


def test_a_variant_is_a_stage_of_that_name_alone():
    cascade = Cascade.load("l")
    assert list(cascade.stages) == ["l"]
    assert Cascade.load("m").spec.name == "turbo"


def test_without_other_cascades_auto_is_nano(tmp_path, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path))
    assert Cascade.load("auto").spec.name == "nano"
    with pytest.raises(errors.NotFound, match="acestep pull xl-turbo"):
        Cascade.load("l")


def test_a_clip_made_with_a_variant_names_what_it_stood_for(tmp_path, capsys):
    words = ("strings", "--bpm", "200", "--bars", "2", "--seed", "2", "--out", str(tmp_path), "--local")
    assert cli.main(["generate", *words, "--variant", "l", "--quiet"]) == 0
    out, error = capsys.readouterr()
    assert "l: stage l of both" in error
    made = read_sidecar(f"{out.strip()}.json")["request"]
    assert (made["cascade"], made["stages"]) == ("both", ["l"])
    assert cli.main(["generate", *words, "--variant", "l", "--cascade", "both"]) == 2


def test_a_setting_that_is_no_variant_is_refused():
    with pytest.raises(
        errors.InvalidRequest, match="--variant is 'xxl': expected one of auto, l, m, s, nano"
    ):
        load({"variant": "xxl"})


def test_models_lists_what_is_here_and_every_size(capsys):
    assert cli.main(["models"]) == 0
    out = capsys.readouterr().out
    assert "both" in out
    assert "l→s" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert set(rows) == {"l", "m", "s", "nano"}
    assert "both" in rows["l"]
    assert "turbo" in rows["m"]
    assert "needs" in rows["nano"]


def test_int8_is_small_and_near_and_its_error_is_told():
    whole, small = Cascade.load("turbo"), Cascade.load("turbo", int8=True)
    error = small.stages["m"].int8_error
    assert 0.0005 < error < 0.03
    assert small.notes[-1] == f"stage m has int8 weights: its velocity is off by {100 * error:.2f} %"
    bytes_of = [
        sum(t.numel() * t.element_size() for t in (*layers.parameters(), *layers.buffers()))
        for layers in (c.stages["m"].transformer.layers for c in (whole, small))
    ]
    assert bytes_of[1] < 0.4 * bytes_of[0]
    ours, theirs = small.latents(request()), whole.latents(request())
    assert 0 < (ours - theirs).norm() / theirs.norm() < 0.2
    assert whole.stages["m"].int8_error is None


def test_int8_is_on_the_label_and_printed(tmp_path, capsys):
    words = ("strings", "--bpm", "200", "--bars", "2", "--seed", "2", "--out", str(tmp_path), "--local")
    assert cli.main(["generate", *words, "--cascade", "turbo", "--precision", "int8", "--quiet"]) == 0
    out, error = capsys.readouterr()
    assert "stage m has int8 weights: its velocity is off by" in error
    assert read_sidecar(f"{out.strip()}.json")["checkpoint"]["int8"] is True


def test_an_adapter_on_int8_weights_is_refused_with_what_to_do(tmp_path):
    file = tmp_path / "dusty.safetensors"
    name = "base_model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    safetensors.torch.save_file(
        {name.format("A"): torch.ones(4, 32), name.format("B"): torch.ones(32, 4)}, file
    )
    assert Cascade.load("turbo").load_adapter(file) == "dusty"
    with pytest.raises(errors.AdapterError, match="quantised: load with --precision bfloat16"):
        Cascade.load("turbo", int8=True).load_adapter(file)


def limit(module, largest):
    """Memory that is too small for more than `largest` rows or frames: the module's inputs decide."""

    def refuse(_module, inputs):
        if not largest(inputs[0]):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    return module.register_forward_pre_hook(refuse)


def test_memory_that_runs_out_while_decoding_makes_the_windows_smaller():
    cascade = Cascade.load("turbo")
    wanted = cascade.generate(request())[0].audio
    limit(cascade.codec.autoencoder.decoder, lambda latents: latents.shape[-1] <= 100)
    (take,) = cascade.generate(request())
    assert take.plan.window == WINDOWS[-1]
    assert cascade.codec.window == WINDOWS[0], "the next song begins with the whole plan"
    assert take.notes[-1] == "memory ran out: decoding in windows of 64 frames"
    assert_close(take.audio, wanted)


def test_memory_that_runs_out_makes_fewer_takes_at_once():
    cascade = Cascade.load("turbo")
    wanted = cascade.generate(request(takes=3))
    limit(cascade.stages["m"].transformer.layers[0].mlp, lambda hidden: len(hidden) <= 1)
    takes = cascade.generate(request(takes=3))
    for made, asked in zip(takes, wanted, strict=True):
        assert_close(made.audio, asked.audio)
    assert [take.plan.takes_at_once for take in takes] == [1, 1, 1]
    assert "memory ran out: no more than 1 at once" in takes[-1].notes


def test_a_stage_that_never_fits_is_left_out_and_the_clip_says_so(tmp_path):
    cascade = Cascade.load("both")
    wanted = cascade.latents(request(stages=("s",)))
    full = limit(cascade.stages["l"].transformer.layers[0].mlp, lambda hidden: False)
    seen = []
    (clip,) = produce(cascade, request(), tmp_path, on_progress=lambda p: seen.append(p.fraction))
    sidecar = read_sidecar(f"{clip.path}.json")
    assert sidecar["plan"]["stages"] == ["s"]
    assert "memory ran out: without stage l" in sidecar["notes"]
    assert seen == sorted(seen)
    full.remove()
    (alone,) = cascade.generate(request(stages=("s",)))
    again = reproduce(clip.path + ".json", cascade, tmp_path / "again")
    assert np.array_equal(soundfile.read(again.path)[0], soundfile.read(clip.path)[0])
    assert again.sidecar["plan"] == sidecar["plan"]
    (other,) = cascade.generate(request())
    assert other.plan.stages == ("l", "s"), "what one song gave up is not given up for the next"
    assert torch.equal(cascade.latents(request(stages=("s",))), wanted)
    assert alone.plan.stages == ("s",)


def test_a_clip_is_not_made_again_by_another_plan_than_its_own(tmp_path):
    cascade = Cascade.load("both")
    (clip,) = produce(cascade, request(), tmp_path)
    full = limit(cascade.stages["l"].transformer.layers[0].mlp, lambda hidden: False)
    with full, pytest.raises(errors.OutOfMemory, match="the plan they were made by before"):
        reproduce(clip.path + ".json", cascade, tmp_path / "again")
    with pytest.raises(errors.Unsupported, match=r"made by stages l, s, and l cannot be used here"):
        reproduce(clip.path + ".json", Cascade.load("both", stages=("S",)), tmp_path / "again")
    with pytest.raises(errors.Unsupported, match="load it with --precision float32"):
        reproduce(clip.path + ".json", Cascade.load("both", dtype=torch.bfloat16), tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_when_nothing_is_left_to_give_up_it_is_an_error_that_says_what_to_do():
    cascade = Cascade.load("turbo")
    limit(cascade.stages["m"].transformer.layers[0].mlp, lambda hidden: False)
    with pytest.raises(errors.OutOfMemory, match="ask for fewer bars"):
        cascade.generate(request())

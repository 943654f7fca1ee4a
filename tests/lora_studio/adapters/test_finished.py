"""Finished adapters: what a run leaves, that others can read it, and that off means off."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from acestep.errors import AceStepError, AdapterError, AlreadyExists, InvalidRequest, NotFound, Unsupported
from acestep.model.cascade import Cascade
from acestep.nano.checkpoint import TINY, write_untrained
from acestep.request import GenerateRequest
from lora_studio.adapters import library
from lora_studio.adapters.formats import StageAdapter, write_all
from lora_studio.adapters.merging import merge_adapters, merge_into_base
from lora_studio.cli import main
from lora_studio.config import TrainConfig
from lora_studio.data.dataset import read_dataset
from lora_studio.training.train import train
from tests.support.closeness import FORWARD, assert_close, assert_differs, rounding
from tests.support.lora_material import hits, pulse, write

REQUEST = GenerateRequest(prompt="dusty loop", bpm=120, bars=1, key="A minor", seed=7)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    write_untrained(folder, TINY, 0)
    return folder


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loops")
    for number in range(4):
        write(folder / f"dusty{number}_{100 + 7 * number}bpm_Am.wav", pulse(100 + 7 * number, 2, seed=number))
    write(folder / "Rain" / "drums_110bpm.wav", hits(110, 2))
    write(folder / "Rain" / "bass_110bpm.wav", pulse(110, 2, 55))
    return folder


def settings(base: Path, loops: Path, home: Path, **changes: object) -> TrainConfig:
    values: dict[str, Any] = {
        "rank": 3, "alpha": 12.0, "batch_size": 3, "steps": 12, "validation_pairs": 4, "previews": 1,
        "preview_bars": 1.0, "device": "cpu", "tensorboard": False, "learning_rate": 0.01, "trigger": "zork",
    }  # fmt: skip
    values |= {"data": str(loops), "name": "my-sound", "base": str(base), "home": str(home)}
    return TrainConfig(**{**values, **changes})


@pytest.fixture(scope="module")
def home(base: Path, loops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one trained adapter, on all three stages."""
    folder = tmp_path_factory.mktemp("home")
    train(settings(base, loops, folder))
    return folder


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACESTEP_HOME", str(home))


def latents(cascade: Cascade, *adapters: tuple[str, float]) -> Tensor:
    return cascade.latents(dataclasses.replace(REQUEST, adapters=adapters))


def assert_same_effect(found: Tensor, expected: Tensor, plain: Tensor) -> None:
    """The same up to a hundredth of what the adapter does: weights may have been stored rounded."""
    assert (found - expected).norm() < 0.01 * (expected - plain).norm()


def test_a_run_leaves_weights_card_curves_settings_and_previews(home: Path) -> None:
    folder = home / "adapters" / "my-sound"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"adapter.json", "README.md", "loss.png", "train_config.json", "l/adapter_config.json"} <= names
    assert {"l.comfyui.safetensors", "l.diffusers.safetensors", "s/adapter_model.safetensors"} <= names
    before, rate = soundfile.read(folder / "previews" / "1_before.wav")
    after, _ = soundfile.read(folder / "previews" / "1_after.wav")
    assert (rate, before.shape) == (48_000, after.shape)
    summary = json.loads((folder / "adapter.json").read_text())["summary"]
    assert all(stage["effect"] > 0.005 for stage in summary["stages"].values())
    card = (folder / "README.md").read_text()
    assert "zork" in card
    assert "held out" in card
    page = (folder / "card.html").read_text()
    sources = re.findall(r'<(?:audio|img)[^>]* src="((?!data:)[^"]+)"', page)
    assert sorted(sources) == ["loss.png", "previews/1_after.wav", "previews/1_before.wav"]
    assert all((folder / source).is_file() for source in sources)
    assert json.loads((folder / "train_config.json").read_text())["rank"] == 3
    assert not list((home / "lora" / "my-sound").glob("stage-*")), "checkpoints of a finished run are removed"


def test_alpha_and_trigger_are_in_the_metadata_and_the_config_holds_no_extra_keys(home: Path) -> None:
    folder = home / "adapters" / "my-sound"
    for name in ("l/adapter_model.safetensors", "l.comfyui.safetensors", "l.diffusers.safetensors"):
        with safe_open(folder / name, framework="pt") as file:
            metadata = file.metadata()
        assert (metadata["lora_alpha"], metadata["trigger_words"]) == ("12", "zork")
    from peft import LoraConfig

    config = json.loads((folder / "l" / "adapter_config.json").read_text())
    assert set(config) <= {field.name for field in dataclasses.fields(LoraConfig)} | {
        "peft_type",
        "auto_mapping",
    }
    assert (config["r"], config["lora_alpha"]) == (3, 12)


def test_every_spelling_gives_the_same_output_at_the_right_strength(
    base: Path, home: Path, tmp_path: Path
) -> None:
    cascade = Cascade.load(base, device="cpu", stages=["l"])
    plain = latents(cascade)
    expected = latents(cascade, ("my-sound", 1.0))
    assert_differs(expected, plain)
    folder = home / "adapters" / "my-sound"
    for path in (folder / "l", folder / "l.comfyui.safetensors", folder / "l.diffusers.safetensors"):
        name = cascade.load_adapter(path)
        assert_close(latents(cascade, (name, 1.0)), expected)
        cascade.unload_adapter(name)
    cascade.unload_adapter("my-sound")
    assert torch.equal(latents(cascade), plain)


def test_diffusers_itself_loads_our_file_at_the_right_strength(base: Path, home: Path) -> None:
    from diffusers.loaders import AceStepLoraLoaderMixin

    cascade = Cascade.load(base, device="cpu", stages=["l"])
    stage = cascade.stages["l"]
    net, context = stage.transformer, 2 * stage.channels + stage.guide_channels
    inputs = (
        torch.randn(1, 16, stage.channels), torch.rand(1), torch.randn(1, 5, 32), torch.randn(1, 16, context)
    )  # fmt: skip

    def run() -> Tensor:
        noisy, t, condition, around = inputs
        found: Tensor = net(noisy, t, t, condition, around, return_dict=False)[0]
        return found.detach()

    name = cascade.load_adapter("my-sound")
    with cascade.adapters.applied([(name, 1.0)]):
        expected = run()
    cascade.unload_adapter(name)
    path = home / "adapters" / "my-sound" / "l.diffusers.safetensors"
    weights, metadata = AceStepLoraLoaderMixin.lora_state_dict(str(path), return_lora_metadata=True)
    AceStepLoraLoaderMixin.load_lora_into_transformer(weights, net, adapter_name="theirs", metadata=metadata)
    assert_close(run(), expected, rounding(FORWARD))


def test_dora_trains_saves_and_loads_with_the_same_output(base: Path, loops: Path, home: Path) -> None:
    result = train(settings(base, loops, home, name="dora", dora=True, stages=("s",), steps=6))
    assert result.summary["stages"]["s"]["effect"] > 0.005  # train() itself compares the output from disk
    assert any("magnitude" in name for name in load_file(result.folder / "s" / "adapter_model.safetensors"))
    assert any("dora_scale" in name for name in load_file(result.folder / "s.comfyui.safetensors"))


def test_a_share_of_an_adapter_is_the_whole_at_that_scale(base: Path, home: Path, tmp_path: Path) -> None:
    cascade = Cascade.load(base, device="cpu")
    name = cascade.load_adapter("my-sound")
    expected = latents(cascade, (name, 0.4))
    cascade.unload_adapter(name)
    folder = home / "adapters" / "my-sound"
    (tmp_path / "weaker").mkdir()
    shutil.copy(folder / "adapter.json", tmp_path / "weaker" / "adapter.json")
    for stage in cascade.stages:
        config = json.loads((folder / stage / "adapter_config.json").read_text())
        weights = load_file(folder / f"{stage}.diffusers.safetensors")
        whole = StageAdapter(
            {key.removeprefix("transformer."): value for key, value in weights.items()},
            config["r"], config["lora_alpha"],
        )  # fmt: skip
        write_all(whole.at(0.4), tmp_path / "weaker", stage)
    name = cascade.load_adapter(tmp_path / "weaker")
    assert_same_effect(latents(cascade, (name, 1.0)), expected, latents(cascade))


def test_a_run_keeps_the_share_it_is_told_and_says_so(base: Path, loops: Path, tmp_path: Path) -> None:
    half = train(settings(base, loops, tmp_path, strength=0.5, name="half"))
    whole = train(settings(base, loops, tmp_path, strength=1.0, name="whole"))
    assert (half.summary["strength"], whole.summary["strength"]) == (0.5, 1.0)
    for stage, numbers in whole.summary["stages"].items():
        assert 0 < half.summary["stages"][stage]["effect"] < 0.8 * numbers["effect"]


def test_a_run_without_effect_fails_with_advice_and_installs_nothing(
    base: Path, loops: Path, home: Path
) -> None:
    with pytest.raises(AdapterError, match="a higher --learning-rate"):
        train(settings(base, loops, home, name="faint", learning_rate=1e-7, steps=3))
    assert not (home / "adapters" / "faint").exists()


def test_off_means_off_in_every_task(base: Path, loops: Path) -> None:
    cascade = Cascade.load(base, device="cpu")
    source = str(loops / "Rain" / "bass_110bpm.wav")
    requests = [
        REQUEST,
        dataclasses.replace(REQUEST, task="lego", context=source, track="drums"),
        dataclasses.replace(REQUEST, task="complete", context=source, track="drums"),
        dataclasses.replace(REQUEST, task="repaint", context=source, repaint_s=(0.2, 0.8)),
    ]
    requests = [request for request in requests if cascade.supports(request.task)]
    before = [cascade.latents(request) for request in requests]
    changed = [
        cascade.latents(dataclasses.replace(request, adapters=(("my-sound", 1.0),))) for request in requests
    ]
    cascade.unload_adapter("my-sound")
    after = [cascade.latents(request) for request in requests]
    assert len(requests) >= 2
    for plain, adapted, off in zip(before, changed, after, strict=True):
        assert_differs(adapted, plain)
        assert torch.equal(plain, off)


def test_list_show_and_export_tell_and_give_what_is_there(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    assert "my-sound" in capsys.readouterr().out
    assert main(["list", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert listed["my-sound"]["stages"] == ["l", "m", "s"]
    assert main(["show", "my-sound"]) == 0
    assert "held-out loss" in capsys.readouterr().out
    assert main(["export", "my-sound", str(tmp_path / "one.safetensors"), "--format", "comfyui"]) == 2
    assert "choose one of l, m, s" in capsys.readouterr().err
    for kind in ("peft", "comfyui", "diffusers", "zip"):
        out = tmp_path / f"{kind}.out"
        assert main(["export", "my-sound", str(out), "--format", kind, "--stage", "m"]) == 0
        assert out.exists()
    assert main(["export", "my-sound", str(tmp_path / "zip.out"), "--format", "zip"]) == 2
    assert main(["show", "nobody"]) == 2
    assert "no adapter 'nobody'" in capsys.readouterr().err


def test_imports_keep_strength_and_do_not_overwrite(base: Path, home: Path, tmp_path: Path) -> None:
    source = home / "adapters" / "my-sound" / "l.comfyui.safetensors"
    entry = library.bring_in(source, "taken-over", str(base), "l")
    assert entry.stages == ["l"]
    cascade = Cascade.load(base, device="cpu", stages=["l"])
    first = latents(cascade, ("my-sound", 1.0))
    assert_close(latents(cascade, ("taken-over", 1.0)), first)
    with pytest.raises(AlreadyExists):
        library.bring_in(source, "taken-over")
    with pytest.raises(NotFound):
        library.bring_in(tmp_path / "nowhere")


def test_an_import_with_a_rank_and_alpha_of_its_own_per_layer_is_exact(
    base: Path, home: Path, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    values = {}
    for layer, (rank, alpha) in enumerate(((2, 8.0), (5, 1.0))):
        prefix = f"base_model.model.layers.{layer}.self_attn.q_proj"
        values[f"{prefix}.lora_A.weight"] = torch.randn(rank, 64)
        values[f"{prefix}.lora_B.weight"] = torch.randn(64, rank)
        values[f"{prefix}.alpha"] = torch.tensor(alpha)
    save_file(values, tmp_path / "odd.safetensors")
    library.bring_in(tmp_path / "odd.safetensors", "evened", str(base), "l")
    cascade = Cascade.load(base, device="cpu", stages=["l"])
    theirs = cascade.load_adapter(tmp_path / "odd.safetensors")
    assert_same_effect(latents(cascade, ("evened", 1.0)), latents(cascade, (theirs, 1.0)), latents(cascade))


def test_an_adapter_for_another_model_is_refused_naming_the_shapes(base: Path, tmp_path: Path) -> None:
    prefix = "base_model.model.layers.0.self_attn.q_proj"
    values = {
        f"{prefix}.lora_A.weight": torch.zeros(2, 2048),
        f"{prefix}.lora_B.weight": torch.zeros(2048, 2),
    }
    save_file(values, tmp_path / "big.safetensors")
    with pytest.raises(AdapterError, match="2048"):
        library.bring_in(tmp_path / "big.safetensors", "big", str(base))
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(AdapterError):
        library.bring_in(tmp_path / "broken.safetensors")


def test_merged_adapters_do_what_both_do_together(base: Path, loops: Path, home: Path) -> None:
    train(settings(base, loops, home, name="second", seed=5, stages=("l", "m"), targets="all", steps=8))
    wanted = [("my-sound", 0.5), ("second", 0.7)]
    entry = merge_adapters(wanted, "both")
    assert entry.trigger == "zork"
    cascade = Cascade.load(base, device="cpu")
    assert_same_effect(latents(cascade, ("both", 1.0)), latents(cascade, *wanted), latents(cascade))
    with pytest.raises(AlreadyExists):
        merge_adapters(wanted, "both")


def test_an_adapter_merged_into_its_base_needs_no_adapter(
    base: Path, loops: Path, home: Path, tmp_path: Path
) -> None:
    plain = latents(Cascade.load(base, device="cpu"))
    merge_into_base([("my-sound", 0.8)], str(base), tmp_path / "merged")
    expected = latents(Cascade.load(base, device="cpu"), ("my-sound", 0.8))
    assert_same_effect(latents(Cascade.load(tmp_path / "merged", device="cpu")), expected, plain)
    if not (home / "adapters" / "dora").exists():
        train(settings(base, loops, home, name="dora", dora=True, stages=("s",), steps=6))
    merge_into_base([("dora", 1.0)], str(base), tmp_path / "dora")
    expected = latents(Cascade.load(base, device="cpu"), ("dora", 1.0))
    assert_same_effect(latents(Cascade.load(tmp_path / "dora", device="cpu")), expected, plain)
    with pytest.raises(Unsupported, match="--into"):
        merge_adapters([("dora", 1.0), ("my-sound", 1.0)], "never")


def test_prepare_and_train_speak_json_lines_and_give_exit_codes(
    base: Path, loops: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d.json"
    assert (
        main(["prepare", str(loops), "--out", str(out), "--json", "--report", str(tmp_path / "r.html")]) == 0
    )
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = next(event for event in events if event["event"] == "dataset")
    assert (told["files"], told["songs"], told["written"]) == (6, 1, str(out))
    assert len(read_dataset(out).samples) == 6
    assert (tmp_path / "r.html").is_file()
    flags = ["--base", str(base), "--steps", "4", "--rank", "2", "--stages", "s", "--learning-rate", "0.05"]
    assert main(["train", str(out), "--name", "by-cli", "--json", "--previews", "0", *flags]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "done"
    assert Path(events[-1]["folder"]) == home / "adapters" / "by-cli"
    assert any(event["event"] == "tick" and event["validation"] is not None for event in events)
    assert main(["train", str(out), "--name", "by-cli", "--json", *flags]) == 2
    captured = capsys.readouterr()
    assert json.loads(captured.out)["reason"] == "already_exists"
    assert main(["train", str(tmp_path / "nowhere"), "--name", "x", *flags]) == 2
    assert main(["train", "--name", "x"]) == 2
    assert main(["train", str(loops), "--name", "x", "--rank", "many"]) == 2


def test_a_config_file_is_strict_and_flags_win(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text('data = "nowhere"\nname = "x"\nrnk = 3\n')
    assert main(["train", "--config", str(tmp_path / "c.toml")]) == 2
    assert "unknown setting rnk" in capsys.readouterr().err


def test_errors_of_the_library_are_ours() -> None:
    with pytest.raises(AceStepError):
        library.find("nobody")
    with pytest.raises(InvalidRequest):
        merge_adapters([("my-sound", 1.0)], "../up")

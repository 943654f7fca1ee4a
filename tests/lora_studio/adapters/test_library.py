"""The adapters in home: taken over, told of, exported, merged and deleted, of every kind."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from acestep.adapters import files as adapter_files
from acestep.adapters.files import read_adapter
from acestep.model.cascade import Cascade
from acestep.nano.checkpoint import TINY, write_untrained
from acestep.request import GenerateRequest
from lora_studio.adapters.formats import StageAdapter, write_all
from lora_studio.cli import main
from tests.support.closeness import assert_close

LAYER, WIDTH = "layers.0.self_attn.to_q", 64


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    write_untrained(folder, TINY, 0)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("ACESTEP_HOME", str(folder))
    (folder / "cascades").mkdir(parents=True)
    (folder / "cascades" / "tiny").symlink_to(base)
    return folder


def normal(*shape: int, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def own(home: Path, name: str = "my-sound", stages: tuple[str, ...] = ("l", "m")) -> Path:
    """An adapter as `train` leaves it: for named stages, in all spellings."""
    folder = home / "adapters" / name
    folder.mkdir(parents=True)
    for number, stage in enumerate(stages):
        weights = {
            f"{LAYER}.lora_A.weight": normal(3, WIDTH, seed=number),
            f"{LAYER}.lora_B.weight": normal(WIDTH, 3, seed=9 + number),
        }
        write_all(StageAdapter(weights, 3, 6.0, trigger="zork", base="tiny"), folder, stage)
    manifest = {"name": name, "base": "tiny", "trigger": "zork", "stages": {stage: stage for stage in stages}}
    (folder / "adapter.json").write_text(json.dumps(manifest))
    return folder


def lokr(path: Path, **more: Tensor) -> Path:
    """A file as upstream's LoKr training writes it, with something of another model in it."""
    stem = "lycoris_layers_0_self_attn_q_proj"
    values = {
        f"{stem}.lokr_w1": normal(8, 8, seed=1),
        f"{stem}.lokr_w2_a": normal(8, 2, seed=2),
        f"{stem}.lokr_w2_b": normal(2, 8, seed=3),
        f"{stem}.alpha": torch.tensor(4.0),
        "lora_te_text_model_layers_0_q_proj.alpha": torch.tensor(4.0),
    }
    save_file(values | more, path)
    return path


def loha(path: Path) -> Path:
    stem = "lycoris_layers_0_self_attn_q_proj"
    values = {f"{stem}.hada_w{n}_a": normal(WIDTH, 2, seed=n) for n in (1, 2)}
    values |= {f"{stem}.hada_w{n}_b": normal(2, WIDTH, seed=5 + n) for n in (1, 2)}
    save_file({**values, f"{stem}.alpha": torch.tensor(4.0)}, path)
    return path


def assert_same_sound(found: Tensor, expected: Tensor, plain: Tensor) -> None:
    """Rounding that grew over the steps at most: nothing beside what the adapters do."""
    assert (found - expected).norm() < 0.01 * (expected - plain).norm()


def latents(cascade: Cascade, *adapters: tuple[str, float]) -> Tensor:
    return cascade.latents(GenerateRequest(prompt="dusty loop", bpm=120, bars=1, seed=7, adapters=adapters))


@pytest.mark.parametrize("make", [lokr, loha])
def test_other_kinds_are_taken_over_told_of_and_exported_without_a_change(
    home: Path, tmp_path: Path, make: object, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = make(tmp_path / "theirs.safetensors")  # type: ignore[operator]
    kind = {lokr: "LoKr", loha: "LoHa"}[make]  # type: ignore[index]
    assert main(["import", str(theirs), "--name", "any", "--base", "tiny"]) == 0
    assert main(["import", str(theirs), "--name", "for-l", "--stage", "l"]) == 0
    assert ("left out" in capsys.readouterr().out) == (make is lokr)
    assert main(["list"]) == 0
    assert f"{kind}, rank 2" in capsys.readouterr().out
    assert main(["export", "for-l", str(tmp_path / "out.safetensors"), "--format", "comfyui"]) == 0
    expected = read_adapter(theirs).stages[None][LAYER].delta()
    for path in (home / "adapters" / "any", home / "adapters" / "for-l", tmp_path / "out.safetensors"):
        (updates,) = read_adapter(path).stages.values()
        assert_close(updates[LAYER].delta(), expected)
    for form in ("peft", "diffusers"):
        assert main(["export", "for-l", str(tmp_path / form), "--format", form]) == 2
        assert f"for-l is {kind}, which {form} files do not hold" in capsys.readouterr().err
        assert not (tmp_path / form).exists()


def test_a_file_with_broken_numbers_is_not_taken_over(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "lycoris_layers_0_self_attn_q_proj.lokr_w1"
    fried = lokr(tmp_path / "fried.safetensors", **{name: torch.full((8, 8), float("nan"))})
    assert main(["import", str(fried)]) == 2
    assert name in capsys.readouterr().err
    assert not (home / "adapters" / "fried").exists()


def test_the_readmes_commands_work_as_printed(
    home: Path,
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All but the training: `theirs.safetensors` is what the export wrote."""
    own(home)
    readme = (Path(__file__).parents[3] / "lora_studio" / "README.md").read_text(encoding="utf-8")
    lines = [
        line.partition("#")[0].split() for line in readme.splitlines() if line.startswith("lora_studio ")
    ]
    printed = {line[1]: line[1:] for line in lines}
    monkeypatch.chdir(tmp_path)
    assert main(printed["list"]) == 0
    assert main(printed["show"]) == 0
    assert main(printed["export"]) == 0
    Path("out.safetensors").rename("theirs.safetensors")
    assert main(printed["import"]) == 0
    assert main(printed["merge"]) == 0, capsys.readouterr().err
    cascade = Cascade.load(base, device="cpu")
    wanted = (("my-sound", 0.7), ("theirs", 0.3))
    assert_same_sound(latents(cascade, ("both", 1.0)), latents(cascade, *wanted), latents(cascade))
    monkeypatch.setattr("builtins.input", lambda _: "y")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert main(printed["remove"]) == 0
    assert "theirs" not in adapter_files.available()


def test_other_kinds_are_built_into_a_copy_but_do_not_add_up_to_one_adapter(
    home: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own(home)
    assert main(["import", str(lokr(tmp_path / "a.safetensors")), "--name", "kron"]) == 0
    assert main(["import", str(loha(tmp_path / "b.safetensors")), "--name", "hada", "--stage", "s"]) == 0
    for scale in ("nan", "inf", "1000", "loud"):
        assert main(["merge", f"my-sound:{scale}", "--name", "all"]) == 2
        assert "expected" in capsys.readouterr().err
    wanted = ["my-sound:0.5", "kron:0.7", "hada:0.4"]
    assert main(["merge", *wanted, "--name", "all"]) == 2
    told = capsys.readouterr().err
    assert "LoKr adapters do not add up to one adapter" in told
    assert "lora_studio merge my-sound:0.5 kron:0.7 hada:0.4 --into FOLDER" in told
    assert main(["merge", *wanted, "--into", str(tmp_path / "merged"), "--base", "tiny"]) == 0
    cascade = Cascade.load(base, device="cpu")
    expected = latents(cascade, ("my-sound", 0.5), ("kron", 0.7), ("hada", 0.4))
    assert_same_sound(latents(Cascade.load(tmp_path / "merged", device="cpu")), expected, latents(cascade))


def test_several_dora_adapters_are_built_in_as_they_play_together(
    home: Path, base: Path, tmp_path: Path
) -> None:
    stem = "layers.0.self_attn.q_proj"
    for number, name in enumerate(("one", "two")):
        values = {
            f"{stem}.lora_A.weight": normal(2, WIDTH, seed=number),
            f"{stem}.lora_B.weight": normal(WIDTH, 2, seed=5 + number),
            f"{stem}.dora_scale": 1 + normal(WIDTH, 1, seed=9 + number),
        }
        (home / "adapters").mkdir(exist_ok=True)
        save_file(values, home / "adapters" / f"{name}.safetensors")
    assert main(["merge", "one:0.6", "two:0.5", "--into", str(tmp_path / "merged"), "--base", "tiny"]) == 0
    cascade = Cascade.load(base, device="cpu")
    expected = latents(cascade, ("one", 0.6), ("two", 0.5))
    assert_same_sound(latents(Cascade.load(tmp_path / "merged", device="cpu")), expected, latents(cascade))


def test_removing_asks_first_and_leaves_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own(home)
    file = home / "adapters" / "single.safetensors"
    save_file(load_file(folder / "l.diffusers.safetensors"), file)
    asked: list[str] = []

    def answer(word: str) -> None:
        monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or word)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    answer("")
    assert main(["remove", "my-sound"]) == 1
    assert folder.is_dir()
    assert str(folder) in asked[0]
    answer("yes")
    assert main(["remove", "my-sound"]) == 0
    assert main(["remove", "single", "--yes"]) == 0
    assert len(asked) == 2
    assert list((home / "adapters").iterdir()) == []
    assert main(["remove", "my-sound", "--yes"]) == 2
    assert "no adapter 'my-sound'" in capsys.readouterr().err


def test_without_a_terminal_nothing_is_removed_unless_it_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own(home)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert main(["remove", "my-sound"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert folder.is_dir()


def test_only_adapters_in_home_are_removed_broken_ones_too(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "adapter_config.json").write_text("{}")
    assert main(["remove", str(elsewhere), "--yes"]) == 2
    assert main(["remove", "../elsewhere", "--yes"]) == 2
    assert elsewhere.is_dir()
    link = home / "adapters" / "linked"
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    assert main(["remove", "linked", "--yes"]) == 0
    assert not link.is_symlink()
    assert elsewhere.is_dir(), "what a link points to stays"
    broken = home / "adapters" / "broken.safetensors"
    broken.write_bytes(b"nothing")
    assert main(["remove", "broken", "--yes"]) == 0
    assert not broken.exists()


def test_a_home_that_is_named_is_the_one_that_counts(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    own(other, "theirs")
    told = ("--home", str(other))
    assert main(["list"]) == 0
    assert "theirs" not in capsys.readouterr().out
    assert main(["list", *told]) == 0
    assert main(["show", "theirs", *told]) == 0
    assert "theirs" in capsys.readouterr().out
    assert main(["merge", "theirs:0,5", "theirs:0.5", "--name", "twice", *told]) == 0
    assert main(["import", str(other / "adapters" / "theirs" / "l"), "--name", "again", *told]) == 0
    assert main(["export", "again", str(tmp_path / "again.zip"), "--format", "zip", *told]) == 0
    assert main(["remove", "again", "--yes", *told]) == 0
    assert sorted(path.name for path in (other / "adapters").iterdir()) == ["theirs", "twice"]
    assert not (home / "adapters").exists()


def test_training_looks_for_its_base_in_the_home_that_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "music").mkdir()
    sound = np.random.default_rng(0).normal(0, 0.1, 96_000)
    soundfile.write(tmp_path / "music" / "loop.wav", sound, 48_000)
    words = ("train", str(tmp_path / "music"), "--name", "x", "--base", "nowhere")
    assert main([*words, "--home", str(tmp_path / "other")]) == 2
    assert str(tmp_path / "other" / "cascades") in capsys.readouterr().err

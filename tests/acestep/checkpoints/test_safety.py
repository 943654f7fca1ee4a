"""Checkpoints are data: code they bring is never run, and what they name lies inside of them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AceStepTransformer1DModel

from acestep.checkpoints.checkpoint import EMBEDDED, read_spec
from acestep.checkpoints.weights import weight_files
from acestep.errors import CheckpointError
from acestep.model.cascade import Cascade
from acestep.model.codec.base import load_codec
from acestep.model.loading import load_model

CODE = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nclass Own: pass\n"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The embedded cascade in a folder that a test may change."""

    def copy(source: str, target: str) -> object:
        return (os.link if source.endswith(".safetensors") else shutil.copy2)(source, target)

    return Path(shutil.copytree(EMBEDDED["nano"], tmp_path / "copied", copy_function=copy))


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer"])
def test_code_in_a_checkpoint_is_neither_run_nor_asked_about(
    copied: Path, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))

    def never(*_: object) -> str:
        raise AssertionError("the user was asked")

    monkeypatch.setattr("builtins.input", never)
    (copied / part / "own.py").write_text(CODE)
    if part == "text_encoder":
        wanted = {"AutoConfig": "own.Own", "AutoModel": "own.Own"}
        change(copied / part / "config.json", model_type="own", auto_map=wanted)
    else:
        wanted_too = {"AutoTokenizer": ["own.Own", "own.Own"]}
        change(copied / part / "tokenizer_config.json", tokenizer_class="Own", auto_map=wanted_too)
        change(copied / "text_encoder" / "config.json", model_type="qwen3")
    with pytest.raises(CheckpointError, match=part.replace("_", " ")):
        Cascade.load(copied, device="cpu")
    assert list(tmp_path.rglob("ran")) == []


PATHS = ["../../../etc", "/etc", "..", "stages/../../other", "\0", "", 5, None, ["l"], {"a": 1}]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["codec", "text_encoder", "tokenizer", "stage"])
def test_a_part_outside_of_the_checkpoint_is_refused(copied: Path, name: str, path: Any) -> None:
    file = copied / "cascade.json"
    if name == "stage":
        stages = json.loads(file.read_text())["stages"]
        change(file, stages=[{**stages[0], "path": path}, *stages[1:]])
    else:
        change(file, **{name: path})
    with pytest.raises(CheckpointError, match="path inside of it"):
        read_spec(copied)


def test_a_stage_of_another_cascade_in_home_may_be_named(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "cascades").mkdir(parents=True)
    mine, other = (tmp_path / "home" / "cascades" / name for name in ("mine", "other"))
    shutil.copytree(copied, mine)
    shutil.copytree(copied, other)
    change(mine / "cascade.json", codec="../other/codec")
    assert read_spec(mine).codec == other / "codec"


@pytest.mark.parametrize(
    "values",
    [
        {"stages": 5},
        {"stages": [5]},
        {"stages": [{"name": "l"}]},
        {"stages": {}},
        {"schedule": 5},
        {"schedule": {"steps": "x", "shift": 1}},
        {"guide": 5},
        {"range": [1]},
        {"range": {"bpm": 5}},
        {"supports": 5},
        {"guidance": [1]},
        {"reference_s": 10**400},
    ],
    ids=str,
)
def test_a_description_with_values_of_the_wrong_kind_is_refused(copied: Path, values: dict[str, Any]) -> None:
    change(copied / "cascade.json", **values)
    with pytest.raises(CheckpointError):
        read_spec(copied)


def test_a_description_that_is_nested_too_deeply_is_refused(copied: Path) -> None:
    (copied / "cascade.json").write_text("[" * 200_000)
    with pytest.raises(CheckpointError, match="not JSON"):
        read_spec(copied)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", 5, None])
def test_an_index_of_shards_names_files_beside_it_only(tmp_path: Path, name: Any) -> None:
    (tmp_path / "x.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match="outside of its folder"):
        weight_files(tmp_path)


@pytest.mark.parametrize(
    "config", ["[]", "5", "{}", "[" * 100_000, '{"_class_name": []}', '{"_class_name": "SpectralCodec"}']
)
def test_a_codec_whose_configuration_is_none_is_refused(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match="codec"):
        load_codec(tmp_path)


def test_a_codec_whose_weights_are_none_is_refused(copied: Path) -> None:
    weights = copied / "codec" / "model.safetensors"
    weights.unlink()
    weights.write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match="codec"):
        load_codec(copied / "codec")


@pytest.mark.parametrize(
    "wrong",
    [{"num_attention_heads": 0}, {"hidden_size": "x"}, {"head_dim": []}, {"in_channels": -1}],
    ids=str,
)
def test_a_stage_whose_configuration_is_none_is_refused(copied: Path, wrong: dict[str, Any]) -> None:
    folder = copied / "stages" / "s" / "transformer"
    change(folder / "config.json", **wrong)
    with pytest.raises(CheckpointError, match="transformer"):
        load_model(AceStepTransformer1DModel, folder, torch.float32)

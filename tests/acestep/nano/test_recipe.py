"""The recipe as its commands, end to end on the least of everything: sounds, training, evaluation."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from acestep.checkpoints.checkpoint import read_spec
from acestep.nano.cli import main
from acestep.nano.data.sounds import FLUID, MUSESCORE, SONIC_PI

SOUNDS = (FLUID, MUSESCORE, SONIC_PI)


def nano(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "acestep.nano", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def steps_of(work: Path) -> int:
    return int(torch.load(work / "lms.pt", weights_only=True)["step"])


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not all(path.exists() for path in SOUNDS), reason="the free sounds are not installed")
def test_from_sounds_to_a_judged_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nano("data", tmp_path, "--shards", "1")
    nano("train", tmp_path, "--minutes", "1", "--shards", "1")
    spec = read_spec(tmp_path / "checkpoint")
    assert [stage.name for stage in spec.stages] == ["l", "m", "s"]
    before = (tmp_path / "lms.pt").read_bytes()
    assert main(["train", str(tmp_path), "--part", "stages"]) == 2
    assert "lms.pt holds a training run: --resume goes on from it" in capsys.readouterr().err
    assert (tmp_path / "lms.pt").read_bytes() == before
    steps = steps_of(tmp_path)
    nano("train", tmp_path, "--part", "stages", "--minutes", "0.1", "--resume")
    assert steps_of(tmp_path) > steps
    table = nano("evaluate", tmp_path, "--checkpoint", tmp_path / "checkpoint", "--clips", "2")
    assert len(re.findall(r"^\| .* \| (yes|no|–) \|$", table, re.MULTILINE)) == 16, table
    assert (tmp_path / "page" / "index.html").stat().st_size > 1000
    assert len(list((tmp_path / "page").glob("*.wav"))) == 4  # two renders, two clips


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["train"], "no feature shards in {work}/features: run `acestep nano data` first"),
        (["train", "--part", "codec"], "no feature shards in {work}/features: run `acestep nano data` first"),
        (["train", "--part", "latents"], "no sound bank in {work}/bank"),
        (
            ["train", "--part", "stages"],
            "{work}/tokenizer is missing: run `acestep nano train WORK --part text`",
        ),
        (["train", "--part", "publish"], "no state of stage l in {work}"),
        (["train", "--device", "cuda:99"], "there is no device 'cuda:99' here: expected auto or one of"),
        (["train", "--device", "gpu"], "there is no device 'gpu' here: expected auto or one of"),
        (["evaluate"], "{work}/latents is missing: run `acestep nano train WORK --part latents` first"),
    ],
)
def test_what_is_missing_is_said_with_the_command_that_makes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], says: str
) -> None:
    step, *options = (word.format(work=tmp_path) for word in command)
    assert main([step, str(tmp_path), *options]) == 2
    assert says.format(work=tmp_path) in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_checkpoint_is_not_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tmp_path), "--checkpoint", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--minutes=0", "--minutes=inf", "--steps=0", "--shards=x", "--only=q"])
def test_options_out_of_range_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert main(["train", str(tmp_path), option]) == 2
    assert option.split("=")[0] in capsys.readouterr().err

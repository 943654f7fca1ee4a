"""The minutes are the whole run's: what there is no time for is left out, said, and stays left out."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from acestep.errors import Cancelled
from acestep.model.cascade import Cascade
from lora_studio.config import TrainConfig
from lora_studio.data.dataset import read_dataset
from lora_studio.data.examples import ExampleSet
from lora_studio.data.preparing import NOT_LOOKED_AT, prepare
from lora_studio.training import planning
from lora_studio.training.planning import Budget
from lora_studio.training.train import train
from tests.support.lora_material import tiny_base, tiny_loops


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_loops(tmp_path_factory.mktemp("loops"))


def test_a_budget_counts_from_the_runs_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(planning, "time", SimpleNamespace(monotonic=lambda: now))
    given = Budget(100.0)
    now = 1030.0
    assert given.left_s == 70.0
    assert given.over(0.25)
    assert not given.over(0.4)
    now = 1200.0
    assert (given.left_s, given.over()) == (0.0, True)
    endless = Budget(None)
    now = 1e9
    assert not endless.over(0.1)
    assert endless.allowed_s(0.1) == endless.left_s == float("inf")


def test_files_that_there_is_no_time_for_are_listed_as_not_looked_at(loops: Path) -> None:
    whole = prepare(loops)
    part = prepare(loops, over=lambda: True)
    left_out = {entry.path for entry in part.skipped if entry.reason == NOT_LOOKED_AT}
    assert {sample.audio_path for sample in part.samples} | left_out == {
        sample.audio_path for sample in whole.samples
    }
    assert 10 <= part.seconds < whole.seconds  # never too little to train on
    assert {sample.split for sample in part.used()} == {"train", "held_out"}


def test_segments_that_there_is_no_time_for_leave_the_data_set(
    base: Path, loops: Path, tmp_path: Path
) -> None:
    cascade, dataset = Cascade.load(base, stages=["s"], device="cpu"), prepare(loops)
    segments = sum(len(sample.segments) for sample in dataset.samples)
    turns: Iterator[bool] = iter([False, False, False, *[True] * segments])
    library = ExampleSet(cascade, dataset, tmp_path)
    left = library.fill(over=lambda: next(turns))
    kept = sum(len(sample.segments) for sample in dataset.samples)
    assert 0 < kept == segments - left < segments
    again = ExampleSet(cascade, dataset, tmp_path)
    assert again.fill() == 0
    assert again.examples == library.examples  # what is left is a data set of its own


def test_a_run_without_time_ends_with_an_adapter_and_says_what_it_had_no_time_for(
    base: Path, loops: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    result = train(
        TrainConfig(
            data=str(loops), name="short", base=str(base), home=str(tmp_path), minutes=0.01, rank=2,
            batch_size=2, validation_pairs=4, previews=1, preview_bars=1.0, device="cpu", tensorboard=False,
            min_effect=0.0,
        ),
        on_stage=lambda what, *_: told.append(what),
    )  # fmt: skip
    summary = result.summary
    assert (summary["strength"], summary["kept"]) == (0.5, [])  # nobody could listen
    assert "there was no time to" in summary["notes"][0]  # look at files, or encode segments
    assert not (result.folder / "previews").exists()
    assert all(stage["steps"] == 1 for stage in summary["stages"].values())
    assert json.loads((result.folder / "adapter.json").read_text())["summary"]["notes"] == summary["notes"]
    parts = ("scanning", "loading", "encoding", "words for stage l", "checking")
    assert set(parts) <= set(told)
    assert not (tmp_path / "lora" / "short" / "dataset.json").exists()


def test_a_run_that_was_cut_off_goes_on_with_the_data_it_had_time_for(
    base: Path, loops: Path, tmp_path: Path
) -> None:
    config = TrainConfig(
        data=str(loops), name="cut", base=str(base), home=str(tmp_path), minutes=0.01, rank=2, batch_size=2,
        validation_pairs=4, previews=0, strength=1.0, stages=("s",), device="cpu", tensorboard=False,
        min_effect=0.0,
    )  # fmt: skip
    with pytest.raises(Cancelled):
        train(config, cancelled=lambda: True)
    remembered = tmp_path / "lora" / "cut" / "dataset.json"
    files = {sample.audio_path for sample in read_dataset(remembered).samples}
    scanned: list[str] = []
    result = train(config, on_stage=lambda what, *_: scanned.append(what))
    assert "scanning" not in scanned
    assert 0 < result.summary["trained_files"] + result.summary["held_out_files"] <= len(files)

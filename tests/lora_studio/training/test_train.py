"""Training: the stock modules' numbers, resuming that equals never having stopped, loud failures."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from acestep.checkpoints.schedule import Schedule, sigmas
from acestep.errors import (
    AceStepError,
    AdapterError,
    AlreadyExists,
    Cancelled,
    CheckpointError,
    InvalidRequest,
    OutOfMemory,
)
from acestep.model.cascade import Cascade
from lora_studio.config import TrainConfig
from lora_studio.data.cache import TensorCache
from lora_studio.data.dataset import write_dataset
from lora_studio.data.examples import ExampleSet, order_of
from lora_studio.data.preparing import prepare
from lora_studio.data.sound import read_piece
from lora_studio.training import checkpoints, planning
from lora_studio.training.checkpoints import RunState
from lora_studio.training.planning import NoiseLevels, levels_for
from lora_studio.training.stage_run import StageRun, TrainingPlan, rate_at, rate_for
from lora_studio.training.train import train
from tests.support.closeness import assert_close, rounding
from tests.support.lora_material import assert_same, pulse, tiny_base, tiny_loops, write
from tests.support.variants import VARIANTS, build


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_loops(tmp_path_factory.mktemp("loops"))


@pytest.fixture(scope="module")
def library(base: Path, loops: Path, tmp_path_factory: pytest.TempPathFactory) -> ExampleSet:
    made = ExampleSet(Cascade.load(base, device="cpu"), prepare(loops), tmp_path_factory.mktemp("cache"))
    made.fill()
    return made


def config(loops: Path | str = "x", **changes: object) -> TrainConfig:
    values = {
        "rank": 2, "batch_size": 2, "steps": 8, "validate_every": 3, "validation_pairs": 4, "previews": 1,
        "preview_bars": 1.0, "device": "cpu", "save_every_s": 0.0, "tensorboard": False,
        "learning_rate": 0.01, "patience": None,
    }  # fmt: skip
    return TrainConfig(data=str(loops), name="test", **{**values, **changes})  # type: ignore[arg-type]


def stage_run(library: ExampleSet, folder: Path, half: bool = False, **changes: object) -> StageRun:
    from accelerate import Accelerator

    settings = config(**changes)
    plan = TrainingPlan(
        NoiseLevels("logit_normal"),
        0.15,
        2,
        False,
        None,
        None,
        settings.steps,
        identity=str(changes.get("seed", 0)),
        half_precision=half,
    )
    return StageRun(library.cascade.stages["l"], library, settings, plan, folder, Accelerator(cpu=True))


def finish(run: StageRun, stop_at: int | None = None) -> RunState:
    """Train to the end, or until a step, and take the adapter off again."""
    try:
        return run.train(cancelled=None if stop_at is None else lambda: run.state.step >= stop_at)
    finally:
        run.close()


def test_turbo_trains_at_its_schedules_levels_and_a_stage_only_at_its_own() -> None:
    way = sigmas(Schedule(8, 3.0))
    random = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    drawn = levels_for("auto", True, way[2:6]).at(random)
    assert sorted(set(drawn.tolist())) == pytest.approx(sorted(way[2:5]), rel=rounding(1))
    drawn = levels_for("auto", False, way).at(random)
    logits = torch.logit(drawn.double())
    assert float(logits.mean()) == pytest.approx(-0.4, abs=0.05)  # upstream's sigmoid(N(−0.4, 1))
    assert float(logits.std()) == pytest.approx(1.0, abs=0.05)
    drawn = levels_for("logit_normal", False, way[3:7]).at(random)
    assert way[6] <= float(drawn.min()) < float(drawn.max()) <= way[3]
    first = levels_for("auto", False, way[:3]).at(
        random
    )  # a first stage, as often at pure noise as elsewhere
    assert sorted(set(first.tolist())) == pytest.approx([way[1], way[0]], rel=rounding(1))
    assert float((first == way[0]).float().mean()) == pytest.approx(0.5, abs=0.05)
    with pytest.raises(InvalidRequest, match="covers nothing"):
        NoiseLevels("uniform", 0.5, 0.5)


def test_half_of_the_visits_to_a_stem_give_the_rest_of_the_mix(library: ExampleSet) -> None:
    order = order_of([e for e in library.examples if e.split == "train"], 2, 0.5, seed=0)
    stems = set(order.with_context)
    visits = [
        e for n in range(60 * order.batches_per_epoch) for e in order.batch(n) if e.latents_key in stems
    ]
    share = sum(example.stem_aware for example in visits) / len(visits)
    assert 0.4 < share < 0.6
    one_epoch = [e.latents_key for n in range(order.batches_per_epoch) for e in order.batch(n)]
    assert sorted(one_epoch) == sorted(example.latents_key for example in order.plain)


def test_context_is_the_mix_minus_the_stem_and_the_prompt_names_the_stem(
    library: ExampleSet, loops: Path
) -> None:
    example = next(e for e in library.examples if e.stem_aware and e.sample == "Rain/drums.wav")
    stage = library.cascade.stages["l"]
    rest = read_piece(loops / "Rain" / "bass_110bpm.wav", 0, example.seconds)
    expected = library.cascade.codec.encode(torch.from_numpy(rest)[None])[0]
    assert_close(library.context(stage, example)[:, : stage.channels], expected)
    assert "DRUMS track" in example.text
    plain = next(e for e in library.examples if not e.stem_aware and e.sample == "Rain/drums.wav")
    silence = stage.silence(plain.frames)[0]
    assert_close(library.context(stage, plain)[:, : stage.channels], silence)


def test_the_cache_computes_once_and_survives_broken_files(base: Path, loops: Path, tmp_path: Path) -> None:
    dataset = prepare(loops)
    first = ExampleSet(Cascade.load(base, stages=["s"], device="cpu"), dataset, tmp_path)
    first.fill()
    first.prepare_stage(first.cascade.stages["s"])
    assert first.cache.misses > 0
    again = ExampleSet(first.cascade, dataset, tmp_path)
    again.fill()
    again.prepare_stage(again.cascade.stages["s"])
    assert again.cache.misses == 0
    broken = next(tmp_path.rglob("*.safetensors"))
    broken.write_bytes(b"half a file")
    third = ExampleSet(first.cascade, dataset, tmp_path)
    third.fill()
    third.prepare_stage(third.cascade.stages["s"])
    assert third.cache.misses == 1


def test_the_cache_holds_no_more_in_memory_than_allowed(tmp_path: Path) -> None:
    cache = TensorCache(tmp_path, memory_bytes=3000)
    for number in range(10):
        cache.get(f"{number:040}", lambda: torch.zeros(250))
    assert cache._held <= 3000
    assert torch.equal(cache.get("0" * 40), torch.zeros(250))


@pytest.mark.parametrize(("half", "dropout"), [(False, 0.1), (True, 0.0)])
def test_a_run_that_was_stopped_ends_with_the_same_bits_as_one_that_was_not(
    library: ExampleSet, tmp_path: Path, half: bool, dropout: float
) -> None:
    def run(folder: str) -> StageRun:
        return stage_run(library, tmp_path / folder, half, dropout=dropout)

    straight = finish(run("a"))
    for stop_at in (2, 5):
        with pytest.raises(Cancelled, match="goes on from here"):
            finish(run("b"), stop_at)
    resumed = finish(run("b"))
    assert resumed.step == 8
    assert_same(straight, resumed)
    assert finish(run("b")).step == 8  # nothing is left to do


def test_training_lowers_the_loss_on_held_out_files(library: ExampleSet, tmp_path: Path) -> None:
    state = finish(stage_run(library, tmp_path, steps=24, validate_every=12, rank=8, save_every_s=60.0))
    assert state.best_loss < state.base_loss
    assert state.best_step > 0


def test_a_checkpoint_of_another_run_is_refused(library: ExampleSet, tmp_path: Path) -> None:
    finish(stage_run(library, tmp_path, steps=2))
    with pytest.raises(CheckpointError, match="other settings"):
        finish(stage_run(library, tmp_path, steps=2, seed=1))


def test_a_resume_that_does_not_match_key_for_key_fails_loudly(library: ExampleSet, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        finish(stage_run(library, tmp_path), stop_at=3)
    state = checkpoints.load(tmp_path, "0")
    assert state is not None
    lost = next(iter(state.tensors["weights"]))
    del state.tensors["weights"][lost]
    checkpoints.save(tmp_path, state)
    with pytest.raises(AdapterError, match="1 missing"):
        finish(stage_run(library, tmp_path))


def test_a_half_written_checkpoint_is_passed_over_for_the_one_before(
    library: ExampleSet, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        finish(stage_run(library, tmp_path), stop_at=4)
    newest = max(tmp_path.glob("state-*"))
    newest.write_bytes(newest.read_bytes()[:200])
    found = checkpoints.load(tmp_path, "0")
    assert found is not None
    assert found.step < 4
    assert_same(finish(stage_run(library, tmp_path)), finish(stage_run(library, tmp_path / "fresh")))


def test_the_learning_rate_warms_up_and_comes_down() -> None:
    settings = config(warmup=0.1, final_rate=0.1)
    rates = [rate_at(step, 100, settings, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_narrow_stages_learn_faster_and_wide_ones_at_the_fields_rate() -> None:
    rates = [rate_for(width) for width in (2560, 2048, 1280, 320)]
    assert rates[:2] == [5e-4, 5e-4]
    assert rates == sorted(rates)
    assert rates[-1] == 2e-3


@pytest.mark.parametrize("name", ["l", "m"])
def test_the_default_adapter_has_10_to_50_million_parameters(name: str) -> None:
    transformer = build(VARIANTS[name])["transformer"]
    settings = TrainConfig(data="x", name="x")
    assert 10e6 <= planning.shape_of(settings).size(transformer) <= 50e6


def test_what_does_not_fit_is_said_before_it_starts_with_what_to_change() -> None:
    transformer = build(VARIANTS["l"])["transformer"]
    with pytest.raises(OutOfMemory, match=r"GB are free.*gradient_checkpointing.*shorter segments.*rank"):
        planning.fit(
            _on_cpu_by_name(transformer),
            config(gradient_checkpointing=False, batch_size=64, rank=64),
            100_000,
            100,
        )


def test_the_half_precision_copy_counts_and_its_activations_are_half(library: ExampleSet) -> None:
    net = library.cascade.stages["l"].transformer
    single, half = (planning.estimate(net, config(), 400, 4, False, half) for half in (False, True))
    assert (single.copy, half.copy) == (0, half.weights // 2)
    assert half.activations == single.activations // 2


def _on_cpu_by_name(transformer: torch.nn.Module) -> torch.nn.Module:
    """The meta module with one real parameter in front, so that memory is asked of the CPU."""
    transformer.scale_shift_table = torch.nn.Parameter(torch.zeros(1, 2, 8))
    return transformer


def test_unknown_and_impossible_settings_are_refused_with_the_valid_ones() -> None:
    with pytest.raises(InvalidRequest, match=r"unknown setting rnk.*rank"):
        TrainConfig.from_dict({"data": "x", "name": "x", "rnk": 3})
    with pytest.raises(InvalidRequest, match="name is missing"):
        TrainConfig.from_dict({"data": "x"})
    for name, value in (
        ("rank", 0), ("rank", 1.5), ("learning_rate", float("nan")), ("targets", "heads"), ("name", "../up"),
        ("stem_aware", 2), ("steps", True), ("dora", 1), ("longest_s", 0.1), ("alpha", -1),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest, match="expected"):
            TrainConfig.from_dict({"data": "x", "name": "x", name: value})
    settings = config(stages=("l", "m"))
    assert TrainConfig.from_dict(json.loads(settings.to_json())) == settings


def test_too_little_audio_is_an_error_before_anything_is_made(base: Path, tmp_path: Path) -> None:
    write(tmp_path / "short_120bpm.wav", pulse(120, 1.5))
    with pytest.raises(InvalidRequest, match=r"only 3\.0 s of audio in 1 file"):
        train(config(tmp_path, home=str(tmp_path / "home"), base=str(base)))
    assert not (tmp_path / "home").exists()


def stems(folder: Path) -> Path:
    for name, pitch in (("bass", 55), ("keys", 220), ("lead", 440)):
        write(folder / "song" / f"{name}.wav", pulse(120, 8, pitch, seed=pitch))
    return folder


def test_a_file_that_became_unreadable_is_named_and_the_rest_is_encoded(base: Path, tmp_path: Path) -> None:
    folder = stems(tmp_path / "stems")
    dataset = prepare(folder)
    assert {sample.stem for sample in dataset.used()} == {"bass", "keyboard", "synth"}
    (folder / "song" / "keys.wav").write_bytes(b"half a file")
    library = ExampleSet(Cascade.load(base, device="cpu"), dataset, tmp_path / "cache")
    assert library.fill() == 0
    assert set(library.lost) == {"song/keys.wav"}
    assert "keys.wav is not audio that can be read" in library.lost["song/keys.wav"].reason
    assert library.lost["song/keys.wav"] in dataset.skipped
    assert {example.sample for example in library.examples} == {"song/bass.wav", "song/lead.wav"}
    assert all(example.stem_aware for example in library.examples[1::2])
    assert "song/keys.wav" not in {sample.audio_path for sample in dataset.used()}


def test_a_run_that_lost_too_many_files_is_refused_before_it_trains(base: Path, tmp_path: Path) -> None:
    folder = stems(tmp_path / "stems")
    dataset = folder / "dataset.json"
    write_dataset(prepare(folder), dataset)
    for file in folder.rglob("*.wav"):
        file.unlink()
    with pytest.raises(InvalidRequest, match="no sample to train on"):
        train(config(dataset, home=str(tmp_path / "home"), base=str(base)))
    assert list((tmp_path / "home").glob("adapters/*")) == []


def test_a_data_set_without_usable_samples_never_succeeds(base: Path, tmp_path: Path) -> None:
    write(tmp_path / "a_120bpm.wav", pulse(120, 8))
    document = {
        "format": "lora_studio/1",
        "samples": [{"audio_path": "a_120bpm.wav", "use": False, "segments": [[0, 4, 2]]}],
    }
    (tmp_path / "d.json").write_text(json.dumps(document))
    with pytest.raises(InvalidRequest, match="no sample to train on"):
        train(config(tmp_path / "d.json", home=str(tmp_path / "home"), base=str(base)))


def test_a_device_that_is_not_here_is_refused_before_anything_is_made(loops: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no device 'cuda:99' here: expected auto"):
        train(config(loops, home=str(tmp_path / "home"), device="cuda:99"))
    assert not (tmp_path / "home").exists()


def test_a_name_that_is_taken_is_refused_and_nothing_is_touched(loops: Path, tmp_path: Path) -> None:
    taken = tmp_path / "home" / "adapters" / "test"
    taken.mkdir(parents=True)
    (taken / "mine").write_text("keep")
    with pytest.raises(AlreadyExists, match="another name"):
        train(config(loops, home=str(tmp_path / "home")))
    assert [path.name for path in taken.iterdir()] == ["mine"]


def test_a_base_without_the_needed_parts_is_a_clear_error(base: Path, loops: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    shutil.rmtree(broken / "stages" / "l" / "condition_encoder")
    with pytest.raises(AceStepError, match="condition_encoder"):
        train(config(loops, base=str(broken), home=str(tmp_path / "home")))


def test_dataclass_state_survives_a_save(tmp_path: Path) -> None:
    state = RunState(
        "a",
        3,
        10,
        1.5,
        2.5,
        0.9,
        0.8,
        2,
        1,
        False,
        [0.5, 0.25],
        [(0, 0.9)],
        {"weights": {"x": torch.ones(2)}},
    )
    checkpoints.save(tmp_path, state)
    found = checkpoints.load(tmp_path, "a")
    assert found is not None
    plain = {field.name for field in dataclasses.fields(RunState)} - {"tensors"}
    assert all(getattr(found, name) == getattr(state, name) for name in plain)
    assert torch.equal(found.tensors["weights"]["x"], torch.ones(2))

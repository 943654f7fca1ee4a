"""A whole run: data, base, one stage after the other, and the finished adapter – or a clear reason why not.

All of it within the minutes it is given: `budget` says how they are shared.

    result = lora_studio.train(TrainConfig(data="MyStems", name="my-sound"))

Nothing appears among the adapters before it has been loaded again from disk and gives the same output.
"""

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from acestep.checkpoints import checkpoint
from acestep.checkpoints.schedule import legs
from acestep.console.command import expanded
from acestep.errors import AlreadyExists, InvalidRequest
from acestep.home import make_private
from acestep.model.cascade import Cascade
from acestep.model.loading import choose_device
from acestep.model.stage import Stage
from acestep.training.memory import sharing
from acestep.training.velocity import half_is_fast
from lora_studio.adapters.formats import StageAdapter
from lora_studio.config import TrainConfig
from lora_studio.data.cache import key_of
from lora_studio.data.dataset import Dataset, read_dataset, write_dataset
from lora_studio.data.examples import ExampleSet
from lora_studio.data.preparing import MIN_SECONDS, NOT_LOOKED_AT, prepare
from lora_studio.data.segments import Limits
from lora_studio.files import require_writable, write_folder
from lora_studio.training import finishing, planning, results
from lora_studio.training.finishing import Run
from lora_studio.training.listening import OnStage, hold
from lora_studio.training.planning import ENCODED, LOOKED_AT, Budget, agreed, left_out, levels_for
from lora_studio.training.stage_run import StageRun, Tick, TrainingPlan

if TYPE_CHECKING:
    from accelerate import Accelerator

OnTick = Callable[[Tick], None]


def on_board(folder: Path, on_tick: OnTick | None) -> OnTick | None:
    """`on_tick`, which also writes loss, rate, gradient norm and held-out loss into `folder`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return on_tick
    writer = SummaryWriter(str(folder))

    def tell(tick: Tick) -> None:
        values = {"loss": tick.loss, "learning_rate": tick.learning_rate, "grad_norm": tick.grad_norm}
        if tick.validation is not None:
            values["held_out_loss"] = tick.validation
        for name, value in values.items():
            writer.add_scalar(f"{tick.stage}/{name}", value, tick.step)
        if tick.validation is not None:
            writer.flush()
        if on_tick:
            on_tick(tick)

    return tell


log = logging.getLogger(__name__)

DEFAULT_BASE = "nano"
DEFAULT_CPU_MINUTES = 8.0  # where no limit is given: chosen by hand
DEFAULT_AUDIO_SECONDS = 85_000.0  # FIELD: where a study found convergence, in audio seen and not in epochs
BASE_CONDITION_DROPOUT = 0.15  # ACE-Step 1.5's own, for base and SFT
# Settings that do not change what the weights become.
_INCIDENTAL = (
    "save_every_s", "previews", "preview_bars", "tensorboard", "resume", "strength", "min_effect", "home",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """A finished adapter: its folder, and the numbers of its card."""

    name: str
    folder: Path
    summary: dict[str, Any]


def train(
    config: TrainConfig,
    *,
    on_stage: OnStage | None = None,
    on_tick: Callable[[Tick], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    began: float | None = None,
) -> Result:
    """Train an adapter and put it where the daemon finds it. Goes on with a run that was cut off.

    `on_stage(what, done, total, detail)` tells of everything that is not training, `on_tick` of training
    steps. `began` (`time.monotonic()`) is where the minutes count from, if that was before the call.
    Raises AceStepError; a run that was stopped or failed leaves its last checkpoint and no adapter.
    """
    home = config.home_folder
    target, folder = home / "adapters" / config.name, home / "lora" / config.name
    if target.exists():
        raise AlreadyExists(
            f"there is an adapter {config.name!r} already: choose another name or remove {target}"
        )
    require_writable(target)
    require_writable(folder)
    accelerator = _accelerator(config)
    minutes = _minutes(config, accelerator.device)
    budget = Budget(None if minutes is None else minutes * 60, time.monotonic() if began is None else began)
    with accelerator.main_process_first():
        dataset, cascade, library, notes = _material(config, folder, home, accelerator, budget, on_stage)
    audition = hold(cascade, dataset, config, budget, accelerator, on_stage, cancelled)
    run = Run(config, folder, target, dataset, cascade, library, accelerator, budget, audition)
    shown = config.tensorboard and accelerator.is_main_process
    watched = on_board(folder / "tensorboard", on_tick) if shown else on_tick
    stages = [cascade.stages[name] for name in config.stages or cascade.stages]
    for number, stage in enumerate(stages):
        left_s = budget.left_s - audition.listening_s - run.finish_s
        stage_s = agreed(accelerator, max(0.0, left_s) / (len(stages) - number))
        _train_stage(run, stage, stage_s, on_stage, watched, cancelled)
    finishing.require_effect(run)
    share, kept = agreed(accelerator, finishing.find_strength(run, on_stage, cancelled))
    if share < 1:
        finishing.weaken(run, share)
    summary = finishing.summary(run) | {
        "strength": share, "kept": [dataclasses.asdict(one) for one in kept], "notes": notes,
    }  # fmt: skip
    if accelerator.is_main_process:
        write_folder(target, lambda temporary: finishing.fill(run, temporary, summary, on_stage))
        forget(config)
    accelerator.wait_for_everyone()
    summary["whole_seconds"] = time.monotonic() - budget.began
    return Result(config.name, target, summary)


def _minutes(config: TrainConfig, device: torch.device) -> float | None:
    """The whole run's; a run without any limit gets one on a CPU."""
    unlimited = config.minutes is None and config.audio_seconds is None and config.steps is None
    return DEFAULT_CPU_MINUTES if unlimited and device.type == "cpu" else config.minutes


def _material(
    config: TrainConfig,
    folder: Path,
    home: Path,
    accelerator: "Accelerator",
    budget: Budget,
    on_stage: OnStage | None,
) -> tuple[Dataset, Cascade, ExampleSet, list[str]]:
    """Data, base and encoded examples, as many as there is time for; and what is to be said of it.

    What a run had time for is remembered until it ends: one that was cut off goes on with the same data.
    """
    alone = accelerator.num_processes == 1  # or else the clocks of several would choose different data
    remembered = folder / "dataset.json"
    if config.resume and remembered.is_file():
        dataset, budget = read_dataset(remembered), Budget(None)
    else:
        dataset = _dataset(config, on_stage, lambda: alone and budget.over(LOOKED_AT))
    _require_enough(dataset)
    tell = on_stage or (lambda *_: None)
    tell("loading", 0, 1, config.base or DEFAULT_BASE)
    cascade = _load(config, accelerator)
    tell("loading", 1, 1, config.base or DEFAULT_BASE)
    for inside in ("adapters", "lora", "cache"):
        make_private(home, inside)
    library = ExampleSet(cascade, dataset, home / "cache" / "lora_studio")
    left = library.fill(_telling(on_stage, "encoding"), lambda: alone and budget.over(ENCODED))
    lost = [f"{entry.path} is left out: {entry.reason}" for entry in library.lost.values()]
    if lost:
        _require_enough(dataset)
    note = left_out(sum(entry.reason == NOT_LOOKED_AT for entry in dataset.skipped), left, config.data)
    if note or lost:
        write_dataset(dataset, remembered)
    return dataset, cascade, library, [*lost, note] if note else lost


def _accelerator(config: TrainConfig) -> "Accelerator":
    from accelerate import Accelerator

    device = choose_device(config.device)
    if device.index:
        torch.cuda.set_device(device)  # accelerate takes the current one
    on_cpu = device.type == "cpu" or (config.device == "auto" and device.type != "cuda")
    return Accelerator(cpu=on_cpu, mixed_precision="no")  # the weights' precision decides, not an autocast


def _half_precision(config: TrainConfig, device: torch.device) -> bool:
    """Whether to compute in bfloat16: as told, else wherever the device multiplies it faster."""
    if config.precision != "auto":
        return config.precision == "bfloat16"
    return half_is_fast(device)


def _base(config: TrainConfig) -> checkpoint.CascadeSpec:
    home = config.home_folder
    return checkpoint.read_spec(checkpoint.find(config.base or DEFAULT_BASE, home), home)


def _limits(config: TrainConfig) -> Limits:
    """Segment lengths: as configured, but no longer than the base was trained on."""
    longest_s = _base(config).max_s
    if longest_s is None or longest_s >= config.longest_s:
        return config.limits
    return dataclasses.replace(config.limits, longest_s=longest_s)


def _dataset(config: TrainConfig, on_stage: OnStage | None, over: Callable[[], bool]) -> Dataset:
    """The folder's data set, measured where it is new; or the one in a JSON file, as it stands."""
    limits = _limits(config)
    on_file = _telling(on_stage, "scanning")
    path = expanded(config.data)
    if path.is_file() and path.suffix.lower() != ".json":
        raise InvalidRequest(f"{path} is a file: expected a folder of audio, or a dataset.json")
    if path.is_file():
        dataset = read_dataset(path)
        if not any(sample.segments for sample in dataset.samples):  # somebody else's: not cut yet
            dataset = prepare(path.parent, limits=limits, on_file=on_file, over=over)
    else:
        dataset = prepare(path, limits=limits, on_file=on_file, over=over)
    if config.trigger:
        dataset.custom_tag = config.trigger
    for entry in dataset.skipped:
        log.info("skipped %s: %s", entry.path, entry.reason)
    return dataset


def _telling(on_stage: OnStage | None, what: str) -> Callable[[int, int, str], None] | None:
    if on_stage is None:
        return None
    return lambda done, total, detail: on_stage(what, done, total, detail)


def _load(config: TrainConfig, accelerator: "Accelerator") -> Cascade:
    """The base; on a CPU in single precision, as it plays there, whatever the training computes in."""
    device: torch.device = accelerator.device
    half = device.type != "cpu" and _half_precision(config, device)
    dtype = torch.bfloat16 if half else torch.float32
    place = "cpu" if device.type == "cpu" else str(device)  # several processes call it cpu:0
    return Cascade.load(
        config.base or DEFAULT_BASE,
        stages=config.stages,
        device=place,
        dtype=dtype,
        home=config.home_folder,
    )


def _train_stage(
    run: Run,
    stage: Stage,
    stage_s: float,
    on_stage: OnStage | None,
    on_tick: Callable[[Tick], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Train one stage, keep its best weights, measure their effect, and take them off again."""
    config, ends = run.config, time.monotonic() + stage_s
    run.library.prepare_stage(stage, _telling(on_stage, f"words for stage {stage.name}"))
    plan = _plan(run, stage, ends, on_stage)
    one = StageRun(stage, run.library, config, plan, run.folder / f"stage-{stage.name}", run.accelerator)
    try:
        state = one.train(on_tick, cancelled)
    finally:
        one.close()
        stage.forget()
    best = {name: tensor.clone().cpu() for name, tensor in state.tensors["best"].items()}
    measuring = time.monotonic()
    effect, _, output = results.measured_effect(run.library, stage, one.pairs, config, best)
    run.measured_s += time.monotonic() - measuring
    run.states[stage.name], run.pairs[stage.name], run.outputs[stage.name] = state, one.pairs, output
    run.stages[stage.name] = {
        "parameters": sum(tensor.numel() for tensor in best.values()),
        "steps": state.step,
        "best_step": state.best_step,
        "base_loss": state.base_loss,
        "loss": state.best_loss,
        "effect": effect,
        "noise": dataclasses.asdict(plan.levels),
        "condition_dropout": plan.condition_dropout,
        "batch_size": plan.batch_size,
        "learning_rate": one.peak_rate,
        "precision": "bfloat16" if plan.half_precision else "float32",
        "gradient_checkpointing": plan.gradient_checkpointing,
        "audio_seconds": state.audio_seconds,
        "seconds": state.elapsed_s,
    }
    run.adapters[stage.name] = StageAdapter(
        best, config.rank, config.resolved_alpha, config.dora, config.trigger or run.dataset.custom_tag,
        run.cascade.spec.name,
    )  # fmt: skip


def _plan(run: Run, stage: Stage, ends: float, on_stage: OnStage | None) -> TrainingPlan:
    """What "auto" and None mean for this stage, which is to be over at `ends`; budgets are shared evenly."""
    config, spec = run.config, run.cascade.spec
    way = {leg.stage: leg.sigmas for leg in legs(spec.plans())}
    levels = levels_for(config.noise, stage.is_turbo, way[stage.name])
    dropout = config.condition_dropout
    if dropout is None:
        dropout = 0.0 if stage.is_turbo else BASE_CONDITION_DROPOUT
    longest = max(example.frames for example in run.library.examples)
    stages = len(config.stages or run.cascade.stages)
    seconds = config.audio_seconds
    if config.minutes is None and seconds is None and config.steps is None:
        seconds = DEFAULT_AUDIO_SECONDS
    half = _half_precision(config, stage.like.device)
    chosen = planning.fit_for_all(
        run.accelerator, stage.transformer, config, longest, len(run.library.examples), half
    )
    if on_stage:
        needs = chosen.memory.told(sharing(stage.like.device), chosen.available, stage.like.device)
        on_stage("memory", 1, 1, f"stage {stage.name}, batches of {chosen.batch_size}: {needs}")
    settings = {name: value for name, value in config.to_dict().items() if name not in _INCIDENTAL}
    identity = key_of(
        settings,
        [dataclasses.asdict(example) for example in run.library.examples],
        run.library.codec_print,
        run.library.stage_prints[stage.name],
        run.library.base_prints[stage.name],
        stage.name,
        chosen.batch_size,
        run.accelerator.num_processes,
        half,
    )
    return TrainingPlan(
        levels=levels,
        condition_dropout=dropout,
        batch_size=chosen.batch_size,
        gradient_checkpointing=chosen.gradient_checkpointing,
        minutes=None if run.budget.seconds is None else max(0.0, ends - time.monotonic()) / 60,
        audio_seconds=None if seconds is None else seconds / stages,
        steps=None if config.steps is None else max(1, config.steps // stages),
        identity=identity,
        half_precision=half,
    )


def forget(config: TrainConfig) -> None:
    """Drop the checkpoints of an unfinished run of this name."""
    home = config.home_folder
    (home / "lora" / config.name / "dataset.json").unlink(missing_ok=True)
    for folder in (home / "lora" / config.name).glob("stage-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _require_enough(dataset: Dataset) -> None:
    """Raises InvalidRequest where there is too little to train on."""
    used = dataset.used("train")
    if not used:
        raise InvalidRequest(
            f"the data set “{dataset.name}” has no sample to train on ({len(dataset.samples)} listed, "
            f"{len(dataset.skipped)} skipped): see `lora_studio prepare --report`"
        )
    if dataset.seconds < MIN_SECONDS:
        raise InvalidRequest(
            f"only {dataset.seconds:.1f} s of audio in {len(dataset.used())} file(s): training needs at "
            f"least {MIN_SECONDS:g} s, and learns a style from a few minutes"
        )

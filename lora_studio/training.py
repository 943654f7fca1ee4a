"""A whole run: data, base, one stage after the other, and the finished adapter – or a clear reason why not.

    result = lora_studio.train(TrainConfig(data="MyStems", name="my-sound"))

Nothing appears among the adapters before it has been loaded again from disk and gives the same output.
Knows nothing of command lines.
"""

import dataclasses
import logging
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from acestep import checkpoint
from acestep.cascade import Cascade
from acestep.command import expanded
from acestep.errors import AdapterError, AlreadyExists, InvalidRequest
from acestep.loading import choose_device
from acestep.schedule import legs
from acestep.stage import Stage
from lora_studio import preflight, results, strength
from lora_studio.board import on_board
from lora_studio.cache import key_of
from lora_studio.checkpoints import RunState
from lora_studio.config import TrainConfig
from lora_studio.dataset import Dataset, read_dataset
from lora_studio.examples import Library
from lora_studio.files import require_writable, write_folder, write_json
from lora_studio.formats import StageAdapter, write_all
from lora_studio.noise import levels_for
from lora_studio.preparing import prepare, require_enough
from lora_studio.segments import Limits
from lora_studio.stage_run import StagePlan, StageRun, Tick
from lora_studio.velocity import Velocity

log = logging.getLogger(__name__)

DEFAULT_BASE = "nano"
DEFAULT_CPU_MINUTES = 8.0
DEFAULT_AUDIO_SECONDS = 85_000.0  # FIELD: where a study found convergence, in audio seen and not in epochs
BASE_CONDITION_DROPOUT = 0.15  # ACE-Step 1.5's own, for base and SFT
STRENGTH_CLIPS, STRENGTH_CLIP_S = 10, 10.0  # made at each strength that is tried, at most that long
SAME_OUTPUT = 1e-4  # relative; the same numbers through the same layers, saved as they were trained
_FAST_HALF = ("avx512_bf16", "amx_bf16")  # x86; elsewhere it has not been measured
# Settings that do not change what the weights become.
_INCIDENTAL = (
    "save_every_s", "previews", "preview_bars", "tensorboard", "resume", "strength", "min_effect", "home",
)  # fmt: skip

OnStage = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Result:
    """A finished adapter: its folder, and the numbers of its card."""

    name: str
    folder: Path
    summary: dict[str, Any]


@dataclass
class _Run:
    """What the parts of a run share."""

    config: TrainConfig
    folder: Path  # of checkpoints and logs
    target: Path  # of the adapter
    dataset: Dataset
    cascade: Cascade
    library: Library
    accelerator: Any
    started: float = field(default_factory=time.monotonic)
    states: dict[str, RunState] = field(default_factory=dict)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    pairs: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    adapters: dict[str, StageAdapter] = field(default_factory=dict)


def train(
    config: TrainConfig,
    *,
    on_stage: OnStage | None = None,
    on_tick: Callable[[Tick], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Result:
    """Train an adapter and put it where the daemon finds it. Goes on with a run that was cut off.

    `on_stage(what, done, total, detail)` tells of scanning and encoding, `on_tick` of training steps.
    Raises AceStepError; a run that was stopped or failed leaves its last checkpoint and no adapter.
    """
    home = expanded(config.home) if config.home else checkpoint.home()
    target, folder = home / "adapters" / config.name, home / "lora" / config.name
    if target.exists():
        raise AlreadyExists(
            f"there is an adapter {config.name!r} already: choose another name or remove {target}"
        )
    require_writable(target)
    require_writable(folder)
    accelerator = _accelerator(config)
    limits = _limits(config)
    with accelerator.main_process_first():
        dataset = _dataset(config, limits, on_stage)
        require_enough(dataset)
        cascade = _load(config, accelerator)
        library = Library(cascade, dataset, home / "cache" / "lora_studio")
        library.fill(_telling(on_stage, "encoding"))
    run = _Run(config, folder, target, dataset, cascade, library, accelerator)
    shown = config.tensorboard and accelerator.is_main_process
    watched = on_board(folder / "tensorboard", on_tick) if shown else on_tick
    stages = [cascade.stages[name] for name in config.stages or cascade.stages]
    for stage in stages:
        _train_stage(run, stage, len(stages), watched, cancelled)
    _require_effect(run)
    share, kept = _find_strength(run, on_stage, cancelled)
    if share < 1:
        _weaken(run, share)
    summary = _summary(run) | {"strength": share, "kept": [dataclasses.asdict(one) for one in kept]}
    if accelerator.is_main_process:
        write_folder(target, lambda temporary: _fill(run, temporary, summary))
        for stage_folder in folder.glob("stage-*"):
            shutil.rmtree(stage_folder, ignore_errors=True)
    accelerator.wait_for_everyone()
    return Result(config.name, target, summary)


def _accelerator(config: TrainConfig) -> Any:
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
    if device.type != "cpu":
        return True
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name) for name in _FAST_HALF)


def _limits(config: TrainConfig) -> Limits:
    """Segment lengths: as configured, but no longer than the base was trained on."""
    longest_s = checkpoint.read_spec(checkpoint.find(config.base or DEFAULT_BASE)).max_s
    if longest_s is None or longest_s >= config.longest_s:
        return config.limits
    return dataclasses.replace(config.limits, longest_s=longest_s)


def _dataset(config: TrainConfig, limits: Limits, on_stage: OnStage | None) -> Dataset:
    """The folder's data set, measured where it is new; or the one in a JSON file, as it stands."""
    path = expanded(config.data)
    if path.is_file() and path.suffix.lower() != ".json":
        raise InvalidRequest(f"{path} is a file: expected a folder of audio, or a dataset.json")
    if path.is_file():
        dataset = read_dataset(path)
        if not any(sample.segments for sample in dataset.samples):  # somebody else's: not cut yet
            dataset = prepare(path.parent, limits=limits, on_file=_telling(on_stage, "scanning"))
    else:
        dataset = prepare(path, limits=limits, on_file=_telling(on_stage, "scanning"))
    if config.trigger:
        dataset.custom_tag = config.trigger
    for entry in dataset.skipped:
        log.info("skipped %s: %s", entry.path, entry.reason)
    return dataset


def _telling(on_stage: OnStage | None, what: str) -> Callable[[int, int, str], None] | None:
    if on_stage is None:
        return None
    return lambda done, total, detail: on_stage(what, done, total, detail)


def _load(config: TrainConfig, accelerator: Any) -> Cascade:
    """The base; on a CPU in single precision, as it plays there, whatever the training computes in."""
    device: torch.device = accelerator.device
    half = device.type != "cpu" and _half_precision(config, device)
    dtype = torch.bfloat16 if half else torch.float32
    place = "cpu" if device.type == "cpu" else str(device)  # several processes call it cpu:0
    return Cascade.load(config.base or DEFAULT_BASE, stages=config.stages, device=place, dtype=dtype)


def _train_stage(
    run: _Run,
    stage: Stage,
    stages: int,
    on_tick: Callable[[Tick], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Train one stage, keep its best weights, measure their effect, and take them off again."""
    config = run.config
    run.library.prepare_stage(stage)
    plan = _plan(run, stage, stages)
    one = StageRun(stage, run.library, config, plan, run.folder / f"stage-{stage.name}", run.accelerator)
    try:
        state = one.train(on_tick, cancelled)
    finally:
        one.close()
        stage.forget()
    best = {name: tensor.clone().cpu() for name, tensor in state.tensors["best"].items()}
    effect, _, output = results.measured_effect(run.library, stage, one.pairs, config, best)
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


def _plan(run: _Run, stage: Stage, stages: int) -> StagePlan:
    """What "auto" and None mean for this stage; a budget for the run is shared evenly."""
    config, spec = run.config, run.cascade.spec
    way = {leg.stage: leg.sigmas for leg in legs(spec.plans())}
    levels = levels_for(config.noise, stage.is_turbo, way[stage.name])
    dropout = config.condition_dropout
    if dropout is None:
        dropout = 0.0 if stage.is_turbo else BASE_CONDITION_DROPOUT
    longest = max(example.frames for example in run.library.examples)
    minutes, seconds = config.minutes, config.audio_seconds
    if minutes is None and seconds is None and config.steps is None:
        seconds = DEFAULT_AUDIO_SECONDS
        minutes = DEFAULT_CPU_MINUTES if stage.like.device.type == "cpu" else None
    half = _half_precision(config, stage.like.device)
    chosen = preflight.fit(stage.transformer, config, longest, len(run.library.examples), half)
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
    return StagePlan(
        levels=levels,
        condition_dropout=dropout,
        batch_size=chosen.batch_size,
        gradient_checkpointing=chosen.gradient_checkpointing,
        minutes=None if minutes is None else minutes / stages,
        audio_seconds=None if seconds is None else seconds / stages,
        steps=None if config.steps is None else max(1, config.steps // stages),
        identity=identity,
        half_precision=half,
    )


def _require_effect(run: _Run) -> None:
    strongest = max(numbers["effect"] for numbers in run.stages.values())
    if strongest < run.config.min_effect:
        raise AdapterError(
            f"the adapter changes the velocity by {strongest:.2%} at most, which nobody would hear: raise "
            "learning_rate or the budget (--minutes), use more targets (--targets all), or check that "
            f"held-out loss goes down in {run.folder}; nothing was installed"
        )


def _find_strength(
    run: _Run, on_stage: OnStage | None, cancelled: Callable[[], bool] | None
) -> tuple[float, list[strength.Kept]]:
    """As configured, or as much as keeps tempo and key in clips made with the adapter as it is loaded."""
    if run.config.strength is not None:
        return run.config.strength, []
    prompts = results.preview_requests(run.dataset, run.config, STRENGTH_CLIPS, STRENGTH_CLIP_S)
    requests = strength.in_other_keys(prompts, STRENGTH_CLIPS)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / run.config.name
        place.mkdir()
        _write_weights(run, place)
        name = run.cascade.load_adapter(place)
        try:
            return strength.find_strength(
                run.cascade, name, requests, on_done=_telling(on_stage, "listening"), cancelled=cancelled
            )
        finally:
            run.cascade.unload_adapter(name)


def _weaken(run: _Run, share: float) -> None:
    """From here on the adapter is what it was at that strength; effect and loss are measured again."""
    for name, adapter in run.adapters.items():
        run.adapters[name] = adapter.at(share)
        stage = run.cascade.stages[name]
        effect, loss, run.outputs[name] = results.measured_effect(
            run.library, stage, run.pairs[name], run.config, run.adapters[name].weights
        )
        run.stages[name] |= {"effect": effect, "loss": loss}


def _summary(run: _Run) -> dict[str, Any]:
    return {
        "name": run.config.name,
        "base": run.cascade.spec.name,
        "trigger": run.config.trigger or run.dataset.custom_tag,
        "stages": run.stages,
        "files": len(run.dataset.used()),
        "held_out": len(run.dataset.used("held_out")),
        "audio_seconds": sum(numbers["audio_seconds"] for numbers in run.stages.values()),
        "seconds": sum(numbers["seconds"] for numbers in run.stages.values()),
        "device": str(run.cascade.device),
        "stem_aware": sum(example.stem_aware for example in run.library.examples),
        "prompt": next((sample.caption for sample in run.dataset.used()), ""),
    }


def _fill(run: _Run, folder: Path, summary: dict[str, Any]) -> None:
    """Everything that belongs to the adapter, and the proof that it works from disk."""
    config = run.config
    _write_weights(run, folder, summary)
    write_json(folder / "train_config.json", config.to_dict())
    results.plot_losses(run.states, folder / "loss.png")
    (folder / "README.md").write_text(results.card(config, run.dataset, summary), encoding="utf-8")
    _check_and_preview(run, folder)


def _write_weights(run: _Run, folder: Path, summary: dict[str, Any] | None = None) -> None:
    """The adapter's weights in all spellings, and the manifest by which it is loaded."""
    config = run.config
    for name, adapter in run.adapters.items():
        write_all(adapter, folder, name)
    manifest = {
        "format": 1,
        "name": config.name,
        "base": run.cascade.spec.name,
        "stages": {name: name for name in run.adapters},
        "trigger": config.trigger or run.dataset.custom_tag,
        "rank": config.rank,
        "alpha": config.resolved_alpha,
        "dora": config.dora,
        "base_fingerprints": {name: run.library.stage_prints[name] for name in run.adapters},
        "summary": summary or {},
    }
    write_json(folder / "adapter.json", manifest)


def _check_and_preview(run: _Run, folder: Path) -> None:
    """Load the adapter from disk as anybody would, compare its output, and make before/after clips."""
    cascade = run.cascade
    requests = results.preview_requests(run.dataset, run.config, run.config.previews)
    previews = folder / "previews"
    if requests:
        previews.mkdir()
    for number, request in enumerate(requests, 1):
        results.write_preview(cascade, request, previews / f"{number}_before.wav")
    name = cascade.load_adapter(folder)
    try:
        with cascade.adapters.applied([(name, 1.0)]):
            for stage_name, expected in run.outputs.items():
                stage = cascade.stages[stage_name]
                found = results.velocities(
                    Velocity(stage.transformer), run.library, stage, run.pairs[stage_name]
                )
                difference = results.effect(found, expected)
                if not difference <= SAME_OUTPUT * (1 if stage.like.dtype is torch.float32 else 100):
                    raise AdapterError(
                        f"stage {stage_name}: loaded from disk the adapter answers differently by "
                        f"{difference:.2%}; it was not installed – please report this"
                    )
        for number, request in enumerate(requests, 1):
            changed = dataclasses.replace(request, adapters=((name, 1.0),))
            results.write_preview(cascade, changed, previews / f"{number}_after.wav")
    finally:
        cascade.unload_adapter(name)


def forget(config: TrainConfig) -> None:
    """Drop the checkpoints of an unfinished run of this name."""
    home = expanded(config.home) if config.home else checkpoint.home()
    for folder in (home / "lora" / config.name).glob("stage-*"):
        shutil.rmtree(folder)

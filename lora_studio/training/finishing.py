"""What follows training: how strong the adapter may be, its card, its previews, and the proof that it works.

Nothing appears among the adapters before it has been loaded again from disk and gives the same output.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from acestep.errors import AdapterError
from acestep.model.cascade import Cascade
from acestep.training.velocity import Velocity
from lora_studio.adapters.formats import StageAdapter, write_all
from lora_studio.config import TrainConfig
from lora_studio.data.dataset import Dataset
from lora_studio.data.examples import ExampleSet
from lora_studio.files import write_json
from lora_studio.training import listening, results
from lora_studio.training.checkpoints import RunState
from lora_studio.training.listening import Audition, OnStage
from lora_studio.training.planning import CARE, Budget, agreed

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass
class Run:
    """Grows while the run goes on."""

    config: TrainConfig
    folder: Path  # of checkpoints and logs
    target: Path  # of the adapter
    dataset: Dataset
    cascade: Cascade
    library: ExampleSet
    accelerator: "Accelerator"
    budget: Budget
    audition: Audition
    states: dict[str, RunState] = field(default_factory=dict)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    pairs: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    adapters: dict[str, StageAdapter] = field(default_factory=dict)

    measured_s: float = 0.0  # what it took to measure the stages' effects: weaker ones are measured again

    @property
    def finish_s(self) -> float:
        """What is to be left when the last clip has been listened to."""
        return self.budget.finish_s + CARE * self.measured_s + self.audition.previews_s


SAME_OUTPUT = 1e-4  # relative; the same numbers through the same layers, saved as they were trained


def require_effect(run: Run) -> None:
    """Raises AdapterError for an adapter that nobody would hear."""
    strongest = max(numbers["effect"] for numbers in run.stages.values())
    if strongest < run.config.min_effect:
        raise AdapterError(
            f"the adapter changes what the model does by {strongest:.2%} at most, which nobody would hear: "
            "give it more --minutes, a higher --learning-rate or more layers (--targets all). Nothing was "
            f"installed (the curves of its loss are in {run.folder})"
        )


def find_strength(
    run: Run, on_stage: OnStage | None, cancelled: Callable[[], bool] | None
) -> tuple[float, list[listening.Kept]]:
    """As configured, or as much as keeps tempo and key in clips made with the adapter as it is loaded."""
    if run.config.strength is not None:
        return run.config.strength, []
    audition = run.audition
    if audition.base is None:  # nothing to ask for, or no time to listen
        return (listening.UNHEARD if run.budget.seconds is not None else 1.0), []
    total = listening.TRIES * len(audition.requests)
    done = 0

    def told(tried: float) -> None:
        nonlocal done
        done += 1
        if on_stage:
            on_stage("listening", done, total, f"at {tried:g}")

    def over() -> bool:
        return bool(agreed(run.accelerator, run.budget.left_s < run.finish_s))

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / run.config.name
        place.mkdir()
        write_weights(run, place)
        name = run.cascade.load_adapter(place)
        try:
            found = listening.find_strength(
                run.cascade,
                name,
                audition.requests,
                audition.base,
                on_clip=told,
                over=over,
                cancelled=cancelled,
            )
        finally:
            run.cascade.unload_adapter(name)
    if on_stage and done < total:
        on_stage("listening", total, total, "")
    return found


def weaken(run: Run, share: float) -> None:
    """From here on the adapter is what it was at that strength; effect and loss are measured again."""
    for name, adapter in run.adapters.items():
        run.adapters[name] = adapter.at(share)
        stage = run.cascade.stages[name]
        effect, loss, run.outputs[name] = results.measured_effect(
            run.library, stage, run.pairs[name], run.config, run.adapters[name].weights
        )
        run.stages[name] |= {"effect": effect, "loss": loss}


def summary(run: Run) -> dict[str, Any]:
    """The numbers of the card."""
    return {
        "name": run.config.name,
        "base": run.cascade.spec.name,
        "trigger": run.config.trigger or run.dataset.custom_tag,
        "stages": run.stages,
        "trained_files": len(run.dataset.used("train")),
        "held_out_files": len(run.dataset.used("held_out")),
        "audio_seconds": sum(numbers["audio_seconds"] for numbers in run.stages.values()),
        "seconds": sum(numbers["seconds"] for numbers in run.stages.values()),
        "device": str(run.cascade.device),
        "stem_aware": sum(example.stem_aware for example in run.library.examples),
        "prompt": next((sample.caption for sample in run.dataset.used()), ""),
    }


def fill(run: Run, folder: Path, summary: dict[str, Any], on_stage: OnStage | None) -> None:
    """Everything that belongs to the adapter, and the proof that it works from disk."""
    config = run.config
    write_weights(run, folder, summary)
    write_json(folder / "train_config.json", config.to_dict())
    results.plot_losses(run.states, folder / "loss.png")
    (folder / "README.md").write_text(results.card(config, run.dataset, summary), encoding="utf-8")
    _check_and_preview(run, folder, on_stage)
    (folder / "card.html").write_text(results.page(config, folder, summary), encoding="utf-8")


def write_weights(run: Run, folder: Path, summary: dict[str, Any] | None = None) -> None:
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


def _check_and_preview(run: Run, folder: Path, on_stage: OnStage | None) -> None:
    """Load the adapter from disk as anybody would, compare its output, and write before/after clips."""
    cascade = run.cascade
    previews = run.audition.previews
    done, total = 0, len(run.outputs) + len(previews)

    def told(what: str) -> None:
        nonlocal done
        done += 1
        if on_stage:
            on_stage("checking", done, total, what)

    name = cascade.load_adapter(folder)
    try:
        with cascade.adapters.applied([(name, 1.0)]):
            for stage_name, expected in run.outputs.items():
                _require_same(run, stage_name, expected)
                told(f"stage {stage_name}")
        if previews and not run.budget.over():
            (folder / "previews").mkdir()
            for number, (request, before) in enumerate(previews, 1):
                changed = dataclasses.replace(request, adapters=((name, 1.0),))
                after = results.preview(cascade, changed)
                for audio, word in ((before, "before"), (after, "after")):
                    results.write_preview(cascade, audio, folder / "previews" / f"{number}_{word}.wav")
                told("previews")
    finally:
        cascade.unload_adapter(name)


def _require_same(run: Run, stage_name: str, expected: torch.Tensor) -> None:
    """Raises AdapterError where the adapter that was loaded gives other velocities than when trained."""
    stage = run.cascade.stages[stage_name]
    found = results.velocities(Velocity(stage.transformer), run.library, stage, run.pairs[stage_name])
    difference = results.effect(found, expected)
    if not difference <= SAME_OUTPUT * (1 if stage.like.dtype is torch.float32 else 100):
        raise AdapterError(
            f"stage {stage_name}: loaded from disk the adapter answers differently by {difference:.2%}; it "
            "was not installed – please report this"
        )

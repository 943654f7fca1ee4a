"""Trains the adapter of one stage: steps, validation, average, checkpoints, and stopping.

A run that is killed goes on from its last state and ends with the same numbers as one that was not.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from acestep.errors import Cancelled, InvalidRequest, OutOfMemory
from acestep.model.stage import Stage
from acestep.training import lora
from acestep.training.velocity import Velocity, half_copy
from lora_studio.config import TrainConfig
from lora_studio.data.examples import Batch, Example, ExampleSet, Order, generator, order_of
from lora_studio.training import checkpoints
from lora_studio.training.checkpoints import RunState
from lora_studio.training.gradients import Sum
from lora_studio.training.planning import NoiseLevels, agreed, shape_of

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
VALIDATION_BATCH = 8  # bounds memory
TIMED_STEPS = 3  # whose length plans the rest
VALIDATIONS = 12  # in a run, about
VALIDATING_SHARE = 0.25  # of a stage's time, at most
MEASURINGS = 3.5  # validations: loss and effect of what was trained, and again of what is kept
SURE_SHARE = 0.9  # of a stage's time is planned: steps differ in length, and other programs run
ACE_STEP_RATE, ACE_STEP_WIDTH = 5e-4, 2048  # upper end of what is used with ACE-Step 1.5, and its 2B model
HIGHEST_RATE = 2e-3  # tried on nano, 320 wide: 30 steps lower L's held-out loss by 27 %, with 5e-4 by 13 %


@dataclass(frozen=True)
class Tick:
    """What a step tells: for progress bars, logs and TensorBoard."""

    stage: str
    step: int
    total_steps: int
    loss: float
    learning_rate: float
    grad_norm: float
    audio_seconds: float
    eta_s: float
    validation: float | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """What one stage's training needs to know beyond the configuration."""

    levels: NoiseLevels
    condition_dropout: float
    batch_size: int
    gradient_checkpointing: bool
    minutes: float | None  # this stage's share of the budgets
    audio_seconds: float | None
    steps: int | None
    identity: str
    half_precision: bool = False  # compute in bfloat16; the adapter itself stays in single precision


class StageRun:
    """One stage's training. `train()` brings it to its end, `close()` takes the adapter off the stage again.

    `state` holds the result.
    """

    def __init__(
        self,
        stage: Stage,
        library: ExampleSet,
        config: TrainConfig,
        plan: TrainingPlan,
        folder: Path,
        accelerator: "Accelerator",
    ) -> None:
        self._began = time.monotonic()
        self._validation_s = 0.0  # what one takes
        self.stage, self.library, self.config, self.plan = stage, library, config, plan
        self.folder, self.accelerator = folder, accelerator
        self.device = stage.like.device
        used = library.examples
        self.order: Order = order_of(
            [e for e in used if e.split == "train"], plan.batch_size, config.stem_aware, config.seed
        )
        held_out = [e for e in used if e.split == "held_out"] or list(self.order.plain)
        self.pairs = fixed_pairs(held_out, config.validation_pairs, plan.levels, config.seed)
        # in half precision the stage itself is left as it is: it plays in the precision it was loaded in
        half = plan.half_precision and stage.like.dtype is not torch.bfloat16
        self.net = half_copy(stage.transformer) if half else stage.transformer
        self.peak_rate = config.learning_rate or rate_for(stage.transformer.config.hidden_size)
        parameters = lora.attach(self.net, shape_of(config))
        self.net.train(False)
        self.optimizer = torch.optim.AdamW(
            parameters, lr=self.peak_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99)
        )
        velocity = Velocity(self.net, plan.gradient_checkpointing)
        self.velocity, self.optimizer = accelerator.prepare(velocity, self.optimizer)
        self.names = {id(p): n for n, p in lora.named_parameters(self.net)}
        self.state = RunState(plan.identity)
        self._last_save = time.monotonic()

    def train(
        self, on_tick: Callable[[Tick], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> RunState:
        """Start or go on, until the budget is used or validation no longer gets better."""
        found = checkpoints.load(self.folder, self.plan.identity) if self.config.resume else None
        self.accelerator.wait_for_everyone()  # all have read before the first one writes
        if found is not None:
            self._restore(found)
        else:
            self.begin()
        state, started = self.state, time.monotonic() - self.state.elapsed_s
        try:
            while not state.finished:
                if self._agreed(cancelled is not None and cancelled()):
                    self._save()
                    raise Cancelled("training was stopped; the same command goes on from here")
                loss, norm = self.step()
                state.elapsed_s = time.monotonic() - started
                state.finished = state.step >= state.total_steps or self._agreed(self._out_of_time())
                validation = None
                if state.finished or state.step % state.validate_every == 0:
                    validation = self._validated()
                if on_tick:
                    on_tick(self._tick(loss, norm, validation))
                if validation is not None or time.monotonic() - self._last_save >= self.config.save_every_s:
                    self._save()
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                "the device ran out of memory in a training step: use a smaller batch_size, shorter segments "
                "(longest_s), gradient_checkpointing, or fewer stages at once"
            ) from error
        return state

    def close(self) -> None:
        """Leave the stage as it was found."""
        lora.detach(self.net)

    def begin(self) -> None:
        """Step 0: the adapter changes nothing yet, so this is the base model's validation loss."""
        state = self.state
        state.tensors = {
            "weights": lora.state(self.net),
            "average": {n: t.clone() for n, t in lora.state(self.net).items()},
            "best": {n: t.clone() for n, t in lora.state(self.net).items()},
        }
        state.base_loss = state.best_loss = self.validate()
        state.validations.append((0, state.base_loss))
        validations = self._agreed(self._affordable_validations())
        state.total_steps = self._agreed(self._planned_steps(validations))
        state.validate_every = self.config.validate_every or max(10, state.total_steps // validations)
        self._save()

    def _restore(self, found: RunState) -> None:
        lora.load_state(self.net, found.tensors["weights"])
        self.state = found
        found.validate_every = found.validate_every or max(10, found.total_steps // VALIDATIONS)
        self.state.tensors["weights"] = lora.state(self.net)
        for group in ("average", "best", "moment1", "moment2"):
            if found.step == 0 and group.startswith("moment"):
                continue
            names = found.tensors[group].keys()
            if names != self.state.tensors["weights"].keys():
                raise InvalidRequest(
                    f"the checkpoint's {group} does not have the adapter's names: it is not this run's"
                )
            found.tensors[group] = {n: t.to(self.device) for n, t in found.tensors[group].items()}
        if found.step:
            for parameter in self._parameters():
                name = self.names[id(parameter)]
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(found.step)),
                    "exp_avg": found.tensors["moment1"][name],
                    "exp_avg_sq": found.tensors["moment2"][name],
                }

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        for group, key in (("moment1", "exp_avg"), ("moment2", "exp_avg_sq")):
            self.state.tensors[group] = {
                self.names[id(p)]: self.optimizer.state[p][key]
                for p in self._parameters()
                if p in self.optimizer.state
            }
        checkpoints.save(self.folder, self.state)
        self._last_save = time.monotonic()

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _left_s(self) -> float:
        """What is left of this stage's time, without what measuring the finished adapter will take."""
        assert self.plan.minutes is not None
        return self.plan.minutes * 60 - (time.monotonic() - self._began) - MEASURINGS * self._validation_s

    def _affordable_validations(self) -> int:
        """How often the held-out files are heard: about twelve times, less where that takes too long."""
        if self.plan.minutes is None:
            return VALIDATIONS
        possible = VALIDATING_SHARE * self._left_s() / max(self._validation_s, 1e-6)
        return int(max(1, min(VALIDATIONS, possible)))

    def _planned_steps(self, validations: int) -> int:
        """How many steps the budgets allow; time is turned into steps once, so a run stays repeatable."""
        limits = [self.plan.steps] if self.plan.steps else []
        seconds = sum(example.seconds for example in self.order.plain) / len(self.order.plain)
        a_step = seconds * self.order.batch_size * self.config.accumulate * self.accelerator.num_processes
        if self.plan.audio_seconds:
            limits.append(math.ceil(self.plan.audio_seconds / a_step))
        if self.plan.minutes is not None and not self.plan.steps:
            started = time.monotonic()
            for number in range(TIMED_STEPS):
                self._gradients(number)
            self.optimizer.zero_grad()
            spent = (time.monotonic() - started) / TIMED_STEPS
            left_s = self._left_s() - validations * self._validation_s
            limits.append(max(1, int(SURE_SHARE * left_s / spent)))
        if not limits:
            raise InvalidRequest("a run needs a budget: minutes, audio_seconds or steps")
        return max(1, min(limits))

    def _out_of_time(self) -> bool:
        return self.plan.minutes is not None and self._left_s() < self._validation_s

    def _agreed(self, value: T) -> T:
        return agreed(self.accelerator, value)

    def _gradients(self, step: int) -> tuple[float, float]:
        """Loss and seconds of audio of one optimizer step's examples, gradients added up.

        The batches of a step are numbered over all processes, so that N of them learn what one does that adds
        N times as many batches up: same examples, noise, dropout and loss.
        """
        ranks, accumulate = self.accelerator.num_processes, self.config.accumulate
        gradients = Sum(self._parameters()) if ranks * accumulate > 1 else None
        total, heard = torch.zeros((), device=self.device), 0.0
        for micro in range(accumulate):
            first = (step * accumulate + micro) * ranks
            chosen = [self.order.batch(first + rank) for rank in range(ranks)]
            rank = self.accelerator.process_index
            if self.config.dropout:  # dropout draws from torch's own generator
                name = ("dropout", self.config.seed, self.stage.name, first + rank)
                torch.manual_seed(generator(*name).initial_seed())
            with self.accelerator.no_sync(self.velocity):
                batch = self.library.batch(self.stage, chosen[rank]).to(self.device)
                random = generator("step", self.config.seed, self.stage.name, first + rank)
                loss = self._loss(batch, random)
                self.accelerator.backward(loss)
            if gradients is not None:
                gradients.take()
            total += loss.detach() / accumulate
            heard += sum(example.seconds for examples in chosen for example in examples)
        if gradients is not None:
            gradients.give(self.accelerator, ranks * accumulate)
        return float(self.accelerator.reduce(total, "mean")), heard

    def step(self) -> tuple[float, float]:
        """One optimizer step after `begin()`; gives its loss and gradient norm. `train()` calls it."""
        state, config = self.state, self.config
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(state.step, state.total_steps, config, self.peak_rate)
        if config.dropout:
            self.net.train()
        loss, heard = self._gradients(state.step)
        self.net.train(False)
        norm = float(self.accelerator.clip_grad_norm_(self._parameters(), config.clip_norm))
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.step += 1
        state.audio_seconds += heard
        state.losses.append(loss)
        decay = min(config.ema, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            for name, tensor in state.tensors["weights"].items():
                state.tensors["average"][name].lerp_(tensor, 1 - decay)
        return loss, norm

    def _loss(self, batch: Batch, random: torch.Generator) -> Tensor:
        """Mean squared error of the velocity noise − x0 at random levels; padding does not count."""
        count = len(batch.latents)
        strata = (torch.randperm(count, generator=random) + torch.rand(count, generator=random)) / count
        t = self.plan.levels.at(strata).to(batch.latents)
        noise = torch.randn(batch.latents.shape, generator=random).to(batch.latents)
        dropped = torch.rand(count, generator=random) < self.plan.condition_dropout
        condition = self._with_dropped(batch, dropped)
        return velocity_loss(self.velocity, batch, t, noise, condition)

    def _with_dropped(self, batch: Batch, dropped: Tensor) -> Tensor:
        """Conditions with some replaced by "no condition", as the base model was trained with."""
        if not bool(dropped.any()):
            return batch.condition
        null = self.stage.condition_encoder.null_condition_emb.detach().to(batch.condition)
        return torch.where(dropped.to(self.device)[:, None, None], null, batch.condition)

    def validate(self) -> float:
        """Mean loss over the fixed pairs."""
        started = time.monotonic()
        loss = mean_loss(self.velocity, self.library, self.stage, self.pairs)
        self._validation_s = time.monotonic() - started
        return loss

    def _validated(self) -> float:
        """Validate the average; remember it when it is the best, stop when it no longer gets better."""
        state = self.state
        own = {name: tensor.clone() for name, tensor in state.tensors["weights"].items()}
        lora.load_state(self.net, state.tensors["average"])
        loss = self.validate()
        lora.load_state(self.net, own)
        state.validations.append((state.step, loss))
        if loss < state.best_loss:
            state.best_loss, state.best_step, state.stale = loss, state.step, 0
            state.tensors["best"] = {name: t.clone() for name, t in state.tensors["average"].items()}
        else:
            state.stale += 1
            patience = self.config.patience
            state.finished = state.finished or (patience is not None and state.stale >= patience)
        return loss

    def _tick(self, loss: float, norm: float, validation: float | None) -> Tick:
        state = self.state
        left = (state.total_steps - state.step) * state.elapsed_s / max(state.step, 1)
        rate = rate_at(state.step - 1, state.total_steps, self.config, self.peak_rate)
        return Tick(
            self.stage.name,
            state.step,
            state.total_steps,
            loss,
            rate,
            norm,
            state.audio_seconds,
            left,
            validation,
        )


@dataclass(frozen=True)
class Pair:
    """A held-out example with its noise level and noise: the same at every validation."""

    example: Example
    t: float
    seed: int

    def noise(self, shape: torch.Size) -> Tensor:
        """The pair's noise; longer batches only add to its end."""
        return torch.randn(tuple(shape), generator=generator("pair", self.seed))


def fixed_pairs(examples: list[Example], count: int, levels: NoiseLevels, seed: int) -> list[Pair]:
    """`count` pairs over all examples in turn, their levels spread evenly over the stage's distribution."""
    ordered = sorted(examples, key=lambda example: (example.latents_key, example.context_key))
    turn = torch.randperm(count, generator=generator("levels", seed))
    t = levels.at((turn + 0.5) / count).tolist()
    chosen = [Pair(ordered[i % len(ordered)], t[i], i) for i in range(count)]
    return sorted(chosen, key=lambda pair: pair.example.frames)


@torch.no_grad()
def mean_loss(
    velocity: Callable[..., Tensor], library: ExampleSet, stage: Stage, pairs: Sequence[Pair]
) -> float:
    """Mean loss over fixed pairs."""
    total = 0.0
    for start in range(0, len(pairs), VALIDATION_BATCH):
        part = pairs[start : start + VALIDATION_BATCH]
        batch = library.batch(stage, [pair.example for pair in part]).to(stage.like.device)
        t = torch.tensor([pair.t for pair in part]).to(batch.latents)
        noise = torch.stack([pair.noise(batch.latents.shape[1:]) for pair in part]).to(batch.latents)
        total += float(velocity_loss(velocity, batch, t, noise, batch.condition)) * len(part)
    return total / len(pairs)


def velocity_loss(
    velocity: Callable[..., Tensor], batch: Batch, t: Tensor, noise: Tensor, condition: Tensor
) -> Tensor:
    """Mean over audio frames of (v − (noise − x0))²."""
    level = t[:, None, None]
    noisy = level * noise + (1 - level) * batch.latents
    found = velocity(noisy, t, condition, batch.context, batch.frame_mask, batch.condition_mask)
    error: Tensor = (found.float() - (noise - batch.latents)).square().mean(dim=2)
    if batch.frame_mask is None:
        return error.mean()
    share = batch.frame_mask / batch.frame_mask.sum(dim=1, keepdim=True)
    mean: Tensor = (error * share).sum(dim=1).mean()
    return mean


def rate_for(width: int) -> float:
    """The peak learning rate that suits a stage: the field's at ACE-Step's width, more where it is narrower.

    AdamW moves every weight by about the rate, and the fewer of them add up, the less that changes.
    """
    return min(HIGHEST_RATE, ACE_STEP_RATE * ACE_STEP_WIDTH / min(width, ACE_STEP_WIDTH))


def rate_at(step: int, total: int, config: TrainConfig, peak: float) -> float:
    """Learning rate: linear warm-up to `peak`, then half a cosine down to `final_rate` of it."""
    warm = max(1, round(total * config.warmup)) if config.warmup else 0
    if step < warm:
        return peak * (step + 1) / warm
    part = min(1.0, (step - warm) / max(1, total - warm))
    low = config.final_rate
    return peak * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * part)))

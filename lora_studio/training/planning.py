"""What a run is to be before it begins: its share of time, its noise levels, and what fits into memory.

**Minutes** are the whole run's: it ends with them, not only its training.

**Noise levels** are those a stage meets when it generates. Turbo models meet only the few levels of their
schedule; base and SFT models were trained on t = sigmoid(N(−0.4, 1)) (ACE-Step 1.5). A stage that has only a
part of the way is trained at the levels it steps from: cut to its part, the bell over the whole way would
hardly ever draw the noisiest ones – of the levels between 0.8 and 1 one in fifty above 0.94 – and there a
first stage settles what a clip sounds like. Uniform numbers go in and noise levels come out, so that a step
can be repeated exactly.

**Memory** is estimated from shapes (`acestep.training.memory`).
"""

import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from acestep.clips.wording import count
from acestep.errors import InvalidRequest, OutOfMemory
from acestep.model.modules import Transformer
from acestep.training.lora import LoraShape
from acestep.training.memory import GB, Memory, activation_bytes, available_bytes, sharing, trained_bytes
from lora_studio.config import TrainConfig
from lora_studio.training import gradients

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")
# Shares of the time that is given, chosen by hand; what is not used goes to training. A run measures its own
# steps and plans by those.
LOOKED_AT = 0.25  # by then the folder has been looked at …
ENCODED = 0.4  # … and its audio encoded
HEARD = 0.25  # for all clips that are made to judge the adapter by
PREVIEWED = 0.15  # for the clips before and after
FINISHED = 0.04  # for writing, loading and comparing the adapter
CARE = 1.15  # what comes after training takes this much more than it was measured to take


@dataclass(frozen=True)
class Budget:
    """`seconds` from `began` on (`time.monotonic()`); None: as long as it takes."""

    seconds: float | None = None
    began: float = field(default_factory=lambda: time.monotonic())

    @property
    def left_s(self) -> float:
        """Seconds that are left, not below zero; infinite without a limit."""
        return math.inf if self.seconds is None else max(0.0, self.began + self.seconds - time.monotonic())

    def over(self, share: float = 1.0) -> bool:
        """Whether this share of the time has passed."""
        return self.seconds is not None and time.monotonic() > self.began + share * self.seconds

    @property
    def finish_s(self) -> float:
        """Seconds that writing and checking the adapter may take."""
        return 0.0 if self.seconds is None else FINISHED * self.seconds

    def allowed_s(self, share: float) -> float:
        """Seconds in this share of the whole."""
        return math.inf if self.seconds is None else share * self.seconds


def agreed(accelerator: "Accelerator", value: T) -> T:
    """The first process's value, in all of them: their clocks differ, and all must do the same."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    told: T = broadcast_object_list([value])[0]
    return told


def left_out(files: int, segments: int, data: str) -> str:
    """What a run says that had no time for all of its data; "" where it had."""
    if files:
        return (
            f"there was no time to look at {count(files, 'more file')}: give the run more minutes, or let "
            f"`lora_studio prepare {shlex.quote(data)}` look at all of them once"
        )
    if segments:
        return f"there was no time to encode {count(segments, 'more segment')}: give the run more minutes"
    return ""


LOGIT_MEAN, LOGIT_STD = -0.4, 1.0  # ACE-Step 1.5 base and SFT


@dataclass(frozen=True)
class NoiseLevels:
    """How to draw t in (0, 1] for one stage; 1 is pure noise.

    `kind` "discrete": one of `levels`; else continuous between `low` and `high`.
    """

    kind: str
    low: float = 0.0
    high: float = 1.0
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "discrete" and not self.levels:
            raise InvalidRequest("discrete noise needs levels: the stage has no step of the schedule")
        if not 0 <= self.low < self.high <= 1:
            raise InvalidRequest(
                f"a stage from noise level {self.high:g} down to {self.low:g} covers nothing"
            )

    def at(self, uniform: Tensor) -> Tensor:
        """Noise levels for numbers that are uniform in [0, 1): the inverse of the distribution."""
        uniform = uniform.double()
        if self.kind == "discrete":
            levels = torch.tensor(self.levels, dtype=torch.float64)
            return levels[(uniform * len(levels)).long().clamp(max=len(levels) - 1)].float()
        if self.kind == "uniform":
            return (self.low + (self.high - self.low) * uniform).clamp(1e-4, 1.0).float()
        low, high = (_normal_cdf((_logit(edge) - LOGIT_MEAN) / LOGIT_STD) for edge in (self.low, self.high))
        z = torch.special.ndtri((low + (high - low) * uniform).clamp(1e-7, 1 - 1e-7))
        return torch.sigmoid(LOGIT_MEAN + LOGIT_STD * z).clamp(max(self.low, 1e-4), self.high).float()


def levels_for(kind: str, is_turbo: bool, way: Sequence[float]) -> NoiseLevels:
    """The distribution for a stage that steps along the noise levels `way`, from noisy to clean."""
    if kind == "auto":
        whole = way[0] >= 1 and way[-1] <= 0
        kind = "logit_normal" if whole and not is_turbo else "discrete"
    if kind == "discrete":
        return NoiseLevels(kind, way[-1], way[0], tuple(way[:-1]))
    return NoiseLevels(kind, way[-1], way[0])


def _logit(t: float) -> float:
    return math.inf if t >= 1 else -math.inf if t <= 0 else math.log(t / (1 - t))


def _normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


RESERVE = 0.9  # of free memory; the rest is fragmentation and everybody else's
HALF_BYTES = 2  # of a number in bfloat16
AVERAGE_COPIES = 1  # of what is trained: the average that is kept


@dataclass(frozen=True)
class Fit:
    """What was chosen so that it fits."""

    batch_size: int
    gradient_checkpointing: bool
    memory: Memory
    available: int


def shape_of(config: TrainConfig) -> LoraShape:
    """The adapter that a configuration asks for."""
    return LoraShape(
        config.rank, config.resolved_alpha, config.target_modules, config.dropout, config.dora, config.seed
    )


def estimate(
    transformer: Transformer,
    config: TrainConfig,
    frames: int,
    batch_size: int,
    checkpointing: bool,
    half: bool = False,
    processes: int = 1,
) -> Memory:
    """Memory of one training step on `frames` latent frames; `half`: computed in bfloat16."""
    one = next(iter(transformer.parameters()))
    weights = sum(p.numel() * p.element_size() for p in transformer.parameters())
    copied = half and one.dtype is not torch.bfloat16
    return Memory(
        weights=weights,
        trained=trained_bytes(
            shape_of(config).size(transformer),
            processes,
            AVERAGE_COPIES + (gradients.COPIES if processes * config.accumulate > 1 else 0),
        ),
        activations=activation_bytes(
            transformer.config, frames, batch_size, HALF_BYTES if half else one.element_size(), checkpointing
        ),
        copy=sum(p.numel() for p in transformer.parameters()) * HALF_BYTES if copied else 0,
    )


def fit(
    transformer: Transformer,
    config: TrainConfig,
    frames: int,
    examples: int,
    half: bool = False,
    *,
    processes: int = 1,
    sharing: int = 1,
) -> Fit:
    """Batch size and checkpointing that fit; raises OutOfMemory saying what to change when nothing does.

    `processes` train together, and `sharing` of them share the device's memory. The weights are on the device
    already and do not count against what is free; their copy (`half`) does.
    """
    device = next(iter(transformer.parameters())).device
    free = available_bytes(device)
    room = int(free * RESERVE) // sharing
    wanted = min(config.batch_size or (8 if frames < 2000 else 4), max(1, examples))
    sizes = [wanted] if config.batch_size else [size for size in (8, 4, 2, 1) if size <= wanted] or [1]
    choices = [False, True] if config.gradient_checkpointing is None else [config.gradient_checkpointing]
    smallest = None
    for checkpointing in choices:
        for size in sizes:
            memory = estimate(transformer, config, frames, size, checkpointing, half, processes)
            if memory.more <= room:
                return Fit(size, checkpointing, memory, free)
            smallest = memory
    assert smallest is not None
    each = f" in each of {sharing} processes" if sharing > 1 else ""
    raise OutOfMemory(
        f"training needs about {smallest.total / GB:.1f} GB{each} and {free / GB:.1f} GB are free on "
        f"{device}: {_advice(config, frames)}"
    )


def fit_for_all(
    accelerator: "Accelerator",
    transformer: Transformer,
    config: TrainConfig,
    frames: int,
    examples: int,
    half: bool,
) -> Fit:
    """`fit` as the first process finds it, in all of them: each would see other memory free."""
    accelerator.wait_for_everyone()  # until all have loaded what they need
    found: Fit | OutOfMemory
    try:
        found = fit(
            transformer,
            config,
            frames,
            examples,
            half,
            processes=accelerator.num_processes,
            sharing=sharing(accelerator.device),
        )
    except OutOfMemory as error:
        found = error
    found = agreed(accelerator, found)
    if isinstance(found, OutOfMemory):
        raise found
    return found


def _advice(config: TrainConfig, frames: int) -> str:
    advice = []
    if config.gradient_checkpointing is False:
        advice.append("turn gradient_checkpointing on")
    if config.batch_size and config.batch_size > 1:
        advice.append("use batch_size 1 with accumulate")
    if frames > 250:
        advice.append(f"cut shorter segments (longest_s below {config.longest_s:g})")
    if config.rank > 8:
        advice.append(f"use a lower rank than {config.rank}")
    return "; ".join(advice) or "train a smaller stage, or on a larger device"

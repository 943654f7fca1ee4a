"""What a run is to be before it begins: its share of time, its noise levels, and what fits into memory.

**Minutes** are the whole run's: it ends with them, not only its training.

**Noise levels** are those a stage meets when it generates. Turbo models meet only the few levels of their
schedule; base and SFT models were trained on t = sigmoid(N(−0.4, 1)) (ACE-Step 1.5). A stage that has only a
part of the way is trained at the levels it steps from: cut to its part, the bell over the whole way would
hardly ever draw the noisiest ones – of the levels between 0.8 and 1 one in fifty above 0.94 – and there a
first stage settles what a clip sounds like. Uniform numbers go in and noise levels come out, so that a step
can be repeated exactly.

**Memory** is estimated from shapes, and kept honest by a test that measures.
"""

import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from acestep.clips.wording import count
from acestep.errors import InvalidRequest, OutOfMemory
from acestep.training.lora import LoraShape
from lora_studio.config import TrainConfig

# Shares of the whole. What is not used goes to training.
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


def agreed(accelerator: Any, value: Any) -> Any:
    """The first process's value, in all of them: their clocks differ, and all must do the same."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


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


# A block keeps about this many [tokens, width] tensors for its backward pass, counted on diffusers' block:
# norms, modulated inputs, queries, keys, values, attention, residuals; plus 4 of the MLP's width.
KEPT_WIDTHS = 16
KEPT_FEED_FORWARDS = 4
RESERVE = 0.9  # of free memory; the rest is fragmentation and everybody else's
HALF_BYTES = 2  # of a number in bfloat16
TRAINED_COPIES = 5  # weights, gradient, two moments, average: all float32


@dataclass(frozen=True)
class Memory:
    """Bytes a stage's training takes, by part."""

    weights: int
    copy: int  # of the weights in half precision, where training computes in one
    adapter: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.copy + self.adapter + self.activations


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
    transformer: Any,
    config: TrainConfig,
    frames: int,
    batch_size: int,
    checkpointing: bool,
    half: bool = False,
) -> Memory:
    """Memory of one training step on `frames` latent frames; `half`: computed in bfloat16."""
    settings = transformer.config
    one = next(iter(transformer.parameters()))
    weights = sum(p.numel() * p.element_size() for p in transformer.parameters())
    copied = half and one.dtype is not torch.bfloat16
    copy = sum(p.numel() for p in transformer.parameters()) * HALF_BYTES if copied else 0
    number = HALF_BYTES if half else one.element_size()
    tokens = batch_size * -(-frames // settings.patch_size)
    block = (
        tokens
        * (KEPT_WIDTHS * settings.hidden_size + KEPT_FEED_FORWARDS * settings.intermediate_size)
        * number
    )
    layers = settings.num_hidden_layers
    if checkpointing:
        activations = block + layers * tokens * settings.hidden_size * number
    else:
        activations = layers * block
    adapter = shape_of(config).size(transformer) * 4 * TRAINED_COPIES
    return Memory(weights, copy, adapter, activations)


def available_bytes(device: torch.device) -> int:
    """Memory that is free on the device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def fit(transformer: Any, config: TrainConfig, frames: int, examples: int, half: bool = False) -> Fit:
    """Batch size and checkpointing that fit; raises OutOfMemory saying what to change when nothing does.

    The weights are on the device already and do not count against what is free; their copy (`half`) does.
    """
    device = next(iter(transformer.parameters())).device
    free = available_bytes(device)
    room = int(free * RESERVE)
    wanted = min(config.batch_size or (8 if frames < 2000 else 4), max(1, examples))
    sizes = [wanted] if config.batch_size else [size for size in (8, 4, 2, 1) if size <= wanted] or [1]
    choices = [False, True] if config.gradient_checkpointing is None else [config.gradient_checkpointing]
    smallest = None
    for checkpointing in choices:
        for size in sizes:
            memory = estimate(transformer, config, frames, size, checkpointing, half)
            if memory.total - memory.weights <= room:
                return Fit(size, checkpointing, memory, free)
            smallest = memory
    assert smallest is not None
    raise OutOfMemory(
        f"training needs about {smallest.total / 1e9:.1f} GB and {free / 1e9:.1f} GB are free on {device}: "
        f"{_advice(config, frames)}"
    )


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

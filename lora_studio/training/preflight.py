"""Before a run: how much memory it will take, whether that is there, and what to change if not.

An estimate from shapes, kept honest by a test that measures.
"""

from dataclasses import dataclass
from typing import Any

import torch

from acestep.errors import OutOfMemory
from acestep.training.lora import LoraShape
from lora_studio.config import TrainConfig

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

"""The recipe's own short sampling loop, for judging checkpoints while they train: no caches, no progress.

What users run is `acestep.cascade`; both take the same steps. Knows nothing of files.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from acestep.grid import Grid
from acestep.guide import guide_channels
from acestep.key import Key
from acestep.nano.batches import build_context
from acestep.nano.checkpoint import NanoModules
from acestep.nano.network import Conditions, conditions, velocity


@dataclass
class Wish:
    """One clip to sample: the whole prompt, the grid, and what else is given."""

    text: str
    grid: Grid
    key: Key | None
    seed: int
    reference: Tensor | None = None  # [frames, 64]
    source: Tensor | None = None  # context latents [T, 64]


def schedule(steps: int, shift: float) -> list[float]:
    """ACE-Step's noise levels: even, then shifted towards noise; ends with 0."""
    even = [1 - index / steps for index in range(steps + 1)]
    return [shift * t / (1 + (shift - 1) * t) for t in even]


@torch.inference_mode()
def sample(
    modules: NanoModules,
    tokenizer: Any,
    description: dict[str, Any],
    wishes: list[Wish],
    frames: int,
    stages: tuple[str, ...] | None = None,
) -> Tensor:
    """Latents [B, frames, 64] for wishes of one length. `stages` lets some run alone over all steps."""
    levels = schedule(description["schedule"]["steps"], description["schedule"]["shift"])
    x = torch.stack(
        [torch.randn(frames, 64, generator=torch.Generator().manual_seed(w.seed)) for w in wishes]
    )
    scale = description["guidance"]["scale"]
    low, high = description["guidance"]["interval"]
    given: dict[str, tuple[Conditions, Tensor]] = {}
    for index, (t, following) in enumerate(itertools.pairwise(levels)):
        name = _stage_at(index, description["stages"], stages)
        if name not in given:
            given[name] = _given(modules, tokenizer, name, wishes, frames)
        told, context = given[name]
        transformer = modules.transformers[name]
        time = torch.full((len(wishes),), t)
        if scale > 1 and low <= 1 - t <= high:
            null = modules.condition_encoders[name].null_condition_emb
            nothing = Conditions(
                null.expand(len(wishes), 1, -1), torch.ones(len(wishes), 1, dtype=torch.bool)
            )
            free = velocity(transformer, x, time, nothing, context)
            v = free + scale * (velocity(transformer, x, time, told, context) - free)
        else:
            v = velocity(transformer, x, time, told, context)
        x = x + (following - t) * v
    return x


def _stage_at(index: int, listed: list[dict[str, Any]], wanted: tuple[str, ...] | None) -> str:
    """The stage of a step; where it is not wanted, the last wanted one before it (or the first)."""
    name = next(stage["name"] for stage in listed if stage["steps"][0] <= index < stage["steps"][1])
    if wanted is None or name in wanted:
        return name
    before = [stage["name"] for stage in listed if stage["name"] in wanted and stage["steps"][0] <= index]
    return before[-1] if before else wanted[0]


def _given(
    modules: NanoModules, tokenizer: Any, name: str, wishes: list[Wish], frames: int
) -> tuple[Conditions, Tensor]:
    encoder = modules.condition_encoders[name]
    told = conditions(
        modules.text_encoder, encoder, tokenizer, [w.text for w in wishes], [w.reference for w in wishes]
    )
    silence = encoder.silence_latent[0, :1]
    rows = []
    for wish in wishes:
        source = silence.expand(frames, -1) if wish.source is None else wish.source[:frames]
        guide = guide_channels(wish.grid, wish.key, frames, 100.0)
        rows.append(build_context(source, torch.ones(frames), guide))
    return told, torch.stack(rows)

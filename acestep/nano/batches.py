"""Training batches: which task, which stretch, which conditions are told. Decided by seed and step alone."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acestep.model.codec.spectral import SpectralCodec
from acestep.model.guide import guide_channels
from acestep.nano.data import captions
from acestep.nano.latents import Example, View

LATENT_RATE_HZ = SpectralCodec.latent_rate_hz
LENGTHS = (64, 128, 200, 256, 384)  # frames; the batch shrinks so that the tokens stay the same
LENGTH_SHARES = (0.17, 0.4, 0.28, 0.1, 0.05)
TASK_SHARES = {"text": 0.6, "lego": 0.22, "complete": 0.08, "repaint": 0.1}
REFERENCE_SHARE = 0.35
NULL_SHARE = 0.12  # all of text and reference dropped together: what guidance goes against
KEY_DROP = 0.15
META_DROP = 0.25
CAPTION_DROP = 0.06


@dataclass
class Batch:
    """B clips of T frames: data, context latents, prompts, references (None: none) and dropped conditions."""

    x0: Tensor  # [B, T, 192]
    context: Tensor  # [B, T, 416]
    texts: list[str]
    references: list[Tensor | None]
    null: Tensor  # [B] bool

    def to(self, device: torch.device) -> "Batch":
        """The same batch there."""
        references = [None if item is None else item.to(device) for item in self.references]
        return Batch(
            self.x0.to(device), self.context.to(device), self.texts, references, self.null.to(device)
        )


def draw_batch(
    examples: list[Example], silence: Tensor, random: np.random.Generator, frames_per_batch: int = 3_072
) -> Batch:
    """A random batch; `silence` is the codec's latent of silence [192]."""
    longest = max(len(example.views[0].target) for example in examples)  # all views of a loop are as long
    length = min(int(random.choice(LENGTHS, p=LENGTH_SHARES)), longest)
    rows = [_row(examples, length, silence, random) for _ in range(max(frames_per_batch // length, 1))]
    return Batch(
        x0=torch.stack([row[0] for row in rows]),
        context=torch.stack([row[1] for row in rows]),
        texts=[row[2] for row in rows],
        references=[row[3] for row in rows],
        null=torch.from_numpy(random.random(len(rows)) < NULL_SHARE),
    )


def build_context(source: Tensor, mask: Tensor, guide: Tensor) -> Tensor:
    """Source latents [T, 192], chunk mask [T] and guide [T, 32] → context latents [T, 416]."""
    return torch.cat([source, mask[:, None].expand_as(source), guide], -1)


def _row(
    examples: list[Example], length: int, silence: Tensor, random: np.random.Generator
) -> tuple[Tensor, Tensor, str, Tensor | None]:
    example, view = _pick(examples, length, random)
    loop = example.loop
    task = str(random.choice(list(TASK_SHARES), p=list(TASK_SHARES.values())))
    if view.rest is None and task in ("lego", "complete"):
        task = "text"
    start = _start(example, view, length, random)
    target, roles = view.target, view.roles
    if task == "complete" and view.rest is not None:
        target, roles = view.rest, view.rest_roles
    x0 = torch.from_numpy(target[start : start + length]).float()
    source, mask = silence.expand(length, -1), torch.ones(length)
    instruction = captions.TEXT_INSTRUCTION
    if task == "lego" and view.rest is not None:
        source = torch.from_numpy(view.rest[start : start + length]).float()
        instruction = captions.LEGO_INSTRUCTION.format(_track(roles, random))
        instruction = instruction if random.random() < 0.8 else captions.TEXT_INSTRUCTION
    elif task == "complete":
        source = torch.from_numpy(view.target[start : start + length]).float()
        instruction = captions.COMPLETE_INSTRUCTION.format(
            " | ".join(_track((role,), random) for role in roles)
        )
    elif task == "repaint":
        mask = _region(loop.grid.bar_s * LATENT_RATE_HZ, length, random)
        source = torch.where(mask[:, None] > 0.5, silence, x0)
        instruction = captions.REPAINT_INSTRUCTION
    pitched = any(role not in ("drums", "percussion") for role in roles)
    key = loop.key if random.random() >= KEY_DROP else None
    guide = guide_channels(loop.grid, key, length, LATENT_RATE_HZ, first_frame=start)
    text = "" if random.random() < CAPTION_DROP else captions.caption(loop, roles, random)
    meta = captions.metas(loop, length / LATENT_RATE_HZ, random, META_DROP, keyed=pitched and key is not None)
    wants_reference = task != "complete" and random.random() < REFERENCE_SHARE
    reference = torch.from_numpy(view.reference).float() if wants_reference else None
    return x0, build_context(source, mask, guide), captions.prompt(instruction, text, meta), reference


def _pick(examples: list[Example], length: int, random: np.random.Generator) -> tuple[Example, View]:
    while True:
        example = examples[int(random.integers(len(examples)))]
        views = example.views
        view = (
            views[0]
            if len(views) == 1 or random.random() < 0.45
            else views[int(random.integers(1, len(views)))]
        )
        if len(view.target) >= length:
            return example, view


def _start(example: Example, view: View, length: int, random: np.random.Generator) -> int:
    """Mostly the first downbeat, as in use; else another one."""
    spare = len(view.target) - length
    bar = example.loop.grid.bar_s * LATENT_RATE_HZ
    if random.random() < 0.6 or spare < bar:
        return 0
    return min(round(int(random.integers(0, int(spare / bar) + 1)) * bar), spare)


def _region(bar: float, length: int, random: np.random.Generator) -> Tensor:
    """1 in a stretch of a beat to some bars, 0 elsewhere."""
    size = int(np.clip(bar * float(random.choice([0.25, 0.5, 1, 1, 2])), 5, length - 5))
    start = int(random.integers(0, length - size))
    mask = torch.zeros(length)
    mask[start : start + size] = 1
    return mask


def _track(roles: tuple[str, ...], random: np.random.Generator) -> str:
    return " ".join(str(random.choice(captions.TRACK_SYNONYMS[role])) for role in roles).upper()

"""Training batches: which task, which stretch, which conditions are told. Decided by seed and step alone."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from acestep.model.codec.spectral import SpectralCodec
from acestep.model.guide import guide_channels
from acestep.nano.data import captions
from acestep.nano.latents import Example, View

LATENT_RATE_HZ = SpectralCodec.latent_rate_hz
# Chosen by hand for the embedded model; `acestep nano evaluate` measures what comes of a whole recipe.
LENGTHS = (64, 128, 200, 256, 384)  # frames; the batch shrinks so that the tokens stay the same
LENGTH_SHARES = (0.12, 0.33, 0.3, 0.15, 0.1)  # of LENGTHS in the draws
# lego has the rest of the mix as context, pair one other part alone; continue has the first half given
TASK_SHARES = {"text": 0.5, "lego": 0.1, "pair": 0.2, "complete": 0.05, "repaint": 0.07, "continue": 0.08}
# (part to make, part that is given): how often, where a loop has both
PAIRS = {
    ("bass", "drums"): 4, ("drums", "bass"): 2, ("lead", "chords"): 2, ("chords", "lead"): 2,
    ("bass", "chords"): 1, ("chords", "bass"): 1, ("percussion", "drums"): 1, ("chords", "drums"): 1,
    ("arp", "chords"): 1, ("pad", "lead"): 1,
}  # fmt: skip
CONTINUED_FROM = (0.3, 0.7)  # of the stretch
REFERENCE_SHARE = 0.35  # of the draws hear a reference
NULL_SHARE = 0.12  # all of text and reference dropped together: what guidance goes against
KEY_DROP = 0.15  # of the draws are told no key as input
META_DROP = 0.25  # of the lines of metas are left open
CAPTION_DROP = 0.06  # of the draws have no caption
MIX = "mix"  # what a batch's row of several parts is called


@dataclass
class Batch:
    """B clips of T frames: data, context latents, prompts, references (None: none) and dropped conditions;
    what sounds in each, and the task it is, for the log.
    """

    x0: Tensor  # [B, T, C]
    context: Tensor  # [B, T, 2 C + 32]
    texts: list[str]
    references: list[Tensor | None]
    null: Tensor  # [B] bool
    parts: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def to(self, device: torch.device) -> "Batch":
        """The same batch there."""
        references = [None if item is None else item.to(device) for item in self.references]
        x0, context, null = self.x0.to(device), self.context.to(device), self.null.to(device)
        return Batch(x0, context, self.texts, references, null, self.parts, self.tasks)


@dataclass
class _Row:
    """One clip of a batch while it is made; `source` [T, C] and `mask` [T] are its context."""

    task: str
    roles: tuple[str, ...]
    x0: Tensor
    source: Tensor
    mask: Tensor
    instruction: str
    reference: np.ndarray | None


def draw_batch(
    examples: list[Example], silence: Tensor, random: np.random.Generator, frames_per_batch: int = 3_072
) -> Batch:
    """A random batch; `silence` is the codec's latent of silence [C]."""
    longest = max(len(example.views[0].target) for example in examples)  # all views of a loop are as long
    length = min(int(random.choice(LENGTHS, p=LENGTH_SHARES)), longest)
    rows, contexts, texts = [], [], []
    for _ in range(max(frames_per_batch // length, 1)):
        example, view = _pick(examples, length, random)
        start = _start(example, view, length, random)
        row = _row(example, view, slice(start, start + length), silence, random)
        guide, text = _told(example, row, start, random)
        rows.append(row)
        contexts.append(build_context(row.source, row.mask, guide))
        texts.append(text)
    return Batch(
        x0=torch.stack([row.x0 for row in rows]),
        context=torch.stack(contexts),
        texts=texts,
        references=[_reference(row, random) for row in rows],
        null=torch.from_numpy(random.random(len(rows)) < NULL_SHARE),
        parts=[row.roles[0] if len(row.roles) == 1 else MIX for row in rows],
        tasks=[row.task for row in rows],
    )


def build_context(source: Tensor, mask: Tensor, guide: Tensor) -> Tensor:
    """Source latents [T, C], chunk mask [T] and guide [T, 32] → context latents [T, 2 C + 32]."""
    return torch.cat([source, mask[:, None].expand_as(source), guide], -1)


def _row(example: Example, view: View, stretch: slice, silence: Tensor, random: np.random.Generator) -> _Row:
    """What is made, and from what."""
    task = str(random.choice(list(TASK_SHARES), p=list(TASK_SHARES.values())))
    pairs = [pair for pair in PAIRS if set(pair) <= set(example.stems)]
    if (task in ("lego", "complete") and view.rest is None) or (task == "pair" and not pairs):
        task = "text"
    length = stretch.stop - stretch.start
    nothing, make = silence.expand(length, -1), torch.ones(length)

    def cut(latents: np.ndarray) -> Tensor:
        return torch.from_numpy(latents[stretch]).float()

    if task == "pair":
        shares = np.array([PAIRS[pair] for pair in pairs])
        made, given = pairs[int(random.choice(len(pairs), p=shares / shares.sum()))]
        told = _lego((made,), random)
        return _Row(task, (made,), cut(example.stems[made]), cut(example.stems[given]), make, told, None)
    if task == "lego" and view.rest is not None:
        told = _lego(view.roles, random)
        return _Row(task, view.roles, cut(view.target), cut(view.rest), make, told, view.reference)
    if task == "complete" and view.rest is not None:
        tracks = " | ".join(_track((role,), random) for role in view.rest_roles)
        told = captions.COMPLETE_INSTRUCTION.format(tracks)
        return _Row(task, view.rest_roles, cut(view.rest), cut(view.target), make, told, None)
    x0 = cut(view.target)
    if task in ("repaint", "continue"):
        bar = example.loop.grid.bar_s * LATENT_RATE_HZ
        mask = _region(bar, length, random) if task == "repaint" else _second_half(bar, length, random)
        source = torch.where(mask[:, None] > 0.5, silence, x0)
        told = captions.REPAINT_INSTRUCTION
        return _Row(task, view.roles, x0, source, mask, told, view.reference)
    return _Row(task, view.roles, x0, nothing, make, captions.TEXT_INSTRUCTION, view.reference)


def _told(example: Example, row: _Row, start: int, random: np.random.Generator) -> tuple[Tensor, str]:
    """The guide [T, 32] and the prompt."""
    loop, length = example.loop, len(row.x0)
    pitched = any(role not in ("drums", "percussion") for role in row.roles)
    key = loop.key if random.random() >= KEY_DROP else None
    guide = guide_channels(loop.grid, key, length, LATENT_RATE_HZ, first_frame=start)
    bars = length / LATENT_RATE_HZ / loop.grid.bar_s
    text = "" if random.random() < CAPTION_DROP else captions.caption(loop, row.roles, random, bars=bars)
    meta = captions.metas(loop, length / LATENT_RATE_HZ, random, META_DROP, keyed=pitched and key is not None)
    return guide, captions.prompt(row.instruction, text, meta)


def _reference(row: _Row, random: np.random.Generator) -> Tensor | None:
    if row.reference is None or random.random() >= REFERENCE_SHARE:
        return None
    return torch.from_numpy(row.reference).float()


def _lego(roles: tuple[str, ...], random: np.random.Generator) -> str:
    if random.random() >= 0.8:
        return captions.TEXT_INSTRUCTION
    return captions.LEGO_INSTRUCTION.format(_track(roles, random))


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


def _second_half(bar: float, length: int, random: np.random.Generator) -> Tensor:
    """0 up to a bar line near the middle, 1 from there on."""
    low, high = (part * length for part in CONTINUED_FROM)
    lines = [line for line in np.arange(bar, length, bar) if low <= line <= high]
    at = float(random.choice(lines)) if lines else float(random.uniform(low, high))
    mask = torch.zeros(length)
    mask[round(at) :] = 1
    return mask


def _track(roles: tuple[str, ...], random: np.random.Generator) -> str:
    return " ".join(str(random.choice(captions.TRACK_SYNONYMS[role])) for role in roles).upper()

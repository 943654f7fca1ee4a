"""The text encoder learns to read before there is any audio: from prompts back to the labels they were
written from.

Some thousand steps on text alone cost little, and the stages then meet words that already mean something.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep.model.modules import TextEncoder, Tokenizer
from acestep.nano.data import captions
from acestep.nano.data.compose import ROLES, Loop
from acestep.nano.data.sounds import INSTRUMENTS
from acestep.nano.data.styles import STYLES
from acestep.nano.network import tokenise

WORDS = tuple(sorted({word for instrument in INSTRUMENTS for word in instrument.words} | {"synth"}))
STYLE_NAMES = tuple(style.name for style in STYLES)
SIGNATURES = ("3/4", "4/4", "6/8")


@dataclass(frozen=True)
class TextRecipe:
    """How long and how fast."""

    steps: int = 2800
    batch: int = 48
    rate: float = 2e-3
    seed: int = 0
    device: str = "cpu"


class Reader(nn.Module):
    """Linear heads on the mean and the last of the encoder's states: what is linear here is easy to attend
    to.
    """

    def __init__(self, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = text_encoder
        width = 2 * text_encoder.config.hidden_size
        sizes = {
            "style": len(STYLE_NAMES),
            "harmony": len(STYLE_NAMES),
            "roles": len(ROLES),
            "words": len(WORDS),
        }
        sizes |= {"signature": len(SIGNATURES) + 1, "key": 25, "tempo": 2}
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Token ids and mask [B, S] → logits by label."""
        states = self.encoder(input_ids=ids).last_hidden_state
        there = mask[..., None].to(states)
        mean = (states * there).sum(1) / there.sum(1)
        last = states[torch.arange(len(ids)), mask.sum(1) - 1]
        return {name: head(torch.cat([mean, last], -1)) for name, head in self.heads.items()}


def train_text(
    text_encoder: TextEncoder, tokenizer: Tokenizer, loops: list[Loop], recipe: TextRecipe
) -> dict[str, float]:
    """Train in place; returns the accuracy of the last batches by label. The encoder ends on the CPU."""
    torch.manual_seed(recipe.seed)
    reader = Reader(text_encoder).to(recipe.device).train()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=recipe.rate, weight_decay=0.01, fused=True)
    scores: dict[str, float] = {}
    for step in range(recipe.steps):
        random = np.random.default_rng([recipe.seed, step, 3])
        factor = min(1.0, (step + 1) / 30, max(0.02, (recipe.steps - step) / (0.5 * recipe.steps)))
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * factor
        texts, labels = _batch(loops, recipe.batch, random)
        labels = {name: label.to(recipe.device) for name, label in labels.items()}
        made = reader(*(part.to(recipe.device) for part in tokenise(tokenizer, texts)))
        loss = _loss(made, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        for name in ("style", "key", "signature"):
            hit = float((made[name].argmax(-1) == labels[name]).float().mean())
            scores[name] = hit if name not in scores else 0.95 * scores[name] + 0.05 * hit
        hit = float(((made["roles"] > 0) == (labels["roles"] > 0.5)).all(-1).float().mean())
        scores["roles"] = hit if "roles" not in scores else 0.95 * scores["roles"] + 0.05 * hit
    text_encoder.cpu().eval()
    return scores


def _batch(loops: list[Loop], count: int, random: np.random.Generator) -> tuple[list[str], dict[str, Tensor]]:
    texts, rows = [], []
    for _ in range(count):
        loop = loops[int(random.integers(len(loops)))]
        roles = tuple(part.role for part in loop.parts)
        if random.random() < 0.55:
            size = int(random.integers(1, len(roles) + 1)) if random.random() < 0.3 else 1
            chosen = set(random.permutation(roles)[:size].tolist())
            roles = tuple(role for role in roles if role in chosen)
        text = captions.caption(loop, roles, random)
        meta = captions.metas(loop, float(random.uniform(2, 16)), random, 0.1)
        instruction = captions.TEXT_INSTRUCTION
        if random.random() < 0.2:
            tracks = " ".join(captions.TRACKS[role] for role in roles)
            instruction = captions.LEGO_INSTRUCTION.format(tracks.upper())
        texts.append(captions.prompt(instruction, text, meta))
        rows.append(_labels(loop, roles, meta))
    return texts, {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _labels(loop: Loop, roles: tuple[str, ...], meta: str) -> dict[str, Tensor]:
    words = {word for role in roles for word in loop.words[role].split("|")}
    told_key, told_bpm = "keyscale: N/A" not in meta, "bpm: N/A" not in meta
    told_signature = "timesignature: N/A" not in meta
    key = loop.key.tonic + 12 * (loop.key.mode == "minor") if told_key else 24
    signature = SIGNATURES.index(str(loop.grid.signature)) if told_signature else len(SIGNATURES)
    return {
        "style": torch.tensor(STYLE_NAMES.index(loop.style)),
        "harmony": torch.tensor(STYLE_NAMES.index(loop.harmony_style)),
        "roles": torch.tensor([float(role in roles) for role in ROLES]),
        "words": torch.tensor([float(word in words) for word in WORDS]),
        "signature": torch.tensor(signature),
        "key": torch.tensor(key),
        "tempo": torch.tensor([np.log2(loop.grid.bpm / 100), float(told_bpm)], dtype=torch.float32),
    }


def _loss(made: dict[str, Tensor], labels: dict[str, Tensor]) -> Tensor:
    loss = sum(F.cross_entropy(made[name], labels[name]) for name in ("style", "harmony", "signature", "key"))
    loss = loss + 3 * F.binary_cross_entropy_with_logits(made["roles"], labels["roles"])
    loss = loss + 5 * F.binary_cross_entropy_with_logits(made["words"], labels["words"])
    told = labels["tempo"][:, 1]
    return loss + (told * (made["tempo"][:, 0] - labels["tempo"][:, 0]).abs()).mean() * 2

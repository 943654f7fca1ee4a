"""Audio beside the latents a decoder gets for it: as encoded, and as stages leave them. For the phases.

A shard is one array, a row for every latent frame: 1920 samples of the mid channel (int16), its C latents
as encoded and after the stages (both float16, as int16 bits), and the piece the frame belongs to. The latents
after the stages stand for the same audio: noise was added up to some level of the way, and the
stages that work below it took it out again, guided by the piece's own caption, grid and key.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from acestep.checkpoints.checkpoint import read_spec
from acestep.checkpoints.schedule import Leg, legs
from acestep.errors import NotFound
from acestep.model.codec.spectral import SpectralCodec
from acestep.model.guide import guide_channels
from acestep.model.sampling import Momentum, follow, guided, renoise
from acestep.nano.batches import build_context
from acestep.nano.checkpoint import load_checkpoint
from acestep.nano.data import captions
from acestep.nano.data.compose import Loop, compose
from acestep.nano.data.prepare import changed, save_whole
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import Bank
from acestep.nano.network import conditions
from acestep.training.velocity import Conditions, Velocity

LOOPS_PER_SHARD = 20
FIRST_SEED = 3_000_000  # of loops that nothing else is made of
FRAMES = 300  # of a piece, at most
HOP = SpectralCodec.hop
SCALE = 16384  # of a stored sample: changed pieces may exceed full scale
LEVELS = (0.12, 0.6)  # of the noise a piece passes the stages from
CHANGED_SHARE = 0.25  # of pieces at another level, speed or tone, which no caption tells of: left as encoded


Given: TypeAlias = dict[str, list[tuple[Conditions, Tensor]]]  # by stage: condition and context


@dataclass(frozen=True)
class Pieces:
    """Rows of a shard: mid audio [T, 1920], latents [T, C] twice, and the pieces' numbers [T]."""

    audio: np.ndarray
    encoded: np.ndarray
    passed: np.ndarray
    piece: np.ndarray


def pieces_of(rows: np.ndarray) -> Pieces:
    """A shard's rows, or some of them, as what they stand for."""
    bits = rows[:, HOP:-1].copy()
    latents = bits.view(np.float16).astype(np.float32)
    encoded, passed = np.split(latents, 2, axis=1)
    return Pieces(rows[:, :HOP].astype(np.float32) / SCALE, encoded, passed, rows[:, -1])


def open_pairs(folder: Path, held: bool = False) -> list[np.ndarray]:
    """The shards there are, mapped."""
    paths = sorted(folder.glob(f"{'held' if held else 'train'}-*.npy"))
    if not paths:
        raise NotFound(f"no pairs in {folder}: run `acestep nano train WORK --part pairs` first")
    return [np.load(path, mmap_mode="r") for path in paths]


class Passage:
    """The shipped way from a noise level to clean, for latents whose caption is known."""

    def __init__(self, checkpoint: Path) -> None:
        self.modules, self.tokenizer, self.codec, _ = load_checkpoint(checkpoint)
        self.way = legs(read_spec(checkpoint).plans())

    @torch.inference_mode()
    def __call__(
        self, latents: Tensor, loop: Loop, roles: tuple[str, ...], random: np.random.Generator
    ) -> Tensor:
        """Latents [T, C] → the same after noise and the stages that take it out again."""
        level = float(random.uniform(*LEVELS))
        way = [cut for leg in self.way if (cut := _below(leg, level)) is not None]
        noise = torch.from_numpy(random.standard_normal(latents.shape, dtype=np.float32))[None]
        x = renoise(latents[None], 0.0, way[0].sigmas[0], noise)
        momentum, given = Momentum(), self._given(loop, roles, len(latents), random)

        def slope(leg: Leg, step: int, x: Tensor) -> Tensor:
            velocity = Velocity(self.modules.transformers[leg.stage])
            at = torch.tensor([leg.sigmas[step]])
            asked, without = (
                velocity(x, at, one.states, context, condition_mask=one.mask)
                for one, context in given[leg.stage]
            )
            return guided(asked, without, leg.guidance, momentum)

        return follow(x, way, slope, lambda: torch.zeros_like(x))[0]

    def _given(self, loop: Loop, roles: tuple[str, ...], frames: int, random: np.random.Generator) -> Given:
        """For each stage (condition, context), as asked and without."""
        pitched = any(role not in ("drums", "percussion") for role in roles)
        rate = self.codec.latent_rate_hz
        text = captions.prompt(
            captions.TEXT_INSTRUCTION,
            captions.caption(loop, roles, random),
            captions.metas(loop, frames / rate, random, 0.0, keyed=pitched),
        )
        found = {}
        for name, encoder in self.modules.condition_encoders.items():
            asked = conditions(self.modules.text_encoder, encoder, self.tokenizer, [text], [None])
            without = asked.dropped(encoder.null_condition_emb, torch.ones(1, dtype=torch.bool))
            silence = encoder.silence_latent[0, :1].expand(frames, -1)
            contexts = [
                build_context(silence, torch.ones(frames), guide_channels(loop.grid, key, frames, rate))[None]
                for key in (loop.key if pitched else None, None)
            ]
            found[name] = list(zip((asked, without), contexts, strict=True))
        return found


def pair_shard(folder: Path, index: int, bank: Bank, passage: Passage, held: bool = False) -> Path:
    """Write shard `index`: of each loop its mix and a part or two. A file is complete or absent."""
    target = folder / f"{'held' if held else 'train'}-{index:04d}.npy"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([index, int(held), 13])
    count = LOOPS_PER_SHARD // 2 if held else LOOPS_PER_SHARD
    rows: list[np.ndarray] = []
    for seed in range(FIRST_SEED + index * count, FIRST_SEED + (index + 1) * count):
        loop = compose(seed, held)
        stems = render(loop, bank)
        groups = [tuple(stems)]
        for size in (1, 1, 2):
            if len(stems) > size:
                groups.append(tuple(str(role) for role in random.choice(list(stems), size, replace=False)))
        for roles in dict.fromkeys(groups):
            audio = mix({role: stems[role] for role in roles})
            rows.append(_rows(audio, loop, roles, passage, random, len(rows), held))
    save_whole(target, np.concatenate(rows))
    return target


def _rows(
    audio: np.ndarray,
    loop: Loop,
    roles: tuple[str, ...],
    passage: Passage,
    random: np.random.Generator,
    number: int,
    held: bool,
) -> np.ndarray:
    codec = passage.codec
    other = not held and random.random() < CHANGED_SHARE
    if other:
        audio = changed(audio, random)
    frames = min(len(audio) // HOP, FRAMES)
    audio = audio[: frames * HOP]
    latents = codec.encode(torch.from_numpy(audio.T.copy())[None])[0]
    passed = latents if other else passage(latents, loop, roles, random)
    columns = [
        np.clip(np.round(audio.mean(1) * SCALE), -32768, 32767).astype(np.int16).reshape(frames, HOP),
        *(part.half().numpy().view(np.int16) for part in (latents, passed)),
        np.full((frames, 1), number, np.int16),
    ]
    return np.concatenate(columns, 1)


def _below(leg: Leg, level: float) -> Leg | None:
    """The part of a leg that starts at its first noise level of at most `level`; None: nothing of it."""
    levels = tuple(sigma for sigma in leg.sigmas if sigma <= level)
    return replace(leg, sigmas=levels) if len(levels) > 1 else None

"""Loops as latents: the mix, single parts with the rest of the mix, and references with the same sounds.

Labels are not stored: a seed composes to the same loop again.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acestep.files import appearing
from acestep.model.codec.spectral import SpectralCodec
from acestep.nano.checkpoint import REFERENCE_S
from acestep.nano.data.compose import Loop, compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import Bank

MIN_FRAMES, MAX_FRAMES = 256, 416  # shorter loops go round until they are long enough
LOOPS_PER_SHARD = 25
REFERENCE_SEED = 1_000_000_000  # siblings are composed from seeds nobody else uses


@dataclass(frozen=True)
class View:
    """What sounds (`roles`), its latents, the rest of the mix (None: nothing else), and a reference."""

    roles: tuple[str, ...]
    target: np.ndarray  # float16 [T, 192]
    rest_roles: tuple[str, ...]
    rest: np.ndarray | None
    reference: np.ndarray  # float16 [reference frames, 192]


@dataclass(frozen=True)
class Example:
    """A loop without its notes, and its views; the first is the whole mix."""

    loop: Loop
    views: tuple[View, ...]


def latent_shard(folder: Path, index: int, bank: Bank, codec: SpectralCodec, held: bool = False) -> Path:
    """Write shard `index`: LOOPS_PER_SHARD loops. A file is complete or absent."""
    target = folder / f"{'held' if held else 'train'}-{index:04d}.npz"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    stored: dict[str, np.ndarray] = {}
    for seed in range(index * LOOPS_PER_SHARD, (index + 1) * LOOPS_PER_SHARD):
        _store(stored, seed, held, bank, codec)
    with appearing(target) as hidden, hidden.open("wb") as file:
        np.savez(file, allow_pickle=False, **stored)
    return target


class Shards:
    """A folder of shards that may still be growing. Every shard is read once."""

    def __init__(self, folder: Path, held: bool = False) -> None:
        self._folder, self._held = folder, held
        self._read: dict[Path, list[Example]] = {}

    def examples(self) -> list[Example]:
        """Every example of every complete shard, in the shards' order."""
        for path in self._folder.glob(f"{'held' if self._held else 'train'}-*.npz"):
            if path not in self._read:
                self._read[path] = read_shard(path, self._held)
        return [example for path in sorted(self._read) for example in self._read[path]]


def read_shard(path: Path, held: bool = False) -> list[Example]:
    """The examples of one shard."""
    views: dict[int, dict[int, View]] = {}
    with np.load(path) as stored:
        names = [name for name in stored.files if name.endswith("target")]
        for name in names:
            stem = name.removesuffix(" target")
            seed, number, roles, rest_roles = stem.split(" ")
            rest_name = f"{stem} rest"
            views.setdefault(int(seed), {})[int(number)] = View(
                roles=tuple(roles.split("+")),
                target=stored[name],
                rest_roles=tuple(rest_roles.split("+")) if rest_roles != "-" else (),
                rest=stored[rest_name] if rest_name in stored.files else None,
                reference=stored[f"{stem} reference"],
            )
    return [
        Example(label(seed, held), tuple(parts[number] for number in sorted(parts)))
        for seed, parts in sorted(views.items())
    ]


def label(seed: int, held: bool = False) -> Loop:
    """A loop without its notes: all that captions, grid and key need."""
    loop = compose(seed, held)
    return replace(loop, parts=tuple(replace(part, notes=()) for part in loop.parts))


def reference_of(latents: Tensor, frames: int) -> Tensor:
    """A third each from front, middle and back, as the stock pipeline cuts a reference: [T, C] → [frames,
    C].
    """
    third = frames // 3
    total = latents.shape[0]
    if total < frames:
        latents = latents.repeat(-(-frames // total), 1)
        total = latents.shape[0]
    middle = total // 3
    return torch.cat([latents[:third], latents[middle : middle + third], latents[total - third :]])


def tiled(audio: np.ndarray, frames: int, hop: int = SpectralCodec.hop) -> np.ndarray:
    """Audio [N, 2] repeated or cut to exactly `frames` latent frames."""
    need = frames * hop
    return np.tile(audio, (-(-need // len(audio)), 1))[:need]


def frames_of(loop: Loop) -> int:
    """How many latent frames are stored for a loop."""
    return int(np.clip(loop.grid.samples() // SpectralCodec.hop, MIN_FRAMES, MAX_FRAMES))


def encode(audio: np.ndarray, codec: SpectralCodec) -> Tensor:
    """Audio [N, 2] → latents [T, 192]."""
    with torch.autocast("cpu", torch.bfloat16):
        return codec.encode(torch.from_numpy(np.ascontiguousarray(audio.T))[None])[0].float()


def _store(stored: dict[str, np.ndarray], seed: int, held: bool, bank: Bank, codec: SpectralCodec) -> None:
    loop = compose(seed, held)
    random = np.random.default_rng([seed, int(held), 11])
    stems = render(loop, bank)
    sibling = render(compose(REFERENCE_SEED + seed, held, sound_of=loop), bank)
    roles = tuple(stems)
    groups = [roles]
    if len(roles) > 1:
        first, second = random.permutation(len(roles))[:2]
        groups.append((roles[first],))
        size = 1 if len(roles) == 2 or random.random() < 0.5 else int(random.integers(2, len(roles)))
        others = [roles[second], *(role for role in roles if role not in (roles[first], roles[second]))]
        chosen = others[:size]
        groups.append(tuple(role for role in roles if role in chosen))
    frames = frames_of(loop)
    for number, group in enumerate(groups):
        rest = tuple(role for role in roles if role not in group)
        name = f"{seed} {number} {'+'.join(group)} {'+'.join(rest) or '-'}"
        stored[f"{name} target"] = _latents(stems, group, frames, codec)
        if rest:
            stored[f"{name} rest"] = _latents(stems, rest, frames, codec)
        stored[f"{name} reference"] = _reference(sibling, group, codec)


def _latents(
    stems: dict[str, np.ndarray], roles: tuple[str, ...], frames: int, codec: SpectralCodec
) -> np.ndarray:
    chosen = {role: stems[role] for role in roles}
    audio = mix(chosen)
    return encode(tiled(audio, frames), codec).half().numpy()


def _reference(stems: dict[str, np.ndarray], roles: tuple[str, ...], codec: SpectralCodec) -> np.ndarray:
    """Cut as audio first, so that only what is used gets encoded."""
    chosen = {role: stems[role] for role in roles}
    audio = mix(chosen)
    frames = round(REFERENCE_S * codec.latent_rate_hz)
    cut = reference_of(torch.from_numpy(audio), frames * codec.hop).numpy()
    return encode(cut[: frames * codec.hop], codec).half().numpy()

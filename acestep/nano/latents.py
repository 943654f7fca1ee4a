"""Loops as latents: the mix, every part alone, groups of parts with the rest of the mix, and references.

A loop's label is stored with it: shards stay true when the composer changes.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acestep.errors import CheckpointError
from acestep.files import appearing
from acestep.model.codec.base import Codec
from acestep.model.codec.spectral import SpectralCodec
from acestep.music.grid import Grid, Signature
from acestep.music.key import Key
from acestep.nano.checkpoint import REFERENCE_S
from acestep.nano.data.compose import Loop, Part, compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import Bank
from acestep.training.velocity import half_is_fast

MIN_FRAMES, MAX_FRAMES = 256, 416  # shorter loops go round until they are long enough
LOOPS_PER_SHARD = 25
REFERENCE_SEED = 1_000_000_000  # siblings are composed from seeds nobody else uses


@dataclass(frozen=True)
class View:
    """What sounds (`roles`), its latents, the rest of the mix (None: nothing else), and a reference."""

    roles: tuple[str, ...]
    target: np.ndarray  # float16 [T, C]
    rest_roles: tuple[str, ...]
    rest: np.ndarray | None
    reference: np.ndarray  # float16 [reference frames, C]


@dataclass(frozen=True)
class Example:
    """A loop without its notes, its views (the first is the whole mix), and each part alone [T, C]."""

    loop: Loop
    views: tuple[View, ...]
    stems: dict[str, np.ndarray] = field(default_factory=dict)


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
    """The examples of one shard. Raises CheckpointError for one without labels, as earlier versions wrote."""
    views: dict[int, dict[int, View]] = {}
    stems: dict[int, dict[str, np.ndarray]] = {}
    with np.load(path) as stored:
        names = [name for name in stored.files if name.endswith("reference")]
        for name in [name for name in stored.files if " stem " in name]:
            seed, _, role = name.split(" ")
            stems.setdefault(int(seed), {})[role] = stored[name]
        for name in names:
            stem = name.removesuffix(" reference")
            seed, number, roles, rest_roles = stem.split(" ")
            rest_name, alone = f"{stem} rest", stems.get(int(seed), {})
            views.setdefault(int(seed), {})[int(number)] = View(
                roles=tuple(roles.split("+")),
                target=stored[f"{stem} target"] if f"{stem} target" in stored.files else alone[roles],
                rest_roles=tuple(rest_roles.split("+")) if rest_roles != "-" else (),
                rest=stored[rest_name] if rest_name in stored.files else None,
                reference=stored[name],
            )
        if any(f"{seed} label" not in stored.files for seed in views):
            raise CheckpointError(
                f"{path} has no labels, as earlier versions wrote it: move it away and make it anew with "
                "`acestep nano train WORK --part latents`"
            )
        labels = {seed: _labelled(str(stored[f"{seed} label"])) for seed in views}
    return [
        Example(labels[seed], tuple(parts[number] for number in sorted(parts)), stems.get(seed, {}))
        for seed, parts in sorted(views.items())
    ]


def label(seed: int, held: bool = False) -> Loop:
    """A loop without its notes: all that captions, grid and key need."""
    return _without_notes(compose(seed, held))


def _without_notes(loop: Loop) -> Loop:
    return replace(loop, parts=tuple(replace(part, notes=()) for part in loop.parts))


def _labelled(text: str) -> Loop:
    """A label as it was stored."""
    values = json.loads(text)
    grid, key = values["grid"], values["key"]
    values["grid"] = Grid(**{**grid, "signature": Signature(**grid["signature"])})
    values["key"] = Key(**key)
    values["parts"] = tuple(Part(**{**part, "notes": ()}) for part in values["parts"])
    return Loop(**values)


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


def encode(audio: np.ndarray, codec: Codec) -> Tensor:
    """Audio [N, 2] → latents [T, C]."""
    with torch.autocast("cpu", torch.bfloat16, enabled=half_is_fast("cpu")):
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
    stored[f"{seed} label"] = np.array(json.dumps(asdict(_without_notes(loop))))
    if len(roles) > 1:
        for role in roles:
            stored[f"{seed} stem {role}"] = _latents(stems, (role,), frames, codec)
    for number, group in enumerate(groups):
        rest = tuple(role for role in roles if role not in group)
        name = f"{seed} {number} {'+'.join(group)} {'+'.join(rest) or '-'}"
        if len(group) > 1 or len(roles) == 1:
            stored[f"{name} target"] = _latents(stems, group, frames, codec)
        if len(rest) == 1:
            stored[f"{name} rest"] = stored[f"{seed} stem {rest[0]}"]
        elif rest:
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

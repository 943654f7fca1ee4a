"""Rendered loops become training material: codec features first, later latents with labels, in shards.

A shard is a file that is complete or absent, so work can be cut off and taken up again, and several
processes can share it.
"""

from pathlib import Path

import numpy as np
import torch

from acestep.files import appearing
from acestep.model.codec.spectral import SpectralCodec
from acestep.nano.data.compose import compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import Bank

LOOPS_PER_SHARD = 50
VIEWS_PER_LOOP = 2


def feature_shard(folder: Path, index: int, bank: Bank, held: bool = False) -> Path:
    """Write shard `index` of codec features: half mixes, half parts alone or in groups. float16 [frames,
    K].
    """
    target = folder / f"{'held' if held else 'train'}-{index:04d}.npy"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    codec = SpectralCodec(width=8, blocks=1)
    random = np.random.default_rng([index, int(held), 7])
    pieces = []
    count = LOOPS_PER_SHARD // 5 if held else LOOPS_PER_SHARD
    for seed in range(index * count, (index + 1) * count):
        stems = render(compose(seed, held), bank)
        for view in range(1 if held else VIEWS_PER_LOOP):
            audio = _view(stems, random, mixed=view == 0)
            if not held:
                audio = changed(audio, random)
            with torch.inference_mode():
                features = codec.features(torch.from_numpy(audio.T.copy())[None])[0]
            pieces.append(features[:1200].half().numpy())
    save_whole(target, np.concatenate(pieces))
    return target


def _view(stems: dict[str, np.ndarray], random: np.random.Generator, mixed: bool) -> np.ndarray:
    roles = list(stems)
    if not mixed:
        roles = list(
            random.choice(
                roles, size=int(random.choice([1, 1, 1, 2])) if len(roles) > 1 else 1, replace=False
            )
        )
    chosen = {role: stems[role] for role in roles}
    return mix(chosen)


def changed(audio: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """For half of them another level, speed or tone: the codec must take any audio."""
    audio = audio * 10 ** (float(random.uniform(-12, 3)) / 20) if random.random() < 0.5 else audio
    if random.random() < 0.4:
        places = np.arange(0, len(audio) - 1, float(random.uniform(0.75, 1.3)))
        audio = np.stack([np.interp(places, np.arange(len(audio)), side) for side in audio.T], 1)
    if random.random() < 0.3:
        tilt = float(random.uniform(-0.6, 0.6))
        audio = audio - tilt * np.concatenate([audio[:1] * 0, audio[:-1]])
    if random.random() < 0.1:
        audio = audio[:, ::-1]
    return np.ascontiguousarray(audio, dtype=np.float32)


def save_whole(target: Path, array: np.ndarray) -> None:
    """Write an array whole or not at all."""
    with appearing(target) as hidden, hidden.open("wb") as file:
        np.save(file, array)

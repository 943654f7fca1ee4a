"""Training of the spectral codec on feature shards, resumable to the bit."""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acestep.errors import NotFound
from acestep.model.codec.attacks import BANDS, STEPS
from acestep.model.codec.phase import BINS, FFT
from acestep.model.codec.spectral import GROUP, SpectralCodec, band_edges
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.nano.checkpoint import ATTACKS
from acestep.nano.data.compose import compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import Bank
from acestep.nano.states import State, read_state, write_state
from acestep.training.velocity import half_is_fast

MEL_BANDS = 128  # librosa's default, which the evaluation measures with
MEL_FLOOR = 1e-5  # power added before the logarithm: silence
CODEC = "codec0"  # of a work folder: the codec that latents are made with
ATTACKS_SEED = 4_000_000  # of loops that nothing else is made of


@dataclass(frozen=True)
class CodecRecipe:
    """How long and how fast; the schedule is a function of the step alone, so a resumed run is the same
    run.
    """

    steps: int = 2400
    batch: int = 16
    frames: int = 128  # spectra
    rate: float = 2e-3
    warmup: int = 100
    noise: float = 0.1  # at most, added to latents: the decoder must forgive what diffusion gets wrong
    mel_weight: float = 1.5
    stereo_weight: float = 0.15
    seed: int = 0
    bfloat16: bool | None = None  # None: where it is faster
    device: str = "cpu"

    def rate_at(self, step: int) -> float:
        """Warm up, then fall to 2 % in a cosine."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = min((step - self.warmup) / max(self.steps - self.warmup, 1), 1)
        return self.rate * (0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * done))))


class CodecTraining:
    """Codec, optimizer and position; `state` and `restore` carry all of it."""

    def __init__(self, recipe: CodecRecipe, features: Path, codec: SpectralCodec) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.features = features
        self.shards = open_features(features)
        self.device = torch.device(recipe.device)
        self.half = half_is_fast(self.device) if recipe.bfloat16 is None else recipe.bfloat16
        self.codec = codec.to(self.device).train().requires_grad_()
        # `fused` is the same arithmetic in one pass over the weights
        self.optimizer = torch.optim.AdamW(
            self.codec.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.step = 0
        self.mel = mel_of_bands().to(self.device)
        self.loss = 0.0

    def run(self, seconds: float, on_step: Callable[["CodecTraining"], None] | None = None) -> None:
        """Train until the recipe's steps or the time is over."""
        start = time.monotonic()
        while self.step < self.recipe.steps and time.monotonic() - start < seconds:
            self.train_step()
            if on_step is not None:
                on_step(self)

    def train_step(self) -> float:
        """One optimizer step on a batch that only the seed and the step decide."""
        random = np.random.default_rng([self.recipe.seed, self.step])
        if self.step % 200 == 0:
            self.shards = open_features(self.features)  # newly rendered shards join
        target = self._batch(random).to(self.device)
        shape = len(target), target.shape[1] // GROUP, self.codec.components
        noise = torch.from_numpy(random.standard_normal(shape, dtype=np.float32))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        amount = torch.from_numpy(random.random((len(target), 1, 1), dtype=np.float32)) * self.recipe.noise
        latents = self.codec.analyse(target) + (amount * noise).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            correction = self.codec.correction(latents)
        made = self.codec.synthesise(latents)[..., : self.codec.heard] + correction.float()
        loss = self._loss(made, target)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        self.loss = float(loss.detach()) if self.step < 50 else 0.98 * self.loss + 0.02 * float(loss.detach())
        return self.loss

    def state(self) -> State:
        """Everything `restore` needs."""
        return {
            "codec": self.codec.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "loss": self.loss,
        }

    def restore(self, state: State) -> None:
        """Go on exactly where `state` was taken."""
        self.codec.load_state_dict(state["codec"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.loss = state["step"], state["loss"]

    def _loss(self, made: Tensor, target: Tensor) -> Tensor:
        """Mean absolute error of the log bands, of the log mel spectrum made of them, and of the stereo
        image.
        """
        bands = self.codec.bands
        level, wanted = made[..., :bands], target[..., :bands]
        plain = (level - wanted).abs().mean()
        mel_made = ((2 * level.clamp(max=12)).exp() @ self.mel + MEL_FLOOR).log()
        mel_wanted = ((2 * wanted).exp() @ self.mel + MEL_FLOOR).log()
        image = (made[..., bands:] - target[..., bands : self.codec.heard]).abs().mean()
        mel = (mel_made - mel_wanted).abs().mean()
        return plain + self.recipe.mel_weight * mel + self.recipe.stereo_weight * image

    def _batch(self, random: np.random.Generator) -> Tensor:
        rows = []
        for _ in range(self.recipe.batch):
            shard = self.shards[int(random.integers(len(self.shards)))]
            start = GROUP * int(random.integers(0, max((len(shard) - self.recipe.frames) // GROUP, 1)))
            rows.append(np.asarray(shard[start : start + self.recipe.frames], dtype=np.float32))
        return torch.from_numpy(np.stack(rows))


def open_features(folder: Path) -> list[np.ndarray]:
    """The feature shards there are, mapped."""
    shards = [np.load(path, mmap_mode="r") for path in sorted(folder.glob("train-*.npy"))]
    if not shards:
        raise NotFound(f"no feature shards in {folder}: run `acestep nano data` first")
    return shards


def fit_components(codec: SpectralCodec, features: Path) -> SpectralCodec:
    """The linear part, from every second group of all feature shards there are. It fixes what latents are."""
    sample = np.concatenate([_groups(shard)[::2].astype(np.float32) for shard in open_features(features)])
    codec.set_components(torch.from_numpy(sample))
    return codec


def fit_attacks(codec: SpectralCodec, bank: Bank, loops: int = 80) -> SpectralCodec:
    """The attack channels, from loops that nothing else is made of, as mixes and as single parts."""
    attacks, found = codec.attacks, []
    assert attacks is not None, "a codec without attack channels has nothing to fit"
    for seed in range(ATTACKS_SEED, ATTACKS_SEED + loops):
        stems = render(compose(seed), bank)
        role = list(stems)[seed % len(stems)]
        for chosen in (stems, {role: stems[role]}):
            audio = torch.from_numpy(mix(chosen).mean(1))
            whole = audio[: len(audio) // codec.hop * codec.hop]
            found.append(attacks.changes(whole[None])[0].reshape(-1, STEPS * BANDS))
    attacks.fit(torch.cat(found))
    return codec


def fitted_codec(work: Path) -> SpectralCodec:
    """`work/codec0`, made by the first who asks: latents and decoders of one work folder share it."""
    folder = work / CODEC
    if not (folder / "config.json").exists():
        codec = fit_components(SpectralCodec(attacks=ATTACKS), work / "features")
        fit_attacks(codec, Bank(work / "bank")).save(folder)
    return SpectralCodec.load(folder)


def _groups(shard: np.ndarray) -> np.ndarray:
    """[frames, K] → [frames / 4, 4, K]."""
    return np.asarray(shard[: len(shard) // GROUP * GROUP]).reshape(-1, GROUP, shard.shape[1])


def mel_of_bands() -> Tensor:
    """[K, 128]: librosa's mel filters applied to band powers."""
    import librosa

    filters = librosa.filters.mel(sr=SAMPLE_RATE_HZ, n_fft=FFT, n_mels=MEL_BANDS)  # [128, F]
    edges = band_edges()
    spread = np.zeros((len(edges) - 1, BINS), np.float32)
    for band, (start, end) in enumerate(itertools.pairwise(edges)):
        spread[band, start:end] = 1
    return torch.from_numpy(spread @ filters.T)


def train_codec(work: Path, recipe: CodecRecipe, seconds: float, resume: bool = True) -> Path:
    """Train for a while and write `work/codec` and `work/codec.pt`; goes on from the latter."""
    training = CodecTraining(recipe, work / "features", fitted_codec(work))
    state = work / "codec.pt"
    if (saved := read_state(state, resume)) is not None:
        training.restore(saved)
    start, first = time.monotonic(), training.step

    def report(at: CodecTraining) -> None:
        if at.step % 100 == 0:
            pace = (at.step - first) / (time.monotonic() - start)
            line = {"step": at.step, "loss": round(at.loss, 4), "steps_per_s": round(pace, 2)}
            with (work / "codec.log").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if at.step % 100 == 0:
            write_state(at.state(), state)
            at.codec.save(work / "codec-latest")

    training.run(seconds, report)
    write_state(training.state(), state)
    training.codec.save(work / "codec")
    return work / "codec"

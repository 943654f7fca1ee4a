"""Training of the codec's phases on pairs of audio and latents, resumable to the bit."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acestep.model.codec.phase import BINS, HOP, spectra
from acestep.model.codec.phase_network import TURN
from acestep.model.codec.spectral import GROUP, SpectralCodec
from acestep.nano.pairs import HOP as LATENT_HOP
from acestep.nano.pairs import open_pairs, pieces_of
from acestep.nano.states import State, read_state, write_state
from acestep.training.velocity import half_is_fast

SAVE_EVERY_S = 120  # what a stop costs at most
SAMPLE_ROWS = 4000  # that the network's scaling is taken from


@dataclass(frozen=True)
class PhaseRecipe:
    """How long and how fast; the schedule is a function of the step alone, so a resumed run is the same."""

    steps: int = 60_000
    batch: int = 8
    frames: int = 24  # of latents
    rate: float = 2e-3
    warmup: int = 60
    average: float = 0.998  # of the running mean of the weights, which is what is saved
    noise: float = 0.15  # at most, added to latents
    passed: float = 0.55  # of the batch: latents that went through the stages
    loudness: float = 0.35  # a difference counts by its two magnitudes to this power
    seed: int = 0
    bfloat16: bool | None = None  # None: where it is faster
    device: str = "cpu"

    def rate_at(self, step: int) -> float:
        """Warm up, then fall as one over the square root of the step: good at any end."""
        return self.rate * min((step + 1) / self.warmup, math.sqrt(HOLD / max(step, HOLD)))


HOLD = 400  # steps before the rate begins to fall


class PhaseTraining:
    """Network, running mean, optimizer and position; `state` and `restore` carry all of it."""

    def __init__(self, recipe: PhaseRecipe, pairs: Path, codec: SpectralCodec) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.pairs = recipe, pairs
        self.device = torch.device(recipe.device)
        self.half = half_is_fast(self.device) if recipe.bfloat16 is None else recipe.bfloat16
        self.codec = codec.to(self.device)
        self.margin = codec.margin
        self.network = codec.new_phase_network().to(self.device)
        self.mean = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.step = 0
        self.losses = [0.0, 0.0]
        self.shards = open_pairs(pairs)
        self.held = open_pairs(pairs, held=True)

    def fit_scaling(self) -> None:
        """Means and deviations of the levels, once, from the first shard."""
        rows = self.shards[0]
        sample = pieces_of(np.asarray(rows[:SAMPLE_ROWS])).encoded
        with torch.inference_mode():
            levels, long, _ = self.codec.heard_levels(torch.from_numpy(sample)[None].to(self.device))
        heard = torch.cat([levels, long], -1)[0].clone()
        self.network.mean.copy_(heard.mean(0))
        self.network.deviation.copy_(heard.std(0) + 0.1)

    def train_step(self) -> None:
        """One optimizer step on a batch that only the seed and the step decide."""
        recipe = self.recipe
        random = np.random.default_rng([recipe.seed, self.step])
        if self.step % 200 == 0:
            self.shards = open_pairs(self.pairs)  # newly rendered shards join
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate_at(self.step)
        turn, delay = self.errors(*self.batch(self.shards, random))
        loss = turn + delay
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(recipe.average, self.step / (self.step + 10))
        for name, value in self.network.state_dict().items():
            self.mean[name].lerp_(value.float(), 1 - keep)
        share = max(0.02, 1 / self.step)
        found = (float(turn.detach()), float(delay.detach()))
        self.losses = [old + share * (new - old) for old, new in zip(self.losses, found, strict=True)]

    def batch(self, shards: list[np.ndarray], random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Audio [B, N] and latents [B, T + 2 margins, C] with what stages leave in them."""
        audio: list[np.ndarray] = []
        latents: list[np.ndarray] = []
        need = self.recipe.frames + 2 * self.margin
        while len(audio) < self.recipe.batch:
            rows = shards[int(random.integers(len(shards)))]
            start = int(random.integers(0, len(rows) - need))
            if rows[start, -1] != rows[start + need - 1, -1]:
                continue
            cut = pieces_of(np.asarray(rows[start : start + need]))
            chosen = cut.passed if random.random() < self.recipe.passed else cut.encoded
            amount = self.recipe.noise * random.random()
            latents.append(chosen + amount * random.standard_normal(chosen.shape, dtype=np.float32))
            audio.append(cut.audio.reshape(-1))
        made = (torch.from_numpy(np.stack(part).astype(np.float32)) for part in (audio, latents))
        return tuple(part.to(self.device) for part in made)  # type: ignore[return-value]

    def errors(self, audio: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared errors of turns and of differences between bins, by loudness; 1 is ignorance."""
        first, last = self.margin * GROUP, (self.margin + self.recipe.frames) * GROUP
        with torch.no_grad():
            levels, long, _ = self.codec.heard_levels(latents)
            levels, long = levels[:, first:last], long[:, first:last]
            near = slice(self.margin * LATENT_HOP - 4 * HOP, -self.margin * LATENT_HOP + 4 * HOP)
            spectrum = spectra(audio[:, near])[:, 4:-4]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            turn, delay = self.network(levels, long)
        return phase_errors(turn, delay, spectrum, self.recipe.loudness)

    @torch.no_grad()
    def held_errors(self, batches: int = 4) -> list[float]:
        """The same of the running mean of the weights on held-out loops."""
        now = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.mean)
        random = np.random.default_rng(99)
        found = [self.errors(*self.batch(self.held, random)) for _ in range(batches)]
        self.network.load_state_dict(now)
        return [float(torch.stack(part).mean()) for part in zip(*found, strict=True)]

    def state(self) -> State:
        """Everything `restore` needs."""
        return {
            "network": self.network.state_dict(),
            "mean": self.mean,
            "config": self.network.config,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "losses": self.losses,
        }

    def restore(self, state: State) -> None:
        """Go on exactly where `state` was taken."""
        self.network.load_state_dict(state["network"])
        self.mean = {name: value.to(self.device) for name, value in state["mean"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses = state["step"], list(state["losses"])


def phase_errors(turn: Tensor, delay: Tensor, spectrum: Tensor, loudness: float) -> tuple[Tensor, Tensor]:
    """Mean squared errors of predicted differences against those of true spectra [B, S, F]."""
    size = spectrum.abs()
    unit = spectrum / size.clamp_min(1e-9)
    bins = torch.arange(BINS, device=size.device)
    centred = unit * (1 - 2 * (bins % 2))
    true_turn = unit[:, 1:] * (unit[:, :-1] * torch.polar(torch.ones_like(size[0, 0]), TURN * bins)).conj()
    true_delay = centred[..., 1:] * centred[..., :-1].conj()
    power = size.clamp_min(1e-4) ** loudness
    return (
        _weighted(turn[:, 1:], true_turn, power[:, 1:] * power[:, :-1]),
        _weighted(delay[..., :-1], true_delay, power[..., 1:] * power[..., :-1]),
    )


def _weighted(made: Tensor, true: Tensor, weight: Tensor) -> Tensor:
    weight = weight / weight.mean((1, 2), keepdim=True)
    wrong = (made.real - true.real).square() + (made.imag - true.imag).square()
    return (weight * wrong).mean()


def with_phases(codec: SpectralCodec, state: Path) -> SpectralCodec:
    """The codec with the running mean of the phases that a training kept at `state`."""
    saved = torch.load(state, map_location="cpu", weights_only=True)
    codec.phases = codec.new_phase_network(**saved["config"])
    codec.phases.load_state_dict(saved["mean"])
    return codec.eval().requires_grad_(False)


def train_phase(
    work: Path, recipe: PhaseRecipe, seconds: float, codec: SpectralCodec, resume: bool = True
) -> Path:
    """Train for a while and keep `work/phase.pt`; goes on from it. `codec` is whose phases they are."""
    training = PhaseTraining(recipe, work / "pairs", codec)
    state, start = work / "phase.pt", time.monotonic()
    if (saved := read_state(state, resume)) is not None:
        training.restore(saved)
    else:
        training.fit_scaling()
    first, kept = training.step, start

    def keep(at: PhaseTraining) -> None:
        pace = (at.step - first) / (time.monotonic() - start)
        line = {
            "step": at.step,
            "turn": round(at.losses[0], 4),
            "delay": round(at.losses[1], 4),
            "held": [round(error, 4) for error in at.held_errors()],
            "steps_per_s": round(pace, 2),
        }
        with (work / "phase.log").open("a") as log:
            log.write(json.dumps(line) + "\n")
        write_state(at.state(), state)

    while training.step < recipe.steps and time.monotonic() - start < seconds:
        training.train_step()
        if time.monotonic() - kept > SAVE_EVERY_S:
            keep(training)
            kept = time.monotonic()
    keep(training)
    return state

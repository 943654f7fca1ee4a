"""Hand-over between stages, guidance and the loop over the steps, as plain functions over tensors.

Shapes: B takes, T latent frames, C latent channels. sigma = t = 1 is pure noise, 0 is clean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from acestep.checkpoints.schedule import Guidance, Leg
from acestep.model.outline import Outline

# ACE-Step 1.5's guidance for base and SFT checkpoints: both numbers are upstream's (apg_guidance.py), and
# what diffusers' AceStepPipeline gives to MomentumBuffer and normalized_guidance
APG_MOMENTUM = -0.75
APG_NORM_THRESHOLD = 2.5


def renoise(x: Tensor, sigma: float, higher: float, noise: Tensor) -> Tensor:
    """x at noise level `sigma` → the same at level `higher`, as if it had been there.

    With s > t: a = (1 − s) / (1 − t), x_s = a · x_t + sqrt(s² − a² t²) · noise.
    """
    if sigma >= 1.0 or higher >= 1.0:
        return noise
    a = (1 - higher) / (1 - sigma)
    return a * x + math.sqrt(max(higher**2 - (a * sigma) ** 2, 0.0)) * noise


def cfg(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022)."""
    return uncond + scale * (cond - uncond)


class Momentum:
    """The running sum of guidance directions that APG keeps over the steps."""

    def __init__(self, momentum: float = APG_MOMENTUM) -> None:
        self.momentum = momentum
        self.average: Tensor | None = None

    def update(self, difference: Tensor) -> Tensor:
        """Add a direction; gives the running sum."""
        if self.average is None:
            self.average = difference
        else:
            self.average = difference + self.momentum * self.average
        return self.average


def apg(cond: Tensor, uncond: Tensor, scale: float, momentum: Momentum) -> Tensor:
    """Adaptive projected guidance over time (Sadat et al. 2024) with ACE-Step's settings.

    The direction is limited in norm, and only its part orthogonal to the conditional velocity is used.
    """
    difference = momentum.update(cond - uncond)
    norm = difference.norm(p=2, dim=1, keepdim=True)
    difference = difference * torch.clamp(APG_NORM_THRESHOLD / norm, max=1.0)
    wide = torch.float32 if difference.device.type == "mps" else torch.float64
    direction, along = difference.to(wide), torch.nn.functional.normalize(cond.to(wide), dim=1)
    orthogonal = direction - (direction * along).sum(dim=1, keepdim=True) * along
    return cond + (scale - 1.0) * orthogonal.to(cond.dtype)


def guided(cond: Tensor, uncond: Tensor, guidance: Guidance, momentum: Momentum) -> Tensor:
    """The velocity under guidance, by its mode."""
    if guidance.mode == "cfg":
        return cfg(cond, uncond, guidance.scale)
    return apg(cond, uncond, guidance.scale, momentum)


def follow(
    x: Tensor,
    legs: Sequence[Leg],
    velocity: Callable[[Leg, int, Tensor], Tensor],
    fresh_noise: Callable[[], Tensor],
) -> Tensor:
    """Follow the legs from noise `x` to the last one's end. `velocity(leg, step, x)` gives dx/dsigma there.

    At a hand-over the next leg takes x as it is where noise levels meet, noised up where it starts higher.
    A step goes along the velocity where it starts ("euler"), or along that extrapolated to the step's middle
    by the step before ("adams": Adams-Bashforth of second order, at no further cost).
    """
    sigma = legs[0].sigmas[0]
    before: tuple[Tensor, float] | None = None  # the last step's velocity and length
    for leg in legs:
        if leg.sigmas[0] > sigma:
            x, before = renoise(x, sigma, leg.sigmas[0], fresh_noise()), None
        for step, (here, there) in enumerate(pairwise(leg.sigmas)):
            now, length = velocity(leg, step, x), there - here
            slope = now
            if leg.solver == "adams" and before is not None:
                slope = now + length / (2 * before[1]) * (now - before[0])
            x = x + length * slope
            before = now, length
        sigma = leg.sigmas[-1]
    return x


class Blend:
    """Clips longer than the checkpoint knows, as overlapping windows whose velocities are cross-faded."""

    def __init__(self, plan: Outline) -> None:
        self.windows, self.frames = plan.windows, plan.frames
        length = self.windows[0][1]
        ends = [start + length for start, _ in self.windows]
        gaps = [end - start for end, (start, _) in zip(ends, self.windows[1:], strict=False)]
        overlap = max(1, min(gaps, default=1))
        ramp = torch.arange(1, length + 1, dtype=torch.float32)
        self.weight = torch.minimum(torch.minimum(ramp, ramp.flip(0)), torch.tensor(float(overlap)))[:, None]

    def cut(self, x: Tensor) -> Tensor:
        """[B, T, C] → [B · W, length, C]."""
        if len(self.windows) == 1:
            return x
        return torch.stack([x[:, a : a + n] for a, n in self.windows], dim=1).flatten(0, 1)

    def join(self, x: Tensor) -> Tensor:
        """[B · W, length, C] → [B, T, C]."""
        if len(self.windows) == 1:
            return x
        x = x.unflatten(0, (-1, len(self.windows)))
        weight = self.weight.to(x)
        total, sums = x.new_zeros(x.shape[0], self.frames, x.shape[-1]), x.new_zeros(self.frames, 1)
        for i, (start, length) in enumerate(self.windows):
            total[:, start : start + length] += weight * x[:, i]
            sums[start : start + length] += weight
        return total / sums


class Noise:
    """A take's own noise: drawn on the CPU, so that it depends on neither device nor batch.

    Of a `family`, another seed, it keeps sqrt(1 − variation²): what the same noise makes sounds alike.
    """

    def __init__(
        self, seed: int, frames: int, channels: int, family: int | None = None, variation: float = 1.0
    ) -> None:
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self.family = None if family is None else torch.Generator("cpu").manual_seed(family)
        self.variation = variation
        self.shape = (1, frames, channels)

    def draw(self) -> Tensor:
        """The next [1, T, C]; a hand-over that renoises needs more than one."""
        own = torch.randn(self.shape, generator=self.generator, dtype=torch.float32)
        if self.family is None:
            return own
        common = torch.randn(self.shape, generator=self.family, dtype=torch.float32)
        return math.sqrt(1 - self.variation**2) * common + self.variation * own

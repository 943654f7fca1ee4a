"""Noise levels to train at: those the stage meets when it generates.

Turbo models meet only the few levels of their schedule; base and SFT models were trained on t =
sigmoid(N(−0.4, 1)) (ACE-Step 1.5). A stage that has only a part of the way is trained at the levels it
steps from: cut to its part, the bell over the whole way would hardly ever draw the noisiest ones – of the
levels between 0.8 and 1 one in fifty above 0.94 – and there a first stage settles what a clip sounds like.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from acestep.errors import InvalidRequest

LOGIT_MEAN, LOGIT_STD = -0.4, 1.0  # ACE-Step 1.5 base and SFT


@dataclass(frozen=True)
class NoiseLevels:
    """How to draw t in (0, 1] for one stage; 1 is pure noise.

    `kind` "discrete": one of `levels`; else continuous between `low` and `high`.
    """

    kind: str
    low: float = 0.0
    high: float = 1.0
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind == "discrete" and not self.levels:
            raise InvalidRequest("discrete noise needs levels: the stage has no step of the schedule")
        if not 0 <= self.low < self.high <= 1:
            raise InvalidRequest(
                f"a stage from noise level {self.high:g} down to {self.low:g} covers nothing"
            )

    def at(self, uniform: Tensor) -> Tensor:
        """Noise levels for numbers that are uniform in [0, 1): the inverse of the distribution."""
        uniform = uniform.double()
        if self.kind == "discrete":
            levels = torch.tensor(self.levels, dtype=torch.float64)
            return levels[(uniform * len(levels)).long().clamp(max=len(levels) - 1)].float()
        if self.kind == "uniform":
            return (self.low + (self.high - self.low) * uniform).clamp(1e-4, 1.0).float()
        low, high = (_normal_cdf((_logit(edge) - LOGIT_MEAN) / LOGIT_STD) for edge in (self.low, self.high))
        z = torch.special.ndtri((low + (high - low) * uniform).clamp(1e-7, 1 - 1e-7))
        return torch.sigmoid(LOGIT_MEAN + LOGIT_STD * z).clamp(max(self.low, 1e-4), self.high).float()


def levels_for(kind: str, is_turbo: bool, way: Sequence[float]) -> NoiseLevels:
    """The distribution for a stage that steps along the noise levels `way`, from noisy to clean."""
    if kind == "auto":
        whole = way[0] >= 1 and way[-1] <= 0
        kind = "logit_normal" if whole and not is_turbo else "discrete"
    if kind == "discrete":
        return NoiseLevels(kind, way[-1], way[0], tuple(way[:-1]))
    return NoiseLevels(kind, way[-1], way[0])


def _logit(t: float) -> float:
    return math.inf if t >= 1 else -math.inf if t <= 0 else math.log(t / (1 - t))


def _normal_cdf(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))

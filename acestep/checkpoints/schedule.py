"""The way from noise to clean as numbers: schedules, guidance settings, and each stage's leg of it.

sigma = t = 1 is pure noise, 0 is clean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from acestep.errors import InvalidRequest

Solver = Literal["euler", "adams"]  # how a step is made of velocities; see `sampling.follow`


@dataclass(frozen=True)
class Schedule:
    """How many steps from noise to clean, how far they are shifted towards noise, and how each is made."""

    steps: int = 8
    shift: float = 3.0
    solver: Solver = "euler"


@dataclass(frozen=True)
class Guidance:
    """How far to move away from the unconditional velocity; `scale` ≤ 1 is off.

    `interval` is the part of the way from noise (0) to clean (1), by 1 − sigma, where it applies.
    """

    scale: float = 1.0
    mode: str = "apg"
    interval: tuple[float, float] = (0.0, 1.0)

    def applies(self, sigma: float) -> bool:
        """Whether a step at this sigma is guided."""
        return self.scale > 1.0 and self.interval[0] <= 1.0 - sigma <= self.interval[1]


@dataclass(frozen=True)
class Leg:
    """One stage's part of the way: it steps from sigma to sigma along `sigmas`, first to last."""

    stage: str
    sigmas: tuple[float, ...]
    guidance: Guidance = Guidance()
    solver: Solver = "euler"

    @property
    def steps(self) -> int:
        """How many times the stage is run."""
        return len(self.sigmas) - 1

    def guided_by(self, scale: float) -> Leg:
        """The same leg with another guidance scale."""
        return replace(self, guidance=replace(self.guidance, scale=scale))


def sigmas(schedule: Schedule) -> tuple[float, ...]:
    """steps + 1 values from 1 to 0, as ACE-Step spaces them: shift · t / (1 + (shift − 1) · t)."""
    t = np.linspace(1.0, 0.0, schedule.steps + 1, dtype=np.float32)
    shift = np.float32(schedule.shift)
    t = shift * t / (1 + (shift - 1) * t)
    return tuple(float(value) for value in t)


@dataclass(frozen=True)
class StagePlan:
    """What a stage brings to the way: its interval of step indices in its schedule, and its guidance."""

    name: str
    steps: tuple[int, int] | None  # [first, last) in `schedule`; None is all of it
    schedule: Schedule
    guidance: Guidance


def legs(stages: Sequence[StagePlan], chosen: Sequence[str] = (), steps: int | None = None) -> list[Leg]:
    """The way through the chosen stages (all for ()), with `steps` instead of the schedules' own number.

    Stages left out leave no hole: the stage before goes on through their steps, the first starts at noise and
    the last ends at clean. `steps` counts the whole schedule; every interval is scaled with it.
    """
    unknown = [name for name in chosen if name not in {stage.name for stage in stages}]
    if unknown:
        have = ", ".join(stage.name for stage in stages)
        raise InvalidRequest(f"no stage {', '.join(unknown)} in this cascade: it has {have}")
    used = [stage for stage in stages if not chosen or stage.name in chosen]
    kept = {stage.name for stage in used}
    way = []
    for i, stage in enumerate(used):
        wanted = steps or stage.schedule.steps
        first, last = stage.steps or (0, stage.schedule.steps)
        if i == 0:
            first = 0
        following = stages[stages.index(stage) + 1 :]
        if not following or following[0].name not in kept:
            after = next((s for s in following if s.name in kept), None)
            last = _first(after, stage) if after else stage.schedule.steps
        first, last = scaled_steps((first, last), stage.schedule.steps, wanted)
        levels = sigmas(replace(stage.schedule, steps=wanted))[first : last + 1]
        way.append(Leg(stage.name, levels, stage.guidance, stage.schedule.solver))
    return joined([leg for leg in way if leg.steps > 0])


def _first(after: StagePlan, stage: StagePlan) -> int:
    """The step index in `stage`'s schedule nearest to where `after` starts."""
    start = sigmas(after.schedule)[(after.steps or (0, 0))[0]]
    own = sigmas(stage.schedule)
    return max(1, min(range(len(own)), key=lambda i: abs(own[i] - start)))


def scaled_steps(bounds: tuple[int, int], steps: int, wanted: int) -> tuple[int, int]:
    """A stage's [first, last) of `steps` steps, in a schedule of `wanted` steps; possibly empty."""
    if steps == wanted:
        return bounds
    return round(bounds[0] * wanted / steps), round(bounds[1] * wanted / steps)


def joined(way: Sequence[Leg]) -> list[Leg]:
    """The legs with gaps closed: one that ends above the next one's start continues down to it.

    A leg that ends below the next one's start stays as it is; the loop adds noise there.
    """
    closed: list[Leg] = []
    for leg, after in zip(way, [*way[1:], None], strict=True):
        levels = leg.sigmas
        if after is not None and levels[-1] > after.sigmas[0]:
            levels = (*(level for level in levels[:-1] if level > after.sigmas[0]), after.sigmas[0])
        closed.append(replace(leg, sigmas=levels))
    return [leg for leg in closed if leg.steps > 0]

"""Clips made before training, without the adapter: what it is judged by, and how long clips take here.

So that is known beforehand which part of a run's time belongs to listening.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from acestep.model.cascade import Cascade
from acestep.request import GenerateRequest
from lora_studio.config import TrainConfig
from lora_studio.data.dataset import Dataset
from lora_studio.training import results, strength
from lora_studio.training.budget import CARE, HEARD, PREVIEWED, Budget, agreed

CLIPS, LONGEST_S = 10, 10.0  # heard at each strength that is tried, where there is time; at most that long
FEWEST = 2  # fewer clips tell nothing
TOO_LATE = 0.6  # by then all that is left of the time is for training
WARM_CLIPS = 2  # the first clip of a process takes longer than all others …
WARM = 0.05  # … which is not tried again where it took more than this share of the time
OnStage = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class Audition:
    """What will be heard at each strength, what was heard without the adapter, and the previews so far."""

    requests: tuple[GenerateRequest, ...] = ()
    base: strength.Kept | None = None
    previews: tuple[tuple[GenerateRequest, np.ndarray], ...] = ()  # with what they sound like before
    listening_s: float = 0.0  # what listening will take after training, at most …
    previews_s: float = 0.0  # … and the previews


def hold(
    cascade: Cascade,
    dataset: Dataset,
    config: TrainConfig,
    budget: Budget,
    accelerator: Any,
    on_stage: OnStage | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Audition:
    """Makes and hears the clips without the adapter, as many as their share of the time allows."""
    wanted = results.preview_requests(dataset, config, CLIPS, LONGEST_S) if config.strength is None else []
    requests = strength.in_other_keys(wanted, CLIPS)
    previews = results.preview_requests(dataset, config, config.previews)
    if agreed(accelerator, budget.over(TOO_LATE)) or not (requests or previews):
        return Audition()
    told = _Told(on_stage, WARM_CLIPS + len(requests) + len(previews))
    clip_s = _clip_s(cascade, (requests or previews)[0], budget, told, cancelled)
    number = _affordable(len(requests), budget.allowed_s(HEARD) / ((1 + strength.TRIES) * clip_s), FEWEST)
    shown = _affordable(len(previews), budget.allowed_s(PREVIEWED) / (2 * clip_s), 1)
    number, shown = agreed(accelerator, (number, shown))
    base = None
    if number:
        base = strength.hear(cascade, requests[:number], 0.0, on_clip=told.more, cancelled=cancelled)
    before = []
    started = time.monotonic()
    for request in previews[:shown]:
        before.append((request, results.preview(cascade, request)))
        told.more()
    previews_s = CARE * (time.monotonic() - started)
    listening_s = CARE * number * strength.TRIES * clip_s
    told.end()
    return Audition(tuple(requests[:number]), base, tuple(before), listening_s, previews_s)


def _clip_s(
    cascade: Cascade,
    request: GenerateRequest,
    budget: Budget,
    told: "_Told",
    cancelled: Callable[[], bool] | None,
) -> float:
    """Seconds that making and hearing a clip takes."""
    took_s = float("inf")
    for _ in range(WARM_CLIPS):
        started = time.monotonic()
        strength.hear(cascade, [request], 0.0, cancelled=cancelled)
        took_s = min(took_s, time.monotonic() - started)
        told.more()
        if took_s > budget.allowed_s(WARM):
            break
    return took_s


def _affordable(wanted: int, possible: float, fewest: int) -> int:
    number = int(min(wanted, possible))
    return number if number >= min(fewest, wanted) else 0


class _Told:
    """Counts clips for a progress bar."""

    def __init__(self, on_stage: OnStage | None, total: int) -> None:
        self._on_stage, self._total, self._done = on_stage, total, 0

    def more(self, *_: object) -> None:
        self._done += 1
        if self._on_stage:
            self._on_stage("listening before", self._done, self._total, "")

    def end(self) -> None:
        self._done = self._total - 1
        self.more()

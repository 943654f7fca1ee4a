"""Progress, time left and cancelling, measured as the work goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from acestep.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """`stage` is the part at work, `fraction` 0–1 of everything, `eta_s` the seconds left, if known."""

    stage: str
    fraction: float
    eta_s: float


class Pace:
    """How far a job is.

    The caller keeps `speeds` (seconds a unit, by part), so the next job's estimate is better. `guesses` are
    speeds for parts that were never measured; only their ratio matters.
    """

    def __init__(
        self,
        amounts: Mapping[str, float],
        speeds: dict[str, float],
        guesses: Mapping[str, float] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.left = dict(amounts)
        self.speeds = speeds
        self.guesses = dict(guesses or {})
        self._trust = 0.0  # measured over guessed; 0 while nothing was measured
        self.on_progress = on_progress
        self.cancelled = cancelled
        self.seconds = dict.fromkeys(amounts, 0.0)
        self._started = self._last = time.perf_counter()
        self._fraction = 0.0

    def check(self) -> None:
        """Raise Cancelled if somebody cancelled."""
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("the job was cancelled")

    def advance(self, part: str, amount: float) -> None:
        """Some of a part is done: measure it, report it, and raise Cancelled if somebody cancelled."""
        now = time.perf_counter()
        spent, self._last = now - self._last, now
        self.seconds[part] = self.seconds.get(part, 0.0) + spent
        self.left[part] = max(0.0, self.left.get(part, 0.0) - amount)
        if amount > 0:
            self.speeds[part] = spent / amount
            if self.guesses.get(part):
                self._trust = self.speeds[part] / self.guesses[part]
        if self.on_progress is not None:
            eta_s = sum(self._speed(name) * left for name, left in self.left.items())
            elapsed = now - self._started
            if eta_s > 0:
                self._fraction = max(self._fraction, elapsed / (elapsed + eta_s))
            elif not any(self.left.values()):
                self._fraction = 1.0
            self.on_progress(Progress(part, self._fraction, eta_s))
        self.check()

    def _speed(self, part: str) -> float:
        return self.speeds.get(part, self.guesses.get(part, 0.0) * self._trust)

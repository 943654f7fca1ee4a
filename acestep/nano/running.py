"""Running means of a training's losses, by stage, part, task and noise level: where hours pay."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

KEPT = 0.98  # of a mean, at every further value
LEVELS = 10  # noise levels are told apart in tenths


class Running:
    """Means by name, such as `part drums m` or `level 0.6`; `values` is all there is to keep."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(
        self, stage: str, levels: np.ndarray, errors: np.ndarray, parts: Sequence[str], tasks: Sequence[str]
    ) -> None:
        """A batch of `stage`: the noise levels [B], errors [B], parts and tasks of its rows."""
        found: dict[str, list[float]] = defaultdict(list)
        for level, error, part, task in zip(levels, errors, parts, tasks, strict=True):
            tenth = min(int(level * LEVELS), LEVELS - 1) / LEVELS
            for name in (f"level {tenth:.1f}", f"part {part} {stage}", f"task {task} {stage}"):
                found[name].append(float(error))
        for name, those in found.items():
            self.note(name, float(np.mean(those)))

    def note(self, name: str, value: float) -> None:
        """One more value."""
        self.values[name] = KEPT * self.values[name] + (1 - KEPT) * value if name in self.values else value

    def write(self, path: Path, **more: float) -> None:
        """Add a line of JSON to the log, with `more` first."""
        line = {**more, **{name: round(self.values[name], 4) for name in sorted(self.values)}}
        with path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

"""The small networks that decide what of a candidate for a note or a hit is one: a hidden layer each.

Learned by `python -m tests.benchmarks.learn_notes` on loops that the recipe composes and renders; what their
columns mean is written where they are made (notes, hits).
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("learned.safetensors")


@dataclass(frozen=True)
class Small:
    """Columns are scaled by `mean` and `spread` [F]; then come `hidden` [F + 1, H] and `out` [H + 1, O],
    whose last rows are added."""

    mean: np.ndarray
    spread: np.ndarray
    hidden: np.ndarray
    out: np.ndarray

    def __call__(self, columns: np.ndarray) -> np.ndarray:
        """[M, F] to [M, O]."""
        scaled = (columns - self.mean) / self.spread
        middle = np.maximum(scaled @ self.hidden[:-1] + self.hidden[-1], 0)
        result: np.ndarray = middle @ self.out[:-1] + self.out[-1]
        return result


@cache
def small(name: str) -> Small:
    """The network called `name`: notes or hits."""
    from safetensors.numpy import load_file

    stored = load_file(FILE)
    parts = (stored[f"{name}.{part}"].astype(np.float32) for part in ("mean", "spread", "hidden", "out"))
    return Small(*parts)


def likely(scores: np.ndarray) -> np.ndarray:
    """Logarithms of odds as probabilities."""
    shares: np.ndarray = 1 / (1 + np.exp(-scores))
    return shares

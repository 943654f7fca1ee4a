"""Learned weights: which tempo, which slot of the bar and which key the evidence speaks for.

Linear models, learned by `python -m tests.benchmarks.learn_hearing` on loops composed by chance. What the
columns mean is written where they are made (tempo, beats, tonality).
"""

import json
from functools import cache
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("evidence.json")


@cache
def weights(name: str) -> np.ndarray:
    """The weights called `name`: tempo [F], bar [K, R], common_time [R, 16], start [4], lateness [3],
    key [2, D]; made_bar, made_common_time and made_start are for clips that were made to begin with a bar."""
    return np.array(json.loads(FILE.read_text("utf-8"))[name])


def chances(scores: np.ndarray) -> np.ndarray:
    """Softmax."""
    odds = np.exp(scores - scores.max())
    shares: np.ndarray = odds / odds.sum()
    return shares

"""Learns acestep/hearing.json: which tempo, which slot of the bar, which key the evidence speaks for.

    python -m tests.benchmarks.learn_hearing LOOPS [FILE]

Composes and renders LOOPS loops in thirteen styles with both soundfonts (seeds from 100,000 up, so none of
those that the benchmark or the tests hear), and fits three linear softmax models to what the analysis
hears in them. Deterministic for a given version of fluidsynth and the soundfonts.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from acestep import hearing
from acestep.beats import Harmony, roles, sixteenth_phase, slot_evidence
from acestep.grid import SAMPLE_RATE_HZ, Signature
from acestep.onsets import mono, onset_curve, pick_onsets
from acestep.tempo import candidates, pulse, refine_tempo
from acestep.tonality import FRAME_S, hear_tones, key_features
from tests.loops import PATTERNS, SOUNDFONTS, Loop, compose, render

FIRST_SEED = 100_000
KINDS = ("all", "all", "all", "pitched", "drums", "all")
SHIFTED = 0.5  # of the loops start somewhere in the bar
BATCH = 40


def loops(count: int) -> Iterator[Loop]:
    """Loops of all styles and kinds, half with each soundfont."""
    for first in range(0, count, BATCH):
        seeds = range(FIRST_SEED + first, FIRST_SEED + min(first + BATCH, count))
        batch = [
            compose(seed, random.Random(seed).choice(list(PATTERNS)), KINDS[seed % len(KINDS)])
            for seed in seeds
        ]
        yield from render(batch, list(SOUNDFONTS)[first // BATCH % len(SOUNDFONTS)])


def softmax_fit(
    examples: list[tuple[np.ndarray, int]], decay: float, weight: np.ndarray | None = None, steps: int = 60
) -> np.ndarray:
    """Weights [F] so that softmax(columns @ weights) picks the row; examples are (columns [C, F], row)."""
    from scipy.optimize import minimize

    size = examples[0][0].shape[1]
    penalty = decay * (np.ones(size) if weight is None else weight)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        total, slope = float((penalty * w * w).sum()), 2 * penalty * w
        for columns, target in examples:
            scores = columns @ w
            odds = np.exp(scores - scores.max())
            odds /= odds.sum()
            total -= float(np.log(odds[target] + 1e-12)) / len(examples)
            slope += (odds @ columns - columns[target]) / len(examples)
        return total, slope

    return minimize(loss, np.zeros(size), jac=True, method="L-BFGS-B", options={"maxiter": steps * 5}).x


class Heard:
    """One loop as the analysis hears it, started `shift_s` late."""

    def __init__(self, loop: Loop, chance: random.Random) -> None:
        self.loop = loop
        self.shift_s = chance.uniform(0, loop.grid.duration_s) if chance.random() < SHIFTED else 0.0
        audio = np.roll(loop.folded, round(self.shift_s * SAMPLE_RATE_HZ), axis=1)
        samples = mono(audio)
        tones = hear_tones(samples, SAMPLE_RATE_HZ)
        self.harmony = Harmony(tones.chroma, tones.bass, FRAME_S)
        self.curve = onset_curve(samples, SAMPLE_RATE_HZ)
        self.onsets = pick_onsets(self.curve)

    def bar(self, bpm: float, signature: Signature) -> tuple[np.ndarray, float]:
        slots = round(signature.quarters_per_bar * 4)
        phase_s = sixteenth_phase(self.onsets, 15 / bpm)
        return slot_evidence(self.curve, self.harmony, phase_s, 15 / bpm, slots), phase_s


def bar_columns(evidence: np.ndarray, phase_s: float, bpm: float, signature: Signature) -> np.ndarray:
    """[slots, K·R + 16·R + 1] so that a slot's score is linear in the weights."""
    slots, rows = evidence.shape[1], evidence.shape[0]
    masks = roles(signature)
    common = slots == 16 and str(signature) == "4/4"
    start = round(-phase_s / (15 / bpm)) % slots
    out = []
    for slot in range(slots):
        rolled = np.roll(evidence, -slot, axis=1)
        whole = rolled.T.ravel() if common else np.zeros(16 * rows)
        out.append(np.concatenate([(masks @ rolled.T).ravel(), whole, [float(slot == start)]]))
    return np.array(out)


def bar_example(heard: Heard) -> tuple[np.ndarray, int] | None:
    """Columns and the true first slot; None when the sixteenths were not found."""
    grid = heard.loop.grid
    evidence, phase_s = heard.bar(grid.bpm, grid.signature)
    slot_s, slots = 15 / grid.bpm, evidence.shape[1]
    place = (heard.shift_s - phase_s) / slot_s
    if abs(place - round(place)) * slot_s > 0.03:
        return None
    return bar_columns(evidence, phase_s, grid.bpm, grid.signature), round(place) % slots


def tempo_example(heard: Heard, bar_weights: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Columns of the candidates and the true one; None when it is not among them."""
    tempi, columns = candidates(pulse(heard.curve), heard.loop.grid.duration_s)
    right = [i for i, bpm in enumerate(tempi) if abs(np.log(bpm / heard.loop.grid.bpm)) < 0.02]
    if not right:
        return None
    likeness = []
    for bpm in tempi:
        bpm = refine_tempo(heard.onsets, float(bpm))
        evidence, phase_s = heard.bar(bpm, Signature())
        likeness.append((bar_columns(evidence, phase_s, bpm, Signature()) @ bar_weights).max())
    return np.column_stack([columns, likeness]), right[0]


def key_example(heard: Heard) -> tuple[np.ndarray, int] | None:
    """[24, 2·D·12] columns and the true key's row."""
    key = heard.loop.key
    if key is None:
        return None
    evidence = key_features(heard.harmony.chroma, heard.harmony.bass)
    size = evidence.size
    columns = np.zeros((24, 2 * size))
    for tonic in range(12):
        rolled = np.roll(evidence, -tonic, axis=1).ravel()
        columns[tonic, :size] = rolled
        columns[12 + tonic, size:] = rolled
    return columns, key.tonic + (0 if key.mode == "major" else 12)


def share_right(examples: list[tuple[np.ndarray, int]], weights: np.ndarray) -> float:
    """How many examples the weights get right."""
    return float(np.mean([np.argmax(columns @ weights) == target for columns, target in examples]))


def learn(heard: list[Heard]) -> dict[str, list]:
    """All weights, as hearing.json holds them."""
    bars = [example for one in heard if (example := bar_example(one))]
    rows = heard[0].bar(120.0, Signature())[0].shape[0]
    parts = len(roles(Signature()))
    decay = np.concatenate([np.full(parts * rows, 1.0), np.full(16 * rows, 5.0), [0.05]])
    bar = softmax_fit(bars, 4e-3, decay)
    tempi = [example for one in heard if (example := tempo_example(one, bar))]
    tempo = softmax_fit(tempi, 2e-4)
    keys = [example for one in heard if (example := key_example(one))]
    key = softmax_fit(keys, 1e-4)
    for name, examples, found in (("bar", bars, bar), ("tempo", tempi, tempo), ("key", keys, key)):
        print(f"{name}: {len(examples)} examples, {share_right(examples, found):.1%} right in training")
    return {
        "bar": np.round(bar[: parts * rows].reshape(parts, rows), 4).tolist(),
        "common_time": np.round(bar[parts * rows : -1].reshape(16, rows).T, 4).tolist(),
        "start": [round(float(bar[-1]), 4)],
        "tempo": np.round(tempo, 4).tolist(),
        "key": np.round(key.reshape(2, -1), 4).tolist(),
    }


def main(arguments: list[str]) -> None:
    """Renders, hears, learns, writes."""
    count = int(arguments[0]) if arguments else 480
    chance = random.Random(1)
    heard = [Heard(loop, chance) for loop in loops(count)]
    file = Path(arguments[1]) if len(arguments) > 1 else hearing.FILE
    file.write_text(json.dumps(learn(heard)) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

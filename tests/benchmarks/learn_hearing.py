"""Learns the ear's evidence.json: which tempo, which slot of the bar, which key the evidence speaks for.

    python -m tests.benchmarks.learn_hearing LOOPS --bank FOLDER [--file FILE]

Composes and renders LOOPS loops in thirteen styles with both soundfonts (seeds from 100,000 up, so none of
those that the benchmark or the tests hear), and fits three linear softmax models to what the analysis
hears in them. Where the bar begins in clips that were made to begin with one is learned from as many of
nano's loops too, of which every second is a single part (seeds from 900,000 up: neither trained on nor
evaluated with). FOLDER is the sound bank of `acestep nano data`, made there if it is missing.
Deterministic for a given version of fluidsynth and the soundfonts.
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acestep.hearing import evidence as hearing
from acestep.hearing.beats import Harmony, on_quarters, roles, sixteenth_phases, slot_evidence, start_features
from acestep.hearing.onsets import mono, onset_curve, pick_onsets
from acestep.hearing.tempo import candidates, pulse, refine_tempo
from acestep.hearing.tonality import FRAME_S, hear_tones, key_features
from acestep.music.grid import SAMPLE_RATE_HZ, Grid, Signature
from acestep.music.key import Key
from acestep.nano.data import compose as nano_compose
from acestep.nano.data import render as nano_render
from acestep.nano.data.sounds import Bank, build_bank
from tests.support.loops import DRUMS, PATTERNS, SOUNDFONTS, compose, render

FIRST_SEED, FIRST_NANO_SEED = 100_000, 900_000
KINDS = ("all", "all", "all", "pitched", "drums", "all")
SHIFTED = 0.5  # of the loops start somewhere in the bar …
ON_EIGHTHS = 0.5  # … and of these on an eighth
BATCH = 40
RIGHT_S = 0.035
SOFT_WEIGHT = 3.0  # loops without drums are rare, and the ones that lateness is about


@dataclass(frozen=True)
class Truth:
    """What is known of a loop; `soft`: nothing in it is struck."""

    grid: Grid
    key: Key | None
    soft: bool


def loops(count: int) -> Iterator[tuple[Truth, np.ndarray, float]]:
    """Loops [2, N] of all styles and kinds, half with each soundfont, and where each is started.

    Style and kind go round by themselves: drawn from the same seed as the tempo they would depend on it.
    """
    styles = list(PATTERNS)
    for first in range(0, count, BATCH):
        seeds = range(FIRST_SEED + first, FIRST_SEED + min(first + BATCH, count))
        batch = [
            compose(seed, styles[seed % len(styles)], KINDS[(seed + seed // len(styles)) % len(KINDS)])
            for seed in seeds
        ]
        font = list(SOUNDFONTS)[first // BATCH % len(SOUNDFONTS)]
        for seed, loop in zip(seeds, render(batch, font), strict=True):
            soft = all(note.channel != DRUMS for note in loop.notes)
            yield Truth(loop.grid, loop.key, soft), loop.folded, shift_of(seed, loop.grid)


def nano_loops(count: int, folder: Path) -> Iterator[tuple[Truth, np.ndarray, float]]:
    """Loops [2, N] as nano learns from, whole mixes and single parts by turns, and where each is started."""
    build_bank(folder)
    bank = Bank(folder)
    for seed in range(FIRST_NANO_SEED, FIRST_NANO_SEED + count):
        loop = nano_compose.compose(seed)
        stems = nano_render.render(loop, bank)
        if seed % 2:
            role = random.Random(seed).choice(sorted(stems))
            stems = {role: stems[role]}
        struck, pitched = "drums" in stems or "percussion" in stems, set(stems) - {"drums", "percussion"}
        truth = Truth(loop.grid, loop.key if pitched else None, not struck)
        yield truth, nano_render.mix(stems).T, shift_of(seed, loop.grid)


def shift_of(seed: int, grid: Grid) -> float:
    """Where the first bar of the loop of a seed is put, in seconds."""
    chance = random.Random(7 * seed + 1)
    shift_s = chance.uniform(0, grid.duration_s) if chance.random() < SHIFTED else 0.0
    if chance.random() < ON_EIGHTHS:  # cut on the grid, but not where a bar begins
        shift_s = round(shift_s * grid.bpm / 30) * 30 / grid.bpm
    return shift_s


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
    """Mono samples [N] of a loop as the analysis hears them; the first bar starts at `downbeat_s`."""

    def __init__(self, truth: Truth, samples: np.ndarray, downbeat_s: float) -> None:
        self.truth, self.downbeat_s = truth, downbeat_s
        self.duration_s = len(samples) / SAMPLE_RATE_HZ
        tones = hear_tones(samples, SAMPLE_RATE_HZ)
        self.harmony = Harmony(tones.chroma, tones.bass, FRAME_S)
        self.curve = onset_curve(samples, SAMPLE_RATE_HZ)
        self.onsets = pick_onsets(self.curve)

    def bar_columns(self, bpm: float, signature: Signature) -> tuple[np.ndarray, np.ndarray]:
        """[phases · slots, F] so that the score of a slot is linear in the weights, and its seconds."""
        slots, slot_s = round(signature.quarters_per_bar * 4), 15 / bpm
        masks = roles(signature)
        common = slots == 16 and str(signature) == "4/4"
        out, at_s = [], []
        for phase_s, density in sixteenth_phases(self.onsets, slot_s):
            evidence = slot_evidence(self.curve, self.harmony, phase_s, slot_s, slots)
            start, speaks = start_features(phase_s, slot_s, slots, self.duration_s, density)
            for slot in range(slots):
                rolled = np.roll(evidence, -slot, axis=1)
                whole = rolled.T.ravel() if common else np.zeros(16 * len(rolled))
                here = np.append(speaks[:-1] * (slot == start), speaks[-1])
                out.append(np.concatenate([(masks @ rolled.T).ravel(), whole, here]))
                at_s.append(phase_s + slot * slot_s)
        return np.array(out), np.array(at_s)


def hear(truth: Truth, samples: np.ndarray, shift_s: float, number: int) -> Iterator[Heard]:
    """The loop from `shift_s` on; every third one also cut anywhere, for not all clips are whole bars."""
    yield Heard(truth, samples, shift_s)
    if number % 3 == 0:
        chance = random.Random(number)
        start = chance.randrange(len(samples)) if chance.random() < SHIFTED else 0
        places = np.arange(start, start + int(len(samples) * chance.uniform(0.6, 1.4)))
        straight = np.roll(samples, -round(shift_s * SAMPLE_RATE_HZ))
        yield Heard(truth, np.take(straight, places, mode="wrap"), -start / SAMPLE_RATE_HZ)


def hear_all(material: Iterator[tuple[Truth, np.ndarray, float]]) -> list[Heard]:
    """What the analysis hears in loops [2, N], started where they are told to."""
    heard: list[Heard] = []
    for number, (truth, audio, shift_s) in enumerate(material):
        samples = mono(np.roll(audio, round(shift_s * SAMPLE_RATE_HZ), axis=1))
        heard += hear(truth, samples, shift_s, number)
    return heard


def bar_example(heard: Heard) -> tuple[np.ndarray, int] | None:
    """Columns and the true first slot; None when no phase of the sixteenths is right."""
    grid = heard.truth.grid
    columns, at_s = heard.bar_columns(grid.bpm, grid.signature)
    away = np.abs((at_s - heard.downbeat_s + grid.bar_s / 2) % grid.bar_s - grid.bar_s / 2)
    return (columns, int(np.argmin(away))) if away.min() < RIGHT_S else None


def lateness_example(heard: Heard) -> tuple[np.ndarray, float, float] | None:
    """Features, how late (ms) the onsets on quarters are heard, and the example's weight."""
    grid = heard.truth.grid
    slot_s = 15 / grid.bpm
    phases_s = np.array([phase_s for phase_s, _ in sixteenth_phases(heard.onsets, slot_s)])
    late_s = (phases_s - heard.downbeat_s + slot_s / 2) % slot_s - slot_s / 2
    found_s = heard.downbeat_s + late_s[np.argmin(np.abs(late_s))]
    near = on_quarters(heard.onsets, found_s, 60 / grid.bpm)
    if near is None or abs(found_s - heard.downbeat_s) > RIGHT_S:
        return None
    late_ms = 1000 * (found_s - heard.downbeat_s + near[0])
    return near[1], late_ms, SOFT_WEIGHT if heard.truth.soft else 1.0


def median_fit(examples: list[tuple[np.ndarray, float, float]]) -> np.ndarray:
    """Least absolute deviations, by reweighted least squares."""
    columns, wanted, weight = (np.array(values) for values in zip(*examples, strict=True))
    pull = weight
    for _ in range(30):
        root = np.sqrt(pull)
        found = np.linalg.lstsq(columns * root[:, None], wanted * root, rcond=None)[0]
        pull = weight / np.maximum(np.abs(wanted - columns @ found), 1.0)
    return found


def tempo_example(heard: Heard, bar_weights: np.ndarray) -> tuple[np.ndarray, int] | None:
    """Columns of the candidates and the true one; None when it is not among them."""
    tempi, columns = candidates(pulse(heard.curve), heard.duration_s)
    right = [i for i, bpm in enumerate(tempi) if abs(np.log(bpm / heard.truth.grid.bpm)) < 0.02]
    if not right:
        return None
    refined = [refine_tempo(heard.onsets, float(bpm)) for bpm in tempi]
    likeness = [(heard.bar_columns(bpm, Signature())[0] @ bar_weights).max() for bpm in refined]
    return np.column_stack([columns, likeness]), right[0]


def key_example(heard: Heard) -> tuple[np.ndarray, int] | None:
    """[24, 2·D·12] columns and the true key's row."""
    key = heard.truth.key
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


def learn_bar(heard: list[Heard], kind: str = "") -> tuple[np.ndarray, dict[str, list]]:
    """The bar's weights, whole and as evidence.json holds them."""
    bars = [example for one in heard if (example := bar_example(one))]
    parts = len(roles(Signature()))
    speaks = len(start_features(0.0, 1.0, 16, 16.0, 1.0)[1])
    rows = (bars[0][0].shape[1] - speaks) // (parts + 16)
    decay = np.concatenate([np.full(parts * rows, 1.0), np.full(16 * rows, 5.0), np.full(speaks, 0.05)])
    bar = softmax_fit(bars, 4e-3, decay)
    print(f"{kind}bar: {len(bars)} examples, {share_right(bars, bar):.1%} right in training")
    return bar, {
        f"{kind}bar": np.round(bar[: parts * rows].reshape(parts, rows), 4).tolist(),
        f"{kind}common_time": np.round(bar[parts * rows : -speaks].reshape(16, rows).T, 4).tolist(),
        f"{kind}start": np.round(bar[-speaks:], 4).tolist(),
    }


def learn(heard: list[Heard], of_nano: list[Heard]) -> dict[str, list]:
    """All weights, as evidence.json holds them."""
    bar, of_bar = learn_bar(heard)
    _, of_made = learn_bar([*heard, *of_nano], "made_")
    tempi = [example for one in heard if (example := tempo_example(one, bar))]
    tempo = softmax_fit(tempi, 2e-4)
    keys = [example for one in heard if (example := key_example(one))]
    key = softmax_fit(keys, 1e-4)
    late = [example for one in heard if (example := lateness_example(one))]
    for name, examples, found in (("tempo", tempi, tempo), ("key", keys, key)):
        print(f"{name}: {len(examples)} examples, {share_right(examples, found):.1%} right in training")
    return {
        **of_bar,
        "lateness": np.round(median_fit(late), 4).tolist(),
        "tempo": np.round(tempo, 4).tolist(),
        "key": np.round(key.reshape(2, -1), 4).tolist(),
        **of_made,
    }


def main() -> None:
    """Renders, hears, learns, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("loops", type=int, nargs="?", default=480)
    parser.add_argument("--bank", type=Path, required=True, help="of nano's sounds, or where to make it")
    parser.add_argument("--file", type=Path, default=hearing.FILE)
    arguments = parser.parse_args()
    heard = hear_all(loops(arguments.loops))
    of_nano = hear_all(nano_loops(arguments.loops, arguments.bank))
    arguments.file.write_text(json.dumps(learn(heard, of_nano)) + "\n", "utf-8")


if __name__ == "__main__":
    main()

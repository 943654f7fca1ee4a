"""Learns the ear's learned.safetensors: which candidates are notes, and which drums are hit at an onset.

    python -m tests.benchmarks.learn_notes LOOPS --bank FOLDER [--examples FILE] [--file FILE]

Composes LOOPS loops of the recipe and half as many of the tests' composer (seeds from 1,200,000 up: neither
trained on nor evaluated with) and renders them with FluidR3, MuseScore General, sonic-pi's hits and
synthesis, as single parts and as mixes by turns. Fits two networks with one hidden layer each to what the
analysis finds in them. FOLDER is the sound bank of `acestep nano data`, made there if it is missing.
`--examples` keeps what was gathered, or takes it up again. Deterministic for given versions of torch and of
the sounds.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from acestep.files import appearing
from acestep.hearing import learned
from acestep.hearing.hits import KINDS, onset_columns
from acestep.hearing.notes import LATEST_FRAMES, note_candidates
from acestep.hearing.onsets import mono, onset_curve
from acestep.hearing.pitches import FRAME_S, LOWEST, hear_pitches
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.nano.data.compose import Loop, compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import Bank, build_bank
from tests.support import loops

FIRST_SEED = 1_200_000
DRUMS = ("drums", "percussion")
# which of KINDS each of the recipe's hits is
KIND_OF = {
    "kick": "kick", "kick2": "kick", "snare": "snare", "snare2": "snare", "clap": "clap", "rim": "rim",
    "closed": "closed hat", "pedal": "closed hat", "open": "open hat", "ride": "ride", "crash": "crash",
    "tom_low": "low tom", "tom_mid": "high tom", "tom_high": "high tom", "shaker": "shaker",
    "tambourine": "shaker", "conga_high": "conga", "conga_low": "conga", "bongo_high": "conga",
    "bongo_low": "conga", "cowbell": "bell", "agogo": "bell", "clave": "rim", "triangle": "bell",
}  # fmt: skip
NEAR_S = 0.03  # from an onset to the hit that it is
EARLY_S, LATE_S = 0.05, 0.11  # from a note to the candidate that it is
HIDDEN = {"notes": 32, "hits": 48}
DECAY = {"notes": 1e-4, "hits": 3e-3}
HELD_EVERY = 10  # of the loops, for the printed figures
EPOCHS = 40


@dataclass(frozen=True)
class Heard:
    """Mono samples [N] of a loop, with its truth: (seconds, pitch or kind, velocity) of each note and hit."""

    samples: np.ndarray
    notes: list[tuple[float, int, float]]
    hits: list[tuple[float, str, float]]


def recipe_loops(count: int, bank: Bank) -> Iterator[Heard]:
    """Loops of the recipe: three in five play a single part, the others all of theirs."""
    for number in range(count):
        loop = compose(FIRST_SEED + number)
        roles = chosen_roles(loop, number)
        stems = {role: part for role, part in render(loop, bank).items() if role in roles}
        quarter_s = 60 / loop.grid.bpm
        parts = [part for part in loop.parts if part.role in roles]
        played = [(part.role in DRUMS, note) for part in parts for note in part.notes]
        yield Heard(
            mono(mix(stems).T),
            [(note.start * quarter_s, note.pitch, note.velocity) for struck, note in played if not struck],
            [(note.start * quarter_s, KIND_OF[note.hit], note.velocity) for struck, note in played if struck],
        )


def chosen_roles(loop: Loop, seed: int) -> tuple[str, ...]:
    """A single part of three loops in five (drums, pitched, pitched), else the whole mix."""
    roles = [part.role for part in loop.parts]
    if seed % 5 < 3:
        wanted = [role for role in roles if (role in DRUMS) == (seed % 5 == 0)] or roles
        return (wanted[seed // 5 % len(wanted)],)
    return tuple(roles)


def other_loops(count: int) -> Iterator[Heard]:
    """Loops of the tests' composer, half of them with each soundfont: bass, chords, lead, mixes by turns."""
    kind_of = {key: kind for kind, key in KINDS.items()}
    for font, soundfont in enumerate(loops.SOUNDFONTS):
        seeds = range(FIRST_SEED + font, FIRST_SEED + count, len(loops.SOUNDFONTS))
        made = []
        for seed in seeds:
            loop = loops.compose(seed)
            alone = tuple(note for note in loop.notes if note.channel == seed // 2 % 4)
            made.append(replace(loop, notes=alone or loop.notes))
        for loop in loops.render(made, soundfont):
            struck = [note for note in loop.notes if note.channel == loops.DRUMS]
            pitched = [note for note in loop.notes if note.channel != loops.DRUMS]
            yield Heard(
                mono(loop.folded),
                [(note.at_s, note.pitch, note.velocity / 127) for note in pitched],
                [(note.at_s, kind_of[note.pitch], note.velocity / 127) for note in struck],
            )


def gathered(count: int, bank: Bank) -> dict[str, np.ndarray]:
    """Columns and what they should say: notes [M, F] with (is one, offset, velocity), hits [M, F] with (is
    one per kind, velocity per kind), and the loop's number of each row."""
    rows: dict[str, list[np.ndarray]] = {}
    for number, heard in enumerate(chain(recipe_loops(count, bank), other_loops(count // 2))):
        for name, (columns, truth) in (("note", note_examples(heard)), ("hit", hit_examples(heard))):
            rows.setdefault(name, []).append(columns)
            rows.setdefault(f"{name}_truth", []).append(truth)
            rows.setdefault(f"{name}_loop", []).append(np.full(len(columns), number))
        if number % 20 == 19:
            print(f"{number + 1} loops", flush=True)
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def note_examples(heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """Each note's best candidate is one; the others are not."""
    pitches = hear_pitches(heard.samples, SAMPLE_RATE_HZ, loop=True)
    found = note_candidates(pitches, onset_curve(heard.samples, SAMPLE_RATE_HZ), loop=True)
    truth = np.zeros((len(found.frames), 3), np.float32)
    strengths = pitches.begins[found.frames, found.pitches]
    for start_s, pitch, velocity in heard.notes:
        away = found.frames * FRAME_S - start_s
        near = (found.pitches == pitch - LOWEST) & (away > -EARLY_S) & (away < LATE_S)
        if near.any():
            best = np.flatnonzero(near)[np.argmax(strengths[near] - 2 * np.abs(away[near]))]
            truth[best] = (1, np.clip(away[best] / FRAME_S, -LATEST_FRAMES, LATEST_FRAMES), velocity)
    return found.columns, truth


def hit_examples(heard: Heard) -> tuple[np.ndarray, np.ndarray]:
    """What is hit within NEAR_S of each onset."""
    starts_s, columns = onset_columns(heard.samples, SAMPLE_RATE_HZ, loop=True)
    kinds = list(KINDS)
    truth = np.zeros((len(starts_s), 2 * len(kinds)), np.float32)
    for start_s, kind, velocity in heard.hits if len(starts_s) else ():
        away = np.abs(starts_s - start_s)
        best, place = int(np.argmin(away)), kinds.index(kind)
        if away[best] < NEAR_S:
            truth[best, place], truth[best, len(kinds) + place] = 1, velocity
    return columns, truth


def fitted(name: str, columns: np.ndarray, truth: np.ndarray, decisions: int) -> dict[str, np.ndarray]:
    """A network with one hidden layer: its first `decisions` outputs are logarithms of odds, the rest are
    told where the truth is one."""
    import torch
    from torch.nn import functional as F

    torch.manual_seed(0)
    mean, spread = columns.mean(axis=0), columns.std(axis=0) + 1e-3
    x = torch.from_numpy(((columns - mean) / spread).astype(np.float32))
    y = torch.from_numpy(truth)
    model = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], HIDDEN[name]), torch.nn.ReLU(), torch.nn.Linear(HIDDEN[name], y.shape[1])
    )
    steps = EPOCHS * -(-len(x) // 512)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=DECAY[name] * 100)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for part in torch.randperm(len(x)).split(512):
            told = model(x[part] + 0.05 * torch.randn_like(x[part]))
            is_one = y[part][:, :decisions]
            loss = F.binary_cross_entropy_with_logits(told[:, :decisions], is_one)
            where = is_one if y.shape[1] == 2 * decisions else is_one.expand(-1, y.shape[1] - decisions)
            off = F.huber_loss(told[:, decisions:], y[part][:, decisions:], reduction="none")
            loss = loss + 0.2 * (off * where).sum() / where.sum().clamp_min(1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            pace.step()
    first, last = model[0], model[2]
    parts = {
        "mean": mean,
        "spread": spread,
        "hidden": torch.cat([first.weight.T, first.bias[None]]).detach().numpy(),
        "out": torch.cat([last.weight.T, last.bias[None]]).detach().numpy(),
    }
    return {part: values.astype(np.float16) for part, values in parts.items()}


def told(parts: dict[str, np.ndarray], columns: np.ndarray) -> np.ndarray:
    """What a fitted network says."""
    return learned.Small(*(parts[name].astype(np.float32) for name in ("mean", "spread", "hidden", "out")))(
        columns
    )


def main() -> None:
    """Gather, fit, print what held loops say, write."""
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("loops", type=int)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--examples", type=Path, help="an .npz file, written or read")
    parser.add_argument("--file", type=Path, default=learned.FILE)
    args = parser.parse_args()
    if args.examples and args.examples.exists():
        with np.load(args.examples) as stored:
            examples = {name: stored[name] for name in stored.files}
    else:
        build_bank(args.bank)
        examples = gathered(args.loops, Bank(args.bank))
        if args.examples:
            np.savez_compressed(args.examples, **examples)
    weights: dict[str, np.ndarray] = {}
    for name, decisions in (("note", 1), ("hit", len(KINDS))):
        columns, truth = examples[name], examples[f"{name}_truth"]
        learns = examples[f"{name}_loop"] % HELD_EVERY != 0
        parts = fitted(f"{name}s", columns[learns], truth[learns], decisions)
        says = told(parts, columns[~learns])[:, :decisions] > 0
        right = truth[~learns][:, :decisions] > 0.5
        for place in range(decisions):
            both, one = (says & right)[:, place].sum(), says[:, place].sum() + right[:, place].sum()
            label = list(KINDS)[place] if decisions > 1 else name
            print(f"{label:12} F1 {2 * both / max(one, 1):.3f} of {right[:, place].sum()}")
        weights |= {f"{name}s.{part}": values for part, values in parts.items()}
    with appearing(args.file) as hidden:
        save_file(weights, hidden)


if __name__ == "__main__":
    main()

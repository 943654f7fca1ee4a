"""How well notes and drum hits are heard, on renders with known notes, beside plain basic-pitch.

    python -m tests.benchmarks.midi [LOOPS] [--clips CLIPS] [--plain PYTHON]

Loops of `tests.support.loops` (default 60) with seeds that nothing was learned from, rendered with TimGM6mb,
a soundfont that nothing was learned from either: each part alone, drums, and the whole mix. An onset is right
within 50 ms and at the right pitch (the kind of drum, for hits). After quantising it is right on the
sixteenth that it was played on. PYTHON is an interpreter that has basic-pitch (0.4.0 with onnxruntime); our
former reader of bass lines is always asked. Then CLIPS clips (default 12) of nano: how many of their notes
are in the key that was asked for, beside renders, and what the MIDI file costs of the time that its clip
takes.
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from acestep.clips.score import ScoreNote, clip_score
from acestep.music.aim import Aim
from acestep.music.grid import SAMPLE_RATE_HZ
from tests.support.bass_line import bass_line
from tests.support.loops import DRUMS, HELD_OUT, PATTERNS, Loop, compose, render

FIRST_SEED = 5_000
NEAR_S = 0.05
PARTS = {"bass": (0,), "chords": (1,), "lead": (2,), "mix": (0, 1, 2, DRUMS)}
TARGETS = {"bass": 0.80, "lead": 0.80, "chords": 0.65, "kick": 0.85, "snare": 0.85, "hat": 0.85}
# what the loops play: kinds that a producer would put on one pad
DRUM_KEYS = {"kick": (35, 36), "snare": (38, 39, 40), "hat": (42, 44, 46)}
NANO_PROMPTS = (
    "warm synth bass",
    "electric piano chords",
    "saw lead melody",
    "deep house loop",
    "lo-fi beat",
)
NANO_KEYS = ("A minor", "C major", "F# minor", "Bb major")
PLAIN = """
import json, sys
from pathlib import Path
from basic_pitch.inference import Model, predict
import basic_pitch
model = Model(Path(basic_pitch.__file__).parent / "saved_models/icassp_2022/nmp.onnx")
found = {}
for wave in sorted(Path(sys.argv[1]).glob("*.wav")):
    _, _, notes = predict(wave, model)
    found[wave.stem] = [(float(note[0]), int(note[2])) for note in notes]
Path(sys.argv[1], "found.json").write_text(json.dumps(found))
"""
Onset = tuple[float, int]  # seconds, pitch


class Counts:
    """Onsets that are there, that are heard, and that are both."""

    def __init__(self) -> None:
        self.true = self.heard = self.right = 0

    def add(self, true: list[Onset], heard: list[Onset], loop_s: float, near_s: float = NEAR_S) -> int:
        """Counts a loop, in which the end lies before the beginning; how many are right."""
        free = list(heard)
        right = 0
        for at_s, pitch in true:
            near = [
                (abs((other_s - at_s + loop_s / 2) % loop_s - loop_s / 2), other_s)
                for other_s, other in free
                if other == pitch
            ]
            if near and min(near)[0] <= near_s:
                free.remove((min(near)[1], pitch))
                right += 1
        self.true += len(true)
        self.heard += len(heard)
        self.right += right
        return right

    @property
    def f1(self) -> float:
        return 2 * self.right / max(self.true + self.heard, 1)

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.3f}  precision {self.right / max(self.heard, 1):.2f}  "
            f"recall {self.right / max(self.true, 1):.2f}"
        )


def loops(count: int, channels: Iterable[int]) -> list[Loop]:
    """Rendered loops that play these channels alone, none of them empty."""
    styles, made = list(PATTERNS), []
    for seed in range(FIRST_SEED, FIRST_SEED + 10 * count):
        loop = compose(seed, styles[seed % len(styles)])
        notes = tuple(note for note in loop.notes if note.channel in channels)
        if notes and len(made) < count:
            made.append(replace(loop, notes=notes))
    return render(made, next(iter(HELD_OUT)))


def heard(loop: Loop, quantise: float = 0.0) -> tuple[list[ScoreNote], list[ScoreNote]]:
    """The notes and the hits that are heard in the loop."""
    score = clip_score(loop.folded, Aim(loop.grid, loop.key), loop.key, quantise=quantise)
    notes = [note for part in score.parts if part.name != "drums" for note in part.notes]
    return notes, [note for part in score.parts if part.name == "drums" for note in part.notes]


def onsets(notes: Iterable[ScoreNote], loop: Loop) -> list[Onset]:
    return [(note.quarters * 60 / loop.grid.bpm, note.pitch) for note in notes]


def on_sixteenth(true: list[Onset], quantised: list[Onset], loop: Loop) -> tuple[int, int]:
    """How many onsets are heard at all near where they are played, and how many of these on the sixteenth
    that they are played on."""
    half_s = 7.5 / loop.grid.bpm
    loop_s = loop.grid.duration_s
    return tuple(Counts().add(true, quantised, loop_s, near_s) for near_s in (2 * half_s, half_s))  # type: ignore[return-value]


def plain_notes(python: Path, made: list[Loop]) -> list[list[Onset]]:
    """What basic-pitch's own package hears in each loop, played twice round: the second time counts."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        for number, loop in enumerate(made):
            twice = np.concatenate([loop.folded, loop.folded], axis=1)
            soundfile.write(Path(folder) / f"{number}.wav", twice.T, SAMPLE_RATE_HZ)
        subprocess.run([python, "-W", "ignore", "-c", PLAIN, folder], check=True, capture_output=True)
        told = json.loads((Path(folder) / "found.json").read_text())
    found = []
    for number, loop in enumerate(made):
        loop_s = loop.grid.duration_s
        shifted = [(at_s - loop_s, pitch) for at_s, pitch in told[str(number)]]
        found.append([(at_s, pitch) for at_s, pitch in shifted if -NEAR_S <= at_s < loop_s - NEAR_S])
    return found


def pitched(count: int, python: Path | None) -> None:
    """The rows of bass, chords and lead, each alone, and of all of them in a mix with drums."""
    for part, channels in PARTS.items():
        made = loops(count, channels)
        ours, former, plain = Counts(), Counts(), Counts()
        near = right = 0
        sure, rates = [], []
        others = plain_notes(python, made) if python else [[] for _ in made]
        for loop, other in zip(made, others, strict=True):
            true = [(note.at_s, note.pitch) for note in loop.notes if note.channel != DRUMS]
            loop_s, one = loop.grid.duration_s, Counts()
            notes, _ = heard(loop)
            for counts in (ours, one):
                counts.add(true, onsets(notes, loop), loop_s)
            sure.append(float(np.mean([note.confidence for note in notes])) if notes else 0.0)
            rates.append(one.f1)
            found, kept = on_sixteenth(true, onsets(heard(loop, 1.0)[0], loop), loop)
            near, right = near + found, right + kept
            if part == "bass":
                line = bass_line(loop.folded, loop.grid)
                former.add(true, [(note.quarters * 60 / loop.grid.bpm, note.pitch) for note in line], loop_s)
            plain.add(true, other, loop_s)
        print(f"{part:7} {ours}{_target(part)}")
        print(f"{'':7} on the right sixteenth {right / max(near, 1):.1%} (target 90 %)")
        print(f"{'':7} correlation of a loop's confidence with its F1 {np.corrcoef(sure, rates)[0, 1]:.2f}")
        if part == "bass":
            print(f"{'':7} former bass-line reader: {former}")
        if python:
            print(f"{'':7} plain basic-pitch:       {plain}", flush=True)


def drums(count: int) -> None:
    """The rows of kick, snare and hat: drums alone, and in a mix."""
    for name, channels in (("alone", (DRUMS,)), ("in a mix", (DRUMS, 0, 1, 2))):
        tally = {kind: Counts() for kind in DRUM_KEYS}
        near = right = 0
        for loop in loops(count, channels):
            true = [(note.at_s, note.pitch) for note in loop.notes if note.channel == DRUMS]
            if not true:
                continue
            _, hits = heard(loop)
            for kind, keys in DRUM_KEYS.items():
                played, told = (
                    [(at_s, keys[0]) for at_s, key in one if key in keys]
                    for one in (true, onsets(hits, loop))
                )
                tally[kind].add(played, told, loop.grid.duration_s)
            found, kept = on_sixteenth(true, onsets(heard(loop, 1.0)[1], loop), loop)
            near, right = near + found, right + kept
        for kind, counts in tally.items():
            print(f"{kind:7} {name}: {counts}{_target(kind) if name == 'alone' else ''}")
        print(f"{'':7} on the right sixteenth {right / max(near, 1):.1%} (target 90 %)", flush=True)


def crossed(count: int) -> None:
    """What is heard of the other kind: hits in pitched loops, notes in drum loops."""
    hits = sum(len(heard(loop)[1]) for loop in loops(count, (0, 1, 2)))
    notes = sum(len(heard(loop)[0]) for loop in loops(count, (DRUMS,)))
    print(f"drum hits heard in {count} loops without drums: {hits}; notes in {count} drum loops: {notes}")


def nano(count: int) -> None:
    """Clips of the embedded model: notes in the key that was asked for, and what a MIDI file costs."""
    from acestep import Cascade, GenerateRequest
    from acestep.clips.production import produce

    cascade = Cascade.load("nano")
    inside = total = 0
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            prompt = NANO_PROMPTS[number % len(NANO_PROMPTS)]
            key = NANO_KEYS[number % len(NANO_KEYS)]
            request = GenerateRequest(prompt=prompt, bpm=120, bars=4, key=key, seed=FIRST_SEED + number)
            for midi_out in (False, True):
                begun = time.perf_counter()
                (clip,) = produce(cascade, replace(request, midi_out=midi_out), folder)
                costs.append(time.perf_counter() - begun)
            for part in clip.sidecar["midi"]["parts"].values():
                if part["channel"] != 10:
                    total += part["notes"]
                    inside += part["notes"] - part["outside_key"]
    rendered = outside = 0
    for loop in loops(count, (0, 1, 2)):
        notes, _ = heard(loop)
        rendered, outside = rendered + len(notes), outside + sum(note.outside for note in notes)
    made_s, with_midi_s = (float(np.median(costs[first::2][1:])) for first in (0, 1))
    print(f"nano's clips: {inside / max(total, 1):.1%} of {total} notes in the key that was asked for")
    print(f"renders:      {1 - outside / max(rendered, 1):.1%} of {rendered} notes in their key")
    print(
        f"a clip of 8 s: {made_s:.2f} s without, {with_midi_s:.2f} s with its MIDI file "
        f"({with_midi_s / made_s:.2f}×; medians of this machine, now)"
    )


def _target(row: str) -> str:
    return f"   (target {TARGETS[row]:.2f})" if row in TARGETS else ""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("loops", type=int, nargs="?", default=60)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--plain", type=Path, metavar="PYTHON")
    args = parser.parse_args()
    print(f"{args.loops} loops for each row, rendered with a soundfont that nothing was learned from")
    pitched(args.loops, args.plain)
    drums(args.loops)
    crossed(max(args.loops // 3, 1))
    if args.clips:
        nano(args.clips)


if __name__ == "__main__":
    main()

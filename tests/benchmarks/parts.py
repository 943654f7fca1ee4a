"""Ideas in parts: how soon they are there, and how well their parts fit, beside parts of other ideas.

Time: four parts of 4 bars at 120 BPM with nano, warm, from the request to the first part and to the last
file, against four separate requests in the same run. Fit: over many ideas, each in its own style, tempo and
key, the share of onsets on drums or grid and of pitch classes shared, against the same parts shuffled between
the ideas. Parts are made again by the onsets that are heard in them, so they are judged a second time by
where notes begin for basic-pitch's network, which chooses nothing.
Run: `python -m tests.benchmarks.parts [--ideas 10]`.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from acestep import Cascade, Clip, GenerateRequest, produce
from acestep.checkpoints.playing import PERCUSSIVE
from acestep.clips.fit import warm_up
from acestep.clips.idea import Delivery
from acestep.clips.parts import produce_parts
from acestep.hearing.notes import hear_notes
from acestep.hearing.onsets import mono
from acestep.hearing.pairs import Beside, Feel, Pair, Traits, onsets_shared, pair
from acestep.music.grid import Grid, Signature
from acestep.music.key import MODES, Key
from acestep.nano.data.styles import STYLES
from acestep.sound.audio import read_audio
from tests.benchmarks.agreement import must_be_same

PARTS = ("drums", "bass", "chords", "lead")
RATE_HZ = 48_000
Heard = dict[str, tuple[str, Traits]]


def main() -> None:
    """Prints the times, then the table of the fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ideas", type=int, default=50, help="of the table (default 50)")
    parser.add_argument("--rounds", type=int, default=3, help="of the times (default 3)")
    parser.add_argument("--bars", type=int, default=4, help="of the table's ideas (default 4)")
    parser.add_argument("--candidates", type=int, default=1, help="of each of its parts (default 1)")
    arguments = parser.parse_args()
    cascade = Cascade.load("nano")
    warm_up()
    with tempfile.TemporaryDirectory(prefix="acestep-parts-") as folder:
        if arguments.rounds:
            print_times(cascade, Path(folder), arguments.rounds)
        if arguments.ideas > 1:
            print_fit(cascade, Path(folder), arguments.ideas, arguments.bars, arguments.candidates)


def print_times(cascade: Cascade, folder: Path, rounds: int) -> None:
    """Both sides in turn, the first round not counted."""
    firsts, lasts, separate = [], [], []
    for number in range(rounds + 1):
        common = {"bpm": 120.0, "bars": 4.0, "key": "A minor", "seed": 100 * number}
        ready: list[float] = []
        started = time.perf_counter()
        clips = produce_parts(
            cascade,
            GenerateRequest(prompt="dusty breakbeat", parts=", ".join(PARTS), **common),
            folder,
            delivery=Delivery(
                lambda _, started=started, ready=ready: ready.append(time.perf_counter() - started),
                lambda idea: (),
            ),
        )
        started = time.perf_counter()
        others = [
            produce(cascade, GenerateRequest(prompt=f"dusty breakbeat, {part}", **common), folder)[0]
            for part in PARTS
        ]
        took = time.perf_counter() - started
        must_be_same("lengths", [clip.samples for clip in clips[:-1]], [clip.samples for clip in others])
        if number:
            firsts, lasts, separate = [*firsts, ready[0]], [*lasts, ready[-1]], [*separate, took]
    first, last, apart = map(statistics.median, (firsts, lasts, separate))
    print(f"four parts of 4 bars at 120 BPM, median of {rounds}:")
    print(f"  first part {first:.2f} s, last file {last:.2f} s; four separate requests {apart:.2f} s")
    print(f"  the first part after {first / apart:.2f}, the mix after {last / apart:.2f} of the latter")


def print_fit(cascade: Cascade, folder: Path, count: int, bars: int, candidates: int) -> None:
    """The pairs of each idea, and the same with the next idea's part in place of the second."""
    ideas: list[tuple[Grid, Heard]] = []
    files: list[dict[str, str]] = []
    tried = 0
    for number in range(count):
        draw = random.Random(number)
        style = STYLES[number % len(STYLES)]
        bpm, key = float(round(draw.uniform(*style.bpm))), Key(draw.randrange(12), draw.choice(MODES))
        request = GenerateRequest(
            prompt=style.name,
            bpm=bpm,
            bars=bars,
            key=key,
            seed=number,
            parts=", ".join(PARTS),
            candidates=candidates,
        )
        clips = produce_parts(cascade, request, folder)
        tried += sum(clip.sidecar["idea"]["tried"] - 1 for clip in clips[:-1])
        ideas.append((Grid(bpm, Signature(), bars), {clip.part: heard(clip) for clip in clips[:-1]}))
        files.append({clip.part: clip.path for clip in clips})
        told = {one["part"]: one["onsets"] for clip in clips for one in clip.sidecar["idea"]["together"]}
        bass = f"{told['bass']['share']:.0%} of the bass" if told.get("bass") else "no bass to tell"
        print(f"  {style.name}, {bpm:g} bpm: {bass} on drums or grid", flush=True)
    print(f"\n{count} ideas of {bars} bars; {tried} parts of {count * len(PARTS)} were made again")
    print("| | together | shuffled between ideas | the same part, by chance |")
    print("|---|---|---|---|")
    rows: list[tuple[str, str, str, Callable[[Pair], object]]] = [
        ("onsets of bass on drums or grid", "bass", "drums", lambda one: one.onsets),
        ("onsets of chords on drums or grid", "chords", "drums", lambda one: one.onsets),
        ("onsets of lead on drums or grid", "lead", "drums", lambda one: one.onsets),
        ("pitch classes shared, bass and chords", "bass", "chords", lambda one: one.notes),
        ("pitch classes shared, lead and chords", "lead", "chords", lambda one: one.notes),
        ("pitch classes shared, lead and bass", "lead", "bass", lambda one: one.notes),
    ]
    for title, part, other, of in rows:
        shares, shuffled, chance = [], [], []
        for (grid, own), (next_grid, following) in zip(ideas, [*ideas[1:], ideas[0]], strict=True):
            if (found := of(pair(own[part], own[other], grid))) is not None:
                shares.append(found.share)
                chance.append(found.by_chance)
            if (found := of(pair(own[part], following[other], next_grid))) is not None:
                shuffled.append(found.share)
        print(f"| {title} | {_mean(shares)} | {_mean(shuffled)} | {_mean(chance)} |")
    for part in PARTS[1:]:
        found = [by_notes(grid, own, paths[part]) for (grid, own), paths in zip(ideas, files, strict=True)]
        shares, chance = zip(*((one.share, one.by_chance) for one in found if one), strict=True)
        print(
            f"| notes of {part} on drums or grid, {len(shares)} ideas | {_mean(shares)} | | {_mean(chance)} |"
        )
    fights = [
        bool(pair(own[part], own[other], grid).fights) for grid, own in ideas for _, part, other, _ in rows
    ]
    print(f"pairs with a band in which they fight: {np.mean(fights):.0%}")


def heard(clip: Clip) -> tuple[str, Traits]:
    """A part's name and traits, read from its file."""
    return clip.part, Traits.of(read_audio(clip.path), RATE_HZ, clip.part in PERCUSSIVE)


def by_notes(grid: Grid, own: Heard, path: str) -> Beside | None:
    """The share of a part's notes that begin on drums or grid; how late the network hears all of them (their
    median) is taken out, for it tells when a key is struck and not when the sound is there."""
    starts_s = np.array([note.start_s for note in hear_notes(mono(read_audio(path)), RATE_HZ, loop=True)])
    step_s = 15 / grid.bpm
    late_s = np.median((starts_s + step_s / 2) % step_s - step_s / 2) if len(starts_s) else 0.0
    drums = own["drums"][1].attacks
    return onsets_shared(starts_s - late_s, drums.starts_s, grid, 0.0, Feel.of(drums, grid))


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1%}" if values else "–"


if __name__ == "__main__":
    main()

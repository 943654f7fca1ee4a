"""Real loops through nano's codec and back: the embedded codec and another one, side by side.

    python -m tests.benchmarks.round_trip WORK [--codec FOLDER] [--clips N]

WORK holds a sound bank (`acestep nano data`); FOLDER is a codec folder, and WORK/codec0 where none is named.
Material: all recorded loops of sonic-pi-samples that hit (nothing was trained on them), and renders of
held-out keys, leads and pads, which must not get worse. One process, one thread; `a → b → c` is original →
embedded → the other.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from acestep.model.codec.spectral import SpectralCodec
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.nano import WEIGHTS
from acestep.nano.data.compose import compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import SONIC_PI, Bank
from acestep.nano.evaluate import log_mel_error, read_loop
from acestep.nano.hits import attacks_ms, hits, level_before
from tests.support.fidelity import brightness_db, dropouts_per_s, flatness

LONGEST_S = 8
FEWEST_HITS = 3
HELD_SEED = 505_000  # as the evaluation's codec rows
Figures = tuple[float, ...]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--codec", type=Path, default=None)
    parser.add_argument("--clips", type=int, default=12, help="held-out renders (default 12)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    codecs = [
        SpectralCodec.load(folder)
        for folder in (WEIGHTS / "codec", arguments.codec or arguments.work / "codec0")
    ]
    heads = ("attack ms", "before hits dB", "flatness", "10–16 kHz dB", "log-mel L1")
    _table("recorded loops", heads, codecs, _loops(), _struck)
    held = _held(Bank(arguments.work / "bank"), arguments.clips)
    _table("held-out keys, leads and pads", ("drop-outs a second", "log-mel L1"), codecs, held, _sustained)


def _loops() -> Iterator[tuple[str, np.ndarray]]:
    for path in sorted(SONIC_PI.glob("loop_*.flac")):
        clip = _whole(read_loop(path))
        if len(hits(clip.mean(1))) >= FEWEST_HITS:
            yield path.stem.removeprefix("loop_"), clip


def _held(bank: Bank, count: int) -> Iterator[tuple[str, np.ndarray]]:
    seed = HELD_SEED
    while count:
        loop = compose(seed, held=True)
        roles = [part.role for part in loop.parts if part.role in ("chords", "pad", "lead")]
        seed += 1
        if roles:
            role = roles[seed % len(roles)]
            count -= 1
            sound = loop.words[role].split("|")[0]
            yield f"{sound} ({role})", _whole(mix({role: render(loop, bank)[role]}))


def _whole(clip: np.ndarray) -> np.ndarray:
    """At most LONGEST_S, in whole latent frames."""
    return clip[: min(len(clip), LONGEST_S * SAMPLE_RATE_HZ) // SpectralCodec.hop * SpectralCodec.hop]


def _struck(original: np.ndarray, made: np.ndarray) -> Figures:
    mono, places = made.mean(1), hits(original.mean(1))
    attack = float(np.median(attacks_ms(mono, places) or [np.nan]))
    before = float(np.median([level_before(mono, at) for at in places]))
    return attack, before, flatness(mono), brightness_db(mono), log_mel_error(original, made)


def _sustained(original: np.ndarray, made: np.ndarray) -> Figures:
    return dropouts_per_s(made.mean(1)), log_mel_error(original, made)


def _table(
    title: str,
    heads: tuple[str, ...],
    codecs: list[SpectralCodec],
    clips: Iterator[tuple[str, np.ndarray]],
    figures: Callable[[np.ndarray, np.ndarray], Figures],
) -> None:
    print(f"\n| {title} | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
    rows: list[list[Figures]] = []
    spent, seconds = np.zeros(len(codecs)), 0.0
    for name, clip in clips:
        found = [figures(clip, clip)]
        seconds += len(clip) / SAMPLE_RATE_HZ
        for index, codec in enumerate(codecs):
            latents = codec.encode(torch.from_numpy(clip.T.copy())[None])
            start = time.process_time()
            made = codec.decode(latents)[0].numpy().T
            spent[index] += time.process_time() - start
            found.append(figures(clip, made))
        rows.append(found)
        _row(name, np.array(found))
    _row("**median**", np.median(np.array(rows), 0))
    figure = " → ".join(f"{part:.3f}" for part in spent / seconds)
    print(f"\ndecoding, processor seconds a second of audio: {figure}")


def _row(name: str, found: np.ndarray) -> None:
    """[kinds, figures] as a line."""
    cells = [" → ".join(f"{value:.2f}" for value in column) for column in found.T]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

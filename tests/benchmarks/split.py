"""How well clips are split into struck and held sounds, on rendered loops whose drums are known apart.

    python -m tests.benchmarks.split [LOOPS]

Loops are composed by chance and rendered with both soundfonts of `tests.support.loops`, drums and pitched
parts each alone; their sum is split. Printed is the signal-to-distortion ratio of both parts, 10 · log10 of
the part's power over that of the difference, as a median; beside it the mix itself taken for each part, and
librosa's `effects.hpss`. Needs fluidsynth.
"""

import sys
from dataclasses import replace

import numpy as np

from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.sound.split import split
from tests.support.loops import DRUMS, SOUNDFONTS, STYLES, Loop, compose, render

FIRST_SEED = 7_000
MOST = 8 * SAMPLE_RATE_HZ  # of a loop: librosa's medians take their time


def stems(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(drums, pitched) [2, N] of `count` loops."""
    made = []
    for number, font in enumerate(name for name, path in SOUNDFONTS.items() if path.exists()):
        seeds = range(FIRST_SEED + 1000 * number, FIRST_SEED + 1000 * number + (count + 1 - number) // 2)
        loops = [compose(seed, STYLES[seed % len(STYLES)]) for seed in seeds]
        drums = render([_only(loop, drums=True) for loop in loops], font)
        pitched = render([_only(loop, drums=False) for loop in loops], font)
        made += [(one.cut[:, :MOST], other.cut[:, :MOST]) for one, other in zip(drums, pitched, strict=True)]
    return made


def _only(loop: Loop, *, drums: bool) -> Loop:
    return replace(loop, notes=tuple(note for note in loop.notes if (note.channel == DRUMS) == drums))


def sdr_db(true: np.ndarray, found: np.ndarray) -> float:
    """Signal-to-distortion ratio in dB."""
    return float(10 * np.log10(np.square(true).sum() / max(float(np.square(true - found).sum()), 1e-12)))


def _librosa(mix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import librosa

    tonal, percussive = librosa.effects.hpss(mix)
    return percussive, tonal


def main(arguments: list[str]) -> None:
    """Renders, splits, prints."""
    count = int(arguments[0]) if arguments else 12
    rows: dict[str, list[tuple[float, float]]] = {
        "the mix itself": [],
        "librosa hpss": [],
        "acestep split": [],
    }
    for drums, pitched in stems(count):
        mix = drums + pitched
        ours = split(mix, SAMPLE_RATE_HZ)
        ways = {
            "the mix itself": (mix, mix),
            "librosa hpss": _librosa(mix),
            "acestep split": (ours["percussive"], ours["tonal"]),
        }
        for name, (percussive, tonal) in ways.items():
            rows[name].append((sdr_db(drums, percussive), sdr_db(pitched, tonal)))
    print(f"{len(rows['acestep split'])} loops, median SDR in dB")
    print(f"{'':16} {'percussive':>11} {'tonal':>7}")
    for name, values in rows.items():
        percussive, tonal = np.median(values, axis=0)
        print(f"{name:16} {percussive:11.1f} {tonal:7.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])

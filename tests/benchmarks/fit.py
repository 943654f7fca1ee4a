"""How well clips are measured and fitted, on rendered loops with a known truth, beside other analysers.

    python -m tests.benchmarks.fit [LOOPS]

Prints the table of targets. librosa's `beat_track` and a plain chroma/Krumhansl key are the baselines;
essentia (AGPL, never part of what ships) is asked too when it is installed. Loops come from
`tests.support.loops` with seeds that the learned weights have not heard; every second one starts anywhere.
"""

import random
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from acestep.clips.fit import fit, plan_fit, warm_up
from acestep.hearing.measure import measure
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from tests.support.loops import SOUNDFONTS, STYLES, Loop, compose, render

FIRST_SEED = 5_000
KINDS = ("all", "all", "all", "pitched", "drums", "all")
OFF = 1.07
MIREX_FIFTH, MIREX_RELATIVE, MIREX_PARALLEL = 0.5, 0.3, 0.2


@dataclass
class Tally:
    """Results by row of the table."""

    rows: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: str, value: float) -> None:
        self.rows.setdefault(row, []).append(float(value))

    def percent(self, row: str) -> str:
        values = self.rows.get(row)
        return f"{100 * np.mean(values):5.1f} %" if values else "–"


def main(arguments: list[str]) -> None:
    """Renders, measures, fits, prints."""
    count = int(arguments[0]) if arguments else 96
    analysers = _analysers()
    warm_up()
    tally = Tally()
    for number, loop in enumerate(_loops(count)):
        shift_s = random.Random(number).uniform(0, loop.grid.duration_s) if number % 2 else 0.0
        audio = np.roll(loop.folded, round(shift_s * SAMPLE_RATE_HZ), axis=1)
        _measured(tally, loop, audio, shift_s)
        _others(tally, loop, audio, analysers)
        _fitted(tally, loop, number)
        print(f"\r{number + 1} of {count} loops", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    _print_table(tally, count, list(analysers))


def _loops(count: int) -> list[Loop]:
    made: list[Loop] = []
    fonts = list(SOUNDFONTS)
    for i, font in enumerate(fonts):
        seeds = range(FIRST_SEED + i * 1000, FIRST_SEED + i * 1000 + (count + i) // len(fonts))
        made += render(
            [compose(s, STYLES[s % len(STYLES)], KINDS[(s + s // 8) % len(KINDS)]) for s in seeds], font
        )
    return made


def _measured(tally: Tally, loop: Loop, audio: np.ndarray, shift_s: float) -> None:
    grid = loop.grid
    hinted = measure(audio, grid=grid)
    free = measure(audio)
    tally.add("tempo with hint", _near(hinted.bpm, grid.bpm, 0.005))
    tally.add("ours strict", _near(free.bpm, grid.bpm, 0.01))
    tally.add("ours octave", _octave(free.bpm, grid.bpm))
    error_s = None
    if hinted.downbeat_s is not None:
        error_s = (hinted.downbeat_s - shift_s + grid.bar_s / 2) % grid.bar_s - grid.bar_s / 2
    right = error_s is not None and abs(error_s) < 0.025
    tally.add("downbeat", right)
    tally.add("downbeat, loop begins with a bar" if shift_s == 0 else "downbeat, loop begins anywhere", right)
    _key(tally, "ours", free.key, loop.key)


def _others(tally: Tally, loop: Loop, audio: np.ndarray, analysers: dict[str, Callable[..., Any]]) -> None:
    for name, analyse in analysers.items():
        bpm, key = analyse(audio)
        tally.add(f"{name} strict", _near(bpm, loop.grid.bpm, 0.01))
        tally.add(f"{name} octave", _octave(bpm, loop.grid.bpm))
        _key(tally, name, key, loop.key)


def _key(tally: Tally, name: str, found: Key | None, truth: Key | None) -> None:
    if truth is None:
        if name == "ours":
            tally.add("drums have no key", found is None)
        return
    tally.add(f"{name} key exact", found == truth)
    tally.add(f"{name} key mirex", _mirex(found, truth))


def _mirex(found: Key | None, truth: Key) -> float:
    if found is None:
        return 0.0
    up = (found.tonic - truth.tonic) % 12
    if found.mode == truth.mode:
        return 1.0 if up == 0 else MIREX_FIFTH if up in (5, 7) else 0.0
    if up == (9 if truth.mode == "major" else 3):
        return MIREX_RELATIVE
    return MIREX_PARALLEL if up == 0 else 0.0


def _fitted(tally: Tally, loop: Loop, number: int) -> None:
    """The loop asked for 7 % slower or faster, a semitone or two away, from a random offset."""
    chance = random.Random(number)
    played, steps = loop.grid, chance.choice((-2, -1, 1, 2))
    grid = Grid(played.bpm * (OFF if chance.random() < 0.5 else 1 / OFF), played.signature, played.bars)
    key = Key((loop.key.tonic + steps) % 12, loop.key.mode) if loop.key else None
    shift_s = chance.uniform(0, played.duration_s)
    audio = np.roll(loop.folded, round(shift_s * SAMPLE_RATE_HZ), axis=1)
    start = time.perf_counter(), time.process_time()
    result = fit(audio, SAMPLE_RATE_HZ, grid, key)
    seconds = time.perf_counter() - start[0], time.process_time() - start[1]
    tally.add("seconds", seconds[0] * 8 / played.duration_s)
    tally.add("cpu seconds", seconds[1] * 8 / played.duration_s)
    if key is not None:
        tally.add("key moved right", result.after.key == key)
    tally.add("seam", result.after.seam_error)
    plan = plan_fit(result.before, grid, key)
    beat_s = grid.duration_s / round(grid.beats)
    scale = grid.duration_s / played.duration_s
    off_s = (shift_s - plan.shift_s) * scale  # where the first bar went: should be a whole number of beats
    turn_s = round(off_s / beat_s) * beat_s
    struck = sorted({round(note.at_s, 4) for note in loop.notes if note.channel == 9})
    if not struck:  # soft attacks cannot be located to milliseconds: computed from what was done instead
        for at_s in np.arange(round(grid.beats)) * beat_s:
            drift_s = at_s * (plan.factor / scale - 1)
            tally.add("beat error ms", min(abs(off_s - turn_s + drift_s) * 1000, beat_s * 500))
        return
    turned = np.roll(result.audio, -round(turn_s * SAMPLE_RATE_HZ), axis=1)
    source, fitted = _rise(loop.folded), _rise(turned)
    steepest = max(_near_peak(source, t) for t in struck)
    for t in struck:
        if _near_peak(source, t) > 0.3 * steepest:
            tally.add("beat error ms", abs(_displacement_ms(source, t, fitted, t * scale)))
            if loop.key is None:
                tally.add("sharpness", _near_peak(fitted, t * scale) / _near_peak(source, t))


RISE_HZ = 1000
REACH_MS = 30  # an attack further away is not found


def _rise(audio: np.ndarray) -> np.ndarray:
    """Growth of the high-passed amplitude per millisecond."""
    sharp = np.abs(np.diff(audio.mean(axis=0), prepend=0.0))
    window = np.hanning(150)
    level = np.convolve(sharp, window / window.sum(), mode="same")
    step = SAMPLE_RATE_HZ // RISE_HZ
    level = level[: len(level) // step * step : step]
    return np.maximum(np.diff(level, prepend=level[-1]), 0)


def _window(rise: np.ndarray, at_s: float, before: int, after: int) -> np.ndarray:
    """Milliseconds of the curve around a moment, silence outside."""
    first = round(at_s * RISE_HZ) - before
    index = np.arange(first, first + before + after)
    return np.where((index >= 0) & (index < len(rise)), rise[np.clip(index, 0, len(rise) - 1)], 0.0)


def _near_peak(rise: np.ndarray, at_s: float) -> float:
    return float(_window(rise, at_s, 15, 30).max())


def _displacement_ms(source: np.ndarray, at_s: float, fitted: np.ndarray, then_s: float) -> float:
    """How far an attack lies from where it belongs: the shift at which the two curves agree best."""
    wanted = np.convolve(_window(source, at_s, 15, 30), np.hanning(7), mode="same")
    found = np.convolve(_window(fitted, then_s, 15 + REACH_MS, 30 + REACH_MS), np.hanning(7), mode="same")
    likeness = np.correlate(found, wanted, mode="valid")
    rounding = (at_s * RISE_HZ - round(at_s * RISE_HZ)) - (then_s * RISE_HZ - round(then_s * RISE_HZ))
    return float(np.argmax(likeness)) - REACH_MS + rounding


def _near(found: float | None, truth: float, tolerance: float) -> bool:
    return found is not None and abs(found / truth - 1) < tolerance


def _octave(found: float | None, truth: float) -> bool:
    return found is not None and any(_near(found * ratio, truth, 0.01) for ratio in (0.5, 1.0, 2.0))


def _analysers() -> dict[str, Callable[[np.ndarray], tuple[float, Key | None]]]:
    found: dict[str, Callable[[np.ndarray], tuple[float, Key | None]]] = {"librosa": _librosa}
    try:
        import essentia.standard  # noqa: F401
    except ImportError:
        return found
    return found | {"essentia": _essentia}


def _librosa(audio: np.ndarray) -> tuple[float, Key | None]:
    import librosa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mono = librosa.resample(audio.mean(axis=0), orig_sr=SAMPLE_RATE_HZ, target_sr=22_050)
        bpm = float(np.atleast_1d(librosa.beat.beat_track(y=mono, sr=22_050)[0])[0])
        chroma = librosa.feature.chroma_stft(y=mono, sr=22_050).mean(axis=1)
    major = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
    minor = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
    likeness = [
        np.corrcoef(chroma, np.roll(profile, tonic))[0, 1]
        for profile in (major, minor)
        for tonic in range(12)
    ]
    best = int(np.argmax(likeness))
    return bpm, Key(best % 12, "major" if best < 12 else "minor")


def _essentia(audio: np.ndarray) -> tuple[float, Key | None]:
    import essentia

    essentia.log.infoActive = essentia.log.warningActive = False
    import essentia.standard as es

    mono = es.Resample(inputSampleRate=SAMPLE_RATE_HZ, outputSampleRate=44_100)(audio.mean(axis=0))
    name, scale, _ = es.KeyExtractor()(mono)
    return float(es.RhythmExtractor2013(method="multifeature")(mono)[0]), Key.parse(f"{name} {scale}")


def _print_table(tally: Tally, count: int, others: list[str]) -> None:
    error = np.array(tally.rows["beat error ms"])
    seam = np.array(tally.rows["seam"])
    lines: list[tuple[str, str, str, dict[str, str]]] = [
        ("tempo, request names it, within 0.5 %", "≥ 98 %", tally.percent("tempo with hint"), {}),
        (
            "tempo, no hint, within 1 %",
            "≥ others + 10",
            tally.percent("ours strict"),
            _each(tally, others, "strict"),
        ),
        (
            "… half and double forgiven",
            "≥ others + 10",
            tally.percent("ours octave"),
            _each(tally, others, "octave"),
        ),
        ("downbeat within 25 ms", "≥ 90 %", tally.percent("downbeat"), {}),
        ("… loop begins with a bar", "", tally.percent("downbeat, loop begins with a bar"), {}),
        ("… loop begins anywhere", "", tally.percent("downbeat, loop begins anywhere"), {}),
        ("key exact", "≥ essentia", tally.percent("ours key exact"), _each(tally, others, "key exact")),
        ("key, MIREX-weighted", "≥ 87 %", tally.percent("ours key mirex"), _each(tally, others, "key mirex")),
        ("drums alone have no key", "", tally.percent("drums have no key"), {}),
        ("fitted: beat error, median", "≤ 5 ms", f"{np.median(error):5.2f} ms", {}),
        ("fitted: beat error, 95th percentile", "≤ 12 ms", f"{np.percentile(error, 95):5.2f} ms", {}),
        ("fitted: in the key asked for", "", tally.percent("key moved right"), {}),
        ("seam: click against usual movement, 95th", "≤ 1.0", f"{np.percentile(seam, 95):5.2f}", {}),
        (
            "drums: onset sharpness kept, median",
            "≥ 90 %",
            f"{100 * np.median(tally.rows['sharpness']):5.1f} %",
            {},
        ),
        (
            "measure + fit of 8 s, CPU time, median",
            "≤ 0.4 s",
            f"{np.median(tally.rows['cpu seconds']):5.2f} s",
            {},
        ),
        ("… wall time, median", "", f"{np.median(tally.rows['seconds']):5.2f} s", {}),
    ]
    print(f"{count} loops, {len(STYLES)} styles, {len(SOUNDFONTS)} soundfonts, 60–180 BPM")
    print(f"{'':42}{'must':>15}{'ours':>10}" + "".join(f"{name:>10}" for name in others))
    for name, must, ours, by in lines:
        print(f"{name:42}{must:>15}{ours:>10}" + "".join(f"{by.get(other, ''):>10}" for other in others))


def _each(tally: Tally, others: list[str], row: str) -> dict[str, str]:
    return {name: tally.percent(f"{name} {row}") for name in others}


if __name__ == "__main__":
    main(sys.argv[1:])

"""The table of the nano issue: prompts and loops never used in training, fixed seeds, before any stretching.

Clips come from `acestep.cascade`, as users get them. Real renders of the same captions are the yardstick
where
an outside analysis is not perfect itself. Writes nothing; `report` turns the rows into a table and a page.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acestep.grid import SAMPLE_RATE_HZ, Grid
from acestep.key import Key
from acestep.nano import judges
from acestep.nano.data import captions
from acestep.nano.data.compose import ROLES, Loop, compose
from acestep.nano.data.latents import Example, encode, frames_of, tiled
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import SONIC_PI, Bank
from acestep.nano.data.styles import STYLES
from acestep.request import GenerateRequest

FIRST_SEED = 5000  # of held-out loops: none of these are encoded for training
STYLE_NAMES = tuple(style.name for style in STYLES)


@dataclass(frozen=True)
class Row:
    """One line of the table. `reached` None: not measured, and `value` says why."""

    what: str
    goal: str
    value: str
    reached: bool | None


@dataclass
class Case:
    """A held-out loop, what is asked for, the real render and what the cascade made of the caption."""

    loop: Loop
    roles: tuple[str, ...]
    caption: str
    request: GenerateRequest
    real: np.ndarray  # [N, 2]
    made: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))


def make_cases(count: int, bank: Bank) -> list[Case]:
    """Held-out loops; every second one asks for a single part."""
    cases = []
    for index in range(count):
        loop = compose(FIRST_SEED + index, held=True)
        random = np.random.default_rng([FIRST_SEED + index, 9])
        stems = render(loop, bank)
        roles = tuple(stems)
        if index % 2:
            roles = (roles[int(random.integers(len(roles)))],)
        chosen = {role: stems[role] for role in roles}
        text = captions.caption(loop, roles, random, messy=False)
        pitched = any(role not in ("drums", "percussion") for role in roles)
        request = GenerateRequest(
            prompt=text or loop.style,
            bpm=loop.grid.bpm,
            signature=loop.grid.signature,
            bars=loop.grid.bars,
            key=loop.key if pitched else None,
            seed=1000 + index,
        )
        cases.append(Case(loop, roles, text, request, mix(chosen)))
    return cases


def generate(cascade: Any, request: GenerateRequest) -> np.ndarray:
    """A clip of exactly the grid's length, as the cascade makes it [N, 2]."""
    take = cascade.generate(request)[0]
    return take.audio[:, : request.grid.samples()].T.copy()


def codec_rows(codec: Any, bank: Bank, count: int) -> list[Row]:
    """Log-mel L1 of the codec's round trip on held-out renders and on sonic-pi's loops."""
    real = []
    for index in range(count):
        stems = render(compose(FIRST_SEED + 500 + index, held=True), bank)
        real.append(mix(stems))
    rows = []
    for name, goal, clips in (
        ("codec: log-mel L1, held-out renders", 0.35, real),
        ("codec: log-mel L1, sonic-pi loops", 0.6, list(sonic_loops(count))),
    ):
        errors = [round_trip_error(codec, clip[: 8 * SAMPLE_RATE_HZ]) for clip in clips]
        value = float(np.mean(errors)) if errors else float("nan")
        rows.append(Row(name, f"≤ {goal}", f"{value:.3f} ({len(errors)} clips)", value <= goal))
    return rows


def sonic_loops(count: int) -> list[np.ndarray]:
    """The loops of sonic-pi-samples [N, 2]: none of them is in the training material."""
    import soundfile
    import soxr

    clips = []
    for path in sorted(SONIC_PI.glob("loop_*.flac"))[:count]:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        audio = soxr.resample(audio, rate, SAMPLE_RATE_HZ)
        clips.append(np.repeat(audio, 2, 1)[:, :2] if audio.shape[1] == 1 else audio)
    return clips


def round_trip_error(codec: Any, clip: np.ndarray) -> float:
    """Mean absolute difference of librosa's log mel spectra (mono, +1e-5) before and after the codec."""
    import librosa

    clip = clip[: len(clip) // 480 * 480]
    made = codec.decode(codec.encode(torch.from_numpy(clip.T.copy())[None]))[0].numpy().T
    first, second = (
        np.log(librosa.feature.melspectrogram(y=side.mean(1), sr=SAMPLE_RATE_HZ) + 1e-5)
        for side in (clip, made)
    )
    return float(np.abs(first - second).mean())


def rhythm_rows(cases: list[Case]) -> list[Row]:
    """Tempo and downbeat by our own analysis, with the request as prior."""
    from acestep.measure import measure

    tempo, downbeat = [], []
    for case in cases:
        found = measure(case.made.T, grid=case.request.grid)
        tempo.append(found.bpm is not None and abs(found.bpm / case.request.bpm - 1) <= 0.005)
        downbeat.append(_offset_ms(found.downbeat_s, case.request.grid) <= 25)
    return [
        share_row("tempo within 0.5 %, our analysis", 0.95, tempo),
        share_row("downbeat at sample 0 within 25 ms", 0.95, downbeat),
    ]


def _offset_ms(downbeat_s: float | None, grid: Grid) -> float:
    if downbeat_s is None:
        return 1e9
    offset = downbeat_s % grid.bar_s
    return min(offset, grid.bar_s - offset) * 1000


def outside_rows(cases: list[Case]) -> list[Row]:
    """Tempo and key by essentia, relative to what it says of the real renders; essentia is a test-only
    tool.
    """
    goals = ("tempo by essentia, of its score on renders", "key by essentia, of its score on renders")
    try:
        import essentia
        import essentia.standard as es
    except ImportError:
        return [Row(name, "≥ 95 %", "not measured: essentia is not installed", None) for name in goals]
    essentia.log.warningActive = False

    def tempo_right(clip: np.ndarray, case: Case) -> bool:
        long = np.tile(clip.mean(1), max(1, -(-20 * SAMPLE_RATE_HZ // len(clip))))
        mono = es.Resample(inputSampleRate=48000, outputSampleRate=44100)(long.astype(np.float32))
        found = es.RhythmExtractor2013(method="multifeature")(mono)[0]
        return any(abs(found * factor / case.request.bpm - 1) <= 0.005 for factor in (0.5, 1, 2))

    def key_right(clip: np.ndarray, case: Case) -> bool:
        mono = es.Resample(inputSampleRate=48000, outputSampleRate=44100)(clip.mean(1).astype(np.float32))
        tonic, scale, _ = es.KeyExtractor()(mono)
        from acestep.key import Key

        return Key.parse(f"{tonic} {scale}") == case.request.key

    rows = []
    pitched = [case for case in cases if case.request.key is not None]
    for name, judge, chosen in ((goals[0], tempo_right, cases), (goals[1], key_right, pitched)):
        real = float(np.mean([judge(case.real, case) for case in chosen]))
        made = float(np.mean([judge(case.made, case) for case in chosen]))
        ratio = made / max(real, 1e-6)
        rows.append(
            Row(name, "≥ 95 %", f"{ratio:.0%} ({made:.0%} of clips, {real:.0%} of renders)", ratio >= 0.95)
        )
    return rows


def probe_rows(cases: list[Case], examples: list[Example], codec: Any) -> list[Row]:
    """Whether what was asked for is what sounds, by probes trained on real renders."""
    rows = []
    views = [(example.loop, view) for example in examples for view in example.views]
    solo = [(ROLES.index(view.roles[0]), view) for _, view in views if len(view.roles) == 1]
    mixes = [(STYLE_NAMES.index(loop.style), view) for loop, view in views if view.rest is None]
    for name, goal, material, names, wanted in (
        ("asked-for stem sounds, by probe", 0.90, solo, ROLES, [c for c in cases if len(c.roles) == 1]),
        (
            "style right, by probe",
            0.80,
            mixes,
            STYLE_NAMES,
            [c for c in cases if len(c.roles) == len(c.loop.parts)],
        ),
    ):
        summaries = np.stack([judges.summary(view.target) for _, view in material])
        probe = judges.train_probe(summaries, np.array([label for label, _ in material]), tuple(names))
        labels = np.array([_label(case, names) for case in wanted])
        real = probe.accuracy(np.stack([_summary(case.real, case.loop, codec) for case in wanted]), labels)
        made = probe.accuracy(np.stack([_summary(case.made, case.loop, codec) for case in wanted]), labels)
        value = f"{made:.0%} of {len(wanted)} (the probe on renders: {real:.0%})"
        rows.append(Row(name, f"≥ {goal:.0%}", value, made >= goal))
    return rows


def _label(case: Case, names: tuple[str, ...]) -> int:
    return names.index(case.roles[0]) if names is ROLES else names.index(case.loop.style)


def _summary(clip: np.ndarray, loop: Loop, codec: Any) -> np.ndarray:
    return judges.summary(encode(tiled(clip, frames_of(loop)), codec).numpy())


def timing_row(cascade: Any) -> Row:
    """Generation of 4 bars at 120 bpm when warm; the daemon's own benchmark measures trigger to file."""
    request = GenerateRequest(
        prompt="house beat with bass and chords", bpm=120, bars=4, key=Key.parse("A minor"), seed=5
    )
    cascade.generate(request)
    start = time.monotonic()
    cascade.generate(request)
    taken = time.monotonic() - start
    return Row("warm, request → samples, 4 bars at 120", "< 2 s to file", f"{taken:.2f} s", taken < 2)


def share_row(what: str, goal: float, hits: list[bool]) -> Row:
    """A row of a share of cases."""
    share = float(np.mean(hits)) if hits else float("nan")
    return Row(what, f"≥ {goal:.0%}", f"{share:.0%} of {len(hits)}", bool(share >= goal))


def evaluate(
    cascade: Any, bank: Bank, examples: list[Example], count: int, say: Callable[[str], None] = print
) -> tuple[list[Row], list[Case]]:
    """All rows, and the cases with their clips."""
    from acestep.nano.comparisons import comparison_rows

    say(f"rendering and generating {count} held-out cases")
    cases = make_cases(count, bank)
    for case in cases:
        case.made = generate(cascade, case.request)
    rows = codec_rows(cascade.codec, bank, max(count // 4, 4))
    say("measuring rhythm and key")
    rows += rhythm_rows(cases) + outside_rows(cases)
    say("training probes on renders")
    rows += probe_rows(cases, examples, cascade.codec)
    say("comparing pairs")
    rows += comparison_rows(cascade, bank, cases, examples, max(count // 4, 4))
    rows.append(timing_row(cascade))
    return rows, cases


def shipped_cascade(folder: Path) -> Any:
    """The engine on a checkpoint folder."""
    from acestep.cascade import Cascade

    return Cascade.load(folder)

"""The table of the model card: prompts and loops never used in training, fixed seeds, before any stretching.

Clips come from a cascade, as users get them. Real renders of the same captions are the yardstick
where a judge is not perfect itself. One case after the other is made and judged, in a process per core; rows
are sums over cases. Writes nothing; `report` turns the rows into a table and a page.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from acestep.model.cascade import Cascade
from acestep.model.codec.base import Codec
from acestep.model.codec.spectral import SpectralCodec
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.nano import judges
from acestep.nano.comparisons import Case, Comparisons, compare, comparison_rows, heard
from acestep.nano.data import captions
from acestep.nano.data.compose import compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import SONIC_PI, Bank
from acestep.nano.data.styles import STYLE_BY_NAME
from acestep.nano.hits import attacks_ms, hits, level_before
from acestep.nano.latents import Example, frames_of, tiled
from acestep.nano.rows import Row, share_row
from acestep.request import GenerateRequest

FIRST_SEED = 5000  # of held-out loops: none of these are encoded for training
CODEC_SEED = 500_000 + FIRST_SEED
PER_COMPARISON = 2  # every second case, a whole mix, is compared with a reference and a context
PER_TAKES = 16  # and every sixteenth by takes
SHOWN = 24  # cases whose audio is kept for the page


@dataclass
class Heard:
    """What the judges say of one clip; None where they have nothing to say or are not installed."""

    tempo: bool | None  # None: nothing in it keeps time
    downbeat: bool
    outside_tempo: bool | None
    outside_key: bool | None
    features: np.ndarray  # [808], see judges.features


@dataclass
class Verdict:
    """All of one case: the real render, what the cascade made of the caption, and comparisons."""

    case: Case
    real: Heard
    noticed: bool  # whether our analysis notices when the render begins a beat late
    made: Heard
    comparisons: Comparisons
    audio: tuple[np.ndarray, np.ndarray] | None  # real and made [N, 2], of the first cases


@dataclass
class RoundTrip:
    """What the codec makes of a clip: its log-mel error, and where the clip has hits, how they come back."""

    error: float
    attack_ms: float | None
    before_db: float | None


def make_case(index: int, bank: Bank) -> tuple[Case, dict[str, np.ndarray]]:
    """A held-out loop and its rendered stems; every second one asks for a single part."""
    loop = compose(FIRST_SEED + index, held=True)
    random = np.random.default_rng([FIRST_SEED + index, 9])
    stems = render(loop, bank)
    roles = tuple(stems)
    if index % 2:
        roles = (roles[int(random.integers(len(roles)))],)
    text = captions.caption(loop, roles, random, messy=False)
    pitched = any(role not in ("drums", "percussion") for role in roles)
    request = GenerateRequest(
        prompt=text,
        bpm=loop.grid.bpm,
        signature=loop.grid.signature,
        bars=loop.grid.bars,
        key=loop.key if pitched else None,
        seed=1000 + index,
    )
    return Case(index, loop, roles, text, request), stems


def hear(clip: np.ndarray, case: Case, codec: Codec) -> Heard:
    """Judge a clip [N, 2] by the case it should be."""
    from acestep.hearing.measure import measure

    grid = case.request.grid
    found = measure(clip.T, grid=grid, on_bar=True)
    outside_tempo, outside_key = outside(clip, case.request)
    return Heard(
        tempo=None if found.bpm is None else abs(found.bpm / grid.bpm - 1) <= 0.005,
        downbeat=_offset_ms(found.downbeat_s, grid) <= 25,
        outside_tempo=outside_tempo,
        outside_key=outside_key,
        features=judges.features(heard(tiled(clip, frames_of(case.loop)), codec), grid),
    )


def notices_a_late_beat(clip: np.ndarray, grid: Grid) -> bool:
    """Whether our analysis, told that the clip begins with a bar, hears that it begins a beat late."""
    from acestep.hearing.measure import measure

    late = np.roll(clip, round(grid.beat_s * SAMPLE_RATE_HZ), 0)
    return _offset_ms(measure(late.T, grid=grid, on_bar=True).downbeat_s, grid) > 25


def _offset_ms(downbeat_s: float | None, grid: Grid) -> float:
    if downbeat_s is None:
        return 1e9
    offset = downbeat_s % grid.bar_s
    return min(offset, grid.bar_s - offset) * 1000


def outside(clip: np.ndarray, request: GenerateRequest) -> tuple[bool | None, bool | None]:
    """Are tempo (half and double forgiven) and key right by essentia, a test-only tool? None without it."""
    try:
        import essentia
        import essentia.standard as es
    except ImportError:
        return None, None
    essentia.log.warningActive = False
    resample = es.Resample(inputSampleRate=48000, outputSampleRate=44100)
    mono = clip.mean(1).astype(np.float32)
    long = np.tile(mono, max(1, -(-20 * SAMPLE_RATE_HZ // len(mono))))  # it needs some seconds to settle
    found = es.RhythmExtractor2013(method="multifeature")(resample(long))[0]
    tempo = any(abs(found * factor / request.bpm - 1) <= 0.005 for factor in (0.5, 1, 2))
    if request.key is None:
        return tempo, None
    tonic, scale, _ = es.KeyExtractor()(resample(mono))
    return tempo, Key.parse(f"{tonic} {scale}") == request.key


def evaluate(
    folder: Path, bank: Path, examples: list[Example], count: int, say: Callable[[str], None] = print
) -> tuple[list[Row], list[Verdict]]:
    """All rows for the checkpoint in `folder`, and the cases behind them."""
    workers = os.cpu_count() or 1
    verdicts = []
    start = time.monotonic()
    spawn = multiprocessing.get_context("spawn")  # a fork of threads that hold locks would hang
    with ProcessPoolExecutor(workers, spawn, _begin_worker, (folder, bank)) as pool:
        for verdict in pool.map(_judge_case, range(count)):
            verdicts.append(verdict)
            if len(verdicts) % 10 == 0:
                say(f"case {len(verdicts)}/{count}, {time.monotonic() - start:.0f} s")
        codec = max(count // 4, 4)
        held = list(pool.map(_held_trip, range(codec)))
        sonic = list(pool.map(_sonic_trip, sonic_loops(codec)))
    ear = judges.Ear(SpectralCodec.load(folder / "codec"))
    rows = codec_rows(held, sonic) + heard_rows(verdicts) + probe_rows(verdicts, examples, ear)
    rows += comparison_rows(
        [verdict.comparisons for verdict in verdicts],
        np.stack([judges.summary(ear.frames(example.views[0].target)) for example in examples]),
    )
    rows.append(timing_row(folder))
    return rows, verdicts


_cascade: Cascade  # of this worker process, from its beginning on
_bank: Bank


def _begin_worker(folder: Path, bank: Path) -> None:
    global _cascade, _bank
    torch.set_num_threads(1)
    _cascade, _bank = Cascade.load(folder), Bank(bank)


def _judge_case(index: int) -> Verdict:
    case, stems = make_case(index, _bank)
    chosen = {role: stems[role] for role in case.roles}
    real = mix(chosen)
    made = generate(_cascade, case.request)
    return Verdict(
        case=case,
        real=hear(real, case, _cascade.codec),
        noticed=notices_a_late_beat(real, case.request.grid),
        made=hear(made, case, _cascade.codec),
        comparisons=compare(
            _cascade, _bank, case, stems, made,
            with_others=index % PER_COMPARISON == 0, by_takes=index % PER_TAKES == 0,
        ),
        audio=(real, made) if index < SHOWN else None,
    )  # fmt: skip


def generate(cascade: Cascade, request: GenerateRequest) -> np.ndarray:
    """A clip of exactly the grid's length, as the cascade makes it [N, 2]."""
    take = cascade.generate(request)[0]
    clip: np.ndarray = take.audio[:, : request.grid.samples()].T.copy()
    return clip


def _held_trip(index: int) -> RoundTrip:
    stems = render(compose(CODEC_SEED + index, held=True), _bank)
    return round_trip(_cascade.codec, mix(stems)[: 8 * SAMPLE_RATE_HZ])


def _sonic_trip(path: Path) -> RoundTrip:
    return round_trip(_cascade.codec, read_loop(path))


def read_loop(path: Path) -> np.ndarray:
    """The first 8 s of a recorded loop [N, 2]."""
    import soundfile
    import soxr

    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    audio = soxr.resample(audio, rate, SAMPLE_RATE_HZ)[: 8 * SAMPLE_RATE_HZ]
    return np.repeat(audio, 2, 1)[:, :2] if audio.shape[1] == 1 else audio


def sonic_loops(count: int) -> list[Path]:
    """Loops of sonic-pi-samples: none of them is in the training material."""
    return sorted(SONIC_PI.glob("loop_*.flac"))[:count]


def round_trip(codec: Codec, clip: np.ndarray) -> RoundTrip:
    """Encode and decode a clip [N, 2]; hits are looked for in the clip itself."""
    clip = clip[: len(clip) // codec.hop * codec.hop]
    made = codec.decode(codec.encode(torch.from_numpy(clip.T.copy())[None]))[0].numpy().T
    mono, places = made.mean(1), hits(clip.mean(1))
    attacks = attacks_ms(mono, places)
    return RoundTrip(
        log_mel_error(clip, made),
        float(np.median(attacks)) if attacks else None,
        float(np.median([level_before(mono, at) for at in places])) if places else None,
    )


def log_mel_error(clip: np.ndarray, made: np.ndarray) -> float:
    """Mean absolute difference of librosa's log mel spectra (mono, +1e-5) of two clips [N, 2]."""
    import librosa

    first, second = (
        np.log(librosa.feature.melspectrogram(y=side.mean(1), sr=SAMPLE_RATE_HZ) + 1e-5)
        for side in (clip, made)
    )
    return float(np.abs(first - second).mean())


def codec_rows(held: list[RoundTrip], sonic: list[RoundTrip]) -> list[Row]:
    """The codec's round trip on held-out renders and on sonic-pi's loops."""
    rows = []
    for name, goal, trips in (
        ("codec: log-mel L1, held-out renders", 0.35, held),
        ("codec: log-mel L1, sonic-pi loops", 0.6, sonic),
    ):
        value = float(np.mean([trip.error for trip in trips])) if trips else float("nan")
        rows.append(Row(name, f"≤ {goal}", f"{value:.3f} ({len(trips)} clips)", value <= goal))
    attacks = [trip.attack_ms for trip in sonic if trip.attack_ms is not None]
    before = [trip.before_db for trip in sonic if trip.before_db is not None]
    for name, unit, limit, found in (
        ("codec: attack above 3 kHz, 10 to 90 %, sonic-pi loops", "ms", 4, attacks),
        ("codec: level 12 to 2 ms before hits, sonic-pi loops", "dB", -46, before),
    ):
        value = float(np.median(found)) if found else float("nan")
        text = f"{value:.1f} {unit} (median of {len(found)} clips)"
        rows.append(Row(name, f"≤ {limit} {unit}", text, value <= limit))
    return rows


def heard_rows(verdicts: list[Verdict]) -> list[Row]:
    """Tempo and downbeat by our own analysis with the request as prior; tempo and key by essentia.

    Prompts whose very render has no beat that can be heard (a pad alone) are left out of the first two.
    """
    timed = [one for one in verdicts if one.real.tempo is not None]
    made, real = [one.made for one in timed], [one.real for one in timed]
    noticed = float(np.mean([one.noticed for one in timed]))
    rows = [
        share_row(
            f"tempo within 0.5 %, our analysis ({len(verdicts) - len(timed)} renders have no beat)", 0.95,
            [bool(one.tempo) for one in made], [bool(one.tempo) for one in real],
        ),
        share_row(
            f"downbeat at sample 0 within 25 ms (a render a beat late is noticed in {noticed:.0%})", 0.95,
            [one.downbeat for one in made], [one.downbeat for one in real],
        ),
    ]  # fmt: skip
    for what in ("tempo", "key"):
        name = f"{what} by essentia, of its score on renders"
        pairs = [
            (getattr(one.made, f"outside_{what}"), getattr(one.real, f"outside_{what}")) for one in verdicts
        ]
        pairs = [pair for pair in pairs if None not in pair]
        if not pairs:
            rows.append(Row(name, "≥ 95 %", "not measured: essentia is not installed", None))
            continue
        of_made, of_real = (float(np.mean(hits)) for hits in zip(*pairs, strict=True))
        ratio = of_made / max(of_real, 1e-6)
        value = f"{ratio:.0%} ({of_made:.0%} of {len(pairs)} clips, {of_real:.0%} of renders)"
        rows.append(Row(name, "≥ 95 %", value, ratio >= 0.95))
    return rows


def probe_rows(verdicts: list[Verdict], examples: list[Example], ear: judges.Ear) -> list[Row]:
    """Whether what was asked for is what sounds, by probes trained on real renders.

    A mixture of styles is right as either of them; captions that name no style are left out.
    """
    views = [(example.loop, view) for example in examples for view in example.views]
    solos = [(loop, view, view.roles[0]) for loop, view in views if len(view.roles) == 1]
    mixes = [(loop, view, loop.style) for loop, view in views if view.rest is None]
    rows = []
    for name, goal, material, wanted in (
        (
            "asked-for stem sounds, by probe", 0.90, solos,
            [(one, set(one.case.roles)) for one in verdicts if len(one.case.roles) == 1],
        ),
        (
            "style right, by probe", 0.80, mixes,
            [
                (one, {one.case.loop.style, one.case.loop.harmony_style})
                for one in verdicts
                if one.case.whole and _names_style(one.case)
            ],
        ),
    ):  # fmt: skip
        known = np.stack([judges.features(ear.frames(view.target), loop.grid) for loop, view, _ in material])
        probe = judges.train_probe(known, [label for _, _, label in material])
        shares = []
        for clips in ([one.real for one, _ in wanted], [one.made for one, _ in wanted]):
            told = probe.tell(np.stack([clip.features for clip in clips]))
            shares.append(float(np.mean([a in right for a, (_, right) in zip(told, wanted, strict=True)])))
        value = f"{shares[1]:.0%} of {len(wanted)} ({shares[0]:.0%} of renders)"
        rows.append(Row(name, f"≥ {goal:.0%}", value, shares[1] >= goal))
    return rows


def _names_style(case: Case) -> bool:
    style = STYLE_BY_NAME[case.loop.style]
    return any(word in case.caption for word in (style.name, *style.words))


def timing_row(folder: Path) -> Row:
    """Generation of 4 bars at 120 bpm when warm; the daemon's own benchmark measures trigger to file."""
    from acestep.model.cascade import Cascade

    cascade = Cascade.load(folder)
    request = GenerateRequest(
        prompt="house beat with bass and chords", bpm=120, bars=4, key=Key.parse("A minor"), seed=5
    )
    cascade.generate(request)
    start = time.monotonic()
    cascade.generate(request)
    taken = time.monotonic() - start
    return Row("warm, request → samples, 4 bars at 120", "< 2 s to file", f"{taken:.2f} s", taken < 2)

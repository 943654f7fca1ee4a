"""Rows of the table that compare clips with each other: reference, context, stages, takes.

Knows nothing of the rows that judge one clip alone.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from acestep.grid import SAMPLE_RATE_HZ
from acestep.nano import judges
from acestep.nano.data.compose import compose
from acestep.nano.data.latents import REFERENCE_SEED, Example, encode, frames_of, tiled
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import Bank
from acestep.request import AudioRange, GenerateRequest


def comparison_rows(
    cascade: Any, bank: Bank, cases: list[Any], examples: list[Example], count: int
) -> list[Any]:
    """Reference, context, the stages' worth, and how takes differ."""
    from acestep.nano.evaluate import Row, share_row

    rows = [
        share_row(
            "closer to its reference than without", 0.85, reference_pairs(cascade, bank, cases[:count])
        ),
        share_row(
            "fits its context better than a shuffled one", 0.90, context_pairs(cascade, bank, cases[:count])
        ),
    ]
    distances = stage_distances(cascade, cases)
    falling = distances["l"] >= distances["l→m"] >= distances["l→m→s"]
    value = ", ".join(f"{name} {distance:.1f}" for name, distance in distances.items())
    rows.append(Row("Fréchet distance falls with each stage", "yes", value, bool(falling)))
    rows += take_rows(cascade, bank, cases, examples, max(count // 4, 2))
    return rows


def reference_pairs(cascade: Any, bank: Bank, cases: list[Any]) -> list[bool]:
    """Is the clip with a reference closer to it, in timbre statistics, than the same seed without?"""
    hits = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            sibling = render(compose(REFERENCE_SEED + case.loop.seed, True, sound_of=case.loop), bank)
            chosen = {role: sibling[role] for role in case.roles}
            sound = mix(chosen)
            path = _written(folder, sound)
            wish = replace(case.request, reference=path)
            made = cascade.generate(wish)[0].audio.T
            goal = _summary(sound, case, cascade)
            near = np.linalg.norm(_summary(made, case, cascade) - goal)
            far = np.linalg.norm(_summary(case.made, case, cascade) - goal)
            hits.append(bool(near < far))
    return hits


def context_pairs(cascade: Any, bank: Bank, cases: list[Any]) -> list[bool]:
    """Do onsets and chords of a part made in context agree more with that context than with another one?"""
    hits = []
    rests = []
    for case in cases:
        stems = render(case.loop, bank)
        if len(stems) < 2:
            continue
        role = next(
            (name for name in ("bass", "chords", "lead", "arp", "drums") if name in stems), next(iter(stems))
        )
        rest = {name: audio for name, audio in stems.items() if name != role}
        rests.append((case, role, mix(rest)))
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for case, role, sound in rests:
            wish = GenerateRequest(
                prompt=f"{case.loop.style} {role}", task="lego", track=role,
                context=AudioRange(_written(folder, sound)),
                bpm=case.loop.grid.bpm, signature=case.loop.grid.signature, bars=case.loop.grid.bars,
                seed=case.request.seed,
            )  # fmt: skip
            made.append(cascade.generate(wish)[0].audio.T)
    for index, (clip, (_case, _role, sound)) in enumerate(zip(made, rests, strict=True)):
        other = rests[(index + 1) % len(rests)][2]
        hits.append(_agreement(clip, sound, cascade.codec) > _agreement(clip, other, cascade.codec))
    return hits


def stage_distances(cascade: Any, cases: list[Any]) -> dict[str, float]:
    """Fréchet distance to the renders, with one, two and all stages, over the same number of steps."""
    real = np.stack([_summary(case.real, case, cascade) for case in cases])
    found = {}
    for name, stages in (("l", ("l",)), ("l→m", ("l", "m"))):
        made = []
        for case in cases:
            latents = cascade.latents(replace(case.request, stages=stages))[0].float().numpy()
            made.append(judges.summary(latents[: frames_of(case.loop)]))
        found[name] = judges.frechet(np.stack(made), real)
    made = [judges.summary(cascade.latents(case.request)[0].float().numpy()) for case in cases]
    found["l→m→s"] = judges.frechet(np.stack(made), real)
    return found


def take_rows(cascade: Any, bank: Bank, cases: list[Any], examples: list[Example], count: int) -> list[Any]:
    """Distance between takes against that between different renders; nearest training loop."""
    from acestep.nano.evaluate import Row

    made_spread, real_spread, nearest = [], [], []
    training = np.stack([judges.summary(example.views[0].target) for example in examples])
    scale = training.std(0) + 1e-3
    for case in cases[:count]:
        takes = cascade.generate(replace(case.request, takes=4))
        summaries = np.stack([_summary(take.audio.T, case, cascade) for take in takes])
        made_spread.append(judges.mean_distance(summaries / scale))
        renders = []
        for index in range(4):
            loop = compose(REFERENCE_SEED + 7 * case.loop.seed + index, True, sound_of=case.loop)
            stems = render(loop, bank)
            chosen = {role: stems[role] for role in case.roles}
            renders.append(_summary(mix(chosen), case, cascade))
        real_spread.append(judges.mean_distance(np.stack(renders) / scale))
        nearest.append(np.linalg.norm((training - summaries[0]) / scale, axis=1).min())
    ratio = float(np.mean(made_spread)) / max(float(np.mean(real_spread)), 1e-6)
    between = np.linalg.norm((training[:, None] - training[None, :50]) / scale, axis=-1)
    between[between < 1e-6] = np.inf
    usual = float(between.min(0).mean())
    copied = float(np.mean(nearest)) < 0.5 * usual
    return [
        Row("takes differ: distance, of that of renders", "≥ 50 %", f"{ratio:.0%}", ratio >= 0.5),
        Row(
            "nearest training loop is not a copy", "yes",
            f"distance {np.mean(nearest):.1f}; training loops among themselves {usual:.1f}", not copied,
        ),
    ]  # fmt: skip


def _written(folder: str, audio: np.ndarray) -> str:
    path = Path(folder) / f"{abs(hash(audio.tobytes()))}.wav"
    soundfile.write(path, audio, SAMPLE_RATE_HZ, subtype="FLOAT")
    return str(path)


def _summary(clip: np.ndarray, case: Any, cascade: Any) -> np.ndarray:
    return judges.summary(encode(tiled(clip, frames_of(case.loop)), cascade.codec).numpy())


def _agreement(clip: np.ndarray, rest: np.ndarray, codec: Any) -> float:
    """Onsets that fall together, plus pitch classes that are shared."""
    count = min(len(clip), len(rest))
    first, second = (encode(audio[:count].astype(np.float32), codec).numpy() for audio in (clip, rest))
    onsets = judges.agreement(judges.onset_curve(first), judges.onset_curve(second))
    chords = judges.chroma(clip[:count].mean(1)) * judges.chroma(rest[:count].mean(1))
    return onsets + float(chords.sum(0).mean())

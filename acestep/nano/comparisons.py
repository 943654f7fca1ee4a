"""What compares clips with each other: reference, context, stages, takes – case by case, and as rows."""

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile

from acestep.model.cascade import Cascade
from acestep.model.codec.base import Codec
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.nano import judges
from acestep.nano.data.compose import Loop, compose
from acestep.nano.data.render import mix, render
from acestep.nano.data.sounds import Bank
from acestep.nano.latents import REFERENCE_SEED, encode, frames_of, tiled
from acestep.nano.rows import Row, share_row
from acestep.request import AudioRange, GenerateRequest

STAGES: dict[str, tuple[str, ...]] = {"l": ("l",), "l→m": ("l", "m"), "l→m→s": ()}


@dataclass
class Case:
    """A held-out loop and what is asked for."""

    index: int
    loop: Loop
    roles: tuple[str, ...]
    caption: str
    request: GenerateRequest

    @property
    def whole(self) -> bool:
        """Whether the full mix is asked for."""
        return len(self.roles) == len(self.loop.parts)


@dataclass
class Comparisons:
    """What one case says; fields stay None where the case was not asked."""

    real: np.ndarray  # summary of the render [256]
    by_stage: dict[str, np.ndarray]  # summaries with one, two and all stages
    nearer_reference: bool | None = None
    fits_context: bool | None = None
    takes: list[np.ndarray] = field(default_factory=list)  # summaries of takes of one request
    renders: list[np.ndarray] = field(default_factory=list)  # and of other renders of its sounds


def compare(
    cascade: Cascade,
    bank: Bank,
    case: Case,
    stems: dict[str, np.ndarray],
    made: np.ndarray,
    with_others: bool,
    by_takes: bool,
) -> Comparisons:
    """All comparisons of one case, of which `stems` are the render and `made` [N, 2] the clip."""
    chosen = {role: stems[role] for role in case.roles}
    found = Comparisons(_summary(mix(chosen), case, cascade), _by_stage(cascade, case))
    if with_others:
        found.nearer_reference = _nearer_reference(cascade, bank, case, made)
        found.fits_context = _fits_context(cascade, bank, case, stems)
    if by_takes:
        takes = cascade.generate(replace(case.request, takes=4))
        found.takes = [_summary(take.audio.T, case, cascade) for take in takes]
        for index in range(4):
            loop = compose(REFERENCE_SEED + 7 * case.loop.seed + index, True, sound_of=case.loop)
            others = render(loop, bank)
            found.renders.append(_summary(mix({role: others[role] for role in case.roles}), case, cascade))
    return found


def comparison_rows(found: list[Comparisons], training: np.ndarray) -> list[Row]:
    """The rows; `training` are summaries of training loops [n, 256]."""
    nearer = [one.nearer_reference for one in found if one.nearer_reference is not None]
    fitting = [one.fits_context for one in found if one.fits_context is not None]
    real = np.stack([one.real for one in found])
    distances = {
        name: judges.frechet(np.stack([one.by_stage[name] for one in found]), real) for name in STAGES
    }
    falling = distances["l"] >= distances["l→m"] >= distances["l→m→s"]
    value = ", ".join(f"{name} {distance:.1f}" for name, distance in distances.items())
    return [
        share_row("closer to its reference than without", 0.85, nearer),
        share_row("fits its context better than a shuffled one", 0.90, fitting),
        Row("Fréchet distance falls with each stage", "yes", value, bool(falling)),
        *_take_rows(found, training),
    ]


def _take_rows(found: list[Comparisons], training: np.ndarray) -> list[Row]:
    """Distance between takes against that between different renders; nearest training loop."""
    scale = training.std(0) + 1e-3
    asked = [one for one in found if one.takes]
    made = float(np.mean([judges.mean_distance(np.stack(one.takes) / scale) for one in asked]))
    real = float(np.mean([judges.mean_distance(np.stack(one.renders) / scale) for one in asked]))
    ratio = made / max(real, 1e-6)
    nearest = float(np.mean([_nearest(one.takes[0], training, scale) for one in asked]))
    some = range(0, len(training), max(len(training) // 50, 1))
    usual = float(np.mean([_nearest(training[i], np.delete(training, i, 0), scale) for i in some]))
    value = f"distance {nearest:.1f}; training loops among themselves {usual:.1f}"
    return [
        Row("takes differ: distance, of that of renders", "≥ 50 %", f"{ratio:.0%}", ratio >= 0.5),
        Row("nearest training loop is not a copy", "yes", value, nearest >= 0.5 * usual),
    ]


def _nearest(summary: np.ndarray, others: np.ndarray, scale: np.ndarray) -> float:
    return float(np.linalg.norm((others - summary) / scale, axis=1).min())


def _by_stage(cascade: Cascade, case: Case) -> dict[str, np.ndarray]:
    """Summaries of latents made over the same number of steps."""
    made, ear = {}, judges.ear_of(cascade.codec)
    for name, stages in STAGES.items():
        request = replace(case.request, stages=stages) if stages else case.request
        latents = cascade.latents(request)[0].float()
        made[name] = judges.summary(ear.frames(latents[: frames_of(case.loop)]))
    return made


def _nearer_reference(cascade: Cascade, bank: Bank, case: Case, without: np.ndarray) -> bool:
    """Is the clip with a reference closer to it, in timbre statistics, than the same seed without?"""
    sibling = render(compose(REFERENCE_SEED + case.loop.seed, True, sound_of=case.loop), bank)
    sound = mix({role: sibling[role] for role in case.roles})
    with tempfile.TemporaryDirectory() as folder:
        asked = replace(case.request, reference=AudioRange(_written(folder, sound)))
        made = cascade.generate(asked)[0].audio.T
    goal = _summary(sound, case, cascade)
    near, far = (np.linalg.norm(_summary(clip, case, cascade) - goal) for clip in (made, without))
    return bool(near < far)


def _fits_context(cascade: Cascade, bank: Bank, case: Case, stems: dict[str, np.ndarray]) -> bool | None:
    """Do onsets and chords of a part made in context agree more with that context than with another one?"""
    if len(stems) < 2:
        return None
    role = next(
        (name for name in ("bass", "chords", "lead", "arp", "drums") if name in stems), next(iter(stems))
    )
    context = mix({name: audio for name, audio in stems.items() if name != role})
    grid = case.loop.grid
    with tempfile.TemporaryDirectory() as folder:
        request = GenerateRequest(
            prompt=f"{case.loop.style} {role}", task="lego", track=role,
            context=AudioRange(_written(folder, context)),
            bpm=grid.bpm, signature=grid.signature, bars=grid.bars, seed=case.request.seed,
        )  # fmt: skip
        made = cascade.generate(request)[0].audio.T
    other = _other_context(case.loop.seed, bank)
    return _agreement(made, context, cascade.codec) > _agreement(made, other, cascade.codec)


def _other_context(seed: int, bank: Bank) -> np.ndarray:
    """The mix of another held-out loop."""
    stems = render(compose(seed + 100_000, held=True), bank)
    return mix(stems)


def _written(folder: str, audio: np.ndarray) -> str:
    path = Path(folder) / "sound.wav"
    soundfile.write(path, audio, SAMPLE_RATE_HZ, subtype="FLOAT")
    return str(path)


def _summary(clip: np.ndarray, case: Case, cascade: Cascade) -> np.ndarray:
    return judges.summary(heard(tiled(clip, frames_of(case.loop)), cascade.codec))


def heard(audio: np.ndarray, codec: Codec) -> np.ndarray:
    """Audio [N, 2] → the judges' frames [S, 64], by way of the codec's latents."""
    return judges.ear_of(codec).frames(encode(audio, codec))


def _agreement(clip: np.ndarray, rest: np.ndarray, codec: Codec) -> float:
    """Onsets that fall together, plus pitch classes that are shared."""
    count = min(len(clip), len(rest))
    first, second = (heard(audio[:count].astype(np.float32), codec) for audio in (clip, rest))
    onsets = judges.agreement(judges.onset_curve(first), judges.onset_curve(second))
    chords = judges.chroma(clip[:count].mean(1)) * judges.chroma(rest[:count].mean(1))
    return onsets + float(chords.sum(0).mean())

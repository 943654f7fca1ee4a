"""Ranking candidates for one clip: which fits best, and how near each comes to the reference's sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acestep.clips.fit import Fit
from acestep.clips.verdict import DOWNBEAT_TOLERANCE_MS, OTHER_KEY, TEMPO_TOLERANCE_PCT
from acestep.errors import SilentClip
from acestep.hearing.onsets import mono
from acestep.hearing.singles import CLEAREST_DB

# Chosen by hand, against errors in units of the tolerances (`verdict`); nothing measures the choice.
SILENT = 1e-4  # −80 dB of full scale
KEY_PENALTY = 1.0  # as bad as a tempo or a downbeat at its tolerance
SILENCE_PENALTY = 1000.0  # more than any error of what can be heard
REFERENCE_WEIGHT = 0.5  # of the distance in sound, in units of the same tolerances
STRETCH_WEIGHT = 0.1  # per per cent of tempo that had to be corrected
APART_WEIGHT = 0.5  # of what speaks against a part beside the others (see `pairs.Pair.penalty`)
BANDS = 24  # of the spectrum that is compared, from bin 2 up, evenly by ratio


@dataclass(frozen=True)
class Rank:
    """One candidate's place: lower `score` is better; `parts` says what it is made of."""

    candidate: int
    seed: int
    score: float
    parts: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """For the sidecar."""
        return {"candidate": self.candidate, "seed": self.seed, "score": self.score, "parts": self.parts}


def rank(
    fits: list[Fit],
    seeds: list[int],
    reference: np.ndarray | None = None,
    apart: Sequence[float] = (),
) -> list[Rank]:
    """The candidates, best first; ties go to the earlier one. `apart`: what speaks against each beside the
    other parts of its idea."""
    timbre = spectrum_shape(reference) if reference is not None else None
    ranks = []
    for i, (fit, seed) in enumerate(zip(fits, seeds, strict=True)):
        parts = fit_parts(fit)
        if timbre is not None:
            parts["reference"] = REFERENCE_WEIGHT * colour_distance(timbre, spectrum_shape(fit.audio))
        if apart:
            parts["apart"] = APART_WEIGHT * apart[i]
        parts = {name: round(value, 4) for name, value in parts.items() if value}
        ranks.append(Rank(i, seed, round(sum(parts.values()), 4), parts))
    return sorted(ranks, key=lambda one: (one.score, one.candidate))


def fit_parts(fit: Fit) -> dict[str, float]:
    """What speaks against a candidate, in units of its tolerance."""
    if fit.hit is not None:  # a one-shot: how far it is from the clearest there are
        return {
            "clarity": (2 * CLEAREST_DB - fit.hit.clarity_db) / CLEAREST_DB,
            "other": float(fit.verdict == "poor"),
        }
    before_pct = abs(fit.before.bpm / fit.after.bpm - 1) * 100 if fit.before.bpm and fit.after.bpm else 0.0
    return {
        "tempo": (fit.tempo_error_pct or 0.0) / TEMPO_TOLERANCE_PCT,
        "downbeat": abs(fit.downbeat_error_ms or 0.0) / DOWNBEAT_TOLERANCE_MS,
        "key": KEY_PENALTY if fit.key_match == OTHER_KEY else 0.0,
        "stretch": STRETCH_WEIGHT * min(before_pct, 40.0),
        "drift": 0.0 if fit.before.steady else 0.2,
        "unsure": 0.3 * (1 - fit.after.tempo_confidence) if fit.after.bpm else 0.3,
        "silence": SILENCE_PENALTY if not np.any(np.abs(fit.audio) > SILENT) else 0.0,
    }


def spectrum_shape(audio: np.ndarray) -> np.ndarray:
    """[BANDS] mean and spread of the level per band in dB, without the overall level: a sound's colour."""
    samples = mono(audio)
    size = 2048
    if len(samples) < size:
        samples = np.pad(samples, (0, size - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[:: max(size, len(samples) // 400)]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(size).astype(np.float32), axis=1)))
    edges = np.unique(np.geomspace(2, size // 2, BANDS + 1).astype(int))
    level = 10 * np.log10(np.add.reduceat(power[:, : size // 2], edges[:-1], axis=1).mean(axis=0) + 1e-9)
    shape: np.ndarray = level - level.mean()
    return shape


def colour_distance(a: np.ndarray, b: np.ndarray) -> float:
    """0 for the same colour, 1 at 10 dB mean difference."""
    return float(np.abs(a - b).mean() / 10)


def refuse_silence(result: Fit, seed: int) -> None:
    """Raise SilentClip for a clip without sound: something went wrong in the model, no fitting mends it."""
    if not float(np.abs(result.audio).max(initial=0.0)) > SILENT:
        raise SilentClip(
            f"nothing can be heard in what seed {seed} made, so no clip was written: try another seed, "
            "another prompt, or fewer adapters"
        )

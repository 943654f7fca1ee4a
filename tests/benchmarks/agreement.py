"""What every benchmark that compares speed asserts before it prints a time: both sides compute the same.

A side that skips work is fast; so is one that was given something else to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import soundfile
import torch

from tests.support.closeness import error, rounding

if TYPE_CHECKING:
    from acestep import Cascade


def must_agree(what: str, ours: Any, theirs: Any, within: float) -> None:
    """Ends the benchmark with a sentence, and exit code 1, where `ours` is not `theirs` up to `within` of the
    largest magnitude."""
    shapes = [tuple(torch.as_tensor(one).shape) for one in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise SystemExit(f"{what}: ours has the shape {shapes[0]}, theirs {shapes[1]}; no time is printed.")
    off = error(ours, theirs)
    if not off <= within:
        raise SystemExit(
            f"{what}: the two sides do not compute the same: they differ by {off:.1e} of the largest value, "
            f"and rounding explains {within:.1e}. No time is printed, because it would compare nothing."
        )


def must_be_same(what: str, ours: object, theirs: object) -> None:
    """Ends the benchmark with a sentence and exit code 1 where the two are not equal."""
    if ours != theirs:
        raise SystemExit(
            f"{what}: the two sides are not the same. No time is printed: it would compare nothing."
        )


def at_level_of(audio: Any, other: Any) -> torch.Tensor:
    """`audio` times the one factor that brings it nearest to `other`: pipelines choose their own level."""
    audio, other = (torch.as_tensor(one).double() for one in (audio, other))
    return audio * ((audio * other).sum() / audio.square().sum().clamp_min(1e-30))


def run_rounding(cascade: Cascade, steps: int) -> float:
    """What rounding explains after so many steps through the cascade's largest stage.

    float32 rounds in every addition of its longest sum; matrix products in bfloat16 add in float32 and round
    once a layer.
    """
    dtype = next(iter(cascade.stages.values())).like.dtype
    configs = [stage.transformer.config for stage in cascade.stages.values()]
    additions = max(
        config.num_hidden_layers * (config.intermediate_size if dtype == torch.float32 else 1)
        for config in configs
    )
    return rounding(steps * additions, dtype)


def clips_must_agree(what: str, ours: str | Path, theirs: str | Path, within: float) -> None:
    """The same for two audio files."""
    must_agree(what, *(soundfile.read(path)[0] for path in (ours, theirs)), within)

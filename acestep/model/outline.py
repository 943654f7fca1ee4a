"""What a request means for a checkpoint: length in frames, windows, region to make, what it cannot do.

Arithmetic and rules only.

Length. Text-to-music is made longer than the grid by a tail, so that fitting has material: one bar, at
least a second and 2 % of the clip; half a second where the checkpoint takes the grid as input; `tail_s` in
cascade.json overrules it. A clip made in context starts where the context starts and needs no shifting: it
gets as much tail as the context has.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from acestep.checkpoints.checkpoint import CascadeSpec
from acestep.errors import InvalidRequest, Unsupported
from acestep.music.grid import DURATION_RANGE_S
from acestep.request import CONTEXT_TASKS, GenerateRequest

NO_LYRICS = ("", "[instrumental]", "[inst]")
GUIDED_TAIL_S = 0.5  # made beyond the grid where it is an input: chosen by hand
WINDOW_OVERLAP = 0.25  # of a window, at least, where clips are longer than the checkpoint was trained on


@dataclass(frozen=True)
class Outline:
    """A request in latent frames. `windows` are (start, length), more than one only beyond `max_s`."""

    frames: int
    windows: tuple[tuple[int, int], ...]
    region: tuple[int, int] | None  # frames to make anew; None is all
    duration_s: float


def outline(
    request: GenerateRequest, spec: CascadeSpec, latent_rate_hz: float, context_s: float | None = None
) -> Outline:
    """The request's length and parts; `context_s` is how much context audio there is."""
    grid_s = request.grid.duration_s
    duration_s = min(grid_s + tail_s(request, spec), DURATION_RANGE_S[1])
    if spec.max_s and grid_s <= spec.max_s:  # the tail alone is not worth a second window
        duration_s = min(duration_s, spec.max_s)
    if context_s is not None:
        duration_s = max(grid_s, min(duration_s, context_s))
    frames = math.ceil(round(duration_s * latent_rate_hz, 6))
    region = None
    if request.repaint_s is not None:
        if request.repaint_s[0] * latent_rate_hz >= frames:
            raise InvalidRequest(
                f"repaint region {request.repaint_s[0]:g}–{request.repaint_s[1]:g} s lies behind the "
                f"{frames / latent_rate_hz:.2f} s of the clip"
            )
        first, last = (int(edge_s * latent_rate_hz) for edge_s in request.repaint_s)
        region = (first, max(first + 1, min(last, frames)))
    return Outline(frames, windows(request, spec, latent_rate_hz, frames), region, frames / latent_rate_hz)


def tail_s(request: GenerateRequest, spec: CascadeSpec) -> float:
    """How much longer than the grid a clip is made."""
    if spec.tail_s is not None:
        return spec.tail_s
    if spec.guide is not None:
        return GUIDED_TAIL_S
    return max(request.grid.bar_s, 1.0, 0.02 * request.grid.duration_s)


def windows(
    request: GenerateRequest, spec: CascadeSpec, latent_rate_hz: float, frames: int
) -> tuple[tuple[int, int], ...]:
    """Overlapping stretches of equal length that cover the clip, starting at bars as far as they fit."""
    length = int(spec.max_s * latent_rate_hz) if spec.max_s else frames
    if length >= frames:
        return ((0, frames),)
    hop = (1 - WINDOW_OVERLAP) * length
    bar = request.grid.bar_s * latent_rate_hz
    if bar <= hop:
        hop = math.floor(hop / bar) * bar
    starts = [round(i * hop) for i in range(math.ceil((frames - length) / hop))]
    return tuple((start, length) for start in [*starts, frames - length])


def check(request: GenerateRequest, spec: CascadeSpec) -> list[str]:
    """Raise Unsupported or InvalidRequest for what the checkpoint cannot do; notes on what it ignores."""
    refuse_unable(request, spec)
    return _left_out(request, spec)


def refuse_unable(request: GenerateRequest, spec: CascadeSpec) -> None:
    """Raise Unsupported or InvalidRequest for what the checkpoint cannot do. Asks for no grid, which a
    request may leave to its context."""
    if not spec.can(request.task):
        able = ", ".join(spec.supports or ())
        raise Unsupported(f"checkpoint {spec.name} cannot do task {request.task}: it supports {able}")
    if request.reference is not None and not spec.can("reference"):
        raise Unsupported(f"checkpoint {spec.name} takes no reference: leave it out or load another")
    if request.task == "text" and request.context is not None:
        raise InvalidRequest(f"task text takes no context: choose one of {', '.join(CONTEXT_TASKS)}")
    if request.lyrics.strip().lower() not in NO_LYRICS and not spec.sings:
        raise Unsupported(f"checkpoint {spec.name} cannot sing: leave the lyrics out, or load another")
    unknown = [name for name in track_names(request.track) if name not in spec.tracks]
    if unknown:
        raise Unsupported(
            f"checkpoint {spec.name} knows no track {', '.join(unknown)}: expected some of "
            f"{', '.join(sorted(spec.tracks))}, several separated by |"
        )


def track_names(track: str) -> list[str]:
    """The instruments of a request's `track`, as ACE-Step spells them."""
    names = (name.strip().lower() for name in track.replace(",", "|").split("|"))
    return [re.sub(r"[\s-]+", "_", name) for name in names if name]


def _left_out(request: GenerateRequest, spec: CascadeSpec) -> list[str]:
    """Notes on settings that change nothing, and on what lies outside the checkpoint's training."""
    notes = []
    if request.strength < 1 and request.task not in ("text", "cover"):
        notes.append(f"strength has no meaning for task {request.task} and was left out")
    elif request.strength < 1 and request.task == "text" and request.reference is None:
        notes.append("strength has no meaning without a reference and was left out")
    if not request.fit:
        asked = (("swing", request.swing), ("tempo map", request.tempo_map))
        notes += [
            f"the {name} was not made, because fit is off" for name, value in asked if value is not None
        ]
    for name, scale in request.adapters:
        if scale == 0:
            notes.append(f"adapter {name} has scale 0 and is not heard")
    if request.guide and spec.guide is None:
        if request.context is None:
            notes.append("the guide was given as quiet context audio: this checkpoint has no channels for it")
        else:
            notes.append(f"checkpoint {spec.name} has no guide channels, and its context was the request's")
    beyond = spec.range.beyond(request.grid) if spec.range else []
    if beyond:
        notes.append(f"outside what checkpoint {spec.name} was trained on: {', '.join(beyond)}")
    return notes

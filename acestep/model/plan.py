"""How one song is made on this machine: by which stages, in what number format, how much at once.

A plan belongs to its song and never changes. If memory runs out, the song gets another plan; the cascade
stays as it is for the next song. Every sidecar holds the plan, and a clip is made again by exactly that plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from acestep.checkpoints.checkpoint import stage_names
from acestep.checkpoints.schedule import Leg, legs
from acestep.errors import InvalidRequest, Unsupported
from acestep.model.loaded import Loaded
from acestep.request import GenerateRequest

ROWS_AT_ONCE = {"cpu": 4, "mps": 4, "cuda": 8}  # takes made as one batch


@dataclass(frozen=True)
class SongPlan:
    """`stages` are those that run, in order. `window` is how many latent frames are decoded at once; None if
    the codec has no choice. `resident` False: the stages take turns on the device.
    """

    stages: tuple[str, ...]
    dtype: str
    int8: bool
    window: int | None
    takes_at_once: int
    resident: bool
    device: str

    def to_dict(self) -> dict[str, Any]:
        """For the sidecar."""
        return asdict(self) | {"stages": list(self.stages)}

    @classmethod
    def from_dict(cls, values: Any) -> SongPlan:
        """From a sidecar. Raises InvalidRequest for what is not a plan."""
        kinds: dict[str, Any] = {"stages": list, "dtype": str, "int8": bool, "window": int | None,
                                 "takes_at_once": int, "resident": bool, "device": str}  # fmt: skip
        known = isinstance(values, Mapping) and all(
            isinstance(values.get(field.name), kinds[field.name]) for field in fields(cls)
        )
        if not known or values["takes_at_once"] < 1 or not values["stages"]:
            raise InvalidRequest(
                "the sidecar's plan is incomplete: expected stages, dtype, window and the others"
            )
        chosen = {field.name: values[field.name] for field in fields(cls)}
        return cls(**chosen | {"stages": tuple(str(name) for name in values["stages"])})


def plan_song(cascade: Loaded, request: GenerateRequest) -> SongPlan:
    """The plan for a request on a cascade as it is loaded. Raises InvalidRequest for stages it has not."""
    dtype, int8 = _numbers(cascade)
    return SongPlan(
        stages=_running(cascade, tuple(request.stages) or tuple(cascade.stages), request.steps),
        dtype=dtype,
        int8=int8,
        window=cascade.codec.window,
        takes_at_once=ROWS_AT_ONCE.get(cascade.device.type, 4),
        resident=cascade.resident,
        device=cascade.device.type,
    )


def check_plan(plan: SongPlan, cascade: Loaded) -> None:
    """Raise Unsupported if a loaded cascade cannot follow a plan that was made before."""
    missing = [name for name in plan.stages if name not in cascade.stages]
    if missing:
        raise Unsupported(
            f"the clip was made by stages {', '.join(plan.stages)}, and {', '.join(missing)} cannot be used "
            f"here: loaded are {', '.join(cascade.stages)}; free memory for the others, or load them by name"
        )
    made, here = (plan.dtype, plan.int8), _numbers(cascade)
    if made != here:
        raise Unsupported(
            f"the clip was made in {_precision(*made)}, and the cascade is loaded in {_precision(*here)}: "
            f"load it with --precision {'int8' if plan.int8 else plan.dtype}"
        )


def way(plan: SongPlan, cascade: Loaded, request: GenerateRequest) -> list[Leg]:
    """The plan's stages from noise to clean, with the request's steps and guidance."""
    found = legs(cascade.spec.plans(), plan.stages, request.steps)
    return found if request.guidance is None else [leg.guided_by(request.guidance) for leg in found]


def _running(cascade: Loaded, chosen: Sequence[str], steps: int | None) -> tuple[str, ...]:
    """Those of the chosen stages that get steps. They take over the steps of the others."""
    named = stage_names([stage.name for stage in cascade.spec.stages], chosen)
    absent = [name for name in named if name not in cascade.stages]
    if absent:
        raise InvalidRequest(
            f"stage {', '.join(absent)} is not loaded: loaded are {', '.join(cascade.stages)}"
        )
    while True:
        running = tuple(leg.stage for leg in legs(cascade.spec.plans(), named, steps))
        if running in (named, ()):
            return named
        named = running


def _numbers(cascade: Loaded) -> tuple[str, bool]:
    """The number format that a cascade is loaded in, and whether its transformers' weights are integers."""
    stages = list(cascade.stages.values())
    int8 = any(stage.int8_error is not None for stage in stages)
    return str(stages[0].like.dtype).removeprefix("torch."), int8


def _precision(dtype: str, int8: bool) -> str:
    return f"{dtype}{' with int8 transformers' if int8 else ''}"

"""A run's state on disk: one file that is whole or not there, and the one before it.

Holds the adapter, its average, the best so far, the optimizer's moments and every number the run hangs on.
Data position and random numbers are functions of seed and step, so the step is all that is kept of them.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from acestep.errors import CheckpointError
from lora_studio.files import write_tensors

KEPT = 2  # states of a run: one may be broken by a stop
GROUPS = ("weights", "average", "best", "moment1", "moment2")


@dataclass
class RunState:
    """Where a stage's training is. Tensors by group and name; everything else is plain JSON."""

    identity: str  # hash of settings, data and checkpoint: another run's state must not be taken for ours
    step: int = 0
    total_steps: int = 0
    audio_seconds: float = 0.0
    elapsed_s: float = 0.0
    base_loss: float = 0.0
    best_loss: float = 0.0
    best_step: int = 0
    stale: int = 0  # validations since the best one
    finished: bool = False
    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    validate_every: int = 0  # steps


def save(folder: Path, state: RunState) -> Path:
    """Write the state atomically, then forget all but the last two. A full disk leaves the last good one."""
    path = folder / f"state-{state.step:08d}.safetensors"
    flat = {
        f"{group}/{name}": tensor
        for group, tensors in state.tensors.items()
        for name, tensor in tensors.items()
    }
    values = asdict(_plain(state))
    del values["tensors"]
    write_tensors(path, flat, {"state": json.dumps(values)})
    for old in sorted(folder.glob("state-*.safetensors"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def _plain(state: RunState) -> RunState:
    values = {name: getattr(state, name) for name in RunState.__dataclass_fields__}
    return RunState(**{**values, "tensors": {}})


def load(folder: Path, identity: str) -> RunState | None:
    """The newest state that can be read, None where there is none.

    Raises CheckpointError when it is another run's: it is never half used.
    """
    for path in sorted(folder.glob("state-*.safetensors"), reverse=True):
        try:
            state = _read(path)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            continue  # cut off by something that fsync does not protect from; the one before is whole
        if state.identity != identity:
            raise CheckpointError(
                f"{path} belongs to a run with other settings, data or another base: "
                "use another name, or --restart to begin anew"
            )
        return state
    return None


def _read(path: Path) -> RunState:
    tensors: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    with safe_open(path, framework="pt") as file:
        values: dict[str, Any] = json.loads((file.metadata() or {})["state"])
        for name in file.keys():  # noqa: SIM118 (not a mapping)
            group, _, rest = name.partition("/")
            tensors[group][rest] = file.get_tensor(name)
    values["validations"] = [(int(step), float(loss)) for step, loss in values["validations"]]
    return RunState(**values, tensors=tensors)

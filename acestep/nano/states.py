"""The files of a work folder: states are written whole or not at all, and never over another run's."""

from pathlib import Path
from typing import Any, TypeAlias

import torch

from acestep.errors import AlreadyExists, NotFound
from acestep.files import appearing

State: TypeAlias = dict[str, Any]  # what torch.save keeps of a training; load_state_dict checks what is read


def needed(path: Path, part: str) -> Path:
    """`path`, or NotFound with the command that makes it."""
    if not path.exists():
        raise NotFound(f"{path} is missing: run `acestep nano {part}` first")
    return path


def write_state(state: State, path: Path) -> None:
    """Keep `state` at `path`; a stop in the middle leaves the one before."""
    with appearing(path) as hidden:
        torch.save(state, hidden)


def read_state(path: Path, resume: bool) -> State | None:
    """The state to go on from, on the CPU; None where there is none.

    Raises AlreadyExists for one that a run which does not resume would write over.
    """
    if not path.exists():
        return None
    if not resume:
        raise AlreadyExists(
            f"{path} holds a training run: --resume goes on from it; to start anew, move it elsewhere"
        )
    state: State = torch.load(path, map_location="cpu", weights_only=True)
    return state

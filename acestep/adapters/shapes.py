"""Which stages an adapter goes on: those whose layers have the shapes of its updates.

Tensors that belong to no layer are left out and listed. A layer of another shape means another model, and is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from acestep.adapters.files import AdapterFile, listed
from acestep.errors import AdapterError

if TYPE_CHECKING:
    from acestep.adapters.updates import Update


class Misfit(str):
    """Why a layer takes no update, in words."""


Shapes = Mapping[str, "tuple[int, int] | Misfit"]  # a stage's layers → (out, in)
Updates = dict[str, "Update"]  # by a layer's path


def fitting(file: AdapterFile, stages: Mapping[str, Shapes]) -> tuple[dict[str, Updates], list[str]]:
    """(stage → updates, unused layers) for a model of these stages.

    An adapter that names no stage goes on those where the least of it is left out. Raises AdapterError if it
    fits nowhere, saying why.
    """
    if None not in file.stages:
        return _named(file, stages)
    updates = file.stages[None]
    wrong = {name: _wrong(shapes, updates) for name, shapes in stages.items()}
    placed = {name: sum(path in shapes for path in updates) for name, shapes in stages.items()}
    most = max((placed[name] for name, reasons in wrong.items() if not reasons), default=0)
    if not most:
        reasons = "; ".join(
            f"stage {name}: {listed(found or [f'it has none of {listed(list(updates))}'])}"
            for name, found in wrong.items()
        )
        raise AdapterError(f"adapter {file.path} fits no stage. {reasons}")
    chosen = [name for name, reasons in wrong.items() if not reasons and placed[name] == most]
    found = {name: {path: one for path, one in updates.items() if path in stages[name]} for name in chosen}
    return found, [path for path in updates if not any(path in part for part in found.values())]


def _named(file: AdapterFile, stages: Mapping[str, Shapes]) -> tuple[dict[str, Updates], list[str]]:
    here = {str(name): updates for name, updates in file.stages.items() if name in stages}
    if not here:
        raise AdapterError(
            f"adapter {file.path} is for stages {', '.join(map(str, file.stages))}: "
            f"loaded are {', '.join(stages)}"
        )
    found, left_out = {}, []
    for name, updates in here.items():
        wrong = _wrong(stages[name], updates)
        found[name] = {path: one for path, one in updates.items() if path in stages[name]}
        if wrong or not found[name]:
            wrong = wrong or [f"it has none of {listed(list(updates))}"]
            raise AdapterError(f"adapter {file.path} does not fit stage {name}: {listed(wrong)}")
        left_out += [f"{name}/{path}" for path in updates if path not in stages[name]]
    return found, left_out


def _wrong(shapes: Shapes, updates: Updates) -> list[str]:
    """What keeps these updates from going onto a stage: other shapes, quantised weights."""
    wrong: list[str] = []
    for path, update in updates.items():
        have = shapes.get(path)
        if isinstance(have, Misfit):
            wrong.append(have)
        elif have is not None and have != update.shape:
            wrong.append(
                f"{path} is {have[1]}→{have[0]}, the adapter's is {update.shape[1]}→{update.shape[0]}"
            )
    return wrong

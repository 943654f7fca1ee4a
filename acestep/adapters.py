"""LoRA adapters on loaded stages: load, mix by scale per request, take out again.

An adapter that is not asked for leaves no trace: its layers call the original ones, bit for bit. Knows
nothing of file spellings (see `adapter_files`) or of requests beyond names and scales.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acestep import adapter_files
from acestep.adapter_files import AdapterFile, Low
from acestep.errors import AdapterError, AlreadyExists, NotFound
from acestep.quantise import is_quantised
from acestep.stage import Stage

SHOWN = 5  # names in an error


@dataclass
class _Update:
    """One adapter's update of one layer, on the layer's device."""

    down: Tensor
    up: Tensor
    scaling: float
    magnitude: Tensor | None
    weights: dict[float, Tensor]  # DoRA's magnitude over norm, by scale


class Adapted(nn.Module):
    """A linear layer with low-rank updates beside it; `active` lists (adapter, scale)."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.updates: dict[str, _Update] = {}
        self.active: tuple[tuple[str, float], ...] = ()

    @property
    def weight(self) -> Tensor:
        """The original weight."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The original bias."""
        return self.base.bias

    def add(self, name: str, low: Low) -> None:
        """Put an adapter's update beside the layer, in its dtype and on its device."""
        like = self.base.weight
        magnitude = None if low.magnitude is None else low.magnitude.to(like)
        self.updates[name] = _Update(low.down.to(like), low.up.to(like), low.scaling, magnitude, {})

    def forward(self, x: Tensor) -> Tensor:
        """The original layer's output plus every active update's."""
        result = self.base(x)
        original = result
        for name, scale in self.active:
            update = self.updates.get(name)
            if update is None:
                continue
            added = nn.functional.linear(nn.functional.linear(x, update.down), update.up)
            added = added * (scale * update.scaling)
            if update.magnitude is not None:  # DoRA (Liu et al. 2024): m · (W + BA) / ‖W + BA‖
                factor = self._dora_factor(update, scale)
                plain = original if self.base.bias is None else original - self.base.bias
                added = (factor - 1) * plain + factor * added
            result = result + added
        return result

    def _dora_factor(self, update: _Update, scale: float) -> Tensor:
        if scale not in update.weights:
            assert update.magnitude is not None
            product = update.up.float() @ update.down.float()
            norm = (self.base.weight.float() + scale * update.scaling * product).norm(dim=1)
            update.weights.clear()
            update.weights[scale] = (update.magnitude.float() / norm).to(self.base.weight.dtype)
        return update.weights[scale]

    def _apply(self, fn: Any, recurse: bool = True) -> Adapted:
        """Updates move with the layer."""
        super()._apply(fn, recurse)
        for update in self.updates.values():
            update.down, update.up = fn(update.down), fn(update.up)
            update.magnitude = None if update.magnitude is None else fn(update.magnitude)
            update.weights.clear()
        return self


class Adapters:
    """The adapters loaded on a cascade's stages. `loaded` maps names to the stages they act on."""

    def __init__(self, stages: dict[str, Stage]) -> None:
        self.stages = stages
        self.loaded: dict[str, tuple[str, ...]] = {}
        self.triggers: dict[str, str] = {}
        self._paths: dict[str, Path] = {}

    @property
    def paths(self) -> dict[str, Path]:
        """Where each loaded adapter came from."""
        return dict(self._paths)

    @torch.no_grad()
    def load(self, name_or_path: str | Path) -> str:
        """Load an adapter by its name in home or its path; gives its name. Loading it twice changes nothing.

        Everything is checked before the first layer is touched. Raises AdapterError or NotFound.
        """
        path = adapter_files.find(name_or_path)
        file = adapter_files.read_adapter(path)
        if file.name in self.loaded:
            if self._paths[file.name] == path.resolve():
                return file.name
            raise AlreadyExists(
                f"an adapter named {file.name!r} is loaded from {self._paths[file.name]}: unload it first"
            )
        wanted = self._matched(file)
        for stage, updates in wanted.items():
            for module, low in updates.items():
                _adapted(self.stages[stage].transformer, module).add(file.name, low)
        self.loaded[file.name] = tuple(wanted)
        self.triggers[file.name] = file.trigger
        self._paths[file.name] = path.resolve()
        return file.name

    def unload(self, name: str) -> None:
        """Take an adapter out. Layers that no adapter is left on become the original ones again."""
        if name not in self.loaded:
            raise NotFound(f"no adapter {name!r} is loaded: loaded are {', '.join(self.loaded) or 'none'}")
        for stage in self.loaded.pop(name):
            transformer = self.stages[stage].transformer
            for path, layer in list(transformer.named_modules()):
                if isinstance(layer, Adapted):
                    layer.updates.pop(name, None)
                    if not layer.updates:
                        _replace(transformer, path, layer.base)
            self.stages[stage].forget_conditions()
        self.triggers.pop(name, None)
        self._paths.pop(name, None)

    @contextlib.contextmanager
    def applied(self, wanted: Sequence[tuple[str, float]]) -> Iterator[None]:
        """While open, the named adapters act at these scales, and no others; from home they are loaded."""
        names = {name: self._loaded_name(name) for name, _ in wanted}
        active = tuple((names[name], scale) for name, scale in wanted if scale != 0)
        self._activate(active)
        try:
            yield
        finally:
            self._activate(())

    def _loaded_name(self, name: str) -> str:
        if name in self.loaded:
            return name
        return self.load(name)

    def _activate(self, active: tuple[tuple[str, float], ...]) -> None:
        for stage in self.stages.values():
            here = tuple((name, scale) for name, scale in active if stage.name in self.loaded[name])
            stage.adapted = here
            if not any(stage.name in stages for stages in self.loaded.values()):
                continue
            for layer in stage.transformer.modules():
                if isinstance(layer, Adapted):
                    layer.active = tuple((name, scale) for name, scale in here if name in layer.updates)

    def _matched(self, file: AdapterFile) -> dict[str, dict[str, Low]]:
        """Which stages the adapter goes on. One without stages of its own goes wherever its shapes fit."""
        if None in file.stages:
            updates, misfits = file.stages[None], {}
            for name, stage in self.stages.items():
                misfits[name] = _misfits(stage, updates)
            fitting = {name: updates for name, wrong in misfits.items() if not wrong}
            if not fitting:
                reasons = "; ".join(f"stage {name}: {_listed(wrong)}" for name, wrong in misfits.items())
                raise AdapterError(f"adapter {file.path} fits no stage. {reasons}")
            return fitting
        found = {name: updates for name, updates in file.stages.items() if name in self.stages}
        if not found:
            raise AdapterError(
                f"adapter {file.path} is for stages {', '.join(map(str, file.stages))}: "
                f"loaded are {', '.join(self.stages)}"
            )
        for name, updates in found.items():
            wrong = _misfits(self.stages[str(name)], updates)
            if wrong:
                raise AdapterError(f"adapter {file.path} does not fit stage {name}: {_listed(wrong)}")
        return {str(name): updates for name, updates in found.items()}


def _misfits(stage: Stage, updates: dict[str, Low]) -> list[str]:
    """What keeps these updates from going onto a stage: missing modules, other shapes, quantised weights."""
    modules, wrong = dict(stage.transformer.named_modules()), []
    for path, low in updates.items():
        layer = modules.get(path)
        layer = layer.base if isinstance(layer, Adapted) else layer
        if layer is None:
            wrong.append(f"it has no module {path}")
        elif is_quantised(layer):
            wrong.append(f"{path} is quantised: load with --precision bfloat16 or float32 to use adapters")
        elif not isinstance(layer, nn.Linear):
            wrong.append(f"{path} is a {type(layer).__name__}, not a linear layer")
        elif tuple(layer.weight.shape) != (low.up.shape[0], low.down.shape[1]):
            have = f"{layer.weight.shape[1]}→{layer.weight.shape[0]}"
            wrong.append(f"{path} is {have}, the adapter's is {low.down.shape[1]}→{low.up.shape[0]}")
        elif low.magnitude is not None and low.magnitude.numel() != layer.weight.shape[0]:
            wrong.append(
                f"{path} has {layer.weight.shape[0]} outputs, the DoRA magnitude {low.magnitude.numel()}"
            )
    return wrong


def _listed(wrong: list[str]) -> str:
    more = len(wrong) - SHOWN
    return ", ".join(wrong[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _adapted(transformer: Any, path: str) -> Adapted:
    layer = transformer.get_submodule(path)
    if not isinstance(layer, Adapted):
        layer = Adapted(layer)
        _replace(transformer, path, layer)
    return layer


def _replace(transformer: Any, path: str, layer: Any) -> None:
    parent, _, last = path.rpartition(".")
    setattr(transformer.get_submodule(parent), last, layer)

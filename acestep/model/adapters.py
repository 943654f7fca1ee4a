"""LoRA, LoKr and LoHa adapters on loaded stages: load, mix by scale for each request, take out again.

An adapter that is not asked for changes nothing: its layers call the original ones, bit for bit. Adapters are
known by their content: a file that was replaced under its name is read again before the next song.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from acestep.adapters import files as adapter_files
from acestep.adapters.files import AdapterFile, Stamps, listed
from acestep.adapters.keys import Names
from acestep.adapters.shapes import Misfit, Shapes, fitting
from acestep.adapters.updates import Update, magnitude_factor
from acestep.errors import AdapterError, AlreadyExists, NotFound
from acestep.model.quantise import is_quantised
from acestep.model.stage import Stage

log = logging.getLogger(__name__)


@dataclass
class _Placed:
    """One adapter's update of one layer, on the layer's device."""

    update: Update
    factors: dict[float, Tensor] = field(default_factory=dict)  # DoRA's lengths over the weight's, by scale


class Adapted(nn.Module):
    """A linear layer with updates beside it; `active` lists (adapter, scale)."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.updates: dict[str, _Placed] = {}
        self.active: tuple[tuple[str, float], ...] = ()

    @property
    def weight(self) -> Tensor:
        """The original weight."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The original bias."""
        return self.base.bias

    def add(self, name: str, update: Update) -> None:
        """Put an adapter's update beside the layer."""
        self.updates[name] = _Placed(update.beside(self.base.weight))

    def forward(self, x: Tensor) -> Tensor:
        """The original layer's output plus every active update's."""
        original: Tensor = self.base(x)
        result = original
        for name, scale in self.active:
            if name in self.updates:
                result = result + self._added(self.updates[name], x, scale, original)
        return result

    def _added(self, placed: _Placed, x: Tensor, scale: float, original: Tensor) -> Tensor:
        """What an update adds to the original output for x."""
        update, amount = placed.update, scale * placed.update.scaling
        if update.magnitude is None:
            return update.added(x) * amount
        weight = self.base.weight
        if scale not in placed.factors:
            placed.factors.clear()
            placed.factors[scale] = magnitude_factor(update, weight, scale).to(weight.dtype)
        factor = placed.factors[scale]  # DoRA (Liu et al. 2024): rows of W + BA, or columns, times this
        if update.magnitude.ndim == 2:
            return linear(x * (factor - 1), weight) + update.added(x * factor) * amount
        factor = factor[:, 0]
        plain = original if self.base.bias is None else original - self.base.bias
        return (factor - 1) * plain + factor * update.added(x) * amount

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Adapted:
        """Updates move with the layer."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch gives it no types
        for placed in self.updates.values():
            placed.update = placed.update.mapped(fn)
            placed.factors.clear()
        return self


@dataclass(frozen=True)
class _Source:
    """Where a loaded adapter came from, what its files held, and which of its tensors were not used."""

    path: Path
    stamps: Stamps
    hashes: dict[str, str]
    left_out: tuple[str, ...]


class Adapters:
    """The adapters loaded on a cascade's stages. `loaded` maps names to the stages they act on, `folder` is
    where names are looked for (None: in the user's home)."""

    def __init__(self, stages: dict[str, Stage]) -> None:
        self.stages = stages
        self.folder: Path | None = None
        self.loaded: dict[str, tuple[str, ...]] = {}
        self.triggers: dict[str, str] = {}
        self._sources: dict[str, _Source] = {}
        self._active: tuple[tuple[str, float], ...] = ()

    @property
    def paths(self) -> dict[str, Path]:
        """Where each loaded adapter came from."""
        return {name: source.path for name, source in self._sources.items()}

    def hashes(self, wanted: Sequence[tuple[str, float]]) -> dict[str, dict[str, str]]:
        """Name → file → hash of what was loaded, of those of (name, scale) that act."""
        names = {name: self._known_as(name) for name, scale in wanted if scale != 0}
        return {
            name: dict(self._sources[known].hashes) for name, known in names.items() if known in self._sources
        }

    def notes(self, wanted: Sequence[tuple[str, float]]) -> tuple[str, ...]:
        """In words: the tensors of the adapters that belong to no layer of this cascade."""
        names = dict.fromkeys(self._known_as(name) for name, scale in wanted if scale != 0)
        return tuple(
            f"adapter {name}: {len(left)} of its tensors have no place here and were left out: {listed(left)}"
            for name in names
            if name in self._sources and (left := self._sources[name].left_out)
        )

    @torch.no_grad()
    def load(self, name_or_path: str | Path) -> str:
        """Load an adapter by its name in home or its path; gives its name.

        Loading the same twice changes nothing; if its files have changed, the new one replaces the old one.
        Everything is checked before the first layer is touched. Raises AdapterError or NotFound.
        """
        path = adapter_files.find(
            name_or_path, self.folder
        ).absolute()  # not resolved: links keep their own names
        name, state = adapter_files.name_of(path), adapter_files.stamps(path)
        before = self._sources.get(name)
        if before is not None and before.path != path:
            if adapter_files.stamps(before.path):
                raise AlreadyExists(
                    f"an adapter named {name!r} is loaded from {before.path}: unload it first"
                )
        elif before is not None and before.stamps == state:
            return name
        file = adapter_files.read_adapter(path, self._names())
        if before is not None and before.path == path and before.hashes == file.hashes:
            self._sources[name] = replace(before, stamps=state)  # written again with the same content
            return name
        wanted, left_out = self._matched(file)
        if name in self.loaded:
            self.unload(name)
        for stage, updates in wanted.items():
            for module, update in updates.items():
                _adapted(self.stages[stage].transformer, module).add(name, update)
        self.loaded[name] = tuple(wanted)
        self.triggers[name] = file.trigger
        self._sources[name] = _Source(path, state, file.hashes, (*file.left_out, *left_out))
        for note in self.notes([(name, 1.0)]):
            log.warning(note)
        return name

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
        self._sources.pop(name, None)

    def refresh(self, wanted: Sequence[tuple[str, float]]) -> dict[str, str]:
        """Load what these (name, scale) ask for as it is on disk now, and unload what was removed there.

        Gives the names they are loaded by. Raises NotFound for one that is gone.
        """
        for name, source in list(self._sources.items()):
            if not adapter_files.stamps(source.path):
                self.unload(name)
        return {name: self.load(self.paths.get(name, name)) for name, _ in wanted}

    def require(self, recorded: Mapping[str, Mapping[str, str]], wanted: Sequence[tuple[str, float]]) -> None:
        """Raise AdapterError unless the adapters asked for are the ones `recorded` (name → file → hash)."""
        self.refresh(wanted)
        for name, files in self.hashes(wanted).items():
            before = recorded.get(name)
            for file, now in files.items():
                if isinstance(before, Mapping) and before.get(file) != now:
                    raise AdapterError(
                        f"adapter {name!r} has changed since that clip was made: {file} was "
                        f"{before.get(file, 'not there')} and is {now} now; put the former file back, or "
                        "change something (--seed, say) to make a new clip"
                    )

    @contextlib.contextmanager
    def applied(self, wanted: Sequence[tuple[str, float]]) -> Iterator[None]:
        """While open, the named adapters act at these scales, and no others; from home they are loaded.

        One may be open within another, which acts again behind it.
        """
        names = self.refresh(wanted)
        before, active = self._active, tuple((names[name], scale) for name, scale in wanted if scale != 0)
        self._activate(active)
        try:
            yield
        finally:
            self._activate(before)

    def _known_as(self, name: str) -> str:
        return name if name in self._sources else adapter_files.name_of(Path(name).expanduser())

    def _activate(self, active: tuple[tuple[str, float], ...]) -> None:
        self._active = active
        for stage in self.stages.values():
            here = tuple((name, scale) for name, scale in active if stage.name in self.loaded[name])
            stage.adapted = (
                here  # names are enough: conditions are forgotten where a name gets another content
            )
            if not any(stage.name in stages for stages in self.loaded.values()):
                continue
            for layer in stage.transformer.modules():
                if isinstance(layer, Adapted):
                    layer.active = tuple((name, scale) for name, scale in here if name in layer.updates)

    def _names(self) -> Names:
        return Names(dict.fromkeys(path for stage in self.stages.values() for path in _layers(stage)))

    def _matched(self, file: AdapterFile) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Which stages the adapter goes on, and the layers that none of them has."""
        shapes = {name: _shapes(stage) for name, stage in self.stages.items()}
        return fitting(file, shapes)


def _layers(stage: Stage) -> dict[str, Any]:
    """The stage's linear layers by path, those that are adapted or quantised too."""
    found = {}
    for path, layer in stage.transformer.named_modules():
        if isinstance(layer, Adapted | nn.Linear) or (is_quantised(layer) and layer.weight.ndim == 2):
            found[path.removesuffix(".base")] = layer
    return found


def _shapes(stage: Stage) -> Shapes:
    return {
        path: Misfit(f"{path} is quantised: load with --precision bfloat16 or float32 to use adapters")
        if is_quantised(layer)
        else (layer.weight.shape[0], layer.weight.shape[1])
        for path, layer in _layers(stage).items()
    }


def _adapted(transformer: nn.Module, path: str) -> Adapted:
    layer = transformer.get_submodule(path)
    if isinstance(layer, Adapted):
        return layer
    assert isinstance(layer, nn.Linear)  # adapters that do not fit were refused before
    adapted = Adapted(layer)
    _replace(transformer, path, adapted)
    return adapted


def _replace(transformer: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, last = path.rpartition(".")
    setattr(transformer.get_submodule(parent), last, layer)

"""Which cascade is loaded. Loading and use happen in the worker's threads only; looking is allowed to all.

Keeps one cascade in memory. The next is loaded before the old one is let go, so that a failed load changes
nothing.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from acestep.errors import CheckpointError, NotFound
from acestep.request import GenerateRequest
from server import logs
from server.config import Config

if TYPE_CHECKING:
    from acestep.checkpoints.checkpoint import CascadeSpec
    from acestep.model.cascade import Cascade

log = logs.get("models")
Load: TypeAlias = Callable[[str, str], "Cascade"]  # of a name, on a device
Spec: TypeAlias = Callable[[str], "CascadeSpec | None"]  # of a name: what is known before it is loaded


def load_cascade(
    name: str, device: str, precision: str = "auto", planner: str = "", home: Path | None = None
) -> "Cascade":
    """The real loader: `acestep.model.cascade.Cascade.load`, which logs what it chose and why."""
    import torch

    from acestep.model.cascade import Cascade

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(precision)
    int8 = precision == "int8" or None
    return Cascade.load(name, device=device, dtype=dtype, int8=int8, planner=planner, home=home)


def loader(config: Config) -> Load:
    """`load_cascade` with the settings' precision, planner and home."""
    return partial(load_cascade, precision=config.precision, planner=config.planner, home=config.home)


def spec_of(name: str, home: Path | None) -> "CascadeSpec | None":
    """What a cascade's folder says of it, read without loading it.

    None where that shows only when it is loaded: a size that is chosen for this machine, a broken folder.
    Raises NotFound.
    """
    from acestep.checkpoints.checkpoint import find, read_spec
    from acestep.checkpoints.memory import CHOICES

    try:
        return read_spec(find(name, home), home)
    except NotFound:
        if name in CHOICES:
            return None
        raise
    except CheckpointError:
        return None


def check_able(request: GenerateRequest, spec: "CascadeSpec | None") -> None:
    """Raises Unsupported or InvalidRequest for what a cascade cannot do, before it is loaded."""
    if spec is None:
        return
    from acestep.checkpoints.checkpoint import stage_names
    from acestep.checkpoints.playing import refuse_unplayable
    from acestep.model.outline import refuse_unable

    refuse_unplayable(request.wanted, spec)
    refuse_unable(request, spec)
    stage_names([stage.name for stage in spec.stages], request.stages)


def models_for(config: Config, load: Load | None = None, spec: Spec | None = None) -> "Models":
    """Models with the settings' cascade or variant, device and precision."""
    return Models(
        config.variant or config.cascade,
        config.device,
        load or loader(config),
        config.home,
        spec or partial(spec_of, home=config.home),
    )


class Models:
    """The cascade in memory, and the name of the one that requests without a name get."""

    def __init__(
        self,
        default: str,
        device: str,
        load: Load,
        home: Path | None = None,
        spec: "Spec" = lambda name: None,
    ):
        self.default = default
        self.device = device
        self.home = home  # whose cascades there are; None: the user's
        self._load = load
        self._spec = spec
        self._cascade: Cascade | None = None
        self._one_by_one = threading.Lock()  # held while a cascade is loaded
        self.loaded_name = ""

    def check(self, request: GenerateRequest) -> None:
        """Raises Unsupported or InvalidRequest for what the request's cascade cannot do. Loads nothing."""
        check_able(request, self._spec(request.cascade or self.default))

    def use(self, name: str = "") -> "Cascade":
        """The cascade of that name (of the default's without one), loaded if need be. Worker only."""
        name = name or self.default
        with self._one_by_one:
            return self._use(name)

    def _use(self, name: str) -> "Cascade":
        if self._cascade is not None and self.loaded_name == name and self._cascade.is_current():
            return self._cascade  # a checkpoint that was replaced under its name is another one
        started = time.monotonic()
        cascade = self._load(name, self.device)
        self._cascade, self.loaded_name = cascade, name
        log.info("cascade_loaded", cascade=name, seconds=round(time.monotonic() - started, 2))
        return cascade

    def unload(self, name: str = "") -> None:
        """Lets go of the loaded cascade. Raises NotFound if it is not that one. Worker only."""
        if self._cascade is None or (name and name != self.loaded_name):
            raise NotFound(f"cascade {name or self.default!r} is not loaded")
        log.info("cascade_unloaded", cascade=self.loaded_name)
        self._cascade, self.loaded_name = None, ""
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():  # else other programs do not get it back
            torch.cuda.empty_cache()

    @property
    def cascade(self) -> "Cascade | None":
        """The loaded cascade, or None."""
        return self._cascade

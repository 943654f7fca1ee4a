"""Which cascade is loaded. Loading and use happen in the worker's thread only; looking is allowed to all.

Keeps one cascade in memory. The next is loaded before the old one is let go, so that a failed load changes
nothing.
"""

import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.errors import NotFound
from server import logs
from server.config import Config

if TYPE_CHECKING:
    from acestep.model.cascade import Cascade

log = logs.get("models")


def load_cascade(
    name: str, device: str, precision: str = "auto", planner: str = "", home: Path | None = None
) -> "Cascade":
    """The real loader: `acestep.model.cascade.Cascade.load`, which logs what it chose and why."""
    import torch

    from acestep.model.cascade import Cascade

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(precision)
    int8 = precision == "int8" or None
    return Cascade.load(name, device=device, dtype=dtype, int8=int8, planner=planner, home=home)


def models_for(config: Config, load: Callable[[str, str], Any] | None = None) -> "Models":
    """Models with the settings' cascade or variant, device and precision."""
    real = partial(load_cascade, precision=config.precision, planner=config.planner, home=config.home)
    return Models(config.variant or config.cascade, config.device, load or real, config.home)


class Models:
    """The cascade in memory, and the name of the one that requests without a name get."""

    def __init__(
        self,
        default: str,
        device: str,
        load: Callable[[str, str], Any] = load_cascade,
        home: Path | None = None,
    ):
        self.default = default
        self.device = device
        self.home = home  # whose cascades there are; None: the user's
        self._load = load
        self._cascade: Any = None
        self.loaded_name = ""

    def use(self, name: str = "") -> Any:
        """The cascade of that name (of the default's without one), loaded if need be. Worker only."""
        name = name or self.default
        # a checkpoint that was replaced under its name is another one
        current = self._cascade is not None and getattr(self._cascade, "is_current", lambda: True)()
        if self.loaded_name != name or not current:
            started = time.monotonic()
            cascade = self._load(name, self.device)
            self._cascade, self.loaded_name = cascade, name
            log.info("cascade_loaded", cascade=name, seconds=round(time.monotonic() - started, 2))
        return self._cascade

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
    def cascade(self) -> Any:
        """The loaded cascade, or None."""
        return self._cascade

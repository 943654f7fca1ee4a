"""LoRA adapters on the stages."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from acestep.errors import AdapterError, NotFound
from acestep.stage import Stage


class Adapters:
    """The adapters loaded on a cascade's stages."""

    def __init__(self, stages: dict[str, Stage]) -> None:
        self.stages = stages
        self.loaded: dict[str, list[str]] = {}

    def load(self, name_or_path: str | Path) -> str:
        raise AdapterError("not yet")

    def unload(self, name: str) -> None:
        raise NotFound(f"no adapter {name!r} is loaded")

    @contextlib.contextmanager
    def applied(self, wanted: Sequence[tuple[str, float]]) -> Iterator[None]:
        """While open, the named adapters act at these scales."""
        if wanted:
            raise NotFound(f"no adapter {wanted[0][0]!r} is loaded")
        yield

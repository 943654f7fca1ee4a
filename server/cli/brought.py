"""What other parts bring to the command line: entry points of this package, loaded when asked for."""

import importlib.metadata
from typing import Any

from acestep.errors import NotFound


def brought(group: str, name: str) -> Any:
    """The object behind an entry point. Raises NotFound where an older release is installed."""
    try:
        points = importlib.metadata.distribution("acestep-bridge").entry_points
    except importlib.metadata.PackageNotFoundError:
        points = importlib.metadata.EntryPoints()
    found = points.select(group=group, name=name)
    if not found:
        raise NotFound(f"{name} is not installed: install this release of acestep-bridge (`make install`)")
    return next(iter(found)).load()

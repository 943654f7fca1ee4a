"""What Live loads: the control surface `AceStep`.

Live calls `create_instance`; the work is in `script`.
"""

from __future__ import annotations

from typing import Any


def create_instance(c_instance: Any) -> Any:
    """Called by Live once for each slot in Settings > Link, Tempo & MIDI that names this script."""
    import Live  # only there inside Live

    from .script import AceStep

    return AceStep(c_instance, Live)

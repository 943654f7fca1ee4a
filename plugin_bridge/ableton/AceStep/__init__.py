"""What Live loads: the control surface `AceStep`.

Knows Live's door (`create_instance`) and nothing else; `script` is the house.
"""

from __future__ import annotations

from typing import Any


def create_instance(c_instance: Any) -> Any:
    """Called by Live once for each slot in Settings > Link, Tempo & MIDI that names this script."""
    import Live  # only there inside Live

    from .script import AceStep

    return AceStep(c_instance, Live)

"""What a bridge is told of a setting; `protos.table` has all of them."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Setting:
    """A setting of a request: its names, its kind, what it does. The daemon checks what it may be."""

    name: str
    kind: str  # one of those in `server.tables.KINDS`: number, text, choice, audio …
    group: str  # music, sound, run, file
    title: str
    help: str
    default: Any
    proto: str  # the field in the wire's GenerateRequest
    low: float | None = None
    high: float | None = None
    none: float | None = None  # the number that says "none" to the daemon
    words: dict[str, str] = field(default_factory=dict)  # the choices, and what they mean
    without: tuple[str, ...] = ()  # bridges that leave it out

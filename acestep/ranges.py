"""Numbers within bounds: the one check that requests, settings, training and distillation make of theirs."""

import sys
from typing import TypeGuard

from acestep.errors import InvalidRequest


def is_number(value: object) -> TypeGuard[int | float]:
    """True for an int or float that is finite; also false for whole numbers that no float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def span(low: float, high: float, unit: str = "") -> str:
    """The bounds in words: `30–300 bpm`, `−40 to −6 LUFS`."""
    to = "–" if low >= 0 else " to "
    return f"{low:.12g}{to}{high:.12g} {unit}".strip().replace("-", "−")


def number(name: str, value: object, low: float, high: float, unit: str = "") -> float:
    """The value if it is a number from `low` to `high`. Raises InvalidRequest, naming it."""
    if not is_number(value):
        raise InvalidRequest(f"{name} {value!r:.40} is not a number: expected {span(low, high, unit)}")
    return _within(name, value, low, high, unit)


def whole(name: str, value: object, low: int, high: int) -> int:
    """The value if it is a whole number from `low` to `high`. Raises InvalidRequest, naming it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(f"{name} {value!r:.40} is not a whole number: expected {span(low, high)}")
    _within(name, value, low, high, "")
    return value


def _within(name: str, value: float, low: float, high: float, unit: str) -> float:
    if not low <= value <= high:
        raise InvalidRequest(f"{name} {value!s:.40} is out of range: expected {span(low, high, unit)}")
    return value

"""How people write numbers and tempo maps, wherever text is taken: command lines, OSC, fields of the page."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

TEMPO_MAP = (
    'expected for example "0 100 ramp, 16 120": pairs of position (in quarters) and tempo; '
    "ramp glides to the next"
)

Point = tuple[float, float, bool]  # quarters from the start, bpm, whether it glides to the next one


def number(text: str) -> float:
    """A number with a decimal point or a decimal comma. Raises ValueError for others."""
    return float(re.sub(r"^\s*([-+−]?\d*),(\d+)\s*$", r"\1.\2", text).replace("−", "-"))


def scaled(text: str) -> tuple[str, float]:
    """`dusty:0.8` as a name and how strongly it is used, 1 where that is left out. Raises ValueError."""
    name, colon, scale = text.rpartition(":")
    if not colon or set(scale) & {"/", "\\"}:  # the colon of C:\\sound is a path's
        return text, 1.0
    try:
        return name, number(scale)
    except ValueError:
        raise ValueError(
            f"adapter {text!r:.80}: expected NAME or NAME:SCALE, for example dusty:0.8"
        ) from None


def tempo_points(text: str) -> list[Point]:
    """`"0 100 ramp, 16 120"` as points. Raises ValueError, saying what was expected."""
    points: list[Point] = []
    for part in re.split(r"[;\n]|,(?!\d)|(?<=ramp),", text):
        words = part.split()
        if not words:
            continue
        ramp = words[-1].lower() == "ramp"
        try:
            quarters, bpm = map(number, words[:-1] if ramp else words)
        except ValueError:
            raise ValueError(
                f"tempo map {text!r:.80} is not understood near {part.strip()!r:.40}: {TEMPO_MAP}"
            ) from None
        points.append((quarters, bpm, ramp))
    if not points:
        raise ValueError(f"tempo map {text!r:.80} is empty: {TEMPO_MAP}")
    return points


def tempo_text(points: Iterable[Sequence[Any]]) -> str:
    """Points as a text that `tempo_points` reads."""
    return ", ".join(f"{at:.12g} {bpm:.12g}{' ramp' if any(ramp) else ''}" for at, bpm, *ramp in points)

"""A line of the evaluation's table."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Row:
    """One line of the table. `reached` None: not measured, and `value` says why."""

    what: str
    goal: str
    value: str
    reached: bool | None


def share_row(what: str, goal: float, hits: list[bool], on_renders: list[bool] | None = None) -> Row:
    """A row of a share of cases, with what the same judge says of the real renders."""
    share = float(np.mean(hits)) if hits else float("nan")
    value = f"{share:.0%} of {len(hits)}"
    if on_renders:
        value += f" ({np.mean(on_renders):.0%} of renders)"
    return Row(what, f"≥ {goal:.0%}", value, bool(share >= goal))

"""How the minutes of a run are shared out: the whole run ends with them, not only its training.

Each part of a run has a share of the minutes.
"""

import math
import shlex
import time
from dataclasses import dataclass, field
from typing import Any

from acestep.clips.wording import count

# Shares of the whole. What is not used goes to training.
LOOKED_AT = 0.25  # by then the folder has been looked at …
ENCODED = 0.4  # … and its audio encoded
HEARD = 0.25  # for all clips that are made to judge the adapter by
PREVIEWED = 0.15  # for the clips before and after
FINISHED = 0.04  # for writing, loading and comparing the adapter
CARE = 1.15  # what comes after training takes this much more than it was measured to take


@dataclass(frozen=True)
class Budget:
    """`seconds` from `began` on (`time.monotonic()`); None: as long as it takes."""

    seconds: float | None = None
    began: float = field(default_factory=lambda: time.monotonic())

    @property
    def left_s(self) -> float:
        """Seconds that are left, not below zero; infinite without a limit."""
        return math.inf if self.seconds is None else max(0.0, self.began + self.seconds - time.monotonic())

    def over(self, share: float = 1.0) -> bool:
        """Whether this share of the time has passed."""
        return self.seconds is not None and time.monotonic() > self.began + share * self.seconds

    @property
    def finish_s(self) -> float:
        """Seconds that writing and checking the adapter may take."""
        return 0.0 if self.seconds is None else FINISHED * self.seconds

    def allowed_s(self, share: float) -> float:
        """Seconds in this share of the whole."""
        return math.inf if self.seconds is None else share * self.seconds


def agreed(accelerator: Any, value: Any) -> Any:
    """The first process's value, in all of them: their clocks differ, and all must do the same."""
    if accelerator.num_processes == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def left_out(files: int, segments: int, data: str) -> str:
    """What a run says that had no time for all of its data; "" where it had."""
    if files:
        return (
            f"there was no time to look at {count(files, 'more file')}: give the run more minutes, or let "
            f"`lora_studio prepare {shlex.quote(data)}` look at all of them once"
        )
    if segments:
        return f"there was no time to encode {count(segments, 'more segment')}: give the run more minutes"
    return ""

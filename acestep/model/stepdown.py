"""What to give up when memory runs out in the middle of a song, the least missed first.

Fewer takes at once, smaller decode windows, stages that take turns on the device, and last the largest stage.
Each step is another plan of the song; its takes' notes and the log say so. The cascade stays as it is, and
the next song begins with the whole plan again.
"""

from __future__ import annotations

import gc
import logging
from dataclasses import replace

import torch

from acestep.checkpoints.memory import WINDOWS
from acestep.errors import OutOfMemory
from acestep.model.loaded import Loaded
from acestep.model.plan import SongPlan
from acestep.model.song import Song

log = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says so: CUDA and MPS have a class for it, torch's CPU allocator only words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def step_down(cascade: Loaded, song: Song) -> None:
    """Give the song a plan that needs less memory, and make room for it.

    Raises OutOfMemory when there is nothing left to give up, or the song has to keep to its plan.
    """
    gc.collect()
    torch.cuda.empty_cache()
    found = None if song.keeps_its_plan else smaller(song.plan, cascade, song)
    if found is None:
        raise OutOfMemory(
            f"{song.outline.duration_s:.0f} s do not fit into the device's memory"
            + (" by the plan they were made by before" if song.keeps_its_plan else "")
            + ": ask for fewer bars, or load fewer or smaller stages"
        )
    plan, note = found
    for name, stage in cascade.stages.items():
        if cascade.device.type != "cpu" and (name not in plan.stages or not plan.resident):
            stage.to("cpu")
        else:
            stage.forget()
    song.follow_plan(plan, f"memory ran out: {note}")
    log.warning(song.notes[-1])


def smaller(plan: SongPlan, cascade: Loaded, song: Song) -> tuple[SongPlan, str] | None:
    """The next smaller plan, and in words what it gives up; None when there is none."""
    together = min(plan.takes_at_once, song.request.takes)
    if together > 1:
        return replace(plan, takes_at_once=together // 2), f"no more than {together // 2} at once"
    if plan.window is not None and plan.window > WINDOWS[-1]:
        window = plan.window // 2
        return replace(plan, window=window), f"decoding in windows of {window} frames"
    if plan.resident and len(plan.stages) > 1 and plan.device != "cpu":
        return replace(plan, resident=False), "the stages take turns on the device"
    if len(plan.stages) > 1 and not song.request.stages:
        largest = max(plan.stages, key=lambda name: _size(cascade.stages[name].transformer))
        stages = tuple(name for name in plan.stages if name != largest)
        return replace(plan, stages=stages), f"without stage {largest}"
    return None


def _size(model: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))

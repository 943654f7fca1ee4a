"""What to give up when memory runs out in the middle of a song, in the order of what is missed least.

Fewer takes at once, smaller decode windows, stages that take turns on the device, at last the largest stage.
Every step is said in the take's notes and in the log. Knows nothing of how memory is measured.
"""

from __future__ import annotations

import gc
import logging
from typing import TYPE_CHECKING

import torch

from acestep.errors import OutOfMemory
from acestep.memory import WINDOWS

if TYPE_CHECKING:
    from acestep.cascade import Cascade
    from acestep.song import Song

log = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says so: CUDA and MPS have a class for it, torch's CPU allocator only words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def step_down(cascade: Cascade, song: Song, rows: int) -> int:
    """Make room for the song; gives how many takes to make at once from now on.

    Raises OutOfMemory when there is nothing left to give up.
    """
    gc.collect()
    torch.cuda.empty_cache()
    if rows > 1:
        _say(song, f"memory ran out: no more than {rows // 2} at once from now on")
        return rows // 2
    window = getattr(cascade.codec, "window", 0)
    largest = max(cascade.stages.values(), key=lambda stage: _size(stage.transformer))
    if window > WINDOWS[-1]:
        cascade.codec.window = window // 2
        _say(song, f"memory ran out: decoding in windows of {cascade.codec.window} frames")
    elif cascade.resident and len(cascade.stages) > 1 and cascade.device.type != "cpu":
        cascade.resident = False
        for stage in cascade.stages.values():
            stage.to("cpu")
        _say(song, "memory ran out: from now on the stages take turns on the device")
    elif len(cascade.stages) > 1 and not song.request.stages:
        del cascade.stages[largest.name]
        song.rerouted()
        _say(song, f"memory ran out: from now on without stage {largest.name}")
    else:
        raise OutOfMemory(
            f"{song.outline.duration_s:.0f} s do not fit into the device's memory: "
            "ask for fewer bars, or load fewer or smaller stages"
        )
    return 1


def _say(song: Song, note: str) -> None:
    song.notes += (note,)
    log.warning(note)


def _size(model: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))

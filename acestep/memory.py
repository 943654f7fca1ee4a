"""How a cascade fits a machine: which stages, what number format, what stays on the device, and why.

Knows sizes of files and devices only; loads nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acestep.checkpoint import CascadeSpec, StageSpec, weight_sizes
from acestep.errors import OutOfMemory

if TYPE_CHECKING:
    import torch

GB = 1e9
# Beside the weights: what a step and a decode window of a ten-minute song keep, by their tensors' sizes
WORKING_BYTES = {"cuda": 2.5 * GB, "mps": 2.5 * GB, "cpu": 1.5 * GB}
USABLE = {"cuda": 0.92, "mps": 0.75, "cpu": 0.8}  # of what is free, for what else may want some
SMALL = 200_000_000  # parameters in all, below which a cascade runs anywhere and no plan is needed
SLOW_ON_CPU = 1_000_000_000  # parameters of a DiT from which a CPU takes minutes a song


@dataclass(frozen=True)
class Plan:
    """What to load and how. `resident` False: stages wait in main memory and take turns on the device."""

    stages: tuple[str, ...]
    dtype: str
    resident: bool
    needed_bytes: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        where = "on the device" if self.resident else "taking turns on the device"
        return f"{', '.join(self.stages)} in {self.dtype} {where}: {'; '.join(self.reasons)}"


def stage_parameters(stage: StageSpec) -> int:
    """Parameters of a stage, by its files' headers."""
    parts = ("transformer", "condition_encoder", "audio_tokenizer", "audio_token_detokenizer")
    files = [file for part in parts for file in (stage.folder / part).glob("*.safetensors")]
    return sum(weight_sizes(file)[0] for file in files)


def shared_parameters(spec: CascadeSpec) -> int:
    """Parameters of codec and text encoder."""
    folders = (spec.codec, spec.text_encoder)
    return sum(weight_sizes(file)[0] for folder in folders for file in folder.glob("*.safetensors"))


def plan(
    sizes: dict[str, int], shared: int, device: str, free_bytes: float, wanted: tuple[str, ...] = ()
) -> Plan:
    """The best that fits: all stages, else taking turns, else fewer of them, the largest left out first.

    `sizes` are parameters by stage, in order. Raises OutOfMemory when not even the smallest stage fits.
    """
    names = [name for name in sizes if not wanted or name in wanted]
    number, dtype = (2, "bfloat16") if device == "cuda" else (4, "float32")
    budget = free_bytes * USABLE[device] - WORKING_BYTES[device]
    reasons: list[str] = [f"{free_bytes / GB:.1f} GB free on {device}"]
    if device == "cpu" and not wanted:
        small = [name for name in names if sizes[name] < SLOW_ON_CPU]
        if small and len(small) < len(names):
            left = ", ".join(name for name in names if name not in small)
            reasons.append(f"{left} left out: minutes a song on a CPU (name the stages to have them anyway)")
            names = small
    while names:
        together = (shared + sum(sizes[name] for name in names)) * number
        if together <= budget:
            return Plan(tuple(names), dtype, True, int(together), tuple(reasons))
        alone = (shared + max(sizes[name] for name in names)) * number
        if device != "cpu" and alone <= budget:
            reasons.append(f"{together / GB:.1f} GB together do not fit")
            return Plan(tuple(names), dtype, False, int(alone), tuple(reasons))
        largest = max(names, key=lambda name: sizes[name])
        reasons.append(f"{largest} left out: it needs {(shared + sizes[largest]) * number / GB:.1f} GB")
        names = [name for name in names if name != largest]
    raise OutOfMemory(f"no stage fits: {'; '.join(reasons)}. Use a smaller checkpoint, or nano")


def plan_for(spec: CascadeSpec, device: torch.device, wanted: tuple[str, ...] = ()) -> Plan:
    """The plan for a checkpoint on this machine, as it is now."""
    sizes = {stage.name: stage_parameters(stage) for stage in spec.stages}
    shared = shared_parameters(spec)
    if sum(sizes.values()) + shared < SMALL:
        names = tuple(name for name in sizes if not wanted or name in wanted)
        kind = "bfloat16" if device.type == "cuda" else "float32"
        return Plan(names, kind, True, 4 * (sum(sizes.values()) + shared), ("small enough for any machine",))
    return plan(sizes, shared, device.type, free_bytes(device), wanted)


def free_bytes(device: torch.device) -> float:
    """Memory that is free on the device now."""
    import torch

    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return _free_main_bytes()


def _free_main_bytes() -> float:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return min(float(line.split()[1]) * 1024, _limit_bytes())
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / 2
    return 8 * GB  # Windows without further libraries: what most musicians' machines have to spare


def _limit_bytes() -> float:
    """A container's limit, where there is one."""
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text(encoding="ascii").strip() if path.is_file() else "max"
    return float(text) if text.isdigit() else float("inf")

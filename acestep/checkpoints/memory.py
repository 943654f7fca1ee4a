"""How a cascade fits a machine: which stages, what number format, what stays on the device, and why.

A variant is a size to run: "l", "m", "s" a stage of that name, "nano" the embedded cascade, "auto" the best
of what is here. Nothing is loaded for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from acestep.checkpoints.checkpoint import (
    EMBEDDED,
    CascadeSpec,
    StageSpec,
    available,
    read_spec,
    weight_sizes,
)
from acestep.errors import CheckpointError, NotFound, OutOfMemory

if TYPE_CHECKING:
    import torch

Size = Literal["auto", "l", "m", "s", "nano"]  # what may be asked for: the best for this machine, or a size
Precision = Literal["auto", "float32", "bfloat16", "int8"]

GB = 1e9
TEXT_ENCODER_PARAMETERS = 595_776_512  # Qwen3-Embedding-0.6B
CODEC_PARAMETERS = 168_700_000  # Oobleck with 128 channels and 1920 samples a frame
# Parameters of ACE-Step 1.5's XL and 2B as published, and of the S that `distill` makes of 2B
PUBLISHED = {"l": 5_500_000_000, "m": 2_400_000_000, "s": 780_000_000}
COUNTED_WITH_SHARED = ("l",)  # the published figure includes text encoder and codec
# Beside the weights: what a step and the widest decode window of a ten-minute song keep, by tensors' sizes
WORKING_BYTES = {"cuda": 2.5 * GB, "mps": 2.5 * GB, "cpu": 1.5 * GB}
WINDOWS = (256, 128, 64)  # latent frames decoded at once, widest first
WINDOW_BYTES = 1.0 * GB / WINDOWS[0]  # of the above, a frame of the window
USABLE = {"cuda": 0.92, "mps": 0.75, "cpu": 0.8}  # of what is free, for what else may want some
SMALL = 200_000_000  # parameters in all, below which a cascade runs anywhere and no plan is needed
SLOW_ON_CPU = 1_000_000_000  # parameters of a DiT from which a CPU takes minutes a song
CHOICES: tuple[str, ...] = get_args(Size)
PRECISIONS: tuple[str, ...] = get_args(Precision)


class Parameters(NamedTuple):
    """A stage's parameters: the transformer's, which int8 makes smaller, and the others'."""

    transformer: int
    others: int = 0

    @property
    def all(self) -> int:
        """All of them."""
        return self.transformer + self.others

    def bytes(self, number: int, int8: bool) -> int:
        """Memory at `number` bytes each, or one for the transformer's."""
        return self.transformer * (1 if int8 else number) + self.others * number


@dataclass(frozen=True)
class LoadPlan:
    """What to load and how. `resident` False: stages wait in main memory and take turns on the device."""

    stages: tuple[str, ...]
    dtype: str
    resident: bool
    needed_bytes: int
    reasons: tuple[str, ...]
    int8: bool = False  # the transformers' weights
    decode_window: int = WINDOWS[0]

    def __str__(self) -> str:
        where = "on the device" if self.resident else "taking turns on the device"
        kind = f"{self.dtype} (transformers in int8)" if self.int8 else self.dtype
        return f"{', '.join(self.stages)} in {kind} {where}: {'; '.join(self.reasons)}"


def stage_parameters(stage: StageSpec) -> Parameters:
    """Parameters of a stage, by its files' headers."""
    others = ("condition_encoder", "audio_tokenizer", "audio_token_detokenizer")
    return Parameters(
        _parameters([stage.folder / "transformer"]), _parameters([stage.folder / part for part in others])
    )


def shared_parameters(spec: CascadeSpec) -> int:
    """Parameters of codec and text encoder."""
    return _parameters([spec.codec, spec.text_encoder])


def _parameters(folders: list[Path]) -> int:
    return sum(weight_sizes(file)[0] for folder in folders for file in folder.glob("*.safetensors"))


def plan(
    sizes: Mapping[str, Parameters],
    shared: int,
    device: str,
    free_bytes: float,
    wanted: tuple[str, ...] = (),
    int8: bool | None = None,
) -> LoadPlan:
    """The best that fits: all stages; else decoding in smaller windows, then taking turns, then int8, then
    fewer stages, the largest left out first.

    `sizes` are by stage, in order. `int8` None allows it as a last resort on a GPU. Raises OutOfMemory when
    not even the smallest stage fits.
    """
    names = [name for name in sizes if not wanted or name in wanted]
    number, dtype = (2, "bfloat16") if device == "cuda" else (4, "float32")
    reasons: list[str] = [f"{free_bytes / GB:.1f} GB free on {device}"]
    if device == "cpu" and not wanted:
        small = [name for name in names if sizes[name].all < SLOW_ON_CPU]
        if small and len(small) < len(names):
            left = ", ".join(name for name in names if name not in small)
            reasons.append(f"{left} left out: minutes a song on a CPU (name the stages to have them anyway)")
            names = small
    kinds = (False, True) if int8 is None and device != "cpu" else (bool(int8),)
    while names:
        for small_weights, resident in product(kinds, (True, False) if device != "cpu" else (True,)):
            each = [sizes[name].bytes(number, small_weights) for name in names]
            needed = shared * number + (sum(each) if resident else max(each))
            for window in WINDOWS:
                working = WORKING_BYTES[device] - (WINDOWS[0] - window) * WINDOW_BYTES
                if needed <= free_bytes * USABLE[device] - working:
                    why = _compromises(window, resident, small_weights and int8 is None)
                    found = (*reasons, *why)
                    return LoadPlan(tuple(names), dtype, resident, int(needed), found, small_weights, window)
        largest = max(names, key=lambda name: sizes[name].all)
        least = (shared * number + sizes[largest].bytes(number, kinds[-1])) / GB
        reasons.append(f"{largest} left out: it needs {least:.1f} GB")
        names = [name for name in names if name != largest]
    raise OutOfMemory(f"no stage fits: {'; '.join(reasons)}. Use a smaller checkpoint, or nano")


def _compromises(window: int, resident: bool, int8: bool) -> list[str]:
    """What a plan gives up, in words."""
    found = []
    if int8:
        found.append("bfloat16 does not fit, so the transformers are in int8 (no adapters)")
    if not resident:
        found.append("together they do not fit")
    if window < WINDOWS[0]:
        found.append(f"decoding in windows of {window} frames")
    return found


def plan_for(
    spec: CascadeSpec, device: torch.device, wanted: tuple[str, ...] = (), int8: bool | None = None
) -> LoadPlan:
    """The plan for a checkpoint on this machine, as it is now."""
    return plan_within(spec, device.type, lambda: free_bytes(device), wanted, int8)


def plan_within(
    spec: CascadeSpec,
    device: str,
    free: Callable[[], float],
    wanted: tuple[str, ...] = (),
    int8: bool | None = None,
) -> LoadPlan:
    """The plan for a checkpoint on a kind of device with so much memory free, which small ones do not ask."""
    sizes, shared = {stage.name: stage_parameters(stage) for stage in spec.stages}, shared_parameters(spec)
    total = shared + sum(size.all for size in sizes.values())
    if total < SMALL:
        names = tuple(name for name in sizes if not wanted or name in wanted)
        kind = "bfloat16" if device == "cuda" else "float32"
        return LoadPlan(names, kind, True, 4 * total, ("small enough for any machine",), bool(int8))
    return plan(sizes, shared, device, free(), wanted, int8)


def choose(variant: str, device: torch.device, of: Path | None = None) -> tuple[Path, tuple[str, ...], str]:
    """(folder, stages, why) of the cascade in the home `of` (the user's) that is that variant; stages ()
    leaves them to the plan.

    "auto" is the largest that runs well on this machine, else nano; "l", "m" and "s" are a stage of that name
    alone. Raises NotFound with what to fetch.
    """
    if variant == "nano":
        return EMBEDDED["nano"], (), "nano: asked for"
    here = _readable(of)
    if variant != "auto":
        have = variants_here(of)[variant]
        if not have:
            raise NotFound(f"no cascade with a stage {variant} is here: {how_to_get(variant)}")
        name = have[0]
        return here[name].folder, (variant,), f"{variant}: stage {variant} of {name}"
    best, most, reasons = EMBEDDED["nano"], 0, []
    for name, spec in here.items():
        try:
            found = plan_for(spec, device)
        except OutOfMemory as error:
            reasons.append(f"{name}: {error}")
            continue
        sizes = [stage_parameters(stage).all for stage in spec.stages if stage.name in found.stages]
        if device.type == "cpu" and max(sizes) >= SLOW_ON_CPU:
            reasons.append(f"{name}: minutes a song on a CPU (name it to have it anyway)")
        elif sum(sizes) > most:
            best, most = spec.folder, sum(sizes)
            reasons.append(f"{name}: {found}")
    chosen = next((name for name, spec in here.items() if spec.folder == best), "nano")
    return best, (), "; ".join([f"auto: {chosen}", *reasons])


def _readable(of: Path | None) -> dict[str, CascadeSpec]:
    """The cascades in the home, without those that are broken."""
    found = {}
    for name, folder in available(of).items():
        with suppress(CheckpointError):
            found[name] = read_spec(folder, of)
    return {name: spec for name, spec in found.items() if name not in EMBEDDED}


def variants_here(of: Path | None = None) -> dict[str, list[str]]:
    """By variant, the cascades in the home `of` that have such a stage; those with fewest stages first."""
    specs = sorted(_readable(of).values(), key=lambda spec: len(spec.stages))
    found = {
        variant: [spec.folder.name for spec in specs if variant in [stage.name for stage in spec.stages]]
        for variant in PUBLISHED
    }
    return {**found, "nano": ["nano"]}


def how_to_get(variant: str) -> str:
    """How to get a variant onto this machine."""
    commands = {
        "l": "`acestep pull xl-turbo`",
        "m": "`acestep pull turbo`",
        "nano": "it is part of this package",
    }
    return commands.get(variant, "`acestep distill` trains it from M")


def variant_needs() -> dict[str, tuple[int, Parameters, int]]:
    """Of every variant: published parameters, its stage's, and those of codec and text encoder."""
    shared = CODEC_PARAMETERS + TEXT_ENCODER_PARAMETERS
    found = {}
    for name, parameters in PUBLISHED.items():
        without = shared if name in COUNTED_WITH_SHARED else 0
        found[name] = (parameters, Parameters(parameters - without), shared)
    nano = read_spec(EMBEDDED["nano"])
    stages = [stage_parameters(stage) for stage in nano.stages]
    own = Parameters(sum(s.transformer for s in stages), sum(s.others for s in stages))
    found["nano"] = (own.all + shared_parameters(nano), own, shared_parameters(nano))
    return found


def free_bytes(device: torch.device) -> float:
    """Memory that is free on the device now."""
    import torch

    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return _free_main_bytes()


def _free_main_bytes() -> float:
    import psutil

    return min(float(psutil.virtual_memory().available), _limit_bytes())


def _limit_bytes() -> float:
    """A container's limit, where there is one."""
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text(encoding="ascii").strip() if path.is_file() else "max"
    return float(text) if text.isdigit() else float("inf")

"""From training states to a checkpoint folder that a cascade is loaded from, however they were trained."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from acestep.errors import NotFound
from acestep.model.codec.spectral import SpectralCodec
from acestep.model.loading import ONLY_DATA
from acestep.nano.checkpoint import STAGES, NanoConfig, NanoModules, describe, save_checkpoint
from acestep.nano.states import needed
from acestep.nano.train_phase import with_phases
from acestep.nano.train_stages import split_stages

SCHEDULE = {"steps": 9, "shift": 1.0, "solver": "adams"}
CUTS = (3, 6)  # sigma 0.67 and 0.33: where `train_stages.LEVELS` meet
GUIDANCE = {"scale": 6.0, "mode": "apg", "interval": [0.0, 1.0]}
TRAINED_ON = (
    "loops composed and rendered by acestep/nano/data from MIT and CC0 sounds and code; see README.md"
)


def averaged(
    states: dict[str, dict[str, Any]],
    config: NanoConfig,
    text_encoder: Any,
    vocabulary: int,
    kind: str = "averaged",
) -> NanoModules:
    """The running means of each stage, taken from the state of the process that trained it."""
    template = NanoModules(config, vocabulary, names=("l",))
    modules = split_stages(template, config)
    modules.text_encoder = copy.deepcopy(text_encoder)
    for name in STAGES:
        values = states[name][kind]
        for part in ("transformers", "condition_encoders"):
            prefix = f"{part}.{name}."
            module: nn.Module = getattr(modules, part)[name]
            module.load_state_dict(
                {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
            )
    return modules.eval()


def publish(
    work: Path, folder: Path, config: NanoConfig | None = None, kind: str = "averaged"
) -> dict[str, int]:
    """Write the checkpoint made of `work`'s states; returns the steps each stage has had."""
    from transformers import AutoTokenizer, Qwen3Model

    files = {name: _state_of(work, name) for name in STAGES}
    states = {name: torch.load(path, map_location="cpu", weights_only=True) for name, path in files.items()}
    tokenizer = AutoTokenizer.from_pretrained(
        needed(work / "tokenizer", "train WORK --part text"), **ONLY_DATA
    )
    text_encoder = Qwen3Model.from_pretrained(needed(work / "text_encoder", "train WORK --part text"))
    codec = SpectralCodec.load(needed(work / "codec", "train WORK --part codec"))
    if (work / "phase.pt").exists():
        codec = with_phases(codec, work / "phase.pt")
    modules = averaged(states, config or NanoConfig(), text_encoder, len(tokenizer), kind)
    description = describe(SCHEDULE, GUIDANCE, CUTS, TRAINED_ON)
    save_checkpoint(folder, modules, tokenizer, codec, description)
    return {name: int(state["step"]) for name, state in states.items()}


def _state_of(work: Path, stage: str) -> Path:
    """The newest state of a process that trained the stage: `l.pt`, `ms.pt`, `lms.pt` …"""
    found = [path for path in work.glob("*.pt") if set(path.stem) <= set(STAGES) and stage in path.stem]
    if not found:
        raise NotFound(f"no state of stage {stage} in {work}: run `acestep nano train` first")
    return max(found, key=lambda path: path.stat().st_mtime)

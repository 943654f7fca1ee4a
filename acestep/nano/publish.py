"""From training states to a checkpoint folder that a cascade is loaded from, however they were trained."""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from acestep.errors import NotFound
from acestep.model.codec.spectral import SpectralCodec
from acestep.model.loading import load_text_encoder, load_tokenizer
from acestep.model.modules import TextEncoder
from acestep.nano.checkpoint import STAGES, NanoConfig, NanoModules, describe, save_checkpoint
from acestep.nano.states import State, needed
from acestep.nano.train_phase import with_phases
from acestep.nano.train_stages import split_stages

# Chosen by hand for the embedded model; `acestep nano evaluate` measures what comes of a whole recipe.
SCHEDULE = {"steps": 9, "shift": 1.0, "solver": "adams"}
CUTS = (3, 6)  # sigma 0.67 and 0.33: where `train_stages.LEVELS` meet
GUIDANCE = {"scale": 6.0, "mode": "apg", "interval": [0.0, 1.0]}
TRAINED_ON = (
    "loops composed and rendered by acestep/nano/data from MIT and CC0 sounds and code; see README.md"
)


def averaged(
    states: Mapping[str, State],
    config: NanoConfig,
    text_encoder: TextEncoder,
    vocabulary: int,
    kind: str = "averaged",
) -> NanoModules:
    """The running means of each stage, taken from the state of the process that trained it."""
    template = NanoModules(config, vocabulary, names=("l",))
    modules = split_stages(template, config)
    modules.text_encoder = copy.deepcopy(text_encoder)
    for name in STAGES:
        values = states[name][kind]
        modules.transformers[name].load_state_dict(_under(f"transformers.{name}.", values))
        modules.condition_encoders[name].load_state_dict(_under(f"condition_encoders.{name}.", values))
    return modules.eval()


def _under(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}


def publish(
    work: Path, folder: Path, config: NanoConfig | None = None, kind: str = "averaged"
) -> dict[str, int]:
    """Write the checkpoint made of `work`'s states; returns the steps each stage has had."""
    files = {name: _state_of(work, name) for name in STAGES}
    states = {name: torch.load(path, map_location="cpu", weights_only=True) for name, path in files.items()}
    tokenizer = load_tokenizer(needed(work / "tokenizer", "train WORK --part text"))
    words = needed(work / "text_encoder", "train WORK --part text")
    text_encoder = load_text_encoder(words, torch.float32)
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

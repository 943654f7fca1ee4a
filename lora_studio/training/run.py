"""What the parts of one training run share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from acestep.model.cascade import Cascade
from lora_studio.adapters.formats import StageAdapter
from lora_studio.config import TrainConfig
from lora_studio.data.dataset import Dataset
from lora_studio.data.examples import Library
from lora_studio.training.audition import Audition
from lora_studio.training.budget import CARE, Budget
from lora_studio.training.checkpoints import RunState


@dataclass
class Run:
    """Grows while the run goes on."""

    config: TrainConfig
    folder: Path  # of checkpoints and logs
    target: Path  # of the adapter
    dataset: Dataset
    cascade: Cascade
    library: Library
    accelerator: Any
    budget: Budget
    audition: Audition
    states: dict[str, RunState] = field(default_factory=dict)
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    pairs: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    adapters: dict[str, StageAdapter] = field(default_factory=dict)

    measured_s: float = 0.0  # what it took to measure the stages' effects: weaker ones are measured again

    @property
    def finish_s(self) -> float:
        """What is to be left when the last clip has been listened to."""
        return self.budget.finish_s + CARE * self.measured_s + self.audition.previews_s

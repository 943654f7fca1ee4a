"""Trains LoRA adapters on a musician's own stems, for the daemon to play with.

    from lora_studio import TrainConfig, train
    train(TrainConfig(data="MyStems", name="my-sound"))

Names are loaded when first used, so importing this package does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "Dataset": "lora_studio.data.dataset",
    "TrainConfig": "lora_studio.config",
    "prepare": "lora_studio.data.preparing",
    "read_dataset": "lora_studio.data.dataset",
    "train": "lora_studio.training.train",
    "write_dataset": "lora_studio.data.dataset",
}

__all__ = list(_HOME)

if TYPE_CHECKING:
    from lora_studio.config import TrainConfig as TrainConfig
    from lora_studio.data.dataset import Dataset as Dataset
    from lora_studio.data.dataset import read_dataset as read_dataset
    from lora_studio.data.dataset import write_dataset as write_dataset
    from lora_studio.data.preparing import prepare as prepare
    from lora_studio.training.train import train as train


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lora_studio' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)

"""How much memory a training step takes, told from shapes before it begins, and how much there is."""

from dataclasses import dataclass
from typing import Any

import torch

GB = 1e9
# A block keeps about this many [tokens, width] tensors for its backward pass, counted on diffusers' block:
# norms, modulated inputs, queries, keys, values, attention, residuals; plus 4 of the MLP's width.
KEPT_WIDTHS = 16
KEPT_FEED_FORWARDS = 4
NUMBER_BYTES = 4  # of what is trained: single precision
TRAINED_COPIES = 4  # of it: the weights, their gradient, AdamW's two moments
SHARED_COPIES = 1  # where several processes train together: the gradients on their way to the others


@dataclass(frozen=True)
class Memory:
    """Bytes that training takes in one process, by part."""

    weights: int  # that play and are not trained
    trained: int  # weights that are, with all that training keeps of them
    activations: int
    copy: int = 0  # of the weights in half precision, where training computes in one

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.copy + self.trained + self.activations

    @property
    def more(self) -> int:
        """What is still to be taken when the weights are loaded."""
        return self.total - self.weights

    def told(self, processes: int, free: int, device: torch.device) -> str:
        """In a sentence; `free` bytes are left on the device where so many processes train."""
        parts = {
            "weights": self.weights + self.copy,
            "trained": self.trained,
            "activations": self.activations,
        }
        each = ", ".join(f"{name} {size / GB:.2f}" for name, size in parts.items())
        together = (
            f", {processes * self.more / GB:.2f} GB more for {processes} processes" if processes > 1 else ""
        )
        return (
            f"training takes about {self.total / GB:.2f} GB a process ({each}){together}; "
            f"{free / GB:.1f} GB are free on {device}"
        )


def trained_bytes(numbers: int, processes: int = 1, more_copies: int = 0) -> int:
    """What so many trained numbers take, of `processes` that train them together."""
    copies = TRAINED_COPIES + more_copies + (SHARED_COPIES if processes > 1 else 0)
    return numbers * NUMBER_BYTES * copies


def activation_bytes(
    config: Any, frames: int, batch: int, number_bytes: int, checkpointing: bool = False
) -> int:
    """What a transformer of this diffusers config keeps for the gradients of B = `batch` times `frames`."""
    tokens = batch * -(-frames // config.patch_size)
    kept = KEPT_WIDTHS * config.hidden_size + KEPT_FEED_FORWARDS * config.intermediate_size
    block, layers = tokens * kept * number_bytes, config.num_hidden_layers
    if checkpointing:
        return int(block + layers * tokens * config.hidden_size * number_bytes)
    return int(layers * block)


def available_bytes(device: torch.device) -> int:
    """Memory that is free on the device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


def sharing(device: torch.device) -> int:
    """How many processes of this run share the device's memory: on a CPU all that run on this machine."""
    if device.type == "cuda":
        return 1
    from accelerate.utils.environment import get_cpu_distributed_information

    return max(1, int(get_cpu_distributed_information().local_world_size))

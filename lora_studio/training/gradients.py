"""Adds up the gradients of several batches, of one process or many, so that the order makes no difference."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

COPIES = 4  # of what is trained, in single precision: the sum, and the one that goes to the other processes


class Sum:
    """The sum of the parameters' gradients, with twice as many digits as they have.

    AdamW turns a gradient of next to nothing into a whole step, up or down as its last digit says. So what is
    rounded otherwise is another step, and N processes would not learn what one does.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        self._parameters = parameters
        self._sizes = [parameter.numel() for parameter in parameters]
        device = parameters[0].device
        digits = torch.float32 if device.type == "mps" else torch.float64  # Apple's GPUs have no double
        self._total = torch.zeros(sum(self._sizes), dtype=digits, device=device)

    def take(self) -> None:
        """Takes the gradients of one batch from the parameters."""
        for part, parameter in zip(self._total.split(self._sizes), self._parameters, strict=True):
            if parameter.grad is not None:
                part += parameter.grad.flatten()
                parameter.grad = None

    def give(self, accelerator: "Accelerator", batches: int) -> None:
        """Gives the parameters the mean over so many batches, those of all processes."""
        total = accelerator.reduce(self._total, "sum") if accelerator.num_processes > 1 else self._total
        total /= batches
        for part, parameter in zip(total.split(self._sizes), self._parameters, strict=True):
            parameter.grad = part.view_as(parameter).to(parameter)

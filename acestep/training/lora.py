"""LoRA layers on a transformer: put on, taken off, and their weights as one plain dictionary.

`LowRank` is the layer that trains. Its numbers and gradients are those of peft's (x·Wᵀ + s·(x·Aᵀ)·Bᵀ, and
DoRA's), in fewer passes over memory: A's and B's product is added in place to the frozen weight's. A and B
are in single precision, also beside a half-precision W: there they are rounded for the product and get a
gradient in their own precision. Names are diffusers', as files spell them
(`layers.0.self_attn.to_q.lora_A.weight`). (`model.adapters` plays finished adapters; nothing in it trains.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any  # of autograd's contexts, which hold what a function puts there

import torch
from torch import Tensor, nn
from torch.nn import functional

from acestep.errors import AdapterError

_KINDS = ("lora_A", "lora_B", "lora_magnitude_vector")


@dataclass(frozen=True)
class LoraShape:
    """How large an adapter is, and where it goes."""

    rank: int
    alpha: float
    targets: tuple[str, ...]  # ends of layers' names
    dropout: float = 0.0
    dora: bool = False
    seed: int = 0  # of A; B begins at zero

    def layers(self, transformer: nn.Module) -> dict[str, nn.Linear]:
        """The linear layers that get an adapter, by name."""
        return {
            name: part
            for name, part in transformer.named_modules()
            if isinstance(part, nn.Linear)
            and name.startswith("layers.")
            and any(name.endswith("." + target) for target in self.targets)
        }

    def size(self, transformer: nn.Module) -> int:
        """How many numbers the adapter has (also for a transformer on the meta device)."""
        return sum(
            self.rank * (part.in_features + part.out_features) + (part.out_features if self.dora else 0)
            for part in self.layers(transformer).values()
        )


class LowRank(nn.Module):
    """A frozen linear layer with a LoRA or DoRA beside it."""

    def __init__(self, base: nn.Linear, shape: LoraShape) -> None:
        super().__init__()
        self.base_layer = base
        self.scaling = shape.alpha / shape.rank
        self.lora_dropout = nn.Dropout(shape.dropout)
        self.lora_A = nn.Linear(base.in_features, shape.rank, bias=False)
        self.lora_B = nn.Linear(shape.rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))  # peft's
        nn.init.zeros_(self.lora_B.weight)
        self.to(base.weight.device)
        if shape.dora:  # it begins as the rows' lengths are
            lengths = nn.Parameter(base.weight.detach().float().norm(dim=1))
            self.lora_magnitude_vector = nn.ParameterDict({"weight": lengths})
        self.dora = shape.dora
        self.train(base.training)  # one that is put on to be measured drops nothing

    @property
    def weight(self) -> Tensor:
        """The frozen weight."""
        return self.base_layer.weight

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return self.base_layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] → [..., out]."""
        down, up = self.lora_A.weight, self.lora_B.weight
        dropping = self.training and self.lora_dropout.p > 0
        if not self.dora and not dropping:
            result: Tensor = _LowRank.apply(  # type: ignore[no-untyped-call]  # torch gives it no types
                x, self.weight, self.bias, down, up, self.scaling
            )
            return result
        original: Tensor = self.base_layer(x)
        heard: Tensor = self.lora_dropout(x)
        added = functional.linear(functional.linear(heard.to(down.dtype), down), up) * self.scaling
        if not self.dora:
            return original + added.to(x.dtype)
        # DoRA (Liu et al. 2024): rows of W + s·BA, of the length that was learned; the length they would have
        # counts as constant for the gradient, as there
        weight = self.weight.to(down.dtype)
        lengths = (weight + self.scaling * (up @ down)).norm(dim=1).detach()
        factor = self.lora_magnitude_vector["weight"] / lengths
        if dropping:
            plain = functional.linear(heard, self.weight)
        else:
            plain = original if self.bias is None else original - self.bias
        bent: Tensor = original + ((factor - 1) * plain + factor * added).to(x.dtype)
        return bent


class _LowRank(torch.autograd.Function):
    """Forward and backward over rows [N, in]; the frozen weight gets no gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scaling: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        ctx.trained_in = down.dtype
        down, up = down.to(x.dtype), up.to(x.dtype)
        low = rows @ down.t()  # [N, r]
        result = functional.linear(rows, weight, bias).addmm_(low, up.t(), alpha=scaling)
        ctx.save_for_backward(rows, weight, down, up, low)
        ctx.scaling = scaling
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, down, up, low = ctx.saved_tensors
        (gradient,) = gradients
        flat = gradient.reshape(-1, gradient.shape[-1])
        to_low = (flat @ up).mul_(ctx.scaling)  # [N, r]
        for_down = to_low.t() @ rows
        for_up = (flat.t() @ low).mul_(ctx.scaling)
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = (flat @ weight).addmm_(to_low, down).view(*gradient.shape[:-1], -1)
        return for_x, None, None, for_down.to(ctx.trained_in), for_up.to(ctx.trained_in), None


def attach(transformer: nn.Module, shape: LoraShape) -> list[nn.Parameter]:
    """Put untrained LoRA layers on the transformer; gives their parameters. The rest is frozen.

    Raises AdapterError where no layer has one of the names.
    """
    found = shape.layers(transformer)
    if not found:
        raise AdapterError(f"the transformer has no layer named {', '.join(shape.targets)}")
    transformer.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(shape.seed)
        layers = {name: LowRank(part, shape) for name, part in found.items()}
    for name, layer in layers.items():
        _put(transformer, name, layer)
    return [parameter for parameter in transformer.parameters() if parameter.requires_grad]


def detach(transformer: nn.Module) -> None:
    """Put the plain layers back; the transformer is as it was before `attach`."""
    for name, part in list(transformer.named_modules()):
        if isinstance(part, LowRank):
            _put(transformer, name, part.base_layer)


def named_parameters(transformer: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The LoRA parameters by name."""
    return [
        (name, parameter)
        for name, parameter in transformer.named_parameters()
        if any(f".{kind}." in name for kind in _KINDS)
    ]


def state(transformer: nn.Module) -> dict[str, Tensor]:
    """The LoRA weights by name, detached and not copied."""
    return {name: parameter.detach() for name, parameter in named_parameters(transformer)}


def load_state(transformer: nn.Module, weights: dict[str, Tensor]) -> None:
    """Set the LoRA weights. Every name must match, both ways; raises AdapterError naming the others."""
    own = state(transformer)
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    wrong = [
        f"{name} {tuple(weights[name].shape)} for {tuple(own[name].shape)}"
        for name in sorted(own.keys() & weights.keys())
        if own[name].shape != weights[name].shape
    ]
    if missing or unknown or wrong:
        told = [
            f"{len(names)} {what}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            for names, what in ((missing, "missing"), (unknown, "unknown"), (wrong, "of another shape"))
            if names
        ]
        raise AdapterError(f"these weights do not belong to this adapter: {'; '.join(told)}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def _put(transformer: nn.Module, path: str, layer: nn.Module) -> None:
    """Put a layer where another one is."""
    parent, _, last = path.rpartition(".")
    setattr(transformer.get_submodule(parent), last, layer)

"""What an adapter adds to one layer's weight: LoRA, LoKr and LoHa, each with or without DoRA's magnitude.

W stands for a linear layer's weight [out, in]. Every kind gives its change as a matrix (`delta`) and
applied to an input without making that matrix where that is cheaper (`added`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import linear

Factors = tuple[Tensor, ...]  # a matrix, or two whose product it is


class Update:
    """One layer's change. `magnitude` (DoRA) holds a length per output [out], or per input [1, in]."""

    kind = ""
    magnitude: Tensor | None

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in) of the layer it is for."""
        raise NotImplementedError

    @property
    def rank(self) -> int:
        """Rank of its factors; 0 for whole matrices."""
        raise NotImplementedError

    @property
    def scaling(self) -> float:
        """What the factors' product is multiplied with at scale 1."""
        raise NotImplementedError

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its matrices, by the field's names of them."""
        raise NotImplementedError

    def product(self) -> Tensor:
        """The factors' product [out, in] in single precision, before scaling."""
        raise NotImplementedError

    def added(self, x: Tensor) -> Tensor:
        """x [..., in] times the factors' product, before scaling: [..., out]."""
        raise NotImplementedError

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Self:
        """The same with every tensor changed: moved, cast."""
        found = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(found, name, change(value))
            elif isinstance(value, tuple):
                setattr(found, name, tuple(change(one) for one in value))
        return found

    def beside(self, weight: Tensor) -> Self:
        """The same on a weight's device and in its dtype."""
        return self.mapped(lambda one: one.to(weight))

    def delta(self) -> Tensor:
        """Its change of the weight at scale 1 [out, in], float32; without the magnitude."""
        return self.scaling * self.product()


@dataclass
class Low(Update):
    """LoRA: up [out, r] · down [r, in], times alpha / r."""

    down: Tensor
    up: Tensor
    alpha: float
    magnitude: Tensor | None = None
    kind = "LoRA"

    @property
    def shape(self) -> tuple[int, int]:
        return self.up.shape[0], self.down.shape[1]

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {"lora_down.weight": self.down, "lora_up.weight": self.up}

    def product(self) -> Tensor:
        return self.up.float() @ self.down.float()

    def added(self, x: Tensor) -> Tensor:
        return linear(linear(x, self.down), self.up)


@dataclass
class Kron(Update):
    """LoKr (Yeh et al. 2023): the Kronecker product of left [a, c] and right [b, d]; out = a·b, in = c·d."""

    left: Factors
    right: Factors
    factor: float = 1.0  # alpha / rank
    magnitude: Tensor | None = None
    kind = "LoKr"

    @property
    def shape(self) -> tuple[int, int]:
        (a, c), (b, d) = _size(self.left), _size(self.right)
        return a * b, c * d

    @property
    def rank(self) -> int:
        return next((pair[1].shape[0] for pair in (self.right, self.left) if len(pair) == 2), 0)

    @property
    def scaling(self) -> float:
        return self.factor

    @property
    def tensors(self) -> dict[str, Tensor]:
        return _named("lokr_w1", self.left) | _named("lokr_w2", self.right)

    def product(self) -> Tensor:
        return torch.kron(_matrix(self.left), _matrix(self.right))

    def added(self, x: Tensor) -> Tensor:
        found: Tensor = x.unflatten(-1, (_size(self.left)[1], _size(self.right)[1]))  # [..., c, d]
        for one in reversed(self.right):
            found = linear(found, one)
        for one in reversed(self.left):
            found = one @ found
        return found.flatten(-2)


@dataclass
class Hadamard(Update):
    """LoHa (Hyeon-Woo et al. 2021): two products of [out, r] and [r, in], multiplied number by number."""

    first: Factors
    second: Factors
    factor: float = 1.0  # alpha / rank
    magnitude: Tensor | None = None
    kind = "LoHa"

    @property
    def shape(self) -> tuple[int, int]:
        return _size(self.first)

    @property
    def rank(self) -> int:
        return self.first[1].shape[0]

    @property
    def scaling(self) -> float:
        return self.factor

    @property
    def tensors(self) -> dict[str, Tensor]:
        return _named("hada_w1", self.first) | _named("hada_w2", self.second)

    def product(self) -> Tensor:
        return _matrix(self.first) * _matrix(self.second)

    def added(self, x: Tensor) -> Tensor:
        # made anew each time: it is as large as the weight itself, and would be kept for every layer
        return linear(x, self.product().to(x.dtype))

    def beside(self, weight: Tensor) -> Hadamard:
        """On the weight's device, but in single precision: products of four factors round badly."""
        return self.mapped(lambda one: one.to(weight.device, torch.float32))


def magnitude_factor(update: Update, weight: Tensor, scale: float) -> Tensor:
    """DoRA's learnt length over that of W + scale·delta: [out, 1], or [1, in] for a length per input."""
    changed = weight.float() + scale * update.delta().to(weight.device)
    assert update.magnitude is not None
    magnitude = update.magnitude.float()
    per_input = magnitude.ndim == 2
    length: Tensor = changed.norm(dim=0 if per_input else 1, keepdim=per_input)
    return magnitude / length if per_input else (magnitude / length)[:, None]


def built_in(update: Update, weight: Tensor, scale: float) -> Tensor:
    """The weight [out, in] with the update in it at that scale, in float32."""
    changed = weight.float() + scale * update.delta()
    return changed if update.magnitude is None else changed * magnitude_factor(update, weight, scale)


def largest(update: Update) -> float:
    """The largest absolute value in its `delta`."""
    bound = abs(update.scaling)
    for one in update.tensors.values():
        bound *= float(one.abs().max())
    return bound * max(1, update.rank) ** 2


def is_finite(tensor: Tensor) -> bool:
    """Whether it has no NaN and no infinite number."""
    return math.isfinite(float(tensor.abs().max())) if tensor.numel() else True


def _size(factors: Factors) -> tuple[int, int]:
    return factors[0].shape[0], factors[-1].shape[1]


def _matrix(factors: Factors) -> Tensor:
    first, *rest = (one.float() for one in factors)
    return first @ rest[0] if rest else first


def _named(name: str, factors: Factors) -> dict[str, Tensor]:
    if len(factors) == 1:
        return {name: factors[0]}
    return {f"{name}_a": factors[0], f"{name}_b": factors[1]}

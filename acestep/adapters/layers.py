"""One layer's tensors in an adapter file, checked and made into its update. Every complaint names the tensor.

Scaling: alpha / rank. LyCORIS and ComfyUI take whole LoKr matrices as they are, whatever alpha the file says;
PEFT, which keeps alpha in a file of its own, scales them too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from acestep.adapters.adapter_config import MAX_RANK, AdapterConfig, number
from acestep.adapters.keys import spellings
from acestep.adapters.updates import Factors, Hadamard, Kron, Low, Update, is_finite, largest
from acestep.errors import AdapterError

LARGEST = 1e15  # a change of a weight beyond this is no sound, and overflows on its way through the layers


@dataclass
class Layer:
    """`stem` is the layer's name in the file, `path` ours; `keys` say which of `tensors` is which part."""

    file: Path
    stem: str
    path: str
    tensors: Mapping[str, Tensor]
    keys: Mapping[str, str]

    def update(self, config: AdapterConfig) -> Update:
        """The update they make. Raises AdapterError."""
        made: dict[str, Callable[[AdapterConfig], Update]] = {}
        if "down" in self.keys or "up" in self.keys:
            made["LoRA"] = self._low
        if any(part.startswith("lokr_") for part in self.keys):
            made["LoKr"] = self._kron
        if any(part.startswith("hada_") for part in self.keys):
            made["LoHa"] = self._hadamard
        if len(made) != 1:
            raise self._wrong(f"is {' and '.join(made)} at once: expected one of them")
        kind, make = next(iter(made.items()))
        if config.kind and config.kind != kind:
            raise self._wrong(f"is {kind}, but adapter_config.json says {config.kind}")
        found = make(config)
        if not largest(found) < LARGEST:
            raise self._wrong("has numbers so large that it would only make noise: its training went wrong")
        return found

    def _low(self, config: AdapterConfig) -> Low:
        up, down = self._pair("up", "down", "[out, r]", "[r, in]")
        rank, alpha = down.shape[0], self._alpha_tensor()
        if alpha is None and (alpha := config.alpha_of(self._names())) is not None:
            alpha *= rank**0.5 if config.rank_stabilised else 1.0
        found = Low(down, up, float(rank) if alpha is None else alpha)
        found.magnitude = self._magnitude(found)
        return found

    def _kron(self, config: AdapterConfig) -> Kron:
        left, right = self._factors("lokr_w1"), self._factors("lokr_w2", "lokr_t2")
        found = Kron(left, right)
        alpha, rank = self._alpha_tensor(), float(found.rank)
        if alpha is None:
            alpha, rank = config.alpha_of(self._names()), rank or config.rank_of(self._names()) or 0.0
        found.factor = alpha / rank if alpha is not None and rank else 1.0
        found.magnitude = self._magnitude(found)
        return found

    def _hadamard(self, config: AdapterConfig) -> Hadamard:
        for part in ("hada_t1", "hada_t2"):
            if part in self.keys:
                raise self._wrong(f"has {self.keys[part]}, which only a convolution has")
        first = self._pair("hada_w1_a", "hada_w1_b", "[out, r]", "[r, in]")
        second = self._pair("hada_w2_a", "hada_w2_b", "[out, r]", "[r, in]")
        found = Hadamard(first, second)
        other = (second[0].shape[0], second[1].shape[1])
        if other != found.shape:
            raise self._wrong(
                f"has {self.keys['hada_w1_a']} for {list(found.shape)} and {self.keys['hada_w2_a']} for "
                f"{list(other)}: expected equal sizes"
            )
        alpha = self._alpha_tensor()
        alpha = config.alpha_of(self._names()) if alpha is None else alpha
        found.factor = 1.0 if alpha is None else alpha / found.rank
        found.magnitude = self._magnitude(found)
        return found

    def _factors(self, name: str, core: str = "") -> Factors:
        """A matrix, there whole or as two; a `core` [r, r] between two (Tucker) goes into the second."""
        if name in self.keys:
            return (self._matrix(name),)
        if core not in self.keys:
            return self._pair(f"{name}_a", f"{name}_b", "[a, r]", "[r, b]", also=name)
        # LyCORIS writes the factors around a core the other way: [r, a] · core [r, r] · [r, b]
        first, second = self._matrix(f"{name}_a"), self._matrix(f"{name}_b")
        middle = self._matrix(core)
        if (first.shape[0], second.shape[0]) != tuple(middle.shape):
            shapes = f"{list(first.shape)}, {list(middle.shape)} and {list(second.shape)}"
            raise self._wrong(
                f"has {self.keys[core]} between its factors as {shapes}: expected [r, a], [r, r], [r, b]"
            )
        return first.T.contiguous(), middle @ second

    def _pair(self, first: str, second: str, left: str, right: str, also: str = "") -> tuple[Tensor, Tensor]:
        """Two factors whose inner sizes agree."""
        missing = [part for part in (first, second) if part not in self.keys]
        if missing:
            whole = f" (or {also})" if also else ""
            raise self._wrong(f"has no {' and no '.join(missing)} matrix{whole}: the file is incomplete")
        a, b = self._matrix(first), self._matrix(second)
        if a.shape[1] != b.shape[0]:
            raise self._wrong(
                f"has {self.keys[first]} {list(a.shape)} and {self.keys[second]} {list(b.shape)}: expected "
                f"{left} and {right}"
            )
        if not 1 <= a.shape[1] <= MAX_RANK:
            raise self._wrong(f"has rank {a.shape[1]} in {self.keys[first]}: expected 1 to {MAX_RANK}")
        return a, b

    def _matrix(self, part: str) -> Tensor:
        """The part as a matrix of finite float32; as a convolution of size 1 it may have more dimensions."""
        if part not in self.keys:
            raise self._wrong(f"has no {part} matrix: the file is incomplete")
        found = self._finite(part)
        if found.ndim > 2 and found[0, 0].numel() == 1:
            found = found.flatten(1)
        if found.ndim != 2 or not found.numel():
            raise self._wrong(f"has {self.keys[part]} with shape {list(found.shape)}: expected a matrix")
        return found.contiguous()

    def _finite(self, part: str) -> Tensor:
        key = self.keys[part]
        tensor = self.tensors[key]
        if not tensor.is_floating_point() and part != "alpha":
            kind = str(tensor.dtype).removeprefix("torch.")
            raise self._wrong(f"has {key} as {kind}: expected floating-point numbers")
        tensor = tensor.to(torch.float32)
        if not is_finite(tensor):
            raise self._wrong(
                f"has numbers in {key} that are infinite or NaN: its training went wrong; "
                "use an earlier checkpoint of it"
            )
        return tensor

    def _alpha_tensor(self) -> float | None:
        if "alpha" not in self.keys:
            return None
        tensor = self._finite("alpha")
        if tensor.numel() != 1:
            raise self._wrong(f"has {self.keys['alpha']} with {tensor.numel()} numbers: expected one")
        return number(tensor.item(), self.keys["alpha"])

    def _magnitude(self, update: Update) -> Tensor | None:
        """DoRA's lengths: [out], or [1, in] as LyCORIS writes them for inputs."""
        if "magnitude" not in self.keys:
            return None
        key, tensor = self.keys["magnitude"], self._finite("magnitude")
        outputs, inputs = update.shape
        if "dora_scale" in key and tuple(tensor.shape) == (1, inputs) != (1, 1):
            return tensor
        if tensor.numel() != outputs:
            raise self._wrong(f"has {tensor.numel()} lengths in {key}: expected {outputs}, or [1, {inputs}]")
        return tensor.flatten()

    def _names(self) -> list[str]:
        """What a configuration may call this layer."""
        return list(dict.fromkeys([self.stem.removeprefix("base_model.model."), *spellings(self.path)]))

    def _wrong(self, what: str) -> AdapterError:
        return AdapterError(f"{self.file}: {self.stem} {what}")

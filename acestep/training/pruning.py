"""A smaller model begun from a larger one of the same kind: fewer layers, narrower ones, weights taken over.

Where a dimension is smaller its first part is taken: heads, channels and feed-forward units are numbered
alike in every tensor, so what belonged together stays together, and a tensor of the same shape is simply
copied (after Samragh et al. 2023, Weight subcloning, without its ordering by importance).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

SCALED = ("hidden_size", "intermediate_size", "encoder_hidden_size")
LAYERS = ("num_hidden_layers",)  # an encoder keeps its few layers
CHUNKS = 6  # time_proj gives shift, scale and gate, twice, one after the other


def smaller_config(config: Mapping[str, Any], width: float, depth: float) -> dict[str, Any]:
    """A diffusers config with widths and heads times `width`, layers times `depth`; heads keep their size.

    S is M with 0.625 and 0.75.
    """
    values = {key: value for key, value in dict(config).items() if not key.startswith("_")}
    for key in SCALED:
        if values.get(key):
            values[key] = max(2, 2 * round(values[key] * width / 2))
    group = values["num_attention_heads"] // values["num_key_value_heads"]
    values["num_key_value_heads"] = max(1, round(values["num_key_value_heads"] * width))
    values["num_attention_heads"] = group * values["num_key_value_heads"]
    for key in LAYERS:
        if key in values:
            values[key] = max(1, round(values[key] * depth))
    if "num_hidden_layers" in values and values.get("layer_types"):
        kinds = values["layer_types"]
        values["layer_types"] = [kinds[i] for i in kept_layers(len(kinds), values["num_hidden_layers"])]
    return values


def kept_layers(have: int, wanted: int) -> list[int]:
    """Which of the layers stay: evenly spread, first and last among them, kinds in their turn.

    ACE-Step's layers alternate between sliding and full attention; a kept layer keeps its kind.
    """
    if wanted == 1:
        return [0]
    return [round(i * (have - 1) / (wanted - 1)) for i in range(wanted)]


def begin_from(student: nn.Module, teacher: nn.Module) -> None:
    """Fill the student's parameters and buffers from the teacher's, as far as its tensors reach."""
    source, targets = teacher.state_dict(), student.state_dict()
    layers = kept_layers(_layers(source), _layers(targets))
    with torch.no_grad():
        for name, target in targets.items():
            head, _, rest = name.partition(".")
            number, _, inner = rest.partition(".")
            if head == "layers":
                name = f"layers.{layers[int(number)]}.{inner}"
            target.copy_(_corner(source[name], target, ".time_proj." in f".{name}"))


def _corner(given: Tensor, target: Tensor, chunked: bool) -> Tensor:
    """The part of `given` that has the shape of `target`; inputs that go missing are made up for in scale."""
    if chunked:
        given = given.unflatten(0, (CHUNKS, -1))[:, : target.shape[0] // CHUNKS].flatten(0, 1)
    part = given[tuple(slice(size) for size in target.shape)].to(target)
    if target.ndim == 2 and given.shape[1] > target.shape[1]:  # a linear layer that hears fewer inputs
        part = part * (given.shape[1] / target.shape[1]) ** 0.5
    return part


def _layers(state: Mapping[str, Tensor]) -> int:
    """How many layers a model has itself, not in a part of it."""
    return len({name.split(".")[1] for name in state if name.startswith("layers.")})

"""LoRA layers on a stage's transformer: put on, taken off, and their weights as one plain dictionary.

Uses peft's own layers. Names are diffusers' (`layers.0.self_attn.to_q.lora_A.weight`).
"""

from typing import Any

import torch
from torch import Tensor, nn

from acestep.errors import AdapterError
from lora_studio.config import TrainConfig

ADAPTER = "studio"
_KINDS = ("lora_A", "lora_B", "lora_magnitude_vector")


def attach(transformer: nn.Module, config: TrainConfig) -> list[nn.Parameter]:
    """Put untrained LoRA layers on the transformer; gives their parameters. The rest is frozen."""
    from peft import LoraConfig, inject_adapter_in_model

    names = [name for name, part in transformer.named_modules() if isinstance(part, nn.Linear)]
    found = [name for name in names if name.startswith("layers.") and _is_target(name, config.target_modules)]
    if not found:
        raise AdapterError(f"the transformer has no layer named {', '.join(config.target_modules)}")
    transformer.requires_grad_(False)
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.resolved_alpha,  # type: ignore[arg-type]  # peft says int and takes any number
        lora_dropout=config.dropout,
        target_modules=found,
        use_dora=config.dora,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        inject_adapter_in_model(settings, transformer, ADAPTER)
    parameters = [p for p in transformer.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()  # small, and trained: full precision
    return parameters


def _is_target(name: str, targets: tuple[str, ...]) -> bool:
    return any(name.endswith("." + target) for target in targets)


def detach(transformer: nn.Module) -> None:
    """Put the plain layers back; the transformer is as it was before `attach`."""
    for name, part in list(transformer.named_modules()):
        if _is_lora(part):
            parent = transformer.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], part.base_layer)
    if hasattr(transformer, "peft_config"):
        del transformer.peft_config


def _is_lora(part: Any) -> bool:
    from peft.tuners.lora import LoraLayer

    return isinstance(part, LoraLayer)


def named_parameters(transformer: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The LoRA parameters by name."""
    return [
        (name.replace(f".{ADAPTER}", ""), parameter)
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


def count(transformer: nn.Module) -> int:
    """How many numbers the adapter has."""
    return sum(tensor.numel() for tensor in state(transformer).values())

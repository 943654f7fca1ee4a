"""Adapters as upstream names them, and a DiT's forward with them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from acestep import Cascade

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


UPSTREAM = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out.0": "o_proj"}


def upstream_name(path: str) -> str:
    for ours, theirs in UPSTREAM.items():
        if path.endswith(ours):
            return path.removesuffix(ours) + theirs
    return path


def peft_velocity(cascade: Cascade, model) -> torch.Tensor:
    """A DiT's own forward on fixed inputs."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 12, 8, generator=generator)
    states = torch.randn(1, 9, 32, generator=generator)
    context = torch.randn(1, 12, 16, generator=generator)
    time = torch.tensor([0.7])
    with torch.no_grad():
        return model(
            hidden_states=x,
            timestep=time,
            timestep_r=time,
            encoder_hidden_states=states,
            context_latents=context,
            return_dict=False,
        )[0]


def turned_adapter(folder: Path, checkpoint: Path) -> None:
    """A PEFT adapter that turns one projection of a checkpoint's first stage upside down."""
    weights = load_file(next((checkpoint / "stages" / "l" / "transformer").glob("*.safetensors")))
    weight = weights["layers.0.self_attn.to_q.weight"].float()
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    folder.mkdir(parents=True)
    name = "base_model.model.layers.0.self_attn.q_proj"
    tensors = {
        f"{name}.lora_A.weight": right[:4].clone(),
        f"{name}.lora_B.weight": -3 * left[:, :4] * values[:4],
    }
    save_file(
        {key: tensor.contiguous() for key, tensor in tensors.items()}, folder / "adapter_model.safetensors"
    )
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))

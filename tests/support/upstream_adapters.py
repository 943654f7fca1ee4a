"""Adapters as upstream names them, and a DiT's forward with them."""

from __future__ import annotations

import torch

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

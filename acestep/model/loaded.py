"""A cascade's parts in memory: stages, codec, text encoder and adapters, and a cache of what they computed.

Shapes: T latent frames, C latent channels, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acestep.checkpoints import fingerprint
from acestep.checkpoints.checkpoint import CascadeSpec
from acestep.model import conditions
from acestep.model.adapters import Adapters
from acestep.model.codec.base import Codec
from acestep.model.conditions import Words
from acestep.model.modules import TextEncoder, Tokenizer
from acestep.model.planner import Planner
from acestep.model.stage import Recent, Stage


class Loaded:
    """Stages, codec and text encoder. `stages` maps names to `Stage` in their order."""

    def __init__(
        self,
        spec: CascadeSpec,
        stages: dict[str, Stage],
        codec: Codec,
        text_encoder: TextEncoder,
        tokenizer: Tokenizer,
        device: torch.device | None = None,
        resident: bool = True,
    ) -> None:
        self.spec = spec
        self.device = device or next(iter(stages.values())).like.device  # where stages run
        self.planner: Planner | None = None
        self.notes: tuple[str, ...] = ()  # why these stages, and what int8 changes
        self.resident = resident  # False: stages wait in main memory and take turns on the device
        self.stages = stages
        self.codec = codec
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.adapters = Adapters(stages)
        self.files: dict[str, str] = {}  # hashes of the files that were loaded, by their paths in the folder
        self._stamps: dict[str, fingerprint.Stamp] = {}
        self._words = Recent[Words](32)
        self._references = Recent[Tensor](4)

    def bring(self, stage: Stage, resident: bool = True) -> None:
        """Have a stage on the device; where stages take turns, the others make room first."""
        if stage.like.device.type != self.device.type:
            for other in self.stages.values():
                if other is not stage and not (resident and self.resident):
                    other.to("cpu")
            stage.to(self.device)

    def origin(self, adapters: Sequence[tuple[str, float]]) -> dict[str, Any]:
        """Name and hashes of what was loaded, for a sidecar; of the adapters in memory those named."""
        int8 = any(stage.int8_error is not None for stage in self.stages.values())
        planner = self.planner
        return {
            "name": self.spec.name,
            **({"int8": True} if int8 else {}),
            "files": self.files,
            "adapters": self.adapters.hashes(adapters),
            **({"planner": {"name": planner.name, "files": planner.files}} if planner else {}),
        }

    def supports(self, task: str) -> bool:
        """Whether this checkpoint can do a task, or take a "reference"."""
        return self.spec.can(task)

    def encode_text(self, text: str, lyrics: str) -> Words:
        """Embeddings of a formatted prompt and lyrics (see `conditions`); the last few are kept."""
        return self._words.get(
            (text, lyrics), lambda: conditions.encode_words(self.tokenizer, self.text_encoder, text, lyrics)
        )

    def encode_reference(self, key: Hashable, audio: Callable[[], NDArray[np.float32]]) -> Tensor:
        """Reference audio → latents its timbre is read from [1, T, C]; the last few are kept under `key`."""

        def encode() -> Tensor:
            pieces = conditions.reference_pieces(
                torch.from_numpy(audio()), self.codec.sample_rate_hz, self.spec.reference_s
            )
            return self.codec.encode(pieces[None].to(self.device))

        return self._references.get(key, encode)

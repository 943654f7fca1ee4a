"""What every codec can do, and the published one: ACE-Step's Oobleck autoencoder as a plain encode and
decode.

Shapes: B clips, N samples, T latent frames, C latent channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from acestep.checkpoints.weights import BROKEN_FILES
from acestep.errors import CheckpointError
from acestep.typed_json import fault_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module

    from acestep.model.modules import Oobleck

# The Oobleck decoder sees about 10 latent frames to either side and the encoder about 11 (summed over its
# dilated kernels), so with this margin the joined windows equal the decoding in one piece.
OOBLECK_MARGIN = 16
OOBLECK_WINDOW = 256  # latent frames decoded at once: 10.24 s


class Codec(Protocol):
    """Audio [B, 2, N] ↔ latents [B, T, C], deterministic both ways."""

    window: int | None  # latent frames decoded at once; None: there is no choice

    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def latent_rate_hz(self) -> float: ...
    @property
    def channels(self) -> int: ...
    @property
    def hop(self) -> int: ...

    def encode(self, audio: Tensor, window: int | None = None) -> Tensor:
        """Audio float32 [B, 2, N] → latents [B, ceil(N / hop), C]; the end is filled up with silence.
        `window`: so many latent frames at once, where there is a choice."""

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, T, C] → audio float32 [B, 2, T · hop]."""

    def decode_windows(self, latents: Tensor, window: int | None = None) -> Iterator[Tensor]:
        """The audio of `decode` in pieces [B, 2, n], in order; of `window` latent frames, if there is a
        choice."""

    def to(self, device: torch.device, /) -> object:
        """Move to a device."""

    def for_playing(self) -> None:
        """Get ready to decode what stages make, as well and as fast as it goes: nothing trains afterwards."""

    def save(self, folder: str | Path) -> None:
        """Write the codec so that `load_codec` reads it."""


class OobleckCodec:
    """diffusers' AutoencoderOobleck with weight norm folded in, the mean instead of a sample, and windows."""

    def __init__(self, autoencoder: Oobleck) -> None:
        import math

        # made smaller at loading where memory is short; the samples stay the same
        self.window: int | None = OOBLECK_WINDOW
        _fold_weight_norm(autoencoder)
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.hop = math.prod(autoencoder.config.downsampling_ratios)
        self.sample_rate_hz = autoencoder.config.sampling_rate
        self.channels = autoencoder.config.decoder_input_channels

    @property
    def latent_rate_hz(self) -> float:
        """Latent frames a second."""
        return self.sample_rate_hz / self.hop

    def encode(self, audio: Tensor, window: int | None = None) -> Tensor:
        """Audio [B, 2, N] → latents [B, T, C]: the distribution's mean, window by window."""
        import torch

        audio = torch.nan_to_num(audio, posinf=0.0, neginf=0.0)
        audio = torch.nn.functional.pad(audio, (0, -audio.shape[-1] % self.hop)).to(self._weight)
        total = audio.shape[-1] // self.hop
        pieces = []
        with torch.inference_mode():
            for start, end, first, last in _windows(total, window or self.window or OOBLECK_WINDOW):
                part = self.autoencoder.encode(
                    audio[..., first * self.hop : last * self.hop]
                ).latent_dist.mode()
                pieces.append(part[..., start - first : end - first])
        return torch.cat(pieces, -1).transpose(1, 2).float()

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, T, C] → audio [B, 2, T · hop]."""
        import torch

        return torch.cat(list(self.decode_windows(latents)), -1)

    def decode_windows(self, latents: Tensor, window: int | None = None) -> Iterator[Tensor]:
        """The same in pieces of `window` latent frames, about ten seconds where nothing else is said."""
        import torch

        channels_first = latents.transpose(1, 2).to(self._weight)
        for start, end, first, last in _windows(latents.shape[1], window or self.window or OOBLECK_WINDOW):
            with torch.inference_mode():
                audio = self.autoencoder.decode(channels_first[..., first:last]).sample
            yield audio[..., (start - first) * self.hop : (end - first) * self.hop].float()

    def to(self, where: torch.device | torch.dtype | str, /) -> OobleckCodec:
        """Move to a device or dtype."""
        self.autoencoder.to(where)
        return self

    def for_playing(self) -> None:
        """On a CPU, run the decoder in fewer passes over memory; the output is the same to float rounding."""
        from acestep.model.codec.oobleck import quicken

        if self._weight.device.type == "cpu":
            quicken(self.autoencoder.decoder)

    def save(self, folder: str | Path) -> None:
        """Write in diffusers' layout; the norms stay folded, with g = ‖v‖ so that the stock class reads
        it.
        """
        from diffusers import AutoencoderOobleck

        stock = AutoencoderOobleck.from_config(self.autoencoder.config)
        stock.load_state_dict(_unfolded(self.autoencoder.state_dict(), stock.state_dict()))
        stock.save_pretrained(folder)

    @property
    def _weight(self) -> torch.Tensor:
        return next(self.autoencoder.parameters())


def load_codec(folder: str | Path) -> Codec:
    """The codec in a checkpoint's `codec/` folder, told by `_class_name` in its config.json."""
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except BROKEN_FILES as error:
        raise CheckpointError(
            f"no codec in {folder}: expected a folder with config.json ({fault_of(error)})"
        ) from error
    name = config.get("_class_name") if isinstance(config, dict) else config
    try:
        if name == "SpectralCodec":
            from acestep.model.codec.spectral import SpectralCodec

            return SpectralCodec.load(folder)
        if name == "AutoencoderOobleck":
            from diffusers import AutoencoderOobleck

            return OobleckCodec(AutoencoderOobleck.from_pretrained(folder, use_safetensors=True))
    except BROKEN_FILES as error:
        why = " ".join(str(error).split())[:400]
        raise CheckpointError(f"the codec in {folder} has no readable safetensors: {why}") from error
    raise CheckpointError(
        f"the codec in {folder} is a {name!r:.60}: expected AutoencoderOobleck or SpectralCodec"
    )


def silence_of(codec: Codec, device: torch.device | str = "cpu") -> Tensor:
    """What the codec, which is on `device`, makes of silence, away from its edges: [1, 1, C]."""
    import torch

    return codec.encode(torch.zeros(1, 2, 64 * codec.hop, device=device))[:, 32:33]


def _fold_weight_norm(module: Module) -> None:
    """Replace every weight-normalised weight by its value, in place: it is constant at inference."""
    from torch.nn.utils import remove_weight_norm

    for part in module.modules():
        if any(name == "weight_g" for name, _ in part.named_parameters(recurse=False)):
            remove_weight_norm(part)


def _windows(total: int, window: int) -> Iterator[tuple[int, int, int, int]]:
    """(start, end) of what a window gives, and (first, last) of what it has to see for that."""
    for start in range(0, total, window):
        end = min(start + window, total)
        yield start, end, max(start - OOBLECK_MARGIN, 0), min(end + OOBLECK_MARGIN, total)


def _unfolded(folded: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    values = {}
    for name, like in wanted.items():
        if name.endswith("weight_g"):
            weight = folded[name.removesuffix("_g")]
            values[name] = weight.flatten(1).norm(dim=1).view(like.shape)
        elif name.endswith("weight_v"):
            values[name] = folded[name.removesuffix("_v")]
        else:
            values[name] = folded[name]
    return values

"""Whether a codec's samples depend on how much is decoded at once."""

from collections.abc import Iterable

import torch

from acestep.model.codec.spectral import SpectralCodec

# Of the samples' norm. Rounding of the latents alone moves them by 2e-5, a margin one half too small by 7e-3.
SAME = 1e-3


def off_in_windows(codec: SpectralCodec, latents: torch.Tensor, windows: Iterable[int]) -> float:
    """How far `latents` [B, T, C] decoded in windows of so many frames, or clip by clip, are from those
    decoded at once: the largest difference, relative to the norm. Shapes are checked.

    Phases that are tied from bin to bin are chaotic: the last bit of a product, which depends on its size on
    some CPUs, turns bins between tones around. Nothing could be told from samples then, so the ties are cut.
    """
    assert codec.phases is not None
    with torch.no_grad():
        codec.phases.leave.weight[4:] = 0
        codec.phases.leave.bias[4:] = 0
    whole = codec.decode(latents)
    others = [torch.cat(list(codec.decode_windows(latents, frames)), -1) for frames in windows]
    others.append(torch.cat([codec.decode(clip) for clip in latents.split(1)]))
    assert all(other.shape == whole.shape for other in others)
    return max(float((other - whole).norm() / whole.norm()) for other in others)

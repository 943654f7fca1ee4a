"""Short-time spectra and back, and phases for magnitudes that have none.

The phase starts from sinusoids followed from frame to frame (single-pass spectrogram inversion, Beauregard
et al. 2015) and is made consistent by a few Griffin-Lim rounds with momentum (Perraudin et al. 2013). Frame
t is centred on sample t·HOP + HOP/2, so T frames stand for exactly T·HOP samples.
Shapes: B clips, T frames, F bins, N samples.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

FFT = 2048  # samples: 43 ms at 48 kHz
HOP = 480  # samples: 10 ms
BINS = FFT // 2 + 1
EDGE = (FFT - HOP) // 2  # samples a frame reaches beyond its own hop, on either side
PREFIX = 8  # frames with known phase that a window starts from; a frame overlaps four others
LOOKAHEAD = 8  # frames after a window that steady its last phases and are made again by the next one
MOMENTUM = 0.99  # of the Griffin-Lim rounds

_BLOCKS = math.ceil(FFT / HOP)


def spectra(audio: Tensor) -> Tensor:
    """Audio [..., N] with N a multiple of HOP → complex spectra [..., N / HOP, F]."""
    padded = torch.nn.functional.pad(audio, (EDGE, EDGE))
    found: Tensor = torch.fft.rfft(padded.unfold(-1, FFT, HOP) * _window(audio))
    return found


def overlap_add(spectrum: Tensor) -> tuple[Tensor, Tensor]:
    """Spectra [..., T, F] → (sum of windowed frames, sum of squared windows), each over T·HOP + 2·EDGE
    samples.
    """
    window = _window(spectrum.real)
    frames = torch.fft.irfft(spectrum, n=FFT) * window
    return _add(frames), _add(window.square().expand(frames.shape[-2], FFT))


def audio_of(spectrum: Tensor) -> Tensor:
    """Spectra [..., T, F] → audio [..., T·HOP]: least squares over the overlaps."""
    total, weight = overlap_add(spectrum)
    return (total / weight.clamp_min(1e-8))[..., EDGE:-EDGE]


def find_phases(magnitude: Tensor, known: Tensor | None = None, rounds: int = 16) -> Tensor:
    """Magnitudes [B, T, F] → complex spectra [B, T, F]; `known` [B, P, F] fixes the first P frames."""
    first = 0 if known is None else known.shape[1]
    phase = _followed_phases(magnitude, known)
    spectrum = torch.polar(magnitude, phase)
    if known is not None:
        spectrum[:, :first] = known
    previous: Tensor | None = None
    for _ in range(rounds):
        consistent = spectra(audio_of(spectrum))
        aim = consistent
        if previous is not None:
            aim = consistent + MOMENTUM * (consistent - previous)
        previous = consistent
        spectrum = aim * (magnitude / aim.abs().clamp_min(1e-8))
        if known is not None:
            spectrum[:, :first] = known
    return spectrum


def stream_phases(magnitudes: Iterable[tuple[Tensor, Tensor, bool]], rounds: int = 16) -> Iterator[Tensor]:
    """Windows of magnitudes, with the frames that follow each, → their complex spectra, continued in phase.

    Each item is (window [B, T, F], lookahead [B, A, F], is it the last).
    """
    known: Tensor | None = None
    before: Tensor | None = None
    for window, ahead, _last in magnitudes:
        parts = [window, ahead] if before is None else [before, window, ahead]
        spectrum = find_phases(torch.cat(parts, 1), known, rounds)
        start = 0 if before is None else before.shape[1]
        done = spectrum[:, start : start + window.shape[1]]
        yield done
        known = done[:, -PREFIX:] if known is None else torch.cat([known, done], 1)[:, -PREFIX:]
        before = window[:, -PREFIX:] if before is None else torch.cat([before, window], 1)[:, -PREFIX:]


class OverlapStream:
    """Spectra in pieces → audio in pieces; joined they equal `audio_of` of the joined spectra."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._weight: Tensor | None = None

    def push(self, spectrum: Tensor, last: bool) -> Tensor:
        """The samples that no later frame can change any more, [..., n]; with `last`, all that are left."""
        total, weight = overlap_add(spectrum)
        weight = weight.clone()
        first = self._total is None
        if self._total is not None and self._weight is not None:
            total[..., : 2 * EDGE] += self._total
            weight[: 2 * EDGE] += self._weight
        done = spectrum.shape[-2] * HOP
        self._total, self._weight = total[..., done:], weight[done:]
        end = total.shape[-1] - EDGE if last else done
        return (total / weight.clamp_min(1e-8))[..., EDGE if first else 0 : end]


def _window(like: Tensor) -> Tensor:
    return torch.hann_window(FFT, dtype=like.dtype, device=like.device)


def _add(frames: Tensor) -> Tensor:
    """[..., T, FFT] → [..., T·HOP + 2·EDGE]: each frame is cut into hops, which line up with its
    neighbours'.
    """
    count = frames.shape[-2]
    padded = torch.nn.functional.pad(frames, (0, _BLOCKS * HOP - FFT)).unflatten(-1, (_BLOCKS, HOP))
    out = padded.new_zeros(*frames.shape[:-2], count + _BLOCKS - 1, HOP)
    for block in range(_BLOCKS):
        out[..., block : block + count, :] += padded[..., block, :]
    audio: Tensor = out.flatten(-2)[..., : count * HOP + 2 * EDGE]
    return audio


def _followed_phases(magnitude: Tensor, known: Tensor | None) -> Tensor:
    """Each bin takes the phase of its nearest spectral peak, which advances by the peak's frequency."""
    log = magnitude.clamp_min(1e-6).log()
    left, middle, right = log[..., :-2], log[..., 1:-1], log[..., 2:]
    peak = torch.nn.functional.pad((middle > left) & (middle >= right), (1, 1))
    bend = left - 2 * middle + right
    offset = torch.where(bend.abs() > 1e-6, 0.5 * (left - right) / bend.clamp_max(-1e-6), 0.0).clamp(
        -0.5, 0.5
    )
    bins = torch.arange(BINS, device=magnitude.device)
    frequency = bins + torch.nn.functional.pad(offset, (1, 1))  # in bins
    below = torch.where(peak, bins, -1).cummax(-1).values
    above = torch.where(peak, bins, 2 * BINS).flip(-1).cummin(-1).values.flip(-1)
    nearest = torch.where((bins - below <= above - bins) & (below >= 0) | (above >= BINS), below, above)
    nearest = torch.where((nearest < 0) | (nearest >= BINS), bins, nearest)
    advance = 2 * math.pi * HOP / FFT * frequency.gather(-1, nearest)
    sign = math.pi * bins  # a frame's phase is told at its centre: neighbours in a lobe alternate in sign
    if known is None:
        phase, first = 0.5 * advance[:, 0], 1
        frames = [phase]
    else:
        first = known.shape[1]
        frames = list((known.angle() - sign).unbind(1))
        phase = frames[-1]
    for t in range(first, magnitude.shape[1]):
        phase = phase.gather(-1, nearest[:, t]) + advance[:, t]
        frames.append(phase)
    return torch.stack(frames, 1).remainder(2 * math.pi) + sign

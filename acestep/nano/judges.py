"""Measures of a checkpoint that need more than one clip: probes, timbre, agreement, distances.

All work on frames [S, 64] at 100 Hz (numpy), which `Ear` makes of codec latents: real renders and generated
clips both have those.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from acestep.errors import Unsupported
from acestep.model.codec.base import Codec
from acestep.model.codec.phase import HOP
from acestep.model.codec.spectral import GRADING, GROUP, SpectralCodec
from acestep.music.grid import SAMPLE_RATE_HZ, Grid

RATE_HZ = SAMPLE_RATE_HZ / HOP
CHANNELS = 64  # leading directions that are kept


class Ear:
    """What a codec's latents hold, spectrum by spectrum: the leading directions of its components."""

    def __init__(self, codec: SpectralCodec) -> None:
        spectra = codec.synthesis.unflatten(1, (GROUP, -1))  # latents are of unit variance
        spectra = spectra[..., : codec.heard].flatten(0, 1)
        basis, variance, _ = torch.linalg.svd(spectra.T @ spectra / GROUP)
        basis, deviation = basis[:, :CHANNELS], variance[:CHANNELS].sqrt()
        wanted = deviation**GRADING
        self._codec = codec
        self._basis = basis * (wanted / wanted.square().mean().sqrt() / deviation)

    def frames(self, latents: np.ndarray | Tensor) -> np.ndarray:
        """Latents [T, C] → [4 T, 64]."""
        features = self._codec.synthesise(torch.as_tensor(latents).float()[None])[0] - self._codec.mean
        found: np.ndarray = (features[:, : self._codec.heard] @ self._basis).numpy()
        return found


def ear_of(codec: Codec) -> Ear:
    """The codec's ear, made once."""
    if not isinstance(codec, SpectralCodec):
        raise Unsupported(f"the judges read a SpectralCodec's latents, not those of {type(codec).__name__}")
    return _ear(codec)


@cache
def _ear(codec: SpectralCodec) -> Ear:
    return Ear(codec)


def summary(frames: np.ndarray) -> np.ndarray:
    """[S, 64] → [256]: mean, spread, movement and peaks of every channel: how a clip sounds, not what it
    plays.
    """
    values = frames.astype(np.float32)
    moved = np.abs(np.diff(values, axis=0))
    return np.concatenate([values.mean(0), values.std(0), moved.mean(0), np.quantile(values, 0.95, axis=0)])


def rhythm(frames: np.ndarray, grid: Grid, places: int = 16, channels: int = 8) -> np.ndarray:
    """[S, 64] → [places · 2 · channels]: where in the bar the leading channels rise and fall, mean 1 each."""
    moved = _moved(frames, channels)
    place = np.round(_bars(frames, grid) * places).astype(int) % places
    mean = _by_place(moved, place, places)
    profile: np.ndarray = (mean / (mean.mean(0, keepdims=True) + 1e-3)).ravel()
    return profile


def levels(frames: np.ndarray, grid: Grid, places: int = 32, channels: int = 8) -> np.ndarray:
    """[S, 64] → [places · channels]: how high the leading channels stand along the bar, in deviations."""
    values = frames[:, :channels].astype(np.float32)
    place = np.floor(_bars(frames, grid) * places).astype(int) % places
    mean = _by_place(values, place, places)
    profile: np.ndarray = ((mean - mean.mean(0)) / (values.std(0) + 1e-3)).ravel()
    return profile


def pulse(frames: np.ndarray, lags: int = 40, channels: int = 8) -> np.ndarray:
    """[S, 64] → [lags]: autocorrelation of all movement at 0.12–2.2 s: how fast it is, whatever was asked."""
    import librosa

    moved = _moved(frames, channels)
    moved = moved - moved.mean(0)
    alike = librosa.autocorrelate(moved, axis=0).sum(1) / np.arange(len(moved), 0, -1)
    wanted = RATE_HZ * np.geomspace(0.12, 2.2, lags)
    likeness: np.ndarray = np.interp(wanted, np.arange(len(moved)), alike / (alike[0] + 1e-6))
    return likeness


def features(frames: np.ndarray, grid: Grid) -> np.ndarray:
    """[S, 64] → [808]: how a clip sounds, when it moves and how fast, for probes."""
    parts = (summary(frames), rhythm(frames, grid), levels(frames, grid), pulse(frames))
    return np.concatenate(parts)


def _moved(frames: np.ndarray, channels: int) -> np.ndarray:
    """[S, 64] → [S, 2 · channels]: by how much the leading channels rise, then by how much they fall."""
    values = frames[:, :channels].astype(np.float32)
    moved = np.diff(values, axis=0, prepend=values[:1])
    return np.concatenate([moved.clip(0), (-moved).clip(0)], 1)


def _bars(frames: np.ndarray, grid: Grid) -> np.ndarray:
    return np.arange(len(frames)) / RATE_HZ / grid.bar_s


def _by_place(values: np.ndarray, place: np.ndarray, places: int) -> np.ndarray:
    """[S, n] → [places, n]: the mean of what falls on each place of the bar."""
    sums = np.zeros((places, values.shape[1]), np.float32)
    np.add.at(sums, place, values)
    means: np.ndarray = sums / np.bincount(place, minlength=places).clip(1)[:, None]
    return means


@dataclass
class Probe:
    """A linear classifier of clips' features."""

    names: tuple[str, ...]
    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor

    def tell(self, clips: np.ndarray) -> list[str]:
        """Features [n, 808] → the name of each."""
        x = (torch.from_numpy(clips).float() - self.mean) / self.deviation
        return [self.names[index] for index in (x @ self.weight + self.bias).argmax(-1)]


def train_probe(clips: np.ndarray, labels: list[str], steps: int = 300) -> Probe:
    """Logistic regression with strong weight decay, on features of real renders only."""
    torch.manual_seed(0)
    names = tuple(sorted(set(labels)))
    x = torch.from_numpy(clips).float()
    mean, deviation = x.mean(0), x.std(0).clamp_min(1e-3)
    x, y = (x - mean) / deviation, torch.tensor([names.index(label) for label in labels])
    weight = torch.zeros(x.shape[1], len(names), requires_grad=True)
    bias = torch.zeros(len(names), requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=0.02, weight_decay=3.0)
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(x @ weight + bias, y, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Probe(names, mean, deviation, weight.detach(), bias.detach())


def frechet(first: np.ndarray, second: np.ndarray, dimensions: int = 24) -> float:
    """Fréchet distance of two sets of summaries, in the principal components of the second."""
    centre, spread = second.mean(0), second.std(0) + 1e-3
    first, second = (first - centre) / spread, (second - centre) / spread
    _, _, axes = np.linalg.svd(second, full_matrices=False)
    first, second = first @ axes[:dimensions].T, second @ axes[:dimensions].T
    gap = float(((first.mean(0) - second.mean(0)) ** 2).sum())
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    values, vectors = np.linalg.eigh(b)
    root = vectors @ np.diag(np.sqrt(values.clip(0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ a @ root)
    return gap + float(np.trace(a) + np.trace(b) - 2 * np.sqrt(cross.clip(0)).sum())


def mean_distance(summaries: np.ndarray) -> float:
    """Mean distance between all pairs."""
    gaps = np.linalg.norm(summaries[:, None] - summaries[None], axis=-1)
    count = len(summaries)
    return float(gaps.sum() / max(count * (count - 1), 1))


def onset_curve(frames: np.ndarray) -> np.ndarray:
    """[S] at 100 Hz: how much the leading components move, zero mean, unit length."""
    moved = _moved(frames, 8).sum(1)
    moved = moved - moved.mean()
    curve: np.ndarray = moved / (np.linalg.norm(moved) + 1e-6)
    return curve


def agreement(curve: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two onset curves, forgiving 20 ms."""
    count = min(len(curve), len(other))
    soft = np.convolve(other[:count], np.ones(5) / 5, mode="same")
    return float((curve[:count] * soft).sum() / (np.linalg.norm(soft) + 1e-6))


def chroma(audio: np.ndarray, rate_hz: int = 48_000) -> np.ndarray:
    """Audio [N] → pitch classes by half second [12, n], unit columns."""
    import librosa

    made = librosa.feature.chroma_stft(y=audio, sr=rate_hz, hop_length=rate_hz // 2, n_fft=8192)
    columns: np.ndarray = made / (np.linalg.norm(made, axis=0, keepdims=True) + 1e-6)
    return columns

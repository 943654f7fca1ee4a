"""Measures of a checkpoint that need more than one clip: probes, timbre, agreement, distances.

All work on codec latents [T, 64] (numpy), which real renders and generated clips both have. Knows nothing of
how clips were made.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acestep.grid import Grid


def summary(latents: np.ndarray) -> np.ndarray:
    """[T, 64] → [256]: mean, spread, movement and peaks of every channel: how a clip sounds, not what it
    plays.
    """
    values = latents.astype(np.float32)
    moved = np.abs(np.diff(values, axis=0))
    return np.concatenate([values.mean(0), values.std(0), moved.mean(0), np.quantile(values, 0.95, axis=0)])


@dataclass
class Probe:
    """A linear classifier of clip summaries."""

    names: tuple[str, ...]
    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor

    def tell(self, summaries: np.ndarray) -> np.ndarray:
        """Summaries [n, 256] → indices of names [n]."""
        x = (torch.from_numpy(summaries).float() - self.mean) / self.deviation
        return (x @ self.weight + self.bias).argmax(-1).numpy()

    def accuracy(self, summaries: np.ndarray, labels: np.ndarray) -> float:
        """Share told right."""
        return float((self.tell(summaries) == labels).mean()) if len(labels) else float("nan")


def train_probe(summaries: np.ndarray, labels: np.ndarray, names: tuple[str, ...], steps: int = 300) -> Probe:
    """Logistic regression with weight decay, on real renders only."""
    torch.manual_seed(0)
    x = torch.from_numpy(summaries).float()
    mean, deviation = x.mean(0), x.std(0).clamp_min(1e-3)
    x, y = (x - mean) / deviation, torch.from_numpy(labels)
    weight = torch.zeros(x.shape[1], len(names), requires_grad=True)
    bias = torch.zeros(len(names), requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=0.02, weight_decay=0.2)
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


def onset_curve(latents: np.ndarray) -> np.ndarray:
    """[T] at 100 Hz: how much the leading components rise, zero mean, unit length."""
    rise = np.abs(np.diff(latents[:, :8].astype(np.float32), axis=0, prepend=latents[:1, :8])).sum(1)
    rise = rise - rise.mean()
    return rise / (np.linalg.norm(rise) + 1e-6)


def beat_error_ms(curve: np.ndarray, grid: Grid, rate_hz: float = 100.0) -> float:
    """How far the best place of the grid's sixteenths is from where it was asked to be, within half a
    beat.
    """
    time = np.arange(len(curve)) / rate_hz
    best, found = -np.inf, 0.0
    quarter = 60 / grid.bpm
    for shift in np.arange(-quarter / 2, quarter / 2, 0.004):
        phase = 2 * np.pi * (time - shift) / quarter
        score = float((curve * (np.cos(phase) + 0.7 * np.cos(2 * phase) + 0.5 * np.cos(4 * phase))).sum())
        if score > best:
            best, found = score, shift
    return abs(found) * 1000


def tempo_error_pct(curve: np.ndarray, bpm: float, rate_hz: float = 100.0) -> float:
    """Strongest tempo within a tenth of the asked one, by the curve's spectrum at 1, 2 and 4 × the beat."""
    time = np.arange(len(curve)) / rate_hz
    tempos = bpm * np.linspace(0.9, 1.1, 401)
    wave = np.zeros(len(tempos))
    for multiple in (1, 2, 4):
        turn = np.exp(-2j * np.pi * (tempos[:, None] / 60 * multiple) * time[None])
        wave += np.abs(turn @ curve)
    return float(abs(tempos[int(wave.argmax())] / bpm - 1) * 100)


def agreement(curve: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two onset curves, forgiving 20 ms."""
    count = min(len(curve), len(other))
    soft = np.convolve(other[:count], np.ones(5) / 5, mode="same")
    return float((curve[:count] * soft).sum() / (np.linalg.norm(soft) + 1e-6))


def chroma(audio: np.ndarray, rate_hz: int = 48_000) -> np.ndarray:
    """Audio [N] → pitch classes by half second [12, n], unit columns."""
    import librosa

    made = librosa.feature.chroma_stft(y=audio, sr=rate_hz, hop_length=rate_hz // 2, n_fft=8192)
    return made / (np.linalg.norm(made, axis=0, keepdims=True) + 1e-6)

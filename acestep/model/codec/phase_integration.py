"""From phase differences and their certainty to phases: a least-squares step for each frame, causal.

A frame's phases have to fit those of the frame before, turned on, and one another, from bin to bin; what is
loud and certain counts most. The unknowns are the bins' phasors, let free in length, so each frame is one
Hermitian tridiagonal system; the angles of its solution are taken, the next frame goes on from them (Masuyama
et al. 2020, recurrent phase unwrapping, and Průša et al. 2017, who integrate gradients by loudness).
The recursion runs on the CPU in double precision: a few hundred kilobytes a second of audio, whatever device
the rest is on. Shapes: B clips, S frames, F bins.
"""

import numpy as np
import torch
from scipy.linalg import lapack
from torch import Tensor

from acestep.model.codec.phase import BINS, FFT, HOP, audio_of, spectra

# Chosen by hand; `python -m tests.benchmarks.phase` prints what becomes of hits and held notes.
SUREST = 0.95  # a certainty beyond counts as this
BIN_WEIGHT = 3.0  # of what ties a frame's bins, over what ties it to the frame before
HOLD = 1e-6  # how much a bin keeps to its turned phase where nothing tells, relative to the frame's loudest
ROUNDS = 2  # that make overlapping frames agree
ANCHOR = 0.1  # how firmly they are held to what the network is sure of
REACH = ROUNDS * (FFT // HOP)  # frames that those rounds see to either side
FIRST_HOLD = 0.05  # and of the first frame to phases drawn by lot, relative to the bin's own magnitude


class PhaseStream:
    """Frames in pieces → their spectra in pieces, the same however the frames are cut."""

    def __init__(self) -> None:
        self._before: tuple[np.ndarray, np.ndarray] | None = None  # phasors and magnitudes [B, F]
        self._waiting: list[Tensor] | None = None  # integrated spectra, magnitudes and anchors [B, n, F]
        self._passed = 0  # the first of the waiting frames that are given out already

    def push(self, magnitude: Tensor, turn: Tensor, delay: Tensor, last: bool) -> Tensor:
        """Magnitudes and the network's two answers [B, S, F] → the spectra [B, n, F] that no later frame can
        change; with `last`, all that are left.
        """
        sure = (turn.abs() * delay.abs()).clamp_max(SUREST**2)
        parts = [self._integrate(magnitude, turn, delay), magnitude, ANCHOR * sure / (1 - sure)]
        if self._waiting is not None:
            parts = [torch.cat(pair, 1) for pair in zip(self._waiting, parts, strict=True)]
        count = parts[0].shape[1]
        end = count if last else max(count - REACH, self._passed)
        done = settled(*parts)[:, self._passed : end]
        self._passed = min(end, REACH)
        self._waiting = [part[:, end - self._passed :] for part in parts]
        return done

    def _integrate(self, magnitude: Tensor, turn: Tensor, delay: Tensor) -> Tensor:
        size, turned, apart = (
            part.detach().cpu().numpy().astype(kind)
            for part, kind in ((magnitude, np.float32), (turn, np.complex64), (delay, np.complex64))
        )
        if self._before is None:
            lot = np.random.default_rng(0).uniform(-np.pi, np.pi, BINS)
            self._before = np.tile(np.exp(1j * lot), (len(size), 1)), np.zeros_like(size[:, 0])
        made = np.empty(size.shape, np.complex64)
        last = np.empty((len(size), BINS), complex)
        for row in range(len(size)):
            phasor, before = self._before[0][row], self._before[1][row]
            made[row], last[row] = _integrated(size[row], turned[row], apart[row], phasor, before)
        self._before = last, size[:, -1]
        made *= size * (1 - 2 * (np.arange(BINS, dtype=np.int8) % 2))  # as told at the frame's start
        return torch.from_numpy(made).to(magnitude.device)


def settled(told: Tensor, magnitude: Tensor, anchor: Tensor) -> Tensor:
    """Integrated spectra [B, S, F] made to agree where their frames overlap: a few rounds of Griffin-Lim,
    held to the told phases by their certainty. Only so many that hits stay sharp.
    """
    made = told
    for _ in range(ROUNDS):
        aim = spectra(audio_of(made)) + anchor * told
        made = aim * (magnitude / aim.abs().clamp_min(1e-9))
    return made


def _integrated(
    size: np.ndarray, turn: np.ndarray, delay: np.ndarray, phasor: np.ndarray, before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One clip [S, F], the phasors and magnitudes [F] of the frame before → phasors [S, F], the last ones.

    All but the recursion is done for all frames at once.
    """
    earlier = np.concatenate([before[None], size[:-1]])
    trust, pace = _trust(turn)
    hold = (trust * np.sqrt(size * earlier) + HOLD * size.max(1, keepdims=True)).astype(float) + 1e-12
    if not before.any():
        hold[0] += FIRST_HOLD * size[0]
    pace = pace * np.exp(2j * np.pi * HOP / FFT * np.arange(BINS)) * hold
    trust, apart = _trust(delay[:, :-1])
    bond = BIN_WEIGHT * trust * np.sqrt(size[:, 1:] * size[:, :-1])
    apart = (apart * -bond).astype(complex)
    hold[:, :-1] += bond
    hold[:, 1:] += bond
    made = np.empty(size.shape, complex)
    for frame in range(len(size)):
        solved = lapack.zptsv(hold[frame], apart[frame], pace[frame] * phasor, overwrite_b=True)[2]
        made[frame] = phasor = solved / (np.abs(solved) + 1e-300)
    return made, phasor


def _trust(told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight of a difference told with a certainty, and its unit phasor.

    A steep weight lets what is sure decide; with a von Mises distribution's concentration instead, held-out
    attacks came back a ms slower.
    """
    length = np.abs(told)
    sure = np.minimum(length, SUREST)
    return (sure / (1 - sure)) ** 2, np.where(length > 1e-9, told / np.maximum(length, 1e-9), 1)

"""Where in a latent frame the sound is loud: 16 channels that give attacks back.

Spectra of 43 ms tell how loud bands are, not when within that time: a hit comes back soft, with a noise
before it. So how loud five bands are every 2.67 ms, beside their own level over 45 ms, is kept too, by its
principal components in a latent frame. Only what stands out counts: small changes are noise that no model
could tell, and taken as none. After the phases, the made sound is measured alike, and each band is turned up
or down by what is missing; where nothing stands out in either, nothing is done. A coefficient's far values
are brought nearer (asinh): most are near 0 and a few hits are far away.
Shapes: B clips, N samples, S steps of 128 samples, K bands (5), T latent frames of 15 steps, A channels.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep.music.grid import SAMPLE_RATE_HZ

# Chosen by hand; nano's shipped weights are trained with them. `python -m tests.benchmarks.round_trip` and
# `tests.benchmarks.phase` print what becomes of hits.
STEP = 128  # samples: 2.67 ms
FFT = 512  # 11 ms
STEPS = 15  # in a latent frame
EDGES_HZ = (0, 300, 1200, 3000, 7000, SAMPLE_RATE_HZ)
BANDS = len(EDGES_HZ) - 1
SLOW_STEPS = 17  # of the level that steps are compared with
LOW_STEPS = 5  # over which the lowest band is evened out: a low tone's own waves are no changes
FLOOR = 1e-7  # power that counts as silence: -70 dB
NOTICED = 0.7  # natural log of amplitude: smaller changes are taken as none
KEPT = 0.1  # and of what the components tell again: less is their error
GAINS = (-7.0, 1.2)  # natural log: the most that is turned down and up
ROUNDS = 2  # of measuring and turning
CURVE = 1.5  # deviations at which a coefficient begins to be brought nearer
REACH = 32  # steps that the rounds see to either side
_PAD = (FFT - STEP) // 2


class Attacks(nn.Module):
    """Mid channel [B, N] ↔ its attacks as latents [B, T, A]."""

    mean: Tensor
    analysis: Tensor
    synthesis: Tensor
    centre: Tensor
    spread: Tensor
    _pool: Tensor
    _share: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        values = STEPS * BANDS
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("analysis", torch.zeros(values, channels))
        self.register_buffer("synthesis", torch.zeros(channels, values))
        self.register_buffer("centre", torch.zeros(channels))  # of the coefficients after the curve
        self.register_buffer("spread", torch.ones(channels))
        hz = torch.arange(FFT // 2 + 1) * SAMPLE_RATE_HZ / FFT
        inside = [(hz >= low) & (hz < high) for low, high in itertools.pairwise(EDGES_HZ)]
        pool = torch.stack(inside, 1).float()
        self.register_buffer("_pool", pool, persistent=False)
        self.register_buffer("_share", pool / pool.sum(0), persistent=False)

    def changes(self, mid: Tensor) -> Tensor:
        """How much louder than around it each step of each band is, natural log of amplitude beyond NOTICED
        [B, S, K], for audio [B, N] with N a multiple of STEP.
        """
        energy = _frames(mid).abs().square() @ self._share * (8 / 3 / FFT)
        low = _evened(energy[..., :1], LOW_STEPS)
        energy = torch.cat([low, energy[..., 1:]], -1)
        change = 0.5 * ((energy + FLOOR) / (_evened(energy, SLOW_STEPS) + FLOOR)).log()
        return _beyond(change, NOTICED)

    def fit(self, changes: Tensor) -> None:
        """Take mean and principal components from changes [n, 75] of latent frames."""
        self.mean.copy_(changes.mean(0))
        centred = changes - self.mean
        basis, variance, _ = torch.linalg.svd(centred.T @ centred / len(centred))
        basis, deviation = basis[:, : self.channels], variance[: self.channels].sqrt().clamp_min(1e-6)
        self.analysis.copy_(basis / deviation)
        self.synthesis.copy_((basis * deviation).T)
        curved = torch.asinh(CURVE * (centred @ self.analysis))
        self.centre.copy_(curved.mean(0))
        self.spread.copy_(curved.std(0).clamp_min(1e-6))

    def encode(self, mid: Tensor) -> Tensor:
        """Audio [B, N], N a multiple of a latent frame → latents [B, T, A] of about unit variance."""
        changes = self.changes(mid).unflatten(1, (-1, STEPS)).flatten(2)
        curved = torch.asinh(CURVE * ((changes - self.mean) @ self.analysis))
        return (curved - self.centre) / self.spread

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, T, A] → the changes [B, 15 T, K] that are wanted."""
        coefficients = torch.sinh((latents * self.spread + self.centre).clamp(-6, 6)) / CURVE
        changes = coefficients @ self.synthesis + self.mean
        wanted: Tensor = _beyond(changes, KEPT).unflatten(2, (STEPS, BANDS)).flatten(1, 2)
        return wanted

    def shape(self, audio: Tensor, wanted: Tensor) -> Tensor:
        """Audio [B, 2, S·STEP] with the changes [B, S, K]."""
        for _ in range(ROUNDS):
            gain = (wanted - self.changes(audio.mean(1))).clamp(*GAINS).exp() @ self._pool.T
            audio = _audio_of(_frames(audio) * gain[:, None])
        return audio


class AttackStream:
    """Audio in pieces → the same shaped, in pieces; joined they are what `shape` makes of the whole."""

    def __init__(self, attacks: Attacks, latents: Tensor) -> None:
        """`latents` [B, T, A] are those of the whole clip."""
        self._attacks = attacks
        self._wanted = attacks.decode(latents)
        self._waiting: Tensor | None = None  # samples not dropped yet, the first of them at step `_first`
        self._first = 0
        self._given = 0  # steps

    def push(self, audio: Tensor, last: bool) -> Tensor:
        """The samples [B, 2, n] that no later ones can change; with `last`, all that are left."""
        if self._waiting is not None:
            audio = torch.cat([self._waiting, audio], -1)
        end = self._first + audio.shape[-1] // STEP
        done = end if last else max(end - REACH, self._given)
        if done == self._given:
            self._waiting = audio
            return audio[..., :0]
        whole = audio[..., : (end - self._first) * STEP]
        shaped = self._attacks.shape(whole, self._wanted[:, self._first : end])
        out = shaped[..., (self._given - self._first) * STEP : (done - self._first) * STEP]
        keep = max(done - REACH, self._first)
        self._waiting = audio[..., (keep - self._first) * STEP :]
        self._first, self._given = keep, done
        return out


def _beyond(change: Tensor, threshold: float) -> Tensor:
    return torch.sign(change) * (change.abs() - threshold).clamp_min(0)


def _evened(energy: Tensor, steps: int) -> Tensor:
    """[B, S, K] under a Hann window of `steps`, an odd number; the ends go on as they are."""
    kernel = torch.hann_window(steps + 2, periodic=False, device=energy.device)[1:-1]
    rows = F.pad(energy.transpose(1, 2), (steps // 2, steps // 2), mode="replicate")
    even = F.conv1d(rows.flatten(0, 1)[:, None], (kernel / kernel.sum())[None, None])
    whole: Tensor = even.unflatten(0, (len(energy), -1))
    return whole[:, :, 0].transpose(1, 2)


def _frames(audio: Tensor) -> Tensor:
    """[..., S·STEP] → spectra [..., S, FFT / 2 + 1], each centred on its step."""
    padded = F.pad(audio, (_PAD, _PAD))
    found: Tensor = torch.fft.rfft(padded.unfold(-1, FFT, STEP) * _window(audio))
    return found


def _audio_of(spectrum: Tensor) -> Tensor:
    """And back, least squares over the overlaps."""
    window = _window(spectrum.real)
    frames = torch.fft.irfft(spectrum, n=FFT) * window
    total, weight = _added(frames), _added(window.square().expand(frames.shape[-2], FFT))
    return (total / weight.clamp_min(1e-6))[..., _PAD:-_PAD]


def _added(frames: Tensor) -> Tensor:
    """[..., S, FFT] → [..., S·STEP + 2·_PAD]."""
    blocks, count = FFT // STEP, frames.shape[-2]
    out = frames.new_zeros(*frames.shape[:-2], count + blocks - 1, STEP)
    for block, part in enumerate(frames.unflatten(-1, (blocks, STEP)).unbind(-2)):
        out[..., block : block + count, :] += part
    return out.flatten(-2)


def _window(like: Tensor) -> Tensor:
    return torch.hann_window(FFT, dtype=like.dtype, device=like.device)

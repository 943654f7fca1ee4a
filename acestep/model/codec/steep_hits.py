"""Hits that hit: what rises quickly above 2 kHz rises at once.

Spectra of 43 ms and blurred levels make a hit's rise soft. Above 2 kHz the level is followed every half
millisecond, and where it rises steeply it is turned down before the middle of the rise and up behind it: a
shock filter on the envelope. What rises slowly, falls or stands still is not touched.
Shapes: B clips, N samples, S steps of 24 samples.
"""

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from acestep.music.grid import SAMPLE_RATE_HZ

STEP = 24  # samples: 0.5 ms
LOWEST_HZ = 2000
TAPS = 511  # of the filter above LOWEST_HZ, an odd number
# Chosen by hand among 4 to 10 ms and 6 to 8 dB, on nano's drums of seeds 40 to 45: short attacks at a log-mel
# change of 0.02. `tests.benchmarks.phase` prints what comes of them on other clips.
WIDTH = 12  # steps to either side of a rise that are drawn together: 6 ms
STEEP_DB = 8.0  # a smaller rise across both sides is left as it is; twice as much is steepened whole
GAINS_DB = (-18.0, 9.0)
FLOOR = 1e-9  # power
REACH = 32  # steps that are seen to either side, those of the filter among them


class HitStream:
    """Audio in pieces → the same with steeper hits, in pieces; joined they are what `steepened` makes of the
    whole.
    """

    def __init__(self) -> None:
        self._waiting: Tensor | None = None  # samples not dropped yet
        self._given = 0  # of them, steps that were given out

    def push(self, audio: Tensor, last: bool) -> Tensor:
        """[B, 2, n] → the samples that no later ones change; with `last`, all. All of them together are a
        multiple of STEP.
        """
        if self._waiting is not None:
            audio = torch.cat([self._waiting, audio], -1)
        steps = audio.shape[-1] // STEP
        done = steps if last else max(steps - REACH, self._given)
        out = audio[..., :0]
        if done > self._given:
            out = steepened(audio[..., : steps * STEP])[..., self._given * STEP : done * STEP]
        drop = max(done - REACH, 0)
        self._waiting, self._given = audio[..., drop * STEP :], done - drop
        return out


def steepened(audio: Tensor) -> Tensor:
    """Audio [B, 2, N], N a multiple of STEP, with steeper hits."""
    high = _high(audio)
    power = F.avg_pool1d(high.square().sum(1, keepdim=True), 2 * STEP, STEP, STEP // 2)
    level = 10 * (power + FLOOR).log10()  # [B, 1, S]
    most = F.max_pool1d(level, 2 * WIDTH + 1, 1, WIDTH)
    least = -F.max_pool1d(-level, 2 * WIDTH + 1, 1, WIDTH)
    sides = F.pad(level, (WIDTH, WIDTH), mode="replicate")
    rise = sides[..., 2 * WIDTH :] - sides[..., : -2 * WIDTH]
    steep = ((rise - STEEP_DB) / STEEP_DB).clamp(0, 1)
    wanted = torch.where(level < (most + least) / 2, least, most)
    gain = ((wanted - level) * steep).clamp(*GAINS_DB)
    gain = F.avg_pool1d(gain, 3, 1, 1, count_include_pad=False)
    gain = F.interpolate(gain, scale_factor=STEP, mode="linear")
    return audio + high * (10 ** (gain / 20) - 1)


def _high(audio: Tensor) -> Tensor:
    """What lies above LOWEST_HZ: all less a sinc under a Hamming window, by way of spectra."""
    at = torch.arange(TAPS, device=audio.device) - TAPS // 2
    window = torch.hamming_window(TAPS, periodic=False, device=audio.device)
    low = torch.sinc(2 * LOWEST_HZ / SAMPLE_RATE_HZ * at) * window
    total = next_fast_len(audio.shape[-1] + TAPS, real=True)
    spectrum = torch.fft.rfft(audio, total) * torch.fft.rfft(low / low.sum(), total)
    high: Tensor = audio - torch.fft.irfft(spectrum, total)[..., TAPS // 2 :][..., : audio.shape[-1]]
    return high

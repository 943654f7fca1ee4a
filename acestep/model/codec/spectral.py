"""nano's codec: log-magnitudes in uneven bands and a parametric stereo image, 192 channels at 25 Hz, and 16
more that tell where in a frame hits are (`attacks`; a codec folder may be without them).

No phase is stored: a network tells how phases go on (`phase_network`), or, in a codec folder without one,
`phase` finds some. Encoding is linear: the principal components of four spectra at once, which spends few
channels on what stands still and leaves many to tell its pitches apart. Below 656 Hz they also see spectra
four times as long. There a semitone is less than a bin of the short ones, hidden in small differences of
neighbouring bins: nothing a diffusion model would get right, and clips had bass notes out of key; in the
long ones another tone is another bin. Decoding adds a network that knows from training what the components
left out, and gives low tones the pitch the long spectra tell. That is what makes a codec trainable and
runnable on two CPU cores. Latents come normalised: on average of unit variance, the leading components a
little more.
Shapes: B clips, T latent frames of 4 spectra each, S spectra, F bins (1025), K bands, L bins of the long
spectra (106), C latent channels, of which the first P (192) are components, N samples.
"""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep.errors import CheckpointError
from acestep.model.codec.attacks import Attacks, AttackStream
from acestep.model.codec.block import Block
from acestep.model.codec.held_tones import REACH, before_hits, without_dips
from acestep.model.codec.phase import BINS, FFT, HOP, LOOKAHEAD, OverlapStream, spectra, stream_phases
from acestep.model.codec.phase_integration import PhaseStream
from acestep.model.codec.phase_network import PhaseNetwork
from acestep.model.codec.steep_hits import HitStream
from acestep.model.codec.tones import LONG_BINS, LONG_FFT, with_tones
from acestep.model.quantise import packed, unpacked
from acestep.music.grid import SAMPLE_RATE_HZ

# Chosen by hand where nothing else is said; nano's shipped weights are trained with them. What another
# codec costs is printed by `python -m tests.benchmarks.round_trip`.
LINEAR_BINS = 128  # up to 3 kHz every bin is its own band: there harmonics must stay apart
BAND_RATIO = 1.0155  # above, a band is this much wider than the one below
STEREO_BANDS = 24  # of the stereo image
CHANNELS = 192  # components
GROUP = 4  # spectra in a latent frame
TONAL_BANDS, TONAL_WEIGHT = (2, 80), 1.5  # 47 Hz to 1.9 kHz, where keys are heard: how much more they count
STEREO_WEIGHT = 0.3  # of the stereo image among the components
LONG_WEIGHT = 1.0  # of the long spectra among the components
SPECTRA_AT_ONCE = 400  # long ones: 13 MB
PHASE_LOSS, LOSSY_BINS = 0.06, (LINEAR_BINS, 400)  # natural log of amplitude lost to phases, 3 to 9.4 kHz
FLOOR = 1e-4  # power that counts as silence: -97 dB below a full-scale sine
PAN_LIMIT = 3.0  # natural log of left over right amplitude
WIDTH_LIMITS = (-4.0, 1.5)  # natural log of side over mid amplitude
GRADING = 0.25  # 0: all channels of equal variance; 1: as the components have it, 27 to 1
LOUDEST = 6.1  # natural log of amplitude; the most in any band of 650 rendered loops, some turned up 3 dB
QUIETEST = 3e-4  # amplitude: what `_magnitude` makes of silence
WINDOW_FRAMES = 100  # latent frames decoded at once: 4 s
PHASES_FILE = "phases.safetensors"

_EXACT = ("mean", "analysis", "synthesis")


def band_edges() -> list[int]:
    """First bin of every band, and BINS at the end: bin by bin to 3 kHz, then growing."""
    edges = list(range(LINEAR_BINS + 1))
    position = float(LINEAR_BINS)
    while edges[-1] < BINS:
        position = max(position * BAND_RATIO, edges[-1] + 1)
        edges.append(min(round(position), BINS))
    return edges


def stereo_edges() -> list[int]:
    """First bin of every stereo band, and BINS at the end: even on a logarithmic scale."""
    points = torch.logspace(math.log10(4), math.log10(BINS), STEREO_BANDS).round().long().tolist()
    edges = [0]
    for point in points:
        edges.append(max(point, edges[-1] + 1))
    return edges


class SpectralCodec(nn.Module):
    """Audio [B, 2, N] at 48 kHz ↔ latents [B, T, C] at 25 Hz, T = ceil(N / 1920)."""

    hop = GROUP * HOP
    latent_rate_hz = SAMPLE_RATE_HZ / hop
    sample_rate_hz = SAMPLE_RATE_HZ
    window: int | None = None  # how much is decoded at once is its own business: samples depend on it

    mean: Tensor
    analysis: Tensor
    synthesis: Tensor
    _pool: Tensor
    _spread: Tensor
    _stereo_pool: Tensor
    _stereo_spread: Tensor
    _decorrelation: Tensor

    def __init__(
        self,
        channels: int = CHANNELS,
        width: int = 384,
        blocks: int = 5,
        kernel: int = 5,
        rounds: int = 32,
        attacks: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = {
            "channels": channels, "width": width, "blocks": blocks, "kernel": kernel, "rounds": rounds
        }  # fmt: skip
        self.config: dict[str, object] = {"_class_name": "SpectralCodec", **self.sizes}
        if attacks:
            self.config["attacks"] = attacks
        self.components, self.channels = channels, channels + attacks
        self.rounds = rounds
        self.margin = blocks * (kernel // 2)  # latent frames the decoder sees to either side
        edges, stereo = band_edges(), stereo_edges()
        self.bands = len(edges) - 1
        self.heard = self.bands + 2 * STEREO_BANDS  # features a spectrum is made of; the long ones' follow
        features = self.heard + LONG_BINS[1] - LONG_BINS[0]
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("analysis", torch.zeros(GROUP * features, channels))  # features - mean → latents
        self.register_buffer("synthesis", torch.zeros(channels, GROUP * features))  # and back, nearly
        self.from_latents = nn.Linear(channels, width)
        self.decoder = nn.Sequential(*[Block(width, kernel, 3) for _ in range(blocks)])
        self.decoder_norm = nn.LayerNorm(width)
        self.decoder_out = nn.Linear(width, GROUP * self.heard)
        nn.init.zeros_(self.decoder_out.weight)
        nn.init.zeros_(self.decoder_out.bias)
        self.phases: PhaseNetwork | None = None
        self.attacks = Attacks(attacks) if attacks else None
        self._mends = False
        self.register_buffer("_pool", _pooling(edges), persistent=False)
        self.register_buffer("_spread", _interpolation(edges), persistent=False)
        self.register_buffer("_stereo_pool", _pooling(stereo), persistent=False)
        self.register_buffer("_stereo_spread", _interpolation(stereo), persistent=False)
        self.register_buffer("_decorrelation", _decorrelation(), persistent=False)

    def features(self, audio: Tensor) -> Tensor:
        """Audio [B, 2, N] → what the components are of [B, S, K + 48 + L]: band levels, pan, width, and the
        levels of the long spectra's bins.
        """
        audio = torch.nan_to_num(audio.float(), posinf=0.0, neginf=0.0)
        audio = F.pad(audio, (0, -audio.shape[-1] % self.hop))
        spectrum = spectra(audio)
        left, right = spectrum[:, 0], spectrum[:, 1]
        mid = _power(left + right) / 4
        side = _power(left - right) / 4
        level = 0.5 * (mid @ self._pool + FLOOR).log()
        pooled = [power @ self._stereo_pool for power in (_power(left), _power(right), mid, side)]
        pan = 0.5 * ((pooled[0] + FLOOR) / (pooled[1] + FLOOR)).log()
        width = 0.5 * ((pooled[3] + FLOOR * 1e-2) / (pooled[2] + FLOOR)).log()
        image = pan.clamp(-PAN_LIMIT, PAN_LIMIT), width.clamp(*WIDTH_LIMITS)
        return torch.cat([level, *image, _long_levels(audio.mean(1))], -1)

    def set_components(self, features: Tensor) -> None:
        """Take mean and principal components from features of successive spectra [n, 4, K + 48 + L]; spread
        the variances over the channels.
        """
        weight = torch.ones(GROUP, features.shape[-1])
        weight[:, slice(*TONAL_BANDS)] = TONAL_WEIGHT
        weight[:, self.bands : self.heard] = STEREO_WEIGHT
        weight[:, self.heard :] = LONG_WEIGHT
        weight = weight.flatten()
        self.mean.copy_(features.mean((0, 1)))
        centred = (features - self.mean).flatten(1) * weight
        basis, variance, _ = torch.linalg.svd(centred.T @ centred / len(centred))
        basis, deviation = basis[:, : self.components], variance[: self.components].sqrt()
        wanted = deviation**GRADING
        wanted = wanted / wanted.square().mean().sqrt()
        self.analysis.copy_(weight[:, None] * basis * (wanted / deviation))
        self.synthesis.copy_((basis * (deviation / wanted)).T / weight)

    def analyse(self, features: Tensor) -> Tensor:
        """Features [B, 4 T, K + 48 + L] → components [B, T, P]."""
        components: Tensor = (features - self.mean).unflatten(1, (-1, GROUP)).flatten(2) @ self.analysis
        return components

    def synthesise(self, latents: Tensor) -> Tensor:
        """Latents [B, T, C], or components alone, → features [B, 4 T, K + 48 + L], as far as those go."""
        return _ungrouped(latents[..., : self.components] @ self.synthesis) + self.mean

    def decode_features(self, latents: Tensor) -> Tensor:
        """Latents [B, T, C] → features [B, 4 T, K + 48 + L]; those of long spectra are not corrected."""
        features = self.synthesise(latents)
        features[..., : self.heard] += self.correction(latents)
        return features

    def correction(self, latents: Tensor) -> Tensor:
        """What the network adds to the components' sum [B, 4 T, K + 48]."""
        x = self.from_latents(latents[..., : self.components])
        return _ungrouped(self.decoder_out(self.decoder_norm(self.decoder(x))))

    @torch.inference_mode()
    def encode(self, audio: Tensor, window: int | None = None) -> Tensor:
        """Audio [B, 2, N] → latents [B, T, C]; the last frame is filled up with silence."""
        components = self.analyse(self.features(audio))
        if self.attacks is None:
            return components
        mid = torch.nan_to_num(audio.float(), posinf=0.0, neginf=0.0).mean(1)
        with torch.autocast(audio.device.type, enabled=False):
            hits = self.attacks.encode(F.pad(mid, (0, -mid.shape[-1] % self.hop)))
        return torch.cat([components, hits], -1)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents [B, T, C] → audio [B, 2, T·1920]; samples may exceed 1."""
        return torch.cat(list(self.decode_windows(latents)), -1)

    def for_playing(self) -> None:
        """What is decoded from now on was made by stages: tones are kept from crumbling, hits made steep."""
        self._mends = True

    def decode_windows(self, latents: Tensor, window: int | None = None) -> Iterator[Tensor]:
        """The same audio in pieces [B, 2, n], each as soon as it is final."""
        frames = window or WINDOW_FRAMES
        with torch.inference_mode():
            total = latents.shape[1]
            starts = list(range(0, max(total - frames // 4, 1), frames))
            windows = list(itertools.pairwise([*starts, total]))
            spectra_of = self._followed if self.phases is None else self._told
            stream = OverlapStream()
            shaper: AttackStream | HitStream | None = None
            if self.attacks is not None:
                shaper = AttackStream(self.attacks, latents[..., self.components :])
            elif self._mends:
                shaper = HitStream()
            for (_, end), (mid, image) in zip(windows, spectra_of(latents, windows), strict=True):
                piece, last = stream.push(self._stereo(mid, image), end == total), end == total
                yield piece if shaper is None else shaper.push(piece, last)

    def _told(self, latents: Tensor, windows: list[tuple[int, int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """Each window's mid spectra [B, S, F], with phases the network tells, and its image [B, S, 48]."""
        assert self.phases is not None
        stream, margin = PhaseStream(), -(-self.phases.margin // GROUP)
        image = latents.new_zeros(len(latents), 0, 2 * STEREO_BANDS)
        for start, end in windows:
            first = max(start - margin, 0)
            features = self._features_between(latents, first, min(end + margin, latents.shape[1]))
            levels, long, magnitude = self._heard(features)
            here = slice((start - first) * GROUP, (end - first) * GROUP)
            turn, delay = self.phases(levels, long)
            last = end == latents.shape[1]
            spectrum = stream.push(magnitude[:, here], turn[:, here], delay[:, here], last)
            image = torch.cat([image, features[:, here, self.bands : self.heard]], 1)
            yield spectrum, image[:, : spectrum.shape[1]]
            image = image[:, spectrum.shape[1] :]

    def _followed(self, latents: Tensor, windows: list[tuple[int, int]]) -> Iterator[tuple[Tensor, Tensor]]:
        """The same with phases that partials and rounds of Griffin-Lim find: there is no network."""
        images: list[Tensor] = []

        def magnitudes() -> Iterator[tuple[Tensor, Tensor, bool]]:
            for start, end in windows:
                last = min(end + LOOKAHEAD // GROUP, latents.shape[1])
                features = self._features_between(latents, start, last)
                here = (end - start) * GROUP
                images.append(features[:, :here, self.bands : self.heard])
                magnitude = self._heard(features)[2]
                yield magnitude[:, :here], magnitude[:, here:], end == latents.shape[1]

        # each window's spectra arrive right after its features, so `images` holds one item at a time
        for spectrum in stream_phases(magnitudes(), self.rounds):
            yield spectrum, images.pop()

    def new_phase_network(self, **sizes: int) -> PhaseNetwork:
        """An untrained network of phases for what this codec decodes."""
        return PhaseNetwork(band_edges(), LONG_BINS[1] - LONG_BINS[0], **sizes)

    def heard_levels(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents [B, T, C] → what phases are told from: levels [B, S, K], after low tones were given their
        shape, and of long spectra [B, S, L]; and the magnitudes [B, S, F].
        """
        return self._heard(self.decode_features(latents))

    def _heard(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        long = features[..., self.heard :]
        magnitude = with_tones(self._magnitude(features[..., : self.bands]), long)
        low = magnitude[..., :LINEAR_BINS].clamp_min(QUIETEST).log()
        return torch.cat([low, features[..., LINEAR_BINS : self.bands]], -1), long, magnitude

    def save(self, folder: str | Path) -> None:
        """Write `config.json` and half-precision `model.safetensors` (the linear part stays float32), and
        `phases.safetensors` where the codec has a network of phases.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: (value.float() if name in _EXACT or name.startswith("attacks.") else value.half())
            .contiguous()
            .cpu()
            for name, value in self.state_dict().items()
            if not name.startswith("phases.")
        }
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        config = self.config
        if self.phases is not None:
            save_file(packed(self.phases.state_dict()), folder / PHASES_FILE, metadata={"format": "pt"})
            config = {**config, "phases": self.phases.config}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "SpectralCodec":
        """Read what `save` wrote, as float32 and ready to run."""
        from safetensors.torch import load_file

        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        phases = config.pop("phases", None)
        try:
            codec = cls(**{name: value for name, value in config.items() if not name.startswith("_")})
            codec.load_state_dict(load_file(folder / "model.safetensors"))
            if phases is not None:
                codec.phases = codec.new_phase_network(**phases)
                codec.phases.load_state_dict(unpacked(load_file(folder / PHASES_FILE)))
        except (OSError, RuntimeError, TypeError) as error:
            raise CheckpointError(
                f"the codec in {folder} does not fit its config.json: expected the files `save` wrote "
                f"({error}); fetch the checkpoint again"
            ) from error
        return codec.eval().requires_grad_(False)

    def _features_between(self, latents: Tensor, start: int, end: int) -> Tensor:
        seen = -(-REACH // GROUP) if self._mends else 0
        near, far = max(start - seen, 0), min(end + seen, latents.shape[1])
        first, last = max(near - self.margin, 0), min(far + self.margin, latents.shape[1])
        features = self.decode_features(latents[:, first:last].float())
        features = features[:, (near - first) * GROUP : (far - first) * GROUP]
        if self._mends:
            features = self._mended(features)
        return features[:, (start - near) * GROUP : (end - near) * GROUP]

    def _mended(self, features: Tensor) -> Tensor:
        """Features [B, S, K + 48 + L] with the dips of tones filled."""
        level, image, long = features.tensor_split([self.bands, self.heard], -1)
        hits = before_hits(level[..., LINEAR_BINS:])
        return torch.cat([without_dips(level, hits), image, without_dips(long, hits)], -1)

    def _magnitude(self, level: Tensor) -> Tensor:
        power = (2 * level.clamp(max=LOUDEST)).exp()
        quiet = (power - FLOOR).clamp_min(FLOOR * 1e-3)
        magnitude = (0.5 * quiet.log() @ self._spread).exp()
        # phases found for evenly spread bands partly cancel; without this, renders came back 0.5 dB duller
        magnitude[..., slice(*LOSSY_BINS)] *= math.exp(PHASE_LOSS)
        return magnitude

    def _stereo(self, mid: Tensor, image: Tensor) -> Tensor:
        """Mid spectra [B, S, F], pan and width [B, S, 48] → left and right spectra [B, 2, S, F]."""
        pan, width = image.split(STEREO_BANDS, -1)
        panned = torch.tanh(pan.clamp(-PAN_LIMIT, PAN_LIMIT) / 2)  # (a - 1) / (a + 1) for a = left / right
        wide = width.clamp(*WIDTH_LIMITS).exp()
        wide = torch.where(width < WIDTH_LIMITS[0] + 0.5, 0.0, wide)
        panned = panned.sign() * torch.minimum(panned.abs(), wide)
        diffuse = (wide.square() - panned.square()).clamp_min(0).sqrt()
        side = mid * (panned @ self._stereo_spread) + mid * self._decorrelation * (
            diffuse @ self._stereo_spread
        )
        return torch.stack([mid + side, mid - side], 1)


def _ungrouped(features: Tensor) -> Tensor:
    """[B, T, 4 (K + 48)] → [B, 4 T, K + 48]."""
    frames: Tensor = features.unflatten(-1, (GROUP, -1)).flatten(1, 2)
    return frames


def _long_levels(audio: Tensor) -> Tensor:
    """Audio [B, N] → levels [B, S, L] of the bins of spectra around the same places as the short ones."""
    edge = (LONG_FFT - HOP) // 2
    frames = F.pad(audio, (edge, edge)).unfold(-1, LONG_FFT, HOP)
    window = torch.hann_window(LONG_FFT, device=audio.device) * (FFT / LONG_FFT)  # a tone is as loud as there
    parts = [
        0.5 * (_power(torch.fft.rfft(part * window)[..., slice(*LONG_BINS)]) + FLOOR).log()
        for part in frames.split(SPECTRA_AT_ONCE, 1)
    ]
    return torch.cat(parts, 1)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _pooling(edges: list[int]) -> Tensor:
    """[F, K]: the mean over each band."""
    matrix = torch.zeros(BINS, len(edges) - 1)
    for band, (start, end) in enumerate(itertools.pairwise(edges)):
        matrix[start:end, band] = 1 / (end - start)
    return matrix


def _interpolation(edges: list[int]) -> Tensor:
    """[K, F]: straight lines between the bands' centres."""
    centres = torch.tensor([(start + end - 1) / 2 for start, end in itertools.pairwise(edges)])
    bins = torch.arange(BINS).float()
    upper = torch.searchsorted(centres, bins).clamp(1, len(centres) - 1)
    share = ((bins - centres[upper - 1]) / (centres[upper] - centres[upper - 1])).clamp(0, 1)
    matrix = torch.zeros(len(centres), BINS)
    matrix[upper - 1, torch.arange(BINS)] = 1 - share
    matrix[upper, torch.arange(BINS)] += share
    return matrix


def _decorrelation() -> Tensor:
    """[F]: an all-pass of a few milliseconds, so that width does not cancel in mono."""
    return torch.polar(torch.ones(BINS), 6 * torch.sin(2 * math.pi * torch.arange(BINS) / 37))

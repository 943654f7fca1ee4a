"""The next bars of music that plays on: made to belong to those before, and joined to them at the bar line.

Segments of one follow are variations of one family (see `request.family`): loops of the same music, so that
any one may follow any other. Loudness and brightness are held to those of the first, the anchor. Audio is
[2, N].
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acestep.checkpoints.schedule import legs
from acestep.clips.clip import Clip, Finished
from acestep.clips.production import Production
from acestep.music.grid import Grid, Signature
from acestep.request import AudioRange, GenerateRequest
from acestep.sound.audio import read_audio
from acestep.sound.encode import encode
from acestep.sound.limiter import levelled
from acestep.sound.loudness import integrated_lufs
from acestep.sound.riff import MusicalData
from acestep.sound.stretch import stretch
from acestep.sources.claim import SOFTWARE
from acestep.sources.sidecar import read_sidecar
from acestep.version import __version__

if TYPE_CHECKING:
    from acestep.model.cascade import Cascade

JOIN_S = 0.012  # in which a segment takes over: as the seams of loops
CONTROL_HZ = (40.0, 16_000.0)  # between which the tilt acts
CENTRE_HZ = 1_000.0  # which a tilt leaves as it is
BRIGHT_WITHIN = 0.04  # relative: what is as near to the anchor's brightness as this is left alone
MAX_TILT_DB = 4.0  # an octave … a tilt by more would be another sound
TILTS = 12  # halvings of that
FRAME = 4096  # samples of a spectrum
FEWER_STEPS = 0.6  # of those a model takes, where the machine is too slow
JOINED = "joined to the segment before: made again, its first milliseconds are others"


@dataclass(frozen=True)
class Anchor:
    """What all segments of a follow are held to, until its settings change."""

    lufs: float | None
    centroid_hz: float

    @classmethod
    def of(cls, audio: np.ndarray, sample_rate_hz: int) -> "Anchor":
        """The anchor that a first segment sets."""
        return cls(integrated_lufs(audio, sample_rate_hz), centroid_hz(audio, sample_rate_hz))


@dataclass(frozen=True)
class Segment:
    """Bars of exactly the grid's length, and the file that they are to be."""

    audio: np.ndarray
    sample_rate_hz: int
    file: Finished
    anchor: Anchor


def make_segment(
    cascade: "Cascade",
    request: GenerateRequest,
    *,
    before: np.ndarray | None = None,
    anchor: Anchor | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Segment:
    """The segment of a request for one take; `before` is what sounds until it begins.

    Raises what `produce` raises.
    """
    production = Production(cascade, request.seeded(), "")
    chosen = production.choose(None, None, cancelled)[0]
    rate_hz = chosen.made.sample_rate_hz
    audio = chosen.fit.audio
    if anchor is None:
        anchor = Anchor.of(audio, rate_hz)
    else:
        audio = as_bright_as(audio, anchor.centroid_hz, rate_hz)
        audio = levelled(audio, rate_hz, anchor.lufs)[0]
    if before is not None:
        audio = joined(before, audio, rate_hz)
    notes = chosen.made.notes if before is None else (*chosen.made.notes, JOINED)
    made = replace(chosen, fit=replace(chosen.fit, audio=audio), made=replace(chosen.made, notes=notes))
    file = next(production.finished([made], cancelled))
    return Segment(audio, rate_hz, file, anchor)


def fewer_steps(cascade: "Cascade", request: GenerateRequest) -> GenerateRequest:
    """The request with FEWER_STEPS of the steps that it would take."""
    own = request.steps or sum(leg.steps for leg in legs(cascade.spec.plans(), tuple(cascade.stages)))
    return replace(request, steps=max(1, round(FEWER_STEPS * own)))


def at_tempo(path: Path, bpm: float) -> Finished:
    """A segment's file at another tempo, of exactly as many bars. Raises UnreadableAudio, InvalidRequest."""
    sidecar = read_sidecar(path)
    clip = Clip.from_sidecar(sidecar, path)
    grid = Grid(bpm, Signature.parse(clip.signature), clip.bars)
    audio = read_audio(AudioRange(str(path)), sample_rate_hz=clip.sample_rate_hz)
    length = round(grid.duration_s * clip.sample_rate_hz)
    audio = stretch(audio, clip.sample_rate_hz, length / audio.shape[1], loop=True)
    data = MusicalData(
        bpm=bpm,
        numerator=grid.signature.numerator,
        denominator=grid.signature.denominator,
        quarters=max(1, round(grid.bars * grid.signature.quarters_per_bar)),
        key=clip.key,
        downbeats=tuple(round(at * clip.sample_rate_hz) for at in grid.bar_times_s()),
        title=clip.prompt[:200],
        comment=f"stretched from {clip.bpm:g} bpm",
        created=clip.created,
        software=f"{SOFTWARE}{__version__}",
    )
    sidecar["clip"] |= {"bpm": bpm, "duration_s": length / clip.sample_rate_hz, "samples": length}
    return Finished(path.stem, path.suffix, encode(audio, clip.sample_rate_hz, "wav", "pcm24", data), sidecar)


def joined(before: np.ndarray, audio: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """`audio` so that it goes on where `before` ends. A loop leads to its own beginning, so that beginning is
    heard first, and gives way within a few milliseconds.
    """
    width = min(round(JOIN_S * sample_rate_hz), before.shape[1], audio.shape[1])
    share = np.linspace(0, 1, width, dtype=np.float32)
    result = audio.copy()
    result[:, :width] = (1 - share) * before[:, :width] + share * audio[:, :width]
    return result


def as_bright_as(audio: np.ndarray, wanted_hz: float, sample_rate_hz: int) -> np.ndarray:
    """A loop whose spectral centroid is brought to `wanted_hz` by a tilt of its spectrum, if it is not far.

    The tilt acts on the loop as a whole, so that its seam stays as it is.
    """
    hz, amplitude = _average_spectrum(audio, sample_rate_hz)
    own_hz = _centroid(hz, amplitude)
    if min(own_hz, wanted_hz) <= 0 or abs(own_hz / wanted_hz - 1) <= BRIGHT_WITHIN:
        return audio
    low, high = -MAX_TILT_DB, MAX_TILT_DB
    for _ in range(TILTS):
        middle = (low + high) / 2
        if _centroid(hz, amplitude * _tilt(middle, hz)) < wanted_hz:
            low = middle
        else:
            high = middle
    length = audio.shape[1]
    gains = _tilt((low + high) / 2, np.fft.rfftfreq(length, 1 / sample_rate_hz))
    made: np.ndarray = np.fft.irfft(np.fft.rfft(audio, axis=1) * gains, length, axis=1)
    return made.astype(np.float32)


def centroid_hz(audio: np.ndarray, sample_rate_hz: int) -> float:
    """The mean frequency of the average amplitude spectrum; 0 of what is too short or silent."""
    return _centroid(*_average_spectrum(audio, sample_rate_hz))


def _average_spectrum(audio: np.ndarray, sample_rate_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and the mean amplitude at each."""
    samples = audio.mean(axis=0)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1))).sum(axis=0)
    return np.fft.rfftfreq(FRAME, 1 / sample_rate_hz), np.sqrt(power / max(len(frames), 1))


def _centroid(hz: np.ndarray, amplitude: np.ndarray) -> float:
    return float((amplitude * hz).sum() / max(amplitude.sum(), 1e-12))


def _tilt(tilt_db: float, hz: np.ndarray) -> np.ndarray:
    octaves = np.log2(np.clip(hz, *CONTROL_HZ) / CENTRE_HZ)
    gains: np.ndarray = 10 ** (tilt_db * octaves / 20)
    return gains

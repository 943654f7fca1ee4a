"""Reads audio piece by piece: never more of a file in memory than one block, however long it is.

Gives the survey that scanning needs (length, level, content hash, band levels over time) and pieces at 48
kHz stereo.
"""

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acestep.errors import InvalidRequest, UnreadableAudio
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.music.key import MAJOR_STEPS, MINOR_STEPS, Key
from acestep.sound.audio import audio_blocks, probe, read_audio

AUDIO_SUFFIXES = (".wav", ".wave", ".aif", ".aiff", ".flac", ".mp3", ".ogg", ".oga", ".opus")
FRAME_S = 0.05  # one column of band levels
BLOCK_S = 2.0  # read at once
MAX_SECONDS = 36_000.0  # ten hours: what is longer is no song
BAND_EDGES_HZ = (0, 120, 250, 500, 1000, 2000, 4000, 8000, 20_000)  # octaves, about an ear's resolution
FLOOR_DB = -90.0  # of a level: silence

Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Survey:
    """What one pass over a file tells. `bands` is [frames, bands] in dB, one frame each FRAME_S."""

    seconds: float
    sample_rate_hz: int
    channels: int
    peak: float
    content: str  # hash of the samples, the same for the same audio in another lossless file
    bands: Floats
    notes: tuple[str, ...] = ()  # what had to be assumed

    @property
    def levels_db(self) -> Floats:
        """Level of each frame over all bands, in dB."""
        power: Floats = np.power(10.0, self.bands / 10).sum(axis=1)
        return np.asarray(10 * np.log10(np.maximum(power, 1e-9)), dtype=np.float32)


def survey(path: Path) -> Survey:
    """One pass over the file. Raises UnreadableAudio when it is not audio, broken, truncated or too long."""
    info = probe(path)
    if info.duration_s > MAX_SECONDS:
        raise UnreadableAudio(f"{path.name} lasts {info.duration_s / 3600:.1f} hours: expected at most 10")
    digest = hashlib.sha256()
    columns: list[Floats] = []
    peak, frames = 0.0, 0
    rate = info.sample_rate_hz
    step = max(1, round(rate * FRAME_S))
    weights = _band_weights(step, rate)
    for block in audio_blocks(path, step * round(BLOCK_S / FRAME_S)):
        frames += len(block)
        peak = max(peak, float(np.abs(block).max(initial=0)))
        digest.update(np.round(block * 32767).astype("<i4").tobytes())
        columns.append(_band_levels(block, step, weights))
    if frames == 0:
        raise UnreadableAudio(f"{path.name} holds no audio")
    if frames < info.frames * 0.98:
        raise UnreadableAudio(
            f"{path.name} is truncated: {frames / rate:.1f} s of {info.duration_s:.1f} s can be read"
        )
    bands = np.concatenate(columns)
    return Survey(frames / rate, rate, info.channels, peak, digest.hexdigest()[:32], bands, info.notes)


def read_piece(path: Path, start_s: float, seconds: float) -> Floats:
    """`seconds` of audio from `start_s` as [2, samples] at 48 kHz; zeros where the file has ended."""
    audio = np.zeros((2, round(seconds * SAMPLE_RATE_HZ)), dtype=np.float32)
    if start_s < probe(path).duration_s:
        piece = read_audio(path, max(0.0, start_s), start_s + seconds)[:, : audio.shape[1]]
        audio[:, : piece.shape[1]] = piece
    return audio


def _band_weights(step: int, rate: int) -> Floats:
    frequencies = np.fft.rfftfreq(step, 1 / rate)
    rows = [(frequencies >= low) & (frequencies < high) for low, high in itertools.pairwise(BAND_EDGES_HZ)]
    return np.stack(rows, axis=1).astype(np.float32)


def _band_levels(block: Floats, step: int, weights: Floats) -> Floats:
    """[frames, bands] in dB relative to a full-scale sine (about): the mean power of the channels [n, C].

    Their sum would call a file silent whose channels are opposites.
    """
    frames, channels = -(-len(block) // step), block.shape[1]
    padded = np.zeros((channels, frames * step), dtype=np.float32)
    padded[:, : len(block)] = block.T
    window = np.hanning(step).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(padded.reshape(channels, frames, step) * window, axis=2)) ** 2
    power = spectrum.mean(axis=0) @ weights * (4 / step**2)
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-9)), FLOOR_DB), dtype=np.float32)


LISTEN_S = 60.0  # of a file that tempo and key are heard in
UNPITCHED = ("drums", "percussion", "fx")


@dataclass(frozen=True)
class Heard:
    """Tempo, downbeat and key with confidences 0–1; None and "" where nothing was heard."""

    bpm: float | None = None
    bpm_confidence: float = 0.0
    downbeat_s: float = 0.0
    key: str = ""
    key_confidence: float = 0.0


def listen(path: Path, seconds: float) -> Heard:
    """What the file sounds like; of a long one, the first minute after a tenth of it."""
    from acestep.hearing.measure import measure

    if seconds <= LISTEN_S:
        start_s = 0.0
    else:
        start_s = min(seconds * 0.1, seconds - LISTEN_S)
    heard = measure(read_piece(path, start_s, min(seconds, LISTEN_S)))
    return Heard(
        heard.bpm,
        heard.tempo_confidence if heard.bpm else 0.0,
        start_s + (heard.downbeat_s or 0.0),
        str(heard.key) if heard.key else "",
        heard.key_confidence if heard.key else 0.0,
    )


def key_on(measured: str, root: int | None) -> str:
    """The measured key, or the one on a known root note that shares most notes with it."""
    try:
        key = Key.parse(measured)
    except InvalidRequest:
        return ""
    if root is None or key.tonic == root:
        return measured
    notes = set(key.pitch_classes)
    shared = {
        mode: len(notes & {(root + step) % 12 for step in steps})
        for mode, steps in (("major", MAJOR_STEPS), ("minor", MINOR_STEPS))
    }
    return str(Key(root, max(shared, key=lambda mode: shared[mode])))

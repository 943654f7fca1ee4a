"""Reading audio files: what is in them, and their samples as float32 stereo at 48 kHz.

Knows soundfile and soxr, and every way a file can be broken; knows nothing of tempo, keys or clips.
Arrays are [C, N]: C = 2 channels, N samples.
"""

import errno
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from acestep.command import expanded
from acestep.errors import UnreadableAudio
from acestep.grid import SAMPLE_RATE_HZ
from acestep.request import AudioRange

MAX_READ_S = 900.0  # longest stretch held in memory: 15 min of stereo float32 are 345 MB
MAX_RATE_HZ = 768_000
BLOCK_FRAMES = 65_536
UNKNOWN_SIZE = 0xFFFFFFFF  # what a WAV written to a pipe says about its length
READABLE = "WAV, AIFF, FLAC, OGG, MP3, CAF and others that libsndfile reads"


@dataclass(frozen=True)
class AudioInfo:
    """What a file says about itself."""

    path: str
    container: str  # "WAV", "FLAC" …
    encoding: str  # "PCM_24", "FLOAT" …
    sample_rate_hz: int
    channels: int
    frames: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate_hz


@dataclass(frozen=True)
class Audio:
    """Samples [2, N] float32 with a note for everything that had to be repaired."""

    samples: np.ndarray
    sample_rate_hz: int
    notes: tuple[str, ...] = ()


def probe(path: str | Path) -> AudioInfo:
    """What is in the file, without reading its samples. Raises UnreadableAudio."""
    file = _existing_file(path)
    with _opened(file) as sound:
        info = AudioInfo(
            str(file), sound.format, sound.subtype, sound.samplerate, sound.channels, int(sound.frames)
        )
    if not 0 < info.sample_rate_hz <= MAX_RATE_HZ:
        raise UnreadableAudio(f"{file} has a sample rate of {info.sample_rate_hz} Hz, which is none")
    if info.frames <= 0:
        raise UnreadableAudio(f"{file} holds no samples")
    _check_whole(file, info)
    return info


def read_audio(
    source: str | Path | AudioRange,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    max_s: float = MAX_READ_S,
) -> np.ndarray:
    """`[2, N]` float32: the file, or the part of it from `start_s` to `end_s` (or the range's own)."""
    if isinstance(source, AudioRange):
        start_s, end_s = source.start_s, source.end_s
        source = expanded(source.path)
    return load_audio(source, start_s, end_s, sample_rate_hz=sample_rate_hz, max_s=max_s).samples


def load_audio(
    path: str | Path,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    max_s: float = MAX_READ_S,
) -> Audio:
    """Like `read_audio`, with notes on what was repaired: NaNs, more than two channels.

    Raises UnreadableAudio for a missing, broken, cut-off or too long file and for an empty range.
    """
    info = probe(path)
    first = round(start_s * info.sample_rate_hz)
    last = info.frames if end_s is None else min(info.frames, round(end_s * info.sample_rate_hz))
    if first >= last:
        raise UnreadableAudio(
            f"{info.path} lasts {info.duration_s:.2f} s, so there is nothing between {start_s:g} s and "
            f"{'its end' if end_s is None else f'{end_s:g} s'}"
        )
    if (last - first) / info.sample_rate_hz > max_s + 1e-6:
        raise UnreadableAudio(
            f"{info.path} lasts {(last - first) / info.sample_rate_hz:.0f} s: expected at most {max_s:g} s: "
            f"name a part of it by start and end"
        )
    notes: list[str] = []
    samples = _resampled(_blocks(info, first, last, notes), info, last - first, sample_rate_hz)
    return Audio(samples, sample_rate_hz, tuple(notes))


def repair(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """The same samples with NaN and infinities set to 0, and how many there were."""
    bad = ~np.isfinite(samples)
    count = int(bad.sum())
    return (np.where(bad, np.float32(0), samples), count) if count else (samples, 0)


def _existing_file(path: str | Path) -> Path:
    file = Path(path)
    try:
        mode = file.stat()
    except (OSError, ValueError) as error:
        missing = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR)
        what = "does not exist" if missing else f"cannot be opened: {error}"
        raise UnreadableAudio(f"audio file {file} {what}") from error
    if file.is_dir():
        raise UnreadableAudio(f"{file} is a folder: expected an audio file")
    if not file.is_file():
        raise UnreadableAudio(f"{file} is no ordinary file: expected an audio file")
    if mode.st_size == 0:
        raise UnreadableAudio(f"{file} is empty")
    if not os.access(file, os.R_OK):
        raise UnreadableAudio(f"{file} may not be read: its permissions forbid it")
    return file


def _opened(file: Path) -> Any:
    import soundfile

    try:
        return soundfile.SoundFile(file)
    except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
        raise UnreadableAudio(f"{file} is not audio that can be read: expected {READABLE}") from error


def _check_whole(file: Path, info: AudioInfo) -> None:
    """A WAV or AIFF whose header promises more than the file holds is cut off."""
    promised = _promised_bytes(file)
    if promised is not None and promised > file.stat().st_size:
        raise UnreadableAudio(
            f"{file} is cut off: its header promises {promised} bytes, {file.stat().st_size} are there"
        )


def _promised_bytes(file: Path) -> int | None:
    order: Literal["little", "big"]
    with file.open("rb") as stream:
        head = stream.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            order, wanted = "little", b"data"
        elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            order, wanted = "big", b"SSND"
        else:
            return None
        size = file.stat().st_size
        position = 12
        while position + 8 <= size:
            stream.seek(position)
            name, length = stream.read(4), int.from_bytes(stream.read(4), order)
            if name == wanted:
                return None if length in (0, UNKNOWN_SIZE) else position + 8 + length
            position += 8 + length + length % 2
    return position - size % 2 if position > size + 1 else None


def _blocks(info: AudioInfo, first: int, last: int, notes: list[str]) -> Iterator[np.ndarray]:
    """Stereo blocks [n, 2] of the file, repaired."""
    import soundfile

    bad = 0
    left = last - first
    with _opened(Path(info.path)) as sound:
        try:
            sound.seek(first)
            while left > 0:
                block = sound.read(min(left, BLOCK_FRAMES), dtype="float32", always_2d=True)
                if not len(block):
                    break
                left -= len(block)
                block, count = repair(block)
                bad += count
                yield _stereo(block)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise UnreadableAudio(f"{info.path} is broken: {error}") from error
    if left > max(1152, 0.001 * (last - first)):  # one MP3 frame: its declared length is an estimate
        raise UnreadableAudio(
            f"{info.path} is cut off: {info.frames} samples promised, {left} of them are missing"
        )
    if bad:
        notes.append(f"{bad} samples were not numbers and are silent now")
    if info.channels > 2:
        notes.append(f"{info.channels} channels folded to two")


def _stereo(block: np.ndarray) -> np.ndarray:
    channels = block.shape[1]
    if channels == 1:
        return np.repeat(block, 2, axis=1)
    if channels == 2:
        return block
    return np.stack([block[:, 0::2].mean(axis=1), block[:, 1::2].mean(axis=1)], axis=1)


def _resampled(blocks: Iterator[np.ndarray], info: AudioInfo, frames: int, sample_rate_hz: int) -> np.ndarray:
    import soxr

    rate_hz = info.sample_rate_hz
    length = math.ceil(frames * sample_rate_hz / rate_hz)
    samples = np.zeros((2, length), np.float32)
    filled = 0
    same = rate_hz == sample_rate_hz
    stream = None if same else soxr.ResampleStream(rate_hz, sample_rate_hz, 2, dtype="float32")

    def put(block: np.ndarray) -> None:
        nonlocal filled
        block = block[: length - filled]
        samples[:, filled : filled + len(block)] = block.T
        filled += len(block)

    for block in blocks:
        put(block if stream is None else stream.resample_chunk(np.ascontiguousarray(block)))
    if stream is not None:
        put(stream.resample_chunk(np.zeros((0, 2), np.float32), last=True))
    return samples

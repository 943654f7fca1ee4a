"""Reading audio files that requests name, as float32 stereo at one rate.

Knows nothing of models, nor of which folders are allowed. Torch-free.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acestep.errors import UnreadableAudio
from acestep.grid import SAMPLE_RATE_HZ
from acestep.request import AudioRange

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_READ_S = 600.0  # the longest song there is here
MAX_CHANNELS = 16
FORMATS = "WAV, AIFF, FLAC, Ogg or MP3"
STREAMED_BYTES = 0xFFFFFF00  # sizes from here on are written by recorders that did not know the length


def read_audio(
    source: AudioRange, sample_rate_hz: int = SAMPLE_RATE_HZ, max_s: float = MAX_READ_S
) -> NDArray[np.float32]:
    """The samples of a range of a file as [2, N] at `sample_rate_hz`.

    Mono is doubled, of more than two channels the first two are taken, NaN and infinity become silence.
    Raises UnreadableAudio for what is missing, no audio, broken, empty or longer than `max_s`.
    """
    import soundfile
    import soxr

    path = Path(source.path).expanduser()
    if path.is_dir():
        raise UnreadableAudio(f"{path} is a folder: expected an audio file ({FORMATS})")
    if not path.is_file():
        raise UnreadableAudio(f"{path} is missing: expected an audio file ({FORMATS})")
    try:
        with soundfile.SoundFile(str(path)) as file:
            _check_whole(path, file.extra_info)
            rate = file.samplerate
            first, frames = _frames(path, source, rate, file.frames, file.channels, max_s)
            file.seek(first)
            samples = file.read(frames, dtype="float32", always_2d=True).T
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        raise UnreadableAudio(f"{path} cannot be read as audio: {error}; expected {FORMATS}") from error
    if samples.shape[1] < frames:
        raise UnreadableAudio(
            f"{path} is cut off: {samples.shape[1]} of {frames} samples are there; export it again"
        )
    samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    stereo = np.repeat(samples, 2, axis=0) if len(samples) == 1 else samples[:2]
    if rate != sample_rate_hz:
        stereo = soxr.resample(stereo.T, rate, sample_rate_hz, quality="VHQ").T
    return np.ascontiguousarray(stereo, dtype=np.float32)


def _frames(
    path: Path, source: AudioRange, rate: int, total: int, channels: int, max_s: float
) -> tuple[int, int]:
    """First frame and number of frames of the range."""
    if channels > MAX_CHANNELS:
        raise UnreadableAudio(f"{path} has {channels} channels: expected at most {MAX_CHANNELS}")
    duration_s = total / rate
    first = round(source.start_s * rate)
    end = total if source.end_s is None else min(round(source.end_s * rate), total)
    if first >= end:
        raise UnreadableAudio(f"{path} lasts {duration_s:.2f} s: nothing is at {source.start_s:g} s of it")
    if (end - first) / rate > max_s:
        raise UnreadableAudio(
            f"{(end - first) / rate:.0f} s of {path} were named: expected at most {max_s:g} s; "
            "name a part of it with a start and an end in seconds"
        )
    return first, end - first


def _check_whole(path: Path, parse_log: str) -> None:
    """libsndfile reads a truncated WAV or AIFF as a shorter one; its parse log tells them apart."""
    for kind, announced, found in re.findall(r"(data|SSND) : (\d+) \(should be (\d+)\)", parse_log):
        if int(found) + 8 < int(announced) < STREAMED_BYTES:  # a missing pad byte is no harm
            raise UnreadableAudio(
                f"{path} is cut off: its {kind} chunk has {found} of {announced} bytes; export it again"
            )

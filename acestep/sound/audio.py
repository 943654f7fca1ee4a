"""Reading audio files: what is in them, and their samples as float32 stereo at 48 kHz.

`containers` finds out what a file really holds, whatever its header says. Arrays are [C, N]: C = 2 channels,
N samples.
"""

import errno
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from acestep.console.command import expanded
from acestep.errors import UnreadableAudio
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.request import AudioRange
from acestep.sound.containers import View, view_of
from acestep.sound.decoding import decoded, opened
from acestep.sound.surround import fold_note, fold_weights, speakers

MAX_READ_S = 900.0  # longest stretch held in memory: 15 min of stereo float32 are 345 MB
MAX_RATE_HZ = 768_000
BLOCK_FRAMES = 65_536
LOOP_S = 0.005  # how far a loop's length may be off where several sound together
SILENT_PEAK = 10 ** (-70 / 20)  # of full scale: the noise of 16 bits reaches no further
LOUDEST = 1_000.0  # full scale is 1; what is above 60 dB more is no sound but other numbers


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds. `notes` say what had to be assumed because the file does not say it."""

    path: str
    container: str  # "WAV", "FLAC" …
    encoding: str  # "PCM_24", "FLOAT" …
    sample_rate_hz: int
    channels: int
    frames: int
    notes: tuple[str, ...] = ()

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
    view = _view(file)
    with opened(file, view) as sound:
        info = AudioInfo(
            str(file),
            sound.format,
            sound.subtype,
            sound.samplerate,
            sound.channels,
            int(sound.frames),
            (*view.notes, *_folded(view, sound.channels)),
        )
    if not 0 < info.sample_rate_hz <= MAX_RATE_HZ:
        raise UnreadableAudio(
            f"{file} has a sample rate of {info.sample_rate_hz} Hz, which is not possible: export it again"
        )
    if info.frames <= 0:
        raise UnreadableAudio(f"{file} holds no samples")
    return info


def source_notes(*sources: AudioRange | None) -> tuple[str, ...]:
    """What had to be assumed about the files that a request names, each note with its file's name.

    A file that was deleted since it was read has no notes: a finished clip does not fail for a note.
    """
    notes = []
    named = (one for source in sources if source is not None for one in source.sources)
    for file in dict.fromkeys(Path(one.path).expanduser() for one in named):
        try:
            notes += [f"{file.name}: {note}" for note in probe(file).notes]
        except UnreadableAudio:
            continue
    return tuple(notes)


def require_sound(source: AudioRange | None, what: str) -> None:
    """Raise UnreadableAudio where nothing sounds in the whole stretch; reads no further than its first sound.

    `what` is what the stretch is for, as in "a reference".
    """
    if source is None:
        return
    first_silent: UnreadableAudio | None = None
    for one in source.sources:  # of several that sound together, one is enough
        try:
            _require_sound(one, what)
            return
        except UnreadableAudio as error:
            first_silent = first_silent or error
    assert first_silent is not None
    raise first_silent


def _require_sound(source: AudioRange, what: str) -> None:
    info = probe(expanded(source.path))
    first, last = _frames(info, source.start_s, source.end_s)
    if any(np.abs(block).max(initial=0.0) > SILENT_PEAK for block in _blocks(info, first, last, [])):
        return
    name = Path(info.path).name
    if (first, last) == (0, info.frames):
        raise UnreadableAudio(f"{name} is silent: expected {what} in which something sounds")
    raise UnreadableAudio(
        f"{name} is silent from {first / info.sample_rate_hz:.2f} to {last / info.sample_rate_hz:.2f} s: "
        f"expected {what} in which something sounds: name another part of it"
    )


def audio_blocks(path: str | Path, frames: int) -> Iterator[np.ndarray]:
    """The file's own channels and rate as blocks [n, C] float32 of `frames` (the last is shorter), repaired.

    Raises UnreadableAudio where it is broken, or holds numbers that are no sound.
    """
    file = _existing_file(path)
    view = _view(file)
    with opened(file, view) as sound:
        yield from _repaired(decoded(sound, file, view, frames), file, [])


def read_audio(
    source: str | Path | AudioRange,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    max_s: float = MAX_READ_S,
) -> np.ndarray:
    """`[2, N]` float32: the file, or the part of it from `start_s` to `end_s` (or the range's own).

    Files that sound together are summed, each from its own start; one that is a whole number of times
    shorter than the longest is a loop and goes on to its end.
    """
    if isinstance(source, AudioRange):
        if source.plus:
            return summed(
                [read_audio(one, sample_rate_hz=sample_rate_hz, max_s=max_s) for one in source.sources],
                round(LOOP_S * sample_rate_hz),
            )
        start_s, end_s = source.start_s, source.end_s
        source = expanded(source.path)
    return load_audio(source, start_s, end_s, sample_rate_hz=sample_rate_hz, max_s=max_s).samples


def summed(sounds: list[np.ndarray], near: int) -> np.ndarray:
    """The sum of sounds [2, N] that begin together, as long as the longest. A shorter one goes round where it
    fits into that a whole number of times, but for `near` samples a round."""
    length = max(sound.shape[1] for sound in sounds)
    total = np.zeros((2, length), np.float32)
    for sound in sounds:
        rounds = round(length / sound.shape[1])
        if rounds > 1 and abs(length / rounds - sound.shape[1]) <= near:
            sound = np.tile(sound, (1, rounds + 1))
        sound = sound[:, :length]
        total[:, : sound.shape[1]] += sound
    return total


def duration_s(source: AudioRange) -> float:
    """How long a range sounds, as far as its file reaches; of files that sound together, the longest.

    0 or less where nothing is there. Raises UnreadableAudio.
    """
    longest = -np.inf
    for one in source.sources:
        there_s = probe(expanded(one.path)).duration_s
        end_s = there_s if one.end_s is None else min(one.end_s, there_s)
        longest = max(longest, end_s - one.start_s)
    return float(longest)


def load_audio(
    path: str | Path,
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    max_s: float = MAX_READ_S,
) -> Audio:
    """Like `read_audio`, with notes on what was assumed or repaired: lengths, NaNs, more than two channels.

    Raises UnreadableAudio for a missing, broken, cut-off or too long file and for an empty range.
    """
    info = probe(path)
    first, last = _frames(info, start_s, end_s)
    if (last - first) / info.sample_rate_hz > max_s + 1e-6:
        raise UnreadableAudio(
            f"{info.path} lasts {(last - first) / info.sample_rate_hz:.0f} s: expected at most {max_s:g} s: "
            f"name a part of it by start and end"
        )
    notes = list(info.notes)
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
        raise UnreadableAudio(f"{file} is not an ordinary file: expected an audio file")
    if mode.st_size == 0:
        raise UnreadableAudio(f"{file} is empty")
    if not os.access(file, os.R_OK):
        raise UnreadableAudio(f"{file} may not be read: its permissions forbid it")
    return file


def _view(file: Path) -> View:
    """How to read the file; found out once for as long as it stays as it is."""
    status = file.stat()
    return _view_once(file.absolute(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _view_once(file: Path, size: int, modified_ns: int) -> View:
    return view_of(file)


def _folded(view: View, channels: int) -> tuple[str, ...]:
    if channels <= 2:
        return ()
    return (fold_note(channels, *speakers(channels, view.mask, view.ogg, view.named)),)


def _frames(info: AudioInfo, start_s: float, end_s: float | None) -> tuple[int, int]:
    """The first frame of a stretch and the one behind its last. Raises UnreadableAudio for an empty one."""
    first = round(start_s * info.sample_rate_hz)
    last = info.frames if end_s is None else min(info.frames, round(end_s * info.sample_rate_hz))
    if first >= last:
        raise UnreadableAudio(
            f"{info.path} lasts {info.duration_s:.2f} s, so there is nothing between {start_s:g} s and "
            f"{'its end' if end_s is None else f'{end_s:g} s'}"
        )
    return first, last


def _blocks(info: AudioInfo, first: int, last: int, notes: list[str]) -> Iterator[np.ndarray]:
    """Stereo blocks [n, 2] of the file, repaired."""
    left = last - first
    file = Path(info.path)
    view = _view(file)
    weights = fold_weights(info.channels, speakers(info.channels, view.mask, view.ogg, view.named)[0])
    with opened(file, view) as sound:
        for block in _repaired(decoded(sound, file, view, BLOCK_FRAMES, first, left), file, notes):
            left -= len(block)
            yield _stereo(block, weights)
    if left > max(1152, 0.001 * (last - first)):  # one MP3 frame: its declared length is an estimate
        raise UnreadableAudio(
            f"{info.path} is cut off: {info.frames} samples promised, {left} of them are missing"
        )


def _repaired(blocks: Iterator[np.ndarray], file: Path, notes: list[str]) -> Iterator[np.ndarray]:
    """The blocks with NaN and infinity set to 0, with a note. Raises UnreadableAudio if nothing is left."""
    bad = total = 0
    for block in blocks:
        block, count = repair(block)
        bad, total = bad + count, total + block.size
        peak = float(np.abs(block).max(initial=0.0))
        if peak > LOUDEST:
            raise UnreadableAudio(
                f"{file}: its samples are not audio: values up to {peak:.2g}, where sound lies between "
                "−1 and 1: export it again, as 24-bit or 32-bit float WAV"
            )
        yield block
    if 2 * bad > total:
        raise UnreadableAudio(
            f"{file}: its samples are not audio: {bad} of {total} are not numbers at all: export it again"
        )
    if bad:
        notes.append(f"{bad} samples were not numbers and are silent now")


def _stereo(block: np.ndarray, weights: np.ndarray) -> np.ndarray:
    channels = block.shape[1]
    if channels == 1:
        return np.repeat(block, 2, axis=1)
    if channels == 2:
        return block
    folded: np.ndarray = block @ weights
    return folded


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

"""The samples of audio files, decoded by libsndfile through the view that `containers` found.

Some codecs cannot seek, and the decoder of MP3s writes to the terminal: both are dealt with here.
"""

import io
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from acestep.errors import UnreadableAudio
from acestep.sound.containers import View

READABLE = "WAV, AIFF, FLAC, OGG, MP3, CAF and others that libsndfile reads"
_OF_MPG123 = re.compile(rb"(Note|Warning|Error): |\[?(src/)?lib(mpg123|out123)|\s*$", re.IGNORECASE)
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def _mpg123_quiet(view: View) -> Iterator[None]:
    """Keeps libmpg123's messages about a broken MP3 off the terminal; our own notes say what matters.

    It writes to the process's stderr, so stderr is held back for a moment; lines of others are passed on.
    """
    if not view.mpeg:
        yield
        return
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as caught:
        try:
            stderr = os.dup(2)
        except OSError:  # there is none
            yield
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            caught.seek(0)
            os.write(stderr, b"".join(line for line in caught if not _OF_MPG123.match(line)))
            os.close(stderr)


class _Viewed(io.RawIOBase):
    """A file behind another header, for reading."""

    def __init__(self, file: Path, view: View) -> None:
        self._stream = file.open("rb")
        end = self._stream.seek(0, 2)
        self._head, self._start = view.head, view.start
        self._length = len(view.head) + (end if view.end is None else min(view.end, end)) - view.start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._length)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._length - self._at))
        if self._at < len(self._head):
            content = self._head[self._at : self._at + wanted]
        else:
            self._stream.seek(self._start + self._at - len(self._head))
            content = self._stream.read(wanted)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Joined:
    """Several SoundFiles, read as one: its rate and channels are the first's."""

    def __init__(self, sounds: list[Any]) -> None:
        self._sounds, self._now = sounds, 0
        first = sounds[0]
        self.format, self.subtype = first.format, first.subtype
        self.samplerate, self.channels = first.samplerate, first.channels
        self.frames = sum(sound.frames for sound in sounds)

    def seekable(self) -> bool:
        return all(sound.seekable() for sound in self._sounds)

    def seek(self, frame: int) -> None:
        self._now = 0
        while self._now < len(self._sounds) - 1 and frame >= self._sounds[self._now].frames:
            frame -= self._sounds[self._now].frames
            self._now += 1
        for sound in self._sounds[self._now :]:
            sound.seek(frame)
            frame = 0

    def read(self, frames: int, **options: Any) -> np.ndarray:
        while True:
            found: np.ndarray = self._sounds[self._now].read(frames, **options)
            if len(found) or self._now == len(self._sounds) - 1:
                return found
            self._now += 1


@contextmanager
def opened(file: Path, view: View) -> Iterator[Any]:
    """An open SoundFile. Raises UnreadableAudio for what libsndfile cannot read."""
    with ExitStack() as stack:
        sounds = [stack.enter_context(_opened(file, part)) for part in (view, *view.joined)]
        kinds = {(sound.samplerate, sound.channels) for sound in sounds}
        if len(kinds) > 1:
            raise UnreadableAudio(
                f"{file} holds streams with different sample rates or channels: save them as separate files"
            )
        yield sounds[0] if len(sounds) == 1 else _Joined(sounds)


@contextmanager
def _opened(file: Path, view: View) -> Iterator[Any]:
    import soundfile

    source = file if view.as_it_is else io.BufferedReader(_Viewed(file, view), 1 << 18)
    try:
        try:
            with _mpg123_quiet(view):
                sound = soundfile.SoundFile(source)
        except (soundfile.SoundFileError, RuntimeError, TypeError, ValueError) as error:
            raise UnreadableAudio(f"{file} is not audio that can be read: expected {READABLE}") from error
        if sound.subtype.startswith("DWVW"):
            sound.seekable = lambda: False  # its decoder says that it can, and fails
        with sound:
            yield sound
    finally:
        if isinstance(source, io.BufferedReader):
            source.close()


def decoded(
    sound: Any, file: Path, view: View, block: int, first: int = 0, frames: int | None = None
) -> Iterator[np.ndarray]:
    """Blocks [n, C] float32 of an open SoundFile from frame `first` on: `frames` of them, or all.

    Speech codecs such as GSM cannot seek: what lies before `first` is read and thrown away. Raises
    UnreadableAudio if the file is broken.
    """
    import soundfile

    def read(count: int) -> np.ndarray:
        with _mpg123_quiet(view):
            found: np.ndarray = sound.read(count, dtype="float32", always_2d=True)
        return found

    try:
        if first and sound.seekable():
            with _mpg123_quiet(view):
                sound.seek(first)
        elif first:
            while first > 0 and len(before := read(min(first, block))):
                first -= len(before)
        while (frames is None or frames > 0) and len(
            found := read(block if frames is None else min(frames, block))
        ):
            frames = None if frames is None else frames - len(found)
            yield found
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise UnreadableAudio(f"{file} is broken: {error}") from error

"""Signalsmith Stretch in a process of its own, because its binding holds Python's lock while it works.

A daemon answers OSC meanwhile; the command line does not need it. The child reads and writes raw float32
through pipes and ends with its parent.
"""

import contextlib
import struct
import subprocess
import sys
import threading

import numpy as np

HEADER = struct.Struct("<IIdddI")  # channels, samples, sample rate, factor, semitones, seed
ANSWER = struct.Struct("<II")


def process(
    audio: np.ndarray, sample_rate_hz: int, factor: float, semitones: float, seed: int = 0
) -> np.ndarray:
    """Stretched and transposed [C, ≈ N · factor]; always the same for the same input."""
    from python_stretch.Signalsmith import Stretch

    stretcher = Stretch(seed)
    stretcher.preset(audio.shape[0], sample_rate_hz)
    stretcher.setTimeFactor(1 / factor)
    if semitones:
        stretcher.setTransposeSemitones(semitones, 8000 / sample_rate_hz)
    writable = np.require(audio, np.float32, ["C", "W"])  # the binding refuses what it may not write
    return np.asarray(stretcher.process(writable))


class Child:
    """The process, started when first needed; a new one when it has died."""

    def __init__(self) -> None:
        self.wanted = False  # a daemon turns it on
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None

    def process(
        self, audio: np.ndarray, sample_rate_hz: int, factor: float, semitones: float, seed: int = 0
    ) -> np.ndarray:
        """Like the function; in the child if one is wanted and can be had."""
        if self.wanted:
            with self._lock, contextlib.suppress(OSError, EOFError, struct.error, ValueError):
                return self._ask(
                    np.ascontiguousarray(audio, np.float32), sample_rate_hz, factor, semitones, seed
                )
        return process(audio, sample_rate_hz, factor, semitones, seed)

    def _ask(self, audio: np.ndarray, rate_hz: int, factor: float, semitones: float, seed: int) -> np.ndarray:
        if not self.alive:
            self._running = subprocess.Popen(
                [sys.executable, "-m", "acestep.sound.stretcher"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        child = self._running
        assert child is not None
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(HEADER.pack(*audio.shape, rate_hz, factor, semitones, seed))
            child.stdin.write(audio.tobytes())
            child.stdin.flush()
            channels, samples = ANSWER.unpack(child.stdout.read(ANSWER.size))
            content = child.stdout.read(4 * channels * samples)
            return np.frombuffer(content, np.float32).reshape(channels, samples).copy()
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._running is not None and self._running.poll() is None

    def stop(self) -> None:
        """Ends the child, if there is one."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            for pipe in (self._running.stdin, self._running.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._running = None


child = Child()


def main() -> None:
    """Answers until its parent closes the pipe."""
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(HEADER.size)) == HEADER.size:
        channels, samples, rate_hz, factor, semitones, seed = HEADER.unpack(head)
        audio = np.frombuffer(source.read(4 * channels * samples), np.float32).reshape(channels, samples)
        result = process(audio, int(rate_hz), factor, semitones, seed)
        target.write(ANSWER.pack(*result.shape))
        target.write(np.ascontiguousarray(result, np.float32).tobytes())
        target.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main()

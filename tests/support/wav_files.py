"""RIFF files of every kind, chunk by chunk."""

import struct
from pathlib import Path

import numpy as np
import soundfile

from acestep.sound.riff import MusicalData

RATE_HZ, FRAMES = 44_100, 44_100


def noise(channels: int = 2, frames: int = FRAMES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))


def written(path: Path, samples: np.ndarray, **options: object) -> bytearray:
    soundfile.write(path, samples, RATE_HZ, **options)
    return bytearray(path.read_bytes())


def chunk(name: bytes, content: bytes, declared: int | None = None) -> bytes:
    size = len(content) if declared is None else declared
    return name + struct.pack("<I", size) + content + b"\0" * (len(content) % 2)


def wav(path: Path, *chunks: bytes, magic: bytes = b"RIFF", size: int | None = None) -> Path:
    body = b"WAVE" + b"".join(chunks)
    path.write_bytes(magic + struct.pack("<I", len(body) if size is None else size) + body)
    return path


DATA = MusicalData(
    bpm=127.37,
    numerator=7,
    denominator=8,
    quarters=14,
    root=9,
    key="A minor",
    downbeats=(0, 1000, 2000),
    title="dusty breakbeat",
    comment="fit good; ümlaut & <tag>",
    created="2026-11-22T21:45:01+0000",
    software="acestep-bridge",
    time_reference=2**33 + 5,
    lufs=-14.25,
    extra={"SEED": "7"},
)

"""Material for the tests of lora_studio: loops at an exact tempo, tones, noise, and a tiny untrained base."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from acestep.nano.checkpoint import TINY, write_untrained
from lora_studio.training import checkpoints
from lora_studio.training.checkpoints import RunState

Floats = np.ndarray[Any, np.dtype[np.float32]]


def pulse(bpm: float, bars: float, pitch_hz: float = 110.0, rate: int = 48_000, seed: int = 0) -> Floats:
    """A decaying tone on every quarter of a 4/4 bar, each a little different: [samples]."""
    quarters = round(bars * 4)
    samples = round(bars * 4 * 60 / bpm * rate)
    random = np.random.default_rng(seed)
    audio = np.zeros(samples, np.float32)
    for index in range(quarters):
        start = round(index * 60 / bpm * rate)
        t = np.arange(min(samples - start, round(60 / bpm * rate))) / rate
        pitch = pitch_hz * random.choice([1.0, 1.5, 2.0])
        level = 0.6 if index % 4 == 0 else 0.3 + 0.1 * random.random()
        audio[start : start + len(t)] += (level * np.sin(2 * np.pi * pitch * t) * np.exp(-9 * t)).astype(
            np.float32
        )
    return audio


def hits(bpm: float, bars: float, rate: int = 48_000, seed: int = 0) -> Floats:
    """Noise bursts on eighths: [samples]."""
    random = np.random.default_rng(seed)
    samples = round(bars * 4 * 60 / bpm * rate)
    t = np.arange(samples) / rate
    envelope = np.exp(-30 * (t % (30 / bpm)))
    return np.asarray(random.normal(0, 0.2, samples) * envelope, np.float32)


def write(path: Path, audio: Floats, rate: int = 48_000, **options: Any) -> Path:
    """Write a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, rate, **options)
    return path


def add_chunk(path: Path, name: bytes, body: bytes) -> None:
    """Append a RIFF chunk to a WAV and correct its size."""
    body += b"\0" * (len(body) & 1)
    data = path.read_bytes() + name + struct.pack("<I", len(body)) + body
    path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])


def acid(bpm: float, beats: int, root: int | None = None, numerator: int = 4, denominator: int = 4) -> bytes:
    """Body of an ACID chunk."""
    flags = 0 if root is None else 2
    return struct.pack("<IHHfIHHf", flags, root or 0, 0x8000, 0.0, beats, denominator, numerator, bpm)


def id3(frames: dict[str, str]) -> bytes:
    """An ID3v2.3 tag with Latin-1 text frames."""
    body = b"".join(
        name.encode() + struct.pack(">IH", len(text) + 1, 0) + b"\0" + text.encode("latin-1")
        for name, text in frames.items()
    )
    size = len(body)
    syncsafe = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + syncsafe + body


def tiny_base(folder: Path) -> Path:
    """A nano cascade small enough to train in seconds, with random weights."""
    write_untrained(folder / "tiny", TINY, 0)
    return folder / "tiny"


def tiny_loops(folder: Path) -> Path:
    """Five loops and two songs of two stems."""
    for number in range(5):
        write(folder / f"loop{number}_{100 + 7 * number}bpm_Am.wav", pulse(100 + 7 * number, 2, seed=number))
    for song in ("Rain", "Snow"):
        write(folder / song / "drums.wav", hits(110, 2, seed=len(song)))
        write(folder / song / "bass_110bpm.wav", pulse(110, 2, 55, seed=ord(song[0])))
    return folder


def assert_same(first: RunState, second: RunState) -> None:
    assert first.losses == second.losses
    assert first.validations == second.validations
    for group in checkpoints.GROUPS:
        assert first.tensors[group].keys() == second.tensors[group].keys()
        for name, tensor in first.tensors[group].items():
            assert torch.equal(tensor, second.tensors[group][name]), (group, name)

"""WAV files for host tests, written and read without any library, so that every interpreter can use it."""

import struct
from pathlib import Path

import numpy as np


def write_wav(path: Path, audio: np.ndarray, rate_hz: int) -> None:
    """32-bit float WAV of `audio` [channels, samples]."""
    data = np.ascontiguousarray(audio.T, dtype="<f4").tobytes()
    channels = audio.shape[0]
    head = struct.pack("<HHIIHH", 3, channels, rate_hz, rate_hz * channels * 4, channels * 4, 32)
    path.write_bytes(
        b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + head
        + b"data" + struct.pack("<I", len(data)) + data
    )  # fmt: skip


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Audio [channels, samples] and rate of a 32-bit float, 24- or 16-bit WAV."""
    data, at = path.read_bytes(), 12
    form = b""
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack("<I", data[at + 4 : at + 8])[0]
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt ":
            form = body
        if name == b"data":
            break
        at += 8 + size + size % 2
    _, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if bits == 32:
        samples = np.frombuffer(body, "<f4")
    elif bits == 16:
        samples = np.frombuffer(body, "<i2") / 2.0**15
    else:
        parts = np.frombuffer(body, "u1").reshape(-1, 3).astype(np.int32)
        samples = ((parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24) >> 8) / 2.0**23
    return samples.reshape(-1, channels).T, rate_hz

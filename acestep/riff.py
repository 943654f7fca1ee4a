"""Musical data inside WAV files: the chunks acid, smpl, cue, bext, LIST and iXML, written and read.

Knows the byte layouts only (the RIFF/WAVE specification, EBU Tech 3285 for bext, the ACID chunk as
libsndfile documents it); which values belong into them is decided by its caller.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from acestep.errors import UnreadableAudio

PCM, IEEE_FLOAT = 1, 3
ACID_ONE_SHOT, ACID_ROOT_SET, ACID_STRETCH = 0x01, 0x02, 0x04
MIDDLE_C = 60
MAX_CHUNK_BYTES = 1 << 24  # of metadata; anything larger is not ours to read


@dataclass(frozen=True)
class MusicalData:
    """What a DAW can know of a clip. `bpm` in quarter notes; positions in samples."""

    bpm: float
    numerator: int
    denominator: int
    quarters: int
    loop: bool = True
    root: int | None = None  # pitch class, 0 = C; None: unpitched
    key: str = ""
    downbeats: tuple[int, ...] = ()
    title: str = ""
    comment: str = ""
    created: str = ""  # ISO 8601
    software: str = ""
    time_reference: int = 0  # samples from the timeline's start
    lufs: float | None = None
    extra: dict[str, str] = field(default_factory=dict)  # more names and values, for iXML


def wav_bytes(audio: np.ndarray, sample_rate_hz: int, sample_format: str, data: MusicalData) -> bytes:
    """A whole WAV file of `audio` [C, N] float, as `pcm24` or `float32`, with its musical data."""
    channels, samples = audio.shape
    floating = sample_format == "float32"
    width = 4 if floating else 3
    body = _encoded(audio, floating)
    fmt = struct.pack(
        "<HHIIHH",
        IEEE_FLOAT if floating else PCM,
        channels,
        sample_rate_hz,
        sample_rate_hz * channels * width,
        channels * width,
        8 * width,
    )
    chunks = [(b"bext", _bext(data)), (b"fmt ", fmt)]
    if floating:
        chunks.append((b"fact", struct.pack("<I", samples)))
    chunks += [
        (b"acid", _acid(data)),
        (b"smpl", _smpl(data, sample_rate_hz, samples)),
        (b"cue ", _cue(data.downbeats)),
        (b"LIST", _labels(data.downbeats)),
        (b"LIST", _info(data)),
        (b"iXML", _ixml(data, sample_rate_hz)),
        (b"data", body),
    ]
    content = b"WAVE" + b"".join(_chunk(name, payload) for name, payload in chunks if payload)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def pcm24(audio: np.ndarray) -> np.ndarray:
    """[C, N] float → int32 values of 24-bit samples, clipped to their range."""
    return np.clip(np.rint(audio.astype(np.float64) * 2**23), -(2**23), 2**23 - 1).astype(np.int32)


def _encoded(audio: np.ndarray, floating: bool) -> bytes:
    if floating:
        return np.ascontiguousarray(audio.T, "<f4").tobytes()
    values = np.ascontiguousarray(pcm24(audio).T).astype("<i4")
    return values.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def _chunk(name: bytes, payload: bytes) -> bytes:
    return name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)


def _text(value: str, size: int) -> bytes:
    return value.encode("ascii", "replace")[:size].ljust(size, b"\0")


def _acid(data: MusicalData) -> bytes:
    flags = (ACID_STRETCH if data.loop else ACID_ONE_SHOT) | (ACID_ROOT_SET if data.root is not None else 0)
    root = MIDDLE_C + (data.root or 0)
    meter = (data.denominator, data.numerator)  # in this order
    return struct.pack("<IHHfIHHf", flags, root, 0x8000, 0.0, data.quarters, *meter, data.bpm)


def _smpl(data: MusicalData, rate_hz: int, samples: int) -> bytes:
    root = MIDDLE_C + (data.root or 0)
    loops = struct.pack("<6I", 0, 0, 0, samples - 1, 0, 0) if data.loop else b""
    return struct.pack("<9I", 0, 0, round(1e9 / rate_hz), root, 0, 0, 0, 1 if loops else 0, 0) + loops


def _cue(positions: Sequence[int]) -> bytes:
    if not positions:
        return b""
    points = (struct.pack("<II4sIII", i + 1, at, b"data", 0, 0, at) for i, at in enumerate(positions))
    return struct.pack("<I", len(positions)) + b"".join(points)


def _labels(positions: Sequence[int]) -> bytes:
    if not positions:
        return b""
    labels = (
        _chunk(b"labl", struct.pack("<I", i + 1) + f"bar {i + 1}".encode() + b"\0")
        for i in range(len(positions))
    )
    return b"adtl" + b"".join(labels)


def _info(data: MusicalData) -> bytes:
    entries = (
        (b"INAM", data.title),
        (b"ICMT", data.comment),
        (b"ICRD", data.created[:10]),
        (b"ISFT", data.software),
        (b"IKEY", data.key),
        (b"IBPM", f"{data.bpm:.10g}"),
    )
    return b"INFO" + b"".join(_chunk(name, text.encode("utf-8") + b"\0") for name, text in entries if text)


def _bext(data: MusicalData) -> bytes:
    date, time = data.created[:10], data.created[11:19]
    loudness = round(data.lufs * 100) if data.lufs is not None else 0x7FFF
    version_2 = struct.pack("<H64s5h180x", 2, b"", max(-9999, min(loudness, 0x7FFF)), *[0x7FFF] * 4)
    return (
        _text(data.comment or data.title, 256)
        + _text(data.software, 32)
        + _text(data.extra.get("job", ""), 32)
        + _text(date, 10)
        + _text(time, 8)
        + struct.pack("<Q", data.time_reference)
        + version_2
    )


def _ixml(data: MusicalData, rate_hz: int) -> bytes:
    low, high = data.time_reference & 0xFFFFFFFF, data.time_reference >> 32
    user = {
        "BPM": f"{data.bpm:.10g}",
        "TIME_SIGNATURE": f"{data.numerator}/{data.denominator}",
        "KEY": data.key,
    }
    values = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in (user | data.extra).items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<BWFXML><IXML_VERSION>1.61</IXML_VERSION>'
        f"<PROJECT>{escape(data.title)}</PROJECT><NOTE>{escape(data.comment)}</NOTE>"
        f"<SPEED><TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>{low}</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>"
        f"<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>{high}</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI>"
        f"<TIMESTAMP_SAMPLE_RATE>{rate_hz}</TIMESTAMP_SAMPLE_RATE></SPEED>"
        f"<USER>{values}</USER></BWFXML>\n"
    ).encode()


def read_chunks(path: str | Path) -> dict[str, Any]:
    """The musical chunks of a WAV file by name, decoded; {} for any other file.

    `acid`, `smpl`, `bext` and `info` are dictionaries, `cue` is a list of sample positions, `iXML` text.
    """
    found: dict[str, Any] = {}
    with Path(path).open("rb") as stream:
        head = stream.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return {}
        while len(header := stream.read(8)) == 8:
            name, size = header[:4], struct.unpack("<I", header[4:])[0]
            if name in _READERS and size <= MAX_CHUNK_BYTES:
                payload = stream.read(size)
                try:
                    _READERS[name](payload, found)
                except (struct.error, IndexError) as error:
                    raise UnreadableAudio(f"{path}: its {name.decode().strip()} chunk is broken") from error
                stream.seek(size % 2, 1)
            else:
                stream.seek(size + size % 2, 1)
    return found


def _read_acid(payload: bytes, found: dict[str, Any]) -> None:
    flags, root, _, _, beats, denominator, numerator, bpm = struct.unpack("<IHHfIHHf", payload[:24])
    found["acid"] = {
        "one_shot": bool(flags & ACID_ONE_SHOT),
        "stretch": bool(flags & ACID_STRETCH),
        "root_note": root if flags & ACID_ROOT_SET else None,
        "quarters": beats,
        "signature": f"{numerator}/{denominator}",
        "bpm": bpm,
    }


def _read_smpl(payload: bytes, found: dict[str, Any]) -> None:
    values = struct.unpack("<9I", payload[:36])
    loops = [struct.unpack_from("<6I", payload, 36 + 24 * i)[2:4] for i in range(values[7])]
    found["smpl"] = {"root_note": values[3], "loops": [list(loop) for loop in loops]}


def _read_cue(payload: bytes, found: dict[str, Any]) -> None:
    count = struct.unpack("<I", payload[:4])[0]
    found["cue"] = [struct.unpack_from("<II4sIII", payload, 4 + 24 * i)[5] for i in range(count)]


def _read_bext(payload: bytes, found: dict[str, Any]) -> None:
    texts = [
        payload[a:b].split(b"\0")[0].decode("utf-8", "replace")
        for a, b in ((0, 256), (256, 288), (288, 320), (320, 330), (330, 338))
    ]
    names = ("description", "originator", "reference", "date", "time")
    found["bext"] = dict(zip(names, texts, strict=True)) | {
        "time_reference": struct.unpack_from("<Q", payload, 338)[0]
    }


def _read_list(payload: bytes, found: dict[str, Any]) -> None:
    if payload[:4] != b"INFO":
        return
    info, position = found.setdefault("info", {}), 4
    while position + 8 <= len(payload):
        size = struct.unpack_from("<I", payload, position + 4)[0]
        text = payload[position + 8 : position + 8 + size].split(b"\0")[0]
        info[payload[position : position + 4].decode("latin-1")] = text.decode("utf-8", "replace")
        position += 8 + size + size % 2


def _read_ixml(payload: bytes, found: dict[str, Any]) -> None:
    found["iXML"] = payload.decode("utf-8", "replace")


_READERS = {
    b"acid": _read_acid,
    b"smpl": _read_smpl,
    b"cue ": _read_cue,
    b"bext": _read_bext,
    b"LIST": _read_list,
    b"iXML": _read_ixml,
}

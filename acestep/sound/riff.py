"""Musical data inside WAV files: the chunks acid, smpl, cue, bext, LIST and iXML, written and read.

The byte layouts are those of the RIFF/WAVE specification, of EBU Tech 3285 (bext) and, for the ACID chunk,
of libsndfile's documentation. The caller decides which values are written.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from acestep.sound.chunks import read_layout

PCM, IEEE_FLOAT = 1, 3
ACID_ONE_SHOT, ACID_ROOT_SET, ACID_STRETCH = 0x01, 0x02, 0x04
MIDDLE_C = 60
MAX_NOTE = 127
MAX_CHUNK_BYTES = 1 << 24  # of metadata; anything larger is not ours to read


@dataclass(frozen=True)
class MusicalData:
    """What a DAW can know about a clip. `bpm` in quarter notes, 0 for a sound without a tempo; positions in
    samples. A sound that is one note has that `note`, other music a `root`."""

    bpm: float
    numerator: int
    denominator: int
    quarters: int
    loop: bool = True
    root: int | None = None  # pitch class, 0 = C; None: unpitched
    note: int | None = None  # MIDI, 60 is middle C
    key: str = ""
    downbeats: tuple[int, ...] = ()
    title: str = ""
    comment: str = ""
    created: str = ""  # ISO 8601
    software: str = ""
    time_reference: int = 0  # samples from the timeline's start
    lufs: float | None = None
    extra: dict[str, str] = field(default_factory=dict)  # more names and values, for iXML

    @property
    def root_note(self) -> int:
        """The MIDI note at which a sampler plays the sound as it is."""
        return MIDDLE_C + (self.root or 0) if self.note is None else self.note

    @property
    def pitched(self) -> bool:
        return self.root is not None or self.note is not None


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
    flags = (ACID_STRETCH if data.loop else ACID_ONE_SHOT) | (ACID_ROOT_SET if data.pitched else 0)
    meter = (data.denominator, data.numerator)  # in this order
    return struct.pack("<IHHfIHHf", flags, data.root_note, 0x8000, 0.0, data.quarters, *meter, data.bpm)


def _smpl(data: MusicalData, rate_hz: int, samples: int) -> bytes:
    loops = struct.pack("<6I", 0, 0, 0, samples - 1, 0, 0) if data.loop else b""
    return (
        struct.pack("<9I", 0, 0, round(1e9 / rate_hz), data.root_note, 0, 0, 0, 1 if loops else 0, 0) + loops
    )


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
        (b"IBPM", f"{data.bpm:.10g}" if data.bpm else ""),
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
    user = {"KEY": data.key}
    if data.bpm:
        signature = f"{data.numerator}/{data.denominator}"
        user = {"BPM": f"{data.bpm:.10g}", "TIME_SIGNATURE": signature, **user}
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
    return chunks_and_notes(path)[0]


def chunks_and_notes(path: str | Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The same, and a note on every chunk that could not be read completely. Never fails for a chunk."""
    layout = read_layout(path)
    if layout is None or layout.form != b"WAVE":
        return {}, ()
    found: dict[str, Any] = {}
    notes: list[str] = []
    with Path(path).open("rb") as stream:
        for chunk in layout.chunks:
            if chunk.name not in _READERS or chunk.size > MAX_CHUNK_BYTES:
                continue
            stream.seek(chunk.start)
            payload = stream.read(chunk.size)
            name = chunk.name.decode().strip()
            try:
                note = _READERS[chunk.name](payload, found, layout.order)
            except (struct.error, IndexError):
                note = f"has {len(payload)} bytes, which is too short, and was passed over"
            if note:
                notes.append(f"its {name} chunk {note}")
    return found, tuple(notes)


Found = dict[str, Any]


def _unpacked(layout: str, payload: bytes, order: str, at: int = 0) -> tuple[Any, ...]:
    return struct.unpack_from((">" if order == "big" else "<") + layout, payload, at)


def _read_acid(payload: bytes, found: Found, order: str) -> str:
    flags, root, _, _, beats, denominator, numerator, bpm = _unpacked("IHHfIHHf", payload, order)
    found["acid"] = {
        "one_shot": bool(flags & ACID_ONE_SHOT),
        "stretch": bool(flags & ACID_STRETCH),
        "root_note": root if flags & ACID_ROOT_SET and root <= MAX_NOTE else None,
        "quarters": beats,
        "signature": f"{numerator}/{denominator}",
        "bpm": bpm if math.isfinite(bpm) else None,
    }
    return "" if math.isfinite(bpm) else "has a tempo that is not a number"


def _read_smpl(payload: bytes, found: Found, order: str) -> str:
    values = _unpacked("9I", payload, order)
    there = (len(payload) - 36) // 24
    loops = [_unpacked("6I", payload, order, 36 + 24 * i)[2:4] for i in range(min(values[7], there))]
    found["smpl"] = {"root_note": values[3], "loops": [list(loop) for loop in loops]}
    return f"counts {values[7]} loops and has {there}" if values[7] > there else ""


def _read_cue(payload: bytes, found: Found, order: str) -> str:
    count = _unpacked("I", payload, order)[0]
    there = (len(payload) - 4) // 24
    points = range(min(count, there))
    found["cue"] = [_unpacked("II4sIII", payload, order, 4 + 24 * i)[5] for i in points]
    return f"counts {count} points and has {there}" if count > there else ""


def _read_bext(payload: bytes, found: Found, order: str) -> str:
    texts = [
        payload[a:b].split(b"\0")[0].decode("utf-8", "replace")
        for a, b in ((0, 256), (256, 288), (288, 320), (320, 330), (330, 338))
    ]
    names = ("description", "originator", "reference", "date", "time")
    whole = len(payload) >= 346
    time_reference = _unpacked("Q", payload, order, 338)[0] if whole else 0
    found["bext"] = dict(zip(names, texts, strict=True)) | {"time_reference": time_reference}
    return "" if whole else f"has {len(payload)} of at least 602 bytes"


def _read_list(payload: bytes, found: Found, order: str) -> str:
    if payload[:4] != b"INFO":
        return ""
    info, position = found.setdefault("info", {}), 4
    while position + 8 <= len(payload):
        name, size = payload[position : position + 4], _unpacked("I", payload, order, position + 4)[0]
        if not name.isascii() or size > len(payload) - position - 8:
            return "has an entry of a wrong length"
        text = payload[position + 8 : position + 8 + size].split(b"\0")[0]
        info[name.decode("ascii")] = decoded(text)
        position += 8 + size
        while position < len(payload) and payload[position] == 0:  # padding, or what should have been
            position += 1
    return ""


def decoded(text: bytes) -> str:
    """UTF-8 where it is, else the code page that Western programs write."""
    try:
        return text.decode("utf-8").strip()
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace").strip()


def _read_ixml(payload: bytes, found: Found, order: str) -> str:
    found["iXML"] = payload.decode("utf-8", "replace")
    return ""


_READERS = {
    b"acid": _read_acid,
    b"smpl": _read_smpl,
    b"cue ": _read_cue,
    b"bext": _read_bext,
    b"LIST": _read_list,
    b"iXML": _read_ixml,
}

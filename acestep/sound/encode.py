"""A clip's samples as the bytes of a file: WAV with all musical chunks, or AIFF, FLAC and MP3 with tags.

The caller decides which values are written. Audio is [C, N] float32.
"""

import io
import struct

import numpy as np

from acestep.errors import InvalidRequest
from acestep.sound.loudness import true_peak_db
from acestep.sound.riff import MusicalData, pcm24, wav_bytes
from acestep.sound.tags import flac_tagged, id3_tag

BASC_VERSION = 1
SCALE_NEITHER, SCALE_MINOR, SCALE_MAJOR = 0, 1, 2  # of the basc chunk
LOOP_FORWARD = 1
MP3_SUBTYPE = "MPEG_LAYER_III"
MP3_ROUNDS = 4
MP3_MARGIN_DB = 0.05  # an encoder decides anew at another level
AIFC_VERSION = 0xA2805140


def encode(audio: np.ndarray, sample_rate_hz: int, kind: str, sample_format: str, data: MusicalData) -> bytes:
    """The whole file. `kind` is one of request.FORMATS; FLAC is always 24-bit, MP3 always lossy."""
    if kind == "wav":
        return wav_bytes(audio, sample_rate_hz, sample_format, data)
    if kind == "aiff":
        return aiff_bytes(audio, sample_rate_hz, sample_format, data)
    if kind == "flac":
        return flac_tagged(_by_libsndfile(audio, sample_rate_hz, "FLAC", "PCM_24"), data)
    if kind == "mp3":
        return id3_tag(data) + _by_libsndfile(audio, sample_rate_hz, "MP3", MP3_SUBTYPE)
    raise InvalidRequest(f"format {kind!r} is unknown: expected one of wav, aiff, flac, mp3")


def mp3_headroom_db(audio: np.ndarray, sample_rate_hz: int, ceiling_db: float) -> float:
    """The gain, 0 or less, that keeps the MP3's true peak below `ceiling_db` once it is decoded.

    The encoder may leave out what held a peak down. How much that is shows only after decoding.
    """
    import soundfile

    gain_db = 0.0
    for _ in range(MP3_ROUNDS):
        body = _by_libsndfile(audio * np.float32(10 ** (gain_db / 20)), sample_rate_hz, "MP3", MP3_SUBTYPE)
        decoded = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)[0].T
        over_db = (true_peak_db(decoded) or ceiling_db) - ceiling_db
        if over_db <= 0:
            break
        gain_db -= over_db + MP3_MARGIN_DB
    return gain_db


def aiff_bytes(audio: np.ndarray, sample_rate_hz: int, sample_format: str, data: MusicalData) -> bytes:
    """A whole AIFF (24-bit) or AIFF-C (float) with the basc chunk of Apple Loops, bar markers and texts."""
    channels, samples = audio.shape
    floating = sample_format == "float32"
    common = struct.pack(">hIh", channels, samples, 32 if floating else 24) + _extended(sample_rate_hz)
    if floating:
        common += b"fl32" + b"\x0632-bit\0"
        body = np.ascontiguousarray(audio.T, ">f4").tobytes()
    else:
        big = np.ascontiguousarray(pcm24(audio).T).astype(">i4")
        body = big.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    chunks = [(b"FVER", struct.pack(">I", AIFC_VERSION))] if floating else []
    chunks += [
        (b"COMM", common),
        (b"basc", _basc(data)),
        (b"MARK", _markers(data, samples)),
        (b"INST", _instrument(data)),
        (b"NAME", data.title.encode("utf-8")),
        (b"ANNO", data.comment.encode("utf-8")),
        (b"SSND", struct.pack(">II", 0, 0) + body),
    ]
    content = b"AIFC" if floating else b"AIFF"
    for name, payload in chunks:
        if payload:
            content += name + struct.pack(">I", len(payload)) + payload + b"\0" * (len(payload) % 2)
    return b"FORM" + struct.pack(">I", len(content)) + content


def _extended(value: int) -> bytes:
    """An 80-bit float, as AIFF writes sample rates."""
    exponent = value.bit_length() - 1
    return struct.pack(">HQ", 16383 + exponent, value << (63 - exponent))


def _basc(data: MusicalData) -> bytes:
    """Apple Loops: beats, root, scale, signature, loop (layout as libsndfile reads it)."""
    scale = SCALE_NEITHER
    if data.root is not None:
        scale = SCALE_MINOR if data.key.endswith("minor") else SCALE_MAJOR
    beats = max(1, round(data.quarters * data.denominator / 4))
    values = (
        BASC_VERSION,
        beats,
        data.root_note,
        scale,
        data.numerator,
        data.denominator,
        1 if data.loop else 0,
    )
    return struct.pack(">IIHHHHH", *values) + bytes(66)


def _markers(data: MusicalData, samples: int) -> bytes:
    """Begin and end of the loop as markers 1 and 2, then the bars."""
    places = [(0, "loop"), (samples, "end")]
    places += [(at, f"bar {i + 1}") for i, at in enumerate(data.downbeats)]
    content = struct.pack(">H", len(places))
    for number, (at, name) in enumerate(places, 1):
        text = name.encode()
        content += struct.pack(">hI", number, at) + bytes([len(text)]) + text + b"\0" * ((len(text) + 1) % 2)
    return content


def _instrument(data: MusicalData) -> bytes:
    play = LOOP_FORWARD if data.loop else 0
    return struct.pack(">bbbbbbhhhhhhh", data.root_note, 0, 0, 127, 1, 127, 0, play, 1, 2, 0, 0, 0)


def _by_libsndfile(audio: np.ndarray, sample_rate_hz: int, container: str, subtype: str) -> bytes:
    import soundfile

    stream = io.BytesIO()
    options = {"compression_level": 0.0, "bitrate_mode": "VARIABLE"} if container == "MP3" else {}
    try:
        soundfile.write(
            stream, np.clip(audio.T, -1, 1), sample_rate_hz, format=container, subtype=subtype, **options
        )
    except (soundfile.SoundFileError, ValueError) as error:
        raise InvalidRequest(
            f"{container} cannot be written at {sample_rate_hz} Hz here: {error}; ask for wav"
        ) from error
    return stream.getvalue()

"""A clip's samples as the bytes of a file: WAV with all musical chunks, or AIFF, FLAC and MP3 with tags.

Knows containers; which values belong into them is decided by its caller. Audio is [C, N] float32.
"""

import numpy as np

from acestep.errors import InvalidRequest
from acestep.riff import MusicalData, wav_bytes


def encode(audio: np.ndarray, sample_rate_hz: int, kind: str, sample_format: str, data: MusicalData) -> bytes:
    """The whole file. `kind` is one of request.FORMATS."""
    if kind == "wav":
        return wav_bytes(audio, sample_rate_hz, sample_format, data)
    raise InvalidRequest(f"format {kind!r} cannot be written: expected wav")

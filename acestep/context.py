"""What a new part has to fit to: downbeat, tempo, key, swing and level of the song it is made for.

Reads and measures the context once, known by its content; knows nothing of models or of what is made from
it.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acestep.audio import read_audio
from acestep.errors import UnreadableAudio
from acestep.fingerprint import file_hash
from acestep.grid import SAMPLE_RATE_HZ, Grid
from acestep.groove import straighten
from acestep.key import Key
from acestep.loudness import integrated_lufs
from acestep.measure import Measurement, measure
from acestep.request import AudioRange, GenerateRequest
from acestep.tempo_map import TempoMap

LAYERS = ("lego", "complete")  # tasks whose result is played together with the context
SURE_KEY = 0.6
SURE_BEAT = 0.3
ANALYSED_S = 60.0
MAX_GAIN_DB = 12.0
QUIETEST_LUFS = -45.0  # a context below this is no level to match


@dataclass(frozen=True)
class Context:
    """The measured context. `downbeat_s` is where the first bar begins in the clip, None when unsure."""

    measured: Measurement
    downbeat_s: float | None
    key: Key | None
    swing: float | None  # long to short eighth; None when unsure or without off-beats

    def to_dict(self) -> dict[str, Any]:
        """For the sidecar."""
        return {
            "downbeat_s": self.downbeat_s,
            "key": str(self.key) if self.key else None,
            "swing": None if self.swing is None else round(self.swing, 2),
            "measured": self.measured.to_dict(),
        }

    def level_for(self, audio: np.ndarray, sample_rate_hz: int) -> float | None:
        """The loudness that brings `audio` to the context's, at most MAX_GAIN_DB away from its own."""
        wanted, heard = self.measured.lufs, integrated_lufs(audio, sample_rate_hz)
        if wanted is None or heard is None or wanted < QUIETEST_LUFS:
            return None
        return float(np.clip(wanted, heard - MAX_GAIN_DB, heard + MAX_GAIN_DB))


def read_context(request: GenerateRequest) -> Context | None:
    """The request's context, measured; None when it has none. Raises UnreadableAudio."""
    if request.context is None:
        return None
    measured = heard(request.context, request.grid, request.key, request.tempo_map)
    sure = measured.bpm is not None and measured.tempo_confidence >= SURE_BEAT
    near = measured.bpm is not None and abs(measured.bpm / request.grid.bpm - 1) < 0.02
    key = measured.key if measured.key_confidence >= SURE_KEY else None
    on_grid = sure and near
    return Context(
        measured,
        measured.downbeat_s if on_grid else None,
        request.key or key,
        measured.swing if on_grid and measured.steady else None,
    )


def heard(
    source: AudioRange, grid: Grid | None, key: Key | None = None, tempo_map: TempoMap | None = None
) -> Measurement:
    """What a stretch of audio measures (its first minute), read as `grid` and `key` suggest.

    Raises UnreadableAudio, also for a file that changes while it is read.
    """
    if grid is not None and tempo_map is None:
        grid = Grid(grid.bpm, grid.signature, 1.0)  # how many bars were asked for changes no measurement
    return _heard(source, content_of(source), grid, key, tempo_map)


def content_of(source: AudioRange) -> str:
    """The hash of the file that a range is of; "" where there is none, which reading it will tell."""
    file = Path(source.path).expanduser()
    return file_hash(file) if file.is_file() else ""


def read_as_known(
    source: AudioRange, content: str, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> NDArray[np.float32]:
    """The range's samples [2, N], when they are of that content.

    Raises UnreadableAudio, also for a file that is written while it is read.
    """
    audio = read_audio(source, sample_rate_hz=sample_rate_hz)
    if content_of(source) != content:
        raise UnreadableAudio(f"{source.path} changed while it was read: ask again when it is written")
    return audio


@lru_cache(maxsize=8)
def _heard(
    source: AudioRange, content: str, grid: Grid | None, key: Key | None, tempo_map: TempoMap | None
) -> Measurement:
    end_s = source.start_s + ANALYSED_S
    if source.end_s is not None:
        end_s = min(end_s, source.end_s)
    audio = read_as_known(AudioRange(source.path, source.start_s, end_s), content)
    if tempo_map is not None:
        assert grid is not None
        audio = straighten(audio, grid, tempo_map)
    return measure(audio, SAMPLE_RATE_HZ, grid=grid, key=key)

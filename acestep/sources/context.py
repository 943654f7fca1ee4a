"""What a new part has to fit to: downbeat, tempo, key, swing and level of the song it is made for.

A file that says where its bars begin and which key it has is believed, because hearing is less sure. A
context is measured once and known by its content.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from acestep.checkpoints.fingerprint import file_hash
from acestep.errors import UnreadableAudio
from acestep.hearing.groove import straighten
from acestep.hearing.measure import Measurement, measure
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap
from acestep.request import AudioRange, GenerateRequest
from acestep.sound.audio import probe, read_audio
from acestep.sound.loudness import integrated_lufs
from acestep.sources.claim import Claim, claim_of

LAYERS = ("lego", "complete")  # tasks whose result is played together with the context
# Chosen by hand; nothing measures the choice.
SURE_KEY = 0.6  # confidence from which a key that was heard is believed
SURE_BEAT = 0.3  # confidence of the tempo from which a downbeat that was heard is believed
NEAR_TEMPO = 0.02  # relative
SAME_TEMPO = 0.0005  # relative: a file that says its grid is believed where it is the one asked for
ANALYSED_S = 60.0  # of a context that is listened to
MAX_GAIN_DB = 12.0  # a part is turned up or down by no more
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
    claim = _claim(request, request.context)
    key = measured.key if measured.key_confidence >= SURE_KEY else None
    if claim is not None and claim.key is not None:
        key = claim.key
    downbeat_s = _heard_downbeat_s(measured, request.grid)
    swing = measured.swing if downbeat_s is not None and measured.steady else None
    if claim is not None:
        said_s = (claim.aim.downbeat_s - request.context.start_s) % (
            request.grid.signature.quarters_per_bar * 60 / request.grid.bpm
        )
        swing = swing if _same_beat(said_s, downbeat_s, request.grid) else None
        downbeat_s = said_s
    return Context(measured, downbeat_s, request.key or key, swing)


def _claim(request: GenerateRequest, context: AudioRange) -> Claim | None:
    """What the context's file says of its grid, where that is the grid asked for and nothing is moved."""
    file = Path(context.path).expanduser()
    claim = claim_of(file, probe(context.path).sample_rate_hz)
    if claim is None or request.tempo_map is not None or claim.aim.tempo_map is not None:
        return None
    same = abs(claim.grid.bpm / request.grid.bpm - 1) < SAME_TEMPO
    return claim if same and claim.grid.signature == request.grid.signature else None


def _heard_downbeat_s(measured: Measurement, grid: Grid) -> float | None:
    """The first bar's start as it is heard; None when that is not sure."""
    if measured.bpm is None or measured.tempo_confidence < SURE_BEAT:
        return None
    return measured.downbeat_s if abs(measured.bpm / grid.bpm - 1) < NEAR_TEMPO else None


def _same_beat(said_s: float, heard_s: float | None, grid: Grid) -> bool:
    """Whether a beat that is heard lies on those that the file says."""
    beat_s = 60 / grid.bpm
    away_s = ((heard_s or 0.0) - said_s + beat_s / 2) % beat_s - beat_s / 2
    return heard_s is not None and abs(away_s) < beat_s / 8


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
    """The hash of the file that a range is of; "" if there is none (reading it then says so)."""
    files = [Path(one.path).expanduser() for one in source.sources]
    return " ".join(file_hash(file) if file.is_file() else "" for file in files)


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
    audio = read_as_known(replace(source, end_s=end_s), content)[:, : round(ANALYSED_S * SAMPLE_RATE_HZ)]
    if tempo_map is not None:
        assert grid is not None
        audio = straighten(audio, grid, tempo_map)
    return measure(audio, SAMPLE_RATE_HZ, grid=grid, key=key)

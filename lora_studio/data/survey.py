"""Measures tempo, downbeat and key of a file that does not say, and how sure that is.

Listens to at most a minute of it, from the loud part on. How measuring works is the engine's business.
"""

from dataclasses import dataclass
from pathlib import Path

from acestep.errors import InvalidRequest
from acestep.music.key import MAJOR_STEPS, MINOR_STEPS, Key
from lora_studio.data.sound import read_piece

LISTEN_S = 60.0
UNPITCHED = ("drums", "percussion", "fx")


@dataclass(frozen=True)
class Heard:
    """Tempo, downbeat and key with confidences 0–1; None and "" where nothing was heard."""

    bpm: float | None = None
    bpm_confidence: float = 0.0
    downbeat_s: float = 0.0
    key: str = ""
    key_confidence: float = 0.0


def listen(path: Path, seconds: float) -> Heard:
    """What the file sounds like; of a long one, the first minute after a tenth of it."""
    from acestep.hearing.measure import measure

    if seconds <= LISTEN_S:
        start_s = 0.0
    else:
        start_s = min(seconds * 0.1, seconds - LISTEN_S)
    heard = measure(read_piece(path, start_s, min(seconds, LISTEN_S)))
    return Heard(
        heard.bpm,
        heard.tempo_confidence if heard.bpm else 0.0,
        start_s + (heard.downbeat_s or 0.0),
        str(heard.key) if heard.key else "",
        heard.key_confidence if heard.key else 0.0,
    )


def key_on(measured: str, root: int | None) -> str:
    """The measured key, or the one on a known root note that shares most notes with it."""
    try:
        key = Key.parse(measured)
    except InvalidRequest:
        return ""
    if root is None or key.tonic == root:
        return measured
    notes = set(key.pitch_classes)
    shared = {
        mode: len(notes & {(root + step) % 12 for step in steps})
        for mode, steps in (("major", MAJOR_STEPS), ("minor", MINOR_STEPS))
    }
    return str(Key(root, max(shared, key=lambda mode: shared[mode])))

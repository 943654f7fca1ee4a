"""A single clip, written as production writes the clips of a job."""

from pathlib import Path
from typing import Any

from acestep.clips.clip import Clip, Staging


def write_clip(
    folder: Path, stem: str, ending: str, body: bytes, sidecar: dict[str, Any], midi: bytes | None = None
) -> Clip:
    """`stem.ending`, its sidecar and its MIDI file in `folder`."""
    with Staging(folder) as staging:
        staging.add(stem, ending, body, sidecar, midi)
        return staging.publish()[0]

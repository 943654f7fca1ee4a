"""Folders of cascades, made of tiny checkpoints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import soundfile

from tests.support.tiny_checkpoints import save_pipeline


def variant(folder, to, **values):
    """A copy of a cascade with other values in its cascade.json."""
    shutil.copytree(folder, to)
    path = to / "cascade.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return to


def cascade_folder(
    folder: Path,
    pipeline: Path,
    stages: list[tuple[str, list[int]]],
    *,
    steps: int = 10,
    turbo: bool = False,
    interval: tuple[float, float] = (0.0, 1.0),
    **values,
) -> Path:
    """A saved pipeline laid out as a cascade whose stages are all copies of its one model."""
    folder.mkdir()
    for ours, theirs in (("codec", "vae"), ("text_encoder", "text_encoder"), ("tokenizer", "tokenizer")):
        shutil.copytree(pipeline / theirs, folder / ours)
    for name, _ in stages:
        for part in ("transformer", "condition_encoder"):
            shutil.copytree(pipeline / part, folder / "stages" / name / part)
    description = {
        "format": 1,
        "name": folder.name,
        "stages": [{"name": name, "path": f"stages/{name}", "steps": bounds} for name, bounds in stages],
        "schedule": {"steps": steps, "shift": 3.0 if turbo else 1.0},
        "guidance": {"scale": 1.0 if turbo else 7.0, "interval": interval},
        "supports": ["text", "reference", "context"],
        **values,
    }
    (folder / "cascade.json").write_text(json.dumps(description))
    return folder


def split_in_three(made: Path) -> Path:
    """A cascade of three stages of one turbo model, with tokenizers, in a new folder of `made`."""
    save_pipeline(made / "pipeline", turbo=True, seed=3)
    split = [("l", [0, 3]), ("m", [3, 6]), ("s", [6, 8])]
    return cascade_folder(made / "split", made / "pipeline", split, steps=8, turbo=True)


def tone_file(folder: Path) -> str:
    """Two seconds of a tone, another on each side, as a file."""
    path = folder / "tone.wav"
    time_s = np.arange(96_000) / 48_000
    stereo = np.stack([np.sin(2 * np.pi * 220 * time_s), np.sin(2 * np.pi * 330 * time_s)], axis=1)
    soundfile.write(path, 0.4 * stereo, 48_000, subtype="FLOAT")
    return str(path)

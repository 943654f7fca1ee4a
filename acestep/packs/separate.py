"""A clip split into files: `NAME_percussive.wav` and `NAME_tonal.wav`, whose sum is the clip."""

from pathlib import Path

import numpy as np

from acestep.clips.clip import storage_errors
from acestep.errors import AlreadyExists
from acestep.files import write_new
from acestep.music.grid import SAMPLE_RATE_HZ
from acestep.request import AudioRange
from acestep.sound.audio import read_audio, require_sound
from acestep.sound.encode import encode
from acestep.sound.riff import MusicalData
from acestep.sound.split import PARTS, split
from acestep.sources.claim import SOFTWARE, Claim, claim_of
from acestep.version import __version__


def write_split(file: Path, folder: Path) -> list[Path]:
    """Splits an audio file by masks into new WAV files in `folder`, at 48 kHz, with the file's tempo and key.

    Raises UnreadableAudio, also for silence, AlreadyExists where a part's name is taken, and StorageError.
    """
    targets = [folder / f"{file.stem}_{part}.wav" for part in PARTS]
    for target in targets:
        if target.exists():
            raise AlreadyExists(
                f"{target} exists, and nothing is overwritten: name another folder with --out"
            )
    require_sound(AudioRange(str(file)), "a clip to split")
    audio = read_audio(file)
    parts = split(audio, SAMPLE_RATE_HZ)
    loudest = max(float(np.abs(part).max(initial=0.0)) for part in parts.values())
    kind = "pcm24" if loudest < 1 else "float32"  # which holds samples beyond full scale
    claim = claim_of(file, SAMPLE_RATE_HZ)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for target, (name, part) in zip(targets, parts.items(), strict=True):
            body = encode(
                part, SAMPLE_RATE_HZ, "wav", kind, _told(f"{name} part of {file.name}", name, claim)
            )
            if not write_new(target, body):
                raise AlreadyExists(f"{target} exists, and nothing is overwritten")
    return targets


def _told(title: str, part: str, claim: Claim | None) -> MusicalData:
    """What the part's chunks say: the clip's grid; a key only of what is tonal."""
    grid = claim.grid if claim else None
    key = claim.key if claim and part == "tonal" else None
    return MusicalData(
        bpm=grid.bpm if grid else 0.0,
        numerator=grid.signature.numerator if grid else 4,
        denominator=grid.signature.denominator if grid else 4,
        quarters=round(grid.bars * grid.signature.quarters_per_bar) if grid else 0,
        loop=grid is not None,
        root=key.tonic if key else None,
        key=str(key) if key else "",
        downbeats=tuple(round(at * SAMPLE_RATE_HZ) for at in claim.times_s(grid.bar_times_s()))
        if claim and grid
        else (),
        title=title,
        software=f"{SOFTWARE}{__version__}",
    )

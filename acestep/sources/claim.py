"""What a file says about its own music: its sidecar, else its acid chunk. `inspect` and contexts believe it.

`measure` says what is heard.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep.errors import InvalidRequest, NotFound, UnreadableAudio
from acestep.music.aim import Aim
from acestep.music.grid import Grid, Signature
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap
from acestep.sound.labels import key_in
from acestep.sound.riff import read_chunks
from acestep.sources.sidecar import read_sidecar

SOFTWARE = "acestep-bridge "  # how the originator of our own files begins


@dataclass(frozen=True)
class Claim:
    """`key` is on the file's label; the aim's was asked for."""

    aim: Aim
    key: Key | None

    @property
    def grid(self) -> Grid:
        """The grid; with a map its tempo is the mean."""
        return self.aim.grid

    def samples(self, sample_rate_hz: int) -> int:
        """The exact length."""
        if self.aim.tempo_map is None:
            return self.grid.samples(sample_rate_hz)
        return self.aim.tempo_map.samples(self.grid.signature, self.grid.bars, sample_rate_hz=sample_rate_hz)

    def times_s(self, straight_s: list[float]) -> list[float]:
        """Where times on the straight grid lie in the file."""
        if self.aim.tempo_map is None:
            return straight_s
        return [self.aim.tempo_map.seconds(at * self.grid.bpm / 60) for at in straight_s]


def sidecar_of(path: Path) -> dict[str, Any] | None:
    """The sidecar of a file; None without a readable one."""
    try:
        return read_sidecar(path)
    except (NotFound, InvalidRequest):
        return None


def claim_of(path: Path, sample_rate_hz: int) -> Claim | None:
    """What the file claims; None when it claims nothing."""
    try:
        chunks = read_chunks(path)
    except (OSError, UnreadableAudio):
        chunks = {}
    return claimed(chunks, sidecar_of(path), sample_rate_hz)


def claimed(chunks: dict[str, Any], sidecar: dict[str, Any] | None, sample_rate_hz: int) -> Claim | None:
    """What the sidecar says, where there is one, else the acid chunk."""
    return by_sidecar(sidecar) if sidecar else _by_acid(chunks, sample_rate_hz)


def by_sidecar(sidecar: dict[str, Any]) -> Claim | None:
    """What a sidecar says of its clip; None where it says too little."""
    try:
        clip = sidecar["clip"]
        key = Key.parse(clip["key"]) if clip["key"] else None
        if "aim" in sidecar:
            return Claim(Aim.from_dict(sidecar["aim"]), key)
        # version 0.1 wrote no aim
        grid = Grid(clip["bpm"], Signature.parse(clip["signature"]), clip["bars"])
        points = sidecar["request"].get("tempo_map")
        moved = points and clip["fit"] != "off"
        return Claim(Aim(grid, key, TempoMap.parse(points) if moved else None), key)
    except (InvalidRequest, KeyError, TypeError, AttributeError):
        return None


def _by_acid(chunks: dict[str, Any], sample_rate_hz: int) -> Claim | None:
    """What the acid chunk says, with the first cue of a clip of ours."""
    try:
        acid = chunks["acid"]
        if acid["one_shot"] or not acid["quarters"] or not acid["bpm"]:
            return None
        signature = Signature.parse(acid["signature"])
        grid = Grid(round(acid["bpm"], 4), signature, acid["quarters"] / signature.quarters_per_bar)
        name = chunks.get("info", {}).get("IKEY")
        text = key_in(name) if name else ""
        key = Key.parse(text) if text else None
        ours = str(chunks.get("bext", {}).get("originator", "")).startswith(SOFTWARE)
        first = (chunks.get("cue") or [0])[0] if ours else 0
        return Claim(Aim(grid, key, None, first / sample_rate_hz, on_bar=ours and first == 0), key)
    except (InvalidRequest, KeyError, TypeError, AttributeError):
        return None

"""A cascade that plays what it is asked for, in no time."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from acestep.checkpoints.fingerprint import fingerprint
from acestep.errors import Cancelled
from acestep.model.plan import SongPlan
from acestep.music.grid import Grid
from acestep.request import GenerateRequest
from tests.support.band import band, drums


@dataclasses.dataclass
class Played:
    """What a cascade's takes look like."""

    index: int
    seed: int
    audio: np.ndarray
    sample_rate_hz: int = 48_000
    seconds: dict = dataclasses.field(default_factory=lambda: {"l": 0.1})
    notes: tuple = ()
    on_bar: bool = False
    lead: np.ndarray | None = None
    plan: SongPlan | None = None
    adapters: dict = dataclasses.field(default_factory=dict)


class SmallBand:
    """Plays the request, faster by a few per cent for odd seeds; every seed has its own noise."""

    def __init__(self, off: float = 1.03, folder: Path = Path("nowhere")) -> None:
        self.off = off
        self.batches: list[int] = []
        self.spec = SimpleNamespace(name="small band", folder=folder)
        self.stages: dict = {}

    def origin(self, adapters):
        files = fingerprint(self.spec.folder) if self.spec.folder.exists() else {}
        return {"name": self.spec.name, "files": files, "adapters": {}}

    def generate(self, request, *, on_progress=None, on_audio=None, cancelled=None, plan=None):
        self.batches.append(request.takes)
        takes = []
        for k in range(request.takes):
            seed = request.seed + k
            if cancelled is not None and cancelled():
                raise Cancelled("the job was cancelled")
            bpm = request.bpm * (self.off if seed % 2 else 1.0)
            grid = Grid(bpm, request.signature, request.bars)
            audio = band(grid, request.key, 0.5) if request.key else drums(grid, 0.5)
            noise = np.random.default_rng(seed).standard_normal(audio.shape) * 1e-3
            takes.append(Played(k, seed, (audio + noise).astype(np.float32)))
            if on_audio is not None:
                on_audio(k, 0, takes[-1].audio)
        return takes


REQUEST = GenerateRequest(prompt="dusty breakbeat", bpm=92.5, key="A minor", bars=4, seed=1)

"""A cascade that plays single parts in the key and tempo it is asked for; it can be made to play one late."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from acestep.checkpoints.checkpoint import CascadeSpec
from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.request import GenerateRequest
from tests.support.band import drums, pad
from tests.support.small_band import Played, SmallBand


def bass(grid: Grid, key: Key, tail_s: float = 0.0) -> np.ndarray:
    """The tonic and its fifth in eighths, plucked."""
    out = np.zeros(grid.samples() + round(tail_s * SAMPLE_RATE_HZ) + SAMPLE_RATE_HZ, np.float32)
    eighth_s = 30 / grid.bpm
    for step in range(int((grid.duration_s + tail_s) / eighth_s)):
        pitch = 36 + key.tonic + (7 if step % 4 == 3 else 0)
        t = np.arange(round(eighth_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        hz = 440 * 2 ** ((pitch - 69) / 12)
        tone = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3)) * np.exp(-6 * t)
        at = round(step * eighth_s * SAMPLE_RATE_HZ)
        out[at : at + len(t)] += 0.3 * tone
    out = out[: grid.samples() + round(tail_s * SAMPLE_RATE_HZ)]
    return np.stack([out, out])


@dataclass(frozen=True)
class Spec(CascadeSpec):
    """A checkpoint that is not on disk."""

    name: str = "parts band"
    folder: Path = Path("nowhere")
    stages: tuple = ()
    codec: Path = Path("nowhere")
    text_encoder: Path = Path("nowhere")
    tokenizer: Path = Path("nowhere")
    supports: tuple[str, ...] | None = ("text", "context", "lego", "complete")
    tracks: tuple[str, ...] = ("drums", "bass", "keyboard", "lead")


@dataclass
class Codec:
    """Its rate."""

    sample_rate_hz: int = SAMPLE_RATE_HZ


@dataclass
class PartsBand(SmallBand):
    """Plays the part that a request's track or prompt names. `late_s` is how late the bass is, by its try."""

    late_s: tuple[float, ...] = ()
    late_by_seed: bool = False  # the bass is late for two of three seeds
    spec: Spec = field(default_factory=Spec)
    asked: list[GenerateRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stages: dict = {}
        self.codec = Codec()

    def generate(self, request, *, on_progress=None, on_audio=None, cancelled=None, plan=None):
        """One take for each that is asked for."""
        self.asked.append(request)
        named = request.track or request.prompt.rpartition(",")[2]
        takes = []
        for k in range(request.takes):
            if "drums" in named:
                audio = drums(request.grid, 0.5)
            elif "bass" in named:
                tries = sum("bass" in one.prompt for one in self.asked)
                late_s = self.late_s[tries - 1] if tries <= len(self.late_s) else 0.0
                if self.late_by_seed and (request.seed + k) % 3 != 2:
                    late_s = 0.07
                audio = np.roll(
                    bass(request.grid, request.key or Key(0), 0.5), round(late_s * 48_000), axis=1
                )
            else:
                audio = pad(request.key or Key(0), request.grid.duration_s + 0.5)
            noise = np.random.default_rng(request.seed + k).standard_normal(audio.shape) * 1e-4
            takes.append(Played(k, request.seed + k, (audio + noise).astype(np.float32)))
            if on_audio is not None:
                on_audio(k, 0, takes[-1].audio)
        return takes

"""The cascade: requests in, takes out. Stages over one latent space hand a song on from noise to clean.

    takes = Cascade.load("nano").generate(GenerateRequest(prompt="dusty breakbeat", bpm=92.5))

One thread owns a cascade.
Shapes: B takes, T latent frames, C latent channels, N samples.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from acestep.adapters.files import adapters_folder
from acestep.checkpoints import checkpoint, fingerprint, memory
from acestep.errors import AceStepError, CheckpointError
from acestep.model import loading
from acestep.model.loaded import Loaded
from acestep.model.pace import Pace, Progress
from acestep.model.plan import SongPlan
from acestep.model.planner import Planner
from acestep.model.song import Song, prepare
from acestep.model.stepdown import is_out_of_memory, step_down
from acestep.request import GenerateRequest

__all__ = ["Cascade", "Progress", "Take"]

OnAudio = Callable[[int, int, NDArray[np.float32]], None]  # take, first sample, audio [2, n]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Take:
    """One result: `audio` float32 [2, N] starts at the downbeat and is at least as long as the grid.

    Its level is the decoder's: samples may exceed full scale. `lead` [2, n] leads into it as a loop.
    """

    index: int
    seed: int
    audio: NDArray[np.float32]
    sample_rate_hz: int
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()
    on_bar: bool = False  # made by stages that were given the grid as input
    lead: NDArray[np.float32] | None = None
    plan: SongPlan | None = None  # how it was made
    # those that acted: file → hash of what was loaded, by name
    adapters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Cascade(Loaded):
    """Takes for requests. Its parts, and how they are reached, are `Loaded`."""

    def __init__(self, *parts: Any, **places: Any) -> None:
        """As `Loaded`."""
        super().__init__(*parts, **places)
        self._speeds: dict[str, float] = {}
        # a DiT step costs its parameters a frame; decoding about as much as two steps of the largest stage
        self._guesses = {name: _size(stage.transformer) for name, stage in self.stages.items()}
        self._guesses["decode"] = 2 * max(self._guesses.values()) * self.codec.latent_rate_hz

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        stages: Sequence[str] = (),
        device: str = "auto",
        dtype: torch.dtype | None = None,
        int8: bool | None = None,
        planner: str | Path = "",
        home: Path | None = None,
    ) -> Cascade:
        """The checkpoint of that name (embedded, or in `cascades` of the home) or at that path, or a variant:
        "auto", "l", "m", "s" (see `memory.choose`).

        `home` is where cascades, planners and adapters are looked for by name; None: in the user's own
        (`acestep.home`).

        `stages` loads only those; for () `memory` chooses what fits and logs why. `dtype` None is bfloat16 on
        a GPU and float32 on a CPU; `int8` makes the transformers' weights 8-bit integers, None: as a last
        resort. `planner` names a language model that expands the prompts of text-to-music (see `planner`).
        """
        place, notes = loading.choose_device(device), []
        if name_or_path in memory.CHOICES and name_or_path not in checkpoint.available(home):
            name_or_path, only, why = memory.choose(str(name_or_path), place, home)
            stages = stages or only
            notes.append(why)
            log.info(why)
        spec = checkpoint.read_spec(checkpoint.find(name_or_path, home), home)
        before = fingerprint.stamps(spec)
        stages = loading.check_names(spec, stages)
        if dtype is not None and int8 is None:
            int8 = False
        chosen = memory.plan_for(spec, place, tuple(stages), int8)
        notes.append(f"{spec.name}: {chosen}")
        log.info(notes[-1])
        waiting = place if chosen.resident else torch.device("cpu")
        parts = loading.load_parts(spec, chosen.stages, place, dtype, waiting, chosen.int8)
        if parts[2].window is not None:
            parts[2].window = chosen.decode_window
        cascade = cls(*parts, device=place, resident=chosen.resident)
        cascade._remember_files(before)
        cascade.adapters.folder = home and adapters_folder(home)
        if planner:
            cascade.planner = Planner.load(planner, place, home)
        cascade.notes = (*notes, *(note for stage in parts[1].values() if (note := stage.int8_note)))
        return cascade

    def _remember_files(self, before: dict[str, fingerprint.Stamp]) -> None:
        """Note what was loaded. Raises CheckpointError if it was changed meanwhile."""
        paths = fingerprint.checkpoint_files(self.spec)
        self.files = {name: fingerprint.file_hash(path) for name, path in paths.items()}
        self._stamps = fingerprint.stamps(self.spec)
        if self._stamps != before:
            raise CheckpointError(
                f"checkpoint {self.spec.name} was changed while it was loaded: load it again"
            )

    def is_current(self) -> bool:
        """Whether what this was loaded from is still what is on disk."""
        now = fingerprint.stamps(self.spec)
        if not self._stamps or now == self._stamps:
            return True
        paths = fingerprint.checkpoint_files(self.spec)
        if {name: fingerprint.file_hash(path) for name, path in paths.items()} != self.files:
            return False
        self._stamps = now  # copied or linked, but the same
        return True

    def generate(
        self,
        requests: GenerateRequest | Sequence[GenerateRequest],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_audio: OnAudio | None = None,
        cancelled: Callable[[], bool] | None = None,
        plan: SongPlan | None = None,
    ) -> list[Take]:
        """All takes of one request or of several, in order; `Take.index` counts through.

        Take k of a request is made with seed + k and does not depend on what it is made together with.
        `on_audio(index, start_sample, audio [2, n])` gives pieces as they are decoded; samples may exceed
        full scale. `cancelled` is asked between layers and decode windows; then Cancelled is raised. `plan`
        is one that a sidecar holds: it is kept to, or OutOfMemory or Unsupported is raised. Without one, what
        does not fit into memory is made by a smaller plan, which the takes tell of.
        """
        wanted = [requests] if isinstance(requests, GenerateRequest) else list(requests)
        takes: list[Take] = []
        songs = [prepare(self, request.seeded(), plan) for request in wanted]
        amounts: dict[str, float] = {}
        for song in songs:
            for part, amount in song.amounts().items():
                amounts[part] = amounts.get(part, 0.0) + amount
        pace = Pace(amounts, self._speeds, self._guesses, on_progress, cancelled)
        for song in songs:
            with self.adapters.applied(song.request.adapters):
                song.check_adapters()
                made = self._takes(song, pace, on_audio, len(takes))
                acted = self.adapters.hashes(song.request.adapters)
                notes = self.adapters.notes(song.request.adapters)
            takes += [replace(take, adapters=acted, notes=(*take.notes, *notes)) for take in made]
        return takes

    def latents(self, request: GenerateRequest, *, cancelled: Callable[[], bool] | None = None) -> Tensor:
        """The takes of a request as latents [B, T, C], before decoding."""
        song = prepare(self, request.seeded())
        with self.adapters.applied(request.adapters):
            song.check_adapters()
            return song.denoise(range(request.takes), Pace(song.amounts(), {}, cancelled=cancelled))

    def load_adapter(self, name_or_path: str | Path) -> str:
        """Load a LoRA, LoKr or LoHa from `adapters` in the home or a path; gives the name that requests use.

        A request that names an adapter in there loads it by itself, and again when its files have changed.
        """
        return self.adapters.load(name_or_path)

    def unload_adapter(self, name: str) -> None:
        """Take an adapter out; what is left is bit-identical to never having loaded it."""
        self.adapters.unload(name)

    def _takes(self, song: Song, pace: Pace, on_audio: OnAudio | None, first_index: int) -> list[Take]:
        """All takes of a song by one plan: where memory runs out, it is begun anew with a smaller one."""
        while True:
            try:
                return self._by_plan(song, pace, on_audio, first_index)
            except (RuntimeError, MemoryError) as error:
                if isinstance(error, AceStepError) or not is_out_of_memory(error):
                    raise
                error.with_traceback(None)  # its frames hold the tensors that did not fit
            step_down(self, song)

    def _by_plan(self, song: Song, pace: Pace, on_audio: OnAudio | None, first_index: int) -> list[Take]:
        takes: list[Take] = []
        for done in range(0, song.request.takes, song.plan.takes_at_once):
            batch = range(done, min(done + song.plan.takes_at_once, song.request.takes))
            before = dict(pace.seconds)
            latents = song.denoise(batch, pace)
            audio, ahead = self._decode(song, latents, pace, on_audio, first_index + done)
            seconds = {part: (total - before.get(part, 0.0)) for part, total in pace.seconds.items()}
            for k, samples in zip(batch, audio, strict=True):
                lead, samples = samples[:, :ahead], samples[:, ahead:]
                takes.append(
                    Take(
                        first_index + k,
                        song.request.seed_of(k),
                        np.ascontiguousarray(song.spliced(samples, 0), dtype=np.float32),
                        self.codec.sample_rate_hz,
                        {part: spent / len(batch) for part, spent in seconds.items()},
                        song.notes,
                        song.knows_the_grid,
                        lead if ahead else None,
                        song.plan,
                    )
                )
        return takes

    def _decode(
        self, song: Song, latents: Tensor, pace: Pace, on_audio: OnAudio | None, first_index: int
    ) -> tuple[NDArray[np.float32], int]:
        """Latents [B, T, C] → audio [B, 2, N], window by window, and how many samples of it lead in.

        The end of a loop is decoded before its beginning as well: a first attack is whole then, with what of
        it the codec puts before its first sample.
        """
        lead = latents[:, song.ending()]
        ahead = round(lead.shape[1] * self.codec.sample_rate_hz / self.codec.latent_rate_hz)
        pieces, at = [], -ahead
        whole = torch.cat([lead, latents], dim=1)
        for piece in self.codec.decode_windows(whole, song.plan.window):
            audio = piece.float().cpu().numpy()
            pieces.append(audio)
            heard = audio[..., max(0, -at) :]
            if on_audio is not None:
                for row, samples in enumerate(heard):
                    on_audio(first_index + row, max(0, at), song.spliced(samples, max(0, at)))
            at += audio.shape[-1]
            pace.advance("decode", len(audio) * heard.shape[-1] / self.codec.sample_rate_hz)
        return np.concatenate(pieces, axis=-1), ahead


def _size(model: nn.Module) -> float:
    return float(sum(weight.numel() for weight in model.parameters()))

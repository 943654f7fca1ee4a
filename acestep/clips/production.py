"""From a request to clips on disk: generate, measure, fit, choose, write – the one path everybody uses."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acestep.checkpoints.fingerprint import heard, origin, versions
from acestep.checkpoints.memory import CHOICES
from acestep.clips.again import Made
from acestep.clips.choose import Rank, rank, refuse_silence
from acestep.clips.clip import Clip, Staging, clip_stem
from acestep.clips.fit import Fit, Hints, fit, moved
from acestep.clips.verdict import OTHER_KEY, Errors
from acestep.errors import Cancelled, PoorFit, UnreadableAudio
from acestep.model.pace import Progress
from acestep.music.aim import Aim
from acestep.music.grid import SAMPLE_RATE_HZ, bars_in_words
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap
from acestep.request import MAX_SEED, MOVED_TASKS, GenerateRequest
from acestep.sound.audio import require_sound, source_notes
from acestep.sound.encode import encode, mp3_headroom_db
from acestep.sound.limiter import CEILING_DB, Level, levelled, limited_inside
from acestep.sound.riff import MusicalData, read_chunks
from acestep.sources.agreement import agreed
from acestep.sources.claim import SOFTWARE
from acestep.sources.context import LAYERS, read_context
from acestep.sources.sidecar import SIDECAR_FORMAT, read_sidecar
from acestep.version import __version__

if TYPE_CHECKING:
    from acestep.model.cascade import Cascade, Take

MAX_BATCH = 16  # takes made in one call; fixed, so that a sidecar's batch can be made again
FIT_SHARE = 0.1  # of the progress bar


def produce(
    cascade: "Cascade",
    request: GenerateRequest,
    folder: str | Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_audio: Callable[[int, int, np.ndarray], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    job: str = "",
) -> list[Clip]:
    """Makes the request's clips in `folder` and returns them in order of take.

    Nothing is written before every clip is made, and nothing remains when `cancelled` says so. Raises what
    `generate` raises, PoorFit for a strict request that does not fit, StorageError for the folder.
    """
    return _Production(cascade, request.seeded(), Path(folder), job).run(on_progress, on_audio, cancelled)


def reproduce(
    sidecar: Mapping[str, Any] | str | Path,
    cascade: "Cascade",
    folder: str | Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    job: str = "",
) -> Clip:
    """Makes a clip again from its sidecar: same batch, take and plan; identical on the same machine.

    Raises InvalidRequest if the checkpoint, an adapter or the audio it was made from has changed.
    """
    made = Made.from_sidecar(read_sidecar(sidecar) if isinstance(sidecar, str | Path) else sidecar)
    production = _Production(cascade, made.request, Path(folder), job, made)
    return production.run(on_progress, None, cancelled)[0]


class _Production:
    """One request on its way. For a clip that is made again, only its take."""

    def __init__(
        self,
        cascade: "Cascade",
        request: GenerateRequest,
        folder: Path,
        job: str,
        made: Made | None = None,
    ) -> None:
        assert request.seed is not None
        self.cascade, self.folder, self.job, self.made = cascade, folder, job, made
        self.agreed: tuple[str, ...] = ()  # what of the grid is the context's
        if made is None:
            require_sound(request.reference, "a reference")
            require_sound(request.context, "a context")
        if made is None or request.open:  # a clip that was made is made again, whatever its context says now
            request, self.agreed = agreed(request)
        self.request, self.grid = _named(request, cascade), request.grid
        self.started = time.time()
        self.heard = heard(self.request)
        if made:
            made.refuse_changes(cascade)
        self.reference = _reference(request) if request.candidates > 1 else None
        self.time_reference = _time_reference(request)
        self.context = read_context(request)

    def run(
        self,
        on_progress: Callable[[Progress], None] | None,
        on_audio: Callable[[int, int, np.ndarray], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> list[Clip]:
        """Generate, fit and choose batch by batch; then write."""
        per_batch = max(1, MAX_BATCH // self.request.candidates)
        batches = [
            range(first, min(first + per_batch, self.request.takes))
            for first in range(0, self.request.takes, per_batch)
        ]
        if self.made:
            batches = [batch for batch in batches if self.made.take in batch]
        chosen: list[tuple[int, Take, Fit, list[Rank]]] = []
        for done, batch in enumerate(batches):
            report = _scaled(on_progress, done / len(batches), 1 / len(batches))
            chosen += self._batch(batch, report, on_audio, cancelled)
        self._refuse_poor(chosen)
        return self._write(chosen, cancelled)

    def _batch(
        self,
        takes: range,
        report: Callable[[str, float, float], None],
        on_audio: Callable[[int, int, np.ndarray], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> "list[tuple[int, Take, Fit, list[Rank]]]":
        """The best candidate of each take in the batch."""
        request, each = self.request, self.request.candidates
        assert request.seed is not None
        made = self.cascade.generate(
            dataclasses.replace(
                request,
                takes=len(takes) * each,
                candidates=1,
                seed=(request.seed + takes.start * each) % (MAX_SEED + 1),
            ),
            on_progress=lambda p: report(p.stage, p.fraction * (1 - FIT_SHARE), p.eta_s),
            on_audio=None
            if on_audio is None
            else lambda i, start, audio: (
                on_audio(takes.start + i // each, start, audio) if i % each == 0 else None
            ),
            cancelled=cancelled,
            **({"plan": self.made.plan} if self.made and self.made.plan else {}),
        )
        chosen = []
        for position, take in enumerate(takes):
            if self.made and take != self.made.take:
                continue
            candidates = made[position * each : (position + 1) * each]
            fits = []
            for number, candidate in enumerate(candidates):
                _stop_if(cancelled)
                fits.append(self._fit(candidate))
                share = (position * each + number + 1) / (len(takes) * each)
                report("fit", 1 - FIT_SHARE + FIT_SHARE * share, 0.0)
            ranks = rank(fits, [candidate.seed for candidate in candidates], self.reference)
            best = ranks[0].candidate
            refuse_silence(fits[best], candidates[best].seed)
            chosen.append((take, candidates[best], self._placed(fits[best], candidates[best]), ranks))
        return chosen

    def _fit(self, take: "Take") -> Fit:
        """Fitted to the grid, or to the context; what must stay aligned with its source is only measured."""
        request, aim = self.request, self._aim(take)
        layer = self.context is None or (request.task in LAYERS and self.context.downbeat_s is not None)
        return fit(
            take.audio,
            take.sample_rate_hz,
            aim.grid,
            aim.key,
            change=request.fit and layer,
            downbeat_s=self.context.downbeat_s if self.context else None,
            hints=Hints(aim.on_bar, take.lead, aim.given),
            level=lambda audio: self._level(audio, take.sample_rate_hz),
        )

    def _aim(self, take: "Take", tempo_map: TempoMap | None = None) -> Aim:
        """What the take is to become; on the straight grid unless a map is given."""
        request, context = self.request, self.context
        if context is None:
            return Aim(request.grid, request.key, tempo_map, on_bar=take.on_bar)
        given = request.task in LAYERS and context.downbeat_s is not None
        return Aim(request.grid, context.key, tempo_map, context.downbeat_s or 0.0, given=given)

    def _level(self, audio: np.ndarray, rate_hz: int) -> tuple[np.ndarray, Level]:
        """As loud as was asked for; a part as loud as its context, what stays in place as it is."""
        request, context = self.request, self.context
        if context is None and request.loudness_lufs is not None:
            return levelled(audio, rate_hz, request.loudness_lufs)
        if context is not None and request.task in LAYERS and request.fit:
            return levelled(audio, rate_hz, context.level_for(audio, rate_hz))
        if request.sample_format == "float32":
            return audio, Level(0.0, 0.0, None)  # which holds samples beyond full scale
        if request.repaint_s is None:
            return levelled(audio, rate_hz, None)
        return limited_inside(audio, rate_hz, request.repaint_s)

    def _placed(self, result: Fit, take: "Take") -> Fit:
        """What lies on the straight grid, moved into the swing and onto the tempo map that were asked for."""
        request, context, rate_hz = self.request, self.context, take.sample_rate_hz
        if not request.fit or request.task not in MOVED_TASKS:
            return result
        swing = context.swing if request.swing is None and context else request.swing
        return moved(
            result,
            self._aim(take, request.tempo_map),
            sample_rate_hz=rate_hz,
            swing=swing,
            level=lambda audio: self._level(audio, rate_hz),
        )

    def _refuse_poor(self, chosen: "list[tuple[int, Take, Fit, list[Rank]]]") -> None:
        if not self.request.strict:
            return
        for take, _, result, _ in chosen:
            missed = Errors(result.tempo_error_pct, result.downbeat_error_ms, result.key_match).misses()
            if missed:
                raise PoorFit(
                    f"take {take + 1} does not fit {self.grid.bpm:g} bpm"
                    f"{f' in {self.request.key}' if self.request.key else ''}: {'; '.join(missed)}. Try more "
                    "candidates, another seed, or a request that is not strict"
                )

    def _write(
        self, chosen: "list[tuple[int, Take, Fit, list[Rank]]]", cancelled: Callable[[], bool] | None
    ) -> list[Clip]:
        if heard(self.request) != self.heard:
            raise UnreadableAudio("the reference or the context changed while the clip was made: ask again")
        if self.made:
            self.made.refuse_changes(self.cascade)  # adapters are loaded by now
        with Staging(self.folder) as staging:
            for take, made, result, ranks in chosen:
                _stop_if(cancelled)
                self._stage(staging, take, made, result, ranks)
            _stop_if(cancelled)
            return staging.publish()

    def _stage(self, staging: Staging, take: int, made: "Take", result: Fit, ranks: list[Rank]) -> None:
        request, grid = self.request, self.grid
        rate_hz = made.sample_rate_hz
        checkpoint = origin(self.cascade, request) | {"adapters": made.adapters}  # those it was made with
        if request.format == "mp3":
            ceiling_db = max(CEILING_DB, result.after.true_peak_db or CEILING_DB)
            result = result.turned(mp3_headroom_db(result.audio, rate_hz, ceiling_db))
        audio = result.audio
        key = _key_on_label(result, self.context.key if self.context else request.key)
        created = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.started))
        values = Clip(
            name="",
            path="",
            job=self.job,
            take=take,
            seed=made.seed,
            bpm=grid.bpm,
            signature=str(grid.signature),
            key=str(key) if key else "",
            bars=grid.bars,
            duration_s=audio.shape[1] / rate_hz,
            samples=audio.shape[1],
            sample_rate_hz=rate_hz,
            tempo_error_pct=result.tempo_error_pct,
            downbeat_error_ms=result.downbeat_error_ms,
            key_match=result.key_match,
            fit=result.verdict,
            prompt=request.prompt,
            cascade=request.cascade or checkpoint["name"],
            adapters=request.adapters,
            created=created,
            lufs=result.after.lufs and round(result.after.lufs, 2),
        )
        sidecar = self._sidecar(values, checkpoint, result, ranks)
        if plan := getattr(made, "plan", None):
            sidecar["plan"] = plan.to_dict()
        sidecar["seconds"] = {name: round(value, 3) for name, value in made.seconds.items()}
        levelling = result.level.notes() if result.level else ()
        sources = source_notes(request.reference, request.context)
        sidecar["notes"] = [*made.notes, *levelling, *self.agreed, *sources]
        on_map = request.tempo_map if request.fit else None
        sidecar["aim"] = self._aim(made, on_map).to_dict()
        pitched = key if result.after.key else None  # a host would transpose drums that have a root
        data = self._musical_data(values, pitched, result.after.lufs)
        stem = clip_stem(request.prompt, grid, key, take, time.localtime(self.started))
        body = encode(audio, rate_hz, request.format, request.sample_format, data)
        staging.add(stem, f".{request.format}", body, sidecar)

    def _sidecar(
        self, clip: Clip, checkpoint: dict[str, Any], result: Fit, ranks: list[Rank]
    ) -> dict[str, Any]:
        """Everything needed to make the clip again, and what was measured."""
        fields = dataclasses.asdict(clip)
        for name in ("path", "sidecar_json"):
            del fields[name]
        sidecar = {
            "format": SIDECAR_FORMAT,
            "clip": fields,
            "request": self.request.to_dict(),
            "checkpoint": checkpoint,
            "versions": versions(),
            "measured": result.to_dict(),
            "candidates": [one.to_dict() for one in ranks],
        }
        if self.heard:
            sidecar["heard"] = self.heard
        if self.context:
            sidecar["context"] = self.context.to_dict()
        return sidecar

    def _musical_data(self, clip: Clip, key: Key | None, lufs: float | None) -> MusicalData:
        """What the file's chunks say; bars are counted from the context's downbeat when there is one."""
        request, grid = self.request, self.grid
        first_s = (self.context.downbeat_s or 0.0) % grid.bar_s if self.context else 0.0
        bars_s = [first_s + at for at in grid.bar_times_s()]
        if request.tempo_map is not None:
            bars_s = [request.tempo_map.seconds(at * grid.bpm / 60) for at in bars_s]
        return MusicalData(
            bpm=grid.bpm,
            numerator=grid.signature.numerator,
            denominator=grid.signature.denominator,
            quarters=max(1, round(grid.bars * grid.signature.quarters_per_bar)),
            root=key.tonic if key else None,
            key=str(key) if key else "",
            downbeats=tuple(round(at * clip.sample_rate_hz) for at in bars_s if at < clip.duration_s),
            title=request.prompt[:200],
            comment=_label(clip),
            created=clip.created,
            software=f"{SOFTWARE}{__version__}",
            time_reference=self.time_reference,
            lufs=lufs,
            extra={"SEED": str(clip.seed), "CASCADE": clip.cascade},
        )


def _scaled(
    on_progress: Callable[[Progress], None] | None, start: float, share: float
) -> Callable[[str, float, float], None]:
    def report(stage: str, fraction: float, eta_s: float) -> None:
        if on_progress is not None:
            on_progress(Progress(stage, min(1.0, start + share * fraction), eta_s))

    return report


def _stop_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("the job was cancelled")


def _key_on_label(result: Fit, asked: Key | None) -> Key | None:
    """The key on the clip's label: the asked one, or the heard one if the notes are of another key."""
    return asked if asked is not None and result.key_match != OTHER_KEY else result.after.key


def _label(clip: Clip) -> str:
    parts = [f"{clip.bpm:g} bpm {clip.signature}", bars_in_words(clip.bars), clip.key, f"fit {clip.fit}"]
    if clip.tempo_error_pct is not None:
        parts.append(f"tempo off by {clip.tempo_error_pct:g} %, downbeat by {clip.downbeat_error_ms:+g} ms")
    return "; ".join(part for part in parts if part)


def _reference(request: GenerateRequest) -> np.ndarray | None:
    from acestep.sound.audio import read_audio

    return read_audio(request.reference) if request.reference else None


def _time_reference(request: GenerateRequest) -> int:
    """Where on the song's timeline the clip belongs: where its context comes from, if that file says."""
    if request.context is None:
        return 0
    try:
        start = read_chunks(request.context.path).get("bext", {}).get("time_reference", 0)
    except (OSError, UnreadableAudio):
        return 0
    return int(start) + round(request.context.start_s * SAMPLE_RATE_HZ) if start else 0


def _named(request: GenerateRequest, cascade: Any) -> GenerateRequest:
    """The request with the size that a variant means on this machine, so the clip can be made again where
    "auto" means another.
    """
    spec = getattr(cascade, "spec", None)
    if spec is None or request.cascade not in CHOICES or request.cascade == spec.name:
        return request
    return dataclasses.replace(request, cascade=spec.name, stages=request.stages or tuple(cascade.stages))

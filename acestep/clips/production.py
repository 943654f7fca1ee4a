"""From a request to clips on disk: generate, measure, fit, choose, write – the one path everybody uses."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acestep.checkpoints.fingerprint import heard, versions
from acestep.checkpoints.memory import CHOICES
from acestep.clips.again import Made
from acestep.clips.batches import batches
from acestep.clips.choose import Rank, rank, refuse_silence
from acestep.clips.clip import Clip, Finished, clip_stem, write
from acestep.clips.companion import clip_midi
from acestep.clips.fit import Fit, Hints, fit, moved
from acestep.clips.oneshot import loop_prompt, one_shot_stem, single_hit, single_sound, told
from acestep.clips.place import Place, Standing
from acestep.clips.score import Score, clip_score, merged, part_of
from acestep.clips.verdict import OTHER_KEY, Errors
from acestep.errors import Cancelled, PoorFit, UnreadableAudio
from acestep.model.pace import Progress
from acestep.music.aim import Aim
from acestep.music.grid import SAMPLE_RATE_HZ, bars_in_words
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap
from acestep.request import MOVED_TASKS, ONE_SHOT, GenerateRequest
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
    made = Production(cascade, request.seeded(), job)
    return write(made.clips(on_progress, on_audio, cancelled), Path(folder), cancelled)


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
    again = again_from(sidecar, cascade, job)
    return write(again.clips(on_progress, None, cancelled), Path(folder), cancelled)[0]


def again_from(sidecar: Mapping[str, Any] | str | Path, cascade: "Cascade", job: str = "") -> "Production":
    """The production of a clip that is made again from its sidecar."""
    made = Made.from_sidecar(read_sidecar(sidecar) if isinstance(sidecar, str | Path) else sidecar)
    place = None
    if made.idea:
        place = Place.from_sidecar(made.idea, made.request, cascade.codec.sample_rate_hz)
    return Production(cascade, made.request, job, made, place=place)


class Production:
    """One request on its way. For a clip that is made again, only its take; with `only`, only those takes:
    they are made as among the others, so parts of a job may be made on several machines.
    """

    def __init__(
        self,
        cascade: "Cascade",
        request: GenerateRequest,
        job: str,
        made: Made | None = None,
        only: range | None = None,
        place: Place | None = None,
    ) -> None:
        assert request.seed is not None
        self.cascade, self.job, self.made = cascade, job, made
        self.only = range(request.takes) if only is None else only
        self.place = place  # in an idea, which has met its context already
        self.agreed: tuple[str, ...] = ()  # what of the grid is the context's
        if made is None and place is None:
            require_sound(request.reference, "a reference")
            require_sound(request.context, "a context")
        if (
            made is None and place is None
        ) or request.open:  # a clip that was made is made again, whatever its context says now
            request, self.agreed = agreed(request)
        self.request, self.grid = _named(request, cascade), request.grid
        self.started = place.started_s if place else time.time()
        self.heard = heard(self.request)
        if made:
            made.refuse_changes(cascade)
        self.reference = _reference(request) if request.candidates > 1 else None
        self.time_reference = _time_reference(request)
        self.context = read_context(request)
        if place is not None and self.context is not None:  # the parts' own files tell no tempo map
            self.context = dataclasses.replace(self.context, downbeat_s=place.downbeat_s)

    def clips(
        self,
        on_progress: Callable[[Progress], None] | None,
        on_audio: Callable[[int, int, np.ndarray], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Iterator[Finished]:
        """Generate, fit and choose; then the clips, in order of take."""
        yield from self.finished(self.choose(on_progress, on_audio, cancelled), cancelled)

    def choose(
        self,
        on_progress: Callable[[Progress], None] | None,
        on_audio: Callable[[int, int, np.ndarray], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> "list[Chosen]":
        """The takes as they are to be written, generated, fitted and chosen batch by batch."""
        together = batches(self.request, self.only)
        if self.made:
            together = [batch for batch in together if self.made.take in batch]
        chosen: list[Chosen] = []
        for done, batch in enumerate(together):
            report = _scaled(on_progress, done / len(together), 1 / len(together))
            chosen += self._batch(batch, report, on_audio, cancelled)
        self._refuse_poor(chosen)
        return chosen

    def _batch(
        self,
        takes: range,
        report: Callable[[str, float, float], None],
        on_audio: Callable[[int, int, np.ndarray], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> "list[Chosen]":
        """The best candidate of each take in the batch."""
        request, each = self.request, self.request.candidates
        assert request.seed is not None
        made = self.cascade.generate(
            dataclasses.replace(
                request,
                prompt=loop_prompt(request.prompt) if request.kind == ONE_SHOT else request.prompt,
                takes=len(takes) * each,
                candidates=1,
                seed=request.seed_of(takes.start * each),
            ),
            on_progress=lambda p: report(p.stage, p.fraction * (1 - FIT_SHARE), p.eta_s),
            on_audio=None
            if on_audio is None or request.kind == ONE_SHOT  # what is heard meanwhile is not the hit
            else lambda i, start, audio: (
                on_audio(takes.start + i // each, start, audio) if i % each == 0 else None
            ),
            cancelled=cancelled,
            plan=self.made.plan if self.made else None,
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
            seeds = [candidate.seed for candidate in candidates]
            ranks = rank(fits, seeds, self.reference, self._apart(candidates, fits))
            best = ranks[0].candidate
            refuse_silence(fits[best], candidates[best].seed)
            made_best = candidates[best]
            chosen.append(Chosen(take, made_best, self._placed(fits[best], made_best), ranks))
        return chosen

    def _apart(self, candidates: "list[Take]", fits: list[Fit]) -> list[float]:
        """What speaks against each candidate beside the other parts of its idea."""
        place = self.place
        if place is None or self.context is None or len(fits) < 2:
            return []
        pairs = zip(candidates, fits, strict=True)
        return [place.standing(place.traits(one.audio, take.sample_rate_hz)).penalty for take, one in pairs]

    def _fit(self, take: "Take") -> Fit:
        """Fitted to the grid, or to the context; what must stay aligned with its source is only measured.

        Of a one-shot the single hit is cut out instead.
        """
        if self.request.kind == ONE_SHOT:
            return single_hit(take.audio, take.sample_rate_hz, self.request.prompt)
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
        if self.place is not None and request.fit:
            return levelled(audio, rate_hz, self.place.lufs)
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
        if not request.fit or request.task not in MOVED_TASKS or request.kind == ONE_SHOT:
            return result
        swing = context.swing if request.swing is None and context else request.swing
        return moved(
            result,
            self._aim(take, request.tempo_map),
            sample_rate_hz=rate_hz,
            swing=swing,
            level=lambda audio: self._level(audio, rate_hz),
        )

    def _refuse_poor(self, chosen: "list[Chosen]") -> None:
        if not self.request.strict:
            return
        for one in chosen:
            take, result = one.take, one.fit
            if self.request.kind == ONE_SHOT and result.verdict == "poor":
                raise PoorFit(
                    f"take {take + 1} holds no clear single hit of what was asked for: try more candidates, "
                    "another seed or another prompt, or a request that is not strict"
                )
            missed = Errors(result.tempo_error_pct, result.downbeat_error_ms, result.key_match).misses()
            if missed:
                raise PoorFit(
                    f"take {take + 1} does not fit {self.grid.bpm:g} bpm"
                    f"{f' in {self.request.key}' if self.request.key else ''}: {'; '.join(missed)}. Try more "
                    "candidates, another seed, or a request that is not strict"
                )

    def finished(self, chosen: "list[Chosen]", cancelled: Callable[[], bool] | None) -> Iterator[Finished]:
        """The clips as files that lie nowhere yet."""
        if heard(self.request) != self.heard:
            raise UnreadableAudio("the reference or the context changed while the clip was made: ask again")
        if self.made:
            self.made.refuse_changes(self.cascade)  # adapters are loaded by now
        for one in chosen:
            _stop_if(cancelled)
            yield self._clip(one)

    def _clip(self, one: "Chosen") -> Finished:
        request, grid, place = self.request, self.grid, self.place
        made, result, one_shot = one.made, one.fit, request.kind == ONE_SHOT
        rate_hz = made.sample_rate_hz
        # the adapters of this take: others may have been loaded since
        checkpoint = self.cascade.origin(request.adapters) | {"adapters": made.adapters}
        if request.format == "mp3":
            ceiling_db = max(CEILING_DB, result.after.true_peak_db or CEILING_DB)
            result = result.turned(mp3_headroom_db(result.audio, rate_hz, ceiling_db))
        audio = result.audio
        key = None if one_shot else _key_on_label(result, (self.context or request).key)
        values = Clip(
            name="",
            path="",
            job=self.job,
            take=one.take,
            seed=made.seed,
            bpm=0.0 if one_shot else grid.bpm,
            signature="" if one_shot else str(grid.signature),
            key=str(key) if key else "",
            bars=0.0 if one_shot else grid.bars,
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
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self.started)),
            lufs=result.after.lufs and round(result.after.lufs, 2),
            idea=place.idea if place else "",
            part=place.part if place else "",
        )
        sidecar = self._sidecar(values, checkpoint, result, one.ranks) | self._story(one)
        midi = score = None
        if one_shot:
            if result.hit:
                sidecar["hit"] = told(result.hit)
            data = single_sound(
                request.prompt[:200],
                result.hit,
                comment=f"one-shot; fit {values.fit}",
                created=values.created,
                extra=_extra(values),
            )
        else:
            aim = self._aim(made, request.tempo_map if request.fit else None)
            sidecar["aim"] = aim.to_dict()
            pitched = key if result.after.key else None  # a host would transpose drums that have a root
            data = self._musical_data(values, pitched, result.after.lufs, one.standing)
            if request.midi_out:
                score = self._score(audio, rate_hz, aim, key)
                midi = clip_midi(aim, key, score)
                sidecar["midi"] = score.to_dict()
        body = encode(audio, rate_hz, request.format, request.sample_format, data)
        return Finished(self._stem(one, key), f".{request.format}", body, sidecar, midi, score)

    def _score(self, audio: np.ndarray, rate_hz: int, aim: Aim, key: Key | None) -> Score:
        """The clip's notes; a mix has those of its parts."""
        place = self.place
        if place is not None and place.scores:
            return merged(place.scores())
        part = part_of(place.part if place else self.request.track)
        return clip_score(audio, aim, key, sample_rate_hz=rate_hz, part=part)

    def _stem(self, one: "Chosen", key: Key | None) -> str:
        """What the file's name begins with; all of an idea are named alike, so that they lie side by side."""
        request, when = self.request, time.localtime(self.started)
        if request.kind == ONE_SHOT:
            return one_shot_stem(request.prompt, one.fit.hit, one.take, when)
        if self.place:
            return clip_stem(self.place.prompt, self.grid, request.key, self.place.part, when)
        return clip_stem(request.prompt, self.grid, key, f"t{one.take + 1}", when)

    def _story(self, one: "Chosen") -> dict[str, Any]:
        """How the clip was made, for its sidecar."""
        made, result, standing = one.made, one.fit, one.standing
        story: dict[str, Any] = {"plan": made.plan.to_dict()} if made.plan else {}
        story["seconds"] = {name: round(value, 3) for name, value in made.seconds.items()}
        levelling = result.level.notes() if result.level else ()
        sources = source_notes(self.request.reference, self.request.context)
        beside = standing.notes if standing else ()
        story["notes"] = [*made.notes, *levelling, *self.agreed, *sources, *beside]
        if self.place:
            story["idea"] = self.place.to_dict(standing)
        return story

    def _sidecar(
        self, clip: Clip, checkpoint: dict[str, Any], result: Fit, ranks: list[Rank]
    ) -> dict[str, Any]:
        """Everything needed to make the clip again, and what was measured."""
        fields = dataclasses.asdict(clip)
        for name in ("path", "midi", "sidecar_json"):
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

    def _musical_data(
        self, clip: Clip, key: Key | None, lufs: float | None, standing: Standing | None = None
    ) -> MusicalData:
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
            comment="; ".join([_label(clip), *(standing.said if standing else ())]),
            created=clip.created,
            software=f"{SOFTWARE}{__version__}",
            time_reference=self.time_reference,
            lufs=lufs,
            extra=_extra(clip),
        )


@dataclass(frozen=True)
class Chosen:
    """A take as it is to be written, how its candidates ranked, and how it stands beside its idea's parts."""

    take: int
    made: "Take"
    fit: Fit
    ranks: list[Rank]
    standing: Standing | None = None


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


def _extra(clip: Clip) -> dict[str, str]:
    return {"SEED": str(clip.seed), "CASCADE": clip.cascade}


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


def _named(request: GenerateRequest, cascade: "Cascade") -> GenerateRequest:
    """The request with the size that a variant means on this machine, so the clip can be made again where
    "auto" means another.
    """
    name = cascade.spec.name
    if request.cascade not in CHOICES or request.cascade == name:
        return request
    return dataclasses.replace(request, cascade=name, stages=request.stages or tuple(cascade.stages))

"""An idea in parts: made one after the other, each for the mix of those before, and written as it is ready.

All parts have one grid, key, swing and seed family. A part is heard beside each of the others; one that fits
loosely is made again. Where a checkpoint hears no context, the parts are independent takes on one grid, and
their labels say so.
"""

import dataclasses
import random
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acestep.checkpoints.playing import PERCUSSIVE, context_task, refuse_unplayable, track_of
from acestep.clips.clip import Clip, write
from acestep.clips.fit import Fit
from acestep.clips.idea import ALONE, Delivery, Idea
from acestep.clips.place import Place, Standing
from acestep.clips.production import Chosen, Production
from acestep.clips.score import Score, clip_score, part_of
from acestep.clips.verdict import judge
from acestep.hearing.pairs import Traits, pair
from acestep.model.pace import Progress
from acestep.music.aim import Aim
from acestep.music.key import MODES, Key
from acestep.music.parts import MIX, Part
from acestep.request import MAX_SEED, AudioRange, GenerateRequest
from acestep.sound.audio import read_audio, require_sound, summed
from acestep.sound.limiter import levelled
from acestep.sources.agreement import agreed
from acestep.sources.context import Context, read_context

if TYPE_CHECKING:
    from acestep.model.cascade import Cascade

# How loud a part is beside the drums, in dB: as the recipe mixes what nano was trained on (nano/data/compose)
BALANCE_DB = {
    "drums": 0.0,
    "percussion": -9.0,
    "bass": -2.0,
    "chords": -5.0,
    "keyboard": -5.0,
    "pad": -6.5,
    "lead": -5.5,
    "arp": -7.0,
}
OTHER_DB = -5.0
HEADROOM_DB = -3.0  # the loudest part below the mix: four parts together come to about the loudness asked for
SEED_STEP = 100  # between the parts of one idea: more than all candidates of all tries
TRIES = 3  # how often a part is made until it fits better than a shuffled one; the best of all stays
LOOSE_TRIES = 2  # how often one is made that does, but loosely: each costs as much time as a part


def produce_parts(
    cascade: "Cascade",
    request: GenerateRequest,
    folder: str | Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_audio: Callable[[int, int, np.ndarray], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    delivery: Delivery = ALONE,
    job: str = "",
) -> list[Clip]:
    """Makes the parts of an idea and their mix in `folder`; returns the clips that are new, the mix last.

    Each clip is told to `delivery.on_clip` when it lies on disk: what was delivered stays, also where a later
    part fails or is cancelled.
    `on_audio` counts the parts as takes. Raises what `produce` raises, NotFound for an idea that is not
    whole, Unsupported for parts that the checkpoint cannot play.
    """
    clips = delivery.ideas(request.idea) if request.idea else ()
    making = _Making(cascade, request.seeded(), Path(folder), job, clips)
    making.started_s = delivery.started_s or making.started_s
    return making.run(on_progress, on_audio, delivery.on_clip, cancelled)


class _Making:
    """One idea on its way: its settings, and the parts that are there by now."""

    def __init__(
        self, cascade: "Cascade", request: GenerateRequest, folder: Path, job: str, clips: Sequence[Clip]
    ) -> None:
        self.cascade, self.folder, self.job = cascade, folder, job
        refuse_unplayable(request.wanted, cascade.spec)
        self.wanted = request.wanted
        self.members: dict[str, Clip] = {}
        if request.idea:
            idea = Idea.of(request, clips)
            self.id, self.members = idea.id, dict(idea.members)
            request = idea.adopted(request)
            whole = idea.whole(request)
        else:
            self.id = job or f"{time.strftime('%y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            whole = request
        require_sound(request.reference, "a reference")
        require_sound(request.context, "a context")
        whole, self.notes = agreed(dataclasses.replace(whole, idea="", redo=""))
        self.context: Context | None = read_context(whole)
        self.whole = self._with_key(whole)
        self.order = [part.name for part in self.whole.wanted]
        self.words = {part.name: part.words for part in self.whole.wanted}
        assert request.seed is not None
        self.prompt, self.seed, self.candidates = request.prompt, request.seed, request.candidates
        self.strict = request.strict
        self.task = context_task(cascade.spec)
        self.rate_hz = cascade.codec.sample_rate_hz
        self.started_s = time.time()
        self.audio = {name: self._read(clip) for name, clip in self.members.items()}
        self.scores: dict[str, Score] = {}  # of those that were made now
        self.traits = {name: self._traits(name) for name in self.members}

    def run(
        self,
        on_progress: Callable[[Progress], None] | None,
        on_audio: Callable[[int, int, np.ndarray], None] | None,
        on_clip: Callable[[Clip], None],
        cancelled: Callable[[], bool] | None,
    ) -> list[Clip]:
        """Part by part, then the mix."""
        made: list[Clip] = []

        def deliver(clip: Clip) -> None:
            made.append(clip)
            on_clip(clip)

        for number, part in enumerate(self.wanted):
            report = _of_part(on_progress, part.name, number, len(self.wanted))
            hear = None if on_audio is None else _as_take(on_audio, number)
            deliver(self._part(number, part, report, hear, cancelled))
        deliver(self._mix(cancelled))
        return made

    def _with_key(self, whole: GenerateRequest) -> GenerateRequest:
        """The request with a key that all pitched parts share: the asked one, the context's, or one drawn."""
        if whole.key is not None or all(_is_percussive(part.name) for part in whole.wanted):
            return whole
        key = self.context.key if self.context else None
        if key is None:
            draw = random.Random(whole.seed)
            key = Key(draw.randrange(12), draw.choice(MODES)).usual
            self.notes += (f"key {key}: drawn by the seed, because none was asked for",)
        return dataclasses.replace(whole, key=key)

    def _part(
        self,
        number: int,
        part: Part,
        on_progress: Callable[[Progress], None] | None,
        on_audio: Callable[[int, int, np.ndarray], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Clip:
        """A part on disk: made until it stands well beside the others, the best of all tries."""
        request, place = self._request(part), self._place(part.name)
        best: tuple[Production, Chosen, Traits] | None = None
        for attempt in range(TRIES):
            seed = (self.seed + SEED_STEP * number + attempt * self.candidates) % (MAX_SEED + 1)
            making = Production(self.cascade, dataclasses.replace(request, seed=seed), self.job, place=place)
            making.agreed = self.notes + self._independent()
            (chosen,) = making.choose(on_progress, on_audio, cancelled)
            traits = place.traits(chosen.fit.audio, self.rate_hz)
            standing = place.standing(traits)
            if best is None or standing.penalty < _penalty(best[1]):
                best = making, dataclasses.replace(chosen, standing=standing), traits
            stands = best[1].standing or standing
            again = stands.loose and attempt + 1 < LOOSE_TRIES
            if not (stands.worse_than_shuffled or again):
                break
        assert best is not None
        making, chosen, self.traits[part.name] = best
        assert chosen.standing is not None
        told = dataclasses.replace(chosen.standing, tried=attempt + 1)
        (finished,) = making.finished([dataclasses.replace(chosen, standing=told)], cancelled)
        (clip,) = write([finished], self.folder, cancelled)
        if finished.score:
            self.scores[part.name] = finished.score
        self.members[part.name], self.audio[part.name] = clip, self._read(clip)
        return clip

    def _request(self, part: Part) -> GenerateRequest:
        """The request for one part: in the context of the song, if there is one, and of the other parts."""
        sources = list(self.whole.context.sources) if self.whole.context else []
        sources += [AudioRange(clip.path) for name, clip in self.members.items() if name != part.name]
        alone = not sources or self.task == "text"
        context = None if alone else dataclasses.replace(sources[0], plus=tuple(sources[1:]))
        return dataclasses.replace(
            self.whole,
            prompt=_in_words(self.prompt, part.name, part.words or self.words.get(part.name, "")),
            parts="",
            task="text" if alone else self.task,
            track="" if alone else track_of(part.name, self.cascade.spec),
            context=context,
            candidates=self.candidates,
            strict=self.strict,
        )

    def _place(self, name: str) -> Place:
        heard = self.context.measured.lufs if self.context else self.whole.loudness_lufs
        track = track_of(name, self.cascade.spec)
        balance_db = BALANCE_DB.get(name, BALANCE_DB.get(track, OTHER_DB))
        return Place(
            self.id,
            name,
            self.prompt,
            None if heard is None else heard + HEADROOM_DB + balance_db,
            self.started_s,
            self.whole.to_dict(),
            downbeat_s=(self.context.downbeat_s if self.context else None) or 0.0,
            swing=self._swing(),
            grid=self.whole.grid,
            beside={other: traits for other, traits in self.traits.items() if other != name},
            percussive=_is_percussive(name, track),
        )

    def _swing(self) -> float | None:
        """The swing that was asked for, or that of the first part in which off-beats are heard."""
        if self.whole.swing is not None:
            return self.whole.swing
        found = (one.attacks.swing(self.whole.grid) for one in self.traits.values() if one.percussive)
        return next((swing for swing in found if swing is not None), None)

    def _independent(self) -> tuple[str, ...]:
        if self.task != "text":
            return ()
        return (
            f"checkpoint {self.cascade.spec.name} adds no parts to others: each was made for itself, all on "
            "one grid and in one key",
        )

    def _mix(self, cancelled: Callable[[], bool] | None) -> Clip:
        """The sum of all parts, limited only where it would clip."""
        from acestep.model.cascade import Take

        names = [name for name in self.order if name in self.members]
        total = summed([self.audio[name] for name in names], near=0)
        total = total[:, : max(self.members[name].samples for name in names)]
        audio, level = levelled(total, self.rate_hz, None)
        whole, downbeat_s = self.whole, (self.context.downbeat_s if self.context else None) or 0.0
        aim = Aim(whole.grid, whole.key, whole.tempo_map, downbeat_s, on_bar=self.context is None)
        measured, errors = judge(audio, self.rate_hz, aim)
        fit = Fit(audio, errors.verdict(False), measured, measured, (), **vars(errors), level=level)
        place = dataclasses.replace(
            self._place(MIX),
            beside={},
            members={name: self.members[name].name for name in names},
            scores=lambda: {name: self._score(name, aim) for name in names},
        )
        making = Production(self.cascade, whole, self.job, place=place)
        making.agreed = self.notes + self._independent()
        swing = self._swing()
        pairs = tuple(
            pair((name, self.traits[name]), (other, self.traits[other]), whole.grid, downbeat_s, swing)
            for at, name in enumerate(names)
            for other in names[:at]
        )
        take = Take(0, whole.seed or 0, audio, self.rate_hz, {}, on_bar=True)
        finished = making.finished([Chosen(0, take, fit, [], Standing(pairs))], cancelled)
        (clip,) = write(finished, self.folder, cancelled)
        return clip

    def _score(self, name: str, aim: Aim) -> Score:
        """The notes of a part; of one that was there before they are heard now."""
        return self.scores.get(name) or clip_score(
            self.audio[name], aim, self.whole.key, sample_rate_hz=self.rate_hz, part=part_of(name)
        )

    def _read(self, clip: Clip) -> np.ndarray:
        return read_audio(clip.path, sample_rate_hz=self.rate_hz)

    def _traits(self, name: str) -> Traits:
        track = track_of(name, self.cascade.spec)
        return Traits.of(self.audio[name], self.rate_hz, _is_percussive(name, track))


def _penalty(chosen: Chosen) -> float:
    return chosen.standing.penalty if chosen.standing else 0.0


def _is_percussive(name: str, track: str = "") -> bool:
    return name in PERCUSSIVE or track in PERCUSSIVE


def _in_words(prompt: str, part: str, words: str) -> str:
    """What a part is to sound like: the idea's words, then its own; its name is always among them."""
    name = part.replace("_", " ")
    own = words if name in words.lower() else f"{words} {name}".strip()
    return f"{prompt}, {own}"


def _of_part(
    on_progress: Callable[[Progress], None] | None, part: str, number: int, count: int
) -> Callable[[Progress], None] | None:
    """Progress of one part as that of the whole job."""
    if on_progress is None:
        return None

    def report(progress: Progress) -> None:
        left_s = progress.eta_s * (count - number)  # the parts to come take about as long
        on_progress(Progress(f"{part}: {progress.stage}", (number + progress.fraction) / count, left_s))

    return report


def _as_take(
    on_audio: Callable[[int, int, np.ndarray], None], number: int
) -> Callable[[int, int, np.ndarray], None]:
    return lambda _, start, audio: on_audio(number, start, audio)

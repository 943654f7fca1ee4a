"""One request in a loaded cascade: preparing it, and taking its noise away.

Shapes: B takes, W windows, T latent frames, C latent channels, N samples.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acestep.checkpoints.checkpoint import stage_names
from acestep.checkpoints.schedule import Leg
from acestep.errors import Unsupported
from acestep.model import conditions
from acestep.model.conditions import Words
from acestep.model.loaded import Loaded
from acestep.model.outline import Outline, check, outline, track_names
from acestep.model.pace import Pace
from acestep.model.plan import SongPlan, check_plan, plan_song, way
from acestep.model.planner import Planner
from acestep.model.sampling import Blend, Momentum, Noise, follow, guided
from acestep.model.stage import Branch, Denoiser, Stage
from acestep.music.key import Key
from acestep.request import MOVED_TASKS, AudioRange, GenerateRequest
from acestep.sound.audio import read_audio
from acestep.sources.agreement import agreed
from acestep.sources.context import content_of, read_as_known

MAX_CONTEXT_S = 600  # of a context that is straightened: no clip is longer
FADE_S = 0.02  # at the edges of a repainted region, inside it
LEAD_FRAMES = 4  # of a loop's end are decoded before its beginning


@dataclass
class Song:
    """A request, prepared: outline, words, legs, and the latents of reference and context."""

    cascade: Loaded
    request: GenerateRequest
    outline: Outline
    plan: SongPlan
    way: list[Leg]
    text: str
    free_text: str  # the prompt without the cover's instruction, for strength below 1
    other_text: str  # the second prompt, where both are heard; else ""
    lyrics: str
    reference: AudioRange | None
    context: NDArray[np.float32] | None  # the request's, or a guide rendered as audio
    notes: tuple[str, ...] = ()
    keeps_its_plan: bool = False  # it was made before, and is made the same way again
    encoded: bool = False
    planned: bool = False
    codes: tuple[int, ...] = ()  # the planner's, for stages that can read them
    _source: Tensor | None = field(default=None, repr=False)

    @property
    def seed(self) -> int:
        """Take 0's seed."""
        assert self.request.seed is not None
        return self.request.seed

    def amounts(self) -> dict[str, float]:
        """Work to come, by part: a text, steps × takes × frames, and seconds of audio to decode."""
        amounts = {"text": 1.0}
        if self._planner is not None:
            amounts["plan"] = float(self._planner.tokens(self.outline.duration_s))
        for leg in self.way:
            work = leg.steps * self.request.takes * self.outline.frames
            amounts[leg.stage] = amounts.get(leg.stage, 0.0) + work
        return {**amounts, "decode": self.outline.duration_s * self.request.takes}

    def denoise(self, takes: Sequence[int], pace: Pace) -> Tensor:
        """The latents [B, T, C] of some of the takes."""
        shape = self.outline.frames, self._stage(self.way[0]).channels
        family = self.request.family, self.request.variation
        noise = [Noise(self.request.seed_of(k), *shape, *family) for k in takes]

        def fresh_noise() -> Tensor:
            return torch.cat([source.draw() for source in noise]).to(self.cascade.device)

        pace.check()
        if not self.planned:
            self._plan(pace)
        walk = _Walk(self, len(takes), pace)
        return follow(fresh_noise(), self.way, walk.velocity, fresh_noise)

    @property
    def _planner(self) -> Planner | None:
        """The cascade's planner, where the checkpoint speaks its language and there is something to plan."""
        spec = self.cascade.spec
        known = not spec.prompt_template and spec.guide is None
        return self.cascade.planner if known and self.request.task == "text" else None

    def _plan(self, pace: Pace) -> None:
        """Have the planner expand the caption, name an open key, and write codes."""
        self.planned, planner = True, self._planner
        if planner is None:
            return
        request, duration_s = self.request, self.outline.duration_s
        books = [stage.codebook for leg in self.way if (stage := self._stage(leg)).codebook]
        blueprint = planner.plan(
            request,
            duration_s,
            codes=min(books, default=0) if self.cascade.spec.can("cover") else 0,
            seed=self.seed,
            on_token=lambda count: pace.advance("plan", count),
        )
        metadata = conditions.metas(request.grid, request.key or blueprint.key, duration_s)
        task = "cover" if blueprint.codes else "text"
        self.text, self.free_text, _ = _prompts(self.cascade, blueprint.caption, (task, ""), metadata)
        self.codes = blueprint.codes
        self.notes += (f"planned by {planner.name}: {blueprint.key}, {blueprint.caption}",)

    def follow_plan(self, plan: SongPlan, note: str) -> None:
        """Be made by another plan from now on."""
        self.plan, self.way = plan, way(plan, self.cascade, self.request)
        self.notes += (note,)
        self._source = None
        self.check_adapters()

    def check_adapters(self) -> None:
        """Raise Unsupported for an adapter in use that acts on none of the stages that run."""
        stages = self.cascade.stages
        heard = {name for stage in self.plan.stages for name, _ in stages[stage].adapted}
        for other, stage in stages.items():
            for name, _ in stage.adapted:
                if name not in heard:
                    raise Unsupported(
                        f"adapter {name} acts on stage {other}, which does not run here (only "
                        f"{', '.join(self.plan.stages)}): leave the adapter out, or have that stage run"
                    )

    def spliced(self, samples: NDArray[np.float32], at: int) -> NDArray[np.float32]:
        """Samples [2, n] from sample `at` on, with the context put back outside a repainted region."""
        if self.request.repaint_s is None or self.context is None:
            return samples
        rate = self.cascade.codec.sample_rate_hz
        start, end = (round(edge_s * rate) for edge_s in self.request.repaint_s)
        fade = max(1, min(round(FADE_S * rate), (end - start) // 2))
        index = np.arange(at, at + samples.shape[-1])
        rise = (index - start + 1) / fade if start > 0 else np.ones(len(index))
        gain = np.clip(np.minimum(rise, (end - index) / fade), 0, 1)
        gain[(index < start) | (index >= end)] = 0
        kept = np.zeros_like(samples)
        part = self.context[:, at : at + samples.shape[-1]]
        kept[:, : part.shape[1]] = part
        mixed = np.sqrt(gain) * samples + np.sqrt(1 - gain) * kept
        return np.where(gain == 0, kept, np.where(gain == 1, samples, mixed)).astype(np.float32)

    @property
    def knows_the_grid(self) -> bool:
        """Whether the stages are given the grid as input, so that what they make begins with a bar."""
        return self.cascade.spec.guide is not None and self.request.guide is not False

    def ending(self) -> slice:
        """The frames of a loop's end, where this song is made as a loop; else none."""
        if not self.knows_the_grid or self.request.task not in MOVED_TASKS:
            return slice(0, 0)
        end = int(self.request.grid.duration_s * self.cascade.codec.latent_rate_hz)
        return slice(max(0, end - LEAD_FRAMES), end)

    def words(self, text: str) -> Words:
        """Embeddings of a prompt of this song."""
        return self.cascade.encode_text(text, self.lyrics)

    def branch(self, stage: Stage, text: str) -> Branch:
        """The stage's condition for a prompt of this song."""
        strength = self.request.strength if self.request.task == "text" else 1.0
        heard = _content_key(self.reference, content_of(self.reference)) if self.reference else None
        frames = math.ceil(self.cascade.spec.reference_s * self.cascade.codec.latent_rate_hz)

        def timbre() -> Tensor:
            latents = _reference_latents(self.cascade, self.reference) if self.reference else None
            return stage.timbre(heard, latents, frames, strength)

        return stage.branch((text, self.lyrics, heard, strength), self.words(text), timbre)

    def contexts_for(self, stage: Stage) -> tuple[Tensor, Tensor | None]:
        """The stage's context latents [1, T, ·] (source, mask, guide): as asked for, and without the key if
        there is one.

        Guidance moves away from the second one. Against the same guide it could not strengthen the key.
        """
        frames, region = self.outline.frames, self.outline.region
        source = stage.silence(frames)
        if self.context is not None:
            given = self._source_latents().to(stage.like)
            if self.request.task == "cover":
                given = stage.semantic(given)
            given = given[:, :frames]
            source = torch.cat([given, source[:, given.shape[1] :]], dim=1)
        elif self.codes and stage.codebook:
            given = stage.hints(self.codes)[:, :frames]
            source = torch.cat([given, source[:, given.shape[1] :]], dim=1)
        mask = conditions.chunk_mask(frames, stage.channels, region).to(source)
        if region is not None:
            source = torch.where(mask > 0.5, stage.silence(frames), source)
        asked = conditions.context_latents(source, mask, self._guide(stage, self.request.key))
        if self.cascade.spec.guide is None or self.request.key is None:
            return asked, None
        return asked, conditions.context_latents(source, mask, self._guide(stage, None))

    def _guide(self, stage: Stage, key: Key | None) -> Tensor | None:
        spec, request = self.cascade.spec, self.request
        if spec.guide is None:
            return None
        if stage.guide_channels != sum(spec.guide):
            raise Unsupported(
                f"stage {stage.name} takes {stage.guide_channels} guide channels, cascade.json {spec.guide}"
            )
        from acestep.model.guide import guide_channels

        rate_hz = self.cascade.codec.latent_rate_hz
        guide = guide_channels(request.grid, key, self.outline.frames, rate_hz, *spec.guide)
        if request.guide is False:
            guide = torch.zeros_like(guide)
        return guide[None].to(stage.like)

    def _source_latents(self) -> Tensor:
        if self._source is None:
            assert self.context is not None
            audio = torch.from_numpy(self.context)[None].to(self.cascade.device)
            self._source = self.cascade.codec.encode(audio, self.plan.window)
        return self._source

    def _stage(self, leg: Leg) -> Stage:
        return self.cascade.stages[leg.stage]


class _Walk:
    """The velocity of a song's takes, stage by stage; each stage is prepared when it is reached."""

    def __init__(self, song: Song, takes: int, pace: Pace) -> None:
        self.song, self.takes, self.pace = song, takes, pace
        self.momentum = Momentum()
        self._leg: Leg | None = None
        self._denoiser: Denoiser
        self._contexts: dict[str, Tensor]  # by branch
        self._blend = Blend(song.outline)

    def velocity(self, leg: Leg, step: int, x: Tensor) -> Tensor:
        """dx/dsigma at this step of the leg for x [B, T, C]."""
        stage = self.song.cascade.stages[leg.stage]
        if leg is not self._leg:
            self.song.cascade.bring(stage, self.song.plan.resident)
            asked, keyless = self.song.contexts_for(stage)
            self._contexts = dict.fromkeys(("asked", "other", "null", "free"), self._spread(asked))
            if keyless is not None:
                self._contexts["null"] = self._spread(keyless)
            frames = self._contexts["asked"].shape[1]
            self._denoiser = stage.denoiser(leg.sigmas[:-1], frames, self.pace.cancelled)
            self._leg = leg
        names = self._names(leg, step, stage)
        given = [(self._branch(name, stage), self._contexts[name]) for name in names]
        if not self.song.encoded:
            self.song.encoded = True
            self.pace.advance("text", 1.0)
        parts = self._denoiser(step, self._blend.cut(x), given)
        found = {name: self._blend.join(part) for name, part in zip(names, parts, strict=True)}
        result = found["asked"]
        if "other" in found:
            result = torch.lerp(result, found["other"], self.song.request.morph)
        if "null" in found:
            result = guided(result, found["null"], leg.guidance, self.momentum)
        if "free" in found:
            result = torch.lerp(found["free"], result, self.song.request.strength)
        self.pace.advance(leg.stage, self.takes * self.song.outline.frames)
        return result

    def _spread(self, context: Tensor) -> Tensor:
        """Context latents [1, T, ·] for every window of every take."""
        return self._blend.cut(context).repeat(self.takes, 1, 1)

    def _names(self, leg: Leg, step: int, stage: Stage) -> list[str]:
        names = ["asked", "other"] if self.song.other_text else ["asked"]
        if leg.guidance.applies(leg.sigmas[step]) and not stage.is_turbo:
            names.append("null")
        if self.song.request.task == "cover" and self.song.request.strength < 1:
            names.append("free")
        return names

    def _branch(self, name: str, stage: Stage) -> Branch:
        if name == "null":
            return stage.null_branch()
        if name == "other":
            return self.song.branch(stage, self.song.other_text)
        plain = name == "free" or (self.song.codes and not stage.codebook)  # nothing to read the codes with
        return self.song.branch(stage, self.song.free_text if plain else self.song.text)


def prepare(cascade: Loaded, request: GenerateRequest, made_by: SongPlan | None = None) -> Song:
    """Check a request against the cascade and gather what it is made from. Reads the context's file.

    `made_by` is the plan that the song was made by before and has to be made by again.
    """
    spec = cascade.spec
    request, found = agreed(request) if request.open else (request, ())
    notes = [*found, *check(request, spec)]
    request = replace(request, track=" | ".join(track_names(request.track)))
    if made_by is not None:
        check_plan(made_by, cascade)
    song_plan = made_by or plan_song(cascade, request)
    legs = way(song_plan, cascade, request)
    asked = stage_names(list(cascade.stages), request.stages)
    notes += [
        f"stage {name} did not run: {request.steps} steps are too few for it"
        for name in asked or cascade.stages
        if name not in song_plan.stages and made_by is None
    ]
    turbo = any(cascade.stages[leg.stage].is_turbo for leg in legs)
    if request.guidance is not None and request.guidance > 1 and turbo:
        notes.append("guidance is built into turbo stages, so none was added there")
    rate = cascade.codec.sample_rate_hz
    context = _context_audio(request, rate)
    plan = outline(
        request, spec, cascade.codec.latent_rate_hz, None if context is None else context.shape[1] / rate
    )
    if context is not None:
        context = context[:, : round(plan.duration_s * rate)]
    elif request.guide and spec.guide is None:
        from acestep.model.guide import guide_audio

        context = guide_audio(request.grid, request.key, round(plan.duration_s * rate), rate)
    _check_reference(cascade, request)
    metadata = conditions.metas(request.grid, request.key, plan.duration_s)
    first, second = _both_prompts(request)
    text, free_text, cut = _prompts(cascade, first, (request.task, request.track), metadata)
    other_text, _, other_cut = (
        _prompts(cascade, second, (request.task, request.track), metadata) if second else ("", "", False)
    )
    if cut or other_cut:
        notes.append(f"the prompt was cut to {conditions.MAX_TEXT_TOKENS} tokens, metadata kept")
    lyrics = conditions.lyric_text(request.lyrics or spec.empty_lyrics)
    if conditions.token_ids(cascade.tokenizer, lyrics, conditions.MAX_LYRIC_TOKENS)[1]:
        notes.append(f"the lyrics were cut to {conditions.MAX_LYRIC_TOKENS} tokens")
    return Song(
        cascade,
        request,
        plan,
        song_plan,
        legs,
        text,
        free_text,
        other_text,
        lyrics,
        request.reference,
        context,
        tuple(notes),
        keeps_its_plan=made_by is not None,
    )


def _both_prompts(request: GenerateRequest) -> tuple[str, str]:
    """The prompts that are heard: one at each end of the morph, both between."""
    second = request.prompt_b.strip()
    if not second or request.morph == 0:
        return request.prompt, ""
    return (second, "") if request.morph == 1 else (request.prompt, second)


def _prompts(cascade: Loaded, prompt: str, task: tuple[str, str], metadata: str) -> tuple[str, str, bool]:
    """The prompt with its task's instruction, the one with plain text-to-music's, and whether it was cut."""
    template = cascade.spec.prompt_template or conditions.PROMPT_TEMPLATE
    texts, cut = [], False
    for sentence in (conditions.instruction(*task), conditions.instruction("text")):
        caption = prompt
        text = conditions.prompt_text(caption, metadata, sentence, template)
        if conditions.token_ids(cascade.tokenizer, text, conditions.MAX_TEXT_TOKENS)[1]:
            caption = conditions.shortened_caption(cascade.tokenizer, caption, metadata, sentence, template)
            text, cut = conditions.prompt_text(caption, metadata, sentence, template), True
        texts.append(text)
    return texts[0], texts[1], cut


def _context_audio(request: GenerateRequest, rate: int) -> NDArray[np.float32] | None:
    """The context's samples [2, N], straight: models know one tempo, the clip is moved onto a map later."""
    if request.context is None:
        return None
    context = read_audio(request.context, sample_rate_hz=rate)
    if request.tempo_map is None:
        return context
    from acestep.hearing.groove import straighten

    return straighten(context[:, : MAX_CONTEXT_S * rate], request.grid, request.tempo_map, rate)


def _check_reference(cascade: Loaded, request: GenerateRequest) -> None:
    """Reads the reference before any work, so that a broken one is found early; its latents are kept."""
    if request.reference is not None:
        _reference_latents(cascade, request.reference)


def _reference_latents(cascade: Loaded, reference: AudioRange) -> Tensor:
    """Latents of a reference, kept under what its file holds now."""
    content, rate = content_of(reference), cascade.codec.sample_rate_hz
    return cascade.encode_reference(
        _content_key(reference, content), lambda: read_as_known(reference, content, rate)
    )


def _content_key(source: AudioRange, content: str) -> Hashable:
    return content, source.start_s, source.end_s

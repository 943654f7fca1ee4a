"""What a stage is trained on: segments as latents, with the prompt and context that generation would give.

Plain examples make a file from its caption; stem-aware ones make a stem from its caption and the rest of
the mix. Latents and conditions come from the cache.

Letters: T latent frames, C latent channels, L condition tokens, D condition width, G guide channels.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acestep.checkpoints.fingerprint import fingerprint
from acestep.console.command import explain
from acestep.errors import UnreadableAudio
from acestep.model import conditions
from acestep.model.cascade import Cascade
from acestep.model.guide import guide_channels
from acestep.model.stage import Recent, Stage
from acestep.music.grid import Grid
from acestep.music.key import Key
from lora_studio.data.cache import TensorCache, key_of, pad_stack
from lora_studio.data.captions import with_trigger
from lora_studio.data.dataset import Dataset, Sample, Skipped
from lora_studio.data.preparing import FEWEST_FILES, MIN_SECONDS
from lora_studio.data.segments import Segment
from lora_studio.data.sound import Floats, read_piece

SORTED_BATCHES = 8  # examples of this many batches are sorted by length together, so little is padded
CONTEXTS_HELD = 1024  # at most a few hundred megabytes
OnDone = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Example:
    """One thing to learn. Keys lead to the cache; `context_key` is "" where there is no context."""

    sample: str
    split: str
    seconds: float
    frames: int
    latents_key: str
    context_key: str
    text: str
    lyrics: str
    grid: Grid | None
    keyscale: str

    @property
    def stem_aware(self) -> bool:
        """Whether the rest of the mix is given."""
        return bool(self.context_key)


@dataclass
class Batch:
    """Examples side by side. Masks are None where nothing is padded."""

    latents: Tensor  # [B, T, C]
    context: Tensor  # [B, T, 2C + G]
    condition: Tensor  # [B, L, D]
    frame_mask: Tensor | None  # [B, T]
    condition_mask: Tensor | None  # [B, L]

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        tensors: dict[str, Any] = {
            name: None if tensor is None else tensor.to(device) for name, tensor in vars(self).items()
        }
        return Batch(**tensors)


class _Lost(Exception):
    """A file that was looked at and cannot be read any more."""

    def __init__(self, sample: Sample, why: Exception) -> None:
        super().__init__(str(why))
        self.sample, self.why = sample, why


class ExampleSet:
    """The examples of a data set for one loaded cascade, with everything constant in the cache."""

    def __init__(self, cascade: Cascade, dataset: Dataset, cache_folder: Path) -> None:
        self.cascade = cascade
        self.dataset = dataset
        spec = cascade.spec
        self.codec_print = key_of(fingerprint(spec.codec))
        self.text_print = key_of(fingerprint(spec.text_encoder), fingerprint(spec.tokenizer))
        self.stage_prints = {
            stage.name: key_of(fingerprint(stage.folder / "condition_encoder")) for stage in spec.stages
        }
        self.base_prints = {
            stage.name: key_of(fingerprint(stage.folder / "transformer")) for stage in spec.stages
        }
        self.cache = TensorCache(cache_folder)
        self.examples: list[Example] = []
        self.lost: dict[str, Skipped] = {}  # files that became unreadable since they were looked at
        self._contexts = Recent[Tensor](CONTEXTS_HELD)

    def fill(self, on_done: OnDone | None = None, over: Callable[[], bool] = lambda: False) -> int:
        """Encode what is not in the cache yet and list the examples.

        Where `over` says that the time is up, segments that were not encoded by then are taken out of the
        data set; how many they are is returned. Files to train on and held-out ones take turns until then.
        A file that cannot be read any more is listed in `lost`, and the run goes on without it.
        """
        samples = self.dataset.used()
        songs: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            if sample.song:
                songs[sample.song].append(sample)
        places = [(sample, segment) for sample in samples for segment in sample.segments]
        made: dict[int, list[Example]] = {}
        lost = 0
        encoded_s = 0.0
        for number in _in_turns([sample.split for sample, _ in places]):
            if len(made) >= FEWEST_FILES and encoded_s >= MIN_SECONDS and over():
                break
            sample, segment = places[number]
            others = [other for other in songs[sample.song] if other is not sample] if sample.song else []
            examples = self._made_or_lost(sample, segment, others)
            if examples:
                made[number] = examples
                encoded_s += segment.duration_s
            else:
                lost += 1
            if on_done:
                on_done(len(made) + lost, len(places), sample.audio_path)
        self.examples = [example for number in sorted(made) for example in made[number]]
        if len(made) < len(places):
            for number, (sample, segment) in enumerate(places):
                if number not in made:
                    sample.segments = [one for one in sample.segments if one is not segment]
                    sample.lyrics = ""  # they are the whole file's, as above for files in several segments
        self.dataset.skipped += self.lost.values()
        return len(places) - len(made) - lost

    def prepare_stage(self, stage: Stage, on_done: OnDone | None = None) -> None:
        """Compute the conditions of all examples for one stage."""
        for number, example in enumerate(self.examples, 1):
            self.condition(stage, example)
            if on_done:
                on_done(number, len(self.examples), example.sample)

    def _made_or_lost(self, sample: Sample, segment: Segment, others: list[Sample]) -> list[Example]:
        """The examples of one segment, in a song beside the stems that are left; none of a lost file."""
        while sample.audio_path not in self.lost:
            try:
                return self._made(sample, segment, [one for one in others if one.audio_path not in self.lost])
            except _Lost as found:
                where = found.sample.audio_path
                why = explain(found.why)[1]
                self.lost[where] = Skipped(where, f"it could be read before and now cannot: {why}")
        return []

    def _made(self, sample: Sample, segment: Segment, others: list[Sample]) -> list[Example]:
        """The examples of one segment, their tensors in the cache."""
        place = (segment.start_s, segment.duration_s)
        key = key_of("latents", self.codec_print, sample.content, place)
        latents = self.cache.get(key, lambda: self._encode([sample], segment))
        context_key = ""
        beside = [other for other in others if other.stem != "mix"]
        if beside and sample.stem and sample.stem != "mix":
            context_key = key_of(
                "context", self.codec_print, sorted(other.content for other in beside), place
            )
            self.cache.get(context_key, lambda: self._encode(beside, segment))
        return [
            Example(
                sample=sample.audio_path,
                split=sample.split,
                seconds=segment.duration_s,
                frames=len(latents),
                latents_key=key,
                context_key=context_key if with_context else "",
                text=self._text(sample, segment, "lego" if with_context else "text"),
                lyrics=self._lyrics(sample),
                grid=_grid(sample, segment),
                keyscale=sample.keyscale,
            )
            for with_context in ((False, True) if context_key else (False,))
        ]

    def _encode(self, samples: list[Sample], segment: Segment) -> Tensor:
        """Latents [T, C] of the sum of the samples' audio in a segment."""
        audio = sum(self._piece(sample, segment) for sample in samples)
        with torch.no_grad():
            latents = self.cascade.codec.encode(torch.from_numpy(audio)[None].to(self.cascade.device))
        return latents[0].float()

    def _piece(self, sample: Sample, segment: Segment) -> Floats:
        try:
            return read_piece(self.dataset.path_of(sample), segment.start_s, segment.duration_s)
        except (UnreadableAudio, OSError) as error:
            raise _Lost(sample, error) from error

    def _text(self, sample: Sample, segment: Segment, task: str) -> str:
        spec = self.cascade.spec
        template = spec.prompt_template or conditions.PROMPT_TEMPLATE
        trigger = sample.custom_tag or self.dataset.custom_tag
        caption = with_trigger(sample.caption, trigger, self.dataset.tag_position)
        metas = conditions.metas(_grid(sample, segment), sample.key, segment.duration_s)
        sentence = conditions.instruction(task, sample.stem)
        caption = conditions.shortened_caption(self.cascade.tokenizer, caption, metas, sentence, template)
        return conditions.prompt_text(caption, metas, sentence, template)

    def _lyrics(self, sample: Sample) -> str:
        """The lyrics' text; whole songs only: a segment's own words are not known."""
        if sample.is_instrumental or not sample.lyrics or len(sample.segments) > 1:
            return conditions.lyric_text(self.cascade.spec.empty_lyrics)
        language = sample.language if sample.language not in ("", "unknown", "instrumental") else "en"
        return conditions.lyric_text(sample.lyrics, language)

    def condition(self, stage: Stage, example: Example) -> Tensor:
        """The stage's condition states [L, D] for the example's words, without a reference."""
        key = key_of(
            # the codec's silence is the timbre of an encoder that is stored without one
            "condition", self.text_print, self.codec_print, self.stage_prints[stage.name],
            str(stage.like.dtype), stage.timbre_token, example.text, example.lyrics,
        )  # fmt: skip
        return self.cache.get(key, lambda: self._states(stage, example))

    @torch.no_grad()
    def _states(self, stage: Stage, example: Example) -> Tensor:
        words = self.cascade.encode_text(example.text, example.lyrics)
        words = conditions.Words(words.text.to(stage.like), words.lyrics.to(stage.like))
        timbre = stage.timbre(None, None, self.reference_frames)
        return conditions.condition_states(stage.condition_encoder, words, timbre)[0]

    @property
    def reference_frames(self) -> int:
        """How much of the silence latent stands for "no reference"."""
        return math.ceil(self.cascade.spec.reference_s * self.cascade.codec.latent_rate_hz)

    def context(self, stage: Stage, example: Example) -> Tensor:
        """Context latents [T, 2C + G]: source (silence or the rest of the mix), mask, guide."""
        key = (stage.name, example.latents_key, example.context_key)
        made: Tensor = self._contexts.get(key, lambda: self._context(stage, example))
        return made

    def _context(self, stage: Stage, example: Example) -> Tensor:
        if example.context_key:
            source = self.cache.get(example.context_key)[None, : example.frames]
        else:
            source = stage.silence(example.frames).cpu()
        mask = torch.ones(1, example.frames, stage.channels)
        return conditions.context_latents(source.float(), mask, self._guide(stage, example))[0]

    def _guide(self, stage: Stage, example: Example) -> Tensor | None:
        spec = self.cascade.spec
        if spec.guide is None:
            return None
        if example.grid is None:
            return torch.zeros(1, example.frames, sum(spec.guide))
        key = Key.parse(example.keyscale) if example.keyscale else None
        rate_hz = self.cascade.codec.latent_rate_hz
        return guide_channels(example.grid, key, example.frames, rate_hz, *spec.guide)[None]

    def batch(self, stage: Stage, examples: list[Example]) -> Batch:
        """Examples side by side, padded to the longest."""
        latents, frame_mask = pad_stack([self.cache.get(example.latents_key) for example in examples])
        context, _ = pad_stack([self.context(stage, example) for example in examples])
        condition, condition_mask = pad_stack([self.condition(stage, example) for example in examples])
        return Batch(latents, context, condition, frame_mask, condition_mask)


def _grid(sample: Sample, segment: Segment) -> Grid | None:
    """The segment's grid, or None where no tempo is known."""
    if sample.bpm is None or not segment.bars:
        return None
    return Grid(sample.bpm, sample.signature, segment.bars)


def _in_turns(kinds: list[str]) -> list[int]:
    """The places of a list, those of each kind spread evenly over the whole way."""
    counts, seen = Counter(kinds), Counter[str]()
    where = []
    for place, kind in enumerate(kinds):
        seen[kind] += 1
        where.append((seen[kind] / counts[kind], counts[kind], place))
    return [place for *_, place in sorted(where)]


def generator(*parts: object) -> torch.Generator:
    """A CPU generator whose seed is a hash of the parts."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:7], "big"))


@dataclass(frozen=True)
class Order:
    """Batches without end. `plain` examples are visited once an epoch; some of the visits give context."""

    plain: tuple[Example, ...]
    with_context: dict[str, Example]  # latents key → the same segment with the rest of the mix
    batch_size: int
    stem_aware: float
    seed: int

    @property
    def batches_per_epoch(self) -> int:
        """How many batches visit every example once."""
        return -(-len(self.plain) // self.batch_size)

    def batch(self, number: int) -> list[Example]:
        """Batch `number` of the run, from 0."""
        epoch, index = divmod(number, self.batches_per_epoch)
        random = generator("order", self.seed, epoch)
        places = torch.randperm(len(self.plain), generator=random).tolist()
        chunk = SORTED_BATCHES * self.batch_size
        batches: list[list[int]] = []
        for start in range(0, len(places), chunk):
            part = sorted(places[start : start + chunk], key=lambda place: self.plain[place].frames)
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        turn = torch.randperm(len(batches), generator=random).tolist()
        chance = torch.rand(len(self.plain), generator=random).tolist()
        return [self._visit(place, chance[place]) for place in batches[turn[index]]]

    def _visit(self, place: int, chance: float) -> Example:
        example = self.plain[place]
        return self.with_context.get(example.latents_key, example) if chance < self.stem_aware else example


def order_of(examples: Sequence[Example], batch_size: int, stem_aware: float, seed: int) -> Order:
    """The order over a stage's training examples."""
    plain = tuple(example for example in examples if not example.stem_aware)
    contexts = {example.latents_key: example for example in examples if example.stem_aware}
    return Order(plain, contexts, min(batch_size, len(plain)), stem_aware, seed)

"""What a distillation learns from: noisy latents, their words, and the teacher's velocity there.

From a folder of audio: latents by the checkpoint's own codec, made noisy at a level of the teacher's way.
From captions alone: the states the teacher itself passes through on its way from noise to clean. Every draw
is a function of the recipe's seed and the draw's number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acestep.checkpoints.compose import Chosen
from acestep.checkpoints.schedule import sigmas
from acestep.console.command import expanded, explain
from acestep.errors import InvalidRequest, UnreadableAudio
from acestep.files import appearing
from acestep.model import conditions
from acestep.model.cascade import Cascade
from acestep.model.conditions import Words
from acestep.sound.audio import read_audio
from acestep.training.distill_recipe import Recipe
from acestep.typed_json import read_text_of

AUDIO_SUFFIXES = (".wav", ".aif", ".aiff", ".flac", ".mp3", ".ogg")
HELD_OUT_SHARE = 0.05  # of the examples, where there are enough of them
REFERENCES = 0.5  # of the draws from audio hear their own piece as reference
MAX_FILE_S = 600.0


@dataclass(frozen=True)
class Batch:
    """Conditions of B examples: words, and reference latents [1, T, C] or None for none."""

    words: list[Words]
    references: list[Tensor | None]
    reference_frames: int


class Material:
    """Examples by number. `draw` gives (x [B, T, C], t [B], batch, the teacher's velocity [B, T, C])."""

    def __init__(
        self, recipe: Recipe, chosen: Chosen, cascade: Cascade, teacher: Callable[..., Tensor], folder: Path
    ) -> None:
        self.recipe, self.cascade, self.teacher = recipe, cascade, teacher
        self.stage = cascade.stages[chosen.stage.name]
        rate_hz = cascade.codec.latent_rate_hz
        self.frames = max(2, round(recipe.seconds * rate_hz))
        self.reference_frames = math.ceil(cascade.spec.reference_s * rate_hz)
        self.way = sigmas(chosen.schedule)
        self.steps = chosen.steps
        self.skipped: list[str] = []  # sentences on files that could not be read
        self.examples = self._encoded(folder / "latents") if recipe.audio else []
        self.captions = [text for text, _ in self.examples] or _lines(Path(recipe.captions))
        # every twentieth of a shuffled order is never trained on; few examples are all trained on
        order = np.random.default_rng(recipe.seed).permutation(len(self.captions))
        held = round(HELD_OUT_SHARE * len(order))
        self.held_out, self.trained = (order[:held], order[held:]) if held else (order, order)
        self._words: dict[int, Words] = {}
        self._walked: tuple[Any, list[tuple[Tensor, float, Tensor]], Batch] | None = None

    def draw(self, number: int, held_out: bool = False) -> tuple[Tensor, Tensor, Batch, Tensor]:
        """The batch of that number; negative ones are for looking only."""
        return self._from_audio(number, held_out) if self.examples else self._from_walk(number, held_out)

    def context(self, x: Tensor) -> Tensor:
        """What text-to-music has as context: silence, all of it to be made; [B, T, 2 C]."""
        silence = self.stage.silence(x.shape[1]).to(x)
        mask = conditions.chunk_mask(x.shape[1], x.shape[2]).to(x)
        return conditions.context_latents(silence, mask).expand(len(x), -1, -1)

    def _from_audio(self, number: int, held_out: bool) -> tuple[Tensor, Tensor, Batch, Tensor]:
        """Crops of the encoded files at levels of the way."""
        random = self._random(number)
        clean, words, references = [], [], []
        for index in self._chosen(random, held_out):
            latents = self._latents(self.examples[index][1])
            start = int(random.integers(0, max(1, len(latents) - self.frames + 1)))
            crop = latents[start : start + self.frames]
            fill = self.stage.silence(self.frames)[0, len(crop) :].to(crop)
            clean.append(torch.cat([crop, fill]))
            heard = latents[: self.reference_frames][None] if random.random() < REFERENCES else None
            references.append(heard)
            words.append(self._encoded_words(index))
        x0 = torch.stack(clean).to(self.cascade.device)
        t = self._levels(random).to(x0)
        noise = torch.from_numpy(random.standard_normal(tuple(x0.shape), dtype=np.float32)).to(x0)
        at = t[:, None, None]
        x, batch = (1 - at) * x0 + at * noise, Batch(words, references, self.reference_frames)
        return x, t, batch, self.teacher(x, t, self.context(x), batch)

    def _from_walk(self, number: int, held_out: bool) -> tuple[Tensor, Tensor, Batch, Tensor]:
        """One state of the teacher's way; a whole way is walked once for as many draws as it has steps."""
        first, last = self.steps
        walk, place = divmod(number, last - first)
        if self._walked is None or self._walked[0] != walk:
            random = self._random(walk)
            words = [self._encoded_words(index) for index in self._chosen(random, held_out)]
            batch = Batch(words, [None] * len(words), self.reference_frames)
            shape = (len(words), self.frames, self.stage.channels)
            x = torch.from_numpy(random.standard_normal(shape, dtype=np.float32)).to(self.cascade.device)
            states = []
            for here, there in list(pairwise(self.way))[:last]:
                v = self.teacher(x, torch.full((len(x),), here, device=x.device), self.context(x), batch)
                states.append((x, here, v))
                x = x + (there - here) * v
            order = random.permutation(last - first)
            self._walked = (walk, [states[first + i] for i in order], batch)
        x, level, v = self._walked[1][place]
        return x, torch.full((len(x),), level, device=x.device), self._walked[2], v

    def _levels(self, random: np.random.Generator) -> Tensor:
        """A noise level an example: those a few-step teacher is asked at, else anywhere on its interval."""
        first, last = self.steps
        if self.stage.is_turbo:
            return torch.tensor([self.way[random.integers(first, last)] for _ in range(self.recipe.batch)])
        # one from each part of the interval: less noise in the gradient than independent draws
        places = (np.arange(self.recipe.batch) + random.random(self.recipe.batch)) / self.recipe.batch
        return torch.from_numpy(self.way[last] + (self.way[first] - self.way[last]) * places).float()

    def _chosen(self, random: np.random.Generator, held_out: bool) -> list[int]:
        return [int(i) for i in random.choice(self.held_out if held_out else self.trained, self.recipe.batch)]

    def _random(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.recipe.seed, int(number < 0), abs(number)])

    def _encoded_words(self, index: int) -> Words:
        """The caption as generation would embed it; kept, it never changes."""
        if index not in self._words:
            spec, metadata = self.cascade.spec, conditions.metas(None, None, self.recipe.seconds)
            template = spec.prompt_template or conditions.PROMPT_TEMPLATE
            sentence, caption = conditions.instruction("text"), self.captions[index]
            caption = conditions.shortened_caption(
                self.cascade.tokenizer, caption, metadata, sentence, template
            )
            text = conditions.prompt_text(caption, metadata, sentence, template)
            words = self.cascade.encode_text(text, conditions.lyric_text(spec.empty_lyrics))
            self._words[index] = Words(words.text.cpu(), words.lyrics.cpu())
        return self._words[index]

    def _encoded(self, folder: Path) -> list[tuple[str, Path]]:
        """(caption, file of latents) of every audio file; what is encoded already is taken as it is."""
        from safetensors.torch import save_file

        source = expanded(self.recipe.audio)
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
        folder.mkdir(parents=True, exist_ok=True)
        found = []
        for number, path in enumerate(files):
            target = folder / f"{number:06}.safetensors"
            rate_hz = self.cascade.codec.sample_rate_hz
            try:
                caption = _caption(path)
                audio = None if target.is_file() else read_audio(path, 0, MAX_FILE_S, sample_rate_hz=rate_hz)
            except (UnreadableAudio, OSError) as error:
                self.skipped.append(explain(error)[1])
                continue
            if audio is not None:
                piece = torch.from_numpy(audio)
                latents = self.cascade.codec.encode(piece[None].to(self.cascade.device))[0]
                with appearing(target) as hidden:
                    save_file({"latents": latents.cpu().contiguous()}, hidden)
            found.append((caption, target))
        if not found:
            why = f": {'; '.join(self.skipped[:3])}" if self.skipped else ""
            raise InvalidRequest(
                f"{source} holds no readable audio: expected {', '.join(AUDIO_SUFFIXES)}{why}"
            )
        return found

    def _latents(self, file: Path) -> Tensor:
        from safetensors.torch import load_file

        return load_file(file)["latents"].float()


def _caption(path: Path) -> str:
    """The words in the text file beside an audio file, else those of its name."""
    beside = path.with_suffix(".txt")
    text = read_text_of(beside) if beside.is_file() else path.stem.replace("_", " ")
    return " ".join(text.split())


def _lines(file: Path) -> list[str]:
    try:
        lines = [line.strip() for line in read_text_of(expanded(file)).splitlines()]
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be read as text: {error.strerror}") from error
    found = [line for line in lines if line]
    if not found:
        raise InvalidRequest(f"{file} is empty: expected a caption a line")
    return found

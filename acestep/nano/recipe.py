"""The whole recipe in a work folder, step by step; every step takes up where it was left.

A work folder holds:

    bank/  features/  codec.pt codec/  latents/  tokenizer/ text_encoder/  start.pt  l.pt m.pt s.pt (or ms.pt)
    checkpoint/  pairs/  phase.pt  phase-codec/
"""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from acestep.model.codec.base import silence_of
from acestep.model.codec.spectral import SpectralCodec
from acestep.model.loading import load_text_encoder, load_tokenizer
from acestep.nano import WEIGHTS
from acestep.nano.carry import START, carry_over
from acestep.nano.checkpoint import LYRICS, NanoConfig, build_text_encoder, train_tokenizer
from acestep.nano.data.prepare import feature_shard
from acestep.nano.data.sounds import Bank, build_bank
from acestep.nano.latents import Shards, label, latent_shard
from acestep.nano.publish import publish
from acestep.nano.states import needed, read_state, write_state
from acestep.nano.train_codec import CodecRecipe, fitted_codec, train_codec
from acestep.nano.train_phase import PhaseRecipe, train_phase, with_phases
from acestep.nano.train_stages import StageRecipe, StageTraining, caption_texts, log_line
from acestep.nano.train_text import TextRecipe, train_text

SAVE_EVERY_S = 300  # what a stop costs at most
TEXT_STEPS_PER_MINUTE = 20  # of a whole run; a minute of one core makes 200
WORDS_SEED = 20_000  # of loops whose names alone are read: held-out instruments are words a user may type


def prepare_data(work: Path, shards: int, say: Callable[[str], None] = print) -> None:
    """The sound bank and the codec's features."""
    build_bank(work / "bank")
    bank = Bank(work / "bank")
    feature_shard(work / "features", 0, bank, held=True)
    for index in range(shards):
        feature_shard(work / "features", index, bank)
        say(f"features {index + 1}/{shards}")


def prepare_latents(work: Path, shards: int, say: Callable[[str], None] = print) -> None:
    """Latents of the loops, their parts and references."""
    bank, codec = Bank(work / "bank"), fitted_codec(work)
    for index in range(shards):
        latent_shard(work / "latents", index, bank, codec)
        say(f"latents {index + 1}/{shards}")


def prepare_text(work: Path, loops: int = 2000, recipe: TextRecipe | None = None) -> dict[str, float]:
    """Tokenizer and text encoder; returns how well the encoder reads.

    Style words hold names of parts ("drum and bass", "chill beat"): telling those from what is asked for
    takes thousands of steps. A fourth of the loops have the held-out instruments' names, none of their sound.
    """
    config, recipe = NanoConfig(), recipe or TextRecipe()
    tokenizer = train_tokenizer([*caption_texts(3000), LYRICS], config.vocabulary)
    tokenizer.save_pretrained(work / "tokenizer")
    torch.manual_seed(recipe.seed)
    encoder = build_text_encoder(config, len(tokenizer))
    read = [label(seed) for seed in range(3 * loops // 4)]
    read += [label(WORDS_SEED + seed, held=True) for seed in range(loops // 4)]
    scores = train_text(encoder, tokenizer, read, recipe)
    encoder.save_pretrained(work / "text_encoder")
    return scores


def train_stages(work: Path, recipe: StageRecipe, seconds: float, resume: bool = True) -> int:
    """Train the stages `recipe.only` names (all for ""), and keep `work/NAME.pt`; returns the step
    reached.
    """
    tokenizer = load_tokenizer(needed(work / "tokenizer", "train WORK --part text"))
    words = needed(work / "text_encoder", "train WORK --part text")
    encoder = load_text_encoder(words, torch.float32)
    latents = needed(work / "latents", "train WORK --part latents")
    codec = fitted_codec(work)
    silence = silence_of(codec)[0, 0].clone()
    shards = Shards(latents)
    start_of = read_state(work / START, resume=True)
    first_weights = None if start_of is None else start_of["modules"]
    training = StageTraining(
        recipe, NanoConfig(), shards.examples(), tokenizer, silence, encoder, first_weights
    )
    state = work / f"{recipe.only or 'lms'}.pt"
    if (earlier := read_state(state, resume)) is not None:
        training.restore(earlier)
    start, first, saved = time.monotonic(), training.step, time.monotonic()

    def watch(at: StageTraining) -> None:
        nonlocal saved
        if at.step % 10 == 0:
            pace = (at.step - first) / (time.monotonic() - start)
            log_line(at, state.with_suffix(".log"), pace)
        if time.monotonic() - saved > SAVE_EVERY_S:
            saved = time.monotonic()
            write_state(at.state(), state)
            at.examples = shards.examples()  # with the shards that were finished meanwhile

    training.run(seconds, watch)
    write_state(training.state(), state)
    return training.step


def go_on_from(work: Path, checkpoint: Path = WEIGHTS) -> Path:
    """Fill the work folder with a finished checkpoint, for `train_stages` to go on from."""
    build_bank(work / "bank")
    read_state(work / START, resume=False)  # what is there is not written over
    return carry_over(work, checkpoint)


def prepare_pairs(work: Path, shards: int, say: Callable[[str], None] = print) -> None:
    """Audio with latents as encoded and as the stages leave them, for the phases."""
    from acestep.nano.pairs import Passage, pair_shard

    build_bank(work / "bank")
    bank, passage = Bank(work / "bank"), Passage(_finished(work))
    pair_shard(work / "pairs", 0, bank, passage, held=True)
    for index in range(shards):
        pair_shard(work / "pairs", index, bank, passage)
        say(f"pairs {index + 1}/{shards}")


def train_phases(work: Path, recipe: PhaseRecipe, seconds: float, resume: bool = True) -> Path:
    """Train the phases of the finished checkpoint's codec; returns the state that `publish` takes."""
    needed(work / "pairs", "train WORK --part pairs")
    return train_phase(work, recipe, seconds, SpectralCodec.load(_finished(work) / "codec"), resume)


def publish_phases(work: Path) -> Path:
    """`work/phase-codec`: the finished checkpoint's codec, with the phases as far as they have come."""
    state = needed(work / "phase.pt", "train WORK --part phase")
    folder = work / "phase-codec"
    with_phases(SpectralCodec.load(_finished(work) / "codec"), state).save(folder)
    return folder


def _finished(work: Path) -> Path:
    """The checkpoint made in this work folder, or the embedded one: phases are learned last."""
    own = work / "checkpoint"
    return own if (own / "cascade.json").exists() else WEIGHTS


def train_everything(
    work: Path, minutes: float, shards: int, resume: bool = True, device: str = "cpu"
) -> Path:
    """Codec, latents, text, stages and phases in one process; a tenth of the time is the codec's, up to
    another the text encoder's, and a tenth the phases', last: they learn from what stages leave.
    """
    train_codec(work, CodecRecipe(device=device), minutes * 6, resume)
    prepare_latents(work, shards)
    steps = min(max(round(TEXT_STEPS_PER_MINUTE * minutes), 100), TextRecipe.steps)
    prepare_text(work, min(2000, 10 * steps), TextRecipe(steps=steps, device=device))
    train_stages(work, StageRecipe(device=device), minutes * 48, resume)
    publish(work, work / "checkpoint")
    prepare_pairs(work, shards)
    train_phases(work, PhaseRecipe(device=device), minutes * 6, resume)
    publish(work, work / "checkpoint")
    return work / "checkpoint"

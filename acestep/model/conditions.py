"""What a DiT is told: prompt text, its tokens and embeddings, timbre, and context latents with their mask.

Pure functions, for generation and training alike. Shapes: B clips, L tokens, T latent frames, C latent
channels, D the encoder's width. Texts and their layout are ACE-Step 1.5's, as the published checkpoints
were trained with them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from acestep.model.modules import (
    AudioDetokenizer,
    AudioTokenizer,
    ConditionEncoder,
    TextEncoder,
    TimbreEncoder,
    Tokenizer,
)
from acestep.music.grid import Grid
from acestep.music.key import Key

# "# Instruction" and its newlines are part of what the published checkpoints learned
PROMPT_TEMPLATE = "# Instruction\n{instruction}\n\n# Caption\n{caption}\n\n# Metas\n{metas}<|endoftext|>\n"
LYRICS_TEMPLATE = "# Languages\n{language}\n\n# Lyric\n{lyrics}<|endoftext|>"
INSTRUCTIONS = {
    "text": "Fill the audio semantic mask based on the given conditions:",
    "repaint": "Repaint the mask area based on the given conditions:",
    "cover": "Generate audio semantic tokens based on the given conditions:",
    "extract": "Extract the track from the audio:",
    "lego": "Generate the track based on the audio context:",
    "complete": "Complete the input track:",
}
TRACK_INSTRUCTIONS = {
    "extract": "Extract the {track} track from the audio:",
    "lego": "Generate the {track} track based on the audio context:",
    "complete": "Complete the input track with {track}:",
}
MAX_TEXT_TOKENS = 256
MAX_LYRIC_TOKENS = 2048

REFERENCE_S = 30.0  # how much the timbre encoder hears: three pieces of ten seconds
SIGNATURES = {"2/4": "2", "2/2": "2", "3/4": "3", "3/8": "3", "4/4": "4", "6/8": "6"}


@dataclass(frozen=True)
class Words:
    """A prompt and lyrics as embeddings: `text` [B, L, D] in context, `lyrics` [B, L', D] token by token."""

    text: Tensor
    lyrics: Tensor


def instruction(task: str, track: str = "") -> str:
    """The task's sentence in the prompt; `track` names instruments, several separated by `|`."""
    names = [name.strip().upper() for name in track.split("|") if name.strip()]
    if names and task in TRACK_INSTRUCTIONS:
        return TRACK_INSTRUCTIONS[task].format(track=" | ".join(names))
    return INSTRUCTIONS[task]


def metas(grid: Grid | None, key: Key | None, duration_s: float) -> str:
    """The prompt's metadata lines, in the values ACE-Step knows: whole bpm, beats a bar of 2, 3, 4 or 6.

    What it does not know (7/8, no key) is N/A; the clip's grid stays exact either way.
    """
    bpm = str(round(grid.bpm)) if grid else "N/A"
    signature = SIGNATURES.get(str(grid.signature), "N/A") if grid else "N/A"
    duration = int(duration_s) if duration_s > 0 else 30
    return (
        f"- bpm: {bpm}\n- timesignature: {signature}\n- keyscale: {key.sharp if key else 'N/A'}\n"
        f"- duration: {duration} seconds\n"
    )


def prompt_text(
    caption: str, metadata: str, task_instruction: str = INSTRUCTIONS["text"], template: str = PROMPT_TEMPLATE
) -> str:
    """Caption, metadata and instruction in the checkpoint's template."""
    return template.format(instruction=task_instruction, caption=caption, metas=metadata)


def lyric_text(lyrics: str, language: str = "en") -> str:
    """Lyrics in ACE-Step's template."""
    return LYRICS_TEMPLATE.format(language=language, lyrics=lyrics)


def token_ids(tokenizer: Tokenizer, text: str, limit: int) -> tuple[Tensor, int]:
    """Token ids [1, L] of a text, at most `limit`, and how many were cut off."""
    ids = tokenizer(text, verbose=False)["input_ids"]
    lost = max(0, len(ids) - limit)
    if lost:  # the tokenizer's own truncation keeps its end token
        ids = tokenizer(text, truncation=True, max_length=limit)["input_ids"]
    return torch.tensor([ids], dtype=torch.long), lost


def shortened_caption(tokenizer: Tokenizer, caption: str, metadata: str, task: str, template: str) -> str:
    """The caption cut so that the whole prompt fits MAX_TEXT_TOKENS: the metadata behind it is never lost."""
    low, high = 0, len(caption)
    while low < high:  # longest prefix that fits, by bisection
        middle = (low + high + 1) // 2
        text = prompt_text(caption[:middle], metadata, task, template)
        if token_ids(tokenizer, text, MAX_TEXT_TOKENS)[1] == 0:
            low = middle
        else:
            high = middle - 1
    return caption[:low]


@torch.no_grad()
def encode_words(tokenizer: Tokenizer, text_encoder: TextEncoder, text: str, lyrics: str) -> Words:
    """Embeddings of one prompt and its lyrics: the text in context, the lyrics as looked-up tokens."""
    device = next(text_encoder.parameters()).device
    text_ids = token_ids(tokenizer, text, MAX_TEXT_TOKENS)[0].to(device)
    lyric_ids = token_ids(tokenizer, lyrics, MAX_LYRIC_TOKENS)[0].to(device)
    return Words(
        text=text_encoder(input_ids=text_ids).last_hidden_state,
        lyrics=text_encoder.get_input_embeddings()(lyric_ids),
    )


def reference_pieces(audio: Tensor, sample_rate_hz: int, reference_s: float = REFERENCE_S) -> Tensor:
    """Reference audio [2, N] → what ACE-Step hears: a third each of its start, middle and end, [2, 30 s]."""
    piece, whole = round(reference_s / 3 * sample_rate_hz), round(reference_s * sample_rate_hz)
    if audio.shape[-1] < whole:
        audio = audio.repeat(1, math.ceil(whole / audio.shape[-1]))
    middle, end = audio.shape[-1] // 3, max(audio.shape[-1] - piece, 0)
    pieces = (audio[:, start : start + piece] for start in (0, middle, end))
    return torch.cat(list(pieces), dim=-1)


def silence(silence_latent: Tensor, frames: int, first: int = 0) -> Tensor:
    """The checkpoint's latents of silence, repeated to `frames` from frame `first` on: [1, T, C]."""
    repeats = math.ceil((first + frames) / silence_latent.shape[1])
    return silence_latent.repeat(1, repeats, 1)[:, first : first + frames]


def timbre_embedding(
    condition_encoder: ConditionEncoder, reference_latents: Tensor, token: bool = False
) -> Tensor:
    """Timbre of reference latents [1, T, C] → [1, 1, D].

    `token` puts the encoder's learnt special token in front and reads that, as ACE-Step's own XL code does;
    without it the first frame is read, as its 2B code and diffusers do.
    """
    encoder = condition_encoder.timbre_encoder
    order = torch.zeros(1, dtype=torch.long, device=reference_latents.device)
    if not token:
        return encoder(reference_latents, order)[0]
    with _prepended(encoder):
        return encoder(reference_latents, order)[0]


class _prepended:  # noqa: N801 (a context manager, used like a function)
    """While open, the timbre encoder's input embedding puts its special token in front."""

    def __init__(self, encoder: TimbreEncoder) -> None:
        self.encoder = encoder

    def __enter__(self) -> None:
        token = self.encoder.special_token

        def prepend(_module: nn.Module, _given: object, frames: Tensor) -> Tensor:
            return torch.cat([token.to(frames).expand(frames.shape[0], -1, -1), frames], dim=1)

        self.handle = self.encoder.embed_tokens.register_forward_hook(prepend)

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def condition_states(condition_encoder: ConditionEncoder, words: Words, timbre: Tensor) -> Tensor:
    """What the DiT's cross-attention reads, [B, L, D]: lyrics, timbre [B, 1, D], then text."""
    text = condition_encoder.text_projector(words.text)
    mask = torch.ones(words.lyrics.shape[:2], dtype=torch.bool, device=words.lyrics.device)
    lyrics = condition_encoder.lyric_encoder(inputs_embeds=words.lyrics, attention_mask=mask)
    return torch.cat([lyrics, timbre.expand(lyrics.shape[0], -1, -1), text], dim=1)


def chunk_mask(frames: int, channels: int, region: tuple[int, int] | None = None) -> Tensor:
    """1 where to make, 0 where given, [1, T, C]. `region` is [first, last) in frames; None is all."""
    if region is None:
        return torch.ones(1, frames, channels)
    mask = torch.zeros(1, frames, channels)
    first = max(0, min(region[0], frames - 1))
    mask[:, first : max(first + 1, min(region[1], frames))] = 1.0
    return mask


def context_latents(source: Tensor, mask: Tensor, guide: Tensor | None = None) -> Tensor:
    """Source latents [1, T, C], mask [1, T, C] and guide [1, T, G] side by side, as the DiT reads them."""
    parts = [source, mask.to(source)] + ([] if guide is None else [guide.to(source)])
    return torch.cat(parts, dim=-1)


@torch.no_grad()
def semantic_latents(
    tokenizer: AudioTokenizer, detokenizer: AudioDetokenizer, source: Tensor, silence_latent: Tensor
) -> Tensor:
    """Source latents [B, T, C] through the 5 Hz semantic tokens and back: melody and rhythm, little sound."""
    quantized, _ = tokenizer.tokenize(source, silence_latent)
    return detokenizer(quantized.to(source))[:, : source.shape[1]].contiguous()

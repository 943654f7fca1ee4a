"""What training and evaluation tell a stage: prompts and references as conditions, and which tokens count.

Runs the stock condition encoder's parts with gradients. Shapes: B clips, S condition tokens, C channels.
"""

import torch
from torch import Tensor

from acestep.model.codec.spectral import SpectralCodec
from acestep.model.modules import ConditionEncoder, TextEncoder, Tokenizer
from acestep.nano.checkpoint import LYRICS, REFERENCE_S
from acestep.training.velocity import Conditions


def tokenise(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Texts → ids and mask [B, S], padded on the right."""
    tokens = tokenizer(texts, padding="longest", truncation=True, max_length=256, return_tensors="pt")
    return tokens.input_ids, tokens.attention_mask.bool()


def conditions(
    text_encoder: TextEncoder,
    encoder: ConditionEncoder,
    tokenizer: Tokenizer,
    texts: list[str],
    references: list[Tensor | None],
) -> Conditions:
    """Prompts and references (latents [frames, 192] or None) → condition tokens: lyrics, timbre, text."""
    device = encoder.silence_latent.device
    ids, mask = (part.to(device) for part in tokenise(tokenizer, texts))
    text = encoder.text_projector(text_encoder(input_ids=ids).last_hidden_state)
    lyric_ids, lyric_mask = (part.to(device) for part in tokenise(tokenizer, [LYRICS]))
    lyric = encoder.lyric_encoder(
        inputs_embeds=text_encoder.get_input_embeddings()(lyric_ids), attention_mask=lyric_mask
    )
    timbre = _timbre(encoder, references)
    count = len(texts)
    states = torch.cat([lyric.expand(count, -1, -1), timbre, text], 1)
    there = torch.ones(count, lyric.shape[1] + 1, dtype=torch.bool, device=device)
    return Conditions(states, torch.cat([there, mask], 1))


def reference_frames(latent_rate_hz: float = SpectralCodec.latent_rate_hz) -> int:
    """Latent frames the timbre encoder takes."""
    return round(REFERENCE_S * latent_rate_hz)


def _timbre(encoder: ConditionEncoder, references: list[Tensor | None]) -> Tensor:
    """[B, 1, C]: the silence token where there is no reference, computed once for all of them."""
    silence = encoder.silence_latent[:, : reference_frames()]
    packed = torch.cat([silence, *(reference[None] for reference in references if reference is not None)])
    tokens, _ = encoder.timbre_encoder(packed, torch.arange(len(packed), device=packed.device))
    places, following = [], 1
    for reference in references:
        places.append(0 if reference is None else following)
        following += reference is not None
    return tokens[torch.tensor(places)]

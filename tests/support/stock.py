"""The stock diffusers pipeline on the same request."""

from __future__ import annotations

import soundfile
import torch

from acestep import Cascade, GenerateRequest
from acestep.model.song import prepare
from tests.support.closeness import GUIDED, RUN, rounding

STOCK_TASK = {"text": "text2music"}


def audio_s(cascade: Cascade, request: GenerateRequest) -> float:
    """Seconds of audio a take of this request will have (its grid and a tail)."""
    return prepare(cascade, request).outline.duration_s


def stock_latents(pipeline, cascade: Cascade, request: GenerateRequest, **options) -> torch.Tensor:
    """What the stock pipeline makes of the same request."""
    audio = {}
    for name, source in (("src_audio", request.context), ("reference_audio", request.reference)):
        if source is not None:
            audio[name] = torch.from_numpy(soundfile.read(source.path, dtype="float32")[0].T)
    if "src_audio" in audio:
        audio["src_audio"] = audio["src_audio"][:, : round(audio_s(cascade, request) * 48_000)]
    return pipeline(
        request.prompt,
        lyrics=request.lyrics,
        audio_duration=audio_s(cascade, request),
        bpm=round(request.grid.bpm),
        keyscale=str(request.key) if request.key else None,
        timesignature=str(request.grid.signature.numerator),
        task_type=STOCK_TASK.get(request.task, request.task),
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
        **audio,
        **options,
    ).audios


def turbo_options() -> dict:
    return {"num_inference_steps": 8, "shift": 3.0, "guidance_scale": 1.0}


def base_options(steps: int = 6, scale: float = 7.0) -> dict:
    return {"num_inference_steps": steps, "shift": 1.0, "guidance_scale": scale}


def within(options: dict) -> float:
    """How near the latents must be."""
    return rounding(RUN * GUIDED) if options["guidance_scale"] > 1 else rounding(RUN)

"""L, M and S at full size with random weights: seconds by stage, codec, total; peak memory; against stock.

    python -m tests.benchmarks.full_size [--seconds 240] [--reduce 1] [--repeats 3]

First asserts that L alone gives the stock pipeline's latents and audio, up to rounding and one gain (on a GPU
also at an eighth of the size in float32), and ends without a figure where it does not. Timing does not depend
on the weights' values. On a GPU the sizes are the published ones in bfloat16; without one use `--reduce 8`
(widths, depths and the song an eighth): then look at the ratio, not at the seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging

from acestep import Cascade, GenerateRequest
from tests.benchmarks.agreement import at_level_of, must_agree, run_rounding
from tests.support.variants import VARIANTS, Variant

STEPS = {"l": [0, 3], "m": [3, 6], "s": [6, 8]}


def reduced(variant: Variant, by: int) -> Variant:
    """The variant with widths and depth divided."""
    if by == 1:
        return variant
    sizes = ("width", "feed_forward", "encoder_width", "encoder_feed_forward")
    values = {name: max(64, getattr(variant, name) // by // 64 * 64) for name in sizes}
    heads = {name: max(2, getattr(variant, name) // by // 2 * 2) for name in ("heads", "encoder_heads")}
    fewer = {"layers": max(2, variant.layers // by), "kv_heads": 2, "encoder_kv_heads": 2, "head_dim": 64}
    return dataclasses.replace(variant, **values, **heads, **fewer)


def stage_parts(variant: Variant, text_width: int) -> dict[str, Any]:
    """A stage's modules with random weights, on the CPU."""
    from diffusers import AceStepConditionEncoder
    from diffusers import AceStepTransformer1DModel as Transformer

    encoder = AceStepConditionEncoder(**variant.condition_encoder_config(text_hidden_dim=text_width))
    # the latents of silence, which a checkpoint brings along: as zeros they would stand for another sound
    encoder.silence_latent = torch.randn(1, 15_000, 64).cumsum(1).sin()
    transformer = Transformer(**variant.transformer_config(is_turbo=True))
    return {"transformer": transformer, "condition_encoder": encoder}


def codec(by: int) -> Any:
    """The Oobleck autoencoder, its width divided."""
    from diffusers import AutoencoderOobleck

    return AutoencoderOobleck(
        encoder_hidden_size=128,
        downsampling_ratios=[2, 4, 4, 6, 10],
        channel_multiples=[1, 2, 4, 8, 16],
        decoder_channels=max(8, 128 // by),
        decoder_input_channels=64,
        sampling_rate=48_000,
    )


def write(folder: Path, by: int, dtype: torch.dtype) -> None:
    """The three stages as a cascade on disk."""
    from tests.support.tiny_checkpoints import tiny_text_encoder, tiny_tokenizer

    stages = []
    for name, steps in STEPS.items():
        for part, module in stage_parts(reduced(VARIANTS[name], by), 1024 // by).items():
            module.to(dtype).save_pretrained(folder / "stages" / name / part)
        stages.append({"name": name, "path": f"stages/{name}", "steps": steps})
    codec(by).save_pretrained(folder / "codec")
    tiny_text_encoder(width=1024 // by).save_pretrained(folder / "text_encoder")
    tiny_tokenizer().save_pretrained(folder / "tokenizer")
    description = {
        "format": 1,
        "name": "full-size",
        "stages": stages,
        "schedule": {"steps": 8, "shift": 3.0},
        "tail_s": 0.0,
    }
    (folder / "cascade.json").write_text(json.dumps(description), encoding="utf-8")


def request(seed: int, bars: int, stages: tuple[str, ...] = ()) -> GenerateRequest:
    """What is asked of ours."""
    return GenerateRequest(prompt="dusty breakbeat", bars=bars, seed=seed, stages=stages)


def stock_call(cascade: Cascade, bars: int) -> Any:
    """Asks the same of the stock pipeline around L's own modules and the same codec weights, for a seed."""
    from diffusers import AceStepPipeline, AutoencoderOobleck, FlowMatchEulerDiscreteScheduler

    stage = cascade.stages["l"]
    autoencoder = AutoencoderOobleck.from_pretrained(cascade.spec.codec).to(
        stage.like.device, stage.like.dtype
    )
    pipeline = AceStepPipeline(
        vae=autoencoder.eval(),
        text_encoder=cascade.text_encoder,
        tokenizer=cascade.tokenizer,
        transformer=stage.transformer,
        condition_encoder=stage.condition_encoder,
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0),
    )
    pipeline.set_progress_bar_config(disable=True)

    def call(seed: int, **options: Any) -> Any:
        return pipeline(
            "dusty breakbeat",
            audio_duration=bars * 2.0,
            bpm=120,
            timesignature="4",
            num_inference_steps=8,
            shift=3.0,
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(seed),
            **options,
        )

    return call


def same(cascade: Cascade, request: GenerateRequest, stocked: Any) -> None:
    """Asserts that our L and the stock pipeline's make the same of a request."""
    within = run_rounding(cascade, 8)
    ours = cascade.latents(request).float().cpu()
    theirs = stocked(request.seed, output_type="latent").audios.float().cpu()
    must_agree("L alone: latents", ours, theirs, within)
    audio, theirs = cascade.generate(request)[0].audio, stocked(request.seed).audios[0].float().cpu()
    must_agree("L alone: audio", at_level_of(audio, theirs), theirs, within)


def timed(call: Any, repeats: int) -> tuple[float, Any]:
    """Seconds of the fastest repeat after a warm-up, and its result."""
    call(0)
    best, result = float("inf"), None
    for n in range(1, repeats + 1):
        start = time.perf_counter()
        made = call(n)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if time.perf_counter() - start < best:
            best, result = time.perf_counter() - start, made
    return best, result


def main() -> None:
    """Parse the command line, build, time and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=240.0, help="length of the song (default %(default)s)"
    )
    parser.add_argument(
        "--reduce", type=int, default=1 if torch.cuda.is_available() else 8, help="divide sizes by"
    )
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    diffusers_logging.set_verbosity_error()
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    bars = max(1, round(args.seconds / args.reduce / 2))
    torch.manual_seed(0)
    if dtype != torch.float32:
        with tempfile.TemporaryDirectory() as folder:  # through many layers bfloat16 hides much
            write(Path(folder), 8, torch.float32)
            small = Cascade.load(folder, stages=("l",), dtype=torch.float32)
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                same(small, request(1, 4, ("l",)), stock_call(small, 4))
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), args.reduce, dtype)
        cascade = Cascade.load(folder, stages=("l", "m", "s"))
        stocked = stock_call(cascade, bars)
        same(cascade, request(1, bars, ("l",)), stocked)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        total, takes = timed(lambda n: cascade.generate(request(n, bars)), args.repeats)
        print(f"{bars * 2} s song, sizes / {args.reduce}, {dtype}, {cascade.device}")
        for part, seconds in takes[0].seconds.items():
            print(f"  {part:8} {seconds:7.3f} s")
        print(f"  total    {total:7.3f} s")
        if torch.cuda.is_available():
            print(f"  peak     {torch.cuda.max_memory_allocated() / 1e9:7.1f} GB")
        ours, _ = timed(lambda n: cascade.generate(request(n, bars, ("l",))), args.repeats)
        theirs, _ = timed(stocked, args.repeats)
        print(f"L alone, 8 steps: stock {theirs:.3f} s, ours {ours:.3f} s, {theirs / ours:.2f}×")
        print(f"L→M→S against stock L: {theirs / total:.2f}×")
        ours, _ = timed(lambda n: cascade.latents(request(n, bars, ("l",))), args.repeats)
        total, _ = timed(lambda n: cascade.latents(request(n, bars)), args.repeats)
        theirs, _ = timed(lambda n: stocked(n, output_type="latent"), args.repeats)
        print(f"without decoding: L {theirs / ours:.2f}×, L→M→S {theirs / total:.2f}×")


if __name__ == "__main__":
    main()

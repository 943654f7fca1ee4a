"""Our engine against the stock AceStepPipeline on the CPU: same random weights, settings, seeds; whole calls.

    python -m tests.benchmarks.engine [--width 512] [--layers 8] [--seconds 30] [--repeats 3] [--cpu-time]

First asserts that both give the same latents and the same audio, up to rounding and one gain, and ends
without a figure where they do not. Then prints seconds and ratios; the order of the two alternates, and the
fastest of the repeats counts.
`new prompt` changes prompt and seed every call, so that only the silence reference is kept; `same prompt`
changes the seed only. On a busy machine `--cpu-time` counts the process's CPU seconds on one thread.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.agreement import at_level_of, must_agree, run_rounding
from tests.support.closeness import GUIDED
from tests.support.stock import audio_s

IMPORT_LIMIT_S = 0.3


def pipeline(width: int, layers: int, turbo: bool, codec_channels: int) -> Any:
    """A stock pipeline of middling size: ACE-Step's shape, 25 Hz latents of 64 channels."""
    import torch
    from diffusers import (
        AceStepConditionEncoder,
        AceStepPipeline,
        AceStepTransformer1DModel,
        AutoencoderOobleck,
        FlowMatchEulerDiscreteScheduler,
    )

    from tests.support.tiny_checkpoints import tiny_text_encoder, tiny_tokenizer

    torch.manual_seed(0)
    heads = {
        "num_attention_heads": width // 64,
        "num_key_value_heads": max(1, width // 128),
        "head_dim": 64,
        "hidden_size": width,
        "intermediate_size": 3 * width,
    }
    condition_encoder = AceStepConditionEncoder(text_hidden_dim=256, **heads)
    # the latents of silence, which a checkpoint brings along: as zeros they would stand for another sound
    condition_encoder.silence_latent = torch.randn(1, 15_000, 64).cumsum(1).sin()
    return AceStepPipeline(
        vae=AutoencoderOobleck(
            encoder_hidden_size=128,
            downsampling_ratios=[2, 4, 4, 6, 10],
            channel_multiples=[1, 1, 2, 2, 4],
            decoder_channels=codec_channels,
            decoder_input_channels=64,
            sampling_rate=48_000,
        ).eval(),
        text_encoder=tiny_text_encoder(width=256).eval(),
        tokenizer=tiny_tokenizer(),
        transformer=AceStepTransformer1DModel(num_hidden_layers=layers, is_turbo=turbo, **heads).eval(),
        condition_encoder=condition_encoder.eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0),
    )


def fastest(
    calls: dict[str, Callable[[int], Any]], repeats: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Seconds of each call's fastest repeat; the first, unmeasured round warms up."""
    best = dict.fromkeys(calls, float("inf"))
    for round_number in range(repeats + 1):
        order = list(calls.items())
        for name, call in order if round_number % 2 else reversed(order):
            start = clock()
            call(round_number)
            if round_number:
                best[name] = min(best[name], clock() - start)
    return best


def compare(args: argparse.Namespace, turbo: bool, folder: Path) -> None:
    """Print the comparison for one kind of model."""
    import torch

    from acestep import Cascade, GenerateRequest

    stock = pipeline(args.width, args.layers, turbo, args.codec_channels)
    stock.set_progress_bar_config(disable=True)
    stock.save_pretrained(folder)
    cascade = Cascade.load(folder, device="cpu")
    steps = 8 if turbo else args.base_steps
    clock = time.process_time if args.cpu_time else time.perf_counter
    bars = max(1, round(args.seconds / 2) - 1)

    def request(n: int, fresh: bool) -> GenerateRequest:
        return GenerateRequest(prompt=f"dusty breakbeat{n * fresh}", bars=bars, seed=n, steps=steps)

    duration_s = audio_s(cascade, request(0, False))

    def theirs(n: int, fresh: bool, **options: Any) -> Any:
        return stock(
            request(n, fresh).prompt,
            audio_duration=duration_s,
            bpm=120,
            timesignature="4",
            num_inference_steps=steps,
            shift=3.0 if turbo else 1.0,
            guidance_scale=1.0 if turbo else 7.0,
            generator=torch.Generator().manual_seed(n),
            **options,
        ).audios

    label = "turbo" if turbo else "base, guided"
    within = run_rounding(cascade, steps * (1 if turbo else GUIDED))
    for n, fresh in ((3, True), (4, False)):
        latents, audio = cascade.latents(request(n, fresh)), cascade.generate(request(n, fresh))[0].audio
        must_agree(f"{label}: latents", latents, theirs(n, fresh, output_type="latent"), within)
        stock_audio = theirs(n, fresh)[0]
        must_agree(f"{label}: audio", at_level_of(audio, stock_audio), stock_audio, within)
    print(f"{label}: {duration_s:.0f} s of audio, {steps} steps, the same latents and audio on both sides")
    for fresh in (True, False):
        calls = {
            "stock": lambda n, fresh=fresh: theirs(n, fresh),
            "ours": lambda n, fresh=fresh: cascade.generate(request(n, fresh)),
        }
        parts = {
            "stock": lambda n, fresh=fresh: theirs(n, fresh, output_type="latent"),
            "ours": lambda n, fresh=fresh: cascade.latents(request(n, fresh)),
        }
        for what, timed in (("whole call", calls), ("latents only", parts)):
            best = fastest(timed, args.repeats, clock)
            ratio = best["stock"] / best["ours"]
            prompt = "new prompt" if fresh else "same prompt"
            figures = f"stock {best['stock']:6.2f} s  ours {best['ours']:6.2f} s  {ratio:.2f}×"
            print(f"  {prompt:11} {what:12}  {figures}", flush=True)


def import_seconds() -> float:
    """How long `import acestep` takes in a fresh interpreter, beyond starting it; torch must stay out."""
    code = (
        "import time; t = time.perf_counter(); import acestep; s = time.perf_counter() - t; import sys;"
        "assert 'torch' not in sys.modules; print(s)"
    )
    return min(float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3))


def main() -> None:
    """Parse the command line and print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=512, help="width of the DiT (default %(default)s)")
    parser.add_argument("--layers", type=int, default=8, help="layers of the DiT (default %(default)s)")
    parser.add_argument("--codec-channels", type=int, default=32, help="decoder width (published: 128)")
    parser.add_argument("--seconds", type=float, default=30.0, help="audio per call (default %(default)s)")
    parser.add_argument("--base-steps", type=int, default=16, help="steps of the base model (published: 50)")
    parser.add_argument("--repeats", type=int, default=3, help="measured rounds (default %(default)s)")
    parser.add_argument("--cpu-time", action="store_true", help="measure CPU seconds on one thread")
    args = parser.parse_args()
    if args.cpu_time:
        import torch

        torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for turbo in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            compare(args, turbo, Path(folder) / "checkpoint")
    print(f"import acestep: {import_seconds():.3f} s without torch (limit {IMPORT_LIMIT_S} s)")


if __name__ == "__main__":
    main()

"""How fast adapters train, and how well they take over a style: `python -m tests.benchmarks.lora`.

    --speed     audio-seconds a second, against a plain loop over the stock modules and peft
    --quality   30 loops in one style → adapter; held-out loss, timbre distance, tempo and key

Without a flag, both. Prints figures and, with --json, writes them. Before any speed is printed, it asserts
that both loops compute the same loss and the same gradients.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acestep.checkpoints.schedule import legs
from acestep.hearing.measure import measure
from acestep.model.cascade import Cascade
from acestep.music.key import Key
from acestep.request import GenerateRequest
from acestep.training import lora
from acestep.training.velocity import Velocity
from lora_studio.config import TrainConfig
from lora_studio.data.examples import ExampleSet, generator
from lora_studio.data.preparing import prepare
from lora_studio.data.segments import Limits
from lora_studio.data.sound import read_piece
from lora_studio.training.planning import NoiseLevels, levels_for
from lora_studio.training.stage_run import StageRun, TrainingPlan, fixed_pairs, velocity_loss
from lora_studio.training.train import train
from tests.benchmarks.agreement import must_agree
from tests.benchmarks.lora_style import write_style
from tests.support.closeness import rounding

TRAINED, HELD_OUT, SEEDS = 30, 8, 30  # ten clips tell the key to no better than ±2
BATCH = 4


class PlainLoop:
    """What a tutorial would write: stock diffusers modules and peft over cached latents and contexts.

    Text encoder, condition encoder, masks and RoPE are run in every step, as trainers without a cache of
    conditions do. With `half`, under PyTorch's bfloat16 autocast.
    """

    def __init__(self, cascade: Cascade, library: ExampleSet, stage: str, config: TrainConfig) -> None:
        from peft import LoraConfig

        self.cascade, self.library, self.stage = cascade, library, cascade.stages[stage]
        self.net = self.stage.transformer
        self.net.requires_grad_(False)
        self.net.add_adapter(
            LoraConfig(
                r=config.rank,
                lora_alpha=int(config.resolved_alpha),
                target_modules=list(config.target_modules),
            )
        )
        self.parameters = [p for p in self.net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=config.learning_rate, betas=(0.9, 0.99))

    def step(self, number: int, examples: list[Any], half: bool = False, encode: bool = False) -> float:
        """One step; gives the seconds of audio. `encode` takes latents from the audio, as without a cache."""
        random = generator("plain", number)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            latents = self._padded(examples, encode)
            noise = torch.randn(latents.shape, generator=random)
            t = torch.sigmoid(torch.randn(len(latents), generator=random) - 0.4)
            loss = self.loss(examples, latents, noise, t)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return sum(e.seconds for e in examples)

    def _padded(self, examples: list[Any], encode: bool) -> torch.Tensor:
        each = [self.encoded(e) if encode else self.library.cache.get(e.latents_key) for e in examples]
        return torch.nn.utils.rnn.pad_sequence(each, batch_first=True)

    def loss(
        self, examples: list[Any], latents: torch.Tensor, noise: torch.Tensor, t: torch.Tensor
    ) -> torch.Tensor:
        """Mean squared error of the velocity of latents [B, T, C] at levels t [B]."""
        tokenizer, encoder = self.cascade.tokenizer, self.stage.condition_encoder
        context = torch.nn.utils.rnn.pad_sequence(
            [self.library.context(self.stage, e) for e in examples], batch_first=True
        )
        with torch.no_grad():
            text = tokenizer([e.text for e in examples], padding=True, return_tensors="pt")
            words = self.cascade.text_encoder(input_ids=text.input_ids).last_hidden_state
            lyric = tokenizer([e.lyrics for e in examples], padding=True, return_tensors="pt")
            frames = self.library.reference_frames
            states, _ = encoder(
                text_hidden_states=words,
                text_attention_mask=text.attention_mask.bool(),
                lyric_hidden_states=self.cascade.text_encoder.get_input_embeddings()(lyric.input_ids),
                lyric_attention_mask=lyric.attention_mask.bool(),
                refer_audio_acoustic_hidden_states_packed=encoder.silence_latent[:, :frames].expand(
                    len(examples), -1, -1
                ),
                refer_audio_order_mask=torch.arange(len(examples)),
            )
        level = t[:, None, None]
        noisy = level * noise + (1 - level) * latents
        found = self.net(noisy, t, t, states, context, return_dict=False)[0]
        return (found.float() - (noise - latents)).square().mean()

    def encoded(self, example: Any) -> torch.Tensor:
        audio = read_piece(self.library.dataset.root / example.sample, 0.0, example.seconds)
        latents: torch.Tensor = self.cascade.codec.encode(torch.from_numpy(audio)[None])[0]
        return latents


def speed(base: str, blocks: int = 4, steps: int = 3) -> dict[str, Any]:
    """Audio-seconds per CPU-second of `lora_studio` and of the plain loops, in turns, on each stage."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_style(Path(folder) / "loops", range(8))
        dataset = prepare(Path(folder) / "loops", limits=Limits(longest_s=15))
        for name in Cascade.load(base, device="cpu").stages:
            rates = rates_of(base, name, dataset, Path(folder), blocks, steps)
            figures[name] = {which: float(np.median(found)) for which, found in rates.items()}
            ours = figures[name]["ours, bfloat16"]
            print(f"speed, stage {name}: {ours:.1f} audio-s per CPU-s", flush=True)
            for which, rate in list(figures[name].items())[1:]:
                print(f"    {ours / rate:.2f}× {which} ({rate:.1f})", flush=True)
    return figures


def rates_of(
    base: str, name: str, dataset: Any, folder: Path, blocks: int, steps: int
) -> dict[str, list[float]]:
    """Audio-seconds per CPU-second by loop, one figure a block; every block is the same batches for all."""
    config = TrainConfig(data=str(folder), name="speed", device="cpu", batch_size=BATCH, learning_rate=5e-4)
    ours, runs = {}, {}
    for precision in ("bfloat16", "float32"):
        cascade = Cascade.load(base, device="cpu", stages=[name])
        library = ExampleSet(cascade, dataset, folder / "cache")
        library.fill()
        library.prepare_stage(cascade.stages[name])
        runs[precision] = _begun(cascade.stages[name], library, config, folder, precision == "bfloat16")
        ours[f"ours, {precision}"] = runs[precision]
    cascade = Cascade.load(base, device="cpu", stages=[name])
    library = ExampleSet(cascade, dataset, folder / "cache")
    library.fill()
    plain = PlainLoop(cascade, library, name, config)
    _same(plain, runs)
    loops: dict[str, Callable[[int, list[Any]], float]] = {
        **{which: lambda number, batch, run=run: _heard(run) for which, run in ours.items()},
        "plain loop, float32": lambda number, batch: plain.step(number, batch),
        "plain loop, bfloat16 autocast": lambda number, batch: plain.step(number, batch, half=True),
        "plain loop, float32, audio encoded": lambda number, batch: plain.step(number, batch, encode=True),
    }
    rates: dict[str, list[float]] = {which: [] for which in loops}
    for block in range(blocks + 1):  # the first block warms up
        numbers = range(block * steps, (block + 1) * steps)
        batches = {number: runs["bfloat16"].order.batch(number) for number in numbers}
        for which, loop in loops.items():
            started = time.process_time()
            heard = sum(loop(number, batches[number]) for number in numbers)
            if block:
                rates[which].append(heard / (time.process_time() - started))
    return rates


def _same(plain: PlainLoop, runs: dict[str, StageRun]) -> None:
    """Asserts that all loops compute one loss and one gradient from one example, noise and adapter.

    One example: a plain loop learns from padding too. An adapter of chance: a new one's output is zero.
    """
    name, example = plain.stage.name, plain.library.examples[0]
    latents = plain.library.cache.get(example.latents_key)[None]
    stored = 2.0**-11  # latents may be kept in half precision
    must_agree(f"stage {name}: latents of audio", latents[0], plain.encoded(example), stored)
    noise, t = torch.randn(latents.shape, generator=generator("same")), torch.tensor([0.6])
    net = plain.net
    own = {n.replace(".default", ""): p for n, p in net.named_parameters() if p.requires_grad}
    weights = {n: torch.randn(p.shape, generator=generator("same", n)) * 0.02 for n, p in own.items()}
    with torch.no_grad():
        for parameter_name, parameter in own.items():
            parameter.copy_(weights[parameter_name])
    loss = plain.loss([example], latents, noise, t)
    slopes = torch.autograd.grad(loss, list(own.values()))
    theirs = torch.cat([slope.flatten() for slope in slopes])
    config = net.config
    for precision, run in runs.items():
        before = {n: w.clone() for n, w in lora.state(run.net).items()}
        lora.load_state(run.net, weights)
        batch = run.library.batch(run.stage, [example])
        found = velocity_loss(run.velocity, batch, t, noise, batch.condition)
        parameters = dict(lora.named_parameters(run.net))
        ours = torch.cat([s.flatten() for s in torch.autograd.grad(found, [parameters[n] for n in own])])
        lora.load_state(run.net, before)
        # forward and back, every addition rounds; in bfloat16 a layer does, as products add in float32
        half = precision == "bfloat16"
        sums = 2 * config.num_hidden_layers * (1 if half else config.intermediate_size)
        within = rounding(sums, torch.bfloat16 if half else torch.float32)
        must_agree(f"stage {name}, {precision}: loss", found, loss, within)
        must_agree(f"stage {name}, {precision}: gradients", ours, theirs, within)


def _begun(stage: Any, library: ExampleSet, config: TrainConfig, folder: Path, half: bool) -> StageRun:
    """A run before its first step."""
    from accelerate import Accelerator

    plan = TrainingPlan(
        NoiseLevels("logit_normal"),
        0.0,
        BATCH,
        False,
        None,
        None,
        10**6,
        identity="speed",
        half_precision=half,
    )
    run = StageRun(stage, library, config, plan, folder / f"{stage.name}-{half}", Accelerator(cpu=True))
    run.begin()
    return run


def _heard(run: StageRun) -> float:
    before = run.state.audio_seconds
    run.step()
    return run.state.audio_seconds - before


def timbre(audio: np.ndarray) -> np.ndarray:
    """Mean and spread over time of 48 mel bands in dB, loudness removed: what a style sounds like."""
    import librosa

    mel = librosa.feature.melspectrogram(y=audio.mean(axis=0), sr=48_000, n_mels=48, fmax=16_000)
    decibels = librosa.power_to_db(mel, ref=float(mel.max()) or 1.0, top_db=70)
    return np.concatenate([decibels.mean(axis=1) - decibels.mean(), decibels.std(axis=1)])


def quality(base: str, minutes: float, keep: Path | None = None) -> dict[str, Any]:
    """Train on 30 loops; compare with and without the adapter on what it never heard."""
    import soundfile

    with tempfile.TemporaryDirectory() as temporary:
        folder = keep or Path(temporary)
        write_style(folder / "loops", range(TRAINED))
        held_out = write_style(folder / "held_out", range(900, 900 + HELD_OUT))
        config = TrainConfig(
            data=str(folder / "loops"), name="chip-arps", base=base, home=str(folder / "home"),
            minutes=minutes, device="cpu", tensorboard=False,
        )  # fmt: skip
        started = time.monotonic()
        result = train(config, on_tick=_tell)
        total_s = time.monotonic() - started
        print(f"quality: folder to adapter in {total_s / 60:.1f} minutes")
        strength, heard = result.summary["strength"], result.summary["kept"]
        print(f"kept at {strength:g} of what was trained; energy on the key's tones, clips in tempo:")
        for one in heard:
            print(f"  at {one['strength']:g}: {one['in_key']:.1%}, {one['in_tempo']:.0%}")
        losses = held_out_losses(base, result.folder, folder)
        style = np.stack([timbre(soundfile.read(path)[0].T) for path in held_out])
        clips = compare_clips(base, result.folder, style)
        return {
            "minutes": total_s / 60, "strength": strength, "training": result.summary["stages"],
            **losses, **clips,
        }  # fmt: skip


def _tell(tick: Any) -> None:
    if tick.validation is not None:
        print(
            f"  stage {tick.stage} step {tick.step}/{tick.total_steps} held out {tick.validation:.4f}",
            flush=True,
        )


def held_out_losses(base: str, adapter: Path, folder: Path) -> dict[str, Any]:
    """Loss on files that were in no training folder, with and without, over the same noise."""
    cascade = Cascade.load(base, device="cpu")
    dataset = prepare(folder / "held_out", limits=Limits(longest_s=cascade.spec.max_s or 20))
    library = ExampleSet(cascade, dataset, folder / "home" / "cache" / "lora_studio")
    library.fill()
    name = cascade.load_adapter(adapter)
    way = {leg.stage: leg.sigmas for leg in legs(cascade.spec.plans())}

    @torch.no_grad()
    def loss(stage: Any, pairs: list[Any]) -> float:
        total, velocity = 0.0, Velocity(stage.transformer)
        for pair in pairs:
            batch = library.batch(stage, [pair.example])
            noise = pair.noise(batch.latents.shape[1:])[None]
            total += float(velocity_loss(velocity, batch, torch.tensor([pair.t]), noise, batch.condition))
        return total / len(pairs)

    stages: dict[str, Any] = {}
    for stage_name, stage in cascade.stages.items():
        levels = levels_for("auto", stage.is_turbo, way[stage_name])
        pairs = fixed_pairs([e for e in library.examples if not e.stem_aware], 64, levels, 1)
        plain = loss(stage, pairs)
        with cascade.adapters.applied([(name, 1.0)]):
            adapted = loss(stage, pairs)
        stages[stage_name] = {"base": plain, "adapter": adapted, "better": 1 - adapted / plain}
        print(
            f"held-out files, stage {stage_name}: {plain:.4f} → {adapted:.4f}: "
            f"{1 - adapted / plain:.1%} lower"
        )
    better = 1 - sum(s["adapter"] for s in stages.values()) / sum(s["base"] for s in stages.values())
    print(f"held-out files, all stages: {better:.1%} lower (asked: 10 %)")
    return {"held_out": stages, "held_out_better": better}


def compare_clips(base: str, adapter: Path, style: np.ndarray) -> dict[str, Any]:
    """Seeds with and without: distance to the style, tempo error, key."""
    among = [np.linalg.norm(np.delete(style, i, 0) - one, axis=1).mean() for i, one in enumerate(style)]
    cascade = Cascade.load(base, device="cpu")
    name = cascade.load_adapter(adapter)
    random = np.random.default_rng(5)
    closer, rows = 0, []
    for seed in range(SEEDS):
        key = Key(int(random.integers(12)), "minor")
        request = GenerateRequest(
            prompt="chip arps", bpm=float(random.integers(84, 132)), bars=4, key=key, seed=seed
        )
        row: dict[str, Any] = {}
        for which, adapters in (("base", ()), ("adapter", ((name, 1.0),))):
            take = cascade.generate(dataclasses.replace(request, adapters=adapters))[0]
            audio = take.audio[:, : request.grid.samples()]
            heard = measure(audio, grid=request.grid, key=key)
            row[which] = {
                "distance": float(np.linalg.norm(timbre(audio) - style, axis=1).mean()),
                "tempo_error_pct": None if heard.bpm is None else abs(heard.bpm / request.bpm - 1) * 100,
                "key_match": None
                if heard.key is None
                else set(heard.key.pitch_classes) == set(key.pitch_classes),
            }
        closer += row["adapter"]["distance"] < row["base"]["distance"]
        rows.append(row)
    print(f"closer to the style: {closer} of {SEEDS} seeds (asked: {0.9 * SEEDS:.0f})")
    print(f"  the style's own files are {np.mean(among):.1f} from each other")
    for which in ("base", "adapter"):
        distance = np.mean([row[which]["distance"] for row in rows])
        errors = [row[which]["tempo_error_pct"] for row in rows]
        right = sum(error is not None and error < 0.5 for error in errors)
        keys = sum(bool(row[which]["key_match"]) for row in rows)
        print(f"  {which}: distance {distance:.1f}, tempo within 0.5 % {right}/{SEEDS}, key {keys}/{SEEDS}")
    return {"closer": closer, "among_style": float(np.mean(among)), "clips": rows}


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--base", default="nano")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--keep", type=Path, help="folder for loops, adapter and clips")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    both = arguments.speed == arguments.quality
    figures: dict[str, Any] = {"torch_threads": torch.get_num_threads()}
    if both or arguments.speed:
        figures["speed"] = speed(arguments.base)
    if both or arguments.quality:
        figures["quality"] = quality(arguments.base, arguments.minutes, arguments.keep)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

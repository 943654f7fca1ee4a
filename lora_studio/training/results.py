"""What a finished run leaves beside the weights: loss curves, cards, previews, and the effect."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acestep.drawing import marks, sound, style
from acestep.drawing.plot import dress
from acestep.model.cascade import Cascade
from acestep.model.stage import Stage
from acestep.music.grid import Grid
from acestep.request import GenerateRequest
from acestep.training import lora
from acestep.training.velocity import Velocity
from lora_studio.config import TrainConfig
from lora_studio.data.dataset import Dataset, Sample
from lora_studio.data.examples import ExampleSet
from lora_studio.training.checkpoints import RunState
from lora_studio.training.planning import shape_of
from lora_studio.training.stage_run import Pair, mean_loss

PREVIEW_SEED = 1000  # of the first clip before and after
EFFECT_PAIRS = 8  # of the held-out pairs, whose velocities with and without the adapter are compared


def plot_losses(states: dict[str, RunState], path: Path) -> None:
    """Loss curves of every stage as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3 * len(states)), layout="constrained")
    for axes, (name, state) in zip(
        figure.subplots(len(states), squeeze=False)[:, 0], states.items(), strict=True
    ):
        losses = np.array(state.losses)
        window = max(1, len(losses) // 50)
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid") if len(losses) else losses
        shade = style.colour("wave-peak"), style.colour("wave-rms")
        axes.plot(np.arange(1, len(losses) + 1), losses, color=shade[0], linewidth=0.6, label="training")
        axes.plot(np.arange(window, window + len(smooth)), smooth, color=shade[1], label="training, smoothed")
        steps, values = zip(*state.validations, strict=True)
        axes.plot(steps, values, "o-", color=style.colour("accent"), label="held-out files, fixed pairs")
        axes.axhline(state.base_loss, color=style.colour("soft"), linestyle=":", label="base model")
        axes.set(title=f"stage {name}", xlabel="step", ylabel="loss")
        axes.legend(fontsize=7, facecolor=style.colour("raised"), labelcolor=style.colour("ink"))
    dress(figure)
    figure.savefig(path, format="png", dpi=110)


@torch.no_grad()
def velocities(velocity: Velocity, library: ExampleSet, stage: Stage, pairs: Sequence[Pair]) -> torch.Tensor:
    """The stage's velocities on a few fixed pairs, as one vector: to measure equality and effect."""
    found = []
    for pair in pairs[:EFFECT_PAIRS]:
        batch = library.batch(stage, [pair.example]).to(stage.like.device)
        noise = pair.noise(batch.latents.shape[1:])[None].to(batch.latents)
        noisy = pair.t * noise + (1 - pair.t) * batch.latents
        t = torch.full((1,), pair.t).to(batch.latents)
        result = velocity(noisy, t, batch.condition, batch.context, batch.frame_mask, batch.condition_mask)
        found.append(result.float().flatten().cpu())
    return torch.cat(found)


def effect(with_adapter: torch.Tensor, without: torch.Tensor) -> float:
    """Relative change of the velocity."""
    return float((with_adapter - without).norm() / without.norm().clamp(min=1e-12))


def measured_effect(
    library: ExampleSet,
    stage: Stage,
    pairs: Sequence[Pair],
    config: TrainConfig,
    weights: dict[str, torch.Tensor],
) -> tuple[float, float, torch.Tensor]:
    """Effect of an adapter's weights on the stage as it plays, their loss, and the velocities they give."""
    velocity = Velocity(stage.transformer)
    plain = velocities(velocity, library, stage, pairs)
    lora.attach(stage.transformer, shape_of(config))
    try:
        lora.load_state(stage.transformer, weights)
        changed = velocities(velocity, library, stage, pairs)
        loss = mean_loss(velocity, library, stage, pairs)
    finally:
        lora.detach(stage.transformer)
    return effect(changed, plain), loss, changed


def preview_requests(
    dataset: Dataset, config: TrainConfig, count: int, longest_s: float = 30.0
) -> list[GenerateRequest]:
    """At most `count` requests for before and after: captions, tempi and keys, of held-out files first."""
    chosen: dict[str, Sample] = {}
    for sample in [*dataset.used("held_out"), *dataset.used("train")]:
        chosen.setdefault(sample.caption, sample)
    requests = []
    for number, sample in enumerate(list(chosen.values())[:count]):
        from lora_studio.data.captions import with_trigger

        bpm = sample.bpm or 120.0
        bars = config.preview_bars
        while Grid(bpm, sample.signature, bars).duration_s > longest_s and bars > 1:
            bars /= 2
        requests.append(
            GenerateRequest(
                prompt=with_trigger(
                    sample.caption, sample.custom_tag or dataset.custom_tag, dataset.tag_position
                ),
                bpm=bpm,
                signature=sample.signature,
                bars=bars,
                key=sample.key,
                seed=PREVIEW_SEED + number,
            )
        )
    return requests


def preview(cascade: Cascade, request: GenerateRequest) -> np.ndarray:
    """One clip [C, N] of exactly the grid's length."""
    take = cascade.generate(request)[0]
    return take.audio[:, : request.grid.samples(take.sample_rate_hz)]


def write_preview(cascade: Cascade, audio: np.ndarray, path: Path) -> None:
    """Writes a clip [C, N] that the cascade made."""
    import soundfile

    rate_hz = cascade.codec.sample_rate_hz
    soundfile.write(path, audio.T, rate_hz, subtype="PCM_24", format="WAV")


def card(config: TrainConfig, dataset: Dataset, summary: dict[str, Any]) -> str:
    """README.md of the adapter: what it is, how it was made, how to use it."""
    stages = "\n".join(
        f"| {name} | {s['parameters']:,} | {s['steps']} | {s['base_loss']:.4f} | {s['loss']:.4f} "
        f"| {1 - s['loss'] / s['base_loss']:+.1%} | {s['effect']:.1%} |"
        for name, s in summary["stages"].items()
    )
    trigger = f"Trigger word: `{config.trigger}` – put it into the prompt.\n" if config.trigger else ""
    kind = ", DoRA" if config.dora else ""
    return f"""# {config.name}

A LoRA adapter for ACE-Step (`{summary["base"]}`), trained on {summary["trained_files"]} files
({dataset.seconds / 60:.1f} minutes of audio with those held out) from “{dataset.name}”.
{trigger}
| stage | parameters | steps | held-out loss, base | with adapter | better by | effect on velocity |
|---|---|---|---|---|---|---|
{stages}

Rank {config.rank}, alpha {config.resolved_alpha:g}, layers: {config.targets}{kind}.
{summary["held_out_files"]} files were held out; losses are over the same noise and noise levels each time.
{_strength(summary)}Trained for {summary["seconds"] / 60:.1f} minutes on {summary["device"]},
{summary["audio_seconds"]:,.0f} seconds of audio seen.

## Use

```bash
acestep generate "{summary.get("prompt") or config.trigger or dataset.name}" --adapter "{config.name}:1.0"
```

`card.html` has the previews to hear. `<stage>/` holds the PEFT adapter,
`<stage>.comfyui.safetensors` and `<stage>.diffusers.safetensors` the same
weights in those programs' spelling. `previews/` holds clips with and without, made from the same seed.

The audio it was trained on decides who may use it and for what: that is for its owner to say.
"""


def page(config: TrainConfig, folder: Path, summary: dict[str, Any]) -> str:
    """card.html of the adapter: its previews to hear and see before and after, its figures and curves."""
    head = ("stage", "parameters", "steps", "held-out loss, base", "with adapter", "effect on velocity")
    rows = [
        (name, f"{s['parameters']:,}", str(s["steps"]), f"{s['base_loss']:.4f}", f"{s['loss']:.4f}",
         f"{s['effect']:.1%}")
        for name, s in summary["stages"].items()
    ]  # fmt: skip
    trigger = f" Trigger word: {summary['trigger']}." if summary["trigger"] else ""
    told = (
        f"A LoRA adapter for ACE-Step ({summary['base']}), trained on {summary['trained_files']} files, "
        f"{summary['held_out_files']} held out.{trigger}"
    )
    body = [f"<h1>{html.escape(config.name)}</h1>", f"<p>{html.escape(told)}</p>"]
    clips = [_preview_card(folder, path) for path in sorted((folder / "previews").glob("*_before.wav"))]
    if clips:
        body += ["<h2>Before and after, from the same seed</h2>", *clips]
    body += [
        "<h2>Training</h2>",
        style.table(head, rows),
        '<div class="card"><img src="loss.png" alt="Loss of each stage over its steps"></div>',
    ]
    return style.document(config.name, body)


def _preview_card(folder: Path, before: Path) -> str:
    cards = []
    for path in (before, before.with_name(before.name.replace("_before", "_after"))):
        picture = sound.picture_of(path)
        word = path.stem.partition("_")[2]
        cards.append(
            f'<div class="card"><h3>{word}</h3>{marks.wave(picture)}{marks.spectrum(picture)}'
            f'<audio controls preload="none" src="{path.relative_to(folder).as_posix()}"></audio></div>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _strength(summary: dict[str, Any]) -> str:
    """What was heard at which strength, and what was kept."""
    rows = "".join(
        f"| {one['strength'] or 'base'} | {'–' if one['in_key'] is None else format(one['in_key'], '.0%')} "
        f"| {one['in_tempo']:.0%} |\n"
        for one in summary.get("kept", ())
    )
    if not rows:
        return ""
    heard = any(one["strength"] == summary["strength"] for one in summary["kept"])
    why = (
        "scale 1 is the most at which clips were as much in key and in tempo as the base's"
        if heard
        else "clips were not listened to at that; at more they fell short of the base, or time was up"
    )
    return (
        f"Kept is {summary['strength']:g} of what was trained: {why}.\n\n"
        f"| strength | energy on the key's tones | clips in tempo |\n|---|---|---|\n{rows}\n"
    )

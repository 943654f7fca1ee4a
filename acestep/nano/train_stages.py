"""Training of text encoder, condition encoders and the three stages, resumable to the bit.

The text encoder comes from `train_text` and rests. For `shared_steps` one transformer learns all noise
levels, with fewer layers where less is left to decide; then it is split into L, M and S, which go on alone,
each on its interval – in one process, or (`only`) in a process each.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from acestep.model.codec.spectral import CHANNELS, GRADING
from acestep.model.modules import ConditionEncoder, TextEncoder, Tokenizer, Transformer
from acestep.nano.batches import Batch, draw_batch
from acestep.nano.checkpoint import STAGES, Named, NanoConfig, NanoModules, build_transformer
from acestep.nano.latents import Example
from acestep.nano.network import conditions
from acestep.nano.running import Running
from acestep.nano.states import State
from acestep.training.velocity import Velocity, half_copy, half_is_fast

# blocks of the shared transformer that become a stage, and the noise levels it is trained on; the levels
# reach a little beyond the hand-over so that neither side meets an input it has never seen
DEPTH: dict[str, tuple[int, ...]] = {"l": (0, 1, 2, 3), "m": (0, 1, 3), "s": (0, 3)}
LEVELS: dict[str, tuple[float, float]] = {"l": (0.64, 1.0), "m": (0.31, 0.69), "s": (0.0, 0.36)}
PASS = {
    "l": 0.9,
    "m": 0.0,
    "s": -0.9,
}  # how much of x the velocity is, for white data in the stage's interval
# Chosen by hand for the embedded model; `acestep nano evaluate` measures what comes of a whole recipe.
ATTACK_WEIGHT = 2.0  # of a channel for attacks, beside a component's median of 1
ANCHOR = 24.0  # what stands in the constant channel of a token
CHANNEL_POWER = 0.5  # of the components' deviation: what is heard most is learned first
SHARES: dict[str, float] = {"l": 0.45, "m": 0.32, "s": 0.23}


@dataclass(frozen=True)
class StageRecipe:
    """How long and how fast; all schedules are functions of the step alone."""

    steps: int = 3000
    shared_steps: int = 0
    frames_per_batch: int = 2_048
    rate: float = 1e-3  # of AdamW; Muon's is twice that, its updates being scaled to AdamW's size
    warmup: int = 60
    hold: int = 0  # steps after which the rate falls as one over the square root of the step; 0: never
    ema: float = 0.99
    seed: int = 0
    only: str = ""  # after the split: train these stages only ("l", "ms"), so that each can have its process
    bfloat16: bool | None = None  # compute in a half-precision copy (None: where that is faster); weights and
    # optimizers stay in single precision
    device: str = "cpu"  # of what is computed; batches are drawn on the CPU, and a state goes on anywhere

    def rate_factor(self, step: int) -> float:
        """Warm up, hold, and fall linearly over the last two fifths; with `hold`, before them as well."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = (self.steps - step) / (0.4 * self.steps)
        open_end = (self.hold / max(step, self.hold)) ** 0.5 if self.hold else 1.0
        return float(np.clip(left, 0.02, 1.0)) * open_end


# goes on from finished weights, for as long as there is time
CARRIED = StageRecipe(rate=5e-4, warmup=200, hold=2000, ema=0.998)


class StageTraining:
    """Modules, their running mean, optimizers and position."""

    averaged: NanoModules

    def __init__(
        self,
        recipe: StageRecipe,
        config: NanoConfig,
        examples: list[Example],
        tokenizer: Tokenizer,
        silence: Tensor,
        text_encoder: TextEncoder | None = None,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        """`start` are the stages' first weights; they are drawn by lot where there are none."""
        torch.manual_seed(recipe.seed)
        self.recipe, self.config, self.tokenizer = recipe, config, tokenizer
        self.device = torch.device(recipe.device)
        self.half = half_is_fast(self.device) if recipe.bfloat16 is None else recipe.bfloat16
        self.examples, self.silence = examples, silence
        self.modules = NanoModules(config, len(tokenizer), names=("l",))
        if text_encoder is not None:
            self.modules.text_encoder = text_encoder
        _calm(self.modules)
        for encoder in self.modules.condition_encoders.values():
            encoder.silence_latent = silence.expand(1, encoder.silence_latent.shape[1], -1).clone()
        self.step = 0
        self.losses: dict[str, float] = {}
        self.running = Running()
        self.weights = channel_weights(examples).to(self.device)
        if recipe.shared_steps == 0:  # each stage starts with the gain of its own interval
            self.modules = split_stages(self.modules, config)
            _calm(self.modules)
        if start is not None:
            self.modules.load_state_dict(start)
        self.modules.to(self.device)
        self._begin()

    @property
    def split(self) -> bool:
        """Whether the stages have parted."""
        return len(self.modules.transformers) > 1

    def run(self, seconds: float, on_step: Callable[["StageTraining"], None] | None = None) -> None:
        """Train until the recipe's steps or the time is over."""
        start = time.monotonic()
        while self.step < self.recipe.steps and time.monotonic() - start < seconds:
            self.train_step()
            if on_step is not None:
                on_step(self)

    def train_step(self) -> float:
        """One optimizer step of one stage; seed and step decide which, and on what."""
        if self.step >= self.recipe.shared_steps and not self.split:
            self.part()
        random = np.random.default_rng([self.recipe.seed, self.step])
        stage = self._draw_stage(random)
        batch = draw_batch(self.examples, self.silence, random, self.recipe.frames_per_batch).to(self.device)
        factor = self.recipe.rate_factor(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base"] * factor
            optimizer.zero_grad(set_to_none=True)
        loss = self._loss(stage, batch, random)
        loss.backward()
        self._collect_gradients()
        parameters = [parameter for parameter in self.modules.parameters() if parameter.grad is not None]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self._average()
        value = float(loss.detach())
        self.losses[stage] = value if stage not in self.losses else 0.96 * self.losses[stage] + 0.04 * value
        return value

    def part(self) -> None:
        """Split the shared transformer into the stages, in the weights and in their running mean."""
        self.modules = split_stages(self.modules, self.config).to(self.device)
        averaged = split_stages(self.averaged, self.config).to(self.device)
        self._begin()
        self.averaged = averaged

    def state(self) -> State:
        """Everything `restore` needs."""
        return {
            "modules": self.modules.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "losses": self.losses,
            "running": self.running.values,
            "split": self.split,
        }

    def restore(self, state: State) -> None:
        """Go on exactly where `state` was taken."""
        if state["split"] and not self.split:
            self.part()
        self.modules.load_state_dict(state["modules"])
        self.averaged.load_state_dict(state["averaged"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.losses = state["step"], dict(state["losses"])
        self.running.values = dict(state.get("running", {}))

    def _draw_stage(self, random: np.random.Generator) -> str:
        names = [name for name in STAGES if not (self.split and self.recipe.only) or name in self.recipe.only]
        shares = np.array([SHARES[name] for name in names])
        return str(random.choice(names, p=shares / shares.sum()))

    def _begin(self) -> None:
        """Optimizers and running mean for the modules as they are."""
        self.averaged = copy.deepcopy(self.modules).requires_grad_(False)
        self.copy: NanoModules | None = None
        self.modules.text_encoder.requires_grad_(False)
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in self.modules.named_parameters():
            if not parameter.requires_grad:
                continue
            inner = ".layers." in name and parameter.ndim == 2
            (matrices if inner else others).append(parameter)
        rate = self.recipe.rate
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=2 * rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
        ]
        for optimizer, base in zip(self.optimizers, (2 * rate, rate), strict=True):
            for group in optimizer.param_groups:
                group["base"] = base

    def _loss(self, stage: str, batch: Batch, random: np.random.Generator) -> Tensor:
        low, high = LEVELS[stage]
        count = len(batch.texts)
        # one level from each part of the interval: less noise in the gradient than independent draws
        places = (np.arange(count) + random.random(count)) / count
        t = torch.from_numpy(low + (high - low) * places).float().to(self.device)
        noise = torch.from_numpy(random.standard_normal(tuple(batch.x0.shape), dtype=np.float32))
        noise = noise.to(self.device)
        x = (1 - t)[:, None, None] * batch.x0 + t[:, None, None] * noise
        name = stage if self.split else "l"
        worker = self._worker()
        encoder, transformer = worker.condition_encoders[name], worker.transformers[name]
        references = [
            None if item is None else item.to(encoder.silence_latent.dtype) for item in batch.references
        ]
        given = conditions(worker.text_encoder, encoder, self.tokenizer, batch.texts, references)
        given = given.dropped(encoder.null_condition_emb, batch.null)
        layers = None if self.split else blocks_of(stage, transformer)
        made = Velocity(transformer)(
            x, t, given.states, batch.context, condition_mask=given.mask, layers=layers
        )
        wrong = (made.float() - (noise - batch.x0)).square()
        errors = (wrong * self.weights).mean((1, 2))
        seen = errors.detach().cpu().numpy()
        self.running.add(stage, t.cpu().numpy(), seen, batch.parts, batch.tasks)
        if wrong.shape[-1] > CHANNELS:
            self.running.note(f"attacks {stage}", float(wrong[..., CHANNELS:].detach().mean()))
        loss: Tensor = errors.mean()
        return loss

    def _worker(self) -> NanoModules:
        """The modules that compute: themselves, or their half-precision copy with today's weights."""
        if not self.half:
            return self.modules
        if self.copy is None:
            self.copy = half_copy(self.modules)
        with torch.no_grad():
            # one call for all parameters, as torch's optimizers make it; it has no public name
            torch._foreach_copy_(list(self.copy.parameters()), list(self.modules.parameters()))
        self.copy.zero_grad(set_to_none=True)
        return self.copy

    def _collect_gradients(self) -> None:
        if self.copy is not None:
            for master, worker in zip(self.modules.parameters(), self.copy.parameters(), strict=True):
                master.grad = None if worker.grad is None else worker.grad.float()

    def _average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            mean: list[Tensor] = list(self.averaged.parameters())
            now: list[Tensor] = list(self.modules.parameters())
            # as torch.optim.swa_utils averages; it has no public name
            torch._foreach_lerp_(mean, now, 1 - decay)


def split_stages(shared: NanoModules, config: NanoConfig) -> NanoModules:
    """L, M and S from the shared transformer: each takes the blocks of its depth and a copy of the rest."""
    modules = NanoModules.__new__(NanoModules)
    nn.Module.__init__(modules)
    modules.text_encoder = copy.deepcopy(shared.text_encoder)
    modules.transformers = Named[Transformer]()
    modules.condition_encoders = Named[ConditionEncoder]()
    source = shared.transformers["l"]
    for name in STAGES:
        depth = blocks_of(name, source)
        kinds = [source.layer_types[index] for index in depth]
        stage = build_transformer(config, len(depth), kinds)
        values = {key: value for key, value in source.state_dict().items() if not key.startswith("layers.")}
        for new, old in enumerate(depth):
            for key, value in source.layers[old].state_dict().items():
                values[f"layers.{new}.{key}"] = value
        stage.load_state_dict(values)
        modules.transformers[name] = stage
        modules.condition_encoders[name] = copy.deepcopy(shared.condition_encoders["l"])
    return modules


def blocks_of(stage: str, shared: Transformer) -> tuple[int, ...]:
    """The blocks of the shared transformer that are the stage's."""
    return tuple(index for index in DEPTH[stage] if index < len(shared.layers))


def _calm(modules: NanoModules) -> None:
    """Blocks add little at first, and the noise passes straight through to the velocity."""
    for name, transformer in modules.transformers.items():
        _pass_through(transformer, PASS[name])
        for embedding in (transformer.time_embed, transformer.time_embed_r):
            nn.init.normal_(embedding.time_proj.weight, std=0.01)
            nn.init.zeros_(embedding.time_proj.bias)
        with torch.no_grad():
            for block in transformer.layers:
                block.scale_shift_table.zero_()
                block.scale_shift_table[:, [2, 5]] = 0.3  # the gates of attention and feed-forward
    for encoder in modules.condition_encoders.values():
        nn.init.normal_(encoder.null_condition_emb, std=0.5)
        nn.init.normal_(encoder.timbre_encoder.special_token, std=0.02)


def _pass_through(transformer: Transformer, gain: float) -> None:
    """The first 192 channels of a token are its noisy values, and the output reads them back times
    `gain`.

    A constant in one of the free channels keeps the last norm from levelling loud and quiet tokens.
    """
    width, channels = transformer.config.hidden_size, transformer.config.audio_acoustic_hidden_dim
    patch = transformer.patch_size
    taken = min(channels * patch, width - 1)
    root = ((ANCHOR**2 + 0.75 * taken) / width) ** 0.5
    with torch.no_grad():
        into, out = transformer.proj_in_conv.weight, transformer.proj_out_conv.weight
        into[:taken] = torch.randn_like(into[:taken]) * 0.01
        out.zero_()
        for index in range(taken):
            frame, channel = divmod(index, channels)
            into[index, into.shape[1] - channels + channel, frame] = 1.0
            out[index, channel, frame] = gain * root
        into_bias, out_bias = transformer.proj_in_conv.bias, transformer.proj_out_conv.bias
        assert into_bias is not None  # diffusers builds both layers with one
        assert out_bias is not None
        into_bias.zero_()
        into_bias[-1] = ANCHOR
        out_bias.zero_()
        transformer.scale_shift_table.zero_()


def log_line(training: StageTraining, path: Path, pace: float) -> None:
    """One line of JSON: step, pace and the running losses, by stage, part, task and noise level."""
    losses = {name: round(loss, 4) for name, loss in sorted(training.losses.items())}
    training.running.write(path, step=training.step, steps_per_s=round(pace, 3), **losses)


def channel_weights(examples: list[Example], most: float = 6.0, least: float = 0.5) -> Tensor:
    """[C]: how much each latent channel counts, by the share of the sound it carries, mean 1.

    Graded latents have deviation (component's deviation) ** GRADING, so theirs tells the component's.
    """
    sample = np.concatenate([example.views[0].target[::4] for example in examples[:200]]).astype(np.float32)
    deviation = torch.from_numpy(sample.std(0))[:CHANNELS].clamp_min(1e-3) ** (1 / GRADING)
    weights = deviation**CHANNEL_POWER
    weights = (weights / weights.median()).clamp(least, most)
    weights = torch.cat([weights, torch.full((sample.shape[1] - len(weights),), ATTACK_WEIGHT)])
    return weights / weights.mean()


def caption_texts(count: int, seed: int = 5) -> list[str]:
    """Prompts as training sees them, for the tokenizer."""
    from acestep.nano.data import captions
    from acestep.nano.latents import label

    random = np.random.default_rng(seed)
    instructions = [captions.TEXT_INSTRUCTION, captions.REPAINT_INSTRUCTION]
    instructions += [captions.LEGO_INSTRUCTION.format(track.upper()) for track in captions.TRACKS.values()]
    instructions += [
        captions.COMPLETE_INSTRUCTION.format(track.upper()) for track in captions.TRACKS.values()
    ]
    texts = []
    for index in range(count):
        loop = label(index % 400)
        roles = tuple(part.role for part in loop.parts)
        if random.random() < 0.5:
            roles = (roles[int(random.integers(len(roles)))],)
        meta = captions.metas(loop, loop.grid.duration_s, random, 0.2)
        instruction = instructions[int(random.integers(len(instructions)))]
        texts.append(captions.prompt(instruction, captions.caption(loop, roles, random), meta))
    return texts

"""Distillation: a smaller stage learns the velocity of a larger one, guidance included.

    acestep distill turbo --name small --audio MyMusic/          # or --captions captions.txt, without audio
    acestep compose --stage l=xl-turbo:0-6 --stage s=small:6-8 --name big-then-small

The same command goes on where a run stopped. The recipe is in acestep/README.md. The teacher is a
`Stage` of a loaded cascade; the examples come from `distill_material`.
Shapes: B examples, T latent frames, C latent channels, L condition tokens, D a condition encoder's width.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from acestep.checkpoints.checkpoint import FORMAT, cascades_folder
from acestep.checkpoints.compose import Chosen, parse_stage, path_from
from acestep.checkpoints.schedule import Guidance
from acestep.console import command
from acestep.console.terminal import Bar
from acestep.console.usage import Parser
from acestep.errors import AlreadyExists, CheckpointError, InvalidRequest
from acestep.files import appearing_folder
from acestep.home import home, make_private
from acestep.model import conditions
from acestep.model.loading import choose_device
from acestep.model.modules import ConditionEncoder, Transformer
from acestep.model.sampling import Momentum, guided
from acestep.training.distill_material import Batch, Material
from acestep.training.distill_recipe import Recipe
from acestep.training.pruning import begin_from, smaller_config
from acestep.training.velocity import Conditions, Velocity

if TYPE_CHECKING:
    from acestep.model.cascade import Cascade
    from acestep.model.stage import Stage

PARTS = ("transformer", "condition_encoder")
HELD_OUT = 4  # batches that are never trained on, for the error that is printed


class Student(nn.Module):
    """The small stage's trained modules; `forward` gives its velocity [B, T, C]."""

    transformer: Transformer
    condition_encoder: ConditionEncoder

    def __init__(self, teacher: Stage, width: float, depth: float) -> None:
        super().__init__()
        self.timbre_token = teacher.timbre_token
        for name in PARTS:
            part = getattr(teacher, name)
            kinds = {"layer_types": part.layer_types} if hasattr(part, "layer_types") else {}
            config = smaller_config({**part.config, **kinds}, width, depth)
            if name == "transformer":  # it learns the guided velocity: nobody needs to guide it again
                config |= {"is_turbo": True, "model_version": "turbo"}
            module = type(part)(**config).float()
            begin_from(module, part)
            setattr(self, name, module)
        encoder = self.condition_encoder
        encoder.null_condition_emb.requires_grad_(False)
        encoder.timbre_encoder.special_token.requires_grad_(self.timbre_token)

    def forward(self, x: Tensor, t: Tensor, context: Tensor, batch: Batch) -> Tensor:
        """Velocity at x [B, T, C], t [B], for the batch's words and references."""
        given = condition_states(self.condition_encoder, batch, self.timbre_token, x.dtype)
        velocity: Tensor = Velocity(self.transformer)(x, t, given.states, context, condition_mask=given.mask)
        return velocity


class Teacher:
    """The large stage, at rest: its velocity as the engine would use it."""

    def __init__(self, stage: Stage, guidance: Guidance) -> None:
        self.stage = stage
        self.guidance = guidance if not stage.is_turbo else Guidance()

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor, context: Tensor, batch: Batch) -> Tensor:
        """Velocity at x [B, T, C], t [B]; guided at the levels where the teacher is guided.

        Without the momentum that guidance has along a song's way: here every level stands for itself.
        """
        stage, like = self.stage, self.stage.like
        velocity = Velocity(stage.transformer)
        given = condition_states(stage.condition_encoder, batch, stage.timbre_token, like.dtype)
        known = x.to(like), t.to(like), context.to(like)
        asked = velocity(known[0], known[1], given.states, known[2], condition_mask=given.mask).float()
        pushed = torch.tensor([self.guidance.applies(float(level)) for level in t], device=asked.device)
        if not pushed.any():
            return asked.to(x)
        null = conditions.null_states(stage.condition_encoder).to(like)
        free = velocity(known[0], known[1], null.expand(len(x), -1, -1), known[2]).float()
        result = guided(asked, free, self.guidance, Momentum())
        return torch.where(pushed[:, None, None], result, asked).to(x)


def condition_states(encoder: Any, batch: Batch, timbre_token: bool, dtype: torch.dtype) -> Conditions:
    """Every example's condition [B, L, D], filled up to the longest, and which tokens are there [B, L]."""
    device = encoder.silence_latent.device
    rows = []
    for words, reference in zip(batch.words, batch.references, strict=True):
        heard = encoder.silence_latent[:, : batch.reference_frames] if reference is None else reference
        timbre = conditions.timbre_embedding(encoder, heard.to(device, dtype), timbre_token)
        cast = conditions.Words(words.text.to(device, dtype), words.lyrics.to(device, dtype))
        rows.append(conditions.condition_states(encoder, cast, timbre)[0])
    mask = nn.utils.rnn.pad_sequence(
        [torch.ones(len(row), dtype=torch.bool, device=device) for row in rows], True
    )
    return Conditions(nn.utils.rnn.pad_sequence(rows, True), mask)


class Distillation:
    """A run: teacher, student, optimizer and position. Randomness is a function of seed, step and process."""

    def __init__(self, recipe: Recipe, folder: Path, device: str = "auto") -> None:
        from accelerate import Accelerator

        from acestep.model.cascade import Cascade

        self.recipe, self.folder = recipe, folder
        self.chosen: Chosen = parse_stage(f"teacher={recipe.teacher}")
        kind = choose_device(device).type
        claim(folder, recipe)
        half = kind == "cuda"
        self.accelerator = Accelerator(cpu=kind == "cpu", mixed_precision="bf16" if half else "no")
        place = str(self.accelerator.device)
        source = self.chosen.source
        self.cascade: Cascade = Cascade.load(source.folder, stages=(self.chosen.stage.name,), device=place)
        stage = self.cascade.stages[self.chosen.stage.name]
        if stage.guide_channels:
            raise InvalidRequest(
                f"{source.name} takes the grid as input: distill knows ACE-Step's stages only"
            )
        self.teacher = Teacher(stage, self.chosen.stage.guidance or source.guidance)
        torch.manual_seed(recipe.seed)
        student = Student(stage, recipe.width, recipe.depth)
        trained = [weight for weight in student.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=recipe.rate, betas=(0.9, 0.95), weight_decay=0.01)
        self.student, self.optimizer = self.accelerator.prepare(student, optimizer)
        self.material = Material(recipe, self.chosen, self.cascade, self.teacher, folder)
        self.step = 0
        self._held: list[tuple[Tensor, Tensor, Batch, Tensor]] = []
        if (folder / "state").is_dir():
            self._resume()

    def train(
        self, *, save_every: int = 500, on_step: Callable[[int, float], None] | None = None
    ) -> dict[str, Any]:
        """Train to the recipe's end, saving now and then; gives the held-out error before and after."""
        log = self.folder / "log.json"
        record = json.loads(log.read_text()) if self.step else {"error": {"0": self.error()}}
        while self.step < self.recipe.steps:
            loss = self.train_step()
            if on_step is not None:
                on_step(self.step, loss)
            if self.step % save_every == 0 or self.step == self.recipe.steps:
                record["error"][str(self.step)] = self.error()
                self._save(record)
        return record

    def train_step(self) -> float:
        """One step; gives its loss: the squared error of the velocity."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        processes, own = self.accelerator.num_processes, self.accelerator.process_index
        x, t, batch, wanted = self.material.draw(self.step * processes + own)
        with self.accelerator.autocast():
            made = self.student(x, t, self.material.context(x), batch)
        loss = (made.float() - wanted).square().mean()
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(loss.detach())

    @torch.no_grad()
    def error(self) -> float:
        """The velocity's error on examples that are not trained on, relative to the teacher's velocity."""
        if not self._held:
            self._held = [self.material.draw(-1 - number, held_out=True) for number in range(HELD_OUT)]
        off = size = 0.0
        for x, t, batch, wanted in self._held:
            made = self.student(x, t, self.material.context(x), batch).float()
            off, size = off + float((made - wanted).square().sum()), size + float(wanted.square().sum())
        return (off / size) ** 0.5

    def export(self, name: str, out: Path, error: float) -> Path:
        """Write the student as a cascade of one stage; codec and text encoder are the teacher's, by path."""
        if out.exists():
            raise AlreadyExists(f"{out} is there already: choose another --name or remove it")
        student = self.accelerator.unwrap_model(self.student)
        with appearing_folder(out) as hidden:
            for part in PARTS:
                module = getattr(student, part)
                module.save_pretrained(hidden / "stages" / "s" / part)
            text = json.dumps(self._description(name, out, error), indent=2, ensure_ascii=False) + "\n"
            (hidden / "cascade.json").write_text(text, encoding="utf-8")
        return out

    def _description(self, name: str, out: Path, error: float) -> dict[str, Any]:
        source, schedule = self.chosen.source, self.chosen.schedule
        stage: dict[str, Any] = {"name": "s", "path": "stages/s"}
        if self.chosen.stage.timbre_token:
            stage["timbre_token"] = True
        kept = (
            "tracks",
            "prompt_template",
            "empty_lyrics",
            "reference_s",
            "sample_rate_hz",
            "latent_rate_hz",
        )
        return {
            "format": FORMAT,
            "name": name,
            "stages": [stage],
            "schedule": asdict(schedule),
            "supports": ["text", *(["reference"] if self.recipe.audio and source.can("reference") else [])],
            **{key: source.values[key] for key in kept if key in source.values},
            "codec": path_from(source.codec, out),
            "text_encoder": path_from(source.text_encoder, out),
            "tokenizer": path_from(source.tokenizer, out),
            "max_s": source.max_s,
            "trained_on": f"{self.recipe.teacher}'s velocity, {self.step} steps, error {error:.3f}",
            "license": source.license,
        }

    def _save(self, record: dict[str, Any]) -> None:
        """The state of the run, whole or not at all: the last good one stays until the new one is written."""
        self.accelerator.wait_for_everyone()
        fresh, state = self.folder / ".state", self.folder / "state"
        self.accelerator.save_state(str(fresh))
        if self.accelerator.is_main_process:
            (fresh / "step.json").write_text(json.dumps({"step": self.step}))
            (self.folder / "log.json").write_text(json.dumps(record))
            shutil.rmtree(state, ignore_errors=True)
            fresh.rename(state)
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        try:
            self.step = json.loads((self.folder / "state" / "step.json").read_text())["step"]
            self.accelerator.load_state(str(self.folder / "state"))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.folder / 'state'} cannot be continued: {error}; remove it to begin anew"
            ) from error


def claim(folder: Path, recipe: Recipe) -> None:
    """The run's folder is this recipe's; InvalidRequest says what differs from the run that is in it."""
    file, values = folder / "recipe.json", dataclasses.asdict(recipe)
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        other = [f"{key} {before.get(key)!r}" for key in values if before.get(key) != values[key]]
        if other:
            raise InvalidRequest(
                f"the run in {folder} was begun with {', '.join(other)}: give the same, or another --name"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=2), encoding="utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `acestep distill`: the recipe's fields, and where it runs."""
    defaults = {field.name: field.default for field in dataclasses.fields(Recipe)}
    parser.add_argument("teacher", help="CASCADE[/STAGE][:FIRST-LAST]; steps of its own schedule to learn")
    parser.add_argument("--name", required=True, help="name of the cascade that comes out, and of the run")
    parser.add_argument(
        "--audio", default="", metavar="FOLDER", help="audio; NAME.txt beside a file is its caption"
    )
    parser.add_argument(
        "--captions", default="", metavar="FILE", help="a caption a line: learn without audio"
    )
    helps = {
        "width": "of the teacher's widths",
        "depth": "of the teacher's layers",
        "steps": "training steps",
        "batch": "examples a step and process",
        "seconds": "length of an example",
        "rate": "learning rate",
        "warmup": "steps to reach it",
        "seed": "of everything random",
    }
    for name, doc in helps.items():
        kind = type(defaults[name])
        parser.add_argument(
            f"--{name}", type=kind, default=defaults[name], help=f"{doc} (default %(default)s)"
        )
    parser.add_argument("--save-every", type=int, default=500, help="steps (default %(default)s)")
    parser.add_argument("--device", default="auto", help="auto or cpu")


def run(args: argparse.Namespace) -> int:
    """Distill as the command line says: progress on stderr, the path on stdout."""
    recipe = Recipe(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Recipe)})
    out = cascades_folder() / args.name
    if out.exists():
        raise AlreadyExists(f"{out} is there already: choose another --name or remove it")
    training = Distillation(recipe, make_private(home(), "distill", args.name), args.device)

    bar = Bar(quiet=not training.accelerator.is_main_process)

    for sentence in training.material.skipped:
        print(f"acestep distill: left out: {sentence}", file=sys.stderr)

    def show(step: int, loss: float) -> None:
        bar.show("training", step / recipe.steps, detail=f"step {step} of {recipe.steps}, loss {loss:.4f}")

    try:
        errors = training.train(save_every=args.save_every, on_step=show)["error"]
    finally:
        bar.close()
    if not training.accelerator.is_main_process:
        return 0
    first, last = errors["0"], errors[str(recipe.steps)]
    print(f"velocity error on held-out examples: {first:.3f} → {last:.3f}", file=sys.stderr)
    print(training.export(args.name, out, last))
    return 0


def main(argv: list[str] | None = None) -> int:
    """`acestep distill`."""
    parser = Parser(prog="acestep distill", description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    return command.run("acestep distill", lambda: run(parser.parse_args(argv)))

"""Distillation: a smaller stage learns the velocity of a larger one, guidance included.

    acestep distill turbo --name small --audio MyMusic/          # or --captions captions.txt, without audio
    acestep compose --stage l=xl-turbo:0-6 --stage s=small:6-8 --name big-then-small

The same command goes on where a run stopped. The recipe is in acestep/README.md. The teacher is a
`Stage` of a loaded cascade; the examples come from `distill_material`.
Shapes: B examples, T latent frames, C latent channels, L condition tokens, D a condition encoder's width.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
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
from acestep.files import appearing_folder, write_whole
from acestep.home import home, make_private
from acestep.model import conditions
from acestep.model.loading import choose_device
from acestep.model.modules import ConditionEncoder, Transformer
from acestep.model.sampling import Momentum, guided
from acestep.training.distill_material import Batch, Material
from acestep.training.distill_recipe import Recipe
from acestep.training.memory import Memory, activation_bytes, available_bytes, sharing, trained_bytes
from acestep.training.pruning import begin_from, smaller_config
from acestep.training.velocity import Conditions, Velocity
from acestep.typed_json import fault_of

if TYPE_CHECKING:
    from acestep.model.cascade import Cascade
    from acestep.model.stage import Stage

HELD_OUT = 4  # batches that are never trained on, for the error that is printed


class Student(nn.Module):
    """The small stage's trained modules; `forward` gives its velocity [B, T, C]."""

    transformer: Transformer
    condition_encoder: ConditionEncoder

    def __init__(self, teacher: Stage, width: float, depth: float) -> None:
        super().__init__()
        self.timbre_token = teacher.timbre_token
        large = teacher.transformer
        config = smaller_config({**large.config, "layer_types": large.layer_types}, width, depth)
        # it learns the guided velocity: nobody needs to guide it again
        config |= {"is_turbo": True, "model_version": "turbo"}
        self.transformer = type(large)(**config).float()
        begin_from(self.transformer, large)
        listener = teacher.condition_encoder
        encoder = type(listener)(**smaller_config(listener.config, width, depth)).float()
        begin_from(encoder, listener)
        self.condition_encoder = encoder
        encoder.null_condition_emb.requires_grad_(False)
        encoder.timbre_encoder.special_token.requires_grad_(self.timbre_token)

    @property
    def parts(self) -> dict[str, Transformer | ConditionEncoder]:
        """What is saved, by the names of the folders."""
        return {"transformer": self.transformer, "condition_encoder": self.condition_encoder}

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
        asked: Tensor = velocity(
            known[0], known[1], given.states, known[2], condition_mask=given.mask
        ).float()
        pushed = torch.tensor([self.guidance.applies(float(level)) for level in t], device=asked.device)
        if not pushed.any():
            return asked.to(x)
        null = stage.condition_encoder.null_condition_emb.to(like)
        free = velocity(known[0], known[1], null.expand(len(x), -1, -1), known[2]).float()
        result = guided(asked, free, self.guidance, Momentum())
        return torch.where(pushed[:, None, None], result, asked).to(x)


def condition_states(
    encoder: ConditionEncoder, batch: Batch, timbre_token: bool, dtype: torch.dtype
) -> Conditions:
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
        half = kind == "cuda"
        self.accelerator = Accelerator(cpu=kind == "cpu", mixed_precision="bf16" if half else "no")
        with self.accelerator.main_process_first():  # of several, one begins the run …
            claim(folder, recipe, self.accelerator.num_processes)
        # several processes call a CPU cpu:0
        place = "cpu" if self.accelerator.device.type == "cpu" else str(self.accelerator.device)
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
        with self.accelerator.main_process_first():  # … and encodes the audio
            self.material = Material(recipe, self.chosen, self.cascade, self.teacher, folder)
        self.step = 0
        self._held: list[tuple[Tensor, Tensor, Batch, Tensor]] = []
        if states := self._states():
            self._resume(states[-1])

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
        recipe, accelerator = self.recipe, self.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.rate_at(self.step)
        self.optimizer.zero_grad()
        total = torch.zeros((), device=accelerator.device)
        for micro in range(recipe.accumulate):
            # numbered over all processes: N of them learn what one does that adds N times as many up
            number = (self.step * recipe.accumulate + micro) * accelerator.num_processes
            x, t, batch, wanted = self.material.draw(number + accelerator.process_index)
            more = micro < recipe.accumulate - 1
            with accelerator.no_sync(self.student) if more else contextlib.nullcontext():
                with accelerator.autocast():
                    made = self.student(x, t, self.material.context(x), batch)
                loss = (made.float() - wanted).square().mean() / recipe.accumulate
                accelerator.backward(loss)
            total += loss.detach()
        accelerator.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return float(accelerator.reduce(total, "mean"))

    @property
    def memory(self) -> Memory:
        """What a step takes in each process, estimated."""
        student = self.accelerator.unwrap_model(self.student)
        numbers = sum(weight.numel() for weight in student.parameters())
        teacher = self.teacher.stage
        at_rest = [*teacher.transformer.parameters(), *teacher.condition_encoder.parameters()]
        number_bytes = 2 if self.accelerator.mixed_precision == "bf16" else 4
        config = student.transformer.config
        return Memory(
            weights=sum(weight.numel() * weight.element_size() for weight in at_rest),
            trained=trained_bytes(numbers, self.accelerator.num_processes),
            activations=activation_bytes(config, self.material.frames, self.recipe.batch, number_bytes),
        )

    @torch.no_grad()
    def error(self) -> float:
        """The velocity's error on examples that are not trained on, relative to the teacher's velocity."""
        if not self._held:
            self._held = [self.material.draw(-1 - number, held_out=True) for number in range(HELD_OUT)]
        off = size = 0.0
        for x, t, batch, wanted in self._held:
            made = self.student(x, t, self.material.context(x), batch).float()
            off, size = off + float((made - wanted).square().sum()), size + float(wanted.square().sum())
        return math.sqrt(off / size)

    def export(self, name: str, out: Path, error: float) -> Path:
        """Write the student as a cascade of one stage; codec and text encoder are the teacher's, by path."""
        if out.exists():
            raise AlreadyExists(f"{out} is there already: choose another --name or remove it")
        student: Student = self.accelerator.unwrap_model(self.student)
        with appearing_folder(out) as hidden:
            for part, module in student.parts.items():
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
        """The state of the run in a folder of its own, which appears whole; then those before it go."""
        from accelerate.utils import broadcast_object_list

        main = self.accelerator.is_main_process
        before = self._states()
        if main:  # first, since a state that has come to the end needs its error
            write_whole(self.folder / "log.json", json.dumps(record).encode())
        place = self.folder / f"state-{self.step:09}"
        with appearing_folder(place) if main else contextlib.nullcontext() as hidden:
            (shared,) = broadcast_object_list([str(hidden)])
            self.accelerator.save_state(shared)
            if hidden is not None:
                (hidden / "step.json").write_text(json.dumps({"step": self.step}))
            self.accelerator.wait_for_everyone()
        if main:
            for state in before:
                shutil.rmtree(state)
        self.accelerator.wait_for_everyone()

    def _states(self) -> list[Path]:
        """The folders with a state, the newest last: more than one where a run was stopped while it saved."""
        return sorted(self.folder.glob("state*"))

    def _resume(self, state: Path) -> None:
        try:
            self.step = json.loads((state / "step.json").read_text(encoding="utf-8"))["step"]
            self.accelerator.load_state(str(state))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"{state} cannot be continued: {fault_of(error)}; remove it to begin anew"
            ) from error


def claim(folder: Path, recipe: Recipe, processes: int) -> None:
    """The run's folder is this recipe's; InvalidRequest says what differs from the run that is in it."""
    file, values = folder / "recipe.json", dataclasses.asdict(recipe) | {"processes": processes}
    if file.is_file():
        before = {"accumulate": 1, "processes": 1} | json.loads(file.read_text(encoding="utf-8"))
        other = [f"{key} {before.get(key)!r}" for key in values if before.get(key) != values[key]]
        if other:
            raise InvalidRequest(
                f"the run in {folder} was begun with {', '.join(other)}: give the same, or another --name"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps(values, indent=2).encode())


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
        "batch": "examples at once, in each process",
        "accumulate": "batches added up for a step",
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

    if training.accelerator.is_main_process:
        device = training.accelerator.device
        needs = training.memory.told(sharing(device), available_bytes(device), device)
        for sentence in (*(f"left out: {sentence}" for sentence in training.material.skipped), needs):
            print(f"acestep distill: {sentence}", file=sys.stderr)

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

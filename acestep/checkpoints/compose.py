"""A cascade from stages of other cascades: their weights stay where they are, the codec is shared.

    acestep compose --stage l=xl-turbo:0-3 --stage m=turbo:3-8 --name my-cascade

A stage keeps its condition encoder, schedule and guidance.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from acestep.checkpoints import weights
from acestep.checkpoints.checkpoint import FORMAT, CascadeSpec, StageSpec, cascades_folder, find, read_spec
from acestep.checkpoints.schedule import Schedule, legs, sigmas
from acestep.console import command
from acestep.console.usage import Parser
from acestep.errors import AceStepError, AlreadyExists, CheckpointError, InvalidRequest
from acestep.files import appearing_folder
from acestep.request import CONTEXT_TASKS

CHOICE = re.compile(
    r"(?P<name>\w[\w-]*)=(?P<source>.+?)(?:/(?P<stage>\w[\w-]*))?(?::(?P<first>\d+)-(?P<last>\d+))?"
)
TASKS = ("text", "reference", *CONTEXT_TASKS)


@dataclass(frozen=True)
class Chosen:
    """A stage of another cascade, and the steps of its own schedule that it takes."""

    name: str
    source: CascadeSpec
    stage: StageSpec
    steps: tuple[int, int]

    @property
    def schedule(self) -> Schedule:
        """Its own schedule."""
        return self.stage.schedule or self.source.schedule


def parse_stage(text: str) -> Chosen:
    """`NAME=CASCADE[/STAGE][:FIRST-LAST]`; steps count in that stage's own schedule, LAST is not taken."""
    match = CHOICE.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"stage {text!r} is not NAME=CASCADE[/STAGE][:FIRST-LAST]: l=xl-turbo:0-3")
    try:
        spec, wanted = read_spec(find(match["source"])), match["stage"]
    except AceStepError:
        if match["stage"] is None:
            raise
        spec, wanted = read_spec(find(f"{match['source']}/{match['stage']}")), None  # it was a path
    by_name = {stage.name: stage for stage in spec.stages}
    if wanted is None and len(by_name) > 1:
        raise InvalidRequest(
            f"cascade {spec.name} has stages {', '.join(by_name)}: name one, {spec.name}/STAGE"
        )
    stage = by_name.get(wanted) if wanted else spec.stages[0]
    if stage is None:
        raise InvalidRequest(f"cascade {spec.name} has no stage {wanted}: it has {', '.join(by_name)}")
    total = (stage.schedule or spec.schedule).steps
    first, last = (int(match["first"]), int(match["last"])) if match["first"] else (0, total)
    if not 0 <= first < last <= total:
        raise InvalidRequest(f"steps {first}-{last} of stage {match['name']}: expected within 0-{total}")
    return Chosen(match["name"], spec, stage, (first, last))


def compose(chosen: list[Chosen], out: Path, name: str = "") -> tuple[Path, list[str]]:
    """Write the cascade of these stages to the folder `out`; gives it and notes on how the stages join.

    Raises CheckpointError for stages that do not share one latent space, or one text encoder.
    """
    if len({choice.name for choice in chosen}) < len(chosen):
        raise InvalidRequest("two stages have the same name: give each its own")
    if out.exists():
        raise AlreadyExists(f"{out} is there already: choose another --name or remove it")
    check_compatible(chosen)
    description = describe(chosen, out, name or out.name)
    with appearing_folder(out) as hidden:
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (hidden / "cascade.json").write_text(text, encoding="utf-8")
        way = legs(read_spec(hidden).plans())
    return out, [*notes(chosen), *(f"{leg.stage}: {_levels(leg.sigmas)}" for leg in way)]


def describe(chosen: list[Chosen], out: Path, name: str) -> dict[str, Any]:
    """The cascade.json; stages, codec and text encoder are named by path."""
    first = chosen[0].source
    supports = [task for task in TASKS if all(choice.source.can(task) for choice in chosen)]
    shared = {
        key: value
        for key, value in first.values.items()
        if key
        in (
            "guide",
            "tracks",
            "prompt_template",
            "empty_lyrics",
            "reference_s",
            "sample_rate_hz",
            "latent_rate_hz",
        )
    }
    lengths = [choice.source.max_s for choice in chosen if choice.source.max_s]
    if lengths:
        shared["max_s"] = min(lengths)
    return {
        "format": FORMAT,
        "name": name,
        "stages": [_entry(choice, out) for choice in chosen],
        "schedule": asdict(chosen[0].schedule),
        "supports": supports,
        **shared,
        "codec": path_from(first.codec, out),
        "text_encoder": path_from(first.text_encoder, out),
        "tokenizer": path_from(first.tokenizer, out),
        "trained_on": "; ".join(dict.fromkeys(c.source.trained_on for c in chosen if c.source.trained_on)),
        "license": ", ".join(dict.fromkeys(c.source.license for c in chosen if c.source.license)),
    }


def _entry(choice: Chosen, out: Path) -> dict[str, Any]:
    guidance = choice.stage.guidance or choice.source.guidance
    entry: dict[str, Any] = {
        "name": choice.name,
        "path": path_from(choice.stage.folder, out),
        "steps": list(choice.steps),
        "schedule": asdict(choice.schedule),
        "guidance": {"scale": guidance.scale, "mode": guidance.mode, "interval": list(guidance.interval)},
    }
    if choice.stage.timbre_token:
        entry["timbre_token"] = True
    return entry


def check_compatible(chosen: list[Chosen]) -> None:
    """One latent space, one text encoder, one guide: else CheckpointError says what differs."""
    first = chosen[0]
    for choice in chosen[1:]:
        pairs = (
            ("codec", first.source.codec, choice.source.codec),
            ("text encoder", first.source.text_encoder, choice.source.text_encoder),
        )
        for what, one, other in pairs:
            if one.resolve() != other.resolve() and fingerprint(one) != fingerprint(other):
                raise CheckpointError(
                    f"{first.source.name} and {choice.source.name} have different {what}s ({one}, {other}): "
                    "their stages cannot hand over to each other"
                )
        if first.source.guide != choice.source.guide:
            raise CheckpointError(f"{first.source.name} and {choice.source.name} take different guides")


def fingerprint(folder: Path) -> str:
    """What tells two models apart: names and shapes of their tensors, and a sample of each one's bytes."""
    digest = hashlib.sha256()
    for name, entry in sorted(weights.read_headers(folder).items()):
        digest.update(f"{name} {entry.dtype} {entry.shape}".encode())
        with entry.file.open("rb") as opened:
            opened.seek(entry.begin)
            digest.update(opened.read(min(256, entry.end - entry.begin)))
    return digest.hexdigest()


def notes(chosen: list[Chosen]) -> list[str]:
    """What a user should know about a cascade of different kinds of stages."""
    schedules = {choice.schedule for choice in chosen}
    found = []
    if len(schedules) > 1:
        kinds = ", ".join(f"{c.name}: {c.schedule.steps} steps, shift {c.schedule.shift:g}" for c in chosen)
        found.append(f"the stages have schedules of their own ({kinds}); each takes its part of its own one")
    guided = [c.name for c in chosen if (c.stage.guidance or c.source.guidance).scale > 1]
    if guided and len(guided) < len(chosen):
        found.append(f"guidance is added in {', '.join(guided)} only: turbo stages have it built in")
    for before, after in pairwise(chosen):
        end, start = sigmas(before.schedule)[before.steps[1]], sigmas(after.schedule)[after.steps[0]]
        if start > end + 1e-6:
            found.append(f"{after.name} starts above {before.name}: noise is added ({end:.3f} → {start:.3f})")
        elif start < end - 1e-6:
            found.append(f"{before.name} goes on down to the start of {after.name} ({end:.3f} → {start:.3f})")
    return found


def _levels(levels: tuple[float, ...]) -> str:
    return f"{len(levels) - 1} steps, noise level {levels[0]:.3f} → {levels[-1]:.3f}"


def path_from(target: Path, out: Path) -> str:
    """Relative where both are in the cascades folder (home can be moved), else absolute."""
    target, out = target.resolve(), out.parent.resolve() / out.name
    home = cascades_folder().resolve()
    if target.is_relative_to(home) and out.is_relative_to(home):
        return Path(os.path.relpath(target, out)).as_posix()
    return str(target)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `acestep compose`."""
    parser.add_argument(
        "--stage",
        action="append",
        required=True,
        metavar="NAME=CASCADE[/STAGE][:FIRST-LAST]",
        help="a stage, in order; FIRST-LAST are steps of its own schedule",
    )
    parser.add_argument("--name", required=True, help="name of the new cascade")
    parser.add_argument("--out", type=Path, help="where to write (default: cascades in ACESTEP_HOME)")


def run(args: argparse.Namespace) -> int:
    """Compose as the command line says: notes on stderr, the path on stdout."""
    out, found = compose(
        [parse_stage(text) for text in args.stage], args.out or cascades_folder() / args.name
    )
    for note in found:
        print(note, file=sys.stderr)
    print(out)
    return 0


def main(argv: list[str] | None = None) -> int:
    """`acestep compose`."""
    parser = Parser(prog="acestep compose", description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    return command.run("acestep compose", lambda: run(parser.parse_args(argv)))

"""`acestep nano init|data|train|evaluate`: the recipe's steps as commands. Imports torch only when one
runs.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from acestep.console.command import run
from acestep.console.usage import Parser
from acestep.nano import WEIGHTS


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step of the recipe; returns the exit code."""
    steps = {"init": _init, "data": _data, "train": _train, "evaluate": _evaluate}

    def step() -> int:
        arguments = _parser().parse_args(argv)
        return steps[arguments.step](arguments)

    return run("acestep nano", step)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="acestep nano", description="The recipe of the embedded cascade.")
    steps = parser.add_subparsers(dest="step", required=True)
    init = steps.add_parser("init", help="write a checkpoint with random weights in the final layout")
    init.add_argument("folder", type=Path)
    init.add_argument("--tiny", action="store_true", help="much smaller modules, for tests")
    init.add_argument("--seed", type=int, default=0, help="of the random weights (default 0)")
    data = steps.add_parser("data", help="record the sounds, compose and render loops")
    data.add_argument("work", type=Path, help="a folder with 5 GB to spare")
    data.add_argument("--shards", type=_count, default=20, help="of 50 loops each (default 20)")
    train = steps.add_parser("train", help="train codec, text encoder and stages, and write WORK/checkpoint")
    train.add_argument("work", type=Path, help="the folder that `data` filled")
    train.add_argument(
        "--part",
        choices=(
            "all",
            "carry",
            "codec",
            "latents",
            "text",
            "stages",
            "pairs",
            "phase",
            "phase-codec",
            "publish",
        ),
        default="all",
    )
    train.add_argument("--minutes", type=_minutes, default=120, help="of training (default 120)")
    train.add_argument("--steps", type=_count, default=3000, help="of the stages' schedule (default 3000)")
    train.add_argument(
        "--only", choices=("l", "m", "s", "lm", "ls", "ms"), default="", help="these stages: a process each"
    )
    train.add_argument(
        "--shards", type=_count, default=24, help="of 25 loops as latents, or of 20 as pairs (default 24)"
    )
    train.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, mps or auto: the first there is (default: auto)"
    )
    train.add_argument("--resume", action="store_true", help="go on from WORK's states")
    evaluate = steps.add_parser("evaluate", help="print the table of figures and write a page to listen to")
    evaluate.add_argument("work", type=Path, help="the folder that `data` and `train` filled")
    evaluate.add_argument("--checkpoint", type=Path, default=WEIGHTS, help="default: the shipped one")
    evaluate.add_argument("--clips", type=_count, default=200, help="prompts (default 200)")
    evaluate.add_argument("--page", type=Path, default=None, help="folder of the page (default WORK/page)")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _init(arguments: argparse.Namespace) -> int:
    from acestep.nano.checkpoint import TINY, write_untrained

    write_untrained(arguments.folder, TINY if arguments.tiny else None, arguments.seed)
    print(arguments.folder)
    return 0


def _data(arguments: argparse.Namespace) -> int:
    from acestep.nano.recipe import prepare_data

    prepare_data(arguments.work, arguments.shards, lambda line: print(line, file=sys.stderr))
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from acestep.model.loading import choose_device
    from acestep.nano import recipe
    from acestep.nano.carry import START
    from acestep.nano.publish import publish
    from acestep.nano.train_codec import CodecRecipe, train_codec
    from acestep.nano.train_phase import PhaseRecipe
    from acestep.nano.train_stages import CARRIED, StageRecipe
    from acestep.nano.train_text import TextRecipe

    work, seconds, device = arguments.work, arguments.minutes * 60, str(choose_device(arguments.device))
    if arguments.part == "all":
        print(recipe.train_everything(work, arguments.minutes, arguments.shards, arguments.resume, device))
    elif arguments.part == "carry":
        print(recipe.go_on_from(work))
    elif arguments.part == "codec":
        print(train_codec(work, CodecRecipe(device=device), seconds, arguments.resume))
    elif arguments.part == "latents":
        recipe.prepare_latents(work, arguments.shards, lambda line: print(line, file=sys.stderr))
    elif arguments.part == "text":
        print(recipe.prepare_text(work, recipe=TextRecipe(device=device)))
    elif arguments.part == "pairs":
        recipe.prepare_pairs(work, arguments.shards, lambda line: print(line, file=sys.stderr))
    elif arguments.part == "phase":
        print(recipe.train_phases(work, PhaseRecipe(device=device), seconds, arguments.resume))
    elif arguments.part == "phase-codec":
        print(recipe.publish_phases(work))
    elif arguments.part == "stages":
        pace = CARRIED if (work / START).exists() else StageRecipe()
        stages = replace(pace, steps=arguments.steps, only=arguments.only, device=device)
        print(recipe.train_stages(work, stages, seconds, arguments.resume))
    else:
        print(publish(work, work / "checkpoint"))
    return 0


def _evaluate(arguments: argparse.Namespace) -> int:
    from acestep.checkpoints.checkpoint import read_spec
    from acestep.nano.data.sounds import build_bank
    from acestep.nano.evaluate import evaluate
    from acestep.nano.latents import Shards
    from acestep.nano.report import table, write_page
    from acestep.nano.states import needed

    read_spec(arguments.checkpoint)  # what is wrong with it is said before the minutes of work
    latents = needed(arguments.work / "latents", "train WORK --part latents")
    bank = arguments.work / "bank"
    build_bank(bank)
    rows, verdicts = evaluate(
        arguments.checkpoint,
        bank,
        Shards(latents).examples(),
        arguments.clips,
        lambda line: print(line, file=sys.stderr),
    )
    print(table(rows))
    page = write_page(arguments.page or arguments.work / "page", rows, verdicts)
    print(page, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`acestep nano init|data|train|evaluate`: the recipe's steps as commands. Imports torch only when one runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step of the recipe; returns the exit code."""
    parser = argparse.ArgumentParser(prog="acestep nano", description="The recipe of the embedded cascade.")
    steps = parser.add_subparsers(dest="step", required=True)
    init = steps.add_parser("init", help="write a checkpoint with random weights in the final layout")
    init.add_argument("folder", type=Path)
    init.add_argument("--tiny", action="store_true", help="much smaller modules, for tests")
    init.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if arguments.step == "init":
        from acestep.nano.checkpoint import NanoConfig, write_untrained

        tiny = NanoConfig(
            width=64,
            feed_forward=96,
            layers=(2, 2, 1),
            heads=2,
            condition_width=32,
            text_width=32,
            text_layers=1,
            vocabulary=400,
            codec={"width": 32, "blocks": 1, "rounds": 2},
        )
        write_untrained(arguments.folder, tiny if arguments.tiny else None, arguments.seed)
        print(arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

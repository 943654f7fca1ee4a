"""The command `acestep`: serve, generate, models, inspect, and the commands that other modules bring.

Parses and prints; everything heavy is imported by the command that needs it, so that --help is quick.
Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted (server/README.md has the table).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acestep import __version__
from acestep.console.command import run
from acestep.console.terminal import write_plainly
from acestep.console.usage import Parser, spelled_out
from acestep.errors import OutOfMemory
from server.cli.brought import brought
from server.cli.config_flags import add_config, config_of
from server.config import OPTIONS

if TYPE_CHECKING:
    from server.config import Config

# Commands that other parts bring, as entry points of `acestep.commands` (pyproject.toml), and what they do.
DELEGATED = {
    "nano": "the recipe of the embedded cascade: data, train, evaluate",
    "web": "the page in the browser: generate, listen, keep, train",
    "mcp": "tools for assistants that speak MCP, over stdin and stdout",
    "pull": "fetch a published checkpoint",
    "convert": "convert a checkpoint in ACE-Step's original layout",
    "distill": "train a smaller stage to do what a larger one does",
    "compose": "put stages of several checkpoints together as a cascade",
    "lora": "train adapters on your own stems; the same as `lora_studio`",
    "bridge": "install and check the bridges in DAWs; the same as `plugin-bridge`",
}
HAVE_OWN_NAMES = ("lora", "bridge")  # they are told by which name they were called
START = """\
acestep makes clips that fit your song. To begin:

  acestep generate "dusty breakbeat" --bpm 92.5 --key "A minor"    a clip, now
  acestep serve            the daemon that a DAW talks to; `acestep bridge install live` brings Live to it
  acestep web --open       a page in the browser, for all without a DAW
  acestep help             all commands; `acestep help COMMAND` says more about one\
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    write_plainly()
    argv = spelled_out(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in DELEGATED:
        return _delegate(argv[0], argv[1:])

    def command() -> int:
        if not argv:
            print(START)
            return 0
        arguments = parser().parse_args(argv)
        return int(arguments.run(arguments))

    return run("acestep", command)


def _delegate(name: str, argv: list[str]) -> int:
    def command() -> int:
        main_of = brought("acestep.commands", name)
        code = main_of(argv, prog=f"acestep {name}") if name in HAVE_OWN_NAMES else main_of(argv)
        return int(code or 0)

    return run("acestep", command)


def parser(prog: str = "acestep") -> Parser:
    """The whole command line; those of other parts are only named."""
    made = Parser(prog=prog, description="ACE-Step music generation for DAWs: a daemon and its commands.")
    made.add_argument("--version", action="version", version=f"acestep {__version__}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the daemon: OSC, gRPC and MIDI around one model")
    serve.add_argument(
        "--resume", action="store_true", help="rerun the jobs that a crash or stop interrupted"
    )
    add_config(serve, OPTIONS)
    serve.set_defaults(run=_serve)

    from server.cli import daemon as cli_daemon
    from server.cli import files as cli_files
    from server.cli import generate as cli_generate
    from server.cli import packs as cli_packs
    from server.cli import words as cli_words
    from server.cli.batch import command as cli_batch

    generate = commands.add_parser("generate", help="make clips, through a running daemon or in this process")
    cli_generate.add_arguments(generate)
    add_config(generate, ("home", "samples", "host", "grpc_port", "device", "precision", "planner"))
    generate.set_defaults(run=cli_generate.run)

    batch = commands.add_parser(
        "batch", help="make the clips of a file of requests, through a running daemon"
    )
    cli_batch.add_arguments(batch)
    add_config(batch, ("home", "host", "grpc_port"))
    batch.set_defaults(run=cli_batch.run)

    models = commands.add_parser("models", help="list the cascades on this machine")
    models.add_argument("--json", action="store_true", help="print JSON")
    add_config(models, ("home", "host", "grpc_port"))
    models.set_defaults(run=_models)

    _add_listeners(commands)
    cli_daemon.add_commands(commands)
    cli_files.add_commands(commands)
    cli_packs.add_commands(commands)
    cli_words.add_commands(commands)
    for name, doc in DELEGATED.items():
        commands.add_parser(name, help=doc, add_help=False)
    return made


def _add_listeners(commands: "argparse._SubParsersAction[Parser]") -> None:
    """What is heard in a file: its figures, its notes."""
    inspect = commands.add_parser(
        "inspect", help="show tempo, key, bars, chunks and sidecar of an audio file"
    )
    inspect.add_argument("file", type=Path, metavar="FILE", help="the audio file")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.add_argument(
        "--midi",
        type=Path,
        metavar="OUT.mid",
        help="write tempo, key, bars and the notes; `acestep midi` says more",
    )
    inspect.add_argument(
        "--plot", type=Path, metavar="OUT.png", help="draw waveform with bar grid, and spectrogram"
    )
    inspect.set_defaults(run=_inspect)

    midi = commands.add_parser("midi", help="write the notes of an audio file into a MIDI file")
    midi.add_argument("file", type=Path, metavar="FILE", help="the audio file")
    midi.add_argument(
        "--out",
        type=Path,
        metavar="OUT.mid",
        help="the MIDI file (default: FILE's name with .mid, beside it)",
    )
    midi.add_argument(
        "--quantise",
        type=float,
        default=1.0,
        metavar="0–1",
        help="how far notes move to the grid (default 1)",
    )
    midi.add_argument("--bpm", type=float, help="the tempo, where it is known (default: the file's own)")
    midi.add_argument(
        "--hear", choices=("auto", "drums", "notes"), default="auto", help="drums, notes, or both (default)"
    )
    midi.add_argument("--json", action="store_true", help="print JSON")
    midi.set_defaults(run=_midi)


def _serve(arguments: argparse.Namespace) -> int:
    from server.daemon import Daemon, serve

    config, _ = config_of(arguments)
    return serve(Daemon(config), resume=arguments.resume)


def _models(arguments: argparse.Namespace) -> int:
    from google.protobuf.json_format import MessageToDict

    from server.cli.remote import Remote
    from server.library import catalogue
    from server.models import models_for

    config, flags = config_of(arguments)
    remote = Remote.find(config, flags)
    found = remote.cascades() if remote else catalogue.cascades(models_for(config))
    if arguments.json:
        rows = [
            MessageToDict(item, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
            for item in found.cascades
        ]
        print(json.dumps(rows, indent=1))
        return 0
    for item in found.cascades:
        size = f"{item.parameters / 1e6:,.0f} M" if item.parameters else "?"
        marks = ", ".join(
            text for text, shown in (("loaded", item.loaded), ("too large here", not item.fits)) if shown
        )
        print(
            f"{item.name:24} {size:>9}  {'→'.join(item.stages):12} {', '.join(item.supports):40} "
            f"{item.license:10} {marks} {item.note}".rstrip()
        )
    for broken in found.unreadable:
        print(f"{broken.name:24} cannot be read: {broken.message}", file=sys.stderr)
    _print_variants(config)
    return 0


def _print_variants(config: "Config") -> None:
    """The sizes there are: what each needs on this machine, and which cascade here has it."""
    from acestep.checkpoints import memory
    from server.library.catalogue import device_memory

    device, free = device_memory()
    print(
        f"\nvariants (published sizes), with {free / memory.GB:.0f} GB on {device} (--variant auto chooses):"
    )
    here = memory.variants_here(config.home)
    for name, (published, own, shared) in memory.variant_needs().items():
        try:
            plan = memory.plan({name: own}, shared, device, free)
            needs = f"needs {plan.needed_bytes / memory.GB:.1f} GB{' in int8' if plan.int8 else ''}"
        except OutOfMemory:
            needs = "too large here"
        size = f"{published / 1e6:,.0f} M" if published < 1e9 else f"{published / 1e9:.1f} B"
        where = ", ".join(here[name]) or f"not here: {memory.how_to_get(name)}"
        print(f"  {name:5} {size:>7}  {needs:22} {where}")


def _midi(arguments: argparse.Namespace) -> int:
    from acestep.clips import transcribe

    return transcribe.run(arguments)


def _inspect(arguments: argparse.Namespace) -> int:
    from acestep.clips import inspect

    return inspect.run(arguments)


if __name__ == "__main__":
    sys.exit(main())

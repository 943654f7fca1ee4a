"""`lora_studio list`, `show`, `export`, `import`, `merge` and `remove`: the adapters that are here.

Parses and prints; what is done to adapters stands in `library` and `merging`.
"""

import argparse
import json
import sys
from pathlib import Path

from acestep import ranges
from acestep.console.command import FAILED, expanded
from acestep.console.spelling import scaled
from acestep.console.usage import Commands
from acestep.errors import InvalidRequest
from acestep.settings import MAX_ADAPTER_SCALE


def add_library_commands(commands: Commands) -> None:
    """The six commands with their flags."""
    listing = commands.add_parser("list", help="list the adapters that are here")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.set_defaults(run=_list)
    show = commands.add_parser("show", help="what an adapter is and how it was trained")
    show.add_argument("name")
    show.add_argument("--json", action="store_true", help="for programs")
    show.set_defaults(run=_show)
    export = commands.add_parser("export", help="write an adapter as one file or folder for other programs")
    export.add_argument("name")
    export.add_argument("out", type=Path)
    export.add_argument("--format", choices=("peft", "comfyui", "diffusers", "zip"), default="peft")
    export.add_argument("--stage", default="", help="which stage's (default: the only one)")
    export.set_defaults(run=_export)
    bring = commands.add_parser(
        "import", help="take over an adapter from elsewhere: PEFT, LyCORIS, ComfyUI, diffusers"
    )
    bring.add_argument("path", type=Path)
    bring.add_argument("--name", default="", help="name here (default: the file's)")
    bring.add_argument("--base", default="", help="check that it fits this cascade (default: not checked)")
    bring.add_argument("--stage", default="", help="stage it is for (default: every one it fits)")
    bring.set_defaults(run=_import)
    merge = commands.add_parser("merge", help="merge adapters into one, or into a copy of their base")
    merge.add_argument("adapters", nargs="+", metavar="NAME[:SCALE]")
    merge.add_argument("--name", default="", help="name of the merged adapter")
    merge.add_argument(
        "--into", type=Path, help="write a cascade with the adapters built in to this new folder"
    )
    merge.add_argument("--base", default="", help="cascade for --into (default: the adapter's own)")
    merge.set_defaults(run=_merge)
    remove = commands.add_parser("remove", help="delete an adapter that is here")
    remove.add_argument("name")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(run=_remove)
    for command in (listing, show, export, bring, merge, remove):
        command.add_argument(
            "--home",
            type=_home,
            help="the folder that has them (default: ACESTEP_HOME, else the platform's)",
        )


def _list(arguments: argparse.Namespace) -> int:
    from lora_studio.adapters.library import adapters

    found = adapters(arguments.home)
    if arguments.json:
        print(json.dumps([entry.to_dict() for entry in found], indent=1, ensure_ascii=False))
        return 0
    if not found:
        print("no adapters yet: lora_studio train FOLDER --name NAME")
    for entry in found:
        print(
            f"{entry.name}  for {entry.base or 'any base that fits'}  "
            f"stages {', '.join(entry.stages)}  {entry.note}"
        )
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from lora_studio.adapters.library import find

    entry = find(arguments.name, arguments.home)
    if arguments.json:
        print(json.dumps(entry.to_dict(), indent=1, ensure_ascii=False))
    else:
        print(entry.card())
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from lora_studio.adapters.library import export

    print(export(arguments.name, arguments.out, arguments.format, arguments.stage, arguments.home))
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from lora_studio.adapters.library import bring_in

    entry = bring_in(arguments.path, arguments.name, arguments.base, arguments.stage, arguments.home)
    print(f"adapter {entry.name}: stages {', '.join(entry.stages)}, {entry.folder}")
    if entry.left_out:
        from acestep.adapters.files import listed

        print(f"left out, because no layer of ACE-Step is called so: {listed(entry.left_out)}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    from acestep.adapters.files import adapters_folder, available
    from lora_studio.adapters.library import remove

    path = available(adapters_folder(arguments.home)).get(arguments.name)
    if path is not None and not arguments.yes:
        if not sys.stdin.isatty():
            raise InvalidRequest(f"{path} would be deleted for good: add --yes if that is meant")
        if input(f"Delete {path} for good? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return FAILED
    print(f"deleted: {remove(arguments.name, arguments.home)}")
    return 0


def _merge(arguments: argparse.Namespace) -> int:
    from lora_studio.adapters.merging import merge_adapters, merge_into_base

    wanted = [_scaled(text) for text in arguments.adapters]
    if arguments.into:
        print(merge_into_base(wanted, arguments.base, arguments.into, arguments.home))
        return 0
    if not arguments.name:
        raise InvalidRequest("merge needs --name for a merged adapter, or --into for a cascade")
    print(merge_adapters(wanted, arguments.name, arguments.home).folder)
    return 0


def _home(text: str) -> Path:
    """For argparse: a home, wherever the command is called."""
    return expanded(text).absolute()


def _scaled(text: str) -> tuple[str, float]:
    try:
        name, scale = scaled(text)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    return name, ranges.number(f"scale of {name}", scale, -MAX_ADAPTER_SCALE, MAX_ADAPTER_SCALE)

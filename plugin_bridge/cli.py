"""The command `plugin-bridge`: install, uninstall, status, monitor, doctor.

Parses and prints. Exit codes: 0 done, 1 failed or something is wrong, 2 bad input, 130 interrupted.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from acestep.console.command import port, run
from acestep.console.usage import Parser, spelled_out
from plugin_bridge import folders
from plugin_bridge.errors import NotFound, Unavailable
from protos import WIRE_VERSION

START = """\
plugin-bridge brings ACE-Step into a DAW. To begin:

  plugin-bridge install live     Ableton Live; also: reaper, vst (for every other DAW)
  acestep serve                  the daemon that it talks to
  plugin-bridge doctor           says what is missing
  plugin-bridge --help           all commands\
"""


def main(argv: Sequence[str] | None = None, prog: str = "plugin-bridge") -> int:
    """Runs one command; returns the exit code."""
    argv = spelled_out(sys.argv[1:] if argv is None else argv)

    def command() -> int:
        if not argv:
            print(START)
            return 0
        arguments = parser(prog).parse_args(argv)
        return int(arguments.run(arguments))

    return run(prog, command)


def parser(prog: str = "plugin-bridge") -> Parser:
    """The whole command line."""
    made = Parser(prog=prog, description="Brings ACE-Step into a DAW.")
    made.add_argument("--version", action="version", version=f"plugin-bridge {_version()}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    install = commands.add_parser("install", help="copy a bridge to where the DAW looks for it")
    uninstall = commands.add_parser("uninstall", help="take it away again; changed files stay")
    for command in (install, uninstall):
        command.add_argument("target", choices=folders.TARGETS, help="which DAW, or the plugin")
        command.add_argument("--dry-run", action="store_true", help="only say what would be done")
        command.add_argument("--folder", type=Path, metavar="DIR", help="instead of the one that is found")
    install.add_argument(
        "--from",
        dest="built",
        type=Path,
        metavar="PATH",
        help="vst: a folder with built plugins, or the zip of a release (default: what was built in the "
        "clone, else a zip of this version beside the package, else this version's release is downloaded)",
    )
    install.set_defaults(run=_install)
    uninstall.set_defaults(run=_uninstall)

    status = commands.add_parser("status", help="what is installed where")
    status.add_argument("--json", action="store_true", help="for programs: a list of tables")
    status.set_defaults(run=_status)

    monitor = commands.add_parser("monitor", help="print the daemon's OSC traffic until interrupted")
    monitor.add_argument("--port", type=port, metavar="N", help="the daemon's (default: as it says itself)")
    monitor.add_argument(
        "--relay",
        type=port,
        metavar="N",
        help="also listen here for a controller, print and pass on what it sends",
    )
    monitor.set_defaults(run=_monitor)

    doctor = commands.add_parser("doctor", help="check daemon, ports, folders and versions")
    doctor.set_defaults(run=_doctor)
    return made


def _version() -> str:
    try:
        return metadata.version("acestep-bridge")
    except metadata.PackageNotFoundError:  # copied somewhere without being installed
        return f"unknown (wire version {WIRE_VERSION})"


def _install(arguments: argparse.Namespace) -> int:
    from acestep.home import home
    from plugin_bridge import install

    if arguments.folder and not arguments.folder.is_dir():
        raise NotFound(_no_folder(arguments))
    with tempfile.TemporaryDirectory(prefix="plugin-bridge-") as scratch:
        plans = _plans(arguments, Path(scratch))
        for plan in plans:
            for step in install.install(plan, home(), arguments.dry_run):
                _print_step(step, arguments.dry_run)
    if arguments.target == "live":
        print(install.write_live_settings(home(), install.daemon_command(), arguments.dry_run))
    if not arguments.dry_run:
        print("\n" + next(plan.hint for plan in plans if plan.hint))
    return 0


def _plans(arguments: argparse.Namespace, scratch: Path) -> list[folders.Installation]:
    """What goes where; packages of a release are brought to and unpacked in `scratch`.

    Raises NotFound or Unavailable where there is no plugin, InvalidRequest for one that is not as released.
    """
    from plugin_bridge import releases

    target, built = arguments.target, arguments.built
    machine = folders.this_machine(sys.platform)
    folder = arguments.folder and arguments.folder.absolute()
    if target != "vst" or (built and not built.is_file()):
        return folders.plans(target, machine, folder, built)
    if built is None:
        try:
            return folders.plans(target, machine, folder)
        except NotFound as error:
            nothing_built = error
        built = releases.beside(folders.HERE.parent, machine.platform)
    if built is None:
        try:
            built = releases.download(scratch, machine.platform)
        except (NotFound, Unavailable) as error:
            raise type(error)(f"{nothing_built}. No release instead: {error}") from error
    print(f"from {built.name}")
    return folders.plans(target, machine, folder, releases.unpack(built, scratch / "unpacked"))


def _uninstall(arguments: argparse.Namespace) -> int:
    from acestep.home import home
    from plugin_bridge import install

    machine = folders.this_machine(sys.platform)
    places = {
        "live": [folders.live_folder(machine)],
        "reaper": [folders.reaper_folder(machine)],
        "vst": list(folders.plugin_folders(machine).values()),
    }
    targets = [arguments.folder.absolute()] if arguments.folder else places[arguments.target]
    steps = install.uninstall(targets, home(), arguments.dry_run)
    if not steps and arguments.folder and not arguments.folder.is_dir():
        raise NotFound(_no_folder(arguments))
    for step in steps:
        _print_step(step, arguments.dry_run)
    if not steps:
        print(f"nothing of ours in {', '.join(map(str, targets))}")
    return 0


def _no_folder(arguments: argparse.Namespace) -> str:
    meant = folders.MEANT[arguments.target]
    return (
        f"there is no folder {arguments.folder.absolute()}: expected {meant}. Correct --folder, make the "
        f"folder first, or leave --folder out (`plugin-bridge install {arguments.target} --dry-run` says "
        "where it then goes)"
    )


def _print_step(step: object, dry_run: bool) -> None:
    from plugin_bridge.install import Step

    assert isinstance(step, Step)
    print(f"{'would ' if dry_run else ''}{step.action:8}{step.path}{f' ({step.why})' if step.why else ''}")


def _status(arguments: argparse.Namespace) -> int:
    rows = [row for target in folders.TARGETS for row in _states(target)]
    if arguments.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['name']:8}{row['state']:12}{row['where'] or row['note']}")
    return 0


def _states(target: str) -> list[dict[str, object]]:
    """A row for each folder; only one, and not installed, where there is nothing to install."""
    from acestep.home import home
    from plugin_bridge import install

    machine = folders.this_machine(sys.platform)
    note, found = "", list[tuple[Path | None, str]]()
    try:
        found = [(plan.folder, install.state_of(plan, home())) for plan in folders.plans(target, machine)]
    except NotFound as error:  # the plugin, which may have come from a release
        places = folders.plugin_folders(machine).values()
        states = [(place, install.state_without_source(place, home())) for place in places]
        found = [(place, state) for place, state in states if state != "absent"]
        if not found:
            note, found = str(error), [(None, "absent")]
    row = {"name": target, "title": folders.TITLES[target], "install": f"plugin-bridge install {target}"}
    return [
        {
            **row,
            "state": state,
            "installed": state == "installed",
            "where": str(where or ""),
            "note": note or folders.STATES.get(state, ""),
        }
        for where, state in found
    ]


def _monitor(arguments: argparse.Namespace) -> int:
    from acestep.home import home
    from plugin_bridge.doctor import announced
    from plugin_bridge.monitor import Monitor

    host, port = announced(home())
    port = arguments.port or port
    print(f"shows the OSC messages from and to port {port}; Ctrl-C ends", file=sys.stderr, flush=True)
    monitor = Monitor((host, port), _line, arguments.relay, _note)
    try:
        monitor.run()
    finally:
        monitor.close()
    return 0


def _line(text: str) -> None:
    print(text, flush=True)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _doctor(arguments: argparse.Namespace) -> int:
    from acestep.home import home
    from plugin_bridge.doctor import examine

    good = True
    for finding in examine(folders.this_machine(sys.platform), home()):
        print(finding)
        good = good and finding.good is not False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

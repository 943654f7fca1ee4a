"""The command `plugin-bridge`: install, uninstall, status, monitor, doctor.

Parses and prints. Exit codes: 0 done, 1 failed or something is wrong, 2 bad input, 130 interrupted.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from acestep.console.command import port, run
from acestep.console.usage import Parser, spelled_out
from plugin_bridge import folders
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
        "--from", dest="built", type=Path, metavar="DIR", help="vst: where the built plugins lie"
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

    plans = folders.plans(
        arguments.target, folders.this_machine(sys.platform), arguments.folder, arguments.built
    )
    for plan in plans:
        for step in install.install(plan, home(), arguments.dry_run):
            _print_step(step, arguments.dry_run)
    if arguments.target == "live":
        print(install.write_live_settings(home(), install.daemon_command(), arguments.dry_run))
    if not arguments.dry_run:
        print("\n" + next(plan.hint for plan in plans if plan.hint))
    return 0


def _uninstall(arguments: argparse.Namespace) -> int:
    from acestep.home import home
    from plugin_bridge import install

    machine = folders.this_machine(sys.platform)
    places = {
        "live": [folders.live_folder(machine)],
        "reaper": [folders.reaper_folder(machine)],
        "vst": list(folders.plugin_folders(machine).values()),
    }
    targets = [arguments.folder] if arguments.folder else places[arguments.target]
    steps = install.uninstall(targets, home(), arguments.dry_run)
    for step in steps:
        _print_step(step, arguments.dry_run)
    if not steps:
        print(f"nothing of ours in {', '.join(map(str, targets))}")
    return 0


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
    from plugin_bridge.errors import NotFound

    command = f"plugin-bridge install {target}"
    row = {"name": target, "title": folders.TITLES[target], "install": command}
    try:
        plans = folders.plans(target, folders.this_machine(sys.platform))
    except NotFound as error:
        return [{**row, "state": "absent", "installed": False, "where": "", "note": str(error)}]
    rows = []
    for plan in plans:
        state = install.state_of(plan, home())
        rows.append(
            {
                **row,
                "state": state,
                "installed": state == "installed",
                "where": str(plan.folder),
                "note": folders.STATES.get(state, ""),
            }
        )
    return rows


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

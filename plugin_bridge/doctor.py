"""Looks whether everything a bridge needs is there, and says what to do where it is not.

It looks at daemon, ports, folders and versions, and repairs nothing.
"""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plugin_bridge import calls, folders, install
from plugin_bridge.ableton.AceStep import home_files, osc
from plugin_bridge.client import Bridge
from plugin_bridge.errors import BridgeError, Unavailable
from plugin_bridge.words import Status
from protos import WIRE_VERSION, speaks_ours

PING_S = 1.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `good` is None for what is only worth knowing."""

    good: bool | None
    text: str

    def __str__(self) -> str:
        return f"{ {True: 'ok', False: 'FAIL', None: '-'}[self.good]:5}{self.text}"


def examine(machine: folders.Machine, home: Path) -> Iterator[Finding]:
    """All findings, in the order in which things depend on each other."""
    status = None
    try:
        with Bridge() as bridge:
            began = time.perf_counter()
            status = bridge.status()
            took_ms = (time.perf_counter() - began) * 1000
            address = bridge.target.address
        yield Finding(True, f"the daemon {status.version} answers at {address} (gRPC) in {took_ms:.0f} ms")
    except Unavailable:
        yield Finding(False, _nobody(home))
    except BridgeError as error:
        yield Finding(False, str(error))
    if status is not None:
        yield from _daemon(status)
    else:
        yield from _ports()
    yield _writable("home", home)
    yield from _bridges(machine, home)


def _nobody(home: Path) -> str:
    """That no daemon runs, and what is known of the last one or of the address that was named."""
    address = os.environ.get("ACESTEP_ADDRESS", "")
    if address:
        return f"no daemon answers at {address} (ACESTEP_ADDRESS): start it there with `acestep serve`"
    if (home / "daemon.json").exists():  # written when it is ready, removed when it ends by itself
        return (
            "no daemon runs, and the last one did not end by itself: start it with `acestep serve --resume`"
        )
    return "no daemon runs: start it with `acestep serve`"


def _daemon(status: Status) -> Iterator[Finding]:
    try:
        calls.check_wire(status, "this machine")
        yield Finding(True, f"both sides speak wire version {WIRE_VERSION}")
    except BridgeError as error:
        yield Finding(False, str(error))
    yield ping("127.0.0.1", status.osc_port)
    yield _writable("samples folder", Path(status.samples_folder))
    yield Finding(
        None,
        f"cascade {status.cascade or 'none'} on {status.device}, {status.queued} "
        f"job{'' if status.queued == 1 else 's'} waiting",
    )


def ping(host: str, port: int) -> Finding:
    """Asks the daemon by OSC and checks the wire version it answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PING_S)
        began = time.perf_counter()
        try:
            asking.sendto(osc.encode("/acestep/ping"), (host, port))
            ((_, args),) = osc.decode(asking.recv(8192))
        except (OSError, ValueError):
            return Finding(False, f"no answer by OSC on port {port}: is it the daemon that holds this port?")
    took_ms = (time.perf_counter() - began) * 1000
    wire = str(args[1]) if len(args) > 1 else "?"
    if not speaks_ours(wire):
        return Finding(False, f"OSC on port {port} speaks wire version {wire}, expected {WIRE_VERSION}")
    return Finding(True, f"the daemon answers on port {port} (OSC) in {took_ms:.1f} ms")


def _ports() -> Iterator[Finding]:
    """Without a daemon: whether the ports it would take are free."""
    for name, kind, usual in (
        ("gRPC", socket.SOCK_STREAM, 50551),
        ("OSC", socket.SOCK_DGRAM, home_files.DAEMON_PORT),
    ):
        told = os.environ.get(f"ACESTEP_{name.upper()}_PORT", "")
        port = int(told) if told.isdigit() and int(told) < 65_536 else usual
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
                yield Finding(None, f"port {port} ({name}) is free")
            except OSError:
                text = (
                    f"port {port} ({name}) is taken by another program: stop it, or give the daemon another"
                )
                yield Finding(False, f"{text} with --{name.lower()}-port")


def _writable(what: str, folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding(None, f"the {what} {folder} is not there yet: the daemon makes it")
    if not os.access(folder, os.W_OK):
        return Finding(False, f"the {what} {folder} cannot be written: change its rights, or choose another")
    return Finding(True, f"the {what} {folder} can be written")


def _bridges(machine: folders.Machine, home: Path) -> Iterator[Finding]:
    for target in ("live", "reaper"):
        (plan,) = folders.plans(target, machine)
        state = install.state_of(plan, home)
        words = {
            "installed": (True, f"the {target} script is installed in {plan.folder}"),
            "absent": (None, f"the {target} script is not installed: `plugin-bridge install {target}`"),
        }
        good, text = words.get(
            state,
            (False, f"the {target} script in {plan.folder} is {state}: `plugin-bridge install {target}`"),
        )
        yield Finding(good, text + _spoken(plan))
    for problem in [*home_files.load(home)[1], *home_files.presets(home)[1]]:
        yield Finding(False, problem)


def _spoken(plan: folders.Installation) -> str:
    """The wire version of an installed script, where it is another than ours."""
    for inside in plan.files:
        path = plan.folder / inside
        text = path.read_text("utf-8", "replace") if path.is_file() else ""
        found = re.search(r'^WIRE_VERSION = "(.*?)"', text, re.MULTILINE)
        if found and not speaks_ours(found[1]):
            return f" (it speaks wire version {found[1]}, expected {WIRE_VERSION})"
    return ""


def announced(home: Path) -> tuple[str, int]:
    """Where this machine's daemon listens for OSC, as it says itself, else the default."""
    try:
        told = json.loads((home / "daemon.json").read_text("utf-8"))
        return "127.0.0.1", int(told["osc_port"])
    except (OSError, ValueError, KeyError, TypeError):
        return "127.0.0.1", home_files.DAEMON_PORT

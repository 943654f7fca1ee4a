"""What the set-up page asks of this machine: the bridges installed in its DAWs, and this package's version.

Asks by running `plugin-bridge status --json`, as a user would.
"""

import importlib.metadata
import json
import subprocess
from collections.abc import Sequence
from typing import Any

from plugin_bridge.errors import BridgeError
from plugin_bridge.programs import program

TIMEOUT_S = 20
FIELDS = ("name", "title", "where", "note", "install")


def version() -> str:
    """Of this package; "unknown" when it runs from a folder without having been installed."""
    try:
        return importlib.metadata.version("acestep-bridge")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def installed_bridges(command: Sequence[str] | None = None) -> tuple[list[dict[str, Any]], str]:
    """The bridges, and what went wrong while looking ("" if nothing)."""
    try:
        done = subprocess.run(
            command or (program("plugin-bridge"), "status", "--json"),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired, BridgeError) as error:
        return [], f"`plugin-bridge status` cannot be run: {error}"
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = None
    if not isinstance(told, list):
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        return [], f"`plugin-bridge status` says: {last[0] if last else f'nothing (exit {done.returncode})'}"
    return [_bridge(one) for one in told if isinstance(one, dict)], ""


def _bridge(told: dict[str, Any]) -> dict[str, Any]:
    bridge: dict[str, Any] = {name: str(told.get(name) or "") for name in FIELDS}
    bridge["title"] = bridge["title"] or bridge["name"]
    bridge["install"] = bridge["install"] or f"plugin-bridge install {bridge['name']}"
    bridge["installed"] = bool(told.get("installed"))
    return bridge

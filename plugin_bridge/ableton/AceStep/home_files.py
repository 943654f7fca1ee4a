"""What the musician has set up: `live.json` and `presets.json` in the daemon's home, and where the daemon is.

A broken file is reported and then ignored, never repaired or overwritten.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Mapping

DAEMON_PORT = 9127
HOST = "127.0.0.1"

DEFAULTS = {
    "host": HOST,  # where the script listens; another one only together with `allow`
    "port": 9128,
    "allow": [],  # addresses of tablets that may send when `host` is not loopback
    "daemon": [],  # the command that starts the daemon; written by the installer
    "start_daemon": False,  # start it with Live
    "where": "auto",  # auto (the view that is open), session, arrangement
    "source": "auto",  # where prompts come from: auto, prompt, preset, clip, track
    "beside_set": True,  # clips go beside a saved set where the daemon allows it
    "warp_mode": 4,  # Live's number: 0 Beats, 1 Tones, 2 Texture, 3 Re-Pitch, 4 Complex, 6 Complex Pro
    "midi": [],  # [{"action": "generate", "type": "note", "channel": 1, "number": 60}, …]
    "request": {"bars": 4, "takes": 1},
}  # type: dict[str, Any]


def home() -> Path:
    """`ACESTEP_HOME`, else the platform's data folder, as the daemon chooses it."""
    told = os.environ.get("ACESTEP_HOME")
    if told:
        return Path(told)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "acestep"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "acestep"
    data = os.environ.get("XDG_DATA_HOME", "").strip()
    return (Path(data) if data else Path.home() / ".local" / "share") / "acestep"


def load(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The settings, and what is wrong with their file."""
    values = dict(DEFAULTS)
    told, complaints = _read_json(folder / "live.json")
    if not isinstance(told, dict):
        return values, complaints or ["live.json is not a table of settings: its defaults are used"]
    for name, value in told.items():
        if name not in DEFAULTS:
            complaints.append(f"live.json: {name} is not a setting")
        elif not _same_type(value, DEFAULTS[name]):
            complaints.append(f"live.json: {name} is not like {DEFAULTS[name]!r}")
        else:
            values[name] = value
    return values, complaints


def presets(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Prompts by name, `[{"name", "prompt", …settings}]`, and what is wrong with their file."""
    told, complaints = _read_json(folder / "presets.json")
    if isinstance(told, dict):
        told = told.get("presets", [])
    if not isinstance(told, list):
        return [], [*complaints, "presets.json is not a list of presets"]
    good = [dict(item) for item in told if isinstance(item, Mapping) and isinstance(item.get("prompt"), str)]
    if len(good) < len(told):
        complaints.append(f"presets.json: {len(told) - len(good)} presets have no prompt")
    for number, item in enumerate(good, 1):
        item.setdefault("name", f"preset {number}")
    return good, complaints


def daemon_address(folder: Path) -> tuple[str, int]:
    """Where the running daemon says it listens (`daemon.json`), else the default."""
    told, _ = _read_json(folder / "daemon.json")
    port = told.get("osc_port") if isinstance(told, dict) else None
    return HOST, port if isinstance(port, int) and 0 < port < 65536 else DAEMON_PORT


def _read_json(path: Path) -> tuple[Any, list[str]]:
    try:
        return json.loads(path.read_text("utf-8")), []
    except FileNotFoundError:
        return {}, []
    except (OSError, ValueError) as error:
        why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
        return {}, [f"{path.name} cannot be read ({why}): it is ignored"]


def _same_type(value: Any, like: Any) -> bool:
    if isinstance(like, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(like, bool)
    return isinstance(value, type(like))

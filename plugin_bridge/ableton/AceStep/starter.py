"""Starts the daemon as a process of its own, which goes on when Live quits.

The command is in live.json, where the installer wrote it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

from .slots import Refused


def start(command: list[Any]) -> subprocess.Popen[bytes]:
    """Starts it; what is returned ends at once and is to be polled. Raises Refused, saying what to do."""
    words = [str(word) for word in command] or _from_path()
    if shutil.which(words[0]) is None:
        raise Refused(f"{words[0]} is not there: run `plugin-bridge install live` again, or `acestep serve`")
    # Live's own Python must not leak into another one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    nothing = subprocess.DEVNULL
    options: dict[str, Any] = {"stdin": nothing, "stdout": nothing, "stderr": nothing, "env": environment}
    if sys.platform == "win32":
        options["creationflags"] = 0x00000008 | 0x00000200  # DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP
    else:
        # A shell that starts it in the background and ends: the daemon is nobody's child, Live can forget it.
        words = ["/bin/sh", "-c", '"$@" &', "sh", *words]
        options["start_new_session"] = True
    try:
        return subprocess.Popen(words, **options)
    except OSError as error:
        raise Refused(f"{words[0]} cannot be started ({error}): run it yourself in a terminal") from error


def _from_path() -> list[str]:
    found = shutil.which("acestep")
    if not found:
        raise Refused(
            "live.json has no `daemon` command: run `plugin-bridge install live` again, or `acestep serve`"
        )
    return [found, "serve"]

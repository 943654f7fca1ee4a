"""The commands of this project as programs: `acestep`, `lora_studio`, `plugin-bridge`.

A bridge runs them as a user would, in processes of their own, and imports none of their code.
"""

import os
import shutil
import sys
from pathlib import Path

from plugin_bridge.errors import NotFound


def program(name: str) -> str:
    """The path of a command: installed beside this Python, else the first on PATH. Raises NotFound."""
    beside = Path(sys.executable).with_name(f"{name}.exe" if os.name == "nt" else name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise NotFound(f"the command {name} is not installed: install acestep-bridge, or add it to PATH")
    return found

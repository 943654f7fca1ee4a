"""The home: the folder where cascades, adapters, settings and the daemon's own files live.

Whoever works in another one is given it as a parameter; this is where the user's own is.
"""

import os
from pathlib import Path

from acestep.console.command import expanded


def home() -> Path:
    """The user's: ACESTEP_HOME, else the platform's data folder."""
    told = os.environ.get("ACESTEP_HOME")
    return expanded(told).absolute() if told else platform_home()


def platform_home() -> Path:
    """Where this platform keeps data of programs."""
    import platformdirs

    return Path(platformdirs.user_data_dir("acestep", appauthor=False))


def make_private(top: Path, *inside: str) -> Path:
    """A folder in a home, made where it is missing; only its owner may look in (mode 0700)."""
    top.parent.mkdir(parents=True, exist_ok=True)
    folders = [top.joinpath(*inside[:count]) for count in range(len(inside) + 1)]
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.name == "posix" and folder.stat().st_uid == os.geteuid() and folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    return folders[-1]

"""What `acestep web` and `acestep mcp` have in common: their packages, and which daemon they are for."""

import argparse
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from acestep.errors import NotFound


def lacks(what: str, needed: Iterable[str]) -> bool:
    """Whether packages are missing that `what` needs; says how they are installed."""
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"{what} needs {', '.join(missing)}, which are not installed. Install them with:\n"
            f"  {sys.executable} -m pip install {' '.join(missing)}",
            file=sys.stderr,
        )
    return bool(missing)


def add_daemon(parser: argparse.ArgumentParser) -> None:
    """Which daemon, and what proves that it is the one."""
    parser.add_argument(
        "--daemon",
        default="",
        metavar="HOST:PORT",
        help="the daemon, default ACESTEP_ADDRESS, else 127.0.0.1:50551",
    )
    parser.add_argument("--no-start", action="store_true", help="do not start a daemon when none runs")
    parser.add_argument(
        "--daemon-certificate",
        type=Path,
        metavar="FILE",
        help="the certificate of a daemon elsewhere, default ACESTEP_CERTIFICATE, else tls/cert.pem in home",
    )


def certificate(arguments: argparse.Namespace) -> str:
    """The file of the daemon's certificate, "" where none is named. Raises NotFound."""
    file: Path | None = arguments.daemon_certificate
    if file is None:
        return ""
    if not file.is_file():
        raise NotFound(
            f"--daemon-certificate {file} is not there: expected a copy of tls/cert.pem in that daemon's home"
        )
    return str(file.absolute())

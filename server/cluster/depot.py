"""An actor on the daemon's machine: it hands files to the replicas, and keeps the roll of them.

It ends with the daemon, by which replicas know that nobody waits for their work. Only files that the daemon
has put on offer can be had.
"""

import getpass
import hashlib
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from acestep.version import __version__
from server.cluster.work import PIECE_BYTES, Model, Sign

LOST_S = 10.0  # a replica that has told nothing for so long is gone


class Depot:
    """By digest of a bundle and path inside of it, what the daemon has put on offer; and who is there."""

    def __init__(self, daemon: str) -> None:
        self._daemon = daemon
        self._offered: dict[str, dict[str, str]] = {}
        self._signs: dict[str, tuple[float, Sign]] = {}
        self._strangers: dict[str, tuple[float, str]] = {}
        self._model: Model | None = None

    def owner(self) -> str:
        """Whose it is, in words."""
        return self._daemon

    def offer(self, bundles: Mapping[str, Mapping[str, str]]) -> None:
        """Digest → path inside of the bundle → path on this machine."""
        for digest, files in bundles.items():
            self._offered[digest] = dict(files)

    def read(self, digest: str, file: str, offset: int) -> tuple[bytes, str] | str:
        """The next bytes of a file and their hash; in words why not."""
        path = self._offered.get(digest, {}).get(file)
        if path is None:
            return "the daemon does not offer it"
        try:
            with Path(path).open("rb") as stream:
                stream.seek(offset)
                body = stream.read(PIECE_BYTES)
        except OSError as error:
            return f"{getpass.getuser()} on the daemon's machine cannot read {path} ({error.strerror})"
        return body, hashlib.sha256(body).hexdigest()

    def expect(self, model: Model) -> None:
        """What replicas load before the first job."""
        self._model = model

    def sign(self, told: Mapping[str, Any]) -> tuple[str, Model | None]:
        """A replica is there, as the fields of `Sign` tell; the answer: our version, and what to load."""
        sign = Sign(**{one.name: told[one.name] for one in fields(Sign) if one.name in told})
        if sign.version == __version__:
            self._signs[sign.name] = (time.monotonic(), sign)
        else:
            self.refuse(sign.host, sign.version)
        return __version__, self._model

    def refuse(self, host: str, version: str) -> None:
        """A machine with another version of this package asked for work."""
        self._strangers[host] = (time.monotonic(), version)

    def leave(self, name: str) -> None:
        """A replica is gone."""
        self._signs.pop(name, None)

    def roll(self) -> tuple[list[Sign], dict[str, str]]:
        """The replicas that are there, and the machines with another version: host → version."""
        since = time.monotonic() - LOST_S
        self._signs = {name: (at, sign) for name, (at, sign) in self._signs.items() if at > since}
        strange = {host: version for host, (at, version) in self._strangers.items() if at > since - LOST_S}
        return [sign for _, sign in self._signs.values()], strange

"""Who may ask, for what, and how often: allowed folders, the token, loopback, networks, rates.

Decides and raises.
"""

import hmac
import ipaddress
import os
import secrets
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from acestep.errors import ForbiddenPath, InvalidRequest, StorageError, Unauthenticated
from acestep.files import write_new, write_whole

MAX_PATH_CHARS = 4_096
MAX_SENDERS_REMEMBERED = 1_024


class AllowedFolders:
    """The folders that paths in requests may lie in: `folders`, and the user's home without hidden ones."""

    def __init__(self, folders: Iterable[Path], user_home: Path | None = None):
        self.folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))
        self.user_home = (user_home or Path.home()).resolve()

    def check(self, path: str, *, by_owner: bool = False) -> Path:
        """The path with all symlinks resolved, which is the one to open. Raises ForbiddenPath outside.

        The file need not exist: whether it does is told only inside the allowed folders. `by_owner`: the
        caller has shown that it is the daemon's own user, who may name any path.
        """
        if not path.strip() or "\0" in path or len(path) > MAX_PATH_CHARS:
            raise InvalidRequest("a path is empty, too long or holds a zero byte: expected an absolute path")
        try:
            given = Path(path).expanduser()
            resolved = given.resolve()
        except (OSError, RuntimeError, ValueError) as error:  # symlink loops, unknown ~user
            raise ForbiddenPath(
                f"path {path!r} cannot be resolved ({error}): expected a plain path"
            ) from None
        if not given.is_absolute():
            raise InvalidRequest(f"path {path!r} is relative: expected an absolute path")
        if not by_owner and not self._allows(resolved):
            where = f"{resolved} (behind {path})" if resolved != given else str(resolved)
            raise ForbiddenPath(
                f"{where} is outside the allowed folders ({self.describe()}): move the file there, or add "
                "its folder to allowed_folders in config.toml"
            )
        return resolved

    def _allows(self, resolved: Path) -> bool:
        if any(resolved.is_relative_to(folder) for folder in self.folders):
            return True
        if not resolved.is_relative_to(self.user_home):
            return False
        return not any(part.startswith(".") for part in resolved.relative_to(self.user_home).parts)

    def describe(self) -> str:
        """The allowed folders in words."""
        return ", ".join([*map(str, self.folders), f"{self.user_home} without its hidden folders"])


def is_loopback(host: str) -> bool:
    """True for names and addresses that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Senders:
    """Which addresses may send OSC: this machine, and the networks on the allow-list."""

    def __init__(self, allow: Sequence[str]):
        self.networks = [ipaddress.ip_network(entry, strict=False) for entry in allow]

    def allows(self, host: str) -> bool:
        """True if a message from this address is to be read at all."""
        if is_loopback(host):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


def private_folder(path: Path) -> None:
    """Makes a folder that only its owner may look into, or takes the others' rights away from it (mode 0700).

    Raises StorageError where it cannot be made, InvalidRequest for one that another user owns.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        if os.name != "posix":  # on Windows the user's own folders are private by inheritance
            return
        found = path.stat()
        if found.st_uid != os.geteuid() and os.geteuid() != 0:
            raise InvalidRequest(f"{path} belongs to another user: choose a folder of your own with --home")
        if found.st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise StorageError(
            f"the home {path} cannot be made ({error.strerror}): name another with --home or ACESTEP_HOME"
        ) from None


def private_file(path: Path) -> Path:
    """The path, of a file that now exists and that only its owner may read (mode 0600).

    What is there and is no file stays as it is: whoever opens it will say so.
    """
    if path.exists() and not path.is_file():
        return path
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return path


def read_private_key(path: Path) -> bytes:
    """A TLS key. Raises InvalidRequest for one that other users can read.

    As is usual, the group may read a key that belongs to root.
    """
    try:
        found = path.stat()
        key = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read ({error.strerror}): expected a key (PEM)") from None
    forbidden = 0o037 if found.st_uid == 0 else 0o077
    if os.name == "posix" and found.st_mode & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        raise InvalidRequest(f"the TLS key {path} can be read by others (mode {mode:o}): chmod 600 it")
    return key


def read_or_create_token(path: Path) -> str:
    """The token in `path`, created with mode 0600 when missing; a file others can read is refused."""
    try:
        if not path.exists():
            write_new(path, f"{secrets.token_urlsafe(32)}\n".encode(), private=True)
    except OSError as error:
        raise StorageError(f"cannot create the token {path} ({error}): make its folder writable") from None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        token = path.read_text("utf-8", "replace").strip()
    except OSError as error:
        raise StorageError(f"cannot read the token {path} ({error}): delete it, a new one is made") from None
    if os.name == "posix" and mode & 0o077:
        raise InvalidRequest(f"the token {path} can be read by others (mode {mode:o}): chmod 600 it")
    if len(token) < 16:
        raise InvalidRequest(f"the token {path} is too short: delete it, a new one is made")
    if not token.isascii():  # gRPC's metadata are ASCII
        raise InvalidRequest(f"the token {path} is damaged: delete it, a new one is made")
    return token


def new_owner_key(path: Path) -> str:
    """A new secret in `path` with mode 0600: who shows it can read this user's files, so is this user.

    Made anew at every start: one told to a stranger on a dead daemon's port is worth nothing.
    """
    key = secrets.token_urlsafe(32)
    try:
        write_whole(path, f"{key}\n".encode(), private=True)
    except OSError as error:
        raise StorageError(f"cannot write {path} ({error}): make its folder writable") from None
    return key


def is_owner(key: str, shown: str, peer: str) -> bool:
    """Whether a call with this key, from this gRPC peer, comes from the daemon's own user on this machine."""
    kind, _, address = unquote(peer).partition(":")
    local = kind == "unix" or (kind in ("ipv4", "ipv6") and is_loopback(address.rpartition(":")[0]))
    return bool(key) and local and hmac.compare_digest(key.encode(), shown.encode())


def check_token(expected: str, authorization: str) -> None:
    """Raises Unauthenticated unless `authorization` is `Bearer` and the token (compared in constant time)."""
    if not authorization:
        raise Unauthenticated(
            "the call carries no token: send metadata `authorization: Bearer TOKEN`; it is in the file "
            "`token` in the daemon's home"
        )
    if not hmac.compare_digest(authorization.encode(), f"Bearer {expected}".encode()):
        raise Unauthenticated("the token is wrong: it is in the file `token` in the daemon's home")


class RateLimit:
    """A token bucket per sender: `rate_hz` on average, `burst` at once; of messages, bytes or anything."""

    def __init__(self, rate_hz: float, burst: float, clock: Callable[[], float] = time.monotonic):
        self.rate_hz = rate_hz
        self.burst = burst
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # sender → (left, at)

    def allows(self, sender: str, cost: float = 1) -> bool:
        """True if this sender may go on now; counts the attempt at its `cost`."""
        now = self._clock()
        with self._lock:
            left, at = self._buckets.pop(sender, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.rate_hz)
            allowed = left >= cost
            self._buckets[sender] = (left - cost if allowed else left, now)
            while len(self._buckets) > MAX_SENDERS_REMEMBERED:
                self._buckets.popitem(last=False)
        return allowed

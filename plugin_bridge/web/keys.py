"""The page's secrets on disk: the token that opens it, and the key of its certificate.

Neither may be readable by other users of the machine.
"""

import os
import secrets
import ssl
import stat
from pathlib import Path

from acestep.files import write_new
from plugin_bridge.errors import InvalidRequest, StorageError

TOKEN_FILE = "page-token"  # in the home; the same at every start, so that an open page stays open


def read_or_create_token(file: Path) -> str:
    """The token in `file`, made (mode 0600) where there is none. Raises StorageError, or InvalidRequest for a
    file that others can read."""
    try:
        if not file.exists():
            write_new(file, f"{secrets.token_urlsafe(24)}\n".encode(), private=True)
    except OSError as error:
        raise StorageError(f"the page's token {file} cannot be made ({error.strerror})") from error
    try:
        _require_private(file, "the page's token")
        token = file.read_text("utf-8", "replace").strip()
    except OSError as error:
        raise StorageError(f"the page's token {file} cannot be read ({error}): delete it") from error
    if len(token) < 16 or not token.isascii() or not token.replace("-", "").replace("_", "").isalnum():
        raise InvalidRequest(f"the page's token {file} is damaged: delete it, and a new one is made")
    return token


def check_tls(certificate: str, key: str) -> None:
    """Raises InvalidRequest unless both are empty, or a certificate and its own private key."""
    if not certificate and not key:
        return
    if not certificate or not key:
        raise InvalidRequest("--certificate and --private-key go together: name both files, or neither")
    try:
        _require_private(Path(key), "the private key")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InvalidRequest(
            f"{certificate} and {key} cannot be used for https ({error}): expected a certificate and its own "
            "private key, both in PEM, the key without a password"
        ) from error


def _require_private(file: Path, what: str) -> None:
    """As is usual, the group may read a file that belongs to root."""
    found = file.stat()
    forbidden = 0o037 if found.st_uid == 0 else 0o077
    if os.name == "posix" and found.st_mode & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        raise InvalidRequest(f"{what} {file} can be read by others (mode {mode:o}): chmod 600 it")

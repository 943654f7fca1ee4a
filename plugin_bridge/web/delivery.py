"""The page's scripts and styles, answered from memory: read and compressed once, before any other code runs.

A first visit asks for some ninety small files, which is most of what the server has to do for it. Every
other request is passed on to the application.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TYPES = {".js": "text/javascript", ".css": "text/css"}  # some systems have registered these as something else
LASTING = "private, max-age=31536000, immutable"


@dataclass(frozen=True)
class Folder:
    """Files under one address. `hashed`: names change with the content, so none is asked for twice."""

    path: Path
    hashed: bool = False


@dataclass(frozen=True)
class _Held:
    plain: bytes
    packed: bytes
    kind: str
    tag: str
    lasts: str


class Delivery:
    """Serves `folders`, by the beginning of the address. The browser fetches `hints` with the page."""

    def __init__(self, app: ASGIApp, folders: Mapping[str, Folder], hints: Iterable[str] = ()) -> None:
        self._app, self._folders = app, dict(folders)
        self._hints = ", ".join(_hint(address) for address in hints)
        self._held: dict[str, _Held] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["path"] if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else ""
        held = self._find(asked)
        if held is not None:
            await _answer(held, Headers(scope=scope))(scope, receive, send)
        elif asked == "/" and self._hints:
            await self._app(scope, receive, self._with_hints(send))
        else:
            await self._app(scope, receive, send)

    def _find(self, asked: str) -> _Held | None:
        if asked in self._held:
            return self._held[asked]
        for prefix, folder in self._folders.items():
            root = folder.path.resolve()
            path = (root / asked.removeprefix(prefix)).resolve()
            if asked.startswith(prefix) and path.is_relative_to(root) and path.is_file():
                self._held[asked] = _hold(path, folder.hashed)
                return self._held[asked]
        return None

    def _with_hints(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("link", self._hints)
            await send(message)

        return sending


async def visit(app: ASGIApp, addresses: Iterable[str]) -> None:
    """Asks for these addresses without a browser, so that what is made once is made before one comes."""

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Message) -> None:
        pass

    for address in addresses:
        scope: dict[str, object] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
        }
        scope |= {"path": address, "raw_path": address.encode(), "root_path": "", "query_string": b""}
        scope |= {"scheme": "http", "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1)}
        await app({**scope, "headers": [(b"host", b"127.0.0.1")]}, receive, send)


def _hint(address: str) -> str:
    return (
        f"<{address}>; rel=preload; as=style"
        if address.endswith(".css")
        else f"<{address}>; rel=modulepreload"
    )


def _hold(path: Path, hashed: bool) -> _Held:
    plain = path.read_bytes()
    kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    tag = f'"{hashlib.sha256(plain).hexdigest()[:20]}"'
    return _Held(plain, gzip.compress(plain, 6), kind, tag, LASTING if hashed else "no-cache")


def _answer(held: _Held, asked: Headers) -> Response:
    headers = {"cache-control": held.lasts, "etag": held.tag, "vary": "accept-encoding"}
    if held.tag in asked.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in asked.get("accept-encoding", ""):
        return Response(held.packed, media_type=held.kind, headers={**headers, "content-encoding": "gzip"})
    return Response(held.plain, media_type=held.kind, headers=headers)

"""Who may talk to the page: its own origin on this machine; from elsewhere only with the printed token.

Plain ASGI in front of everything. Other web pages in the same browser can reach 127.0.0.1 too, hence the
checks of Host and Origin. The content policy keeps the browser from loading anything from elsewhere.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "acestep_web"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
# Gradio compiles its event handlers in the browser, hence 'unsafe-eval'; nothing comes from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; connect-src 'self' data: blob:; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)


def is_loopback(host: str) -> bool:
    """True for an address or name that only this machine reaches."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Lets through requests that come from the page itself; with `token`, only after it was shown once."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], token: str = "") -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal:
            await _refuse(scope, receive, send, refusal)
        elif self._token and not self._knows_token(headers):
            await self._ask_token(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refusal(self, headers: dict[str, str]) -> str:
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "").lower()
        if not self._token and name not in self._hosts:
            return f"the page is not served under the name {name!r}: open it by its address"
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            return f"requests from {origin} are refused: only the page itself may ask"
        if headers.get("sec-fetch-site", "same-origin") == "cross-site" and headers.get("sec-fetch-mode") != (
            "navigate"
        ):
            return "requests from other sites are refused: only the page itself may ask"
        return ""

    def _knows_token(self, headers: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._token.encode())

    async def _ask_token(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["type"] != "http" or not hmac.compare_digest(given.encode(), self._token.encode()):
            await _refuse(
                scope, receive, send, "open the address with ?token=… that `acestep web` printed", 401
            )
            return
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE, self._token, httponly=True, samesite="strict", secure=scope.get("scheme") == "https"
        )
        await response(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send, why: str, status: int = 403) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": why[:120]})
        return
    await PlainTextResponse(why, status)(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
        await send(message)

    return sending

"""Who may talk to the page, and to what of it: its own origin, in a browser that was shown the token once.

Plain ASGI in front of everything. Other people on this machine can reach 127.0.0.1 as well, hence the token;
other web pages in the same browser can, too, hence the checks of Host and Origin. The content policy keeps
the browser from loading anything from elsewhere.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "acestep_web"  # and the port: cookies do not tell the ports of a machine apart
# What of Gradio the page in the browser asks for. All else that it would serve (uploads, files, proxies, its
# monitor, logins) is not there.
OF_GRADIO = frozenset(
    (
        "/",
        "/config",
        "/favicon.ico",
        "/manifest.json",
        "/theme.css",
        *(
            f"/gradio_api/{name}"
            for name in ("app_id", "cancel", "info", "queue/data", "queue/join", "reset", "startup-events")
        ),
        "/gradio_api/theme.css",
    )
)
PUBLIC = frozenset(("/manifest.json",))  # browsers ask for it without cookies; it says only a name
BEGINNINGS = ("/bridge/", "/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/", "/gradio_api/run/")
COOKIE_LASTS_S = 400 * 86_400  # as long as browsers keep any
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


def is_open(path: str) -> bool:
    """Whether the page uses this address at all."""
    return path in OF_GRADIO or (path.startswith(BEGINNINGS) and "/../" not in path)


class Guard:
    """Lets through requests that come from the page itself; with `token`, only after it was shown once.

    `hosts` are the names the page goes by, None any name. `ticket` opens the page as the token does, once.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] | None, token: str = "", ticket: str = "") -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts} if hosts is not None else None
        self._token = token
        self._ticket = ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal:
            await _refuse(scope, receive, send, refusal)
        elif self._token and scope["path"] not in PUBLIC and not self._knows_token(scope, headers):
            await self._ask_token(scope, receive, send)
        elif not is_open(scope["path"]):
            await _refuse(scope, receive, send, "there is nothing at this address", 404)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _refusal(self, headers: dict[str, str]) -> str:
        host = headers.get("host", "")
        name = _host_name(host)
        if self._hosts is not None and name not in self._hosts:
            return f"the page is not served under the name {name!r}: open it by its address"
        origin = headers.get("origin", "")
        if origin and _netloc(origin) != host.lower():
            return f"requests from {origin} are refused: only the page itself may ask"
        if headers.get("sec-fetch-site", "same-origin") == "cross-site" and headers.get("sec-fetch-mode") != (
            "navigate"
        ):
            return "requests from other sites are refused: only the page itself may ask"
        return ""

    def _knows_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._token.encode())

    def _opens(self, shown: str) -> bool:
        if self._ticket and hmac.compare_digest(shown.encode(), self._ticket.encode()):
            self._ticket = ""  # it was in a command line, which other users of the machine can see
            return True
        return hmac.compare_digest(shown.encode(), self._token.encode())

    async def _ask_token(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = _shown(scope.get("query_string", b"").decode("latin-1"))
        if scope["type"] != "http" or not self._opens(given):
            await _refuse(
                scope, receive, send, "open the address with ?token=… that `acestep web` printed", 401
            )
            return
        response = RedirectResponse("/", 303)
        response.set_cookie(
            _cookie_name(scope),
            self._token,
            max_age=COOKIE_LASTS_S,
            httponly=True,
            samesite="strict",
            secure=scope.get("scheme") == "https",
        )
        await response(scope, receive, send)


def _shown(query: str) -> str:
    try:
        return parse_qs(query, max_num_fields=20).get("token", [""])[0]
    except ValueError:  # too many fields
        return ""


def _cookie_name(scope: Scope) -> str:
    return f"{COOKIE}_{(scope.get('server') or ('', 0))[1]}"


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:  # half of an IPv6 address
        return ""


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


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

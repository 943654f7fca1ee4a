"""Who may talk to the page, and to what of it: its own origin, in a browser that was shown the token once.

Plain ASGI in front of everything. Other people on this machine can reach 127.0.0.1 as well, hence the token;
other web pages in the same browser can, too, hence the checks of Host and Origin. The content policy keeps
the browser from loading anything from elsewhere.
"""

import hmac
import ipaddress
from collections.abc import Iterable
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from acestep.drawing.style import document
from plugin_bridge.errors import InvalidRequest

COOKIE = "acestep_web"  # and the port: cookies do not tell the ports of a machine apart
# What is asked of Gradio's API. All else that Gradio would serve (proxies, streams, its monitor, its editor,
# logins) is not there. What ends in a slash or an equals sign stands for all that begins so.
OF_GRADIO = (
    "/config",
    *(
        f"/gradio_api/{name}"
        for name in (
            "app_id",
            "call/",
            "cancel",
            "file=",
            "heartbeat/",
            "info",
            "queue/data",
            "queue/join",
            "reset",
            "startup-events",
            "upload",
        )
    ),
)
OF_PAGE = ("/", "/favicon.ico", "/bridge/")
PUBLIC = frozenset(("/manifest.json",))  # browsers ask for it without cookies; it says only a name
ASKS_TOKEN = (
    "open the address with ?token=… that `acestep web` printed; programs send that token in the header "
    "Authorization: Bearer …"
)
OPEN_IT = "Open the address that `acestep web` printed when it was started. It ends like this:"
EXAMPLE = "/?token=…"
# HTTP wants a 401 to say how one is known here.
CHALLENGE = {"www-authenticate": 'Bearer realm="acestep web"'}
COOKIE_LASTS_S = 400 * 86_400  # as long as browsers keep any
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
# Scripts come from this server alone, and none is written into the page or made from text.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; manifest-src 'self'; base-uri 'none'; object-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


def is_loopback(host: str) -> bool:
    """True for an address or name that only this machine reaches."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin(url: str) -> str:
    """A web page's origin as browsers send it: `https://daw.example`. Raises InvalidRequest."""
    try:
        parts = urlsplit(url)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        named, port = False, ""
    if not named or parts.query or parts.fragment or parts.username is not None or "*" in url:
        raise InvalidRequest(f"{url!r:.80} names no web page: expected scheme and host, https://daw.example")
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}{port}"


class Guard:
    """Lets through requests that come from the page itself; with `token`, only after it was shown once, or
    where the header Authorization shows it.

    `hosts` are the names the page goes by, None any name. `ticket` opens the page as the token does, once.
    `addresses` are served beside those of the page and of Gradio's API; one that ends in a slash stands for
    all below it.
    `asking` are those that ask for the token by themselves; `origins` are web pages of elsewhere that may use
    these.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Iterable[str] | None,
        token: str = "",
        ticket: str = "",
        addresses: Iterable[str] = (),
        asking: Iterable[str] = (),
        origins: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._hosts = {host.lower() for host in hosts} if hosts is not None else None
        self._token = token
        self._ticket = ticket
        self._asking = frozenset(asking)
        self._origins = frozenset(origins)
        served = (*OF_PAGE, *OF_GRADIO, *addresses, *self._asking)
        self._exact = frozenset(served)
        self._beginnings = tuple(one for one in served if one[-1] in "/=" and one != "/")
        self._headers = (
            (b"content-security-policy", POLICY.encode()),
            (b"referrer-policy", b"same-origin"),
            (b"x-content-type-options", b"nosniff"),
        )

    def _asks(self, path: str) -> bool:
        return bool(self._token) and path not in PUBLIC | self._asking

    def _is_open(self, path: str) -> bool:
        return path in self._exact or (path.startswith(self._beginnings) and "/../" not in path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers, scope["path"])
        if refusal:
            await _refuse(scope, receive, send, refusal)
        elif self._asks(scope["path"]) and not self._knows_token(scope, headers):
            await self._ask_token(scope, receive, send)
        elif not self._is_open(scope["path"]):
            await _refuse(scope, receive, send, "there is nothing at this address", 404)
        else:
            await self._app(scope, receive, self._with_headers(send))

    def _refusal(self, headers: dict[str, str], path: str) -> str:
        host = headers.get("host", "")
        name = _host_name(host)
        if self._hosts is not None and name not in self._hosts:
            return f"the page is not served under the name {name!r}: open it by its address"
        origin = headers.get("origin", "")
        if path in self._asking and origin in self._origins:
            return ""
        if origin and _netloc(origin) != host.lower():
            return f"requests from {origin} are refused: only the page itself may ask"
        # "same-site" is another port of this machine, to which the browser sends the cookie as well
        elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if elsewhere and headers.get("sec-fetch-mode") != "navigate":
            return "requests from other sites are refused: only the page itself may ask"
        return ""

    def _knows_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(shown.strip().encode(), self._token.encode())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(scope))
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._token.encode())

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        return sending

    def _opens(self, shown: str) -> bool:
        if self._ticket and hmac.compare_digest(shown.encode(), self._ticket.encode()):
            self._ticket = ""  # it was in a command line, which other users of the machine can see
            return True
        return hmac.compare_digest(shown.encode(), self._token.encode())

    async def _ask_token(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = _shown(scope.get("query_string", b"").decode("latin-1"))
        if scope["type"] != "http" or not self._opens(given):
            await _refuse(scope, receive, send, ASKS_TOKEN, 401)
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
    headers = CHALLENGE if status == 401 else None
    accepts = dict(scope["headers"]).get(b"accept", b"")
    answer: Response = PlainTextResponse(why, status, headers)
    if status == 401 and b"text/html" in accepts:  # somebody has typed the address
        said = ("<h1>This page asks for its token</h1>", f"<p>{escape(OPEN_IT)}</p>", f"<pre>{EXAMPLE}</pre>")
        answer = HTMLResponse(document("ACE-Step bridge", said), status, headers)
    await answer(scope, receive, send)

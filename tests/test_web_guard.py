"""Who may talk to the page: only the page itself, and from elsewhere only with the token."""

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from plugin_bridge.web.guard import LOOPBACK_NAMES, Guard, is_loopback


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def client(token: str = "", host: str = "127.0.0.1:7960") -> TestClient:
    app = Starlette(routes=[Route("/", hello, methods=["GET", "POST"]), WebSocketRoute("/live", talk)])
    return TestClient(Guard(app, LOOPBACK_NAMES, token), base_url=f"http://{host}")


def test_the_page_itself_is_let_through() -> None:
    page = client()
    assert page.get("/").text == "hello"
    assert page.post("/", headers={"origin": "http://127.0.0.1:7960"}).status_code == 200
    with page.websocket_connect(
        "ws://127.0.0.1:7960/live", headers={"origin": "http://127.0.0.1:7960"}
    ) as socket:
        assert socket.receive_text() == "hello"


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:80", "null", "https://x"])
def test_another_site_in_the_same_browser_is_refused(origin: str) -> None:
    page = client()
    assert page.post("/", headers={"origin": origin}).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        page.websocket_connect("ws://127.0.0.1:7960/live", headers={"origin": origin}) as socket,
    ):
        socket.receive_text()


def test_a_form_of_another_site_without_an_origin_is_refused() -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client().get("/", headers=headers).status_code == 403


def test_a_foreign_name_that_points_here_is_refused() -> None:
    assert client(host="rebound.example:7960").get("/").status_code == 403


def test_nothing_is_loaded_from_elsewhere() -> None:
    policy = client().get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http:" not in policy
    assert "https:" not in policy


def test_beyond_this_machine_the_token_opens_the_page_once_and_a_cookie_then() -> None:
    page = client(token="secret", host="studio:7960")
    assert page.get("/").status_code == 401
    assert page.get("/?token=wrong").status_code == 401
    answer = page.get("/?token=secret")
    assert answer.text == "hello"
    assert "secret" not in str(answer.url)
    assert page.get("/").text == "hello"
    with (
        pytest.raises(WebSocketDisconnect),
        client(token="secret").websocket_connect("ws://127.0.0.1:7960/live") as socket,
    ):
        socket.receive_text()


@pytest.mark.parametrize("name", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_recognised(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize("name", ["0.0.0.0", "::", "192.168.1.2", "studio", "127.0.0.1.example"])
def test_everything_else_is_not_loopback(name: str) -> None:
    assert not is_loopback(name)

"""Who may talk to the page: only the page itself, and from elsewhere only with the token."""

from collections.abc import Iterable

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


def client(
    token: str = "",
    host: str = "127.0.0.1:7960",
    hosts: Iterable[str] | None = LOOPBACK_NAMES,
    ticket: str = "",
) -> TestClient:
    app = Starlette(
        routes=[
            Route("/", hello, methods=["GET", "POST"]),
            WebSocketRoute("/bridge/live", talk),
            Route("/{path:path}", hello, methods=["GET", "POST"]),
        ]
    )
    return TestClient(Guard(app, hosts, token, ticket), base_url=f"http://{host}")


def test_the_page_itself_is_let_through() -> None:
    page = client()
    assert page.get("/").text == "hello"
    assert page.post("/", headers={"origin": "http://127.0.0.1:7960"}).status_code == 200
    with page.websocket_connect(
        "ws://127.0.0.1:7960/bridge/live", headers={"origin": "http://127.0.0.1:7960"}
    ) as socket:
        assert socket.receive_text() == "hello"


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:80", "null", "https://x"])
def test_another_site_in_the_same_browser_is_refused(origin: str) -> None:
    page = client()
    assert page.post("/", headers={"origin": origin}).status_code == 403
    with (
        pytest.raises(WebSocketDisconnect),
        page.websocket_connect("ws://127.0.0.1:7960/bridge/live", headers={"origin": origin}) as socket,
    ):
        socket.receive_text()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_page_loads_without_an_origin_is_refused(site: str) -> None:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    assert client().get("/", headers=headers).status_code == 403
    assert client().get("/", headers={**headers, "sec-fetch-mode": "navigate"}).status_code == 200


def test_a_foreign_name_that_points_here_is_refused() -> None:
    assert client(host="rebound.example:7960").get("/").status_code == 403


def test_nothing_is_loaded_from_elsewhere() -> None:
    policy = client().get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http:" not in policy
    assert "https:" not in policy


def test_beyond_this_machine_the_token_opens_the_page_once_and_a_cookie_then() -> None:
    page = client(token="secret", host="studio:7960", hosts=None)
    refused = page.get("/")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer ")
    assert page.get("/?token=wrong").status_code == 401
    answer = page.get("/?token=secret")
    assert answer.text == "hello"
    assert "secret" not in str(answer.url)
    assert page.get("/").text == "hello"
    with (
        pytest.raises(WebSocketDisconnect),
        client(token="secret").websocket_connect("ws://127.0.0.1:7960/bridge/live") as socket,
    ):
        socket.receive_text()


def test_who_types_the_address_without_the_token_reads_a_page_and_a_program_a_sentence() -> None:
    page = client(token="secret")
    read = page.get("/", headers={"accept": "text/html,*/*;q=0.8"})
    assert (read.status_code, read.headers["content-type"]) == (401, "text/html; charset=utf-8")
    assert "acestep web" in read.text
    assert "secret" not in read.text
    assert page.get("/").headers["content-type"].startswith("text/plain")


def test_another_user_of_this_machine_sees_nothing_without_the_token() -> None:
    page = client(token="secret")
    for path in ("/", "/bridge/clips", "/bridge/static/main.js", "/gradio_api/queue/join"):
        assert page.get(path).status_code == 401
        assert page.post(path).status_code == 401
    page.cookies.set("acestep_web_7960", "secre")
    assert page.get("/").status_code == 401
    page.get("/?token=secret")
    assert page.get("/bridge/clips").status_code == 200


def test_a_name_that_points_here_is_refused_with_the_token_as_well() -> None:
    page = client(token="secret", host="rebound.example:7960")
    assert page.get("/?token=secret").status_code == 403


def test_the_ticket_that_a_command_line_showed_opens_the_page_once() -> None:
    page, late = client(token="secret", ticket="once"), client(token="secret", ticket="once")
    assert page.get("/?token=once").text == "hello"
    assert page.get("/").text == "hello"
    late = TestClient(page.app, base_url="http://127.0.0.1:7960")
    assert late.get("/?token=once").status_code == 401
    assert late.get("/?token=").status_code == 401
    assert late.get("/?token=secret").text == "hello"


def test_pages_on_two_ports_do_not_take_each_others_cookie() -> None:
    names = set()
    for port in (7960, 7961):
        page = client(token="secret", host=f"127.0.0.1:{port}")
        answer = page.get("/?token=secret", follow_redirects=False)
        names.add(answer.headers["set-cookie"].partition("=")[0])
    assert len(names) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload_progress",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://x",
        "/gradio_api/stream/x",
        "/gradio_api/component_server",
        "/gradio_api/mcp",
        "/gradio_api/deep_link",
        "/gradio_api/vibe-edit",
        "/monitoring",
        "/login",
        "/openapi.json",
        "/upload",
        "/docs",
    ],
)
def test_what_gradio_serves_and_the_page_never_asks_for_is_closed(path: str) -> None:
    assert client().post(path).status_code == 404
    assert client().get(path).status_code == 404


@pytest.mark.parametrize("host", ["[::1", "[", "", "a" * 5000, "\xff"])
def test_a_host_that_is_no_name_is_refused_and_breaks_nothing(host: str) -> None:
    headers = {"host": host.encode("latin-1")}
    assert client().get("/", headers=headers).status_code == 403
    assert client().get("/", headers={"origin": f"http://{host}".encode("latin-1")}).status_code == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_recognised(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize("name", ["0.0.0.0", "::", "192.168.1.2", "studio", "127.0.0.1.example"])
def test_everything_else_is_not_loopback(name: str) -> None:
    assert not is_loopback(name)

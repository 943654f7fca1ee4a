"""Every door of the server, tried by those who may not: other sites, other names for it, other users."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.support.daemons import StandIn, running, settings
from tests.support.web import QUIET, TOKEN, whole_app

pytestmark = QUIET
HERE = "http://127.0.0.1:7960"
BEARER = {"authorization": f"Bearer {TOKEN}"}
JOIN = {"data": ["rain"], "fn_index": 0, "session_hash": "x"}
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "generate_clip", "arguments": {"prompt": "rain"}},
}
DOORS: list[tuple[str, str, Any]] = [
    ("GET", "/", None),
    ("GET", "/bridge/form", None),
    ("GET", "/bridge/clips", None),
    ("GET", "/bridge/audio?clip=/x.wav", None),
    ("GET", "/bridge/midi?clip=/x.wav", None),
    ("GET", "/bridge/folders", None),
    ("POST", "/bridge/generate", {"tab": "a", "values": {"prompt": "rain"}}),
    ("POST", "/bridge/recall", {"clip": "/x.wav"}),
    ("POST", "/bridge/upload?name=a.wav", {}),
    ("POST", "/bridge/train/start", {"folder": "/", "name": "a"}),
    ("GET", "/config", None),
    ("GET", "/gradio_api/info", None),
    ("GET", "/gradio_api/queue/data?session_hash=x", None),
    ("GET", "/gradio_api/heartbeat/x", None),
    ("GET", "/gradio_api/file=/etc/passwd", None),
    ("POST", "/gradio_api/queue/join", JOIN),
    ("POST", "/gradio_api/call/text_to_music", {"data": ["rain"]}),
    ("POST", "/gradio_api/call/v2/text_to_music", {"prompt": "rain"}),
    ("GET", "/gradio_api/call/text_to_music/x", None),
    ("POST", "/gradio_api/upload", {}),
    ("POST", "/gradio_api/cancel", {"session_hash": "x", "fn_index": 0, "event_id": "x"}),
    ("POST", "/mcp", CALL),
    ("GET", "/mcp", None),
    ("DELETE", "/mcp", None),
]
INTRUDERS: dict[str, tuple[dict[str, str], int]] = {
    "nobody": ({}, 401),
    "a wrong token": ({"authorization": "Bearer wrong"}, 401),
    "an empty token": ({"authorization": "Bearer "}, 401),
    "no scheme": ({"authorization": TOKEN}, 401),
    "another scheme": ({"authorization": f"Basic {TOKEN}"}, 401),
    "no ASCII": ({"authorization": "Bearer ä"}, 401),
    "another site": ({**BEARER, "origin": "https://evil.example"}, 403),
    "a sandboxed frame": ({**BEARER, "origin": "null"}, 403),
    "another port": ({**BEARER, "origin": "http://127.0.0.1:80"}, 403),
    "a form of another site": ({**BEARER, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}, 403),
    "a name that was rebound": ({**BEARER, "host": "rebound.example:7960"}, 403),
}


@pytest.fixture(scope="module")
def engine() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, engine: StandIn) -> Iterator[TestClient]:
    folder: Path = tmp_path_factory.mktemp("doors")
    with (
        running(settings(folder), engine) as daemon,
        whole_app(f"127.0.0.1:{daemon.grpc.port}", folder) as app,
        TestClient(app, base_url=HERE) as client,
    ):
        yield client


def bytes_of(headers: dict[str, str]) -> dict[str, bytes]:
    return {name: value.encode("latin-1") for name, value in headers.items()}


@pytest.mark.parametrize("who", INTRUDERS)
def test_no_door_opens_to_others_and_no_job_begins(server: TestClient, engine: StandIn, who: str) -> None:
    headers, status = INTRUDERS[who]
    for method, path, body in DOORS:
        answer = server.request(method, path, json=body, headers=bytes_of(headers))
        assert answer.status_code == status, (method, path)
        assert "set-cookie" not in answer.headers
    assert engine.order == []


@pytest.mark.parametrize("who", INTRUDERS)
def test_nobody_else_hears_what_happens(server: TestClient, who: str) -> None:
    headers, _ = INTRUDERS[who]
    address = f"ws://{headers.get('host', '127.0.0.1:7960')}/bridge/live"
    shown = {name: value for name, value in headers.items() if name != "host"}
    with (
        pytest.raises(WebSocketDisconnect),
        server.websocket_connect(address, headers=bytes_of(shown)) as socket,
    ):
        socket.receive_text()


def test_the_token_in_the_header_opens_every_door(server: TestClient) -> None:
    for method, path, body in DOORS:
        if "data?" in path or "heartbeat" in path or "train" in path:  # these go on, or begin something
            continue
        assert server.request(method, path, json=body, headers=BEARER).status_code not in (401, 403), path
    with server.websocket_connect("ws://127.0.0.1:7960/bridge/live", headers=BEARER) as socket:
        assert '"kind"' in socket.receive_text()


def test_a_script_needs_to_be_a_file_of_the_page(server: TestClient) -> None:
    policy = server.get("/", headers=BEARER).headers["content-security-policy"]
    (scripts,) = (part for part in policy.split("; ") if part.startswith("script-src"))
    assert scripts == "script-src 'self'"
    assert "eval" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://x",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/stream/x",
        "/gradio_api/run/text_to_music",
        "/gradio_api/api/text_to_music",
        "/gradio_api/component_server",
        "/gradio_api/process_recording",
        "/gradio_api/upload_progress",
        "/gradio_api/deep_link",
        "/gradio_api/vibe-edit",
        "/gradio_api/custom_component/x",
        "/gradio_api/openapi.json",
        "/gradio_api/runs",
        "/gradio_api/call/../file/etc/passwd",
        "/monitoring",
        "/login",
        "/static/x",
        "/assets/x",
        "/svelte/x",
        "/theme.css",
        "/robots.txt",
    ],
)
def test_what_else_gradio_could_serve_is_not_there(server: TestClient, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert server.request(method, path, headers=BEARER).status_code == 404

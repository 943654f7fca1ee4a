"""The page's addresses, asked for what makes no sense: always a sentence, never a fault of the server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from tests.support.daemons import StandIn, running, settings
from tests.support.page import Page, connect, finished

LONG = "x" * 20_000
GETS = [
    f"/bridge/{path}?{name}={value}"
    for path, names in {
        "audio": ["clip"],
        "sidecar": ["clip"],
        "clips": ["words", "key", "since", "adapter", "limit", "bpm_min", "bpm_max"],
        "folders": ["path"],
        "train/file": ["name"],
    }.items()
    for name in names
    for value in (
        LONG,
        "%00",
        "a%00b",
        "%ff",
        "~nobody",
        "%F0%9F%8E%B9",
        "nan",
        "1e999",
        "-1",
        "..%2f..",
    )
]
BODIES: list[Any] = [
    b"",
    b"\xff",
    b"[" * 200_000,
    b"[]",
    b"5",
    b"null",
    b'{"clip": "\\ud800", "run": "\\ud800", "job": "\\ud800", "name": "\\ud800"}',
    b'{"clip": 5, "run": 5, "job": 5, "name": 5}',
    b'{"clip": null, "run": {}, "job": [], "name": {}}',
    b'{"clip": "a\\u0000b", "run": "a\\u0000b", "job": "a\\u0000b", "name": "a\\u0000b"}',
    b"1" * 10_000,
    b'{"clip": "' + b"x" * 2_000_000,
]
POSTS = [
    *(f"clips/{action}" for action in ("star", "rename", "tag", "trash", "restore", "reveal", "eat")),
    *(f"models/{what}/{action}" for what in ("cascade", "adapter") for action in ("load", "unload")),
    "models/x/y",
    "runs/cancel",
    "jobs/cancel",
    "generate",
    "recall",
    "train/prepare",
    "train/start",
    "train/stop",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("hostile")
    with running(settings(folder), StandIn()) as daemon, Page(f"127.0.0.1:{daemon.grpc.port}") as found:
        yield found


def is_told(answer: Any) -> None:
    """Below 500, or the two states of a server that are no fault; with a sentence where it is an error."""
    assert answer.status_code < 500 or answer.status_code in (503, 507), answer.text
    if answer.status_code >= 400:
        assert answer.json()["message"]
        assert len(answer.text) < 5_000


@pytest.mark.parametrize("address", GETS, ids=lambda text: text[:60])
def test_a_question_that_makes_no_sense_gets_a_sentence(page: Page, address: str) -> None:
    is_told(page.client.get(address))


@pytest.mark.parametrize("path", POSTS)
def test_an_order_that_makes_no_sense_gets_a_sentence(page: Page, path: str) -> None:
    for body in BODIES:
        is_told(page.client.post(f"/bridge/{path}", content=body))


@pytest.mark.parametrize(
    "changed",
    [
        '{"tempo_map": 5}',
        '{"tempo_map": [[1]]}',
        '{"bpm": 1e999}',
        '{"reference": 1e999}',
        '{"adapters": [1]}',
        "5",
    ],
)
def test_what_cannot_be_set_beside_a_clip_gets_a_sentence(page: Page, changed: str) -> None:
    with connect(page) as socket:
        clip = finished(page, socket)[0]
    is_told(page.client.post("/bridge/recall", content=f'{{"clip": "{clip["path"]}", "set": {changed}}}'))


@pytest.mark.parametrize(
    "name", [LONG + ".wav", "%00.wav", "..%2f..%2fx.wav", "%ff", "", "%F0%9F%8E%B9.wav", "a%0ab.wav"]
)
def test_an_upload_of_any_name_is_taken_or_refused(page: Page, name: str) -> None:
    is_told(page.client.post(f"/bridge/upload?name={name}", content=b"no audio"))


def test_what_nobody_expected_is_a_sentence_too(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Route

    from plugin_bridge.web.routes import on_error

    def broken(_: object) -> None:
        raise ZeroDivisionError("by \x1b zero")

    app = Starlette(routes=[Route("/", broken)], exception_handlers={Exception: on_error})
    answer = TestClient(app, raise_server_exceptions=False).get("/")
    assert answer.status_code == 500
    assert "ZeroDivisionError" in answer.json()["message"]
    assert "\x1b" not in answer.json()["message"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_clip_that_became_a_link_is_not_served(page: Page, tmp_path: Path) -> None:
    with connect(page) as socket:
        clip = finished(page, socket)[0]
    path = Path(clip["path"])
    (tmp_path / "secret.txt").write_text("secret")
    path.unlink()
    path.symlink_to(tmp_path / "secret.txt")
    answer = page.client.get("/bridge/audio", params={"clip": clip["path"]})
    assert answer.status_code == 403
    assert "secret" not in answer.text.replace("secret.txt", "")

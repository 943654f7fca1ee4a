"""The page's files: compressed, asked for once, and never any that is not the page's."""

import asyncio
import gzip
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from plugin_bridge.web.delivery import Delivery, Folder, visit

SCRIPT = "export const a = 1;\n" * 50


async def behind(_: Request) -> PlainTextResponse:
    return PlainTextResponse("the application", headers={"link": "</x>; rel=icon"})


@pytest.fixture
def page(tmp_path: Path) -> TestClient:
    for name in ("own", "own/deep", "bundle"):
        (tmp_path / name).mkdir()
    (tmp_path / "own" / "a.js").write_text(SCRIPT)
    (tmp_path / "own" / "deep" / "b.css").write_text("p {}")
    (tmp_path / "bundle" / "x-1f3a.js").write_text(SCRIPT)
    (tmp_path / "secret.txt").write_text("no")
    app = Starlette(routes=[Route("/{rest:path}", behind, methods=["GET", "POST"])])
    folders = {"/own/": Folder(tmp_path / "own"), "/bundle/": Folder(tmp_path / "bundle", hashed=True)}
    return TestClient(Delivery(app, folders, hints=["/own/a.js", "/own/deep/b.css"]))


def test_a_script_comes_compressed_and_whole(page: TestClient) -> None:
    with page.stream("GET", "/own/a.js", headers={"accept-encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert gzip.decompress(packed).decode() == SCRIPT
    assert len(packed) < len(SCRIPT) / 5
    assert answer.headers["content-type"].startswith("text/javascript")
    assert page.get("/own/a.js", headers={"accept-encoding": "identity"}).content.decode() == SCRIPT
    assert page.get("/own/deep/b.css").headers["content-type"].startswith("text/css")


def test_a_known_file_is_not_sent_again(page: TestClient) -> None:
    first = page.get("/own/a.js")
    assert first.headers["cache-control"] == "no-cache"
    again = page.get("/own/a.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert page.get("/own/a.js", headers={"if-none-match": '"other"'}).status_code == 200
    assert "immutable" in page.get("/bundle/x-1f3a.js").headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/own/", "/own/none.js", "/own/%2e%2e/secret.txt", "/own//etc/passwd", "/a"]
)
def test_everything_else_is_left_to_the_application(page: TestClient, path: str) -> None:
    assert page.get(path).text == "the application"
    assert page.post("/own/a.js").text == "the application"


def test_the_browser_is_told_with_the_page_what_it_will_need(page: TestClient) -> None:
    told = page.get("/").headers
    links = ", ".join(told.get_list("link"))
    assert "</own/a.js>; rel=modulepreload" in links
    assert "</own/deep/b.css>; rel=preload; as=style" in links
    assert "</x>; rel=icon" in links
    assert "link" not in page.get("/own/a.js").headers


def test_what_was_visited_before_anybody_came_is_answered_from_memory(tmp_path: Path) -> None:
    asked = []

    async def page(request: Request) -> PlainTextResponse:
        asked.append(request.url.path)
        return PlainTextResponse("the application")

    (tmp_path / "a.js").write_text(SCRIPT)
    app = Delivery(Starlette(routes=[Route("/", page)]), {"/own/": Folder(tmp_path)})
    asyncio.run(visit(app, ["/", "/own/a.js"]))
    assert asked == ["/"]
    (tmp_path / "a.js").unlink()
    assert TestClient(app).get("/own/a.js").text == SCRIPT

"""Pulling published checkpoints from a hub in the test: a small HTTP server with the hub's answers."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from acestep import Cascade, errors
from acestep.checkpoints import pull
from tests.support.original_layout import write_original
from tests.support.tiny_checkpoints import save_pipeline

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


class Hub(ThreadingHTTPServer):
    """Serves folders as repositories. `broken` maps a path to the bytes that are sent instead."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.repositories: dict[str, Path] = {}
        self.broken: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubHandler(BaseHTTPRequestHandler):
    """The three answers that fetching needs: a repository's description, a file's head, a file."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_args) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        for name, folder in self.server.repositories.items():
            if path == f"/api/models/{name}" or path.startswith(f"/api/models/{name}/revision/"):
                return self.send(json.dumps(describe(name, folder)).encode(), with_body)
            if path.startswith(f"/{name}/resolve/"):
                file = path.split("/resolve/")[1].split("/", 1)[1]
                if (folder / file).is_file():
                    data = self.server.broken.get(file, (folder / file).read_bytes())
                    return self.send(data, with_body, {"ETag": f'"{sha256((folder / file).read_bytes())}"',
                                                       "X-Repo-Commit": "0" * 40})  # fmt: skip
        self.send(b"{}", with_body, status=404)
        return None

    def send(self, data: bytes, with_body: bool, headers: dict | None = None, status: int = 200) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), "Content-Type": "application/json",
                           **(headers or {})}.items():  # fmt: skip
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def describe(name: str, folder: Path) -> dict:
    siblings = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            entry = {"rfilename": path.relative_to(folder).as_posix(), "size": len(data), "blobId": "0" * 40}
            if path.suffix == ".safetensors":
                entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 100}
            siblings.append(entry)
    return {"id": name, "modelId": name, "sha": "0" * 40, "siblings": siblings, "private": False, "tags": []}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The main repository with turbo, and XL in diffusers' layout."""
    folder = tmp_path_factory.mktemp("published")
    write_original(folder / "main", turbo=True, dit="acestep-v15-turbo")
    save_pipeline(folder / "xl", turbo=True, xl=True)
    (folder / "main" / "acestep-v15-turbo" / "modeling.py").write_text("raise SystemExit")
    return folder


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path / "home"))
    server = Hub()
    server.repositories = {
        pull.MAIN: published / "main",
        "ACE-Step/acestep-v15-xl-turbo-diffusers": published / "xl",
    }
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_original_layout_is_fetched_converted_and_loads_by_name(hub, tmp_path):
    folder = pull.pull("turbo", endpoint=hub.url)
    assert folder == tmp_path / "home" / "cascades" / "turbo"
    assert Cascade.load("turbo").spec.name == "turbo"
    assert not list((tmp_path / "home").rglob("*.py"))
    with pytest.raises(errors.AlreadyExists):
        pull.pull("turbo", endpoint=hub.url)


def test_the_diffusers_layout_is_fetched_and_loads_with_its_timbre_token(hub):
    pull.pull("xl-turbo", endpoint=hub.url)
    cascade = Cascade.load("xl-turbo")
    assert [stage.timbre_token for stage in cascade.stages.values()] == [True]


def test_a_file_with_a_wrong_hash_is_removed_and_nothing_is_installed(hub, published, tmp_path):
    file = "acestep-v15-turbo/model.safetensors"
    data = bytearray((published / "main" / file).read_bytes())
    data[-1] ^= 1
    hub.broken[file] = bytes(data)
    with pytest.raises(errors.CheckpointError, match="hash is wrong"):
        pull.pull("turbo", endpoint=hub.url)
    assert not (tmp_path / "home" / "cascades" / "turbo").exists()
    hub.broken.clear()
    assert pull.pull("turbo", endpoint=hub.url).is_dir()


def test_without_a_network_it_says_what_to_do_by_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path))
    with pytest.raises(errors.Unavailable, match=r"copy by hand: ACE-Step/Ace-Step1\.5 acestep-v15-turbo to"):
        pull.pull("turbo", endpoint="http://127.0.0.1:9")
    assert not (tmp_path / "cascades").exists()


def test_a_disk_that_is_too_small_is_noticed_before_fetching(hub, tmp_path):
    huge = {pull.PUBLISHED["xl-sft"]: [pull.Remote("model.safetensors", 10**16)]}
    with pytest.raises(errors.StorageError, match="make room"):
        pull.check_space(huge)


def test_an_unknown_name_lists_the_published_ones():
    with pytest.raises(errors.NotFound, match="expected one of turbo, base"):
        pull.pull("gpt")

"""The REST API asked by strangers, by other web pages, and for what makes no sense."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from plugin_bridge.errors import InvalidRequest
from plugin_bridge.web.guard import origin
from plugin_bridge.web.rest.operations import OPERATIONS, PAGES, Operation
from tests.support.ace_step_client import Refused
from tests.support.daemons import StandIn, certify, own_address, running, settings
from tests.support.rest_server import TOKEN, RestServer

DAW = "https://daw.example"
BEARER = {"authorization": f"Bearer {TOKEN}"}
TELLING = [one for one in OPERATIONS if not one.is_open]
STARTING = [one for one in TELLING if one.method == "POST"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    made = settings(tmp_path_factory.mktemp("hostile"), max_queue=1_000, max_queue_per_client=1_000)
    with running(made, StandIn()) as daemon, RestServer(f"127.0.0.1:{daemon.grpc.port}", [DAW]) as found:
        yield found


@pytest.fixture
def http(server: RestServer) -> TestClient:
    server.http.cookies.clear()
    return server.http


def jobs(server: RestServer) -> int:
    assert server.http.portal is not None
    return len(server.http.portal.call(server.parts.feed.bridge.jobs))


def told(answer: Any, *codes: int) -> dict[str, Any]:
    """The envelope, which says the same as the status."""
    said: dict[str, Any] = answer.json()
    assert set(said) == {"data", "code", "error", "timestamp", "extra"}
    assert said["code"] == answer.status_code
    assert said["code"] in codes, said
    assert (said["error"] is None) == (said["code"] == 200)
    assert len(answer.text) < 5_000 or said["code"] == 200
    return said


@pytest.mark.parametrize("one", TELLING, ids=lambda one: one.path)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer x"}, {"authorization": TOKEN},
                                     {"authorization": "Bearer " + "\xff" * 9}], ids=repr)  # fmt: skip
def test_without_the_token_nothing_is_told_and_nothing_begins(
    http: TestClient, server: RestServer, one: Operation, headers: dict[str, str]
) -> None:
    before = jobs(server)
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    body = {"prompt": "rain"} if one.method == "POST" else None
    refused = http.request(one.method, one.path, json=body, headers=sent)
    assert told(refused, 401)["extra"] == {"reason": "unauthenticated"}
    assert refused.headers["www-authenticate"].startswith("Bearer ")
    assert jobs(server) == before


def test_the_pages_cookie_opens_the_description_and_none_of_the_addresses(http: TestClient) -> None:
    for path in PAGES:
        assert http.get(path).status_code == 401
    http.cookies.set("acestep_web_8001", TOKEN)
    for path in PAGES:
        assert http.get(path).status_code == 200
    told(http.post("/release_task", json={"prompt": "rain"}), 401)


def test_the_token_is_taken_from_header_body_form_and_address(http: TestClient) -> None:
    told(http.post("/release_task", json={"prompt": "rain"}, headers=BEARER), 200)
    told(
        http.post("/release_task", json={"prompt": "rain"}, headers={"authorization": f"bearer  {TOKEN}"}),
        200,
    )
    told(http.post("/release_task", json={"prompt": "rain", "ai_token": TOKEN}), 200)
    told(http.post("/release_task", data={"prompt": "rain", "ai_token": TOKEN}), 200)
    told(http.post("/release_task", files={"prompt": (None, "rain"), "ai_token": (None, TOKEN)}), 200)
    told(http.post(f"/release_task?ai_token={TOKEN}", json={"prompt": "rain"}), 200)
    told(http.get(f"/v1/models?ai_token={TOKEN}"), 200)
    for wrong in (5, None, [TOKEN], {"a": TOKEN}, "", TOKEN[:-1], "\ud800"):
        body = json.dumps({"prompt": "rain", "ai_token": wrong})
        told(http.post("/release_task", content=body), 401)


FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:7960"},
    {"origin": DAW + ".evil.example"},
    {"origin": "http://daw.example"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"host": "rebound.example:8001"},
    {"host": "rebound.example:8001", "origin": "http://rebound.example:8001"},
    {"host": "rebound.example:8001", "origin": DAW},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_another_web_page_starts_nothing_even_with_the_token(
    http: TestClient, server: RestServer, headers: dict[str, str]
) -> None:
    before = jobs(server)
    http.cookies.set("acestep_web_8001", TOKEN)
    for one in STARTING:
        answer = http.post(
            one.path, json={"prompt": "rain", "ai_token": TOKEN}, headers={**BEARER, **headers}
        )
        assert answer.status_code == 403
    answer = http.get("/health", headers=headers)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    assert jobs(server) == before


def test_a_named_web_page_may_ask_with_the_token_and_only_here(http: TestClient) -> None:
    asks = {"origin": DAW, "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type"}  # fmt: skip
    answer = http.options("/release_task", headers=asks)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == DAW
    assert "access-control-allow-credentials" not in answer.headers
    foreign = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "origin": DAW}
    answer = http.post("/release_task", json={"prompt": "rain"}, headers={**BEARER, **foreign})
    told(answer, 200)
    assert answer.headers["access-control-allow-origin"] == DAW
    told(http.post("/release_task", json={"prompt": "rain"}, headers=foreign), 401)
    assert http.get("/docs", headers=foreign).status_code == 403
    assert (
        http.options("/release_task", headers={**asks, "origin": "https://evil.example"}).status_code == 403
    )


@pytest.mark.parametrize(
    "url", ["https://daw.example", "https://DAW.example/", "http://localhost:3000", "http://[::1]:80"]
)
def test_an_origin_is_read_as_browsers_send_it(url: str) -> None:
    assert origin(url) == url.lower().rstrip("/")


@pytest.mark.parametrize("url", ["*", "https://*", "daw.example", "https://daw.example/x", "file:///x", "https://",
                                 "https://a@b", "http://[::1", "http://x:99999", "null", ""])  # fmt: skip
def test_what_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="scheme and host"):
        origin(url)


READ = (
    "prompt",
    "task_id",
    "model",
    "lora_path",
    "task_id_list",
    "use_lora",
    "scale",
    "param_obj",
    "sample_type",
)
BODIES: list[bytes] = [
    b"",
    b"\xff",
    b"[" * 200_000,
    b"[]",
    b"5",
    b"null",
    b'"text"',
    b'{"prompt": "\\ud800", "task_id": "\\ud800", "model": "\\ud800", "lora_path": "\\ud800"}',
    b'{"prompt": "a\\u0000b", "task_id": "a\\u0000b", "model": "a\\u0000b", "lora_path": "a\\u0000b"}',
    *(json.dumps(dict.fromkeys(READ, wrong)).encode() for wrong in (5, {}, [], [[]], True, -1, "\n", "[")),
    b'{"prompt": "x", "bpm": NaN, "scale": NaN, "param_obj": "{\\"bpm\\": NaN}"}',
    b'{"prompt": "x", "bpm": Infinity, "scale": -Infinity}',
    b'{"prompt": "x", "bpm": 1e999, "scale": 1e999}',
    b'{"prompt": "x", "audio_duration": NaN}',
    b'{"prompt": "x", "seed": ' + b"9" * 400 + b"}",
    b'{"prompt": "x", "bpm": ' + b"9" * 5_000 + b"}",
    b'{"prompt": "x", "bpm": "' + b"9" * 400 + b'"}',
    b'{"prompt": "x", "metas": ' + b'{"metas":' * 5_000 + b"1" + b"}" * 5_001,
    b'{"prompt": "x", "adapters": {"a": NaN}}',
    b'{"prompt": "x", "tempo_map": "x", "stages": [[1]]}',
    b'{"prompt": "x", "time_signature": "99/0"}',
    b'{"prompt": "' + b"x" * 2_000_000 + b'"}',
    b'{"task_id_list": "' + b"[" * 100_000 + b'"}',
    json.dumps({"task_id_list": ["x"] * 201}).encode(),
    json.dumps({"prompt": "x", "y" * 100_000: 1}).encode(),
]


@pytest.mark.parametrize("one", STARTING, ids=lambda one: one.path)
def test_what_makes_no_sense_gets_a_sentence(http: TestClient, one: Operation) -> None:
    for body in BODIES:
        told(http.post(one.path, content=body, headers=BEARER), 200, 400, 404, 422)


def test_numbers_that_are_none_start_nothing(http: TestClient, server: RestServer) -> None:
    before = jobs(server)
    for field in (
        "bpm",
        "audio_duration",
        "guidance_scale",
        "inference_steps",
        "batch_size",
        "seed",
        "swing",
    ):
        for value in (b"NaN", b"Infinity", b"1e999", b"true", b"[1]", b'"nan"', b'"inf"', b"{}"):
            body = b'{"prompt": "x", "' + field.encode() + b'": ' + value + b"}"
            told(http.post("/release_task", content=body, headers=BEARER), 400)
    assert jobs(server) == before


FORMS = [
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=", b"x"),
    ("multipart/form-data; boundary=a", b'--a\r\nContent-Disposition: form-data; name="x"\r\n\r\nrain'),
    ("multipart/form-data; boundary=a", b"--b--"),
    ("multipart/form-data; boundary=\xff", b"x"),
    ("application/x-www-form-urlencoded", b"prompt=%ff&prompt=x"),
    ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % number for number in range(2_000))),
    ("application/x-www-form-urlencoded", b"prompt=" + b"x" * 3_000_000),
    ("text/html", b"<html>"),
]  # fmt: skip


@pytest.mark.parametrize("one", STARTING, ids=lambda one: one.path)
def test_a_broken_form_gets_a_sentence(http: TestClient, one: Operation) -> None:
    for kind, body in FORMS:
        headers = {"authorization": BEARER["authorization"].encode(), "content-type": kind.encode("latin-1")}
        told(http.post(one.path, content=body, headers=headers), 200, 400, 404)


def test_two_files_of_one_name_are_refused(http: TestClient) -> None:
    for names in (("src_audio", "src_audio"), ("src_audio", "ctx_audio")):
        files = [(name, (f"{name}.wav", b"no audio")) for name in names]
        data = {"prompt": "x", "task_type": "complete"}
        said = told(http.post("/release_task", data=data, files=files, headers=BEARER), 400)
        assert "twice" in said["error"] or "two files" in said["error"]


def test_who_has_not_shown_the_token_cannot_send_much(http: TestClient) -> None:
    files = {"src_audio": ("x.wav", b"x" * 3_000_000), "ai_token": (None, TOKEN), "prompt": (None, "rain")}
    said = told(http.post("/release_task", files=files), 400)
    assert "Authorization" in said["error"]


@pytest.mark.parametrize(
    "name", ["../../x.wav", "x" * 5_000 + ".wav", "\x00.wav", "🎹.wav", ".wav", "..", "a\nb.wav", ""]
)
def test_a_file_of_any_name_is_taken_or_refused(http: TestClient, name: str) -> None:
    files = {"src_audio": (name, b"no audio")}
    data = {"prompt": "x", "task_type": "complete"}
    told(http.post("/release_task", data=data, files=files, headers=BEARER), 400)


@pytest.mark.parametrize("one", OPERATIONS, ids=lambda one: one.path)
def test_another_method_does_nothing(http: TestClient, one: Operation) -> None:
    other = "POST" if one.method == "GET" else "GET"
    for method in (other, "DELETE", "PUT"):
        told(http.request(method, one.path, headers=BEARER), 405)


@pytest.mark.parametrize(
    "path", ["/release_task/", "/v1/", "/v1", "/v1/audio/x", "/v1/lora", "//health", "/V1/models"]
)
def test_beside_the_addresses_there_is_nothing(http: TestClient, path: str) -> None:
    http.cookies.set("acestep_web_8001", TOKEN)
    assert http.get(path, headers=BEARER).status_code == 404


@pytest.mark.parametrize("path", ["/v1/training/start", "/v1/dataset/scan", "/v1/chat/completions"])
def test_what_ace_steps_server_has_beside_is_refused_in_its_envelope(http: TestClient, path: str) -> None:
    assert http.post(path, json={}).status_code == 401
    assert path in told(http.post(path, json={}, headers=BEARER), 404)["error"]


def test_json_that_cannot_be_read_is_shown_as_it_was_sent(http: TestClient) -> None:
    said = told(http.post("/release_task", content=b"nope", headers=BEARER), 400)["error"]
    assert said.startswith("'nope' is no JSON")


def test_a_file_of_this_machine_is_not_sent_to_a_daemon_elsewhere_but_a_result_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = own_address()
    if not host:
        pytest.skip("this machine has no address but loopback")
    monkeypatch.setenv("ACESTEP_CERTIFICATE", str(certify(tmp_path / "far" / "home", host)))
    made = settings(tmp_path / "far", host=host)
    with running(made, StandIn()) as daemon:
        monkeypatch.setenv("ACESTEP_TOKEN", (made.home / "token").read_text())
        with RestServer(f"{host}:{daemon.grpc.port}") as server:
            client = server.client
            (first,) = client.wait(client.release(prompt="rain", batch_size=1))
            sound = client.audio(first)
            (tmp_path / "mine.wav").write_bytes(sound)
            part = {"prompt": "bass", "task_type": "complete", "bpm": 120, "bars": 1, "batch_size": 1}
            with pytest.raises(Refused, match="403: the daemon is on another machine"):
                client.release(**part, src_audio_path=str(tmp_path / "mine.wav"))
            assert client.wait(client.release(**part, src_audio_path=first["file"]))
            assert client.wait(client.release({"src_audio": ("mine.wav", sound)}, **part))

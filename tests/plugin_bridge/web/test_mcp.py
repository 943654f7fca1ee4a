"""The tools for assistants, by the official MCP client: what they take, give, tell and refuse."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")
pytest.importorskip("mcp")

import httpx
import soundfile
from jsonschema import Draft202012Validator
from mcp import Client

from plugin_bridge import Bridge
from plugin_bridge.errors import BridgeError
from protos.table import SETTINGS
from tests.support.assistant import (
    ROOT,
    Connect,
    asked,
    called,
    cancelled_when,
    command,
    over_http,
    over_stdio,
    refused,
    said,
)
from tests.support.daemons import StandIn, running, settings, until
from tests.support.web import TOKEN, on_a_port, whole_app

TOOLS = [
    "generate_clip",
    "generate_parts",
    "list_clips",
    "inspect_clip",
    "train_adapter",
    "list_adapters",
]
MAKING = ("generate_clip", "generate_parts", "train_adapter")
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ASKS = {"accept": "application/json, text/event-stream"}
SHOWN = {"authorization": f"Bearer {TOKEN}"}
INITIALIZE = {
    **CALL,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@pytest.fixture(scope="module")
def engine() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mcp")


@pytest.fixture(scope="module")
def daemon(folder: Path, engine: StandIn) -> Iterator[str]:
    with running(settings(folder), engine) as found:
        yield f"127.0.0.1:{found.grpc.port}"


@pytest.fixture(scope="module")
def address(daemon: str, folder: Path) -> Iterator[str]:
    with whole_app(daemon, folder) as app, on_a_port(app) as found:
        yield found


@pytest.fixture
def http(address: str) -> Connect:
    return lambda: over_http(address, TOKEN)


WAYS: dict[str, Callable[[str, str, Path], Connect]] = {
    "http": lambda address, daemon, home: lambda: over_http(address, TOKEN),
    "http in sessions": lambda address, daemon, home: lambda: over_http(address, TOKEN, "legacy"),
    "stdio": lambda address, daemon, home: lambda: over_stdio("--no-start", "--daemon", daemon, home=home),
}


@pytest.fixture(params=list(WAYS))
def connect(request: pytest.FixtureRequest, address: str, daemon: str, folder: Path) -> Connect:
    return WAYS[request.param](address, daemon, folder / "home")


def test_a_clip_is_made_listed_and_inspected(connect: Connect, engine: StandIn) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def progress(share: float, total: float | None, message: str | None) -> None:
        told.append((share, total, message))
        if message == "m, 1.0 s left":
            engine.hold.set()

    async def talk(client: Client) -> None:
        values = {"prompt": "warm rain", "bpm": 92.5, "bars": 2, "key": "A minor", "takes": 2, "seed": 7}
        engine.hold.clear()
        made = await client.call_tool("generate_clip", values, progress_callback=progress)
        assert not made.is_error, said(made)
        clips = made.structured_content["clips"]
        assert [(one["bpm"], one["bars"], one["key"], one["seed"]) for one in clips] == [
            (92.5, 2, "A minor", 7),
            (92.5, 2, "A minor", 8),
        ]
        assert {(one["tempo_error_pct"], one["key_match"], one["fit"]) for one in clips} == {
            (0.02, "same key", "good")
        }
        assert all(soundfile.info(one["path"]).frames == 4800 for one in clips)
        assert all(one["path"] in said(made) for one in clips)
        assert "tempo off by 0.02 %" in said(made)

        listed = await client.call_tool("list_clips", {"words": "warm rain", "limit": 1})
        assert listed.structured_content["clips"][0]["path"] in [one["path"] for one in clips]
        assert len(listed.structured_content["clips"]) == 1
        for named in (clips[0]["path"], clips[0]["name"]):
            found = await client.call_tool("inspect_clip", {"clip": named})
            content = found.structured_content
            assert content["clip"]["path"] == clips[0]["path"]
            assert content["request"]["prompt"] == "warm rain"
            assert content["measured"] == {"after": {"lufs": -14.2}}
            assert "seed 7" in said(found)

    asked(connect, talk)
    shares = [share for share, _, _ in told]
    assert shares == sorted(set(shares))
    assert {total for _, total, _ in told} == {1.0}
    assert "m, 1.0 s left" in [message for _, _, message in told]


def test_cancelling_the_call_cancels_the_daemons_job(connect: Connect, engine: StandIn, daemon: str) -> None:
    while engine.started.acquire(blocking=False):
        pass
    engine.hold.clear()
    with Bridge(daemon) as bridge:
        try:

            async def talk(client: Client) -> None:
                await cancelled_when(client, engine.started, "generate_clip", {"prompt": "long"})

            asked(connect, talk)
            job = bridge.jobs()[0]
            assert job.client.startswith("mcp")
            until(lambda: bridge.jobs()[0].state == "cancelled")
            assert bridge.jobs()[0].id == job.id
        finally:
            engine.hold.set()


def test_every_setting_is_an_argument_with_its_help_and_range(http: Connect) -> None:
    async def talk(client: Client) -> Any:
        return (await client.list_tools()).tools

    tools = {one.name: one for one in asked(http, talk)}
    assert list(tools) == TOOLS
    of_parts = tools["generate_parts"].input_schema["properties"]
    offered = of_parts | tools["generate_clip"].input_schema["properties"]
    assert {"parts", "idea", "redo", "prompt", "midi_out"} <= set(of_parts)
    assert not {"takes", "task", "kind"} & set(of_parts)
    assert tools["generate_parts"].input_schema["required"] == []
    for one in SETTINGS:
        told = offered[one.name]
        assert told["title"] == one.title
        assert told["description"].startswith(one.help)
        if one.low is not None and one.name != "loudness_lufs":
            assert (told["minimum"], told["maximum"]) == (one.low, one.high)
    assert tools["generate_clip"].input_schema["required"] == ["prompt"]
    assert offered["takes"]["default"] == 1
    assert {"const": 0} in offered["loudness_lufs"]["anyOf"]
    assert offered["context"]["type"] == "string"
    assert tools["train_adapter"].input_schema["properties"]["minutes"]["maximum"] == 120
    for tool in tools.values():
        example = json.loads(tool.description.rpartition("Example: ")[2])
        Draft202012Validator.check_schema(tool.output_schema)
        Draft202012Validator(tool.input_schema).validate(example)
        assert tool.annotations.read_only_hint == (tool.name not in MAKING)


@pytest.mark.parametrize(
    "values",
    [
        {"bpm": 999},
        {"bpm": 120.0, "bars": 0},
        {"takes": 17},
        {"key": "H minor"},
        {"task": "sing"},
        {"format": "ogg"},
        {"context": "/nowhere/drums.wav"},
        {"cascade": "no such model"},
        {"repaint_s": [3, 1]},
        {"adapters": {"nobody": 1}},
        {"loudness_lufs": 5},
        {"tempo_map": "slowly"},
    ],
    ids=str,
)
def test_what_the_daemon_refuses_is_told_in_its_own_words(
    http: Connect, daemon: str, values: dict[str, Any]
) -> None:
    with Bridge(daemon, own_files=False) as bridge, pytest.raises(BridgeError) as raised:
        list(bridge.generate("rain", **values))
    reason, sentence = refused(http, "generate_clip", prompt="rain", **values)
    assert (reason, sentence) == (raised.value.reason, raised.value.message)


@pytest.mark.parametrize(
    ("tool", "values", "says"),
    [
        ("generate_clip", {}, "prompt is missing: expected a text"),
        ("generate_clip", {"prompt": 5}, "prompt is 5: expected a text"),
        ("generate_clip", {"prompt": "x", "bpm": "fast"}, "bpm is 'fast': expected a number, 30 to 300"),
        ("generate_clip", {"prompt": "x", "takes": 1.5}, "expected a whole number, 1 to 16"),
        ("generate_clip", {"prompt": "x", "fit": "yes"}, "expected true or false"),
        ("generate_clip", {"prompt": "x", "repaint_s": [1]}, "expected a list of 2"),
        ("generate_clip", {"prompt": "x", "stages": ["m", 5]}, "stages.1 is 5: expected a text"),
        ("generate_clip", {"prompt": "x", "adapters": {"a": "b"}}, "adapters.a is 'b': expected a number"),
        ("generate_clip", {"prompt": "x", "loudness_lufs": "off"}, "a number, -40 to -6 or 0"),
        ("generate_clip", {"prompt": "x", "folder": "/tmp"}, "there is no argument 'folder'"),
        ("generate_parts", {"prompt": "x"}, "parts and redo are empty: expected one of them"),
        ("generate_parts", {"prompt": "x", "parts": "drums", "takes": 2}, "there is no argument 'takes'"),
        ("generate_parts", {"prompt": "x", "parts": "a, a"}, "parts names a twice"),
        ("list_clips", {"limit": 1_000}, "limit is 1000: expected a whole number, 1 to 100"),
        ("list_clips", {"starred": 1}, "starred is 1: expected true or false"),
        ("list_clips", {"since": "yesterday"}, "since 'yesterday' is no date: expected one such as"),
        ("generate_clip", {"prompt": None}, "prompt is missing: expected a text"),
        ("generate_clip", {"prompt": "x", "seed": "x"}, "0 to 4294967295"),
        ("list_adapters", {"all": True}, "there is no argument 'all'"),
        ("train_adapter", {"folder": "/x", "name": "x", "minutes": 0}, "more than 0, at most 120"),
        ("train_adapter", {"folder": "/x", "name": "x", "minutes": 121}, "more than 0, at most 120"),
        ("train_adapter", {"folder": "/x", "name": "x", "targets": "x"}, "one of attention, mlp, all"),
        ("train_adapter", {"name": "x"}, "folder is missing"),
        ("no_such_tool", {}, "there is no tool 'no_such_tool': expected one of generate_clip"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    http: Connect, tool: str, values: dict[str, Any], says: str
) -> None:
    reason, sentence = refused(http, tool, **values)
    assert reason == "invalid_request"
    assert says in sentence


def test_what_is_not_there_is_told(http: Connect, tmp_path: Path) -> None:
    reason, sentence = refused(http, "inspect_clip", clip="/music/nothing.wav")
    assert (reason, "list_clips" in sentence) == ("not_found", True)
    reason, sentence = refused(http, "train_adapter", folder=str(tmp_path / "nothing"), name="x")
    assert (reason, str(tmp_path / "nothing") in sentence) == ("not_found", True)
    assert called(http, "list_adapters").structured_content == {"adapters": []}
    assert said(called(http, "list_clips", words="never made")) == "No clip matches."


def test_what_lora_studio_says_is_the_tools_error(http: Connect, tmp_path: Path) -> None:
    _, sentence = refused(http, "train_adapter", folder=str(tmp_path), name="x")
    assert "audio" in sentence


def test_filters_find_a_clip_and_a_trashed_one_is_still_inspected(http: Connect, daemon: str) -> None:
    [made] = called(http, "generate_clip", prompt="odd one", bpm=71.5).structured_content["clips"]
    for values in (
        {"bpm_min": 71, "bpm_max": 72},
        {"words": "odd"},
        {"since": made["created"][:10], "words": "one"},
    ):
        assert made["path"] in said(called(http, "list_clips", **values))
    assert made["path"] not in said(called(http, "list_clips", starred=True))
    with Bridge(daemon) as bridge:
        gone = bridge.trash(made["path"])
    assert called(http, "list_clips", words="odd").structured_content == {"clips": []}
    assert called(http, "inspect_clip", clip=gone.path).structured_content["clip"]["trashed"]


def post(address: str, body: Any = INITIALIZE, **headers: str) -> httpx.Response:
    return httpx.post(f"{address}mcp", json=body, headers={**ASKS, **headers}, timeout=60)


def test_without_the_token_nothing_is_told(address: str) -> None:
    assert post(address, **SHOWN).status_code == 200
    for wrong in ({}, {"authorization": "Bearer x"}, {"authorization": TOKEN}):
        for method in ("GET", "POST", "DELETE"):
            answer = httpx.request(method, f"{address}mcp", json=INITIALIZE, headers={**ASKS, **wrong})
            assert answer.status_code == 401
            assert "token" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
        {"host": "rebound.example"},
        {"host": "rebound.example", "origin": "http://rebound.example"},
    ],
    ids=str,
)
def test_another_web_page_starts_nothing_even_with_the_token(
    address: str, daemon: str, headers: dict[str, str]
) -> None:
    body = {**CALL, "method": "tools/call", "params": {"name": "generate_clip", "arguments": {"prompt": "x"}}}
    with Bridge(daemon) as bridge:
        before = len(bridge.jobs())
        assert post(address, body, **SHOWN, **headers).status_code == 403
        port = address.rpartition(":")[2].strip("/")
        assert post(address, body, cookie=f"acestep_web_{port}={TOKEN}", **headers).status_code == 403
        assert len(bridge.jobs()) == before


def test_nonsense_at_the_address_is_no_fault_of_the_server(address: str) -> None:
    for body in ([], {}, "x", {"jsonrpc": "2.0"}, {**CALL, "method": "no/such"}):
        assert 400 <= post(address, body, **SHOWN).status_code < 500
    assert httpx.post(f"{address}mcp", content=b"\xff", headers={**ASKS, **SHOWN}).status_code == 400
    assert post(address, **SHOWN).status_code == 200


def test_nothing_but_mcp_is_on_stdout(daemon: str, folder: Path) -> None:
    lines = [INITIALIZE, {"jsonrpc": "2.0", "method": "notifications/initialized"}, {**CALL, "id": 2}]
    done = subprocess.run(
        command("--no-start", "--daemon", daemon),
        input="".join(json.dumps(line) + "\n" for line in lines) + "no json\n",
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=60,
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["jsonrpc"] for one in answers} == {"2.0"}
    assert {one.get("id") for one in answers} >= {1, 2}
    assert done.returncode == 0, done.stderr


def test_without_a_daemon_it_says_how_to_start_one(folder: Path) -> None:
    def nobody() -> Any:
        return over_stdio("--no-start", "--daemon", "127.0.0.1:1", home=folder / "empty")

    reason, sentence = refused(nobody, "list_clips")
    assert reason == "unavailable"
    assert "acestep serve" in sentence


def test_help_loads_no_sdk_and_a_missing_one_is_told() -> None:
    script = "import sys{0}; from plugin_bridge.web.mcp import cli; code = cli.main({1}); {2}"
    for made, says in (
        (
            script.format("", ["--help"], "assert not {'mcp', 'grpc', 'starlette'} & set(sys.modules)"),
            "--daemon",
        ),
        (script.format("; sys.modules['mcp'] = None", [], "assert code == 1"), "-m pip install mcp"),
    ):
        done = subprocess.run(
            [*command()[:1], "-c", made], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert done.returncode == 0, done.stderr
        assert says in done.stdout + done.stderr


def test_a_certificate_that_is_not_there_is_said_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from plugin_bridge.web.mcp import cli

    gone = tmp_path / "gone.pem"
    assert cli.main(["--daemon", "studio:50551", "--daemon-certificate", str(gone)]) == 2
    said = capsys.readouterr()
    assert f"{gone} is not there: expected a copy of tls/cert.pem" in said.err
    assert said.out == ""

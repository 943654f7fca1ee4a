"""The tools with the real daemon and nano, over HTTP and stdio: clips, an adapter, a daemon of their own."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("gradio")
pytest.importorskip("mcp")

from mcp import Client

from plugin_bridge import Bridge
from tests.support.assistant import (
    ROOT,
    Connect,
    asked,
    called,
    command,
    over_http,
    over_stdio,
    refused,
    said,
)
from tests.support.browser import serving
from tests.support.daemons import Process, settings, until

INTRODUCTION = (
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_clips", "arguments": {}}},
)
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


class Served:
    """The daemon, and the page's server beside it."""

    def __init__(self, daemon: str, home: Path, printed: str) -> None:
        self.daemon, self.home = daemon, home
        self.address, _, self.token = printed.partition("?token=")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, cascade: str) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("assistant")
    made = settings(folder)
    with Process(made, "--cascade", cascade, "--allowed-folders", str(folder)) as process:
        daemon = f"127.0.0.1:{process.grpc_port}"
        with serving(daemon, made.home) as printed:
            yield Served(daemon, made.home, printed)


@pytest.fixture(params=["http", "stdio"])
def connect(request: pytest.FixtureRequest, served: Served) -> Connect:
    if request.param == "http":
        return lambda: over_http(served.address, served.token)
    return lambda: over_stdio("--no-start", "--daemon", served.daemon, home=served.home)


def test_a_clip_a_part_that_fits_to_it_and_how_they_were_made(connect: Connect) -> None:
    told: list[float] = []

    async def progress(share: float, total: float | None, message: str | None) -> None:
        told.append(share)

    async def talk(client: Client) -> None:
        values = {"prompt": "boom bap drums", "bpm": 100, "bars": 1, "seed": 3}
        made = await client.call_tool("generate_clip", values, progress_callback=progress)
        assert not made.is_error, said(made)
        [drums] = made.structured_content["clips"]
        assert soundfile.info(drums["path"]).frames == 115_200
        assert (drums["bpm"], drums["bars"]) == (100, 1)
        assert drums["lufs"] is not None
        assert drums["fit"] in said(made)
        part = await client.call_tool(
            "generate_clip", {"prompt": "bass", "context": drums["path"], "seed": 4}
        )
        [bass] = part.structured_content["clips"]
        assert (bass["bpm"], bass["bars"], bass["samples"]) == (100, 1, 115_200)
        listed = await client.call_tool("list_clips", {"words": "bass"})
        assert bass["path"] in [one["path"] for one in listed.structured_content["clips"]]
        found = (await client.call_tool("inspect_clip", {"clip": bass["name"]})).structured_content
        assert found["request"]["seed"] == 4
        assert found["measured"]
        assert any("tempo" in note or "bpm" in note.lower() for note in found["notes"])

    asked(connect, talk)
    assert told == sorted(set(told))
    assert any(0 < share < 1 for share in told)


def test_an_idea_in_parts_of_which_one_is_made_anew(connect: Connect) -> None:
    told: list[str | None] = []

    async def progress(share: float, total: float | None, message: str | None) -> None:
        told.append(message)

    async def talk(client: Client) -> None:
        values = {"prompt": "boom bap", "parts": "drums; bass: warm", "bpm": 100, "bars": 1, "seed": 3}
        values["midi_out"] = True
        made = await client.call_tool("generate_parts", values, progress_callback=progress)
        assert not made.is_error, said(made)
        clips = made.structured_content["clips"]
        assert [one["part"] for one in clips] == ["drums", "bass", "mix"]
        assert {(one["samples"], one["idea"]) for one in clips} == {(115_200, clips[0]["idea"])}
        assert all(Path(one["midi"]).read_bytes()[:4] == b"MThd" for one in clips[:2])
        assert "boom-bap" in said(made)
        again = {"idea": clips[0]["idea"], "redo": "bass: picked"}
        redone = await client.call_tool("generate_parts", again)
        assert [one["part"] for one in redone.structured_content["clips"]] == ["bass", "mix"]
        refused = await client.call_tool("generate_parts", {"prompt": "x", "parts": "drums, theremin"})
        assert "cannot play theremin: expected parts out of" in said(refused)

    asked(connect, talk)
    assert any("bass" in (message or "") for message in told)


def test_cancelling_ends_a_job_that_is_being_made(connect: Connect, served: Served) -> None:
    async def talk(client: Client) -> None:
        begun = asyncio.Event()

        async def progress(share: float, total: float | None, message: str | None) -> None:
            if share > 0:
                begun.set()

        values = {"prompt": "long pad", "bpm": 60, "bars": 64, "takes": 16}
        calling = asyncio.create_task(client.call_tool("generate_clip", values, progress_callback=progress))
        await asyncio.wait_for(begun.wait(), 120)
        calling.cancel()
        await asyncio.wait({calling})

    asked(connect, talk)
    with Bridge(served.daemon) as bridge:
        until(lambda: bridge.jobs()[0].state == "cancelled")
        assert bridge.jobs()[0].prompt == "long pad"
    assert called(connect, "list_clips", words="long pad").structured_content == {"clips": []}


def test_an_adapter_is_trained_listed_and_used(served: Served, tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    times = np.arange(48_000 * 4) / 48_000
    for number in range(6):
        beat = np.exp(-40 * (times % 0.5)) * noise.standard_normal(times.size)
        soundfile.write(tmp_path / f"loop{number}_120bpm.wav", 0.2 * np.stack([beat, beat], 1), 48_000)
    wanted = {"folder": str(tmp_path), "name": "clicks", "minutes": 0.5}

    async def talk(client: Client) -> None:
        begun = asyncio.Event()
        told: list[tuple[float, str | None]] = []

        async def progress(share: float, total: float | None, message: str | None) -> None:
            told.append((share, message))
            begun.set()

        stopped = asyncio.create_task(
            client.call_tool("train_adapter", {**wanted, "name": "stopped"}, progress_callback=progress)
        )
        await asyncio.wait_for(begun.wait(), 120)
        busy = await client.call_tool("train_adapter", wanted)
        assert busy.is_error
        assert busy.meta["reason"] == "busy"
        stopped.cancel()
        await asyncio.wait({stopped})
        while (
            trained := await client.call_tool("train_adapter", wanted, progress_callback=progress)
        ).is_error:
            assert trained.meta["reason"] == "busy", said(trained)  # it stops at its next step
            await asyncio.sleep(0.1)
        assert trained.structured_content["adapter"] == "clicks"
        assert trained.structured_content["measured"]["stages"]
        assert any(file.endswith(".safetensors") for file in trained.structured_content["files"])
        assert any("stage" in (message or "") for _, message in told)
        listed = (await client.call_tool("list_adapters")).structured_content["adapters"]
        assert "clicks" in [one["name"] for one in listed]
        values = {"prompt": "clicks", "bars": 1, "adapters": {"clicks": 0.5}, "seed": 1}
        made = await client.call_tool("generate_clip", values)
        assert made.structured_content["clips"][0]["adapters"] == [["clicks", 0.5]]

    asked(lambda: over_http(served.address, served.token), talk)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_daemon_is_started_where_none_runs_and_ends_with_the_assistant(
    tmp_path: Path, cascade: str
) -> None:
    daemon = f"127.0.0.1:{free_port()}"
    environment = {
        "ACESTEP_OSC_PORT": "0",
        "ACESTEP_SAMPLES": str(tmp_path / "samples"),
        "ACESTEP_CASCADE": cascade,
    }

    def connect() -> contextlib.AbstractAsyncContextManager[Client]:
        return over_stdio("--daemon", daemon, home=tmp_path / "home", environment=environment)

    result = called(connect, "generate_clip", prompt="rain", bpm=120, bars=1, steps=2)
    assert not result.is_error, said(result)
    [clip] = result.structured_content["clips"]
    assert Path(clip["path"]).is_relative_to(tmp_path / "samples")
    until(lambda: not answers(daemon))


def test_a_daemon_that_cannot_be_started_says_why(served: Served) -> None:
    daemon = f"127.0.0.1:{free_port()}"
    reason, sentence = refused(lambda: over_stdio("--daemon", daemon, home=served.home), "list_clips")
    assert reason == "unavailable"
    assert str(served.home) in sentence  # another daemon has this home already


def test_a_daemon_that_was_started_ends_with_a_command_that_is_told_to_end(tmp_path: Path) -> None:
    daemon = f"127.0.0.1:{free_port()}"
    env = {**os.environ, "ACESTEP_HOME": str(tmp_path / "home"), "ACESTEP_OSC_PORT": "0"}
    env["ACESTEP_SAMPLES"] = str(tmp_path / "samples")
    with subprocess.Popen(
        command("--daemon", daemon), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=env
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in INTRODUCTION:
            process.stdin.write(json.dumps(line).encode() + b"\n")
        process.stdin.flush()
        told = [json.loads(process.stdout.readline()) for _ in range(2)]
        assert told[1]["result"]["structuredContent"] == {"clips": []}
        assert answers(daemon)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    until(lambda: not answers(daemon))


def answers(daemon: str) -> bool:
    host, _, port = daemon.partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0

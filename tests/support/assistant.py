"""An assistant: the official MCP client, by each way that reaches the tools."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from tests.support.daemons import WAIT_S

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")
Connect = Callable[[], contextlib.AbstractAsyncContextManager[Client]]


@contextlib.asynccontextmanager
async def _shown(url: str, headers: Mapping[str, str], mode: str = "auto") -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=600) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def over_http(address: str, token: str, mode: str = "auto") -> AsyncIterator[Client]:
    """Connected to `/mcp` of a server. `mode` "legacy": as clients did before 2026-07-28, in sessions."""
    async with _shown(f"{address}mcp", {"authorization": f"Bearer {token}"}, mode) as client:
        yield client


@contextlib.asynccontextmanager
async def over_stdio(
    *flags: str, home: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Client]:
    """Connected to an `acestep mcp` that the client starts and ends."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "ACESTEP_HOME": str(home), **(environment or {})}
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "server.cli", "mcp", *flags], env=env, cwd=ROOT
    )
    async with Client(command) as client:
        yield client


def asked(connect: Connect, talk: Callable[[Client], Awaitable[T]]) -> T:
    """One conversation, from beginning to end."""

    async def whole() -> T:
        async with connect() as client:
            return await talk(client)

    return asyncio.run(whole())


def called(connect: Connect, tool: str, **values: Any) -> CallToolResult:
    """One call in a conversation of its own."""
    return asked(connect, lambda client: client.call_tool(tool, values))


def refused(connect: Connect, tool: str, **values: Any) -> tuple[str, str]:
    """(reason, sentence) of a call that must fail."""
    result = called(connect, tool, **values)
    assert result.is_error, result
    assert result.meta is not None
    return result.meta["reason"], said(result)


def said(result: CallToolResult) -> str:
    """The text for people."""
    (content,) = result.content
    assert content.type == "text"
    return content.text


async def cancelled_when(
    client: Client, begun: threading.Semaphore, tool: str, values: Mapping[str, Any]
) -> None:
    """Calls a tool, and cancels the call once it has begun."""
    calling = asyncio.create_task(client.call_tool(tool, dict(values)))
    assert await asyncio.to_thread(begun.acquire, timeout=WAIT_S)
    calling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await calling


def as_told(settings: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """The tools that an assistant finds with these settings of `mcpServers`."""

    def connect() -> contextlib.AbstractAsyncContextManager[Client]:
        if "url" in settings:
            return _shown(settings["url"], settings["headers"])
        env = dict(environment)
        return Client(StdioServerParameters(command=settings["command"], args=settings["args"], env=env))

    async def talk(client: Client) -> list[str]:
        return [one.name for one in (await client.list_tools()).tools]

    return asked(connect, talk)


def command(*flags: str) -> Sequence[str]:
    """`acestep mcp` as a command line."""
    return [sys.executable, "-m", "server.cli", "mcp", *flags]

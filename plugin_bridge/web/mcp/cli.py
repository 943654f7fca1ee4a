"""`acestep mcp`: the tools over stdin and stdout, for an assistant that starts this command itself."""

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from acestep.console.command import DONE, INTERRUPTED, run
from acestep.console.usage import Parser
from plugin_bridge.web.options import add_daemon, certificate, lacks

if TYPE_CHECKING:
    from plugin_bridge.web.daemon import OwnDaemon
    from plugin_bridge.web.mcp.door import Door

NEEDED = ("mcp", "jsonschema", "starlette")


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until stdin ends. 0: ended well, 1: could not serve, 2: bad flags, 130: by a signal."""
    return run("acestep mcp", lambda: _mcp(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="acestep mcp",
        description="Tools for assistants that speak MCP, over stdin and stdout: make, list and inspect "
        "clips, train and list adapters. An assistant starts this command by itself.",
    )
    add_daemon(parser)
    return parser


def _mcp(arguments: argparse.Namespace) -> int:
    if lacks("acestep mcp", NEEDED):
        return 1
    proof = certificate(arguments)
    from plugin_bridge.calls import Target
    from plugin_bridge.web.daemon import OwnDaemon

    target = Target.find(arguments.daemon, certificate=proof)
    own = OwnDaemon(["--grpc-port", target.address.rpartition(":")[2]])
    try:
        ended = asyncio.run(_serve(target.address, own, target.is_local and not arguments.no_start, proof))
    finally:
        own.stop()
    if not ended:
        os._exit(INTERRUPTED)  # a thread still reads stdin, and Python would wait for it
    return DONE


async def _serve(address: str, own: "OwnDaemon", start: bool, proof: str) -> bool:
    """Serves until stdin ends, or a signal says to end; whether it was stdin."""
    from plugin_bridge.web.mcp.door import Door
    from plugin_bridge.web.parts import Parts

    parts = Parts(address, own, proof)
    signalled = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            asyncio.get_running_loop().add_signal_handler(one, signalled.set)
    async with parts.lifespan(None):
        talking = asyncio.create_task(_talk(Door(parts, start)))
        waiting = asyncio.create_task(signalled.wait())
        await asyncio.wait({talking, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
    if talking.done():
        talking.result()
    return talking.done()


async def _talk(door: "Door") -> None:
    from mcp.server.stdio import stdio_server

    server = door.server()
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())

"""The server of the tools, for both transports, and the address `/mcp`."""

import asyncio
import logging
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool
from starlette.applications import Starlette

from acestep.console.command import explain, one_line
from plugin_bridge.errors import BridgeError, InvalidRequest, Unavailable
from plugin_bridge.web.fields import field_of
from plugin_bridge.web.mcp import adapter_tools, clip_tools
from plugin_bridge.web.mcp.arguments import check
from plugin_bridge.web.mcp.progress import Progress, caller
from plugin_bridge.web.mcp.tool import Answer, Call, Tool
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.setup import version

TOOLS = (*clip_tools.TOOLS, *adapter_tools.TOOLS)
INSTRUCTIONS = (
    "Makes music clips for a DAW, of whole bars at an exact tempo, on this machine. generate_clip makes "
    "them and measures how exactly they fit; generate_parts makes drums, bass, chords and so on of one idea, "
    "each by itself; a clip's path goes into reference or context to make more that "
    "sound like it or fit to it. inspect_clip says how a clip was made. train_adapter learns a sound from a "
    "folder of audio."
)
LOOK_EVERY_S = 0.25
log = logging.getLogger("uvicorn.error")


class Door:
    """The tools over the parts of one server. `start`: whether a daemon may be started where none runs."""

    def __init__(self, parts: Parts, start: bool = False) -> None:
        self._parts, self._start = parts, start
        self._tools = {one.name: one for one in TOOLS}

    def server(self) -> Server[Any]:
        """For a transport."""
        return Server(
            "acestep",
            title="ACE-Step bridge",
            version=version(),
            instructions=INSTRUCTIONS,
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    def application(self, path: str) -> Starlette:
        """The tools at an address. The guard before it has checked names, origins and the token."""
        return self.server().streamable_http_app(
            streamable_http_path=path,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )

    async def _list(self, _: ServerRequestContext[Any], __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_listed(one) for one in TOOLS])

    async def _call(
        self, context: ServerRequestContext[Any], params: CallToolRequestParams
    ) -> CallToolResult:
        try:
            answer = await self._answer(context, params)
        except BridgeError as error:
            return _refusal(error)
        except Exception as error:  # what nobody expected is a sentence, too
            log.exception("a fault in the tool %s", params.name)
            return _refusal(BridgeError(one_line(explain(error)[1])[:500]))
        return CallToolResult(
            content=[TextContent(type="text", text=answer.text)], structured_content=answer.content
        )

    async def _answer(self, context: ServerRequestContext[Any], params: CallToolRequestParams) -> Answer:
        tool = self._tools.get(params.name)
        if tool is None:
            raise InvalidRequest(
                f"there is no tool {params.name!r:.60}: expected one of {', '.join(self._tools)}"
            )
        given = params.arguments or {}
        values = {name: value for name, value in given.items() if value is not None}  # null: left out
        check(tool.takes, values, bounds=not tool.daemon_judges)
        await self._daemon_is_up()
        progress = Progress(context.session)
        async with progress.sending():
            return await tool.run(Call(self._parts, values, caller(context.session), progress.tell))

    async def _daemon_is_up(self) -> None:
        """Waits until the daemon is seen, one that was started here too. Raises Unavailable."""
        feed, own, starting = self._parts.feed, self._parts.own, False
        if feed.status is not None:
            return
        try:
            await feed.bridge.status()  # it may be there, and not have been looked for yet
        except Unavailable:
            if self._start:
                own.start()
            starting = own.running
            if not starting:
                raise
        seen = asyncio.ensure_future(feed.wait_up())
        try:
            while not seen.done():
                await asyncio.wait({seen}, timeout=LOOK_EVERY_S)
                if not seen.done() and starting and not own.running:
                    raise Unavailable(f"the daemon that was started here has ended: {own.last_words}")
        finally:
            seen.cancel()


def _listed(one: Tool) -> ListedTool:
    return ListedTool(
        name=one.name,
        title=one.title,
        description=one.description,
        input_schema=one.takes,
        output_schema=one.gives,
        annotations=ToolAnnotations(
            read_only_hint=not one.changes, destructive_hint=False, open_world_hint=False
        ),
    )


def _refusal(error: BridgeError) -> CallToolResult:
    """The daemon's sentence for the assistant, the stable name of its reason for programs."""
    told = {"reason": error.reason, "job": error.job, "field": field_of(error)}
    return CallToolResult(
        content=[TextContent(type="text", text=error.message)],
        is_error=True,
        _meta={name: value for name, value in told.items() if value},
    )

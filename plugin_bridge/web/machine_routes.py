"""The addresses of machine and daemon under /bridge/: status, models, installed bridges, folders."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plugin_bridge import words
from plugin_bridge.errors import InvalidRequest, NotFound
from plugin_bridge.web import asked
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.live import Feed
from plugin_bridge.web.setup import installed_bridges, version
from plugin_bridge.web.studio import subfolders


class MachineRoutes:
    """The daemon's state and models, and what is on this machine."""

    def __init__(self, feed: Feed, daemon: OwnDaemon) -> None:
        self._feed, self._daemon = feed, daemon

    def all(self) -> list[Route]:
        """For the application."""
        return [
            Route("/bridge/status", self.status, methods=["GET"]),
            Route("/bridge/models", self.models, methods=["GET"]),
            Route("/bridge/models/{what}/{action}", self.change_model, methods=["POST"]),
            Route("/bridge/daemon/start", self.start_daemon, methods=["POST"]),
            Route("/bridge/bridges", self.bridges, methods=["GET"]),
            Route("/bridge/folders", self.folders, methods=["GET"]),
        ]

    async def status(self, _: Request) -> Response:
        """The daemon, and the one this page may have started."""
        told = self._feed.daemon_message()
        if told["up"]:
            told["status"] = dataclasses.asdict(await self._feed.bridge.status())
        told["own"], told["local"] = self._daemon.state(), self._feed.bridge.target.is_local
        return JSONResponse({**told, "page_version": version()})

    async def models(self, _: Request) -> Response:
        """Checkpoints and adapters."""
        bridge = self._feed.bridge
        cascades, adapters = await bridge.cascades(), await bridge.adapters()
        return JSONResponse(
            {
                "cascades": [dataclasses.asdict(cascade) for cascade in cascades],
                "adapters": [dataclasses.asdict(adapter) for adapter in adapters],
            }
        )

    async def change_model(self, request: Request) -> Response:
        """Loads or unloads a checkpoint or an adapter."""
        name, bridge = asked.text(await asked.body(request), "name"), self._feed.bridge
        calls: dict[tuple[str, str], Callable[[str], Awaitable[words.Cascade | words.Adapter]]] = {
            ("cascade", "load"): bridge.load_cascade,
            ("cascade", "unload"): bridge.unload_cascade,
            ("adapter", "load"): bridge.load_adapter,
            ("adapter", "unload"): bridge.unload_adapter,
        }
        call = calls.get((request.path_params["what"], request.path_params["action"]))
        if call is None:
            raise NotFound("only cascades and adapters can be loaded and unloaded")
        changed = await call(name)
        self._feed.tell({"kind": "models"})
        return JSONResponse(dataclasses.asdict(changed))

    async def start_daemon(self, _: Request) -> Response:
        """Starts a daemon on this machine when the one asked for is not there."""
        if not self._feed.bridge.target.is_local:
            raise InvalidRequest("the daemon is on another machine: start it there with `acestep serve`")
        if self._feed.status is None:
            self._daemon.start()
        return JSONResponse(self._daemon.state())

    async def bridges(self, _: Request) -> Response:
        """Which bridges are installed in this machine's DAWs."""
        found, trouble = await asyncio.to_thread(installed_bridges)
        return JSONResponse({"bridges": found, "trouble": trouble})

    async def folders(self, request: Request) -> Response:
        """The folders of this machine, to choose one for training."""
        return JSONResponse(await asyncio.to_thread(subfolders, asked.text(request.query_params, "path")))

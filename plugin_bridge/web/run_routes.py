"""The addresses of what happens now under /bridge/: events, cancelling, audio on its way to the daemon."""

import asyncio
import contextlib
import dataclasses
import json
import tempfile
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from plugin_bridge.errors import InvalidRequest
from plugin_bridge.web import asked
from plugin_bridge.web.live import Feed, Listener
from plugin_bridge.web.runs import Runs
from plugin_bridge.web.studio import Studio

MAX_UPLOAD_BYTES = 1024 * 1024 * 1024
MAX_NAME_CHARS = 60  # of an uploaded file, its ending among them


class RunRoutes:
    """Events, runs, jobs, uploads."""

    def __init__(self, feed: Feed, runs: Runs, studio: Studio) -> None:
        self._feed, self._runs, self._studio = feed, runs, studio

    def all(self) -> list[Route | WebSocketRoute]:
        """For the application."""
        return [
            WebSocketRoute("/bridge/live", self.live),
            Route("/bridge/runs/cancel", self.cancel_run, methods=["POST"]),
            Route("/bridge/jobs/cancel", self.cancel_job, methods=["POST"]),
            Route("/bridge/upload", self.upload, methods=["POST"]),
        ]

    async def live(self, socket: WebSocket) -> None:
        """Everything that happens, to one open page."""
        tab = socket.query_params.get("tab", "")[:64]
        await socket.accept()
        async with self._feed.listening(tab) as listener:
            sending = asyncio.create_task(self._send_all(socket, tab, listener))
            try:
                while True:
                    await socket.receive_text()  # a page says nothing; this notices that it is gone
            except (WebSocketDisconnect, RuntimeError):
                pass
            finally:
                sending.cancel()

    async def _send_all(self, socket: WebSocket, tab: str, listener: Listener) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            await socket.send_text(json.dumps({"kind": "runs", "runs": self._runs.of_tab(tab)}))
            await socket.send_text(json.dumps(self._studio.message()))
            while not listener.lagging:
                await socket.send_text(await listener.get())
            await socket.close(1013)

    async def cancel_run(self, request: Request) -> Response:
        """Cancels what this page asked for."""
        await self._runs.cancel(asked.text(await asked.body(request), "run"))
        return JSONResponse({})

    async def cancel_job(self, request: Request) -> Response:
        """Cancels anybody's job."""
        job = await self._feed.bridge.cancel(asked.text(await asked.body(request), "job"))
        self._feed.jobs_changed()
        return JSONResponse({"state": job.state})

    async def upload(self, request: Request) -> Response:
        """A file or recording from the browser, handed on to the daemon."""
        named = asked.text(request.query_params, "name", "audio.wav")
        name = Path(named.replace("\\", "/")).name[-MAX_NAME_CHARS:] or "audio.wav"
        with tempfile.TemporaryDirectory(prefix="acestep-web-") as folder:
            path = Path(folder) / name
            size = 0
            with path.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > MAX_UPLOAD_BYTES:
                        raise InvalidRequest(
                            f"{name} is larger than {MAX_UPLOAD_BYTES >> 20} MB: cut out the part you need"
                        )
                    file.write(chunk)
            uploaded = await self._feed.bridge.upload(path)
        return JSONResponse(dataclasses.asdict(uploaded))

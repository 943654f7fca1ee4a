"""The addresses of training under /bridge/: look at a folder, train, stop, and what came of it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from plugin_bridge.errors import InvalidRequest, NotFound
from plugin_bridge.web import asked
from plugin_bridge.web.studio import OPTIONS, Studio


class TrainRoutes:
    """`lora_studio` for the page. How it goes on is told by the kind `train` of /bridge/live."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def all(self) -> list[Route]:
        """For the application."""
        return [
            Route("/bridge/train/prepare", self.prepare, methods=["POST"]),
            Route("/bridge/train/start", self.start, methods=["POST"]),
            Route("/bridge/train/stop", self.stop, methods=["POST"]),
            Route("/bridge/train/report", self.report, methods=["GET"]),
            Route("/bridge/train/file", self.file, methods=["GET"]),
            Route("/bridge/train/source", self.source, methods=["GET"]),
        ]

    async def prepare(self, request: Request) -> Response:
        """Looks at a folder."""
        await self._studio.prepare(asked.text(await asked.body(request), "folder"))
        return JSONResponse({})

    async def start(self, request: Request) -> Response:
        """Trains, or goes on with a run of the same name that was stopped."""
        wanted = await asked.body(request)
        flags = {flag: _flag(wanted, flag.replace("-", "_")) for flag in OPTIONS}
        restart = bool(wanted.get("restart"))
        await self._studio.train(asked.text(wanted, "folder"), asked.text(wanted, "name"), flags, restart)
        return JSONResponse({})

    async def stop(self, _: Request) -> Response:
        """Stops at the next checkpoint."""
        await self._studio.stop()
        return JSONResponse({})

    async def report(self, _: Request) -> Response:
        """What `lora_studio prepare --report` wrote."""
        if not self._studio.report.is_file():
            raise NotFound("there is no report yet: look at a folder first")
        return FileResponse(self._studio.report, media_type="text/html")

    async def file(self, request: Request) -> Response:
        """A preview or plot of the adapter that was just trained."""
        return FileResponse(self._studio.file(asked.text(request.query_params, "name")))

    async def source(self, request: Request) -> Response:
        """A file of the folder that was looked at, to listen to."""
        return FileResponse(await self._studio.source(asked.text(request.query_params, "name")))


def _flag(wanted: dict[str, Any], name: str) -> str:
    """A setting as text, whether it was sent as text or as a number; "" where it is left out or null."""
    value = wanted.get(name)
    if value is None or isinstance(value, str):
        return asked.text({name: value or ""}, name).strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{name} is {value!r:.60}: expected a text or a number")
    return f"{value:.12g}"

"""The application: the page and its addresses, Gradio's API, the guard before all."""

import contextlib
import mimetypes
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from acestep.drawing.style import TOKENS
from plugin_bridge.errors import BridgeError
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.guard import LOOPBACK_NAMES, Guard
from plugin_bridge.web.later import Later
from plugin_bridge.web.mcp import route as mcp
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.rest import door as rest
from plugin_bridge.web.rest.operations import LACKING, PAGES, PATHS
from plugin_bridge.web.routes import on_error

STATIC = Path(__file__).parent / "static"
INDEX = STATIC / "index.html"


for ending, kind in ((".js", "text/javascript"), (".css", "text/css")):
    mimetypes.add_type(kind, ending)  # some systems have registered these as something else


class Files(StaticFiles):
    """The page's files. The browser asks each time whether they have changed: none is of an older version."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        """As Starlette's."""
        response = super().file_response(*args, **more)
        response.headers["cache-control"] = "no-cache"
        return response


def create_app(
    *,
    address: str = "",
    hosts: Iterable[str] | None = LOOPBACK_NAMES,
    token: str = "",
    ticket: str = "",
    own: OwnDaemon | None = None,
    origins: Collection[str] = (),
    certificate: str = "",
) -> ASGIApp:
    """Everything `acestep web` serves, for the daemon at `address` with that `certificate`.

    `hosts`, `token`, `ticket` and `origins` are those of `Guard`.
    """
    parts = Parts(address, own, certificate)
    parts.routes += [*rest.routes(parts, token, origins), mcp.route(parts)]
    gradio = Later(lambda: _gradio(parts))

    @contextlib.asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        async with parts.lifespan(application), gradio.lifespan():
            yield

    app = new_app(lifespan)
    app.router.routes += [
        *parts.routes,
        Route("/", _index, methods=["GET"]),
        Route("/bridge/static/tokens.css", _tokens, methods=["GET"]),
        Mount("/bridge/static", Files(directory=STATIC)),
        Mount("/", gradio),
    ]
    addresses = (*PAGES, LACKING, mcp.PATH)
    return Guard(app, hosts, token, ticket, addresses, asking=PATHS, origins=origins)


def new_app(
    lifespan: Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]] | None = None,
) -> FastAPI:
    """An application that answers errors in the daemon's words and documents nothing by itself."""
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(BridgeError, on_error)
    app.add_exception_handler(Exception, on_error)
    return app


def _gradio(parts: Parts) -> FastAPI:
    """Gradio's API. Importing it takes seconds."""
    from plugin_bridge.web import gradio_api

    app = new_app()
    gradio_api.mount(app, parts)
    return app


async def _tokens(_: Request) -> FileResponse:
    """Colours and sizes, which reports and plots have from the same file."""
    return FileResponse(TOKENS, headers={"cache-control": "no-cache"})


async def _index(_: Request) -> FileResponse:
    return FileResponse(INDEX, headers={"cache-control": "no-cache"})

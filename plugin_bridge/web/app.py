"""The application: Gradio's page and the routes beside it, the files in front, the guard before all."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

# Before Gradio is imported: nothing is counted, fetched or reported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
from fastapi import FastAPI
from starlette.types import ASGIApp

from plugin_bridge.errors import BridgeError
from plugin_bridge.web import page
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.delivery import Delivery, Folder, visit
from plugin_bridge.web.guard import LOOPBACK_NAMES, Guard
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.routes import on_error

STATIC = Path(__file__).parent / "static"
GRADIO = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
FOLDERS = {"/bridge/static/": Folder(STATIC), "/assets/": Folder(GRADIO, hashed=True)}


def create_app(
    *,
    address: str = "",
    hosts: Iterable[str] | None = LOOPBACK_NAMES,
    token: str = "",
    ticket: str = "",
    own: OwnDaemon | None = None,
) -> ASGIApp:
    """Everything `acestep web` serves. `hosts`, `token` and `ticket` are those of `Guard`."""
    parts = Parts(address, own)

    @contextlib.asynccontextmanager
    async def lifespan(application: FastAPI) -> AsyncIterator[None]:
        async with parts.lifespan(application):
            # What the first requests make once is made before somebody waits for the page.
            warming = asyncio.create_task(visit(delivery, ["/", "/gradio_api/", *own_files]))
            yield
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(BridgeError, on_error)
    app.add_exception_handler(Exception, on_error)
    app.router.routes.extend(parts.routes.all())
    gr.mount_gradio_app(
        app,
        page.build(parts),
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        show_error=True,
        theme=page.theme(),
        head=page.HEAD,
    )
    own_files = sorted(f"/bridge/static/{path.name}" for path in STATIC.iterdir())
    delivery = Delivery(app, FOLDERS, hints=own_files)
    return Guard(delivery, hosts, token, ticket)

"""The application: Gradio's page, the routes beside it, the feed they share, and the guard in front."""

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

# Before Gradio is imported: nothing is counted, fetched or reported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import asyncio

import gradio as gr
from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from plugin_bridge.aio import AsyncBridge
from plugin_bridge.errors import BridgeError
from plugin_bridge.web import page
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.files import ClipFiles
from plugin_bridge.web.guard import LOOPBACK_NAMES, Guard
from plugin_bridge.web.live import Feed
from plugin_bridge.web.routes import Routes, on_error
from plugin_bridge.web.runs import Runs

STATIC = Path(__file__).parent / "static"


def create_app(
    *, address: str = "", hosts: Iterable[str] = LOOPBACK_NAMES, token: str = "", own: OwnDaemon | None = None
) -> ASGIApp:
    """Everything `acestep web` serves. `token` locks it, for a page that other machines can reach."""
    cache = tempfile.TemporaryDirectory(prefix="acestep-web-")
    feed = Feed(lambda: AsyncBridge(address))
    files = ClipFiles(feed, Path(cache.name))
    runs = Runs(feed, files)
    daemon = own or OwnDaemon(())

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(feed.run())
        try:
            yield
        finally:
            await runs.close()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            daemon.stop()
            cache.cleanup()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(BridgeError, on_error)
    app.router.routes.extend(Routes(feed, runs, files, daemon).all())
    app.mount("/bridge/static", StaticFiles(directory=STATIC), name="bridge-static")
    gr.mount_gradio_app(
        app,
        page.build(feed, runs),
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
    return Guard(app, hosts, token)

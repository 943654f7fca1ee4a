"""The whole server of the page on a port of its own, for clients that speak HTTP."""

import contextlib
import socket
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp

from tests.support.daemons import WAIT_S, until

# What Gradio and FastAPI warn of in each other.
QUIET = pytest.mark.filterwarnings("ignore::pydantic.warnings.UnsupportedFieldAttributeWarning")
TOKEN = "a-token-that-nobody-guesses"
LOADED_S = 150.0  # the first answer waits for Gradio, whose import takes long where others work as well


@contextlib.contextmanager
def whole_app(daemon: str, folder: Path) -> Iterator[ASGIApp]:
    """What `acestep web` serves, with its guard; the page is a line, since no browser looks at it."""
    from plugin_bridge.web import app

    with warnings.catch_warnings(action="ignore"):  # what Gradio and FastAPI say of each other
        import gradio  # noqa: F401
    index = folder / "index.html"
    index.write_text("<title>page</title>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "INDEX", index)
        yield app.create_app(address=daemon, token=TOKEN)


@contextlib.contextmanager
def on_a_port(app: ASGIApp) -> Iterator[str]:
    """The application behind uvicorn; its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="wsproto"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(WAIT_S)


@contextlib.contextmanager
def connected(address: str, downloads: Path, token: str = TOKEN) -> Iterator[Any]:
    """Gradio's own client; it reports to nobody."""
    from gradio_client import Client

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        client = Client(
            address,
            headers={"authorization": f"Bearer {token}"},
            download_files=downloads,
            analytics_enabled=False,
            verbose=False,
            httpx_kwargs={"timeout": LOADED_S},
        )
    yield client
    client.close()

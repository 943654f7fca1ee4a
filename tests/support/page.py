"""The page's server without a browser, and one tab of it."""

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.testclient import TestClient

from plugin_bridge.errors import BridgeError
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.routes import on_error


class Page:
    """The page's server, and one tab of it."""

    def __init__(self, address: str) -> None:
        self.parts = Parts(address)
        app = Starlette(
            routes=self.parts.routes,
            lifespan=self.parts.lifespan,
            exception_handlers={BridgeError: on_error},
        )
        self.client = TestClient(app)

    def __enter__(self) -> "Page":
        self.client.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.__exit__(None, None, None)

    def generate(self, tab: str = "a", prompt: str = "rain", **options: Any) -> None:
        """As the form's button does."""
        assert self.client.portal is not None
        self.client.portal.call(lambda: self.parts.runs.start(tab, prompt, options))

    def post(self, path: str, **values: Any) -> Any:
        return self.client.post(path, json=values)


def until(socket: Any, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The next message that fits."""
    while True:
        message: dict[str, Any] = json.loads(socket.receive_text())
        if fits(message):
            return message


def run_in(*states: str) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["kind"] == "run" and message["run"]["state"] in states


def daemon_is(up: bool) -> Callable[[dict[str, Any]], bool]:
    return lambda message: message["kind"] == "daemon" and message["up"] is up


def connect(page: Page, tab: str = "a") -> Any:
    return page.client.websocket_connect(f"/bridge/live?tab={tab}")


def finished(page: Page, socket: Any, **options: Any) -> list[dict[str, Any]]:
    """The clips of a run."""
    until(socket, daemon_is(True))
    page.generate(**options)
    return list(until(socket, run_in("done"))["run"]["clips"])

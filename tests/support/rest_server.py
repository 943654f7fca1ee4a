"""The REST API behind its guard, without Gradio and in this process."""

from collections.abc import Collection

from starlette.applications import Starlette
from starlette.testclient import TestClient

from plugin_bridge.web.guard import LOOPBACK_NAMES, Guard
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.rest.door import routes
from plugin_bridge.web.rest.operations import LACKING, PAGES, PATHS
from tests.support.ace_step_client import AceStepClient

TOKEN = "a-token-of-the-page"


class RestServer:
    """What `acestep web --port 8001` serves to programs written for ACE-Step's server."""

    def __init__(self, address: str, origins: Collection[str] = ()) -> None:
        self.parts = Parts(address)
        app = Starlette(routes=routes(self.parts, TOKEN, origins), lifespan=self.parts.lifespan)
        addresses = (*PAGES, LACKING)
        guard = Guard(app, LOOPBACK_NAMES, TOKEN, addresses=addresses, asking=PATHS, origins=origins)
        self.http = TestClient(guard, base_url="http://127.0.0.1:8001")
        self.client = AceStepClient(self.http, TOKEN)

    def __enter__(self) -> "RestServer":
        self.http.__enter__()
        assert self.http.portal is not None
        return self

    def __exit__(self, *_: object) -> None:
        self.http.__exit__(None, None, None)

    def wait_up(self) -> None:
        """Returns when the daemon was seen."""
        assert self.http.portal is not None
        self.http.portal.call(self.parts.feed.wait_up)

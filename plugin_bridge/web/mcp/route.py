"""The address `/mcp`. The SDK is loaded when it is first asked for: that takes a second."""

from starlette.applications import Starlette
from starlette.routing import Route

from plugin_bridge.web.later import Later
from plugin_bridge.web.parts import Parts

PATH = "/mcp"


def route(parts: Parts) -> Route:
    """For the application. It lives as long as the parts."""

    def build() -> Starlette:
        from plugin_bridge.web.mcp.door import Door

        return Door(parts).application(PATH)

    served = Later(build, at_once=False)
    parts.lifespans.append(served.lifespan)
    return Route(PATH, served)

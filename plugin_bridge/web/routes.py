"""The page's own addresses, under /bridge/: which there are, and how errors are answered.

Each is one call of the daemon. Errors are answered as the daemon words them.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from acestep.console.command import one_line
from plugin_bridge.errors import BridgeError
from plugin_bridge.web.clip_routes import ClipRoutes
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.fields import field_of
from plugin_bridge.web.files import ClipFiles
from plugin_bridge.web.form_routes import FormRoutes
from plugin_bridge.web.live import Feed
from plugin_bridge.web.machine_routes import MachineRoutes
from plugin_bridge.web.run_routes import RunRoutes
from plugin_bridge.web.runs import Runs
from plugin_bridge.web.studio import Studio
from plugin_bridge.web.train_routes import TrainRoutes

STATUS = {
    "internal": 500,
    "invalid_request": 400,
    "unreadable_audio": 400,
    "forbidden_path": 403,
    "unsupported": 400,
    "not_found": 404,
    "already_exists": 409,
    "busy": 429,
    "unauthenticated": 502,  # the daemon does not take this page's token; whoever asks has shown theirs
    "out_of_memory": 507,
    "cancelled": 409,
    "interrupted": 409,
    "checkpoint_error": 422,
    "adapter_error": 422,
    "poor_fit": 422,
    "silent_clip": 422,
    "storage_error": 507,
    "unavailable": 503,
}


async def on_error(_: Request, error: Exception) -> Response:
    """Any error of the daemon, in its own words; what nobody expected, as a sentence too."""
    if not isinstance(error, BridgeError):
        said = f"a fault of the page's server ({type(error).__name__}: {error}): see what it printed"
        error = BridgeError(one_line(said)[:500])
    told = {"reason": error.reason, "message": error.message, "job": error.job}
    if field := field_of(error):
        told["field"] = field
    return JSONResponse(told, STATUS.get(error.reason, 500))


def routes(feed: Feed, runs: Runs, files: ClipFiles, daemon: OwnDaemon, studio: Studio) -> list[BaseRoute]:
    """All of them, for the application."""
    return [
        *FormRoutes(feed, runs).all(),
        *ClipRoutes(feed, runs, files).all(),
        *RunRoutes(feed, runs, studio).all(),
        *MachineRoutes(feed, daemon).all(),
        *TrainRoutes(studio).all(),
    ]

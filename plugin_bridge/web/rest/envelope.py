"""How ACE-Step's server answers: every answer is `{data, code, error, timestamp, extra}`.

The HTTP status is the code, so that programs that look at only one of them see the same.
"""

import time
from typing import Any

from starlette.responses import JSONResponse

from plugin_bridge.errors import BridgeError
from plugin_bridge.web.guard import CHALLENGE
from plugin_bridge.web.routes import STATUS


def answer(data: Any) -> JSONResponse:
    """What was asked for."""
    return _envelope(200, data=data)


def refusal(error: BridgeError, code: int = 0) -> JSONResponse:
    """The error's sentence; its machine-readable reason is in `extra`."""
    extra = {"reason": error.reason, **({"task_id": error.job} if error.job else {})}
    return _envelope(code or STATUS.get(error.reason, 500), error=error.message, extra=extra)


def _envelope(code: int, data: Any = None, error: str | None = None, extra: Any = None) -> JSONResponse:
    told = {
        "data": data,
        "code": code,
        "error": error,
        "timestamp": int(time.time() * 1000),
        "extra": extra,
    }
    return JSONResponse(told, code, CHALLENGE if code == 401 else None)

"""The addresses of ACE-Step's REST API: what each takes, who may ask, and how errors are answered.

The guard in front lets these addresses through without the page's cookie: they know a caller by the token
alone, in the header `Authorization: Bearer TOKEN` or as `ai_token`, so no page in a browser can use them by
being open beside ours.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from acestep.console.command import one_line
from plugin_bridge.errors import BridgeError, InvalidRequest, NotFound, Unauthenticated
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.rest import body
from plugin_bridge.web.rest.adapters import Adapters
from plugin_bridge.web.rest.asked import Asked, text
from plugin_bridge.web.rest.envelope import refusal
from plugin_bridge.web.rest.models import Models
from plugin_bridge.web.rest.openapi import pages
from plugin_bridge.web.rest.operations import LACKING, OPERATIONS, Operation
from plugin_bridge.web.rest.phrases import Phrases
from plugin_bridge.web.rest.sources import AUDIO, Sources
from plugin_bridge.web.rest.tasks import Tasks

Handler = Callable[[Asked], Awaitable[Response]]
KINDS = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "aiff": "audio/aiff"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ASKS_TOKEN = (
    "the token is missing or wrong: send the one that `acestep web` printed, as Authorization: Bearer TOKEN "
    "or as ai_token"
)
log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Door:
    """One address as an ASGI application."""

    operation: Operation
    handler: Handler
    token: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method != self.operation.method:
            return refusal(
                InvalidRequest(f"{method} does nothing here: expected {self.operation.method}"), 405
            )
        sent = body.Body()
        try:
            known = self.operation.is_open or self._shown(
                _bearer(request.headers), request.query_params.get("ai_token")
            )
            sent = await body.read(request, known)
            if not known and not self._shown(sent.values.get("ai_token")):
                return refusal(Unauthenticated(ASKS_TOKEN), 401)
            return await self.handler(Asked(request, sent))
        except BridgeError as error:
            return refusal(error)
        except (ClientDisconnect, HTTPException):
            raise
        except Exception as error:
            log.exception("a fault at %s", request.url.path)
            said = f"a fault of the server ({type(error).__name__}: {error}): see what it printed"
            return refusal(BridgeError(one_line(said)[:500]))
        finally:
            await sent.close()

    def _shown(self, *shown: Any) -> bool:
        if not self.token:
            return True
        return any(
            isinstance(one, str) and hmac.compare_digest(one.encode("utf-8", "replace"), self.token.encode())
            for one in shown
        )


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def handlers(parts: Parts) -> dict[str, Handler]:
    """Every address of `OPERATIONS` with what answers it."""
    feed, files = parts.feed, parts.files
    models, adapters = Models(feed), Adapters(feed)
    tasks, phrases = Tasks(feed, models, Sources(feed, files), adapters), Phrases(models)

    async def audio(asked: Asked) -> Response:
        """The file of a result."""
        clip = await feed.clip(text(asked.body.values, "path", needed=True))
        path = await files.path(clip)
        return FileResponse(path, filename=clip.name, media_type=KINDS.get(path.suffix.lstrip(".").lower()))

    return {
        "/release_task": tasks.release,
        "/query_result": tasks.query,
        "/cancel_task": tasks.cancel,
        AUDIO: audio,
        "/v1/models": models.listed,
        "/v1/model_inventory": models.listed,
        "/v1/init": models.load,
        "/v1/reinitialize": models.load,
        "/v1/stats": models.stats,
        "/health": models.health,
        "/v1/lora/load": adapters.load,
        "/v1/lora/unload": adapters.unload,
        "/v1/lora/toggle": adapters.toggle,
        "/v1/lora/scale": adapters.scale,
        "/v1/lora/status": adapters.status,
        "/format_input": phrases.format,
        "/create_random_sample": phrases.sample,
    }


def routes(parts: Parts, token: str = "", origins: Collection[str] = ()) -> list[BaseRoute]:
    """For the application. `origins`: web pages of elsewhere that may use this door, with the token."""
    answered = handlers(parts)
    found: list[BaseRoute] = []
    for one in OPERATIONS:
        door: ASGIApp = Door(one, answered[one.path], token)
        if origins:
            door = CORSMiddleware(
                door,
                allow_origins=origins,
                allow_methods=(one.method, "OPTIONS"),
                allow_headers=("authorization", "content-type"),
                allow_private_network=True,
            )
        found.append(Route(one.path, door))
    return [*found, *pages(), Route(f"{LACKING}{{path:path}}", _lacking, methods=METHODS)]


async def _lacking(request: Request) -> Response:
    """What ACE-Step's server has and this one lacks, such as its addresses for training."""
    return refusal(
        NotFound(f"{request.url.path} is not served here: /openapi.json lists the addresses there are")
    )

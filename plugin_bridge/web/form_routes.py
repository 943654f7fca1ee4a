"""The addresses of the form under /bridge/: what it offers, what it sends, how a clip fills it again."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plugin_bridge import words
from plugin_bridge.errors import BridgeError, InvalidRequest, NotFound
from plugin_bridge.web import asked
from plugin_bridge.web.fields import DEFAULTS, FORM, as_typed, options_of, picked_of, values_of
from plugin_bridge.web.form import form
from plugin_bridge.web.live import Feed
from plugin_bridge.web.runs import Runs

PICKED = ("reference", "context", "adapters")


class FormRoutes:
    """The form of a request."""

    def __init__(self, feed: Feed, runs: Runs) -> None:
        self._feed, self._runs = feed, runs

    def all(self) -> list[Route]:
        """For the application."""
        return [
            Route("/bridge/form", self.form, methods=["GET"]),
            Route("/bridge/generate", self.generate, methods=["POST"]),
            Route("/bridge/recall", self.recall, methods=["POST"]),
        ]

    async def form(self, _: Request) -> Response:
        """Fields, choices, examples; and what the daemon's checkpoint can do, where the daemon answers."""
        return JSONResponse(form(await self._cascade()))

    async def _cascade(self) -> words.Cascade | None:
        """The checkpoint that the daemon takes where a request names none."""
        try:
            named = (await self._feed.bridge.status()).cascade
            known = await self._feed.bridge.cascades()
        except BridgeError:
            return None  # the page says by itself that the daemon is not there
        return next((one for one in known if named in (one.name, one.folder)), None) or next(
            (one for one in known if one.loaded), None
        )

    async def generate(self, request: Request) -> Response:
        """Sends the form to the daemon; what becomes of it is told over /bridge/live."""
        wanted = await asked.body(request)
        prompt, options = options_of(asked.table(wanted, "values"), wanted)
        run = self._runs.start(asked.text(wanted, "tab"), prompt, options)
        return JSONResponse({"run": run.id}, 202)

    async def recall(self, request: Request) -> Response:
        """The form as it was for a clip; `set` are values of the form or audio that come instead."""
        wanted = await asked.body(request)
        changed = asked.table(wanted, "set")
        clip = await self._feed.clip(asked.text(wanted, "clip"))
        made = _request_of(clip)
        try:
            values = values_of({**made, "prompt": clip.prompt, "seed": str(clip.seed)})
            values |= as_typed({name: changed[name] for name in DEFAULTS if name in changed})
            picked = picked_of(made) | {name: changed[name] for name in PICKED if name in changed}
            return JSONResponse({"values": values, **picked, "says": _said(clip, values, picked, changed)})
        except (TypeError, ValueError, AttributeError, LookupError) as error:  # the sidecar is anybody's text
            raise InvalidRequest(
                f"the request of {clip.name}, or what is set beside it, cannot fill the form ({error})"
            ) from error


def _request_of(clip: words.Clip) -> dict[str, Any]:
    try:
        made = json.loads(clip.sidecar_json or "{}").get("request")
    except (ValueError, RecursionError, AttributeError):
        made = None
    if not isinstance(made, dict):
        raise NotFound(f"the sidecar of {clip.name} holds no request: it cannot fill the form")
    return made


def _said(clip: words.Clip, values: dict[str, Any], picked: dict[str, Any], changed: dict[str, Any]) -> str:
    """What was filled, in one sentence."""
    names = [
        one.title
        for name, one in FORM.items()
        if values[name] != DEFAULTS[name] and name not in changed and name != "seed"
    ]
    names += [f"Seed {values['seed']}"] if values["lock"] and values["seed"] else []
    names += [name.title() for name in PICKED if picked[name] and name not in changed]
    own = sorted(
        FORM[name].title if name in FORM else name.title()
        for name in changed
        if name in FORM or name in PICKED
    )
    said = f"Filled from {clip.name}: {', '.join(names)}."
    return f"{said[:-1]}; new: {', '.join(own)}." if own else said

"""A request as the handlers get it: who asks, and with which values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from plugin_bridge.errors import InvalidRequest
from plugin_bridge.web.rest.body import Body
from plugin_bridge.web.rest.fields import BY_KIND, snake


@dataclass(frozen=True)
class Asked:
    """Who asks for what."""

    request: Request
    body: Body

    @property
    def caller(self) -> str:
        """The machine that asks: the daemon gives each a turn."""
        return self.request.client.host if self.request.client else "?"


def text(values: Mapping[str, Any], *names: str, needed: bool = False) -> str:
    """The text under the first of the names that says something, in snake or camel case; else ""."""
    found = _first(values, "text", names)
    if found is None and needed:
        raise InvalidRequest(f"{names[0]} is missing: expected it in the request")
    return found or ""


def switch(values: Mapping[str, Any], *names: str) -> bool | None:
    """True or false; None where it is left out."""
    found: bool | None = _first(values, "switch", names)
    return found


def number(values: Mapping[str, Any], *names: str) -> float | None:
    """A number; None where it is left out."""
    found: float | None = _first(values, "number", names)
    return found


def _first(values: Mapping[str, Any], kind: str, names: tuple[str, ...]) -> Any:
    spelled = {snake(name): value for name, value in values.items()}
    found = (BY_KIND[kind](name, spelled.get(name)) for name in names)
    return next((value for value in found if value is not None), None)

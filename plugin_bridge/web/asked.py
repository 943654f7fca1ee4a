"""What a request brings: JSON, texts and numbers, read within bounds. What cannot be read is a sentence."""

import json
import math
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from plugin_bridge.errors import InvalidRequest

MAX_JSON_BYTES = 1 << 20
MAX_TEXT_CHARS = 4_096


async def body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises InvalidRequest."""
    read = b""
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_JSON_BYTES:
            raise InvalidRequest(f"the request is larger than {MAX_JSON_BYTES >> 20} MB: expected less")
    try:
        told = json.loads(read)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the request is not JSON") from error
    if not isinstance(told, dict):
        raise InvalidRequest("the request is not a JSON object")
    return told


def text(values: Mapping[str, Any], name: str, default: str = "") -> str:
    """A text that can be sent on: no half letters, no zero bytes, not endless. Raises InvalidRequest."""
    found = values.get(name, default)
    if not isinstance(found, str) or len(found) > MAX_TEXT_CHARS or "\0" in found:
        raise InvalidRequest(f"{name} is {found!r:.60}: expected at most {MAX_TEXT_CHARS} characters")
    try:
        found.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name} holds bytes that are not text: expected UTF-8") from None
    return found


def texts(values: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts, each read as `text` reads one. Raises InvalidRequest."""
    found = values.get(name)
    if not isinstance(found, list):
        raise InvalidRequest(f"{name} is {found!r:.60}: expected a list of texts")
    return [text({name: one}, name) for one in found]


def table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object inside of the request; empty where it is left out or null. Raises InvalidRequest."""
    found = values.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest(f"{name} is {found!r:.60}: expected an object with names and values")
    return found


def number(values: Mapping[str, str], name: str, lowest: float, highest: float) -> float:
    """A number of an address. Raises InvalidRequest."""
    try:
        value = float(values[name])
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        raise InvalidRequest(f"{name} {values[name]!r:.40} is not possible: expected {lowest:g}–{highest:g}")
    return value

"""What a request brings – JSON, a form, a form with files – as names and values, read within bounds.

The token may be inside (`ai_token`), so a caller that is not known yet is read as well, but little of it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message, Receive

from plugin_bridge.errors import InvalidRequest

MAX_TEXT_BYTES = 1 << 20  # of JSON, and of any one field of a form
MAX_FILE_BYTES = 1 << 30
MAX_FIELDS = 200
MAX_FILES = 4


@dataclass
class Body:
    """Names and values as they were sent, and the files of a form."""

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, UploadFile] = field(default_factory=dict)

    async def close(self) -> None:
        """Gives the files' room back."""
        for file in self.files.values():
            await file.close()


async def read(request: Request, known: bool) -> Body:
    """The body. Raises InvalidRequest for what cannot be read, and for more than is taken.

    `known`: the caller has shown the token already, and may send files.
    """
    if request.method in ("GET", "HEAD"):
        return Body(dict(request.query_params))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = kind in ("multipart/form-data", "application/x-www-form-urlencoded")
    limit = MAX_FILE_BYTES if known and is_form else MAX_TEXT_BYTES
    bounded = Request(request.scope, _bounded(request.receive, limit, known))
    return await _form(bounded) if is_form else Body(_json(await bounded.body()))


def _bounded(receive: Receive, limit: int, known: bool) -> Receive:
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            how = "" if known else "; to send files, show the token in the header Authorization: Bearer TOKEN"
            raise InvalidRequest(f"the request is larger than {limit >> 20} MB: send less{how}")
        return message

    return receiving


async def _form(request: Request) -> Body:
    try:
        form = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_TEXT_BYTES)
    except (HTTPException, MultiPartException, ValueError) as error:
        why = getattr(error, "detail", "") or getattr(error, "message", "") or str(error)
        raise InvalidRequest(f"the form cannot be read ({why:.200}): expected fields and files") from None
    found = Body()
    for name, value in form.multi_items():
        if name in found.values or name in found.files:
            await form.close()
            raise InvalidRequest(f"{name!r:.60} is there twice in the form: send it once")
        if isinstance(value, UploadFile):
            found.files[name] = value
        else:
            found.values[name] = value
    return found


def _json(read_bytes: bytes) -> dict[str, Any]:
    if not read_bytes.strip():
        return {}
    told = parsed(read_bytes)
    if not isinstance(told, dict):
        raise InvalidRequest("the request is no JSON object: expected {…} with names and values")
    return told


def parsed(text: str | bytes) -> Any:
    """JSON. Raises InvalidRequest."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        raise InvalidRequest(f"{shown!r:.60} is no JSON: expected it as RFC 8259 writes it") from None


def table(values: Mapping[str, Any], *names: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the named values that are given: objects, or objects written as JSON text."""
    for name in names:
        given = values.get(name)
        if given in (None, ""):
            continue
        found = parsed(given) if isinstance(given, str) else given
        if not isinstance(found, dict):
            raise InvalidRequest(f"{name} is {given!r:.60}: expected an object with names and values")
        yield name, found

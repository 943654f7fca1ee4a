"""The OpenAPI document of the REST API, and a page of it that loads nothing from elsewhere."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from plugin_bridge.web.rest.fields import Field
from plugin_bridge.web.rest.operations import OPERATIONS, Operation
from plugin_bridge.web.setup import version

STYLE = Path(__file__).with_name("docs.css")
ERRORS = {
    "400": "What was asked for cannot be; `error` says why.",
    "401": "The token is missing or wrong.",
    "404": "There is no such task, clip or adapter.",
    "429": "The queue is full.",
    "503": "The daemon cannot be reached.",
}
ABOUT = (
    "ACE-Step's REST API, served by this bridge. Every answer is {data, code, error, timestamp, extra}, and "
    "the HTTP status is the code. Fields are understood in snake_case and camelCase, as JSON, as a form, or "
    "as a form with files."
)
_TYPES = {"text": "string", "number": "number", "whole": "integer", "switch": "boolean", "list": "array",
          "table": "object"}  # fmt: skip


def document() -> dict[str, Any]:
    """The whole API as OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ACE-Step bridge", "version": version(), "description": ABOUT},
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Refusal": _envelope({"type": "null"}, {"type": "string"})},
        },
    }


def _operation(one: Operation) -> dict[str, Any]:
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    told: dict[str, Any] = {
        "summary": one.help,
        "operationId": one.path.strip("/").replace("/", "_"),
        "responses": {
            "200": {"description": "What was asked for.", "content": _content(one)},
            **{code: {"description": why, "content": refusal} for code, why in ERRORS.items()},
        },
    }
    if one.is_open:
        told["security"] = []
    if one.method == "GET" and one.takes:
        told["parameters"] = [
            {
                "name": field.name,
                "in": "query",
                "required": True,
                "description": field.help,
                "schema": schema(field),
            }
            for field in one.takes
        ]
    elif one.takes:
        told["requestBody"] = {"content": _bodies(one)}
    return told


def _content(one: Operation) -> dict[str, Any]:
    if one.gives is None:
        return {"audio/*": {"schema": {"type": "string", "format": "binary"}}}
    kind = "array" if isinstance(one.gives, list) else "object"
    schema_of = _envelope({"type": kind, "examples": [one.gives]}, {"type": "null"})
    return {"application/json": {"schema": schema_of}}


def _envelope(data: dict[str, Any], error: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["data", "code", "error", "timestamp", "extra"],
        "properties": {
            "data": data,
            "code": {"type": "integer"},
            "error": error,
            "timestamp": {"type": "integer", "description": "Milliseconds since 1970."},
            "extra": {"type": ["object", "null"], "description": "For errors: their stable reason."},
        },
    }


def _bodies(one: Operation) -> dict[str, Any]:
    fields = {name: schema(field) for field in one.takes for name in (field.name, *field.aliases)}
    nested = {name: {"type": "object", "description": "The musical fields, nested."} for name in one.nested}
    files = {name: {"type": "string", "format": "binary"} for name in one.files}
    plain = {"schema": {"type": "object", "properties": {**fields, **nested}}}
    found = {"application/json": plain, "application/x-www-form-urlencoded": plain}
    if one.files:
        found["multipart/form-data"] = {
            "schema": {"type": "object", "properties": {**fields, **nested, **files}}
        }
    return found


def schema(field: Field) -> dict[str, Any]:
    """A field as JSON Schema."""
    told: dict[str, Any] = {"type": _TYPES[field.kind], "description": field.help}
    if field.kind == "list":
        told["items"] = {"type": "string"}
    if field.default not in (None, "", ()):
        told["default"] = field.default
    if field.choices:
        told["enum"] = list(field.choices)
    if field.only:
        told["enum"] = list(field.only)
    if field.low is not None and field.none is None:
        told["minimum"], told["maximum"] = field.low, field.high
    return told


def page() -> str:
    """The document for people."""
    parts = [
        f"<h2 id='{escape(one.path)}'>{one.method} {escape(one.path)}</h2>" + _section(one)
        for one in OPERATIONS
    ]
    index = "".join(f"<li><a href='#{escape(one.path)}'>{escape(one.path)}</a></li>" for one in OPERATIONS)
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>ACE-Step bridge: REST API</title>"
        "<meta name='viewport' content='width=device-width'>"
        "<link rel='stylesheet' href='/docs/style.css'></head>"
        f"<body><h1>REST API</h1><p>{escape(ABOUT)} <a href='/openapi.json'>openapi.json</a></p>"
        f"<ul>{index}</ul>{''.join(parts)}</body></html>"
    )


def _section(one: Operation) -> str:
    files = f"<p>Files: {escape(', '.join(one.files))}.</p>" if one.files else ""
    given = json.dumps(one.gives, indent=1) if one.gives is not None else ""
    example = f"<h3>data</h3><pre>{escape(given)}</pre>" if given else ""
    return f"<p>{escape(one.help)}</p>{_table(one.takes)}{files}{example}"


def _table(fields: Iterable[Field]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(', '.join((one.name, *one.aliases)))}</code></td><td>{_TYPES[one.kind]}</td>"
        f"<td>{escape(_default(one))}</td><td>{escape(one.help)}</td></tr>"
        for one in fields
    )
    head = "<tr><th>field</th><th>type</th><th>default</th><th>what</th></tr>"
    return f"<table>{head}{rows}</table>" if rows else ""


def _default(field: Field) -> str:
    return "" if field.default in (None, "", ()) else str(field.default)


def pages() -> list[Route]:
    """The addresses of document and page."""

    async def as_json(_: Request) -> Response:
        return JSONResponse(document())

    async def as_page(_: Request) -> Response:
        return HTMLResponse(page())

    async def style(_: Request) -> Response:
        return FileResponse(STYLE, media_type="text/css")

    return [Route("/openapi.json", as_json), Route("/docs", as_page), Route("/docs/style.css", style)]

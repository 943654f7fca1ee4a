"""Gradio's API: the named endpoints in Gradio's queue, for `gradio_client` and whatever else speaks it.

Of Gradio, its queue and its wire are used. It draws nothing, moves no files and fetches none: what comes in
lies where it was uploaded, what goes out is served by `served` alone.
"""

import inspect
import os
import sys
from pathlib import Path
from typing import Any

# Before Gradio is imported: nothing is counted, fetched or reported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)  # a summary that nobody sees
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr
from fastapi import FastAPI
from gradio.components.api_component import Api
from gradio.data_classes import FileData, ListFiles
from gradio.routes import App
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route

from plugin_bridge.errors import BridgeError
from plugin_bridge.web import asked
from plugin_bridge.web.endpoints import FILE, Endpoint, Parameter, endpoints, served
from plugin_bridge.web.parts import Parts
from plugin_bridge.web.run_routes import MAX_UPLOAD_BYTES

UPLOADS_LAST_S = 3_600
FACTS = {"type": "object", "additionalProperties": {}}


def _field(value: Any, schema: dict[str, Any], label: str) -> Api:
    """A value of an endpoint with its own name and schema.

    Not a class of its own: Gradio would write a file beside this one for it.
    """
    made = Api(value, schema, label)
    # mypy: methods of one object are not to be replaced, and a file's name may be None
    made.async_move_resource_to_block_cache = _stay  # type: ignore[method-assign,assignment]
    return made


async def _stay(path: Any) -> Any:
    """Where Gradio would copy a file, or fetch an address: neither is done."""
    return path


def add_endpoints(parts: Parts) -> None:
    """Puts the endpoints into the Blocks that is being made."""
    for one in endpoints():
        gr.Button(visible=False).click(
            _function(parts, one),
            [_field(argument.default, _schema(argument), argument.title) for argument in one.parameters],
            [
                _field(None, ListFiles.model_json_schema(), "Files"),
                _field(None, FACTS if one.name == "train" else {"type": "array", "items": FACTS}, "Facts"),
            ],
            api_name=one.name,
            api_description=one.help,
            concurrency_limit=None,  # the daemon has a queue of its own
            preprocess=False,
            postprocess=False,
            show_progress="hidden",
        )


def _schema(argument: Parameter) -> dict[str, Any]:
    """As JSON schema, with the sentence of help where Gradio's documents look for it."""
    schema = _with_files(argument.schema)
    return {**schema, "description": argument.help, "additional_description": argument.help}


def _with_files(schema: Any) -> dict[str, Any]:
    if schema == FILE:
        return dict(FileData.model_json_schema())
    if schema.get("items") == FILE:
        return dict(ListFiles.model_json_schema())
    return dict(schema)


def _function(parts: Parts, endpoint: Endpoint) -> Any:
    """What Gradio calls: named arguments in, files and facts out, errors in the daemon's words."""
    names = [one.name for one in endpoint.parameters]

    async def call(*given: Any) -> tuple[list[dict[str, Any]], Any]:
        *values, progress = given
        try:
            files, facts = await endpoint.run(
                parts, dict(zip(names, values, strict=True)), lambda share, what: progress(share, desc=what)
            )
        except BridgeError as error:
            raise gr.Error(error.message, title=error.reason, duration=None, print_exception=False) from error
        return [_file(path) for path in files], facts

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    arguments = [
        inspect.Parameter(one.name, kind, default=inspect.Parameter.empty if one.required else one.default)
        for one in endpoint.parameters
    ]
    progress = inspect.Parameter("progress", kind, default=gr.Progress())
    # Gradio reads names, defaults and the progress bar from the signature.
    call.__signature__ = inspect.Signature([*arguments, progress])  # type: ignore[attr-defined]
    call.__annotations__ = {}
    call.__name__ = endpoint.name
    return call


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path), "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}


def file_route(parts: Parts) -> Route:
    """What endpoints returned, and nothing else; stands before Gradio's own address of that name."""

    async def file(request: Request) -> Response:
        path = await served(parts, asked.text(request.path_params, "path"))
        return FileResponse(path, filename=path.name, content_disposition_type="attachment")

    return Route("/gradio_api/file={path:path}", file, methods=["GET"])


def mount(app: FastAPI, parts: Parts) -> None:
    """Adds Gradio's API to the application."""
    with gr.Blocks(
        mode="server", analytics_enabled=False, delete_cache=(UPLOADS_LAST_S, UPLOADS_LAST_S)
    ) as blocks:
        add_endpoints(parts)
    app.router.routes.append(file_route(parts))
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        show_error=True,
        max_file_size=MAX_UPLOAD_BYTES,
    )
    inner = next(route.app for route in app.routes if isinstance(route, Mount) and isinstance(route.app, App))
    inner.uploaded_file_dir = str(parts.uploads)

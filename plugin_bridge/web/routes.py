"""The page's own addresses beside Gradio's: events, audio, library, jobs, uploads, set-up.

Each is one call of the daemon. Errors are answered as the daemon words them.
"""

import asyncio
import contextlib
import dataclasses
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from acestep.console.command import one_line
from plugin_bridge import words
from plugin_bridge.errors import BridgeError, InvalidRequest, NotFound, StorageError
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.files import ClipFiles
from plugin_bridge.web.live import Feed, Listener, clip_fields
from plugin_bridge.web.runs import Runs
from plugin_bridge.web.setup import installed_bridges, version
from plugin_bridge.web.studio import Studio, subfolders

MAX_UPLOAD_BYTES = 1024 * 1024 * 1024
MAX_JSON_BYTES = 1 << 20
MAX_TEXT_CHARS = 4_096
MAX_CLIPS = 5_000
MAX_NAME_CHARS = 60  # of an uploaded file, its ending among them
STATUS = {
    "internal": 500,
    "invalid_request": 400,
    "unreadable_audio": 400,
    "forbidden_path": 403,
    "unsupported": 400,
    "not_found": 404,
    "already_exists": 409,
    "busy": 429,
    "unauthenticated": 401,
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
_NUMBERS = ("bpm_min", "bpm_max")
_TEXTS = ("key", "adapter", "since")
_FLAGS = ("starred", "trashed")


async def on_error(_: Request, error: Exception) -> Response:
    """Any error of the daemon, in its own words; what nobody expected, as a sentence too."""
    if not isinstance(error, BridgeError):
        said = f"a fault of the page's server ({type(error).__name__}: {error}): see what it printed"
        error = BridgeError(one_line(said)[:500])
    status = STATUS.get(error.reason, 500)
    return JSONResponse({"reason": error.reason, "message": error.message, "job": error.job}, status)


class Routes:
    """The addresses under /bridge/."""

    def __init__(self, feed: Feed, runs: Runs, files: ClipFiles, daemon: OwnDaemon, studio: Studio) -> None:
        self._feed, self._runs, self._files, self._daemon, self._studio = feed, runs, files, daemon, studio

    def all(self) -> list[Route | WebSocketRoute]:
        """For the application."""
        get, post = ["GET"], ["POST"]
        return [
            WebSocketRoute("/bridge/live", self.live),
            Route("/bridge/audio", self.audio, methods=get),
            Route("/bridge/sidecar", self.sidecar, methods=get),
            Route("/bridge/preview/{run}/{take:int}", self.preview, methods=get),
            Route("/bridge/clips", self.clips, methods=get),
            Route("/bridge/clips/{action}", self.change_clip, methods=post),
            Route("/bridge/runs/cancel", self.cancel_run, methods=post),
            Route("/bridge/jobs/cancel", self.cancel_job, methods=post),
            Route("/bridge/upload", self.upload, methods=post),
            Route("/bridge/status", self.status, methods=get),
            Route("/bridge/models", self.models, methods=get),
            Route("/bridge/models/{what}/{action}", self.change_model, methods=post),
            Route("/bridge/daemon/start", self.start_daemon, methods=post),
            Route("/bridge/bridges", self.bridges, methods=get),
            Route("/bridge/folders", self.folders, methods=get),
            Route("/bridge/train/report", self.train_report, methods=get),
            Route("/bridge/train/file", self.train_file, methods=get),
        ]

    async def live(self, socket: WebSocket) -> None:
        """Everything that happens, to one open page."""
        tab = socket.query_params.get("tab", "")[:64]
        await socket.accept()
        async with self._feed.listening(tab) as listener:
            sending = asyncio.create_task(self._send_all(socket, tab, listener))
            try:
                while True:
                    await socket.receive_text()  # a page says nothing; this notices that it is gone
            except (WebSocketDisconnect, RuntimeError):
                pass
            finally:
                sending.cancel()

    async def _send_all(self, socket: WebSocket, tab: str, listener: Listener) -> None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):
            await socket.send_text(json.dumps({"kind": "runs", "runs": self._runs.of_tab(tab)}))
            await socket.send_text(json.dumps(self._studio.message()))
            while not listener.lagging:
                await socket.send_text(await listener.get())
            await socket.close(1013)

    async def audio(self, request: Request) -> Response:
        """A clip's file: from the disk this page shares with the daemon, else fetched from it."""
        clip = await self._feed.clip(_text(request.query_params, "clip"))
        name = clip.name if "download" in request.query_params else None
        return FileResponse(
            await self._files.path(clip), headers={"cache-control": "no-cache"}, filename=name
        )

    async def sidecar(self, request: Request) -> Response:
        """What is written beside the clip: request, seed, hashes, measurements."""
        clip = await self._feed.clip(_text(request.query_params, "clip"))
        try:
            told = json.loads(clip.sidecar_json or "{}")
        except (ValueError, RecursionError):
            raise NotFound(f"the sidecar of {clip.name} cannot be read") from None
        return Response(json.dumps(told, indent=2), media_type="application/json")

    async def preview(self, request: Request) -> Response:
        """What has been decoded of a take so far."""
        try:
            wav = self._runs.preview(request.path_params["run"], request.path_params["take"])
        except NotFound:
            return Response(status_code=204)  # the take is finished: nothing to preview, and no error
        return Response(wav, media_type="audio/wav", headers={"cache-control": "no-store"})

    async def clips(self, request: Request) -> Response:
        """Clips that match, newest first."""
        asked = request.query_params
        bounds = {name: _number(asked, name, 0, 10_000) for name in _NUMBERS if asked.get(name)}
        filters: dict[str, Any] = {**bounds}
        filters.update({name: _text(asked, name) for name in _TEXTS if asked.get(name)})
        filters.update({name: True for name in _FLAGS if asked.get(name) == "true"})
        filters["limit"] = int(_number(asked, "limit", 1, MAX_CLIPS)) if asked.get("limit") else 500
        found = await self._feed.bridge.clips(_text(asked, "words"), **filters)
        self._feed.saw(found)
        return JSONResponse([clip_fields(clip) for clip in found])

    async def change_clip(self, request: Request) -> Response:
        """Stars, trashes, restores, or shows in the file manager."""
        asked = await _json(request)
        action, path = request.path_params["action"], _text(asked, "clip")
        bridge = self._feed.bridge
        if action == "star":
            clip = await bridge.star(path, bool(asked.get("starred")))
        elif action == "trash":
            clip = await bridge.trash(path)
            self._feed.seen.pop(path, None)
        elif action == "restore":
            clip = await bridge.restore(path)
            self._feed.seen.pop(path, None)
        elif action == "reveal":
            clip = await self._feed.clip(path)
            reveal(await self._files.path(clip))
        else:
            raise NotFound(f"a clip cannot be told to {action}")
        self._feed.saw([clip])
        if action != "reveal":
            told = {"kind": "library", "action": action, "was": path, "clip": clip_fields(clip)}
            self._feed.tell(told)
            self._runs.changed(path, clip)
        return JSONResponse(clip_fields(clip))

    async def cancel_run(self, request: Request) -> Response:
        """Cancels what this page asked for."""
        await self._runs.cancel(_text(await _json(request), "run"))
        return JSONResponse({})

    async def cancel_job(self, request: Request) -> Response:
        """Cancels anybody's job."""
        job = await self._feed.bridge.cancel(_text(await _json(request), "job"))
        self._feed.jobs_changed()
        return JSONResponse({"state": job.state})

    async def upload(self, request: Request) -> Response:
        """A file or recording from the browser, handed on to the daemon."""
        asked = _text(request.query_params, "name", "audio.wav")
        name = Path(asked.replace("\\", "/")).name[-MAX_NAME_CHARS:] or "audio.wav"
        with tempfile.TemporaryDirectory(prefix="acestep-web-") as folder:
            path = Path(folder) / name
            size = 0
            with path.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > MAX_UPLOAD_BYTES:
                        raise InvalidRequest(
                            f"{name} is larger than {MAX_UPLOAD_BYTES >> 20} MB: cut out the part you need"
                        )
                    file.write(chunk)
            uploaded = await self._feed.bridge.upload(path)
        return JSONResponse(dataclasses.asdict(uploaded))

    async def status(self, _: Request) -> Response:
        """The daemon, and the one this page may have started."""
        told = self._feed.daemon_message()
        if told["up"]:
            told["status"] = dataclasses.asdict(await self._feed.bridge.status())
        told["own"], told["local"] = self._daemon.state(), self._feed.bridge.target.is_local
        return JSONResponse({**told, "page_version": version()})

    async def models(self, _: Request) -> Response:
        """Checkpoints and adapters."""
        bridge = self._feed.bridge
        cascades, adapters = await bridge.cascades(), await bridge.adapters()
        return JSONResponse(
            {
                "cascades": [dataclasses.asdict(cascade) for cascade in cascades],
                "adapters": [dataclasses.asdict(adapter) for adapter in adapters],
            }
        )

    async def change_model(self, request: Request) -> Response:
        """Loads or unloads a checkpoint or an adapter."""
        name, bridge = _text(await _json(request), "name"), self._feed.bridge
        calls: dict[tuple[str, str], Callable[[str], Awaitable[words.Cascade | words.Adapter]]] = {
            ("cascade", "load"): bridge.load_cascade,
            ("cascade", "unload"): bridge.unload_cascade,
            ("adapter", "load"): bridge.load_adapter,
            ("adapter", "unload"): bridge.unload_adapter,
        }
        call = calls.get((request.path_params["what"], request.path_params["action"]))
        if call is None:
            raise NotFound("only cascades and adapters can be loaded and unloaded")
        changed = await call(name)
        self._feed.tell({"kind": "models"})
        return JSONResponse(dataclasses.asdict(changed))

    async def start_daemon(self, _: Request) -> Response:
        """Starts a daemon on this machine when the one asked for is not there."""
        if not self._feed.bridge.target.is_local:
            raise InvalidRequest("the daemon is on another machine: start it there with `acestep serve`")
        if self._feed.status is None:
            self._daemon.start()
        return JSONResponse(self._daemon.state())

    async def bridges(self, _: Request) -> Response:
        """Which bridges are installed in this machine's DAWs."""
        found, trouble = await asyncio.to_thread(installed_bridges)
        return JSONResponse({"bridges": found, "trouble": trouble})

    async def folders(self, request: Request) -> Response:
        """The folders of this machine, to choose one for training."""
        return JSONResponse(await asyncio.to_thread(subfolders, _text(request.query_params, "path")))

    async def train_report(self, _: Request) -> Response:
        """What `lora_studio prepare --report` wrote."""
        if not self._studio.report.is_file():
            raise NotFound("there is no report yet: look at a folder first")
        return FileResponse(self._studio.report, media_type="text/html")

    async def train_file(self, request: Request) -> Response:
        """A preview or plot of the adapter that was just trained."""
        return FileResponse(self._studio.file(_text(request.query_params, "name")))


def reveal(path: Path) -> None:
    """Shows the file in the system's file manager."""
    if sys.platform == "darwin":
        command = ["open", "-R", os.fspath(path)]
    elif sys.platform == "win32":
        command = ["explorer", f"/select,{path}"]
    else:
        opener = shutil.which("xdg-open")
        if opener is None:
            raise StorageError(
                f"no file manager can be opened here (xdg-open is missing): the file is {path}"
            )
        command = [opener, os.fspath(path.parent)]
    try:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise StorageError(f"no file manager can be opened ({error}): the file is {path}") from error


async def _json(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON_BYTES:
            raise InvalidRequest(f"the request is larger than {MAX_JSON_BYTES >> 20} MB: expected less")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the request is not JSON") from error
    if not isinstance(told, dict):
        raise InvalidRequest("the request is not JSON object")
    return told


def _text(values: Mapping[str, Any], name: str, default: str = "") -> str:
    """A text that can be sent on: no half letters, no zero bytes, not endless. Raises InvalidRequest."""
    text = values.get(name, default)
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS or "\0" in text:
        raise InvalidRequest(f"{name} is {text!r:.60}: expected at most {MAX_TEXT_CHARS} characters")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name} holds bytes that are not text: expected UTF-8") from None
    return text


def _number(values: Mapping[str, str], name: str, lowest: float, highest: float) -> float:
    try:
        value = float(values[name])
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        raise InvalidRequest(f"{name} {values[name]!r:.40} is not possible: expected {lowest:g}–{highest:g}")
    return value

"""The addresses of clips under /bridge/: their audio and sidecar, the library, and what is done to them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from plugin_bridge.errors import InvalidRequest, NotFound, StorageError
from plugin_bridge.web import asked
from plugin_bridge.web.files import ClipFiles
from plugin_bridge.web.live import Feed, clip_fields
from plugin_bridge.web.runs import Runs

MAX_CLIPS = 5_000
_NUMBERS = ("bpm_min", "bpm_max")
_TEXTS = ("key", "adapter", "since", "idea")
_FLAGS = ("starred", "trashed")


class ClipRoutes:
    """Clips, one by one and listed."""

    def __init__(self, feed: Feed, runs: Runs, files: ClipFiles) -> None:
        self._feed, self._runs, self._files = feed, runs, files

    def all(self) -> list[Route]:
        """For the application."""
        return [
            Route("/bridge/audio", self.audio, methods=["GET"]),
            Route("/bridge/midi", self.midi, methods=["GET"]),
            Route("/bridge/sidecar", self.sidecar, methods=["GET"]),
            Route("/bridge/preview/{run}/{take:int}", self.preview, methods=["GET"]),
            Route("/bridge/clips", self.clips, methods=["GET"]),
            Route("/bridge/clips/{action}", self.change_clip, methods=["POST"]),
        ]

    async def audio(self, request: Request) -> Response:
        """A clip's file, from the disk this page shares with the daemon, else fetched from it.

        `as=wav`: for browsers, which cannot play every format.
        """
        clip = await self._feed.clip(asked.text(request.query_params, "clip"))
        wanted = request.query_params.get("as", "")
        if wanted not in ("", "wav"):
            raise InvalidRequest(f"as {wanted!r:.40} is not possible: expected wav, or the file as it is")
        path = await (self._files.as_wav(clip) if wanted else self._files.path(clip))
        name = f"{Path(clip.name).stem}{path.suffix}" if "download" in request.query_params else None
        return FileResponse(path, headers={"cache-control": "no-cache"}, filename=name)

    async def midi(self, request: Request) -> Response:
        """A clip's notes, as the file beside it."""
        clip = await self._feed.clip(asked.text(request.query_params, "clip"))
        name = f"{Path(clip.name).stem}.mid"
        return FileResponse(await self._files.midi(clip), filename=name, media_type="audio/midi")

    async def sidecar(self, request: Request) -> Response:
        """What is written beside the clip: request, seed, hashes, measurements."""
        clip = await self._feed.clip(asked.text(request.query_params, "clip"))
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
        wanted = request.query_params
        bounds = {name: asked.number(wanted, name, 0, 10_000) for name in _NUMBERS if wanted.get(name)}
        filters: dict[str, Any] = {**bounds}
        filters.update({name: asked.text(wanted, name) for name in _TEXTS if wanted.get(name)})
        filters.update({name: True for name in _FLAGS if wanted.get(name) == "true"})
        filters["limit"] = int(asked.number(wanted, "limit", 1, MAX_CLIPS)) if wanted.get("limit") else 500
        found = await self._feed.bridge.clips(asked.text(wanted, "words"), **filters)
        self._feed.saw(found)
        return JSONResponse([clip_fields(clip) for clip in found])

    async def change_clip(self, request: Request) -> Response:
        """Stars, renames, tags, trashes, restores, or shows in the file manager."""
        wanted = await asked.body(request)
        action, path = request.path_params["action"], asked.text(wanted, "clip")
        bridge = self._feed.bridge
        if action == "star":
            clip = await bridge.star(path, bool(wanted.get("starred")))
        elif action == "rename":
            clip = await bridge.rename(path, asked.text(wanted, "name"))
            self._feed.seen.pop(path, None)
        elif action == "tag":
            clip = await bridge.tag(path, asked.texts(wanted, "tags"))
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

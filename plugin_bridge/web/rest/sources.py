"""The audio that a request names or brings: a result of before, a file of the daemon's machine, an upload."""

import asyncio
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import UploadFile

from plugin_bridge.errors import ForbiddenPath, InvalidRequest, NotFound
from plugin_bridge.settings import UPLOADED
from plugin_bridge.web.files import ClipFiles
from plugin_bridge.web.live import Feed
from plugin_bridge.web.rest.body import Body
from plugin_bridge.web.rest.fields import snake
from plugin_bridge.web.rest.release_fields import FILES

AUDIO = "/v1/audio"
MAX_NAME_CHARS = 60


@dataclass(frozen=True)
class Source:
    """Audio for the daemon: a path as it takes it, and how long it is where that is known."""

    path: str
    duration_s: float | None = None


class Sources:
    """Finds what `reference_audio_path` and `src_audio_path` name."""

    def __init__(self, feed: Feed, files: ClipFiles) -> None:
        self._feed, self._files = feed, files

    async def of(self, body: Body, values: Mapping[str, Any], field: str) -> Source | None:
        """The audio of a path's field, or of the file that was sent for it, which counts more."""
        sent = [file for name, file in body.files.items() if FILES.get(snake(name)) == field]
        if len(sent) > 1:
            raise InvalidRequest(f"two files are sent for {field}: send one")
        if sent:
            return await self._uploaded(sent[0])
        named = values.get(field, "")
        return await self._named(named) if named else None

    async def _uploaded(self, file: UploadFile) -> Source:
        name = Path((file.filename or "audio.wav").replace("\\", "/").replace("\0", "")).name
        with tempfile.TemporaryDirectory(prefix="acestep-web-") as folder:
            path = Path(folder) / (name[-MAX_NAME_CHARS:].lstrip(".") or "audio.wav")
            with path.open("wb") as copy:
                await asyncio.to_thread(shutil.copyfileobj, file.file, copy)
            taken = await self._feed.bridge.upload(path)
        return Source(taken.path, taken.duration_s)

    async def _named(self, named: str) -> Source:
        path = served(named)
        if path is not None or named in self._feed.seen:
            clip = await self._feed.clip(path or named)
            here = self._feed.bridge.target.is_local
            return Source(clip.path if here else str(await self._files.path(clip)), clip.duration_s)
        # Of a daemon elsewhere this machine's files would be sent there, whoever may read them here.
        if not named.startswith(UPLOADED) and not self._feed.bridge.target.is_local:
            raise ForbiddenPath(
                "the daemon is on another machine and reads no path of this one: send the file itself, as "
                "reference_audio or src_audio"
            )
        return Source(named)


def served(address: str) -> str | None:
    """The path inside a result's `file` (`/v1/audio?path=…`); None for any other text. Raises NotFound."""
    try:
        parts = urlsplit(address)
        if not parts.path.endswith(AUDIO) or not parts.query:
            return None
        return parse_qs(parts.query, max_num_fields=20)["path"][0]
    except (ValueError, KeyError):
        raise NotFound(
            f"{address!r:.80} names no result: expected {AUDIO}?path=… as a result's file has it"
        ) from None

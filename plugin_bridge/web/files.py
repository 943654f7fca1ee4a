"""Where a clip's file can be read on this machine: on the shared disk, or fetched from a daemon elsewhere."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

from plugin_bridge import words
from plugin_bridge.errors import NotFound
from plugin_bridge.web.live import Feed


class ClipFiles:
    """Clips as files. Fetched ones are kept in `cache` as long as the page's server runs."""

    def __init__(self, feed: Feed, cache: Path) -> None:
        self._feed, self._cache = feed, cache
        self._fetching: dict[str, asyncio.Lock] = {}

    async def path(self, clip: words.Clip) -> Path:
        """The clip's file here. Raises NotFound where it is gone."""
        bridge = self._feed.bridge
        path = Path(clip.path)
        # Behind a link may be anything: then the daemon decides, and the page has the file from it.
        if bridge.target.is_local and path.resolve() == path:
            if not path.is_file():
                raise NotFound(f"{path} is no longer there: it was moved or deleted outside of the page")
            return path
        # a name can be free again after a clip was deleted: which clip it is, is known by its making
        made = "\0".join((clip.path, clip.job, clip.created, str(clip.seed)))
        folder = self._cache / hashlib.sha256(made.encode()).hexdigest()[:16]
        async with self._fetching.setdefault(made, asyncio.Lock()):
            fetched = next(folder.glob("[!.]*"), None) if folder.is_dir() else None
            return fetched or await bridge.download(clip.name, folder)

    async def for_request(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with clips of a daemon elsewhere replaced by files here, which are then sent to it."""
        if self._feed.bridge.target.is_local:
            return options
        changed = dict(options)
        for name in ("reference", "context"):
            path, *span = options.get(name) or ("",)
            if path in self._feed.seen:
                changed[name] = (await self.path(self._feed.seen[path]), *span)
        return changed

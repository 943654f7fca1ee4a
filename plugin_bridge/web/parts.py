"""Everything of the page but its layout: feed, runs, training, files, routes, and how they begin and end.

Loads no Gradio.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from plugin_bridge.aio import AsyncBridge
from plugin_bridge.errors import ForbiddenPath
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.files import ClipFiles
from plugin_bridge.web.live import Feed
from plugin_bridge.web.routes import routes
from plugin_bridge.web.runs import Runs
from plugin_bridge.web.studio import Studio


class Parts:
    """The parts of one page, for the daemon at `address`, whose `certificate` is that file ("": as usual)."""

    def __init__(self, address: str = "", own: OwnDaemon | None = None, certificate: str = "") -> None:
        self._cache = tempfile.TemporaryDirectory(prefix="acestep-web-")
        self.feed = Feed(lambda: AsyncBridge(address, certificate=certificate, own_files=False))
        self.uploads = Path(self._cache.name) / "uploads"  # what callers of the API have sent
        self.uploads.mkdir(mode=0o700)
        self.files = ClipFiles(self.feed, Path(self._cache.name))
        self.runs = Runs(self.feed, self.files)
        self.studio = Studio(self.feed)
        self.own = own or OwnDaemon(())
        self.routes = routes(self.feed, self.runs, self.files, self.own, self.studio)
        # of doors that have something of their own to begin and end
        self.lifespans: list[Callable[[], contextlib.AbstractAsyncContextManager[None]]] = []

    def uploaded(self, path: str) -> Path:
        """A file that was uploaded here. Raises ForbiddenPath for any other."""
        found = Path(path).resolve() if "\0" not in path else self.uploads
        if not found.is_relative_to(self.uploads.resolve()) or not found.is_file():
            raise ForbiddenPath(f"{path!r:.120} was not uploaded here: upload the file first")
        return found

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Watches the daemon while the application runs."""
        watching = asyncio.create_task(self.feed.run())
        try:
            async with contextlib.AsyncExitStack() as doors:
                for lifespan in self.lifespans:
                    await doors.enter_async_context(lifespan())
                yield
        finally:
            await self.runs.close()
            # together: who asked this server to end may not wait long
            await asyncio.gather(self.studio.close(), asyncio.to_thread(self.own.stop))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self._cache.cleanup()

"""Everything of the page but its layout: feed, runs, training, files, routes, and how they begin and end.

Loads no Gradio.
"""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from plugin_bridge.aio import AsyncBridge
from plugin_bridge.web.daemon import OwnDaemon
from plugin_bridge.web.files import ClipFiles
from plugin_bridge.web.live import Feed
from plugin_bridge.web.routes import Routes
from plugin_bridge.web.runs import Runs
from plugin_bridge.web.studio import Studio


class Parts:
    """The parts of one page, for the daemon at `address`."""

    def __init__(self, address: str = "", own: OwnDaemon | None = None) -> None:
        self._cache = tempfile.TemporaryDirectory(prefix="acestep-web-")
        self.feed = Feed(lambda: AsyncBridge(address, own_files=False))
        files = ClipFiles(self.feed, Path(self._cache.name))
        self.runs = Runs(self.feed, files)
        self.studio = Studio(self.feed)
        self._own = own or OwnDaemon(())
        self.routes = Routes(self.feed, self.runs, files, self._own, self.studio)

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Watches the daemon while the application runs."""
        watching = asyncio.create_task(self.feed.run())
        try:
            yield
        finally:
            await self.runs.close()
            await self.studio.close()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await asyncio.to_thread(self._own.stop)
            self._cache.cleanup()

"""An application that takes seconds to load, loaded while others are served already."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send


class Later:
    """What `build` returns, made in a thread of its own, at once or when it is first asked. Whoever asks
    meanwhile waits; its faults are raised in whoever asks."""

    def __init__(self, build: Callable[[], Starlette], at_once: bool = True) -> None:
        self._build = build
        self._wanted = asyncio.Event()
        if at_once:
            self._wanted.set()
        self._made: asyncio.Future[Starlette]

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Loads it, and ends it."""
        self._made = asyncio.get_running_loop().create_future()
        ending = asyncio.Event()
        serving = asyncio.create_task(self._serve(ending))
        try:
            yield
        finally:
            ending.set()
            if not self._wanted.is_set():
                serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    async def _serve(self, ending: asyncio.Event) -> None:
        await self._wanted.wait()
        try:
            app = await asyncio.to_thread(asyncio.run, self._built())
        except Exception as error:  # noqa: BLE001 (raised in whoever asks)
            self._made.set_exception(error)
            return
        async with app.router.lifespan_context(app):
            self._made.set_result(app)
            await ending.wait()

    async def _built(self) -> Starlette:
        return (
            self._build()
        )  # in a loop: Gradio makes one for each of its locks where none runs, and leaves it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._wanted.set()
        app = await asyncio.shield(self._made)
        await app(scope, receive, send)

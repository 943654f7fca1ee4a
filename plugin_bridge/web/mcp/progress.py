"""How far a call is, told to its caller: only the newest, and never backwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from mcp.server.session import ServerSession

WORTH_TELLING = 0.01
LEAST = 1e-6  # MCP has each number higher than the one before, also where only the words change


class Progress:
    """What there is to tell, sent as quickly as the caller takes it."""

    def __init__(self, session: ServerSession) -> None:
        self._session = session
        self._told, self._said = -LEAST, ""
        self._newest: tuple[float, str] | None = None
        self._due, self._ending = asyncio.Event(), False

    def tell(self, share: float, what: str) -> None:
        """How far it is, 0–1, and what it does."""
        if what != self._said or share >= self._told + WORTH_TELLING:
            self._newest = share, what
            self._due.set()

    @contextlib.asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        """Sends while the call works, and what is left at its end."""
        sending = asyncio.create_task(self._keep_sending())
        try:
            yield
            self._ending = True
            self._due.set()
            await asyncio.wait({sending})
        finally:
            sending.cancel()

    async def _keep_sending(self) -> None:
        while not self._ending:
            await self._due.wait()
            self._due.clear()
            await self._send()

    async def _send(self) -> None:
        newest, self._newest = self._newest, None
        if newest is not None:
            share, self._said = newest
            self._told = max(share, self._told + LEAST)
            await self._session.report_progress(self._told, 1.0, self._said)


def caller(session: Any) -> str:
    """The name by which the daemon's queue shows who asked."""
    params = session.client_params
    name = params.client_info.name if params is not None else ""
    return f"mcp {name}".strip()[:40]

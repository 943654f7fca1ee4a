"""What the daemon does, told to every open page: one watcher, many listeners.

Keeps the connection to the daemon and heals it.
"""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from plugin_bridge import words
from plugin_bridge.aio import AsyncBridge
from plugin_bridge.errors import BridgeError, NotFound, Unavailable

JOBS_SHOWN = 30
RETRY_S = 0.5
QUEUE_LENGTH = 2_000  # messages a page may lag behind before it is cut off and has to connect anew

Message = dict[str, Any]


class Listener:
    """One open page: messages wait here until its socket takes them."""

    def __init__(self, tab: str) -> None:
        self.tab = tab
        self._messages: asyncio.Queue[str] = asyncio.Queue(QUEUE_LENGTH)
        self.lagging = False

    def put(self, text: str) -> None:
        """Never blocks: a page that does not read is marked instead."""
        try:
            self._messages.put_nowait(text)
        except asyncio.QueueFull:
            self.lagging = True

    async def get(self) -> str:
        """The next message as JSON."""
        return await self._messages.get()


class Feed:
    """The daemon's events, its jobs and whether it is there."""

    def __init__(self, connect: Callable[[], AsyncBridge]) -> None:
        self._connect = connect
        self._bridge: AsyncBridge | None = None
        self._stale: AsyncBridge | None = None
        self.status: words.Status | None = None
        self.trouble = "asking the daemon…"
        self.jobs: list[words.ListedJob] = []
        self.seen: dict[str, words.Clip] = {}  # every clip this page knows, by path: what may be served
        self._listeners: set[Listener] = set()
        self._up = asyncio.Event()
        self._jobs_due = asyncio.Event()

    @property
    def bridge(self) -> AsyncBridge:
        """The connection. It belongs to the event loop that is running when it is first asked for."""
        if self._bridge is None:
            self._bridge = self._connect()
        return self._bridge

    async def run(self) -> None:
        """Watches the daemon until cancelled; comes back by itself when the daemon does."""
        jobs = asyncio.create_task(self._keep_jobs())
        try:
            while True:
                try:
                    await self._watch()
                except BridgeError as error:
                    self._lost(error)
                await asyncio.sleep(RETRY_S)
                await self._reconnect()
        finally:
            jobs.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await jobs
            for bridge in (self._bridge, self._stale):
                if bridge is not None:
                    await bridge.close()

    async def _watch(self) -> None:
        status = await self.bridge.status()
        events = await self.bridge.watch()
        self.status, self.trouble = status, ""
        self._up.set()
        self._jobs_due.set()
        self.tell(self.daemon_message())
        async for event in events:
            self.on_event(event)
        raise Unavailable("the daemon has ended")

    def _lost(self, error: BridgeError) -> None:
        changed = self.status is not None or self.trouble != error.message
        self.status, self.trouble = None, error.message
        self._up.clear()
        if changed:
            self.tell(self.daemon_message())

    async def _reconnect(self) -> None:
        # A fresh channel: an old one waits longer and longer between its attempts. Calls that are just being
        # made on the old one may still end, so it is closed one round later.
        oldest, self._stale, self._bridge = self._stale, self._bridge, self._connect()
        if oldest is not None:
            await oldest.close()

    async def wait_up(self) -> None:
        """Returns when the daemon answers."""
        await self._up.wait()

    def on_event(self, event: words.Event) -> None:
        """Tells every page what matters to all of them."""
        if isinstance(event, words.Progress):
            self.tell({"kind": "progress", **dataclasses.asdict(event)})
        elif isinstance(event, words.ClipReady):
            self.saw([event.clip])
            self.tell({"kind": "clip", "job": event.job, "clip": clip_fields(event.clip)})
        elif not isinstance(event, words.Audio):
            self._jobs_due.set()

    async def _keep_jobs(self) -> None:
        """Lists the jobs again whenever one came, began or ended; bursts are one listing."""
        while True:
            await self._jobs_due.wait()
            self._jobs_due.clear()
            with contextlib.suppress(BridgeError):
                self.jobs = await self.bridge.jobs(JOBS_SHOWN)
                self.tell(self.jobs_message())
            await asyncio.sleep(0.1)

    def jobs_changed(self) -> None:
        """Asks for a new list of jobs."""
        self._jobs_due.set()

    def saw(self, clips: list[words.Clip]) -> None:
        """Remembers clips the daemon has named: only these are served to the browser."""
        for clip in clips:
            self.seen[clip.path] = clip

    async def clip(self, path: str) -> words.Clip:
        """The clip of that path, as the daemon told it. Raises NotFound."""
        if path not in self.seen:
            self.saw(await self.bridge.clips(limit=5_000))
        if path not in self.seen:
            self.saw(await self.bridge.clips(trashed=True, limit=5_000))
        try:
            return self.seen[path]
        except KeyError:
            raise NotFound(f"no clip {path} in the daemon's library: it may have been moved") from None

    def tell(self, message: Message, tab: str = "") -> None:
        """Sends to every page, or to the one tab."""
        text = json.dumps(message)
        for listener in self._listeners:
            if not tab or listener.tab == tab:
                listener.put(text)

    @contextlib.asynccontextmanager
    async def listening(self, tab: str) -> AsyncIterator[Listener]:
        """A listener that begins with how things are now."""
        listener = Listener(tab)
        listener.put(json.dumps(self.daemon_message()))
        listener.put(json.dumps(self.jobs_message()))
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def daemon_message(self) -> Message:
        """Whether the daemon is there, and what it says of itself."""
        status = dataclasses.asdict(self.status) if self.status else None
        return {
            "kind": "daemon",
            "up": self.status is not None,
            "message": self.trouble,
            "status": status,
            "address": self.bridge.target.address,
        }

    def jobs_message(self) -> Message:
        """The newest jobs of all clients."""
        return {"kind": "jobs", "jobs": [job_fields(job) for job in self.jobs]}


def clip_fields(clip: words.Clip) -> Message:
    """A clip for the browser, without its sidecar."""
    fields = dataclasses.asdict(clip)
    del fields["sidecar_json"]
    return fields


def job_fields(job: words.ListedJob) -> Message:
    """A job for the browser, without its request."""
    fields = dataclasses.asdict(job)
    del fields["request_json"]
    return fields

"""What happens to jobs, as small frozen events, and the hub that hands them to everyone who listens."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acestep.clips.clip import Clip
from server import logs

if TYPE_CHECKING:
    import numpy as np

MAX_WAITING_EVENTS = 2_000
log = logs.get("events")


@dataclass(frozen=True)
class Accepted:
    """The job is queued behind `position` others."""

    job: str
    position: int
    seed: int


@dataclass(frozen=True)
class Progress:
    """The job's stage, the fraction of the whole job that is done, and the seconds left."""

    job: str
    stage: str
    fraction: float
    eta_s: float


@dataclass(frozen=True)
class Audio:
    """A decoded window [C, N] float32 of a take, before fitting: a preview only."""

    job: str
    take: int
    start_sample: int
    sample_rate_hz: int
    samples: "np.ndarray"


@dataclass(frozen=True)
class ClipWritten:
    """A finished clip lies in its folder."""

    job: str
    clip: Clip


@dataclass(frozen=True)
class Done:
    """All clips of the job are written."""

    job: str
    clips: int


@dataclass(frozen=True)
class Failed:
    """The job ended without result; `reason` is one of `acestep.errors`, `cancelled` among them."""

    job: str
    reason: str
    message: str


Event = Accepted | Progress | Audio | ClipWritten | Done | Failed
Listener = Callable[[Event], None]


class Hub:
    """Hands every event to every listener, in order, in the thread that publishes it.

    Listeners must be quick; slow ones use `Inbox`. One that fails is no reason for the job or for the other
    listeners to fail.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Adds a listener; the function returned takes it away again."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def leave() -> None:
            with self._lock:
                self._listeners = tuple(item for item in self._listeners if item is not listener)

        return leave

    def publish(self, event: Event) -> None:
        """Hands `event` to all listeners. Never raises."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.error("listener_failed", job=event.job, exc_info=True)


class Inbox:
    """Events kept for one slow listener. When it falls far behind, progress and audio are dropped first."""

    def __init__(self, job: str | None = None, audio: bool = False):
        self.job = job
        self.audio = audio
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()  # None: closed

    def __call__(self, event: Event) -> None:
        """Takes an event of its job (or of all jobs when it has none)."""
        if self.job is not None and event.job != self.job:
            return
        if isinstance(event, Audio) and not self.audio:
            return
        if isinstance(event, Progress | Audio) and self._queue.qsize() > MAX_WAITING_EVENTS:
            return
        self._queue.put(event)

    def close(self) -> None:
        """Makes `next` return None once all before it is read."""
        self._queue.put(None)

    def next(self) -> Event | None:
        """Waits for the next event; None when closed."""
        return self._queue.get()

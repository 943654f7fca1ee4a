"""Jobs and the bounded queue in which senders take fair turns."""

import contextlib
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acestep.errors import Busy, NotFound, Unavailable
from acestep.request import GenerateRequest
from server.jobs.events import Accepted, Event, Failed, Hub
from server.library.places import Disk

QUEUED, RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED = (
    "queued",
    "running",
    "done",
    "failed",
    "cancelled",
    "interrupted",
)
UNFINISHED = (QUEUED, RUNNING)
KEPT_FINISHED = 500  # finished jobs that stay in memory; older ones are in the journal


def new_job_id() -> str:
    """Sorts by time, short enough to type: `261123-011742-9f3a1c`."""
    return f"{datetime.now(UTC):%y%m%d-%H%M%S}-{secrets.token_hex(3)}"


@dataclass(eq=False)
class Job:
    """A request in the daemon. Changed only by the queue and the worker."""

    request: GenerateRequest
    folder: Path
    client: str
    id: str = field(default_factory=new_job_id)
    stream_audio: bool = False
    only_take: int | None = None  # make just this take of the batch again
    made: dict[str, Any] = field(default_factory=dict)  # from its sidecar: plan, checkpoint, heard
    state: str = QUEUED
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    stage: str = ""
    fraction: float = 0.0
    eta_s: float = 0.0
    clips: list[Any] = field(default_factory=list)  # acestep.clips.clip.Clip
    reason: str = ""
    message: str = ""
    cancelling: threading.Event = field(default_factory=threading.Event)
    interrupting: bool = False  # it is the daemon that stops, not somebody who cancels
    disk: Disk | None = None  # of `folder`, as it was when the job was asked for
    rerun_of: str = ""  # the interrupted job that this one is made in place of

    @property
    def finished(self) -> bool:
        """True once the job can change no more."""
        return self.state not in UNFINISHED

    @property
    def stopped(self) -> tuple[str, str, str]:
        """State, reason and message of one that was told to stop while it ran."""
        if self.interrupting:
            return INTERRUPTED, "interrupted", "the daemon was stopped while the job ran"
        return CANCELLED, "cancelled", "cancelled"


class JobQueue:
    """At most `limit` waiting jobs, `limit_per_client` of one sender; senders are served in turns.

    `record` writes a new job down or raises; `keep` writes a change down, in the end, and never raises.
    Neither is called under the queue's lock: a slow disk holds up nobody who only asks.
    """

    def __init__(
        self,
        hub: Hub,
        record: Callable[[Job], None],
        limit: int = 64,
        limit_per_client: int = 32,
        keep: Callable[[Job], None] | None = None,
    ):
        self._hub = hub
        self._record = record
        self._keep = keep or record
        self.limit = limit
        self.limit_per_client = limit_per_client
        self._entering: list[Job] = []  # being recorded
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()  # client → its jobs; first client is next
        self._errands: deque[Callable[[], None]] = deque()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self.running: Job | None = None

    def submit(self, job: Job) -> int:
        """Queues the job, recorded before it is acknowledged; how many jobs are before it.

        Raises Busy when the queue is full (never for a job made again), Unavailable when the daemon is
        stopping.
        """
        with self._changed:
            self._admit(job)
            self._entering.append(job)
        try:
            self._record(job)
        except BaseException:
            with self._changed:
                self._entering.remove(job)
            raise
        with self._changed:
            self._entering.remove(job)
            if not self._closed:
                return self._enter(job)
            job.state, job.reason, job.message = CANCELLED, "unavailable", "the daemon was stopping"
        self._keep(job)
        raise Unavailable("the daemon is stopping: start it again and resubmit")

    def _admit(self, job: Job) -> None:
        if self._closed:
            raise Unavailable("the daemon is stopping: start it again and resubmit")
        if job.rerun_of:
            return
        waiting = self.waiting_count + len(self._entering)
        if waiting >= self.limit:
            raise Busy(f"{waiting} jobs are waiting already, as many as may: cancel some or try again later")
        own = len(self._waiting.get(job.client, ()))
        own += sum(entering.client == job.client for entering in self._entering)
        if own >= self.limit_per_client:
            raise Busy(f"{own} jobs of {job.client} are waiting, and no more may: cancel some or wait")

    def _enter(self, job: Job) -> int:
        position = self.waiting_count + (self.running is not None)
        self._waiting.setdefault(job.client, deque()).append(job)
        self._jobs[job.id] = job
        self._forget_old()
        assert job.request.seed is not None
        # Under the lock, so that no listener hears of progress before it hears of acceptance.
        self._hub.publish(Accepted(job.id, position, job.request.seed))
        self._changed.notify_all()
        return position

    def run_soon(self, errand: Callable[[], None]) -> None:
        """Has the worker's thread call `errand` before the next job: loading and unloading of models."""
        with self._changed:
            if self._closed:
                raise Unavailable("the daemon is stopping")
            self._errands.append(errand)
            self._changed.notify_all()

    def forget(self, errand: Callable[[], None]) -> None:
        """An errand that nobody waits for any more is not done, if it has not begun."""
        with self._changed, contextlib.suppress(ValueError):
            self._errands.remove(errand)

    def take(self, timeout_s: float | None = None) -> Job | Callable[[], None] | None:
        """The next errand or job for the worker; None after `timeout_s` or when closed and empty."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self._errands:
                    return self._errands.popleft()
                if self._waiting:
                    return self._next_job()
                if self._closed:
                    return None
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)

    def _next_job(self) -> Job:
        client, own = self._waiting.popitem(last=False)
        job = own.popleft()
        if own:
            self._waiting[client] = own  # to the end: everybody else has a turn first
        job.state = RUNNING
        self.running = job
        return job

    def finish(
        self, job: Job, state: str, reason: str = "", message: str = "", events: Sequence[Event] = ()
    ) -> bool:
        """The job that ran has ended: written down, then told, then the next one's turn.

        False, and nothing happens, where it had ended before.
        """
        with self._changed:
            if job.finished:
                return False
            job.state, job.reason, job.message = state, reason, message
        try:
            self._keep(job)
        finally:
            for event in events:
                self._hub.publish(event)
            with self._changed:
                if self.running is job:
                    self.running = None
                self._changed.notify_all()
        return True

    def cancel(self, job_id: str) -> Job:
        """Cancels a queued job at once, a running one within its current step. Raises NotFound.

        Written down before this returns: a job that was cancelled is not made again after a crash.
        """
        with self._changed:
            job = self.get(job_id)
            waits, runs = job.state == QUEUED, job.state == RUNNING
            if waits:
                self._take_out(job, CANCELLED, "cancelled", "cancelled before it started")
            elif runs:
                job.interrupting = False
                job.cancelling.set()
        if waits:
            self._tell_end(job)
        elif runs:
            self._keep(job)
        return job

    def interrupt(self, job: Job) -> None:
        """Stops a running job so that `--resume` makes it again, unless somebody has cancelled it."""
        with self._changed:
            if not job.cancelling.is_set():
                job.interrupting = True
                job.cancelling.set()

    def _take_out(self, job: Job, state: str, reason: str, message: str) -> None:
        own = self._waiting[job.client]
        own.remove(job)
        if not own:
            del self._waiting[job.client]
        job.state, job.reason, job.message = state, reason, message
        job.cancelling.set()

    def _tell_end(self, job: Job) -> None:
        try:
            self._keep(job)
        finally:
            self._hub.publish(Failed(job.id, job.reason, job.message))

    def close(self) -> None:
        """Takes no more jobs and ends the waiting ones as interrupted, so that `--resume` reruns them."""
        with self._changed:
            self._closed = True
            ended = [job for own in self._waiting.values() for job in own]
            for job in ended:
                message = "the daemon was stopped before the job started"
                self._take_out(job, INTERRUPTED, "interrupted", message)
            self._changed.notify_all()
        for job in ended:
            self._tell_end(job)

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until no job runs; False if one still does."""
        with self._changed:
            return self._changed.wait_for(lambda: self.running is None, timeout_s)

    def get(self, job_id: str) -> Job:
        """The job of that id. Raises NotFound."""
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound(f"no job {job_id!r}: /acestep/status and `acestep jobs` list those there are")
        return job

    def jobs(self) -> list[Job]:
        """All jobs in memory, oldest first."""
        with self._changed:
            return list(self._jobs.values())

    def unfinished_of(self, client: str) -> list[Job]:
        """The queued and running jobs of one sender."""
        return [job for job in self.jobs() if job.client == client and not job.finished]

    @property
    def closed(self) -> bool:
        """True once no more jobs are taken."""
        return self._closed

    @property
    def waiting_count(self) -> int:
        """How many jobs are queued."""
        return sum(len(own) for own in self._waiting.values())

    def _forget_old(self) -> None:
        if len(self._jobs) <= KEPT_FINISHED + self.limit:
            return
        for job_id in [job_id for job_id, job in self._jobs.items() if job.finished][: self.limit]:
            del self._jobs[job_id]

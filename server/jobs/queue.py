"""The bounded queue in which senders take fair turns, and the one owner of every job's state.

`_move` is the only place where a job changes its state: it checks that the new state may follow, has the
journal write it and the hub tell it. Journal and hub are slow (files, SQLite, sockets), so neither is called
under the queue's lock: whoever only asks never waits for a disk.
"""

import contextlib
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence

from acestep.clips.clip import Clip
from acestep.errors import Busy, NotFound, Unavailable
from server.jobs.events import Accepted, Audio, ClipWritten, Done, Event, Failed, Hub, Progress
from server.jobs.job import MOVES, Ending, Job, JobState

KEPT_FINISHED = 500  # finished jobs that stay in memory; older ones are in the journal


class JobQueue:
    """At most `limit` waiting jobs, `limit_per_client` of one sender; senders are served in turns.

    `record` writes a new job down or raises; `keep` writes a change down, in the end, and never raises.
    Neither is called under the queue's lock: a slow disk holds up nobody who only asks. `at_once` says how
    many jobs may run side by side now; it is called under the lock.
    """

    def __init__(
        self,
        hub: Hub,
        record: Callable[[Job], None],
        limit: int = 64,
        limit_per_client: int = 32,
        keep: Callable[[Job], None] | None = None,
        at_once: Callable[[], int] = lambda: 1,
    ):
        self._hub = hub
        self._record = record
        self._keep = keep or record
        self._at_once = at_once
        self.limit = limit
        self.limit_per_client = limit_per_client
        self._entering: list[Job] = []  # being recorded
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()  # client → its jobs; first client is next
        self._errands: deque[Callable[[], None]] = deque()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self.running: tuple[Job, ...] = ()  # in the order in which they began

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
        with job.telling:  # so that nobody hears of progress or of an end before this
            with self._changed:
                self._entering.remove(job)
                position = None if self._closed else self._enter(job)
            if position is not None:
                assert job.request.seed is not None
                job.announced = True
                self._hub.publish(Accepted(job.id, position, job.request.seed))
                return position
        self._move(job, Ending(JobState.CANCELLED, "unavailable", "the daemon was stopping"))
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
        position = self.waiting_count + (len(self.running) if self._is_full() else 0)
        self._waiting.setdefault(job.client, deque()).append(job)
        self._jobs[job.id] = job
        self._forget_old()
        self._changed.notify_all()
        return position

    def _move(
        self, job: Job, to: Ending, clips: Iterable[Clip] = (), only_from: JobState | None = None
    ) -> bool:
        """Gives a job its next state: checked, written down, told, in this order.

        False, and nothing happens, where the job has ended already (of two ends the first one counts), or
        has left the state `only_from`, or would start although the daemon stops.
        """
        with self._changed:
            starts = to.state is JobState.RUNNING
            if job.finished or (only_from and job.state is not only_from) or (starts and self._closed):
                return False
            if to.state not in MOVES[job.state]:
                raise AssertionError(f"job {job.id} is {job.state} and cannot become {to.state}")
            self._leave_line(job, served=starts)
            job.state, job.reason, job.message = to
            paths = {clip.path for clip in job.clips}
            news = [clip for clip in clips if clip.path not in paths]  # the others were delivered
            job.clips += news
            if starts:
                self.running = (*self.running, job)
            elif to.state is JobState.DONE:
                job.fraction = 1.0
            elif job not in self.running:
                job.cancelling.set()
        try:
            self._keep(job)
        finally:
            with job.telling:
                for event in _news(job, news) if job.announced else ():
                    self._hub.publish(event)
            if job.finished:
                with self._changed:
                    self.running = tuple(one for one in self.running if one is not job)
                    self._changed.notify_all()
        return True

    def _leave_line(self, job: Job, served: bool) -> None:
        """Takes a waiting job out; the client of one that is served goes to the end of the line."""
        own = self._waiting.get(job.client)
        if own is None or job not in own:
            return
        own.remove(job)
        if not own:
            del self._waiting[job.client]
        elif served:
            self._waiting.move_to_end(job.client)

    def report(self, job: Job, stage: str, fraction: float, eta_s: float, tell: bool = True) -> None:
        """How far a running job is. `tell` it to the hub as well; what has ended reports nothing."""
        with self._changed:
            if job.finished:
                return
            job.stage, job.eta_s = stage, round(max(0.0, eta_s), 2)
            job.fraction = min(1.0, max(job.fraction, fraction))
        if tell:
            self.tell(job, Progress(job.id, job.stage, job.fraction, job.eta_s))

    def tell(self, job: Job, event: Progress | Audio) -> None:
        """Tells the hub what a job does, unless it has ended."""
        with job.telling:
            if not job.finished:
                self._hub.publish(event)

    def deliver(self, job: Job, clip: Clip) -> None:
        """A clip of a job that runs on: written down, then told. It stays, however the job ends."""
        with self._changed:
            job.clips.append(clip)
        self._keep(job)
        with job.telling:
            self._hub.publish(ClipWritten(job.id, clip))

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
        while True:
            item = self._next(deadline)
            if not isinstance(item, Job) or self._move(item, Ending(JobState.RUNNING)):
                return item

    def _next(self, deadline: float | None) -> Job | Callable[[], None] | None:
        with self._changed:
            while True:
                if self._errands:
                    return self._errands.popleft()
                if self._closed:
                    return None
                if self._waiting and not self._is_full():
                    return next(iter(self._waiting.values()))[0]
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)

    def finish(self, job: Job, ending: Ending, clips: Iterable[Clip] = ()) -> bool:
        """The job that ran has ended: written down, then told, then the next one's turn.

        False, and nothing happens, where it had ended before.
        """
        return self._move(job, ending, clips)

    def cancel(self, job_id: str) -> Job:
        """Cancels a queued job at once, a running one within its current step. Raises NotFound.

        Written down before this returns: a job that was cancelled is not made again after a crash.
        """
        job = self.get(job_id)
        ending = Ending(JobState.CANCELLED, "cancelled", "cancelled before it started")
        if self._move(job, ending, only_from=JobState.QUEUED):
            return job
        with self._changed:
            runs = job.state is JobState.RUNNING
            if runs:
                job.interrupting = False
                job.cancelling.set()
        if runs:
            self._keep(job)
        return job

    def interrupt(self, job: Job) -> None:
        """Stops a running job so that `--resume` makes it again, unless somebody has cancelled it."""
        with self._changed:
            if not job.cancelling.is_set():
                job.interrupting = True
                job.cancelling.set()

    def close(self) -> None:
        """Takes no more jobs and ends the waiting ones as interrupted, so that `--resume` reruns them."""
        with self._changed:
            self._closed = True
            waiting = [job for own in self._waiting.values() for job in own]
            self._changed.notify_all()
        message = "the daemon was stopped before the job started"
        for job in waiting:
            self._move(job, Ending(JobState.INTERRUPTED, "interrupted", message), only_from=JobState.QUEUED)

    def wait_idle(self, timeout_s: float) -> bool:
        """Waits until no job runs; False if one still does."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.running, timeout_s)

    def look_again(self) -> None:
        """More jobs may run at once than before: whoever waits for that looks again."""
        with self._changed:
            self._changed.notify_all()

    def _is_full(self) -> bool:
        return len(self.running) >= self._at_once()

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
        with self._changed:
            return sum(len(own) for own in self._waiting.values())

    def _forget_old(self) -> None:
        if len(self._jobs) <= KEPT_FINISHED + self.limit:
            return
        for job_id in [job_id for job_id, job in self._jobs.items() if job.finished][: self.limit]:
            del self._jobs[job_id]


def _news(job: Job, clips: Sequence[Clip]) -> Sequence[Event]:
    """What everybody is told when a job has come to the state it is in, with the last of its clips."""
    if job.state is JobState.DONE:
        return [*(ClipWritten(job.id, clip) for clip in clips), Done(job.id, len(job.clips))]
    return [Failed(job.id, job.reason, job.message)] if job.finished else []

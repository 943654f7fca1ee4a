"""The one thread that owns the model: takes jobs in turn, produces their clips, tells the queue how it went.

Where the models are on other machines, the jobs run side by side, each in a thread that only waits for them.

The only place that catches every exception: a job that fails must not take the daemon with it.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from acestep.clips.clip import Clip
from acestep.clips.idea import Delivery, Ideas
from acestep.errors import AceStepError, Cancelled, Interrupted, OutOfMemory, StorageError
from server import logs
from server.jobs.engine import Engine
from server.jobs.events import Audio
from server.jobs.job import Ending, Job, JobState
from server.jobs.queue import JobQueue
from server.library.places import Disk
from server.models import Models

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from acestep.model.pace import Progress

PROGRESS_INTERVAL_S = 0.05  # between two progress events of one stage
T = TypeVar("T")
log = logs.get("worker")


class Worker:
    """Runs jobs one after the other, or side by side where the engine does, until the queue is closed and
    empty."""

    def __init__(
        self,
        queue: JobQueue,
        models: Models,
        engine: Engine,
        *,
        idle_unload_s: float = 0.0,
        ideas: Ideas = lambda idea: (),
    ):
        self._queue = queue
        self._ideas = ideas
        self._models = models
        self._idle_unload_s = idle_unload_s
        self._engine = engine
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._beside: list[threading.Thread] = []
        # called at every step of a job, with the name of the cascade in use and whether it stays in memory
        self.between: Callable[[str, bool], None] = lambda loaded, resident: None

    def start(self) -> None:
        """Starts the thread; the default cascade is loaded before the first job."""
        self._queue.run_soon(self._warm_up)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Waits for the end of all threads; False if one goes on. One that was never started has ended."""
        until = time.monotonic() + timeout_s
        started = [thread for thread in (self._thread, *self._beside) if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in started)

    def call(self, function: Callable[[], T]) -> "Future[T]":
        """Has `function` called in the worker's thread, between jobs: loading and unloading.

        Cancelling the future takes the call back, if it has not begun.
        """
        future: Future[T] = Future()

        def errand() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except Exception as error:  # noqa: BLE001 (handed to the caller, who waits for it)
                future.set_exception(as_ours(error))

        self._queue.run_soon(errand)
        future.add_done_callback(lambda done: self._queue.forget(errand) if done.cancelled() else None)
        return future

    def soon(self, errand: Callable[[], None]) -> None:
        """Has `errand` called in the worker's thread before the next job. Raises Unavailable at the end."""
        self._queue.run_soon(errand)

    def _run(self) -> None:
        while True:
            loaded = self._models.cascade is not None
            item = self._queue.take(self._idle_unload_s if self._idle_unload_s and loaded else None)
            if isinstance(item, Job):
                self._begin(item)
            elif item is not None:
                item()
            elif self._queue.closed:
                return
            elif loaded:
                self._models.unload()

    def _begin(self, job: Job) -> None:
        if not self._engine.side_by_side:
            self._run_job(job)
            return
        thread = threading.Thread(target=self._run_job, args=(job,), name=f"job {job.id}", daemon=True)
        self._beside = [*(other for other in self._beside if other.is_alive()), thread]
        thread.start()

    def _warm_up(self) -> None:
        try:
            self._models.use()
            self._engine.warm_up()
        except Exception as error:  # noqa: BLE001 (each job that needs it says so again)
            log.error("cascade_not_loaded", cascade=self._models.default, error=str(error))

    def _run_job(self, job: Job) -> None:
        started = time.monotonic()
        log.info("job_started", job=job.id, client=job.client)
        try:
            clips = self._make(job)
        except Exception as error:  # noqa: BLE001 (the job fails, the daemon lives)
            self._fail(job, error)
            return
        self._queue.finish(job, Ending(JobState.DONE), clips)
        log.info("job_done", job=job.id, clips=len(clips), seconds=round(time.monotonic() - started, 3))

    def _make(self, job: Job) -> list[Clip]:
        if job.cancelling.is_set():
            raise Cancelled("cancelled before it started")
        cascade = self._models.use(job.request.cascade)
        reporter = _Reporter(job, self._queue, cascade.codec.sample_rate_hz)
        on_audio = reporter.audio if job.stream_audio else None
        disk = job.disk or Disk(job.folder)

        def cancelled() -> bool:  # asked at every step, and before anything is written
            disk.check()
            self.between(self._models.loaded_name, getattr(cascade, "resident", False))
            return job.cancelling.is_set()

        cancelled()
        delivery = Delivery(lambda clip: self._queue.deliver(job, clip), self._ideas)
        return self._engine.produce(cascade, job, reporter.progress, on_audio, cancelled, delivery)

    def _fail(self, job: Job, error: Exception) -> None:
        ours = as_ours(error)
        if isinstance(ours, Cancelled):
            ending = job.stopped
        else:
            ending = Ending(JobState.FAILED, ours.reason, str(ours))
            unforeseen = ours is not error
            log.error("job_failed", job=job.id, reason=ours.reason, message=str(ours), exc_info=unforeseen)
        self._queue.finish(job, ending)
        log.info("job_ended", job=job.id, state=ending.state, reason=ending.reason)


class _Reporter:
    """Turns the engine's callbacks of one job into events, not more often than somebody can look."""

    def __init__(self, job: Job, queue: JobQueue, rate_hz: int):
        self._job = job
        self._queue = queue
        self._rate_hz = rate_hz
        self._last_s = 0.0

    def progress(self, progress: "Progress") -> None:
        """Called at every step of the model."""
        now = time.monotonic()
        tell = progress.stage != self._job.stage or now - self._last_s >= PROGRESS_INTERVAL_S
        if tell:
            self._last_s = now
        self._queue.report(self._job, progress.stage, progress.fraction, progress.eta_s, tell)

    def audio(self, take: int, start_sample: int, samples: "NDArray[np.float32]") -> None:
        """Called with a decoded window [C, N]."""
        self._queue.tell(self._job, Audio(self._job.id, take, start_sample, self._rate_hz, samples))


def as_ours(error: BaseException) -> AceStepError:
    """The error in our own tree; what is not ours is `internal`, except memory and disk."""
    if isinstance(error, AceStepError):
        return error
    text = f"{type(error).__name__}: {error}".strip().rstrip(":")
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return OutOfMemory(f"not enough memory ({text}): ask for fewer takes or bars, or a smaller cascade")
    if isinstance(error, OSError):
        return StorageError(f"a file or folder cannot be used ({text})")
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted")
    return AceStepError(f"an error inside the daemon ({text}): the log in its home has the details")

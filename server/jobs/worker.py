"""The one thread that owns the model: takes jobs in turn, produces their clips, tells the queue how it went.

The only place that catches every exception: a job that fails must not take the daemon with it.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from acestep.errors import AceStepError, Cancelled, Interrupted, OutOfMemory, StorageError
from acestep.music.grid import SAMPLE_RATE_HZ
from server import logs
from server.jobs.events import Audio
from server.jobs.job import Ending, Job, JobState
from server.jobs.queue import JobQueue
from server.library.places import Disk
from server.models import Models

PROGRESS_INTERVAL_S = 0.05  # between two progress events of one stage
T = TypeVar("T")
log = logs.get("worker")


def make_clips(cascade: Any, job: Job, on_progress: Any, on_audio: Any, cancelled: Any) -> list[Any]:
    """The real path of a request: `acestep.clips.production`, imported when first used."""
    from acestep.clips.production import produce, reproduce

    if job.only_take is not None:
        made = job.made | {"request": job.request.to_dict(), "clip": {"take": job.only_take}}
        kept = reproduce(made, cascade, job.folder, on_progress=on_progress, cancelled=cancelled, job=job.id)
        return [kept]
    return produce(
        cascade,
        job.request,
        job.folder,
        on_progress=on_progress,
        on_audio=on_audio,
        cancelled=cancelled,
        job=job.id,
    )


class Worker:
    """Runs jobs one after the other until the queue is closed and empty."""

    def __init__(
        self,
        queue: JobQueue,
        models: Models,
        *,
        idle_unload_s: float = 0.0,
        produce: Callable[..., list[Any]] = make_clips,
    ):
        self._queue = queue
        self._models = models
        self._idle_unload_s = idle_unload_s
        self._produce = produce
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Starts the thread; the default cascade is loaded before the first job."""
        self._queue.run_soon(self._warm_up)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Waits for the end of the thread; False if it goes on. One that was never started has ended."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

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
                future.set_exception(_as_ours(error))

        self._queue.run_soon(errand)
        future.add_done_callback(lambda done: self._queue.forget(errand) if done.cancelled() else None)
        return future

    def _run(self) -> None:
        while True:
            loaded = self._models.cascade is not None
            item = self._queue.take(self._idle_unload_s if self._idle_unload_s and loaded else None)
            if isinstance(item, Job):
                self._run_job(item)
            elif item is not None:
                item()
            elif self._queue.closed:
                return
            elif loaded:
                self._models.unload()

    def _warm_up(self) -> None:
        try:
            self._models.use()
            if self._produce is make_clips:
                from acestep.clips.fit import warm_up

                warm_up()
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

    def _make(self, job: Job) -> list[Any]:
        if job.cancelling.is_set():
            raise Cancelled("cancelled before it started")
        cascade = self._models.use(job.request.cascade)
        reporter = _Reporter(job, self._queue, cascade)
        on_audio = reporter.audio if job.stream_audio else None
        disk = job.disk or Disk(job.folder)

        def cancelled() -> bool:  # asked at every step, and before anything is written
            disk.check()
            return job.cancelling.is_set()

        cancelled()
        return self._produce(cascade, job, reporter.progress, on_audio, cancelled)

    def _fail(self, job: Job, error: Exception) -> None:
        ours = _as_ours(error)
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

    def __init__(self, job: Job, queue: JobQueue, cascade: Any):
        self._job = job
        self._queue = queue
        self._rate_hz = int(getattr(getattr(cascade, "codec", None), "sample_rate_hz", SAMPLE_RATE_HZ))
        self._last_s = 0.0

    def progress(self, progress: Any) -> None:
        """Called with an `acestep.model.cascade.Progress`."""
        now = time.monotonic()
        tell = progress.stage != self._job.stage or now - self._last_s >= PROGRESS_INTERVAL_S
        if tell:
            self._last_s = now
        self._queue.report(self._job, progress.stage, float(progress.fraction), float(progress.eta_s), tell)

    def audio(self, take: int, start_sample: int, samples: Any) -> None:
        """Called with a decoded window [C, N]."""
        self._queue.tell(self._job, Audio(self._job.id, take, start_sample, self._rate_hz, samples))


def _as_ours(error: BaseException) -> AceStepError:
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

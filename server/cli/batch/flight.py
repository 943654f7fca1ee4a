"""A batch on its way: some requests at once at the daemon, results as they come, and what earlier runs left.

Nothing is lost and nothing made twice, whoever is killed. A job ends with its call, so a batch that dies
leaves only jobs that were nearly done, and a daemon that dies may make its jobs again (`--resume`). So before
anything is asked for, the daemon is asked what it still does of this batch, and the folder what it holds.
"""

import contextlib
import hashlib
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from acestep.console.terminal import Bar
from acestep.errors import (
    AceStepError,
    Busy,
    Cancelled,
    ForbiddenPath,
    Interrupted,
    NotFound,
    StorageError,
    Unauthenticated,
    Unavailable,
)
from plugin_bridge import words
from plugin_bridge.client import Events
from server.cli.batch.lines import Line, id_of
from server.cli.batch.lying import lying_in
from server.cli.batch.results import Results, files_of
from server.cli.remote import Remote
from server.grpc import wire

GONE_S = 60.0  # a daemon that is gone may come back so long: chosen by hand, a restart with nano takes 5 s
LOOK_S = 0.5
FULL_S = (0.2, 5.0)  # between two tries at a full queue, first and longest
TRIES = 3  # a request at which the daemon died so often has failed
LISTED_JOBS = 1_000  # what a daemon lists at most: far more than a batch has at once
STOPS_ALL = (StorageError, Unauthenticated)  # what would be no better with the next request


class Flight:
    """One run of a batch. `find` gives the daemon that is to do the work, None while there is none."""

    def __init__(self, find: Callable[[], Remote | None], results: Results, at_once: int, bar: Bar) -> None:
        self._find, self._results, self._at_once, self._bar = find, results, at_once, bar
        self._folder = folder = results.folder
        mark = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
        self.client = f"acestep batch {folder.name[:80]} {mark}"  # in the daemon's list of jobs
        self._under_way: dict[str, str] = {}  # identity → the job of an earlier run
        self._tried: Counter[str] = Counter()
        self._calls: set[Events] = set()
        self._stopping = threading.Event()
        self._gone = False
        self._fatal: AceStepError | None = None
        self._total = self._made = 0
        self._began = time.monotonic()

    def run(self, lines: Sequence[Line]) -> None:
        """Makes all that is not made yet. Failures of single requests are told to the results.

        Raises Cancelled when it is interrupted, Unavailable when the daemon stays away, StorageError when
        nothing can be written: the next run goes on.
        """
        self._total = len(lines)
        left = [line for line in lines if line.id not in self._results.done]
        self._show(len(left))
        with self._interruptible():
            while left:
                remote = self._daemon()
                try:
                    left = self._taken_over(remote, left)
                    left = self._made_of(remote, left)
                except Unavailable:
                    self._gone = True
                    self._stopping.wait(LOOK_S)
                finally:
                    remote.close()

    def _daemon(self) -> Remote:
        """The daemon; one that has gone away gets some time to come back."""
        until = time.monotonic() + (GONE_S if self._gone else 0.0)
        while True:
            with contextlib.suppress(Unavailable):
                if (remote := self._find()) is not None:
                    self._gone = False
                    return remote
            if time.monotonic() >= until:
                break
            self._bar.show("waiting for the daemon", self._fraction)
            if self._stopping.wait(LOOK_S):
                raise self._stopped()
        if self._gone:
            raise Unavailable(
                f"the daemon has gone away, and did not come back within {GONE_S:g} s: start it again with "
                "`acestep serve`; the same command then goes on"
            )
        remote = self._find()  # which says what is in its way
        if remote is None:
            raise Unavailable(
                "no daemon runs here: start it with `acestep serve`, then give this command again"
            )
        return remote

    def _taken_over(self, remote: Remote, lines: Sequence[Line]) -> list[Line]:
        """What is left when all that earlier runs made is in the results."""
        wanted = {line.id: line for line in lines}
        self._under_way = {}
        for job in remote.jobs(LISTED_JOBS):
            if job.client != self.client or (known := id_of(job.request_json)) not in wanted:
                continue
            if job.state in ("queued", "running"):
                self._under_way[known] = job.id
            elif job.state == "interrupted":
                with contextlib.suppress(NotFound):  # it was made again, or is taken back already
                    remote.cancel(job.id)
        known_files = files_of(self._results.done.values())
        for line, clips in lying_in(self._folder, lines, known_files):
            if line.id not in self._under_way:
                self._results.add(line, clips)
        return [line for line in lines if line.id not in self._results.done]

    def _made_of(self, remote: Remote, lines: Sequence[Line]) -> list[Line]:
        """Has the daemon make these; gives those that are still to be made when it has gone away."""
        waiting, flying = deque(lines), dict[Future[Any], Line]()
        try:
            with ThreadPoolExecutor(self._at_once, "batch") as pool:
                try:
                    while flying or (waiting and not self._gone):
                        while waiting and len(flying) < self._at_once and not self._gone:
                            line = waiting.popleft()
                            flying[pool.submit(self._make, remote, line)] = line
                        ended, _ = wait(flying, LOOK_S, FIRST_COMPLETED)
                        for future in ended:
                            line = flying.pop(future)
                            if not self._ended(line, future):
                                waiting.append(line)
                        if self._fatal is not None:
                            raise self._fatal
                        if self._stopping.is_set():
                            raise self._stopped()
                        self._show(len(waiting) + len(flying))
                except BaseException:
                    self._stop()
                    raise
        finally:
            for future, line in flying.items():  # what ended while all was being stopped is made, too
                if future.done() and not future.cancelled() and future.exception() is None:
                    self._results.add(line, *future.result())
        return list(waiting)

    def _make(self, remote: Remote, line: Line) -> tuple[list[words.Clip], float | None]:
        """In a thread: one request's clips, and how long they took."""
        began, pause_s = time.monotonic(), FULL_S[0]
        if job := self._under_way.get(line.id):
            with contextlib.suppress(Cancelled, Interrupted, NotFound):  # its caller had gone, and so was it
                return self._clips(remote.watch(job), remote, job), None
        message = wire.request_to_proto(line.request)
        message.client, message.folder = self.client, str(self._folder)
        while True:
            try:
                clips = self._clips(remote.start(message))
            except Busy:
                if self._stopping.wait(pause_s):
                    raise self._stopped() from None
                pause_s = min(2 * pause_s, FULL_S[1])
                continue
            for clip in clips:
                if not Path(clip.path).is_file():
                    raise StorageError(
                        f"the daemon wrote {clip.path}, and this machine has no such file: give this command "
                        "on the daemon's machine, or share the folder with it under the same path"
                    )
            return clips, time.monotonic() - began

    def _clips(self, events: Events, remote: Remote | None = None, job: str = "") -> list[words.Clip]:
        """Waits for a job; when all is stopped it ends, one of an earlier run by its id."""
        self._calls.add(events)
        try:
            with events:
                if self._stopping.is_set():
                    raise self._stopped()
                return events.clips()
        except Cancelled:
            if self._stopping.is_set() and remote is not None:
                with contextlib.suppress(AceStepError):
                    remote.cancel(job)
                raise self._stopped() from None
            raise
        finally:
            self._calls.discard(events)

    def _ended(self, line: Line, future: "Future[tuple[list[words.Clip], float | None]]") -> bool:
        """Tells the results how a request ended; False where it is to be made yet."""
        error = future.exception()
        if error is None:
            self._results.add(line, *future.result())
            self._made += 1
        elif self._stopping.is_set():
            return False
        elif isinstance(error, Unavailable | Interrupted):
            self._gone = True
            self._tried[line.id] += 1
            if self._tried[line.id] < TRIES:
                return False
            self._results.fail(line, error)
        elif isinstance(error, STOPS_ALL) or (isinstance(error, ForbiddenPath) and not _names_files(line)):
            self._fatal = error
            return False
        elif isinstance(error, AceStepError):
            self._results.fail(line, error)
        else:
            raise error
        return True

    def _stop(self, *_: object) -> None:
        self._stopping.set()
        for events in list(self._calls):
            events.cancel()

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the calls, and so the jobs."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stopped(self) -> Cancelled:
        return Cancelled("stopped: what runs is cancelled; the same command goes on")

    @property
    def _fraction(self) -> float:
        return (len(self._results.done) + len(self._results.failed)) / max(1, self._total)

    def _show(self, left: int) -> None:
        pace = self._made / (time.monotonic() - self._began)
        failed = f", {len(self._results.failed):,} failed" if self._results.failed else ""
        told = f"{self._total - left:,} of {self._total:,}{failed}{f', {pace:.2g} a second' if pace else ''}"
        self._bar.show("batch", 1 - left / max(1, self._total), left / pace if pace else 0.0, told)


def _names_files(line: Line) -> bool:
    return line.request.reference is not None or line.request.context is not None

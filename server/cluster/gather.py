"""One job on its way through replicas: its parts, what they tell, and their clips in order."""

import contextlib
import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.serve.exceptions import DeploymentUnavailableError, RequestCancelledError

from acestep.clips.clip import Clip, Finished, write
from acestep.errors import AceStepError, Cancelled, Unavailable, error_of
from acestep.model.pace import Progress
from server import logs
from server.cluster.work import Began, Ended, Message, Piece, Refused, Step, Window, Work, told_elsewhere

if TYPE_CHECKING:
    from acestep.model.cascade import OnAudio

ASK_S = 0.05  # between two looks at whether the job is cancelled
WAITING_S = 0.5  # without a replica for so long, a job says that it waits
MAX_LOST = 5  # replicas that may die over the same work before it is to blame
AGAIN_S = 1.0
log = logs.get("cluster")
WAITING = "waiting for a replica"
# what is told when a replica, its node or the way to it is gone, and not when its code fails
LOST = (ray.exceptions.RayError, DeploymentUnavailableError, RequestCancelledError)


class Part:
    """Some takes of a job: asked for, told of, and asked for again where the replica was lost."""

    def __init__(self, handle: Any, work: Work, share: float, lost: Callable[[str], None]) -> None:
        self.work, self.share = work, share
        self.replica = ""
        self.fraction = self.eta_s = 0.0
        self.stage = ""
        self.clips: list[Finished] = []
        self.body: list[bytes] = []  # of the clip that is on its way
        self.windows = self.again = 0  # told of it, and those among them that come once more
        self._handle, self._lost = handle, lost
        self._response: Any = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def begin(self, tell: "Callable[[Part, Message | BaseException | None], None]") -> None:
        """Asks for it in a thread of its own, which calls `tell` with what happens; None: from the start."""
        threading.Thread(target=self._run, args=(tell,), name=f"part of {self.work.job}", daemon=True).start()

    def stop(self) -> None:
        """Nobody waits for it any more; the replica stops within its step."""
        self._stopping.set()
        with self._lock, contextlib.suppress(Exception):
            if self._response is not None:
                self._response.cancel()

    def _run(self, tell: "Callable[[Part, Message | BaseException | None], None]") -> None:
        lost = 0
        while not self._stopping.is_set():
            try:
                for message in self._ask():
                    if isinstance(message, Began):
                        self.replica = message.replica
                        log.info("part_began", job=self.work.job, takes=self.work.takes, replica=self.replica)
                    tell(self, message)
                return
            except LOST as error:
                if isinstance(error, ray.exceptions.RayTaskError) and not isinstance(error, LOST[1:]):
                    tell(self, error)  # a fault of the program
                    return
                if self._stopping.is_set():
                    return
                tell(self, None)
                if self.replica:
                    lost += 1
                    self._lost(self.replica)
                    self.replica = ""
                else:
                    self._stopping.wait(AGAIN_S)
                if lost >= MAX_LOST:
                    tell(self, _to_blame(self.work.job, error))
                    return
            except Exception as error:  # noqa: BLE001 (raised again in the job's own thread)
                tell(self, error)
                return

    def _ask(self) -> Iterator[Message]:
        with self._lock:
            if self._stopping.is_set():
                return
            self._response = self._handle.make.remote(self.work)
        yield from self._response


class Gathering:
    """The parts of a job. `spare(1)` is asked before a second part is begun beside the first."""

    def __init__(
        self,
        handle: Any,
        works: Sequence[Work],
        shares: Sequence[float],
        spare: Callable[[int], bool],
        lost: Callable[[str], None],
    ) -> None:
        self.parts = [Part(handle, work, share, lost) for work, share in zip(works, shares, strict=True)]
        self._spare = spare
        self._inbox: queue.SimpleQueue[tuple[Part, Message | BaseException | None]] = queue.SimpleQueue()
        self._last_s = time.monotonic()

    def clips(
        self,
        on_progress: Callable[[Progress], None],
        on_audio: "OnAudio | None",
        cancelled: Callable[[], bool],
        one_by_one: bool = False,
    ) -> Iterator[Finished]:
        """The finished clips, in order of take when all are made, or `one_by_one` as they come: then those
        that a lost replica had sent come once more.

        Raises what a part fails with, and then nothing is made any more.
        """
        waiting, running = list(self.parts), list[Part]()
        try:
            while waiting or running:
                while waiting and (not running or self._spare(1)):
                    running.append(waiting.pop(0))
                    running[-1].begin(lambda part, message: self._inbox.put((part, message)))
                if cancelled():
                    raise Cancelled("the job was cancelled")
                try:
                    part, message = self._inbox.get(timeout=ASK_S)
                except queue.Empty:
                    self._say_if_waiting(running, on_progress)
                    continue
                ended = self._take(part, message, on_progress, on_audio)
                while one_by_one and part.clips:
                    yield part.clips.pop(0)
                if ended:
                    running.remove(part)
                    if running:
                        self._spare(-1)
        finally:
            for part in running:
                part.stop()
            for _ in running[1:]:
                self._spare(-1)
        for part in self.parts:
            yield from part.clips

    def _take(
        self,
        part: Part,
        message: Message | BaseException | None,
        on_progress: Callable[[Progress], None],
        on_audio: "OnAudio | None",
    ) -> bool:
        """What a part told; True at its end."""
        self._last_s = time.monotonic()
        match message:
            case None:
                part.clips, part.body, part.fraction = [], [], 0.0
                part.again = part.windows
            case Refused():
                raise error_of(message.reason, message.message)
            case BaseException():
                raise message
            case Step():
                part.stage, part.fraction, part.eta_s = message.stage, message.fraction, message.eta_s
                on_progress(self._progress(message.stage))
            case Window():
                if part.again:
                    part.again -= 1
                elif on_audio is not None:
                    part.windows += 1
                    on_audio(message.take, message.start_sample, message.samples)
            case Piece():
                part.body.append(message.body)
                if message.sidecar is not None:
                    body = b"".join(part.body)
                    part.body = []
                    part.clips.append(
                        Finished(message.stem, message.ending, body, message.sidecar, message.midi)
                    )
            case Ended():
                part.fraction, part.eta_s = 1.0, 0.0
                return True
        return False

    def _progress(self, stage: str) -> Progress:
        done = sum(part.fraction * part.share for part in self.parts)
        return Progress(stage, done, max(part.eta_s for part in self.parts))

    def _say_if_waiting(self, running: Sequence[Part], on_progress: Callable[[Progress], None]) -> None:
        if time.monotonic() - self._last_s > WAITING_S and not any(part.replica for part in running):
            self._last_s = time.monotonic()
            on_progress(self._progress(WAITING))


def delivered(
    made: Iterable[Finished],
    folder: Path,
    on_clip: Callable[[Clip], None],
    cancelled: Callable[[], bool],
) -> list[Clip]:
    """An idea's clips, each written and told of as it comes. One that comes once more, because its replica
    was lost, is there already."""
    clips: list[Clip] = []
    here: dict[str, Clip] = {}  # by the name that it had where it was made
    written: dict[tuple[str, bytes], Clip] = {}
    for one in made:
        name, part = one.sidecar["clip"]["name"], one.sidecar["clip"]["part"]
        known = (part, hashlib.sha256(one.body).digest())
        if known not in written:
            sidecar = told_elsewhere(one.sidecar, {made_as: clip.path for made_as, clip in here.items()})
            idea = sidecar["idea"] = {**sidecar["idea"], "at_s": time.time()}  # clocks of nodes may differ
            if "parts" in idea:
                idea["parts"] = {
                    other: here[file].name if file in here else file for other, file in idea["parts"].items()
                }
            (clip,) = write([replace(one, sidecar=sidecar)], folder, cancelled)
            written[known] = clip
            clips.append(clip)
            on_clip(clip)
        here[name] = written[known]
    return clips


def _to_blame(job: str, error: BaseException) -> AceStepError:
    return Unavailable(
        f"{MAX_LOST} replicas died while they made job {job}, the last one by {type(error).__name__}: too "
        "little memory is the usual cause; Ray's logs on the node tell (/tmp/ray/session_latest/logs)"
    )

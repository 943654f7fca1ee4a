"""A replica: a process on some node with a loaded cascade. It makes one piece of work at a time.

Its asyncio loop belongs to Ray Serve; one thread of its own owns the cascade. It tells the daemon's depot
every second that it is there, and stops its work when the depot is gone: then nobody waits for it.
"""

import asyncio
import contextlib
import logging
import os
import platform
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.serve._private import replica as serves_own

from acestep.errors import AceStepError, StorageError
from acestep.home import home
from acestep.request import GenerateRequest
from acestep.version import __version__
from server.cluster.store import Store
from server.cluster.work import (
    DEPOT,
    NAMESPACE,
    PIECE_BYTES,
    Began,
    Ended,
    Message,
    Model,
    Piece,
    Refused,
    Sign,
    Step,
    Window,
    Work,
    elsewhere,
    told_elsewhere,
)
from server.jobs.worker import as_ours

if TYPE_CHECKING:
    import numpy as np

    from acestep.clips.clip import Clip, Finished
    from acestep.clips.idea import Delivery
    from acestep.model.cascade import Cascade
    from acestep.model.pace import Progress

BEAT_S = 1.0
ANSWER_S = 30.0  # a depot that has not answered by then is gone
PROGRESS_INTERVAL_S = 0.05
log = logging.getLogger("ray.serve")
Tell = Callable[[Message], None]


class Replica:
    """Work in, messages out. `version` is that of the daemon which deployed it, "" where another program did;
    `most` is how many replicas the application may have."""

    def __init__(self, version: str, most: int) -> None:
        _open_no_door()
        if version and version != __version__:
            _refuse_itself(version)
        self._store = Store(home(), self._read)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._adapters = Path(tempfile.mkdtemp(prefix="acestep-adapters-"))
        self._depot: Any = None
        self._cascade: Cascade | None = None
        self._loaded: tuple[str, ...] = ()  # digests of what is in memory
        self._stop = threading.Event()  # of the work at hand
        context = ray.get_runtime_context()
        self._sign = Sign(
            name=serve.get_replica_context().replica_id.unique_id,
            node=context.get_node_id(),
            host=platform.node(),
            pid=os.getpid(),
            version=__version__,
            device="",
            state="loading",
            most=most,
        )
        model = self._greet()
        threading.Thread(target=self._beat, name="beat", daemon=True).start()
        if model is not None:
            self._thread.submit(self._warm_up, model).result()
        self._now(state="idle")

    async def make(self, work: Work) -> AsyncIterator[Message]:
        """What happens to the work, up to its clips. Cancelling the call stops it within a step."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Message | None] = asyncio.Queue()
        self._stop = stop = threading.Event()

        def tell(message: Message | None) -> None:
            loop.call_soon_threadsafe(told.put_nowait, message)

        doing = loop.run_in_executor(self._thread, self._do, work, tell, stop)
        doing.add_done_callback(lambda _: told.put_nowait(None))
        try:
            yield Began(self._sign.name)
            while (message := await told.get()) is not None:
                yield message
        finally:
            stop.set()
            await asyncio.wait([doing])  # the next work finds the thread free

    def _do(self, work: Work, tell: Tell, stop: threading.Event) -> None:
        self._now(state="working", job=work.job)
        try:
            self._make(work, tell, stop)
            tell(Ended())
        except Exception as error:
            ours = as_ours(error)
            if ours is not error:
                log.error("work of job %s failed", work.job, exc_info=error)
            where = f"on {self._sign.host}: " if isinstance(ours, StorageError) else ""
            tell(Refused(ours.reason, f"{where}{ours}"))
        finally:
            self._now(state="idle", job="")

    def _make(self, work: Work, tell: Tell, stop: threading.Event) -> None:
        from acestep.clips.clip import Finished
        from acestep.clips.parts import produce_parts
        from acestep.clips.production import Production, again_from

        cascade = self._use(work.model)
        for bundle in work.adapters:
            self._store.adapter(bundle, self._adapters)
        here = {path: str(self._store.audio(bundle)) for path, bundle in work.audio.items()}
        values = elsewhere(work.request, here)
        report = _Reporter(tell)
        on_audio = report.audio if work.stream_audio else None
        asked = {path: name for name, path in here.items()}

        def send(clip: Finished) -> None:
            for piece in _pieces(replace(clip, sidecar=told_elsewhere(clip.sidecar, asked))):
                tell(piece)

        if work.made is not None:
            making = again_from({**work.made, "request": values}, cascade, work.job)
        elif (request := GenerateRequest.from_dict(values)).wanted:
            with tempfile.TemporaryDirectory(prefix="acestep-idea-") as folder:
                produce_parts(
                    cascade,
                    request,
                    folder,
                    on_progress=report.progress,
                    on_audio=on_audio,
                    cancelled=stop.is_set,
                    delivery=_delivery(work, here, asked, send),
                    job=work.job,
                )
            return
        else:
            only = range(*work.takes) if work.takes else None
            making = Production(cascade, request, work.job, only=only)
        for clip in making.clips(report.progress, on_audio, stop.is_set):
            send(clip)

    def _use(self, model: Model) -> "Cascade":
        """The cascade, loaded if it is not in memory."""
        from server.models import load_cascade

        planner = model.planner
        wanted = (model.cascade.digest, model.device, model.precision, planner.digest if planner else "")
        if self._cascade is None or wanted != self._loaded or not self._cascade.is_current():
            folder, place = self._store.cascade(model.cascade)
            with_planner = str(self._store.planner(planner)) if planner else ""
            self._cascade = load_cascade(str(folder), model.device, model.precision, with_planner, place)
            self._cascade.adapters.folder = self._adapters
            self._loaded = wanted
            self._now(cascade=model.cascade.name, device=str(self._cascade.device), rows=_rows(self._cascade))
        return self._cascade

    def _warm_up(self, model: Model) -> None:
        from acestep.clips.fit import warm_up

        try:
            self._use(model)
            warm_up()
        except Exception:  # each job that needs it says so again
            log.exception("the cascade was not loaded")

    def _now(self, **changes: Any) -> None:
        self._sign = Sign(**asdict(self._sign) | changes)
        with contextlib.suppress(Exception):
            if self._depot is not None:
                self._depot.sign.remote(asdict(self._sign))

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_S)
            self._greet()

    def _greet(self) -> Model | None:
        """Tells the depot that this replica is there; what it is to load, if there is a daemon."""
        try:
            self._depot = self._depot or ray.get_actor(DEPOT, NAMESPACE)
            _, model = ray.get(self._depot.sign.remote(asdict(self._sign)), timeout=ANSWER_S)
        except ValueError:  # no daemon yet
            return None
        except ray.exceptions.RayError:
            self._depot = None
            self._stop.set()
            return None
        return model if isinstance(model, Model) else None

    def _read(self, digest: str, file: str, offset: int) -> tuple[bytes, str] | str:
        if self._depot is None:
            return "the daemon is gone"
        try:
            answer: tuple[bytes, str] | str = ray.get(self._depot.read.remote(digest, file, offset))
        except ray.exceptions.RayError as error:
            return f"the daemon is gone ({type(error).__name__})"
        return answer


class _Reporter:
    """Turns the callbacks of a production into messages, not more often than somebody can look."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._stage, self._last_s = "", 0.0

    def progress(self, progress: "Progress") -> None:
        """Called at every step of the model."""
        now = time.monotonic()
        if progress.stage != self._stage or now - self._last_s >= PROGRESS_INTERVAL_S:
            self._stage, self._last_s = progress.stage, now
            self._tell(Step(progress.stage, progress.fraction, progress.eta_s))

    def audio(self, take: int, start_sample: int, samples: "np.ndarray") -> None:
        """Called with a decoded window [2, N]."""
        self._tell(Window(take, start_sample, samples))


def _delivery(
    work: Work, here: Mapping[str, str], asked: dict[str, str], send: "Callable[[Finished], None]"
) -> "Delivery":
    """An idea's clips on their way, and those that it goes on with. One that is sent gets its name into
    `asked`: only the daemon knows where it lies then."""
    from acestep.clips.clip import Finished
    from acestep.clips.idea import Delivery

    clips = [replace(clip, path=here.get(clip.path, "")) for clip in work.clips]

    def deliver(clip: "Clip") -> None:
        file = Path(clip.path)
        midi = Path(clip.midi).read_bytes() if clip.midi else None
        send(Finished(file.stem, file.suffix, file.read_bytes(), clip.sidecar, midi))
        asked[clip.path] = clip.name

    return Delivery(deliver, lambda idea: clips, work.started_s)


def _pieces(clip: "Finished") -> Iterator[Piece]:
    size = max(1, len(clip.body))
    for start in range(0, size, PIECE_BYTES):
        end = start + PIECE_BYTES
        sidecar, midi = (clip.sidecar, clip.midi) if end >= size else (None, None)
        yield Piece(clip.stem, clip.ending, clip.body[start:end], sidecar, midi)


def _rows(cascade: "Cascade") -> int:
    from acestep.model.plan import ROWS_AT_ONCE

    return ROWS_AT_ONCE.get(cascade.device.type, 4)


def _open_no_door() -> None:
    """Serve would let each replica listen on all addresses, and run what anybody sends there. Nobody needs
    that: the daemon calls replicas through Ray, which asks for its token."""
    serves_own.add_port_to_grpc_server = lambda server, address: 0


def _refuse_itself(version: str) -> None:
    """Ends a replica on a node with another version; the daemon's state names the node."""
    host = platform.node()
    with contextlib.suppress(Exception):
        ray.get(ray.get_actor(DEPOT, NAMESPACE).refuse.remote(host, __version__), timeout=ANSWER_S)
    raise AceStepError(
        f"{host} has acestep-bridge {__version__}, and the daemon {version}: install that version there"
    )

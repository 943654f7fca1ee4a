"""The daemon: opens ports, owns all parts, and closes them in order. Read `run` from top to bottom.

Wires the parts together; what each does is in its own module.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from acestep.console.command import FAILED
from acestep.errors import AceStepError, InvalidRequest, StorageError
from acestep.files import write_whole
from acestep.version import __version__
from protos import WIRE_VERSION
from server import heap, logs
from server.config import Config
from server.engines import engine_of
from server.follow.conductor import Conductor
from server.grpc.port import GrpcServer
from server.grpc.service import DaemonService
from server.jobs import recovery
from server.jobs.engine import Engine
from server.jobs.events import ClipWritten, Event, Hub
from server.jobs.intake import Intake
from server.jobs.journal import Journal
from server.jobs.queue import JobQueue
from server.jobs.uploads import Uploads
from server.jobs.worker import Worker
from server.library.index import ClipLibrary
from server.library.places import HomeLock
from server.midi.input import MidiInput, Trigger, Triggers
from server.models import models_for
from server.osc.server import OscServer
from server.security import (
    AllowedFolders,
    RateLimit,
    Senders,
    is_loopback,
    new_owner_key,
    private_file,
    private_folder,
    read_or_create_token,
)

FINISH_S = 3.0  # after SIGTERM, a running job that can end within this may
CANCEL_S = 1.2  # and this long one that is cancelled may take to stop
LOOK_S = 1.0  # between two looks at whether the home is still there
THREAD_SWITCH_S = 0.0002  # a busy worker lets the ports answer within a few milliseconds
log = logs.get("daemon")


class Daemon:
    """All parts of a running daemon. `engine` is what the settings ask for unless another is given."""

    def __init__(self, config: Config, engine: Engine | None = None):
        self.config = config
        self._engine = engine or engine_of(config)
        self._stop = threading.Event()
        self._worked = threading.Event()  # since memory was given back
        self._started = time.monotonic()
        self._join: Callable[[float], bool] = lambda timeout_s: True  # the worker's, once there is one
        self._open = contextlib.ExitStack()  # what is open, closed in the opposite order

    def run(self, resume: bool = False, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serves until `stop` is called or a signal asks for the end."""
        try:
            self.startup(resume)
            on_ready()
            self.main_loop()
        finally:
            self.shutdown()

    def stop(self) -> None:
        """Asks the main loop to end; safe from signals and other threads."""
        self._stop.set()

    def startup(self, resume: bool = False) -> None:
        """Opens everything. Raises AceStepError when something needed cannot be had."""
        config = self.config
        heap.bound()  # before any thread starts
        self._make_home()
        self._home = self._open.enter_context(HomeLock(config.home))
        self._open.callback(log.info, "stopped")
        logs.start(config.home / "logs", config.log_level)
        token = self._token()
        self.hub = Hub()
        self.folders = AllowedFolders(
            [config.samples, config.captures, config.uploads, *config.allowed_folders]
        )
        self.journal = Journal(private_file(config.home / "jobs.sqlite"))
        self._open.callback(self.journal.close)
        index = private_file(config.home / "clips.sqlite")
        folders = [config.samples, *self.journal.folders()]
        self.library = ClipLibrary(index, folders, config.trash, self.folders.check)
        self._open.callback(self.library.close)
        self.hub.listen(self._index)

        uploads = self._open_work()
        self.conductor = Conductor(self.intake, self.worker, self._engine, config.home / "follows")
        self.grpc = GrpcServer(config, token)
        self._open.callback(self.grpc.stop, 0.3)
        self.osc = self._osc()
        self._open.callback(self.osc.stop)
        self._open.callback(self.conductor.close)  # which tells the owners
        self.midi = self._midi()

        uploads.sweep()
        recovery.sweep({*folders, config.trash, *config.trash.glob("*")})
        recovery.recover(self.journal, self.library, self.queue, resume)
        sys.setswitchinterval(THREAD_SWITCH_S)
        self._join = self.worker.join
        self.worker.start()
        self._open.callback(self._stop_work)
        self.osc.start()
        self.grpc.start(
            DaemonService(
                self.intake,
                self.hub,
                self.journal,
                self.library,
                self.worker,
                self.conductor,
                self.status,
                self._owner_key(),
            )
        )
        self._announce()

    def _open_work(self) -> Uploads:
        """Queue, models, worker, and what takes orders in; gives the uploads it keeps."""
        config = self.config
        bounds = (config.max_queue, config.max_queue_per_client)
        keep, at_once = self.journal.keep, self._engine.at_once
        self.queue = JobQueue(self.hub, self.journal.record, *bounds, keep, at_once)
        self._open.callback(self._engine.close)
        self._engine.open(self.queue)
        self.models = models_for(config, self._engine.load, self._engine.spec)
        idle_s, ideas = config.idle_unload_min * 60, self.library.of_idea
        self.worker = Worker(self.queue, self.models, self._engine, idle_unload_s=idle_s, ideas=ideas)
        uploads = Uploads(config.uploads, config.max_upload_mb << 20, config.max_uploads_mb << 20)
        self.intake = Intake(
            self.queue,
            self.folders,
            uploads,
            self.models,
            samples=config.samples,
            adapters=config.home / "adapters",
            ideas=ideas,
        )
        return uploads

    def main_loop(self) -> None:
        """Waits; everything happens in the threads of worker, OSC and gRPC. Raises StorageError when the home
        is deleted."""
        while not self._stop.wait(LOOK_S):
            if not self._home.is_there():
                log.error("home_deleted", home=str(self.config.home), then="the daemon stops")
                raise StorageError(
                    f"the home {self.config.home} was deleted or replaced while the daemon ran, so it "
                    "stopped: start it again, and it makes a new home"
                )
            if self._worked.is_set() and not self.queue.running:
                self._worked.clear()
                heap.give_back()

    @property
    def works_on(self) -> bool:
        """After the end: whether the worker is in a long step of the model, which only an exit ends."""
        return not self._join(0)

    def shutdown(self) -> None:
        """Finishes or cancels the running jobs, keeps the waiting ones for `--resume`, and closes all."""
        self._stop.set()
        self._open.close()

    def _stop_work(self) -> None:
        with contextlib.suppress(OSError):
            if self._home.is_there():  # else it is another daemon's
                self.config.running_file.unlink(missing_ok=True)
        self.queue.close()
        self._end_running_jobs()
        self.worker.join(0.3)

    def status(self) -> dict[str, Any]:
        """What the daemon is and does now, for /acestep/state and GetStatus."""
        running, cascade = self.queue.running, self.models.cascade
        return {
            "version": __version__,
            "wire_version": WIRE_VERSION,
            "cascade": self.models.loaded_name or self.models.default,
            "loaded": bool(self.models.loaded_name),
            "device": str(cascade.device if cascade else self.models.device),
            "queued": self.queue.waiting_count,
            "running_job": running[0].id if running else "",
            "running_jobs": [job.id for job in running],
            "samples_folder": str(self.config.samples),
            "captures_folder": str(self.config.captures),
            "home": str(self.config.home),
            "grpc_port": self.grpc.port,
            "osc_port": self.osc.port,
            "memory_bytes": heap.held_bytes(),
            "uptime_s": round(time.monotonic() - self._started, 1),
            "folders": [str(folder) for folder in self.folders.folders],
            **({"follows": follows} if (follows := self.conductor.status()) else {}),
            **({"cluster": cluster} if (cluster := self._engine.status()) else {}),
        }

    def _make_home(self) -> None:
        config = self.config
        for folder in (config.home, config.captures, config.uploads, config.trash, config.home / "logs"):
            private_folder(folder)
        try:
            self.config.samples.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # its disk may come back; jobs say so until then
            log.warning("no_samples_folder", folder=str(self.config.samples), error=str(error.strerror))

    def _token(self) -> str:
        if is_loopback(self.config.host) and not self.config.require_token:
            return ""
        token = read_or_create_token(self.config.token_file)
        logs.hide(token)
        return token

    def _owner_key(self) -> str:
        key = new_owner_key(self.config.owner_file)
        self._open.callback(self.config.owner_file.unlink, missing_ok=True)
        logs.hide(key)
        return key

    def _osc(self) -> OscServer:
        config = self.config
        if not is_loopback(config.osc_host) and not config.osc_allow:
            raise InvalidRequest(
                f"OSC on {config.osc_host} can be reached from other machines and needs an allow-list: set "
                'osc_allow, for example osc_allow = ["192.168.1.20"]'
            )
        return OscServer(
            (config.osc_host, config.osc_port),
            self.intake,
            self.hub,
            self.conductor,
            self.status,
            Senders(config.osc_allow),
            RateLimit(config.osc_rate_hz, 2 * config.osc_rate_hz),
            pad_prompt=config.midi_prompt,
        )

    def _midi(self) -> MidiInput | None:
        """Pads act in the session that this machine's OSC senders share, and the clock sets its tempo."""
        config = self.config
        actions = [
            (Trigger.parse(config.midi_generate), self.osc.generate_by_pad),
            (Trigger.parse(config.midi_cancel), self.osc.cancel_by_pad),
        ]
        if not config.midi_input:
            return None
        osc = self.osc
        found = MidiInput(
            config.midi_input, Triggers(actions), osc.follow_tempo, on_position=osc.follow_position
        )
        self._open.callback(found.close)
        return found

    def _index(self, event: Event) -> None:
        """A hub listener: every clip goes into the library."""
        self._worked.set()
        if isinstance(event, ClipWritten):
            try:
                self.library.add(event.clip)
            except StorageError as error:  # the file is there; the index finds it later
                log.error("clip_not_indexed", clip=event.clip.name, error=str(error))

    def _end_running_jobs(self) -> None:
        """Those that can end soon may; the others are interrupted."""
        running = self.queue.running
        for job in running:
            log.info("waiting_for_job", job=job.id, eta_s=round(job.eta_s, 1))
            if job.eta_s > FINISH_S:
                self.queue.interrupt(job)
        may_end = any(job.eta_s <= FINISH_S for job in running)
        if not running or (may_end and self.queue.wait_idle(FINISH_S)):
            return
        for job in self.queue.running:
            self.queue.interrupt(job)
        if not self.queue.wait_idle(CANCEL_S):
            for job in self.queue.running:
                self.queue.finish(job, job.stopped)

    def _announce(self) -> None:
        config = self.config
        content = {
            "pid": os.getpid(),
            "host": config.host,
            "grpc_port": self.grpc.port,
            "osc_host": config.osc_host,
            "osc_port": self.osc.port,
            "samples_folder": str(config.samples),
            "version": __version__,
            "wire_version": WIRE_VERSION,
        }
        try:
            write_whole(config.running_file, json.dumps(content, indent=1).encode(), private=True)
        except OSError as error:
            log.warning("ports_not_announced", error=str(error))
        log.info(
            "ready",
            grpc=f"{config.host}:{self.grpc.port}",
            osc=f"{config.osc_host}:{self.osc.port}",
            samples=str(config.samples),
        )


def serve(
    daemon: Daemon, resume: bool = False, signals: Sequence[int] = (signal.SIGINT, signal.SIGTERM)
) -> int:
    """Runs the daemon in this thread until a signal comes; the exit code."""
    for number in signals:
        signal.signal(number, lambda *_: daemon.stop())
    try:
        daemon.run(resume)
    except AceStepError as error:
        if daemon.works_on:
            print(f"acestep: {error}", file=sys.stderr)
            _end_at_once(FAILED)
        raise
    if daemon.works_on:
        _end_at_once(0)
    return 0


def _end_at_once(code: int) -> None:
    sys.stderr.flush()
    os._exit(code)

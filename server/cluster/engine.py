"""The daemon's engine on a cluster: jobs go to replicas, and their clips come back as bytes.

The daemon keeps queue, journal, library and samples folder; it loads no model. A job whose replica dies is
made again by another with the same seed.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import ray
from ray import serve

from acestep.adapters import files as adapter_files
from acestep.checkpoints import checkpoint
from acestep.checkpoints.fingerprint import checkpoint_files, file_hash, stamps
from acestep.checkpoints.memory import CHOICES
from acestep.clips.batches import parts
from acestep.clips.clip import Clip, write
from acestep.clips.idea import ALONE, Delivery
from acestep.errors import AceStepError, InvalidRequest, NotFound, Unsupported
from acestep.music.parts import MIX
from acestep.sources.sidecar import SIDECAR_ENDING
from acestep.version import __version__
from server import logs
from server.cluster.application import application, bounds
from server.cluster.connection import Connection, Node, this_daemon
from server.cluster.gather import Gathering, delivered
from server.cluster.store import adapter_contents, below
from server.cluster.work import APPLICATION, DEPLOYMENT, Bundle, Model, Sign, Work
from server.config import Config
from server.jobs.engine import Engine
from server.jobs.job import Job
from server.models import spec_of

if TYPE_CHECKING:
    from acestep.model.cascade import Cascade, OnAudio, Progress
    from server.jobs.queue import JobQueue

WATCH_S = 0.5
OTHERS = "0"  # replicas that another program deploys
log = logs.get("cluster")


class Distant:
    """A cascade as the daemon knows it: what is on disk here, and loaded elsewhere."""

    device = "cluster"

    def __init__(self, name: str, home: Path) -> None:
        _refuse_size(name, home)
        self.spec = checkpoint.read_spec(checkpoint.find(name, home), home)
        self.stages = tuple(stage.name for stage in self.spec.stages)
        self.codec = _Rate(int(self.spec.values.get("sample_rate_hz", 48_000)))
        self.adapters = _NoAdapters()
        known = name if name in checkpoint.available(home) else self.spec.folder.name  # else it is a path
        self.paths = {below(known, file): path for file, path in checkpoint_files(self.spec).items()}
        self.bundle = Bundle("cascade", known, _hashed(self.paths))
        self._stamps = stamps(self.spec)

    def is_current(self) -> bool:
        """Whether the files are still those that were hashed."""
        return stamps(self.spec) == self._stamps

    def load_adapter(self, path: Path) -> None:
        """Replicas do that by themselves."""
        raise Unsupported(
            f"adapter {path.name!r} cannot be loaded beforehand: on a cluster each replica loads an adapter "
            "with the first job that names it"
        )

    unload_adapter = load_adapter


class _Rate:
    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz


class _NoAdapters:
    loaded: Mapping[str, tuple[str, ...]] = {}
    paths: Mapping[str, Path] = {}


class Cluster(Engine):
    """Replicas on a Ray cluster. Raises InvalidRequest for settings that do not go with one."""

    side_by_side = True

    def __init__(self, config: Config) -> None:
        self._config = config
        for name, set_here in (
            ("idle_unload_min", config.idle_unload_min > 0),
            ("variant", bool(config.variant) and config.variant not in checkpoint.available(config.home)),
            ("device", config.device.startswith("cuda:")),
        ):
            if set_here:
                raise InvalidRequest(
                    f"{name} does not go with a cluster, whose replicas are alike and keep their cascade: "
                    "leave it out (replicas = 1:8 lets idle ones go)"
                )
        bounds(config.replicas)
        self._lock = threading.Lock()
        self._roll: list[Sign] = []
        self._strangers: dict[str, str] = {}
        self._nodes: list[Node] = []
        self._extra = 0  # parts of jobs that are made beside a job's first one
        self._closing = threading.Event()
        self._deployed = False
        self._connection: Connection | None = None

    def spec(self, name: str) -> "checkpoint.CascadeSpec | None":
        """From its folder on this machine. Raises Unsupported for a size."""
        _refuse_size(name, self._config.home)
        return spec_of(name, self._config.home)

    def open(self, queue: "JobQueue") -> None:
        """Joins the cluster and has the replicas started; does not wait for them."""
        config = self._config
        self._queue = queue
        least, most = bounds(config.replicas)
        self._connection = Connection(config.cluster, config.home, most * config.cpus_per_replica)
        try:
            self._connection.check_versions()
            self._depot = self._connection.depot(this_daemon(config.home))
            self._connection.start_serve()
            named = config.replicas not in ("", OTHERS)
            missing = not config.replicas and APPLICATION not in serve.status().applications
            self._deployed = named or missing
            self._most = most if self._deployed else 0
            self._expect(config.variant or config.cascade)
            if self._deployed:
                self._deploy(f"{least}:{most}")
            self._handle = serve.get_deployment_handle(DEPLOYMENT, APPLICATION).options(stream=True)
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._watch, name="cluster", daemon=True).start()
        log.info("cluster_joined", address=self._connection.address, own=self._connection.own)

    def _deploy(self, replicas: str) -> None:
        assert self._connection is not None
        self._nodes = self._connection.nodes()
        gpus, config = self._config.gpus_per_replica, self._config
        if gpus and not any(node.gpus for node in self._nodes):
            log.warning("no_gpus", then="replicas compute on CPUs")
            gpus = 0.0
        target = serve.RunTarget(
            target=application(replicas, gpus, config.cpus_per_replica, __version__),
            name=APPLICATION,
            route_prefix=None,
        )
        serve.run_many([target], wait_for_applications_running=False)

    def close(self) -> None:
        """Leaves the cluster, and ends it if it is this daemon's own."""
        self._closing.set()
        if self._connection is not None:
            self._connection.close(self._deployed)
            self._connection = None

    def load(self, name: str, device: str) -> "Cascade":
        """What the daemon reads of a cascade; the weights stay on disk."""
        return cast("Cascade", Distant(name, self._config.home))

    def warm_up(self) -> None:
        """Replicas do that by themselves."""

    def at_once(self) -> int:
        """As many jobs as there are replicas, and more where more replicas may be started for them."""
        with self._lock:
            return max(0, self._room() - self._extra)

    def _room(self) -> int:
        ready = [sign for sign in self._roll if sign.state != "loading"]
        if self._strangers and not self._deployed:
            return 0  # Serve might hand them a job
        most = self._most or max((sign.most for sign in ready), default=1)
        return min(most, 2 * len(ready))

    def produce(
        self,
        cascade: "Cascade",
        job: Job,
        on_progress: "Callable[[Progress], None]",
        on_audio: "OnAudio | None",
        cancelled: Callable[[], bool],
        delivery: Delivery = ALONE,
    ) -> list[Clip]:
        """The job's clips, made elsewhere and written here."""
        distant = cast(Distant, cascade)
        idea = bool(job.request.wanted)
        whole = self._work(distant, job, delivery.ideas(job.request.idea) if job.request.idea else ())
        alone = idea or whole.made is not None
        wanted: list[range] = [range(1)] if alone else parts(job.request, self._rows())
        works = [whole if len(wanted) == 1 else replace(whole, takes=(one.start, one.stop)) for one in wanted]
        shares = [len(one) / sum(len(part) for part in wanted) for one in wanted]
        gathering = Gathering(self._handle, works, shares, self._spare, self._lost)
        clips = gathering.clips(on_progress, on_audio, cancelled, one_by_one=idea)
        if idea:
            return delivered(clips, job.folder, delivery.on_clip, cancelled)
        return write(clips, job.folder, cancelled)

    def status(self) -> dict[str, Any]:
        """Nodes, replicas, and what each of them does."""
        with self._lock:
            roll, strangers, nodes = list(self._roll), dict(self._strangers), list(self._nodes)
        most = self._most or max((sign.most for sign in roll), default=0)
        names = {node.id: node.name for node in nodes}
        on = [sign.node for sign in roll]
        return {
            "address": self._connection.address if self._connection else "",
            "wanted": self._config.replicas if self._deployed and self._config.replicas else str(most),
            "note": self._note(roll, strangers),
            "nodes": [
                {"name": one.name, "address": one.address, "cpus": one.cpus, "gpus": one.gpus,
                 "replicas": on.count(one.id)}
                for one in nodes
            ],
            "replicas": [
                {"name": sign.name, "node": names.get(sign.node, sign.host), "pid": sign.pid,
                 "device": sign.device, "version": sign.version, "state": sign.state, "job": sign.job,
                 "cascade": sign.cascade}
                for sign in sorted(roll, key=lambda sign: sign.name)
            ],
        }  # fmt: skip

    def _note(self, roll: list[Sign], strangers: dict[str, str]) -> str:
        if strangers:
            other = "; ".join(f"{host} has acestep-bridge {version}" for host, version in strangers.items())
            return f"another version than this daemon's {__version__}: {other}"
        if not roll:
            return "no replica is up: jobs wait until one is"
        return (
            "" if any(sign.state != "loading" for sign in roll) else "replicas load their cascade: jobs wait"
        )

    def _watch(self) -> None:
        """Keeps the roll; whoever waits for a replica is told when there are more."""
        while not self._closing.wait(WATCH_S):
            try:
                roll, strangers = ray.get(self._depot.roll.remote(), timeout=10)
                nodes = self._connection.nodes() if self._connection else []
            except Exception as error:  # noqa: BLE001 (the next look may succeed)
                if not self._closing.is_set():
                    log.warning("cluster_does_not_answer", error=str(error).partition("\n")[0])
                roll, strangers, nodes = [], {}, []
            with self._lock:
                before = self._room()
                self._roll, self._strangers, self._nodes = roll, strangers, nodes
                after = self._room()
            if before != after:
                log.info("replicas", there=len(roll), room=after)
            if after > before:
                self._queue.look_again()

    def _spare(self, change: int) -> bool:
        """Takes room (1) for one more part of a job if nobody waits for it, or gives it back (-1)."""
        if change < 0:
            with self._lock:
                self._extra -= 1
            self._queue.look_again()
            return True
        if self._queue.waiting_count:
            return False
        running = len(self._queue.running)
        with self._lock:
            spare = self._room() - self._extra > running
            self._extra += spare
        return spare

    def _lost(self, replica: str) -> None:
        """A replica died in the middle of its work."""
        log.warning("replica_lost", replica=replica, then="its work is done again by another")
        if replica:
            self._depot.leave.remote(replica)

    def _rows(self) -> int:
        with self._lock:
            return max((sign.rows for sign in self._roll), default=1) if self._roll else 4

    def _expect(self, name: str) -> None:
        """Has replicas load this cascade when they start."""
        offers = _Offers()
        try:
            model = self._model(Distant(name, self._config.home), offers)
        except AceStepError as error:  # each job that needs it says so again
            log.error("cascade_not_loaded", cascade=name, error=str(error))
            return
        ray.get([self._depot.offer.remote(dict(offers)), self._depot.expect.remote(model)])

    def _model(self, distant: Distant, offers: "_Offers") -> Model:
        config = self._config
        planner = None
        if config.planner:
            folder = config.home / "planners" / config.planner
            folder = folder if folder.is_dir() else Path(config.planner)
            if not folder.is_dir():
                raise NotFound(f"no planner {str(config.planner)!r} here: `acestep pull lm-0.6b` fetches one")
            files = (file for file in sorted(folder.rglob("*")) if file.is_file())
            paths = {f"{folder.name}/{file.relative_to(folder).as_posix()}": file for file in files}
            planner = offers.add(Bundle("planner", folder.name, _hashed(paths)), paths)
        cascade = offers.add(distant.bundle, distant.paths)
        return Model(cascade, config.device, config.precision, planner)

    def _work(self, distant: Distant, job: Job, clips: Sequence[Clip]) -> Work:
        """A whole job, its files on offer. `clips`: of the idea that it goes on with."""
        offers, folder = _Offers(), adapter_files.adapters_folder(self._config.home)
        adapters = []
        for name in dict.fromkeys(name for name, _ in job.request.adapters):
            paths = adapter_contents(adapter_files.find(name, folder))
            adapters.append(offers.add(Bundle("adapter", name, _hashed(paths)), paths))
        there = (Path(clip.path) for clip in clips if not clip.trashed and clip.part != MIX)
        audio = {}
        for file in (*_audio(job), *(file for file in there if file.is_file())):
            sidecar = file.with_name(file.name + SIDECAR_ENDING)
            paths = {one.name: one for one in (file, *([sidecar] if sidecar.is_file() else []))}
            audio[str(file)] = offers.add(Bundle("audio", file.name, _hashed(paths)), paths)
        again = job.only_take is not None
        work = Work(
            job=job.id,
            model=self._model(distant, offers),
            request=job.request.to_dict(),
            takes=None,
            made={**job.made, "clip": {"take": job.only_take}} if again else None,
            adapters=tuple(adapters),
            audio=audio,
            clips=tuple(clips),
            started_s=job.created.timestamp(),
            stream_audio=job.stream_audio,
        )
        ray.get(self._depot.offer.remote(dict(offers)))  # before a replica can ask for them
        return work


class _Offers(dict[str, dict[str, str]]):
    """What replicas may ask the depot for: digest → path in the bundle → path on this machine."""

    def add(self, bundle: Bundle, paths: Mapping[str, Path]) -> Bundle:
        """One bundle more; it is given back."""
        self[bundle.digest] = {name: str(path) for name, path in paths.items()}
        return bundle


def _refuse_size(name: str, home: Path) -> None:
    """Raises Unsupported for a name that means another cascade on another machine."""
    here = checkpoint.available(home)
    if name in CHOICES and name not in here:
        raise Unsupported(
            f"cascade {name!r} is chosen by what a machine can hold, and the nodes of a cluster may differ: "
            f"name the cascade itself, one of {', '.join(here)}"
        )


def _audio(job: Job) -> list[Path]:
    """The files that a job's request names."""
    sources = (job.request.reference, job.request.context)
    return [Path(one.path) for source in sources if source is not None for one in source.sources]


def _hashed(paths: Mapping[str, Path]) -> dict[str, str]:
    return {name: file_hash(file) for name, file in paths.items()}

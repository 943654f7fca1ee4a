"""Test side: a Ray cluster of two nodes on this machine, daemons that work on it, and looks at both."""

import contextlib
import functools
import hashlib
import inspect
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import soundfile

from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from server import config
from tests.support.daemons import Process, settings

UP_S = 900.0  # Ray starts a dozen processes; only ever reached by a test that fails
# with ports of their own, Ray does not wait fifteen seconds at most for what they choose
AGENTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
TOKEN = "0123456789abcdef0123456789abcdef"


def patient() -> None:
    """Has Ray start less, and wait as long for its nodes as a busy machine takes: its own thirty seconds, and
    fifteen for its agent, are constants."""
    from ray._private import services, utils
    from ray._raylet import (
        DASHBOARD_AGENT_LISTEN_PORT_NAME,
        AuthenticationTokenLoader,
        Config,
        persist_port,
    )

    Config.initialize("")  # of this process, which may have imported Ray before it was to ask for a token
    AuthenticationTokenLoader.instance().reset_cache()
    utils.get_dashboard_dependency_error = lambda: ImportError("an agent without HTTP is enough")
    at_once = services.get_node

    def get_node(*asked: Any) -> Any:
        until = time.monotonic() + UP_S
        while True:
            try:
                return at_once(*asked)
            except RuntimeError:
                if time.monotonic() > until:
                    raise

    services.get_node = get_node
    start = services.start_raylet

    @functools.wraps(start)
    def start_raylet(*asked: Any, **named: Any) -> Any:
        told = inspect.signature(start).bind(*asked, **named).arguments
        node, port = told["node_id"], told["dashboard_agent_listen_port"]
        persist_port(told["session_dir"], node, DASHBOARD_AGENT_LISTEN_PORT_NAME, port)
        return start(*asked, **named)

    services.start_raylet = start_raylet


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Nodes:
    """A head node without processors and others with one each, each with a home of its own."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        patient()
        self.folder = folder
        self._cluster = Cluster()
        self._cluster.add_node(**self._settings("head", 0), include_dashboard=False, no_monitor=True)
        self.address = str(self._cluster.address)

    def _settings(self, name: str, cpus: int) -> dict[str, Any]:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        return {
            "num_cpus": cpus,
            "num_gpus": 0,
            "object_store_memory": 100 << 20,
            "include_log_monitor": False,
            "env_vars": {"ACESTEP_HOME": str(home)},
            **{name: free_port() for name in AGENTS},
        }

    def add(self, name: str, cpus: int = 1, **environment: str) -> Any:
        """One node more; its home is `folder/name`."""
        settings = self._settings(name, cpus)
        settings["env_vars"] |= environment
        return self._cluster.add_node(**settings, wait=True)

    def remove(self, node: Any) -> None:
        """The node is gone, and all that ran there."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """Ends all of them."""
        self._cluster.shutdown()


@contextlib.contextmanager
def ray_folder(**changes: str) -> Iterator[Path]:
    """Ray's files in a short folder of this test's own: names of sockets may not be long."""
    folder = Path(tempfile.mkdtemp(prefix="ar-", dir="/tmp"))
    changes |= {
        "RAY_TMPDIR": str(folder),
        "RAY_worker_register_timeout_seconds": f"{UP_S:g}",
        "RAY_agent_register_timeout_ms": f"{UP_S * 1000:g}",
    }
    before = {name: os.environ.get(name) for name in changes}
    os.environ |= changes
    try:
        yield folder
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def ray_environment() -> Iterator[Path]:
    """That, and a token that all nodes ask for."""
    settings_of_ray = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",  # else replicas compute only when nothing else does
    }
    with ray_folder(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN, **settings_of_ray) as folder:
        yield folder


class Asked(Process):
    """`acestep serve` in a process of its own, and what its doors say."""

    start_s = UP_S
    at_home = True  # Ray looks for packages there first, on every node

    def __init__(self, made: config.Config, *flags: str) -> None:
        made.home.mkdir(parents=True, exist_ok=True)
        super().__init__(made, *flags)
        self.made = made
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")
        self.stub = acestep_pb2_grpc.DaemonStub(self.channel)

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        if self.process.poll() is None:
            self.terminate()
        super().__exit__()

    def status(self) -> Any:
        """What GetStatus says."""
        return self.stub.GetStatus(pb.GetStatusRequest(), timeout=120)

    def ask(self, **values: Any) -> str:
        """A detached job; its id."""
        call = self.stub.Generate(pb.GenerateRequest(detached=True, **values), timeout=60)
        return str(next(call).job)

    def job(self, job: str) -> Any:
        """A job as lists show it."""
        listed = self.stub.ListJobs(pb.ListJobsRequest(limit=1000), timeout=120).jobs
        return next(one for one in listed if one.id == job)

    def ended(self, job: str) -> Any:
        """The job, once it has ended."""
        soon(lambda: self.job(job).state not in ("queued", "running"))
        return self.job(job)

    def log(self) -> list[dict[str, Any]]:
        """What it has logged."""
        lines = [
            line
            for file in sorted((self.home / "logs").glob("*"))
            for line in file.read_text("utf-8").splitlines()
        ]
        return [json.loads(line) for line in lines if line.startswith("{")]


class Alone(Asked):
    """A daemon that makes its clips by itself."""

    @classmethod
    def at(cls, folder: Path, threads: int) -> "Alone":
        """One that computes with so many threads."""
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads)
        try:
            return cls(settings(folder), "--max-queue-per-client", "64")
        finally:
            if before is None:
                del os.environ["OMP_NUM_THREADS"]
            else:
                os.environ["OMP_NUM_THREADS"] = before


class OnCluster(Asked):
    """One whose clips are made on a Ray cluster."""

    def __init__(self, made: config.Config, address: str, *flags: str) -> None:
        super().__init__(made, "--cluster", address, *flags)

    @classmethod
    def at(cls, folder: Path, address: str, *flags: str) -> "OnCluster":
        """One on the cluster at that address."""
        return cls(settings(folder), address, "--max-queue-per-client", "64", *flags)

    def ready(self, count: int) -> list[Any]:
        """The replicas, once so many are up."""
        soon(lambda: len(self.idle()) >= count)
        return self.idle()

    def idle(self) -> list[Any]:
        """Replicas that have loaded their cascade."""
        return [one for one in self.status().cluster.replicas if one.state != "loading" and alive(one.pid)]

    def making(self, job: str) -> Any:
        """The replica that makes a job, once one does."""
        found = soon(lambda: [one for one in self.status().cluster.replicas if one.job == job])
        return found[0]


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def soon(condition: Callable[[], Any]) -> Any:
    """Waits for it, as long as a busy machine may take."""
    deadline = time.monotonic() + UP_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


def samples_hash(path: str | Path) -> str:
    """Of a clip's samples, whatever its name and its notes."""
    samples, _ = soundfile.read(path, dtype="int32", always_2d=True)
    return hashlib.sha256(samples.tobytes()).hexdigest()

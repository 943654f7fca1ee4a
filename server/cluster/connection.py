"""Joins a Ray cluster, or starts one on this machine alone, and knows its nodes.

Whatever is started here listens on the loopback only, without dashboard, asks for a token that only this user
has, and reports no usage to anybody.
"""

import contextlib
import ipaddress
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import serve
from ray._private import ray_constants, services
from ray._raylet import AuthenticationTokenLoader
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from acestep.errors import Unavailable
from acestep.version import __version__
from server import logs
from server.cluster.depot import Depot
from server.cluster.probe import installed
from server.cluster.work import APPLICATION, DEPOT, NAMESPACE
from server.security import read_or_create_token

LOOPBACK = "127.0.0.1"
# where Ray does not span machines (on macOS by itself), it listens on the loopback only; and replicas compute
# as the daemon would, not only when nothing else does
ALONE = {ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR: "0", "RAY_worker_niceness": "0"}
STORE_BYTES = 1 << 30  # shared memory of a cluster on this machine, at most; messages are small
ANSWER_S = 120.0  # a node that has not started a process by then is in trouble
STARTS = 3  # Ray gives a machine thirty seconds, and a busy one may take longer
GONE_S = 30.0  # what a dead daemon left on the cluster ends within this
log = logs.get("cluster")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster that is there."""

    id: str
    name: str
    address: str
    cpus: int
    gpus: int


class Connection:
    """This process as a part of a Ray cluster. Raises Unavailable where there is none to join."""

    def __init__(self, address: str, home: Path, cores: int) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        with _own_signals():
            self.own = not self._join(address)
            if self.own:
                self._start(home, cores)
        self.address = str(ray.get_runtime_context().gcs_address)

    def _join(self, address: str) -> bool:
        """Whether there is a cluster to join; for `auto` there need not be."""
        named, running = os.environ.get("RAY_ADDRESS"), address
        if address == "auto":  # Ray's own "auto" would take whatever runs here, also another daemon's
            running = named or services.find_bootstrap_address(None) or ""
            if not running:
                return False
        try:
            with _environment(RAY_ADDRESS=running):
                ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level="error")
        except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
            ray.shutdown()
            if address == "auto" and not named:
                log.info("no_cluster_joined", at=running, error=_short(error), then="one is started here")
                return False
            raise Unavailable(
                f"the Ray cluster at {running} cannot be joined ({_short(error)}): is its head node up, and "
                f"is this machine a node of it (`ray start --address {running} --num-cpus 0`)?"
            ) from None
        if not is_loopback_only(running) and os.environ.get("RAY_AUTH_MODE") != "token":
            log.warning(
                "cluster_without_token", then="whoever reaches Ray's ports runs programs on its nodes"
            )
        return True

    def _start(self, home: Path, cores: int) -> None:
        token = read_or_create_token(home / "ray_token")  # Ray's own one lies where other users can read it
        logs.hide(token)
        os.environ["RAY_AUTH_TOKEN"] = token
        os.environ.pop("RAY_AUTH_MODE", None)  # without a word Ray asks for a token, in this process too
        AuthenticationTokenLoader.instance().reset_cache()
        ray_constants.ENABLE_RAY_CLUSTER = False  # as ALONE tells the others
        with _environment(ACESTEP_HOME=str(home), **ALONE):  # one home for all: nothing is copied
            for attempt in range(1, STARTS + 1):
                try:
                    self._start_ray(cores)
                    return
                except Exception as error:  # noqa: BLE001 (Ray raises plain ones for a start that fails)
                    ray.shutdown()
                    if attempt == STARTS or "timed out" not in str(error):
                        raise Unavailable(
                            f"Ray cannot be started here ({_short(error)}): its logs are in /tmp/ray"
                        ) from None
                    log.warning("ray_is_slow", attempt=attempt, then="started again")

    def _start_ray(self, cores: int) -> None:
        ray.init(
            address="local",
            namespace=NAMESPACE,
            num_cpus=max(cores, psutil.cpu_count() or 1),
            object_store_memory=min(STORE_BYTES, psutil.virtual_memory().total // 10),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            _node_ip_address=LOOPBACK,
        )

    def nodes(self) -> list[Node]:
        """The nodes that are there."""
        found: list[Node] = []
        for node in ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                name, address = node["NodeManagerHostname"], node["NodeManagerAddress"]
                if any(other.name == name for other in found):  # two of them on one machine
                    name = f"{name}-{node['NodeID'][:4]}"
                cpus, gpus = int(has.get("CPU", 0)), int(has.get("GPU", 0))
                found.append(Node(node["NodeID"], name, address, cpus, gpus))
        return found

    def check_versions(self) -> None:
        """Raises Unavailable for nodes with another version of this package, or none, by name."""
        ask = ray.remote(installed)
        asked = {}
        for node in self.nodes():
            if node.cpus or node.gpus:  # replicas may be put there
                there = NodeAffinitySchedulingStrategy(node.id, soft=False)
                asked[ask.options(num_cpus=0, scheduling_strategy=there, max_retries=0).remote()] = node
        wrong = []
        for answer, node in asked.items():
            try:
                version = str(ray.get(answer, timeout=ANSWER_S))
            except ray.exceptions.GetTimeoutError:
                raise Unavailable(
                    f"node {node.name} ({node.address}) does not answer: see its logs"
                ) from None
            except ray.exceptions.RayError as error:
                if node.id not in {there.id for there in self.nodes()}:
                    continue  # it has just gone
                version = "none" if "No module" in str(error) else f"one that fails ({_short(error)})"
            if version != __version__:
                wrong.append(f"{node.name} ({node.address}) has {version}")
        if wrong:
            raise Unavailable(
                f"every node needs acestep-bridge {__version__}, as this daemon has: {'; '.join(wrong)}. "
                f'Install it there: python -m pip install "acestep-bridge[cluster]=={__version__}"'
            )

    def depot(self, daemon: str) -> Any:
        """A depot on this machine. Raises Unavailable where another daemon uses the cluster."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        make = ray.remote(Depot).options(
            name=DEPOT, namespace=NAMESPACE, num_cpus=0, max_restarts=-1, scheduling_strategy=here
        )
        until = time.monotonic() + GONE_S
        while True:
            try:
                depot = make.remote(daemon)
                ray.get(depot.owner.remote(), timeout=ANSWER_S)
                return depot
            except ValueError:  # the name is taken
                owner = _owner()
                if owner and (owner != daemon or time.monotonic() > until):
                    raise Unavailable(
                        f"the cluster at {self.address} makes clips for another daemon ({owner}): end it"
                    ) from None
                time.sleep(0.5)

    def start_serve(self) -> None:
        """Serve without doors: only this process calls the replicas."""
        serve.start(
            proxy_location="Disabled",
            http_options={"host": LOOPBACK},
            logging_config={"log_level": "WARNING"},
        )
        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # what it warns of, the daemon's log says

    def close(self, application: bool) -> None:
        """Leaves the cluster; takes the `application` away, and ends the cluster if it was started here."""
        with contextlib.suppress(Exception):  # whatever state it is in, it is left
            if application:
                serve.delete(APPLICATION, _blocking=False)
        with _own_signals():
            ray.shutdown()


def is_loopback_only(address: str) -> bool:
    """Whether HOST:PORT can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def this_daemon(home: Path) -> str:
    """A daemon in words, the same after it was started again."""
    return f"{home} on {socket.gethostname()}"


def _owner() -> str:
    """Whose depot there is; "" if that depot is about to end."""
    try:
        return str(ray.get(ray.get_actor(DEPOT, NAMESPACE).owner.remote(), timeout=5))
    except (ValueError, ray.exceptions.RayError):
        return ""


def _short(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables that processes started meanwhile are given."""
    before = dict(os.environ)
    os.environ |= values
    try:
        yield
    finally:
        for name in values:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts handlers of its own in place of the daemon's; they are put back."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # not the main thread: Ray did nothing either
            for number, handler in before.items():
                signal.signal(number, handler)

"""The command line's side of the wire: finds a running daemon, and speaks to it through the Python client."""

import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc

from acestep.errors import Cancelled, InvalidRequest, Unavailable
from plugin_bridge import calls
from plugin_bridge.client import Connection, Events
from protos import WIRE_VERSION, speaks_ours
from protos.acestep.v1 import acestep_pb2 as pb
from server.config import Config
from server.security import is_loopback

FIND_TIMEOUT_S = 3.0


class Remote:
    """A daemon that answers. Use `find`."""

    def __init__(self, connection: Connection):
        self._connection = connection

    @classmethod
    def find(cls, config: Config, flags: Mapping[str, object]) -> "Remote | None":
        """The daemon these settings lead to; None when none answers there.

        With a home given by hand (`--home`, ACESTEP_HOME) only that home's daemon counts; an address given by
        hand has to answer.
        Raises Unavailable for one that does not, and for a daemon that speaks another version of the wire.
        """
        by_hand = bool(flags.get("host")) or flags.get("grpc_port") is not None
        if "home" in flags and not by_hand and is_loopback(config.host) and _announced(config) is None:
            return None
        host, port = _address(config, flags)
        if port == 0:
            return None
        target = calls.address_of(host, port)
        pem = config.tls_cert.read_bytes() if config.tls_cert else b""
        key = calls.owner_key(config.home, target)
        remote = cls(Connection(calls.Target(target, _token(config), pem, key)))
        try:
            status = remote.status(FIND_TIMEOUT_S)
        except Unavailable:
            remote.close()
            if by_hand:
                trust = "" if is_loopback(host) else ", let tls_cert name its certificate"
                raise Unavailable(
                    f"no daemon answers at {target}: start it there with `acestep serve`{trust}, or leave "
                    f"out {_given(flags)} to do without that one"
                ) from None
            return None
        if "home" in flags and is_loopback(host) and Path(status.home).resolve() != config.home.resolve():
            remote.close()
            if by_hand:
                raise Unavailable(
                    f"the daemon at {target} has its home in {status.home}, not in {config.home}: leave out "
                    f"--home (or ACESTEP_HOME), or {_given(flags)}"
                )
            return None  # the port that this home's daemon had is another's by now
        if not speaks_ours(status.wire_version):
            remote.close()
            raise Unavailable(
                f"the daemon at {target} is version {status.version} and speaks wire version "
                f"{status.wire_version}, this program {WIRE_VERSION}: restart it with this release"
            )
        return remote

    def status(self, timeout_s: float = calls.TIMEOUT_S) -> pb.Status:
        """What the daemon is and does."""
        found: pb.Status = self._connection.unary("GetStatus", pb.GetStatusRequest(), timeout_s)
        return found

    def generate(self, request: pb.GenerateRequest) -> Iterator[pb.JobEvent]:
        """The job's events; closing the iterator, or Ctrl-C, cancels the job unless it is detached."""
        # gRPC's own callbacks could swallow a KeyboardInterrupt; a cancelled call always ends the iteration
        call: Any = None
        interrupted = False

        def interrupt(*_: object) -> None:
            nonlocal interrupted
            interrupted = True
            if call is not None:
                call.cancel()

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            call = self._connection.stream("Generate", request)
            if interrupted:  # between the two lines above
                call.cancel()
            yield from call
        except grpc.RpcError as error:
            if interrupted:
                raise Cancelled("the job was cancelled") from None
            raise self._connection.failed(error) from None
        finally:
            signal.signal(signal.SIGINT, before)
            if call is not None:
                call.cancel()

    def start(self, request: pb.GenerateRequest) -> Events:
        """The same for any thread, as what the Python client reads; ending the call cancels the job."""
        return Events(self._connection.stream("Generate", request), self._connection.target.address)

    def watch(self, job: str) -> Events:
        """A job's events from its beginning on; ending the call leaves the job alone."""
        request = pb.WatchJobRequest(job=job)
        return Events(self._connection.stream("WatchJob", request), self._connection.target.address)

    def jobs(self, limit: int) -> list[pb.Job]:
        """The newest jobs."""
        return list(self._connection.unary("ListJobs", pb.ListJobsRequest(limit=limit)).jobs)

    def cancel(self, job: str) -> pb.Job:
        """Cancels a job."""
        cancelled: pb.Job = self._connection.unary("CancelJob", pb.CancelJobRequest(job=job))
        return cancelled

    def cascades(self) -> pb.ListCascadesResponse:
        """The cascades the daemon knows, and those it cannot read."""
        found: pb.ListCascadesResponse = self._connection.unary("ListCascades", pb.ListCascadesRequest())
        return found

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


def _given(flags: Mapping[str, object]) -> str:
    """The flags of the address that were given, in words."""
    named = {"--host": flags.get("host"), "--grpc-port": flags.get("grpc_port")}
    return " and ".join(name for name, value in named.items() if value is not None)


def _token(config: Config) -> str:
    token = calls.written_token(config.home)
    if not token.isascii() or not token.isprintable():  # a header could not carry it
        raise InvalidRequest(
            f"the token {config.token_file} is damaged: delete the file and start the daemon again"
        )
    return token


def _address(config: Config, flags: Mapping[str, object]) -> tuple[str, int]:
    """Flags first, then what a running daemon wrote down, then the settings."""
    host, port = config.host, config.grpc_port
    announced = _announced(config)
    if announced is not None:
        host = host if flags.get("host") else announced[0]
        port = port if flags.get("grpc_port") is not None else announced[1]
    return calls.reachable(host), port


def _announced(config: Config) -> tuple[str, int] | None:
    """Where the daemon of this home listens, as it wrote it down itself."""
    try:
        running = json.loads(config.running_file.read_text("utf-8"))
        return str(running["host"]), int(running["grpc_port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

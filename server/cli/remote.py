"""The command line's side of the wire: a running daemon on this machine, if there is one.

Turns status codes back into the errors of `acestep.errors`.
"""

import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc

from acestep.errors import AceStepError, InvalidRequest, Unavailable
from protos import OWNER_KEY, WIRE_VERSION, speaks_ours
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from server.config import Config
from server.grpc.reasons import REASON_KEY, error_for
from server.security import is_loopback

FIND_TIMEOUT_S = 3.0
CALL_TIMEOUT_S = 20.0


class Remote:
    """A daemon that answers. Use `find`."""

    def __init__(self, channel: grpc.Channel, token: str, owner_key: str = ""):
        self._channel = channel
        self._stub = acestep_pb2_grpc.DaemonStub(channel)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._owner = ((OWNER_KEY, owner_key),) if owner_key else ()

    @classmethod
    def find(cls, config: Config, flags: Mapping[str, Any]) -> "Remote | None":
        """The daemon these settings lead to; None when none answers there.

        With a home given by hand only that home's daemon counts; an address given by hand has to answer.
        Raises Unavailable for one that does not, and for a daemon that speaks another version of the wire.
        """
        by_hand = bool(flags.get("host")) or flags.get("grpc_port") is not None
        if "home" in flags and not by_hand and is_loopback(config.host) and _announced(config) is None:
            return None
        host, port = _address(config, flags)
        if port == 0:
            return None
        options = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20))
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if config.tls_cert is None and is_loopback(host):
            channel = grpc.insecure_channel(target, options=options)
        else:
            pem = config.tls_cert.read_bytes() if config.tls_cert else None
            channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(pem), options=options)
        remote = cls(channel, _token(config), _owner_key(config, host, port))
        try:
            status = remote.status(FIND_TIMEOUT_S)
        except Unavailable:
            channel.close()
            if by_hand:
                trust = "" if is_loopback(host) else ", let tls_cert name its certificate"
                raise Unavailable(
                    f"no daemon answers at {target}: start it there with `acestep serve`{trust}, or leave "
                    f"out {_given(flags)} to do without that one"
                ) from None
            return None
        if "home" in flags and is_loopback(host) and Path(status.home).resolve() != config.home.resolve():
            channel.close()
            if by_hand:
                raise Unavailable(
                    f"the daemon at {target} has its home in {status.home}, not in {config.home}: leave out "
                    f"--home, or {_given(flags)}"
                )
            return None  # the port that this home's daemon had is another's by now
        if not speaks_ours(status.wire_version):
            channel.close()
            raise Unavailable(
                f"the daemon at {target} is version {status.version} and speaks wire version "
                f"{status.wire_version}, this program {WIRE_VERSION}: restart it with this release"
            )
        return remote

    def status(self, timeout_s: float = CALL_TIMEOUT_S) -> pb.Status:
        """What the daemon is and does."""
        return self._call("GetStatus", pb.GetStatusRequest(), timeout_s)

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
            call = self._stub.Generate(request, metadata=(*self._metadata, *self._owner))
            if interrupted:  # between the two lines above
                call.cancel()
            yield from call
        except grpc.RpcError as error:
            raise _ours(error) from None
        finally:
            signal.signal(signal.SIGINT, before)
            if call is not None:
                call.cancel()

    def jobs(self, limit: int) -> list[pb.Job]:
        """The newest jobs."""
        return list(self._call("ListJobs", pb.ListJobsRequest(limit=limit)).jobs)

    def cancel(self, job: str) -> pb.Job:
        """Cancels a job."""
        return self._call("CancelJob", pb.CancelJobRequest(job=job))

    def cascades(self) -> pb.ListCascadesResponse:
        """The cascades the daemon knows, and those it cannot read."""
        return self._call("ListCascades", pb.ListCascadesRequest())

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _call(self, method: str, request: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _ours(error) from None


def _given(flags: Mapping[str, Any]) -> str:
    """The flags of the address that were given, in words."""
    named = {"--host": flags.get("host"), "--grpc-port": flags.get("grpc_port")}
    return " and ".join(name for name, value in named.items() if value is not None)


def _token(config: Config) -> str:
    if not config.token_file.is_file():
        return ""
    token = config.token_file.read_text("ascii", "replace").strip()
    if not token.isascii() or not token.isprintable():  # a header could not carry it
        raise InvalidRequest(
            f"the token {config.token_file} is damaged: delete the file and start the daemon again"
        )
    return token


def _address(config: Config, flags: Mapping[str, Any]) -> tuple[str, int]:
    """Flags first, then what a running daemon wrote down, then the settings."""
    host, port = config.host, config.grpc_port
    announced = _announced(config)
    if announced is not None:
        host = host if flags.get("host") else announced[0]
        port = port if flags.get("grpc_port") is not None else announced[1]
    return _reachable(host), port


def _announced(config: Config) -> tuple[str, int] | None:
    """Where the daemon of this home listens, as it wrote it down itself."""
    try:
        running = json.loads(config.running_file.read_text("utf-8"))
        return str(running["host"]), int(running["grpc_port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _owner_key(config: Config, host: str, port: int) -> str:
    """What tells the daemon of this home that its own user asks; "" for any other daemon."""
    announced = _announced(config)
    if announced is None or (_reachable(announced[0]), announced[1]) != (host, port) or not is_loopback(host):
        return ""
    try:
        return config.owner_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):  # another user's
        return ""


def _ours(error: grpc.RpcError) -> AceStepError:
    trailing = dict(error.trailing_metadata() or ())
    reason = str(trailing.get(REASON_KEY, ""))
    if reason:
        return error_for(reason, error.details() or reason)
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Unavailable(f"the daemon does not answer ({error.details()}): is `acestep serve` running?")
    if error.code() is grpc.StatusCode.CANCELLED:
        return error_for("cancelled", "cancelled")
    return AceStepError(f"the daemon failed ({error.code().name}: {error.details()}): see its log")

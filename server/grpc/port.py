"""The gRPC port: service, health and reflection behind TLS and a token where the port is not loopback."""

import functools
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from acestep.errors import InvalidRequest, Unauthenticated, Unavailable
from protos.acestep.v1 import acestep_pb2, acestep_pb2_grpc
from protos.reasons import REASON_KEY, STATUS, for_header
from server.config import Config
from server.grpc.quotas import THREADS, Turnstile
from server.grpc.service import DaemonService, abort
from server.ports import check_free, taken_message
from server.security import check_token, is_loopback, read_private_key

MAX_RECEIVED_BYTES = 4 << 20
SERVICE = acestep_pb2.DESCRIPTOR.services_by_name["Daemon"].full_name
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # or a second daemon would share the port unnoticed
    ("grpc.max_receive_message_length", MAX_RECEIVED_BYTES),
    ("grpc.max_metadata_size", 16 << 10),
    # Callers may ask every few seconds whether the daemon is there, also while nothing goes on …
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
    # … and it asks them: a machine that was unplugged does not hold its calls open.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class GrpcServer:
    """Binds at once, so that a taken port is known before anything else starts; serves from `start` on."""

    def __init__(self, config: Config, token: str):
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="grpc")
        self._turnstile = Turnstile(abort)
        interceptors = [self._turnstile, *([_TokenCheck(token)] if token else [])]
        self._server = grpc.server(
            self._pool, interceptors=interceptors, options=_OPTIONS, maximum_concurrent_rpcs=THREADS
        )
        self.port = self._bind(config)
        self._health = health.HealthServicer(experimental_non_blocking=False)
        self._service: DaemonService | None = None

    def start(self, service: DaemonService) -> None:
        """Serves the calls."""
        self._service = service
        acestep_pb2_grpc.add_DaemonServicer_to_server(service, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self._turnstile.start()
        self._server.start()
        for name in ("", SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace_s: float) -> None:
        """Refuses new calls, ends the streams, and waits for the rest at most `grace_s`."""
        self._health.enter_graceful_shutdown()
        stopped = self._server.stop(grace_s)
        if self._service is not None:
            self._service.end_streams()
        stopped.wait(grace_s + 1)
        self._turnstile.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _bind(self, config: Config) -> int:
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = f"{host}:{config.grpc_port}"
        try:
            check_free(config.host, config.grpc_port)
        except OSError as error:  # said here, because gRPC would also write about it on stderr
            raise Unavailable(
                taken_message("gRPC", "tcp", config.host, config.grpc_port, error, "--grpc-port")
            ) from None
        try:
            if config.tls_cert is None and config.tls_key is None and is_loopback(config.host):
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _credentials(config))
        except RuntimeError:
            port = 0
        if port == 0:
            raise Unavailable(
                taken_message("gRPC", "tcp", config.host, config.grpc_port, None, "--grpc-port")
            )
        return port


def _credentials(config: Config) -> grpc.ServerCredentials:
    tls = config.home / "tls"
    if config.tls_cert is not None and config.tls_key is None:
        raise InvalidRequest(
            f"tls_cert {config.tls_cert} has no key beside it: set tls_key to the certificate's private key"
        )
    if config.tls_cert is None and config.tls_key is not None:
        raise InvalidRequest(
            f"tls_key {config.tls_key} has no certificate beside it: set tls_cert to the key's certificate"
        )
    if config.tls_cert is None or config.tls_key is None:
        raise InvalidRequest(
            f"gRPC on {config.host} can be reached from other machines and needs TLS: set tls_cert and "
            f"tls_key, or put cert.pem and key.pem into {tls}, for example with\n  openssl req -x509 "
            f"-newkey rsa:3072 -nodes -days 825 -subj /CN=acestep -addext subjectAltName=DNS:THIS-MACHINE "
            f"-keyout {tls}/key.pem -out {tls}/cert.pem"
        )
    key, certificate = read_private_key(config.tls_key), _pem(config.tls_cert)
    _check_pair(config.tls_cert, config.tls_key)
    return grpc.ssl_server_credentials([(key, certificate)])


def _check_pair(certificate: Path, key: Path) -> None:
    """Raises InvalidRequest unless both are PEM and belong together, which gRPC would not say."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InvalidRequest(
            f"{certificate} and {key} cannot be used for TLS ({error}): expected a certificate "
            "and its own key, both in PEM, the key without a password"
        ) from None


def _pem(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read ({error.strerror}): expected a PEM file") from None


class _TokenCheck(grpc.ServerInterceptor):
    """Refuses every call, health and reflection too, without the token."""

    def __init__(self, token: str):
        self._token = token

    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        metadata = dict(handler_call_details.invocation_metadata)
        try:
            check_token(self._token, str(metadata.get("authorization", "")))
        except Unauthenticated as error:
            return _refusing(handler, error)
        return handler


def _refusing(handler: Any, error: Unauthenticated) -> Any:
    """A handler of the same kind that only refuses."""

    def refuse(_request: Any, context: grpc.ServicerContext) -> Any:
        context.set_trailing_metadata(((REASON_KEY, error.reason),))
        context.abort(STATUS[error.reason], for_header(str(error)))

    if handler is None:
        return None
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = functools.partial(
        kinds[handler.request_streaming, handler.response_streaming],
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return make(refuse)

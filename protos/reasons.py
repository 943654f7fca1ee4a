"""How an error travels by gRPC: the one table from its reason to a status code, and the way back.

The daemon sends an error's status, its sentence and, as trailing metadata, its reason and its job. A client
reads the reason; a status that carries none comes from gRPC itself. Tests hold that every error of
`acestep.errors` and every status of gRPC is in here.
"""

from typing import NamedTuple
from urllib.parse import quote

import grpc

REASON_KEY = "acestep-reason"  # trailing metadata
JOB_KEY = "acestep-job"
MAX_HEADER_BYTES = 3_000  # of the 8 kB that gRPC lets through without asking

STATUS = {
    "internal": grpc.StatusCode.INTERNAL,
    "invalid_request": grpc.StatusCode.INVALID_ARGUMENT,
    "unreadable_audio": grpc.StatusCode.INVALID_ARGUMENT,
    "forbidden_path": grpc.StatusCode.PERMISSION_DENIED,
    "unsupported": grpc.StatusCode.FAILED_PRECONDITION,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "already_exists": grpc.StatusCode.ALREADY_EXISTS,
    "busy": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "out_of_memory": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "cancelled": grpc.StatusCode.CANCELLED,
    "interrupted": grpc.StatusCode.ABORTED,
    "checkpoint_error": grpc.StatusCode.FAILED_PRECONDITION,
    "adapter_error": grpc.StatusCode.FAILED_PRECONDITION,
    "poor_fit": grpc.StatusCode.OUT_OF_RANGE,
    "silent_clip": grpc.StatusCode.OUT_OF_RANGE,
    "storage_error": grpc.StatusCode.DATA_LOSS,
    "unavailable": grpc.StatusCode.UNAVAILABLE,
}

# What gRPC says of itself, without a reason.
_OF_GRPC = {
    grpc.StatusCode.UNAVAILABLE: "unavailable",
    grpc.StatusCode.DEADLINE_EXCEEDED: "unavailable",
    grpc.StatusCode.CANCELLED: "cancelled",
    grpc.StatusCode.ABORTED: "interrupted",
    grpc.StatusCode.UNAUTHENTICATED: "unauthenticated",
    grpc.StatusCode.PERMISSION_DENIED: "unauthenticated",
    grpc.StatusCode.UNIMPLEMENTED: "unsupported",
    grpc.StatusCode.FAILED_PRECONDITION: "unsupported",
    grpc.StatusCode.NOT_FOUND: "not_found",
    grpc.StatusCode.ALREADY_EXISTS: "already_exists",
    grpc.StatusCode.INVALID_ARGUMENT: "invalid_request",
    grpc.StatusCode.OUT_OF_RANGE: "invalid_request",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "busy",
    grpc.StatusCode.INTERNAL: "internal",
    grpc.StatusCode.UNKNOWN: "internal",
    grpc.StatusCode.DATA_LOSS: "internal",
}


class Told(NamedTuple):
    """A failed call as the daemon, or gRPC for it, told it. `job` is "" where none was accepted."""

    reason: str
    message: str
    job: str
    by_grpc: bool  # no daemon said it


def read_failure(error: grpc.RpcError) -> Told:
    """What a failed call says."""
    call: grpc.Call = error
    told = {key: value for key, value in call.trailing_metadata() or () if isinstance(value, str)}
    message, job = call.details() or "no details", told.get(JOB_KEY, "")
    if REASON_KEY in told:
        return Told(told[REASON_KEY], message, job, by_grpc=False)
    return Told(_OF_GRPC.get(call.code(), "internal"), message, job, by_grpc=True)


def for_header(message: str) -> str:
    """The message as a gRPC status carries it: in a header, where each letter beyond ASCII takes three times
    its bytes, and a header that is too long loses the whole status."""
    kept = message.encode("utf-8", "replace").decode()[:MAX_HEADER_BYTES]
    while len(quote(kept)) > MAX_HEADER_BYTES:
        kept = kept[: len(kept) * 3 // 4]
    return message if kept == message else kept + " …"

"""The one table from the stable reasons of `acestep.errors` to gRPC status codes and exit codes.

A test fails when a reason is missing.
"""

from urllib.parse import quote

import grpc

from acestep.errors import AceStepError, all_errors

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
REASON_KEY = "acestep-reason"  # trailing metadata
JOB_KEY = "acestep-job"
MAX_HEADER_BYTES = 3_000  # of the 8 kB that gRPC lets through without asking
_CLASSES = {cls.reason: cls for cls in all_errors()}


def for_header(message: str) -> str:
    """The message as a gRPC status carries it: in a header, where each letter beyond ASCII takes three times
    its bytes, and a header that is too long loses the whole status."""
    kept = message.encode("utf-8", "replace").decode()[:MAX_HEADER_BYTES]
    while len(quote(kept)) > MAX_HEADER_BYTES:
        kept = kept[: len(kept) * 3 // 4]
    return message if kept == message else kept + " …"


def error_for(reason: str, message: str) -> AceStepError:
    """The error a reason stands for: what a caller of the daemon raises again on its own side."""
    return _CLASSES.get(reason, AceStepError)(message)

"""The one table from the stable reasons of `acestep.errors` to gRPC status codes and exit codes.

A test fails when a reason is missing.
"""

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
_CLASSES = {cls.reason: cls for cls in all_errors()}


def error_for(reason: str, message: str) -> AceStepError:
    """The error a reason stands for: what a caller of the daemon raises again on its own side."""
    return _CLASSES.get(reason, AceStepError)(message)

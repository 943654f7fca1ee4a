"""What can go wrong between a bridge and the daemon: the daemon's own errors, raised again on this side.

`BridgeError` is another name for their base. Each has a stable `reason`, and a `job` where one was accepted.
"""

import grpc

from acestep.errors import (
    AceStepError,
    AdapterError,
    AlreadyExists,
    Busy,
    Cancelled,
    CheckpointError,
    ForbiddenPath,
    Interrupted,
    InvalidRequest,
    NotFound,
    OutOfMemory,
    PoorFit,
    SilentClip,
    StorageError,
    Unauthenticated,
    Unavailable,
    UnreadableAudio,
    Unsupported,
    error_of,
)
from protos.reasons import read_failure

BridgeError = AceStepError

__all__ = [
    "AdapterError",
    "AlreadyExists",
    "BridgeError",
    "Busy",
    "Cancelled",
    "CheckpointError",
    "ForbiddenPath",
    "Interrupted",
    "InvalidRequest",
    "NotFound",
    "OutOfMemory",
    "PoorFit",
    "SilentClip",
    "StorageError",
    "Unauthenticated",
    "Unavailable",
    "UnreadableAudio",
    "Unsupported",
    "error_of",
    "of_rpc",
]


def of_rpc(error: grpc.RpcError, address: str) -> BridgeError:
    """The typed error of a failed call; one that nobody at `address` answers says what to do."""
    reason, message, job, by_grpc = read_failure(error)
    if by_grpc and reason == Unavailable.reason:
        why = "" if "refused" in message else f" ({message})"
        message = (
            f"no daemon answers at {address}{why}: start it with `acestep serve`; "
            f"`plugin-bridge doctor` looks for what is in its way"
        )
    return error_of(reason, message, job)

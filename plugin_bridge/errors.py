"""What can go wrong between a bridge and the daemon: one exception per stable reason of the wire.

Errors are told apart by their reasons: a bridge runs where the daemon's code may not be installed.
"""

import grpc


class BridgeError(Exception):
    """Base of all. `reason` is stable and machine-readable, `job` is "" where no job was accepted."""

    reason = "internal"

    def __init__(self, message: str, *, job: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.job = job
        self.reason = reason or type(self).reason


class InvalidRequest(BridgeError, ValueError):
    """What was asked for cannot be: a value, a file or a path."""

    reason = "invalid_request"


class UnreadableAudio(InvalidRequest):
    """An audio file that is missing, no audio, broken or too long."""

    reason = "unreadable_audio"


class ForbiddenPath(InvalidRequest):
    """A path outside the folders the daemon may use."""

    reason = "forbidden_path"


class Unsupported(InvalidRequest):
    """The loaded checkpoint cannot do this, or bridge and daemon speak different wire versions."""

    reason = "unsupported"


class NotFound(BridgeError, LookupError):
    """No such job, clip, cascade or adapter."""

    reason = "not_found"


class AlreadyExists(BridgeError):
    """The name is taken."""

    reason = "already_exists"


class Busy(BridgeError):
    """The queue is full, or requests come too fast."""

    reason = "busy"


class Unauthenticated(BridgeError):
    """No token, or a wrong one."""

    reason = "unauthenticated"


class OutOfMemory(BridgeError, MemoryError):
    """The daemon's device is too small for what was asked."""

    reason = "out_of_memory"


class Cancelled(BridgeError):
    """Somebody cancelled the job."""

    reason = "cancelled"


class Interrupted(BridgeError):
    """The daemon died in the middle of the job."""

    reason = "interrupted"


class CheckpointError(BridgeError):
    """The checkpoint is incomplete or of another kind."""

    reason = "checkpoint_error"


class AdapterError(BridgeError):
    """The adapter does not belong to the model."""

    reason = "adapter_error"


class PoorFit(BridgeError):
    """The request was strict, and no candidate fits."""

    reason = "poor_fit"


class SilentClip(BridgeError):
    """What came out is silence."""

    reason = "silent_clip"


class StorageError(BridgeError, OSError):
    """The folder is read-only, full or gone."""

    reason = "storage_error"


class Unavailable(BridgeError, ConnectionError):
    """The daemon cannot be reached."""

    reason = "unavailable"


def _subclasses(cls: type[BridgeError]) -> list[type[BridgeError]]:
    found = [cls]
    for sub in cls.__subclasses__():
        found.extend(_subclasses(sub))
    return found


BY_REASON: dict[str, type[BridgeError]] = {cls.reason: cls for cls in _subclasses(BridgeError)}

# A status that carries no reason comes from gRPC itself, not from the daemon's own code.
_BY_STATUS: dict[grpc.StatusCode, type[BridgeError]] = {
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Busy,
}


def of_reason(reason: str, message: str, job: str = "") -> BridgeError:
    """The typed error of a wire reason; one this bridge has never heard of keeps its name in `.reason`."""
    return BY_REASON.get(reason, BridgeError)(message, job=job, reason=reason)


def of_rpc(error: grpc.RpcError, address: str) -> BridgeError:
    """The typed error of a failed call: by the daemon's trailing metadata, else by gRPC's own status."""
    call: grpc.Call = error
    told = {key: value for key, value in call.trailing_metadata() or () if isinstance(value, str)}
    message, job = call.details() or "no details", told.get("acestep-job", "")
    if "acestep-reason" in told:
        return of_reason(told["acestep-reason"], message, job)
    cls = _BY_STATUS.get(call.code(), BridgeError)
    if cls is Unavailable:
        why = "" if "refused" in message else f" ({message})"
        message = (
            f"no daemon answers at {address}{why}: start it with `acestep serve`; "
            f"`plugin-bridge doctor` looks for what is in its way"
        )
    return cls(message, job=job)

"""Every error this project raises on purpose, and its stable machine-readable reason.

The daemon and the command line turn a `reason` into a gRPC status, an OSC reply or an exit code.

    AceStepError                    internal
    ├── InvalidRequest              invalid_request     what was asked for cannot be: a value, a file, a path
    │   ├── UnreadableAudio         unreadable_audio    a file that is missing, no audio, broken or too long
    │   ├── ForbiddenPath           forbidden_path      a path outside the allowed folders
    │   └── Unsupported             unsupported         the loaded checkpoint cannot do this task
    ├── NotFound                    not_found           no such job, cascade, adapter or clip
    ├── AlreadyExists               already_exists      the name is taken; nothing is overwritten
    ├── Busy                        busy                the queue is full or the rate too high
    ├── Unauthenticated             unauthenticated     no token, or a wrong one
    ├── OutOfMemory                 out_of_memory       the device is too small for what was asked
    ├── Cancelled                   cancelled           somebody cancelled the job
    ├── Interrupted                 interrupted         the daemon died in the middle of the job
    ├── CheckpointError             checkpoint_error    a checkpoint that is incomplete or of another kind
    ├── AdapterError                adapter_error       an adapter that does not belong to the model
    ├── PoorFit                     poor_fit            a strict request whose clip would not fit
    ├── SilentClip                  silent_clip         what came out is silence
    ├── StorageError                storage_error       the samples folder is read-only, full or gone
    └── Unavailable                 unavailable         the daemon, a port or the network cannot be reached
"""


class AceStepError(Exception):
    """Base of all errors raised on purpose. `str(error)` says what was wrong, expected, and what to do.

    `job` is the daemon's job it is about, "" where no job was accepted.
    """

    reason = "internal"

    def __init__(self, message: str = "", *, job: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.job = job
        self.reason = reason or type(self).reason


class InvalidRequest(AceStepError, ValueError):
    """What was asked for cannot be: a value, a file or a path."""

    reason = "invalid_request"


class UnreadableAudio(InvalidRequest):
    """An audio file that is missing, is not audio, is broken, or is too long."""

    reason = "unreadable_audio"


class ForbiddenPath(InvalidRequest):
    """A path outside the folders that requests may name."""

    reason = "forbidden_path"


class Unsupported(InvalidRequest):
    """A task or option that the loaded checkpoint cannot do."""

    reason = "unsupported"


class NotFound(AceStepError, LookupError):
    """No such job, cascade, adapter or clip."""

    reason = "not_found"


class AlreadyExists(AceStepError):
    """The name is taken, and nothing is ever overwritten."""

    reason = "already_exists"


class Busy(AceStepError):
    """The queue is full, or requests come too fast."""

    reason = "busy"


class Unauthenticated(AceStepError):
    """The request carries no token or a wrong one."""

    reason = "unauthenticated"


class OutOfMemory(AceStepError, MemoryError):
    """The device has too little memory for what was asked."""

    reason = "out_of_memory"


class Cancelled(AceStepError):
    """Somebody cancelled the job; nothing of it is kept."""

    reason = "cancelled"


class Interrupted(AceStepError):
    """The daemon died in the middle of the job."""

    reason = "interrupted"


class CheckpointError(AceStepError):
    """A checkpoint that is incomplete, broken, or made for another architecture."""

    reason = "checkpoint_error"


class AdapterError(AceStepError):
    """An adapter that is broken or does not belong to the loaded model."""

    reason = "adapter_error"


class PoorFit(AceStepError):
    """The request was strict, and no candidate fits the grid and key within tolerance."""

    reason = "poor_fit"


class SilentClip(AceStepError):
    """What came out is silence, which no request means."""

    reason = "silent_clip"


class StorageError(AceStepError, OSError):
    """A folder that cannot be written: read-only, full, or gone."""

    reason = "storage_error"


class Unavailable(AceStepError, ConnectionError):
    """The daemon, a port or the network cannot be reached."""

    reason = "unavailable"


def error_of(reason: str, message: str, job: str = "") -> AceStepError:
    """The error a reason stands for: what a caller of the daemon raises again on its own side.

    One that this version has never heard of keeps its name in `reason`.
    """
    named = (cls for cls in all_errors() if cls.reason == reason)
    return next(named, AceStepError)(message, job=job, reason=reason)


def all_errors() -> list[type[AceStepError]]:
    """Every class of the tree here, base first; the mapping tests of daemon and bridges walk it.

    What a program refines for itself keeps its reason, and is not among them.
    """
    found: list[type[AceStepError]] = [AceStepError]
    for cls in found:
        found.extend(one for one in cls.__subclasses__() if one.__module__ == __name__)
    return found

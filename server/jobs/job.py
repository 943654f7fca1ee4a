"""A job: one request in the daemon, the states it goes through, and which state may follow which.

Only `JobQueue` changes a job's state; everybody else reads it.
"""

import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from acestep.clips.clip import Clip
from acestep.request import GenerateRequest
from server.library.places import Disk


class JobState(StrEnum):
    """Where a job is in its life. The words are those of the wire and of the journal."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # the daemon stopped; `acestep serve --resume` makes it again

    @property
    def ended(self) -> bool:
        """True where no other state follows."""
        return self not in MOVES


# What may follow what. A state that is not in here is an end.
MOVES = {
    JobState.QUEUED: {JobState.RUNNING, JobState.CANCELLED, JobState.INTERRUPTED},
    JobState.RUNNING: {JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED},
}


class Ending(NamedTuple):
    """How a job ended. `reason` is one of `acestep.errors`, and both texts are empty for one that is done."""

    state: JobState
    reason: str = ""
    message: str = ""


def new_job_id() -> str:
    """Sorts by time, short enough to type: `261123-011742-9f3a1c`."""
    return f"{datetime.now(UTC):%y%m%d-%H%M%S}-{secrets.token_hex(3)}"


@dataclass(eq=False)
class Job:
    """A request in the daemon."""

    request: GenerateRequest
    folder: Path
    client: str
    id: str = field(default_factory=new_job_id)
    stream_audio: bool = False
    only_take: int | None = None  # make just this take of the batch again
    made: dict[str, object] = field(default_factory=dict)  # from its sidecar: plan, checkpoint, heard
    state: JobState = JobState.QUEUED
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    stage: str = ""
    fraction: float = 0.0
    eta_s: float = 0.0
    clips: list[Clip] = field(default_factory=list)
    reason: str = ""
    message: str = ""
    cancelling: threading.Event = field(default_factory=threading.Event)
    interrupting: bool = False  # it is the daemon that stops, not somebody who cancels
    disk: Disk | None = None  # of `folder`, as it was when the job was asked for
    rerun_of: str = ""  # the interrupted job that this one is made in place of
    announced: bool = (
        False  # whether anybody was told of it: nobody hears the end of what they never heard of
    )
    telling: threading.RLock = field(default_factory=threading.RLock)  # held while the hub is told of it

    @property
    def finished(self) -> bool:
        """True once the job can change no more."""
        return self.state.ended

    @property
    def stopped(self) -> Ending:
        """The end of one that was told to stop while it ran."""
        if self.interrupting:
            return Ending(JobState.INTERRUPTED, "interrupted", "the daemon was stopped while the job ran")
        return Ending(JobState.CANCELLED, "cancelled", "cancelled")

"""What the daemon and its replicas tell each other: frozen objects, pickled by Ray between equal versions.

Files are known by their hashes, and each side keeps them where it likes: a request that travels names the
daemon's paths, and so does a sidecar that comes back.
"""

import hashlib
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    from acestep.clips.clip import Clip

Kind: TypeAlias = Literal["cascade", "adapter", "planner", "audio"]
APPLICATION = DEPLOYMENT = DEPOT = "acestep"  # by these names all find each other on a cluster
NAMESPACE = "acestep"
PIECE_BYTES = 8 << 20  # of a file that travels


@dataclass(frozen=True)
class Bundle:
    """Files that belong together, by their paths inside of it and their hashes (`fingerprint.file_hash`)."""

    kind: Kind
    name: str  # as requests name it
    files: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """Its name wherever it is kept: the same for the same content."""
        told = json.dumps([self.kind, self.name, sorted(self.files.items())])
        return hashlib.sha256(told.encode()).hexdigest()[:24]

    @property
    def whole(self) -> bool:
        """Whether all of it lies below one folder, and so can be brought to another machine."""
        return not any(
            posixpath.normpath(file).startswith("..") or posixpath.isabs(file) for file in self.files
        )


@dataclass(frozen=True)
class Model:
    """A cascade, and how it is loaded."""

    cascade: Bundle
    device: str
    precision: str
    planner: Bundle | None = None


@dataclass(frozen=True)
class Work:
    """A job, or some of its takes. Paths in `request` and `clips` are the daemon's."""

    job: str
    model: Model
    request: Mapping[str, Any]
    takes: tuple[int, int] | None  # first, and one behind the last; None: all
    made: Mapping[str, Any] | None  # the sidecar of a clip that is made again
    adapters: tuple[Bundle, ...] = ()
    audio: Mapping[str, Bundle] = field(default_factory=dict)  # path → what lies there
    clips: tuple["Clip", ...] = ()  # of the idea in parts that it goes on with
    started_s: float | None = None  # when an idea in parts was asked for
    stream_audio: bool = False


@dataclass(frozen=True)
class Began:
    """A replica has taken the work up."""

    replica: str


@dataclass(frozen=True)
class Step:
    """How far it is."""

    stage: str
    fraction: float
    eta_s: float


@dataclass(frozen=True)
class Window:
    """A decoded window [2, N] float32 of a take, before fitting."""

    take: int
    start_sample: int
    samples: "np.ndarray"


@dataclass(frozen=True)
class Piece:
    """Some of a finished clip's file; the last piece of each has its sidecar, and its MIDI file's bytes."""

    stem: str
    ending: str
    body: bytes
    sidecar: dict[str, Any] | None
    midi: bytes | None = None


@dataclass(frozen=True)
class Ended:
    """All of it is made."""


@dataclass(frozen=True)
class Refused:
    """It cannot be made, and could not on another replica: one of `acestep.errors`."""

    reason: str
    message: str


Message = Began | Step | Window | Piece | Ended | Refused


@dataclass(frozen=True)
class Sign:
    """What a replica tells of itself, every second. Plain values: it is read by other versions too."""

    name: str
    node: str  # Ray's id of it
    host: str
    pid: int
    version: str
    device: str
    state: str  # loading, idle, working
    most: int  # replicas that the application may have
    rows: int = 1  # takes that its device makes as one batch
    job: str = ""
    cascade: str = ""


def elsewhere(request: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """A request's fields with other paths for its audio, where `paths` knows them."""

    def moved(source: Mapping[str, Any]) -> dict[str, Any]:
        own = {**source, "path": paths.get(source["path"], source["path"])}
        return own | ({"plus": [moved(one) for one in source["plus"]]} if source.get("plus") else {})

    audio = {name: moved(request[name]) for name in ("reference", "context") if request.get(name)}
    return {**request, **audio}


def told_elsewhere(sidecar: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """A sidecar with other paths for the audio that its requests name."""
    told = {**sidecar, "request": elsewhere(sidecar["request"], paths)}
    if "idea" in told:
        told["idea"] = {**told["idea"], "request": elsewhere(told["idea"]["request"], paths)}
    return told

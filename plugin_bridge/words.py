"""What the daemon tells, as frozen dataclasses with the words of the wire schema.

Unset optional numbers are None.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from acestep.console.terminal import time_left
from plugin_bridge import errors
from protos.acestep.v1 import acestep_pb2 as pb


@dataclass(frozen=True)
class Clip:
    """A finished audio file with its musical data."""

    name: str
    path: str  # on the daemon's machine
    job: str
    take: int
    seed: int
    bpm: float  # quarter notes per minute; 0 for a one-shot, which has no bars either
    signature: str
    key: str  # "" for unpitched material
    bars: float
    duration_s: float
    samples: int
    sample_rate_hz: int
    tempo_error_pct: float | None
    downbeat_error_ms: float | None  # negative is early
    key_match: str | None  # same key, same notes, other
    lufs: float | None  # integrated loudness
    fit: str  # good, poor, untouched, unsure, unmeasured, off, single
    prompt: str
    cascade: str
    adapters: tuple[tuple[str, float], ...]
    created: str  # ISO 8601
    starred: bool
    trashed: bool
    tags: tuple[str, ...]  # words to find it by
    idea: str  # the id that the parts of an idea share; "" for a clip by itself
    part: str  # which of them: drums, bass …, or mix
    midi: str  # path of the MIDI file beside it; "" where none was asked for
    sidecar_json: str = dataclasses.field(repr=False)

    def __str__(self) -> str:
        if not self.bpm:
            return f"{self.name}: one-shot, {self.duration_s:.2f} s, fit {self.fit}"
        bars = f"{self.bars:g} bar{'' if self.bars == 1 else 's'}"
        return f"{self.name}: {self.bpm:g} bpm, {self.key or 'no key'}, {bars}, fit {self.fit}"


@dataclass(frozen=True)
class Accepted:
    """The job is in the queue."""

    job: str
    position: int  # jobs before this one
    seed: int


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    job: str
    stage: str
    fraction: float  # of the whole job, 0–1
    eta_s: float

    def __str__(self) -> str:
        told = filter(None, (f"{self.stage} {self.fraction:.0%}", time_left(self.eta_s)))
        return f"Progress({self.job}: {', '.join(told)})"


@dataclass(frozen=True)
class Audio:
    """A decoded window, before fitting: a preview."""

    job: str
    take: int
    start_sample: int
    sample_rate_hz: int
    channels: int
    pcm_f32le: bytes  # interleaved float32


@dataclass(frozen=True)
class ClipReady:
    """A clip is in its folder."""

    job: str
    clip: Clip

    def __str__(self) -> str:
        return f"ClipReady({self.clip})"


@dataclass(frozen=True)
class Done:
    """The job has ended well."""

    job: str
    clips: int


@dataclass(frozen=True)
class Failed:
    """The job has ended otherwise; only in `watch`, `generate` raises `error` instead."""

    job: str
    reason: str
    message: str

    @property
    def error(self) -> errors.BridgeError:
        """The same as a typed exception."""
        return errors.error_of(self.reason, self.message, self.job)


Event = Accepted | Progress | Audio | ClipReady | Done | Failed


@dataclass(frozen=True)
class ListedJob:
    """A job as the daemon lists it."""

    id: str
    state: str  # queued, running, done, failed, cancelled, interrupted
    client: str
    prompt: str
    created: str
    fraction: float
    clips: tuple[str, ...]  # paths
    reason: str
    message: str
    request_json: str


@dataclass(frozen=True)
class Node:
    """A machine of a cluster."""

    name: str
    address: str
    cpus: int
    gpus: int
    replicas: int


@dataclass(frozen=True)
class Replica:
    """A process with a loaded cascade, which makes one job at a time."""

    name: str
    node: str
    pid: int
    device: str
    version: str
    state: str  # loading, idle, working
    job: str
    cascade: str  # that is in its memory


@dataclass(frozen=True)
class Cluster:
    """The machines that make clips for a daemon."""

    address: str  # of its head node
    wanted: str  # how many replicas there are to be: 2, or 1:8
    note: str  # what is wrong, in a sentence
    nodes: tuple[Node, ...]
    replicas: tuple[Replica, ...]


@dataclass(frozen=True)
class Status:
    """What the daemon is and does now."""

    version: str
    wire_version: str
    cascade: str
    device: str
    queued: int
    running_job: str
    samples_folder: str
    home: str
    osc_port: int
    memory_bytes: int
    uptime_s: float
    grpc_port: int
    captures_folder: str  # bridges may write audio here for requests to name
    folders: tuple[str, ...]  # folders that requests may name, beside the user's home
    loaded: bool  # whether `cascade` is in memory
    running_jobs: tuple[str, ...]  # several on a cluster; `running_job` is the first of them
    cluster: Cluster | None  # None where the daemon makes clips by itself


@dataclass(frozen=True)
class Cascade:
    """A checkpoint the daemon knows."""

    name: str
    loaded: bool
    stages: tuple[str, ...]
    supports: tuple[str, ...]  # every task it can do; "reference" and "lyrics" where it hears them
    parameters: int
    bytes: int
    folder: str
    license: str
    fits: bool  # the daemon's machine
    note: str
    parts: tuple[str, ...]  # of an idea, that it can play; () where the daemon does not say


@dataclass(frozen=True)
class Adapter:
    """A LoRA the daemon knows."""

    name: str
    loaded: bool
    path: str
    stages: tuple[str, ...]
    rank: int
    alpha: float
    trigger_words: tuple[str, ...]


@dataclass(frozen=True)
class Upload:
    """Audio the daemon holds until it ends; `path` goes where a path goes in a request."""

    path: str
    duration_s: float


T = TypeVar("T")


def read(cls: type[T], message: Message, **more: Any) -> T:
    """The dataclass of a message: fields of the same name; unset optionals become None, lists tuples."""
    values: dict[str, Any] = dict(more)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name not in values:
            values[field.name] = _value(message, field.name)
    return cls(**values)


def _value(message: Message, name: str) -> Any:
    described = message.DESCRIPTOR.fields_by_name[name]
    if described.has_presence and not message.HasField(name):
        return None
    value = getattr(message, name)
    return tuple(map(_plain, value)) if described.is_repeated else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, pb.AdapterUse):
        return adapter_use(value)
    cls = _WITHIN.get(type(value))
    return value if cls is None else read(cls, value)


def adapter_use(message: pb.AdapterUse) -> tuple[str, float]:
    """(name, scale)."""
    return message.name, message.scale if message.HasField("scale") else 1.0


_WITHIN: dict[type, type] = {pb.Cluster: Cluster, pb.Node: Node, pb.Replica: Replica}  # other messages
_EVENTS: dict[str, type] = {
    "accepted": Accepted,
    "progress": Progress,
    "audio": Audio,
    "done": Done,
    "failed": Failed,
}


def read_event(message: pb.JobEvent) -> Event | None:
    """The event a message carries; None for a kind that this bridge does not know yet."""
    kind = message.WhichOneof("event")
    if kind == "clip":
        return ClipReady(message.job, read(Clip, message.clip))
    if kind not in _EVENTS:
        return None
    event: Event = read(_EVENTS[kind], getattr(message, kind), job=message.job)
    return event

from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AudioRange(_message.Message):
    __slots__ = ("path", "start_s", "end_s", "plus")
    PATH_FIELD_NUMBER: _ClassVar[int]
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    PLUS_FIELD_NUMBER: _ClassVar[int]
    path: str
    start_s: float
    end_s: float
    plus: _containers.RepeatedCompositeFieldContainer[AudioRange]
    def __init__(self, path: _Optional[str] = ..., start_s: _Optional[float] = ..., end_s: _Optional[float] = ..., plus: _Optional[_Iterable[_Union[AudioRange, _Mapping]]] = ...) -> None: ...

class AdapterUse(_message.Message):
    __slots__ = ("name", "scale")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    name: str
    scale: float
    def __init__(self, name: _Optional[str] = ..., scale: _Optional[float] = ...) -> None: ...

class TempoPoint(_message.Message):
    __slots__ = ("quarters", "bpm", "ramp")
    QUARTERS_FIELD_NUMBER: _ClassVar[int]
    BPM_FIELD_NUMBER: _ClassVar[int]
    RAMP_FIELD_NUMBER: _ClassVar[int]
    quarters: float
    bpm: float
    ramp: bool
    def __init__(self, quarters: _Optional[float] = ..., bpm: _Optional[float] = ..., ramp: _Optional[bool] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("start_s", "end_s")
    START_S_FIELD_NUMBER: _ClassVar[int]
    END_S_FIELD_NUMBER: _ClassVar[int]
    start_s: float
    end_s: float
    def __init__(self, start_s: _Optional[float] = ..., end_s: _Optional[float] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("prompt", "lyrics", "task", "bpm", "signature", "bars", "key", "seed", "takes", "candidates", "reference", "context", "strength", "track", "repaint", "adapters", "cascade", "stages", "steps", "guidance", "fit", "strict", "guide", "format", "sample_format", "tempo_map", "swing", "loudness_lufs", "kind", "midi_out", "parts", "idea", "redo", "prompt_b", "morph", "family", "variation", "detached", "stream_audio", "client", "folder", "only_take", "made_json")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    LYRICS_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    BPM_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    BARS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TAKES_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    REPAINT_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    CASCADE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    GUIDE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    TEMPO_MAP_FIELD_NUMBER: _ClassVar[int]
    SWING_FIELD_NUMBER: _ClassVar[int]
    LOUDNESS_LUFS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MIDI_OUT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    IDEA_FIELD_NUMBER: _ClassVar[int]
    REDO_FIELD_NUMBER: _ClassVar[int]
    PROMPT_B_FIELD_NUMBER: _ClassVar[int]
    MORPH_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    VARIATION_FIELD_NUMBER: _ClassVar[int]
    DETACHED_FIELD_NUMBER: _ClassVar[int]
    STREAM_AUDIO_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    ONLY_TAKE_FIELD_NUMBER: _ClassVar[int]
    MADE_JSON_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    lyrics: str
    task: str
    bpm: float
    signature: str
    bars: float
    key: str
    seed: int
    takes: int
    candidates: int
    reference: AudioRange
    context: AudioRange
    strength: float
    track: str
    repaint: Region
    adapters: _containers.RepeatedCompositeFieldContainer[AdapterUse]
    cascade: str
    stages: _containers.RepeatedScalarFieldContainer[str]
    steps: int
    guidance: float
    fit: bool
    strict: bool
    guide: bool
    format: str
    sample_format: str
    tempo_map: _containers.RepeatedCompositeFieldContainer[TempoPoint]
    swing: float
    loudness_lufs: float
    kind: str
    midi_out: bool
    parts: str
    idea: str
    redo: str
    prompt_b: str
    morph: float
    family: int
    variation: float
    detached: bool
    stream_audio: bool
    client: str
    folder: str
    only_take: int
    made_json: str
    def __init__(self, prompt: _Optional[str] = ..., lyrics: _Optional[str] = ..., task: _Optional[str] = ..., bpm: _Optional[float] = ..., signature: _Optional[str] = ..., bars: _Optional[float] = ..., key: _Optional[str] = ..., seed: _Optional[int] = ..., takes: _Optional[int] = ..., candidates: _Optional[int] = ..., reference: _Optional[_Union[AudioRange, _Mapping]] = ..., context: _Optional[_Union[AudioRange, _Mapping]] = ..., strength: _Optional[float] = ..., track: _Optional[str] = ..., repaint: _Optional[_Union[Region, _Mapping]] = ..., adapters: _Optional[_Iterable[_Union[AdapterUse, _Mapping]]] = ..., cascade: _Optional[str] = ..., stages: _Optional[_Iterable[str]] = ..., steps: _Optional[int] = ..., guidance: _Optional[float] = ..., fit: _Optional[bool] = ..., strict: _Optional[bool] = ..., guide: _Optional[bool] = ..., format: _Optional[str] = ..., sample_format: _Optional[str] = ..., tempo_map: _Optional[_Iterable[_Union[TempoPoint, _Mapping]]] = ..., swing: _Optional[float] = ..., loudness_lufs: _Optional[float] = ..., kind: _Optional[str] = ..., midi_out: _Optional[bool] = ..., parts: _Optional[str] = ..., idea: _Optional[str] = ..., redo: _Optional[str] = ..., prompt_b: _Optional[str] = ..., morph: _Optional[float] = ..., family: _Optional[int] = ..., variation: _Optional[float] = ..., detached: _Optional[bool] = ..., stream_audio: _Optional[bool] = ..., client: _Optional[str] = ..., folder: _Optional[str] = ..., only_take: _Optional[int] = ..., made_json: _Optional[str] = ...) -> None: ...

class JobEvent(_message.Message):
    __slots__ = ("job", "accepted", "progress", "audio", "clip", "done", "failed")
    JOB_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    job: str
    accepted: Accepted
    progress: Progress
    audio: Audio
    clip: Clip
    done: Done
    failed: Failed
    def __init__(self, job: _Optional[str] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., audio: _Optional[_Union[Audio, _Mapping]] = ..., clip: _Optional[_Union[Clip, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., failed: _Optional[_Union[Failed, _Mapping]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("position", "seed")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    position: int
    seed: int
    def __init__(self, position: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("stage", "fraction", "eta_s")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    ETA_S_FIELD_NUMBER: _ClassVar[int]
    stage: str
    fraction: float
    eta_s: float
    def __init__(self, stage: _Optional[str] = ..., fraction: _Optional[float] = ..., eta_s: _Optional[float] = ...) -> None: ...

class Audio(_message.Message):
    __slots__ = ("take", "start_sample", "sample_rate_hz", "channels", "pcm_f32le")
    TAKE_FIELD_NUMBER: _ClassVar[int]
    START_SAMPLE_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    PCM_F32LE_FIELD_NUMBER: _ClassVar[int]
    take: int
    start_sample: int
    sample_rate_hz: int
    channels: int
    pcm_f32le: bytes
    def __init__(self, take: _Optional[int] = ..., start_sample: _Optional[int] = ..., sample_rate_hz: _Optional[int] = ..., channels: _Optional[int] = ..., pcm_f32le: _Optional[bytes] = ...) -> None: ...

class Clip(_message.Message):
    __slots__ = ("name", "path", "job", "take", "seed", "bpm", "signature", "key", "bars", "duration_s", "samples", "sample_rate_hz", "tempo_error_pct", "downbeat_error_ms", "fit", "prompt", "cascade", "adapters", "created", "starred", "trashed", "sidecar_json", "key_match", "lufs", "tags", "idea", "part", "midi")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    TAKE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    BPM_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    BARS_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    TEMPO_ERROR_PCT_FIELD_NUMBER: _ClassVar[int]
    DOWNBEAT_ERROR_MS_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CASCADE_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    STARRED_FIELD_NUMBER: _ClassVar[int]
    TRASHED_FIELD_NUMBER: _ClassVar[int]
    SIDECAR_JSON_FIELD_NUMBER: _ClassVar[int]
    KEY_MATCH_FIELD_NUMBER: _ClassVar[int]
    LUFS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    IDEA_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    MIDI_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    job: str
    take: int
    seed: int
    bpm: float
    signature: str
    key: str
    bars: float
    duration_s: float
    samples: int
    sample_rate_hz: int
    tempo_error_pct: float
    downbeat_error_ms: float
    fit: str
    prompt: str
    cascade: str
    adapters: _containers.RepeatedCompositeFieldContainer[AdapterUse]
    created: str
    starred: bool
    trashed: bool
    sidecar_json: str
    key_match: str
    lufs: float
    tags: _containers.RepeatedScalarFieldContainer[str]
    idea: str
    part: str
    midi: str
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ..., job: _Optional[str] = ..., take: _Optional[int] = ..., seed: _Optional[int] = ..., bpm: _Optional[float] = ..., signature: _Optional[str] = ..., key: _Optional[str] = ..., bars: _Optional[float] = ..., duration_s: _Optional[float] = ..., samples: _Optional[int] = ..., sample_rate_hz: _Optional[int] = ..., tempo_error_pct: _Optional[float] = ..., downbeat_error_ms: _Optional[float] = ..., fit: _Optional[str] = ..., prompt: _Optional[str] = ..., cascade: _Optional[str] = ..., adapters: _Optional[_Iterable[_Union[AdapterUse, _Mapping]]] = ..., created: _Optional[str] = ..., starred: _Optional[bool] = ..., trashed: _Optional[bool] = ..., sidecar_json: _Optional[str] = ..., key_match: _Optional[str] = ..., lufs: _Optional[float] = ..., tags: _Optional[_Iterable[str]] = ..., idea: _Optional[str] = ..., part: _Optional[str] = ..., midi: _Optional[str] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("clips",)
    CLIPS_FIELD_NUMBER: _ClassVar[int]
    clips: int
    def __init__(self, clips: _Optional[int] = ...) -> None: ...

class Failed(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "state", "client", "prompt", "created", "fraction", "clips", "reason", "message", "request_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    CLIPS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: str
    client: str
    prompt: str
    created: str
    fraction: float
    clips: _containers.RepeatedScalarFieldContainer[str]
    reason: str
    message: str
    request_json: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[str] = ..., client: _Optional[str] = ..., prompt: _Optional[str] = ..., created: _Optional[str] = ..., fraction: _Optional[float] = ..., clips: _Optional[_Iterable[str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., request_json: _Optional[str] = ...) -> None: ...

class FollowRequest(_message.Message):
    __slots__ = ("start", "position", "set", "segment_bars", "freeze", "vary", "recall")
    START_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_BARS_FIELD_NUMBER: _ClassVar[int]
    FREEZE_FIELD_NUMBER: _ClassVar[int]
    VARY_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    start: FollowStart
    position: TransportPosition
    set: GenerateRequest
    segment_bars: float
    freeze: bool
    vary: bool
    recall: int
    def __init__(self, start: _Optional[_Union[FollowStart, _Mapping]] = ..., position: _Optional[_Union[TransportPosition, _Mapping]] = ..., set: _Optional[_Union[GenerateRequest, _Mapping]] = ..., segment_bars: _Optional[float] = ..., freeze: _Optional[bool] = ..., vary: _Optional[bool] = ..., recall: _Optional[int] = ...) -> None: ...

class FollowStart(_message.Message):
    __slots__ = ("settings", "segment_bars", "send_audio", "client", "folder")
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_BARS_FIELD_NUMBER: _ClassVar[int]
    SEND_AUDIO_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    settings: GenerateRequest
    segment_bars: float
    send_audio: bool
    client: str
    folder: str
    def __init__(self, settings: _Optional[_Union[GenerateRequest, _Mapping]] = ..., segment_bars: _Optional[float] = ..., send_audio: _Optional[bool] = ..., client: _Optional[str] = ..., folder: _Optional[str] = ...) -> None: ...

class TransportPosition(_message.Message):
    __slots__ = ("quarters", "bpm", "playing", "signature")
    QUARTERS_FIELD_NUMBER: _ClassVar[int]
    BPM_FIELD_NUMBER: _ClassVar[int]
    PLAYING_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    quarters: float
    bpm: float
    playing: bool
    signature: str
    def __init__(self, quarters: _Optional[float] = ..., bpm: _Optional[float] = ..., playing: _Optional[bool] = ..., signature: _Optional[str] = ...) -> None: ...

class FollowEvent(_message.Message):
    __slots__ = ("follow", "started", "segment", "note")
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    follow: str
    started: FollowStarted
    segment: Segment
    note: FollowNote
    def __init__(self, follow: _Optional[str] = ..., started: _Optional[_Union[FollowStarted, _Mapping]] = ..., segment: _Optional[_Union[Segment, _Mapping]] = ..., note: _Optional[_Union[FollowNote, _Mapping]] = ...) -> None: ...

class FollowStarted(_message.Message):
    __slots__ = ("folder",)
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    folder: str
    def __init__(self, folder: _Optional[str] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("number", "path", "start_quarters", "bars", "signature", "bpm", "repeated", "file")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    START_QUARTERS_FIELD_NUMBER: _ClassVar[int]
    BARS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    BPM_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    number: int
    path: str
    start_quarters: float
    bars: float
    signature: str
    bpm: float
    repeated: bool
    file: bytes
    def __init__(self, number: _Optional[int] = ..., path: _Optional[str] = ..., start_quarters: _Optional[float] = ..., bars: _Optional[float] = ..., signature: _Optional[str] = ..., bpm: _Optional[float] = ..., repeated: _Optional[bool] = ..., file: _Optional[bytes] = ...) -> None: ...

class FollowNote(_message.Message):
    __slots__ = ("reason", "message")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Status(_message.Message):
    __slots__ = ("version", "wire_version", "cascade", "device", "queued", "running_job", "samples_folder", "home", "osc_port", "memory_bytes", "uptime_s", "grpc_port", "captures_folder", "folders", "loaded", "running_jobs", "cluster")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    WIRE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CASCADE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_JOB_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FOLDER_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    OSC_PORT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    GRPC_PORT_FIELD_NUMBER: _ClassVar[int]
    CAPTURES_FOLDER_FIELD_NUMBER: _ClassVar[int]
    FOLDERS_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_JOBS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
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
    captures_folder: str
    folders: _containers.RepeatedScalarFieldContainer[str]
    loaded: bool
    running_jobs: _containers.RepeatedScalarFieldContainer[str]
    cluster: Cluster
    def __init__(self, version: _Optional[str] = ..., wire_version: _Optional[str] = ..., cascade: _Optional[str] = ..., device: _Optional[str] = ..., queued: _Optional[int] = ..., running_job: _Optional[str] = ..., samples_folder: _Optional[str] = ..., home: _Optional[str] = ..., osc_port: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., uptime_s: _Optional[float] = ..., grpc_port: _Optional[int] = ..., captures_folder: _Optional[str] = ..., folders: _Optional[_Iterable[str]] = ..., loaded: _Optional[bool] = ..., running_jobs: _Optional[_Iterable[str]] = ..., cluster: _Optional[_Union[Cluster, _Mapping]] = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("address", "wanted", "note", "nodes", "replicas")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    address: str
    wanted: str
    note: str
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    replicas: _containers.RepeatedCompositeFieldContainer[Replica]
    def __init__(self, address: _Optional[str] = ..., wanted: _Optional[str] = ..., note: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., replicas: _Optional[_Iterable[_Union[Replica, _Mapping]]] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("name", "address", "cpus", "gpus", "replicas")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    address: str
    cpus: int
    gpus: int
    replicas: int
    def __init__(self, name: _Optional[str] = ..., address: _Optional[str] = ..., cpus: _Optional[int] = ..., gpus: _Optional[int] = ..., replicas: _Optional[int] = ...) -> None: ...

class Replica(_message.Message):
    __slots__ = ("name", "node", "pid", "device", "version", "state", "job", "cascade")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    JOB_FIELD_NUMBER: _ClassVar[int]
    CASCADE_FIELD_NUMBER: _ClassVar[int]
    name: str
    node: str
    pid: int
    device: str
    version: str
    state: str
    job: str
    cascade: str
    def __init__(self, name: _Optional[str] = ..., node: _Optional[str] = ..., pid: _Optional[int] = ..., device: _Optional[str] = ..., version: _Optional[str] = ..., state: _Optional[str] = ..., job: _Optional[str] = ..., cascade: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class WatchAllRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: str
    def __init__(self, job: _Optional[str] = ...) -> None: ...

class UploadChunk(_message.Message):
    __slots__ = ("name", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    data: bytes
    def __init__(self, name: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class UploadResponse(_message.Message):
    __slots__ = ("path", "duration_s")
    PATH_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    path: str
    duration_s: float
    def __init__(self, path: _Optional[str] = ..., duration_s: _Optional[float] = ...) -> None: ...

class DownloadRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DownloadChunk(_message.Message):
    __slots__ = ("total_bytes", "data")
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    total_bytes: int
    data: bytes
    def __init__(self, total_bytes: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ClipName(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class StarClipRequest(_message.Message):
    __slots__ = ("name", "starred")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STARRED_FIELD_NUMBER: _ClassVar[int]
    name: str
    starred: bool
    def __init__(self, name: _Optional[str] = ..., starred: _Optional[bool] = ...) -> None: ...

class RenameClipRequest(_message.Message):
    __slots__ = ("name", "new_name")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NEW_NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    new_name: str
    def __init__(self, name: _Optional[str] = ..., new_name: _Optional[str] = ...) -> None: ...

class TagClipRequest(_message.Message):
    __slots__ = ("name", "tags")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class ListClipsRequest(_message.Message):
    __slots__ = ("words", "bpm_min", "bpm_max", "key", "adapter", "since", "starred", "trashed", "limit", "idea")
    WORDS_FIELD_NUMBER: _ClassVar[int]
    BPM_MIN_FIELD_NUMBER: _ClassVar[int]
    BPM_MAX_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STARRED_FIELD_NUMBER: _ClassVar[int]
    TRASHED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    IDEA_FIELD_NUMBER: _ClassVar[int]
    words: str
    bpm_min: float
    bpm_max: float
    key: str
    adapter: str
    since: str
    starred: bool
    trashed: bool
    limit: int
    idea: str
    def __init__(self, words: _Optional[str] = ..., bpm_min: _Optional[float] = ..., bpm_max: _Optional[float] = ..., key: _Optional[str] = ..., adapter: _Optional[str] = ..., since: _Optional[str] = ..., starred: _Optional[bool] = ..., trashed: _Optional[bool] = ..., limit: _Optional[int] = ..., idea: _Optional[str] = ...) -> None: ...

class Unreadable(_message.Message):
    __slots__ = ("name", "path", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    message: str
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ListClipsResponse(_message.Message):
    __slots__ = ("clips", "unreadable")
    CLIPS_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    clips: _containers.RepeatedCompositeFieldContainer[Clip]
    unreadable: _containers.RepeatedCompositeFieldContainer[Unreadable]
    def __init__(self, clips: _Optional[_Iterable[_Union[Clip, _Mapping]]] = ..., unreadable: _Optional[_Iterable[_Union[Unreadable, _Mapping]]] = ...) -> None: ...

class ListCascadesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Cascade(_message.Message):
    __slots__ = ("name", "loaded", "stages", "supports", "parameters", "bytes", "folder", "license", "fits", "note", "parts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    FITS_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    loaded: bool
    stages: _containers.RepeatedScalarFieldContainer[str]
    supports: _containers.RepeatedScalarFieldContainer[str]
    parameters: int
    bytes: int
    folder: str
    license: str
    fits: bool
    note: str
    parts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., loaded: _Optional[bool] = ..., stages: _Optional[_Iterable[str]] = ..., supports: _Optional[_Iterable[str]] = ..., parameters: _Optional[int] = ..., bytes: _Optional[int] = ..., folder: _Optional[str] = ..., license: _Optional[str] = ..., fits: _Optional[bool] = ..., note: _Optional[str] = ..., parts: _Optional[_Iterable[str]] = ...) -> None: ...

class ListCascadesResponse(_message.Message):
    __slots__ = ("cascades", "unreadable")
    CASCADES_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    cascades: _containers.RepeatedCompositeFieldContainer[Cascade]
    unreadable: _containers.RepeatedCompositeFieldContainer[Unreadable]
    def __init__(self, cascades: _Optional[_Iterable[_Union[Cascade, _Mapping]]] = ..., unreadable: _Optional[_Iterable[_Union[Unreadable, _Mapping]]] = ...) -> None: ...

class CascadeName(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListAdaptersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Adapter(_message.Message):
    __slots__ = ("name", "loaded", "path", "stages", "rank", "alpha", "trigger_words")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_WORDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    loaded: bool
    path: str
    stages: _containers.RepeatedScalarFieldContainer[str]
    rank: int
    alpha: float
    trigger_words: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., loaded: _Optional[bool] = ..., path: _Optional[str] = ..., stages: _Optional[_Iterable[str]] = ..., rank: _Optional[int] = ..., alpha: _Optional[float] = ..., trigger_words: _Optional[_Iterable[str]] = ...) -> None: ...

class ListAdaptersResponse(_message.Message):
    __slots__ = ("adapters", "unreadable")
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    UNREADABLE_FIELD_NUMBER: _ClassVar[int]
    adapters: _containers.RepeatedCompositeFieldContainer[Adapter]
    unreadable: _containers.RepeatedCompositeFieldContainer[Unreadable]
    def __init__(self, adapters: _Optional[_Iterable[_Union[Adapter, _Mapping]]] = ..., unreadable: _Optional[_Iterable[_Union[Unreadable, _Mapping]]] = ...) -> None: ...

class AdapterName(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

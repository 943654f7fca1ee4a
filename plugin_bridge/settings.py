"""The settings of a request: keyword arguments in, the wire's GenerateRequest out.

Whether a value makes sense is decided by the daemon, in one place.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from plugin_bridge.command import expanded
from plugin_bridge.errors import InvalidRequest
from protos.acestep.v1 import acestep_pb2 as pb

AudioFile = str | os.PathLike[str] | tuple[str | os.PathLike[str], float, float | None]
UPLOADED = "upload:"  # how a path begins that `Bridge.upload` returned


class Settings(TypedDict, total=False):
    """What `generate` understands besides the prompt. Left out means the daemon's default."""

    lyrics: str
    task: str  # text, cover, repaint, lego, complete, extract
    bpm: float  # quarter notes per minute
    signature: str  # "7/8"
    bars: float
    tempo_map: Sequence[Sequence[float]]  # (quarters, bpm) or (quarters, bpm, True) for a ramp to the next
    loudness_lufs: float  # of a clip without context, −14; 0 leaves the checkpoint's own level
    swing: float  # long to short eighth: 1 straight, 2 triplets
    key: str  # "F# minor"
    seed: int
    takes: int
    candidates: int  # made per take, the best fitting is kept
    reference: AudioFile  # path, or (path, start_s, end_s): imitate this sound
    context: AudioFile  # path, or (path, start_s, end_s): fit to this audio
    strength: float
    track: str
    repaint_s: tuple[float, float]  # the region of the context to make anew, in seconds
    adapters: Mapping[str, float] | Sequence[str | tuple[str, float]]
    cascade: str
    stages: Sequence[str]
    steps: int
    guidance: float
    fit: bool
    strict: bool
    guide: bool
    format: str
    sample_format: str
    detached: bool  # the job goes on when this program ends
    stream_audio: bool  # `Audio` events while it is made
    client: str  # a name for the queue and the job list
    folder: str  # where the clips go; must be allowed by the daemon
    only_take: int  # make just this take of the batch again, as its sidecar says


NAMES = tuple(Settings.__annotations__)
_ALIKE = frozenset(NAMES) - {"reference", "context", "repaint_s", "adapters", "stages", "tempo_map"}


def wire_request(prompt: str, settings: Mapping[str, Any]) -> pb.GenerateRequest:
    """The wire's message. Raises InvalidRequest for a name or a type that is none."""
    unknown = sorted(set(settings) - set(NAMES))
    if unknown:
        raise InvalidRequest(f"unknown setting {', '.join(unknown)}: expected some of {', '.join(NAMES)}")
    try:
        request = pb.GenerateRequest(prompt=prompt)
        for name, value in settings.items():
            if value is not None:
                _put(request, name, value)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"a setting has the wrong type or size: {error}") from error
    return request


def _put(request: pb.GenerateRequest, name: str, value: Any) -> None:
    if name in _ALIKE:
        setattr(request, name, os.fspath(value) if name == "folder" else value)
    elif name == "stages":
        request.stages.extend([value] if isinstance(value, str) else value)
    elif name == "adapters":
        request.adapters.extend(_adapters(value))
    elif name == "tempo_map":
        for quarters, bpm, *ramp in value:
            request.tempo_map.add(quarters=quarters, bpm=bpm, ramp=any(ramp))
    elif name == "repaint_s":
        request.repaint.start_s, request.repaint.end_s = value
    else:
        getattr(request, name).CopyFrom(_audio_range(value))


def _adapters(value: Any) -> list[pb.AdapterUse]:
    pairs = value.items() if isinstance(value, Mapping) else value
    if isinstance(pairs, str):
        pairs = [pairs]
    return [
        pb.AdapterUse(name=item) if isinstance(item, str) else pb.AdapterUse(name=item[0], scale=item[1])
        for item in pairs
    ]


def _audio_range(value: AudioFile) -> pb.AudioRange:
    path, start_s, end_s = value if isinstance(value, tuple) else (value, 0.0, None)
    text = os.fspath(path)
    if text and not text.startswith(UPLOADED):
        text = os.fspath(expanded(text).absolute())
    return pb.AudioRange(path=text, start_s=start_s, end_s=end_s)


def local_files(settings: Mapping[str, Any]) -> dict[str, Path]:
    """The settings that name files of this machine, for a daemon on another one."""
    found = {}
    for name in ("reference", "context"):
        value = settings.get(name)
        if value is not None:
            path = os.fspath(value[0] if isinstance(value, tuple) else value)
            if not path.startswith(UPLOADED):
                found[name] = expanded(path)
    return found


def with_path(settings: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    """The same settings, with the file's path replaced and its range kept."""
    old = settings[name]
    return {**settings, name: (path, *old[1:]) if isinstance(old, tuple) else path}

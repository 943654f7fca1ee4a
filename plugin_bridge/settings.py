"""The settings of a request: keyword arguments in, the wire's GenerateRequest out.

Whether a value makes sense is decided by the daemon, in one place.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acestep.console.command import expanded
from acestep.console.spelling import tempo_points
from plugin_bridge.errors import InvalidRequest
from protos import table
from protos.acestep.v1 import acestep_pb2 as pb

UPLOADED = "upload:"  # how a path begins that `Bridge.upload` returned


class Settings(table.Settings, total=False):
    """What `generate` understands besides the prompt. Left out means the daemon's default."""

    detached: bool  # the job goes on when this program ends
    stream_audio: bool  # `Audio` events while it is made
    client: str  # a name for the queue and the job list
    folder: str  # where the clips go; must be allowed by the daemon
    only_take: int  # make just this take of the batch again, as its sidecar says


SERVING = tuple(Settings.__annotations__)[-5:]  # how the job is served, not what is made
BY_NAME = {one.name: one for one in table.SETTINGS if one.name != "prompt"}
NAMES = (*BY_NAME, *SERVING)


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
    if name in SERVING:
        setattr(request, name, os.fspath(value) if name == "folder" else value)
        return
    field = getattr(request, BY_NAME[name].proto)
    match BY_NAME[name].kind:
        case "names":
            field.extend([value] if isinstance(value, str) else value)
        case "adapters":
            field.extend(_adapters(value))
        case "tempi":
            for quarters, bpm, *ramp in tempo_points(value) if isinstance(value, str) else value:
                field.add(quarters=quarters, bpm=bpm, ramp=any(ramp))
        case "region":
            field.start_s, field.end_s = value
        case "audio":
            field.CopyFrom(_audio_range(value))
        case _:
            setattr(request, BY_NAME[name].proto, value)


def _adapters(value: Any) -> list[pb.AdapterUse]:
    pairs = value.items() if isinstance(value, Mapping) else value
    if isinstance(pairs, str):
        pairs = [pairs]
    return [
        pb.AdapterUse(name=item) if isinstance(item, str) else pb.AdapterUse(name=item[0], scale=item[1])
        for item in pairs
    ]


def _audio_range(value: table.AudioFile) -> pb.AudioRange:
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

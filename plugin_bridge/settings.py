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

AUDIO = ("reference", "context")  # the settings that name files
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
EXPECTED = {
    "text": "text",
    "parts": "text such as drums, bass",
    "choice": "text",
    "signature": "text such as 7/8",
    "key": "text such as F# minor",
    "number": "a number",
    "whole": "a whole number",
    "switch": "True or False",
    "names": "a list of names",
    "adapters": "names with numbers",
    "tempi": "points such as [(0, 100), (16, 120)], or text such as 0 100, 16 120",
    "region": "two numbers, the seconds where it starts and ends",
    "audio": "a path, or a path with the seconds where it starts and ends",
}
OF_SERVING = {
    "detached": "True or False",
    "stream_audio": "True or False",
    "client": "text",
    "folder": "a path",
    "only_take": "a whole number",
}


def wire_request(prompt: str, settings: Mapping[str, Any]) -> pb.GenerateRequest:
    """The wire's message. Raises InvalidRequest for a name or a type that is none."""
    unknown = sorted(set(settings) - set(NAMES))
    if unknown:
        raise InvalidRequest(f"unknown setting {', '.join(unknown)}: expected some of {', '.join(NAMES)}")
    request = pb.GenerateRequest()
    for name, value in (("prompt", prompt), *settings.items()):
        if value is None and name != "prompt":
            continue
        try:
            _put(request, name, value)
        except InvalidRequest:
            raise
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise InvalidRequest(f"{name} is {value!r:.80}: expected {_expected(name)}") from error
    return request


def _expected(name: str) -> str:
    """What a setting takes, in words."""
    setting = next((one for one in table.SETTINGS if one.name == name), None)
    if setting is None:
        return OF_SERVING[name]
    if setting.low is None:
        return EXPECTED[setting.kind]
    return f"{EXPECTED[setting.kind]}, {setting.low:.12g}–{setting.high:.12g}"


def _put(request: pb.GenerateRequest, name: str, value: Any) -> None:
    if name == "prompt":
        request.prompt = value
        return
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
            for quarters, bpm, *ramp in _points(value) if isinstance(value, str) else value:
                field.add(quarters=quarters, bpm=bpm, ramp=any(ramp))
        case "region":
            field.start_s, field.end_s = value
        case "audio":
            field.CopyFrom(_audio_range(value))
        case _:
            setattr(request, BY_NAME[name].proto, value)


def _points(text: str) -> list[Any]:
    try:
        return list(tempo_points(text))
    except ValueError as error:  # its sentence says where the text cannot be read
        raise InvalidRequest(str(error)) from error


def _adapters(value: Any) -> list[pb.AdapterUse]:
    pairs = value.items() if isinstance(value, Mapping) else value
    if isinstance(pairs, str):
        pairs = [pairs]
    return [
        pb.AdapterUse(name=item) if isinstance(item, str) else pb.AdapterUse(name=item[0], scale=item[1])
        for item in pairs
    ]


def _audio_range(value: table.AudioFile | list[table.AudioFile]) -> pb.AudioRange:
    first, *others = _several(value)
    path, start_s, end_s = first if isinstance(first, tuple) else (first, 0.0, None)
    text = os.fspath(path)
    if text and not text.startswith(UPLOADED):
        text = os.fspath(expanded(text).absolute())
    return pb.AudioRange(path=text, start_s=start_s, end_s=end_s, plus=map(_audio_range, others))


def local_files(settings: Mapping[str, Any]) -> list[Path]:
    """The files of this machine that settings name, for a daemon on another one; each once."""
    named = (_path(one) for name in AUDIO for one in _several(settings.get(name)))
    return [expanded(path) for path in dict.fromkeys(named) if not path.startswith(UPLOADED)]


def with_uploads(settings: Mapping[str, Any], sent: Mapping[Path, str]) -> dict[str, Any]:
    """The same settings with what was `sent` in place of those files; ranges are kept."""

    def there(value: table.AudioFile) -> table.AudioFile:
        path = _path(value)
        name = path if path.startswith(UPLOADED) else sent[expanded(path)]
        return (name, *value[1:]) if isinstance(value, tuple) else name

    found = {name: [there(one) for one in _several(settings.get(name))] for name in AUDIO}
    return {**settings, **{name: files for name, files in found.items() if files}}


def _several(value: table.AudioFile | list[table.AudioFile] | None) -> list[table.AudioFile]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _path(value: table.AudioFile) -> str:
    return os.fspath(value[0] if isinstance(value, tuple) else value)

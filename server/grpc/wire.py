"""Proto messages to dataclasses and back: the only place where the two meet.

The settings of a request go over by their kind, as the table in `acestep.request` has them.
"""

import json
from collections.abc import Mapping
from typing import Any

from acestep.clips.clip import Clip
from acestep.errors import InvalidRequest
from acestep.request import SETTINGS, AudioRange, GenerateRequest
from acestep.settings import (
    AdapterScales,
    AudioFile,
    Names,
    Number,
    Region,
    Setting,
    Switch,
    Tempi,
    TimeSignature,
    Tonality,
    Whole,
)
from protos.acestep.v1 import acestep_pb2 as pb
from server.jobs.events import Accepted, Audio, ClipWritten, Done, Event, Failed, Progress
from server.jobs.journal import JobRecord

_UNSET: Any = object()


def request_from_proto(message: pb.GenerateRequest) -> GenerateRequest:
    """The dataclass, which validates. Unset and empty values get its defaults."""
    return GenerateRequest(**({"prompt": message.prompt} | fields_from_proto(message)))


def fields_from_proto(message: pb.GenerateRequest) -> dict[str, Any]:
    """The settings that a message sets, by name; empty texts and lists set nothing."""
    values = {name: _from_wire(setting, message) for name, setting in SETTINGS.items()}
    return {name: value for name, value in values.items() if value is not _UNSET}


def _from_wire(setting: Setting, message: pb.GenerateRequest) -> Any:
    value = getattr(message, setting.proto)
    match setting.kind:
        case Number() | Whole() | Switch():
            if not message.HasField(setting.proto):
                return _UNSET
            return None if value == setting.none else value
        case AudioFile():
            if not message.HasField(setting.proto):
                return _UNSET
            return _audio_range(value)
        case Region():
            return (value.start_s, value.end_s) if message.HasField(setting.proto) else _UNSET
        case AdapterScales():
            return tuple((use.name, use.scale if use.HasField("scale") else 1.0) for use in value) or _UNSET
        case Names():
            return tuple(value) or _UNSET
        case Tempi():
            return [(point.quarters, point.bpm, point.ramp) for point in value] or _UNSET
    return value or _UNSET  # texts, of which proto does not tell whether they are set


def _audio_range(message: pb.AudioRange) -> AudioRange:
    end_s = message.end_s if message.HasField("end_s") else None
    return AudioRange(message.path, message.start_s, end_s, tuple(map(_audio_range, message.plus)))


def _audio_message(audio: AudioRange) -> pb.AudioRange:
    plus = [_audio_message(one) for one in audio.plus]
    return pb.AudioRange(path=audio.path, start_s=audio.start_s, end_s=audio.end_s, plus=plus)


def request_to_proto(request: GenerateRequest) -> pb.GenerateRequest:
    """The message for a daemon; `request_from_proto` gives an equal request back."""
    message = pb.GenerateRequest()
    for setting in SETTINGS.values():
        value = getattr(request, setting.name)
        if value is None and setting.default is not None:
            value = setting.none
        if value is not None:
            _to_wire(setting, value, message)
    return message


def _to_wire(setting: Setting, value: Any, message: pb.GenerateRequest) -> None:
    field = getattr(message, setting.proto)
    match setting.kind:
        case AudioFile():
            field.CopyFrom(_audio_message(value))
        case Region():
            field.CopyFrom(pb.Region(start_s=value[0], end_s=value[1]))
        case AdapterScales():
            field.extend(pb.AdapterUse(name=name, scale=scale) for name, scale in value)
        case Names():
            field.extend(value)
        case Tempi():
            field.extend(
                pb.TempoPoint(quarters=point.quarters, bpm=point.bpm, ramp=point.ramp)
                for point in value.points
            )
        case TimeSignature() | Tonality():
            setattr(message, setting.proto, str(value))
        case _:
            setattr(message, setting.proto, value)


MADE = ("plan", "checkpoint", "heard", "idea")  # of a sidecar: what `only_take` is to be made by again


def made_to_json(sidecar: Mapping[str, Any]) -> str:
    """What a sidecar says of how its clip was made, beside the request, for a daemon to keep to."""
    return json.dumps({name: sidecar[name] for name in MADE if name in sidecar})


def made_from_proto(message: pb.GenerateRequest) -> dict[str, object]:
    """The same in the daemon. Raises InvalidRequest for what is none."""
    if not message.made_json:
        return {}
    try:
        values = json.loads(message.made_json)
    except ValueError as error:
        raise InvalidRequest(f"made_json is not JSON: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(values.get(name, {}), dict) for name in MADE):
        raise InvalidRequest(f"made_json is not as expected: objects named {', '.join(MADE)}, from a sidecar")
    return {name: values[name] for name in MADE if name in values}


def clip_to_proto(clip: Clip) -> pb.Clip:
    """The clip as it goes over the wire."""
    names = {field.name for field in pb.Clip.DESCRIPTOR.fields} - {"adapters"}
    values = {name: getattr(clip, name) for name in names if getattr(clip, name) is not None}
    uses = [pb.AdapterUse(name=name, scale=scale) for name, scale in clip.adapters]
    return pb.Clip(**values, adapters=uses)


def clip_from_proto(message: pb.Clip) -> Clip:
    """The clip a daemon told of."""
    values: dict[str, Any] = {}
    for item in pb.Clip.DESCRIPTOR.fields:
        unset = item.has_presence and not message.HasField(item.name)
        values[item.name] = None if unset else getattr(message, item.name)
    values["adapters"] = tuple((use.name, use.scale) for use in message.adapters)
    values["tags"] = tuple(message.tags)
    return Clip(**values)


def event_to_proto(event: Event) -> pb.JobEvent:
    """The event as it goes over the wire."""
    match event:
        case Accepted():
            return pb.JobEvent(job=event.job, accepted=pb.Accepted(position=event.position, seed=event.seed))
        case Progress():
            progress = pb.Progress(stage=event.stage, fraction=event.fraction, eta_s=event.eta_s)
            return pb.JobEvent(job=event.job, progress=progress)
        case Audio():
            audio = pb.Audio(
                take=event.take,
                start_sample=event.start_sample,
                sample_rate_hz=event.sample_rate_hz,
                channels=event.samples.shape[0],
                pcm_f32le=event.samples.T.astype("<f4").tobytes(),
            )
            return pb.JobEvent(job=event.job, audio=audio)
        case ClipWritten():
            return pb.JobEvent(job=event.job, clip=clip_to_proto(event.clip))
        case Done():
            return pb.JobEvent(job=event.job, done=pb.Done(clips=event.clips))
        case Failed():
            return pb.JobEvent(job=event.job, failed=pb.Failed(reason=event.reason, message=event.message))
    raise AssertionError(event)


def job_to_proto(record: JobRecord) -> pb.Job:
    """A job as lists show it."""
    return pb.Job(
        id=record.id,
        state=record.state,
        client=record.client,
        prompt=record.prompt,
        created=record.created,
        fraction=record.fraction,
        clips=record.clips,
        reason=record.reason,
        message=record.message,
        request_json=record.request_json,
    )

"""Proto messages to dataclasses and back: the only place where the two spellings meet."""

import json
from collections.abc import Mapping
from typing import Any

from acestep.clips.clip import Clip
from acestep.errors import InvalidRequest
from acestep.request import AudioRange, GenerateRequest
from protos.acestep.v1 import acestep_pb2 as pb
from server.jobs.events import Accepted, Audio, ClipWritten, Done, Event, Failed, Progress
from server.jobs.journal import JobRecord

_PLAIN = ("lyrics", "task", "signature", "key", "track", "cascade", "format", "sample_format")
_OPTIONAL = ("bpm", "bars", "seed", "takes", "candidates", "strength", "steps", "guidance", "swing")
_SWITCHES = ("fit", "strict", "guide")


def request_from_proto(message: pb.GenerateRequest) -> GenerateRequest:
    """The dataclass, which validates. Unset and empty values get its defaults."""
    values: dict[str, Any] = {"prompt": message.prompt}
    values |= {name: getattr(message, name) for name in _PLAIN if getattr(message, name)}
    values |= {name: getattr(message, name) for name in (*_OPTIONAL, *_SWITCHES) if message.HasField(name)}
    for name in ("reference", "context"):
        if message.HasField(name):
            audio = getattr(message, name)
            end_s = audio.end_s if audio.HasField("end_s") else None
            values[name] = AudioRange(audio.path, audio.start_s, end_s)
    if message.HasField("repaint"):
        values["repaint_s"] = (message.repaint.start_s, message.repaint.end_s)
    values["adapters"] = tuple(
        (use.name, use.scale if use.HasField("scale") else 1.0) for use in message.adapters
    )
    values["stages"] = tuple(message.stages)
    if message.HasField("loudness_lufs"):
        values["loudness_lufs"] = message.loudness_lufs or None
    if message.tempo_map:
        values["tempo_map"] = [(point.quarters, point.bpm, point.ramp) for point in message.tempo_map]
    return GenerateRequest(**values)


def request_to_proto(request: GenerateRequest) -> pb.GenerateRequest:
    """The message for a daemon; `request_from_proto` gives an equal request back."""
    message = pb.GenerateRequest(
        prompt=request.prompt,
        signature=str(request.signature) if request.signature else "",
        key=str(request.key) if request.key else "",
        stages=request.stages,
        adapters=[pb.AdapterUse(name=name, scale=scale) for name, scale in request.adapters],
    )
    for name in ("lyrics", "task", "track", "cascade", "format", "sample_format"):
        setattr(message, name, getattr(request, name))
    for name in (*_OPTIONAL, *_SWITCHES):
        if getattr(request, name) is not None:
            setattr(message, name, getattr(request, name))
    message.loudness_lufs = request.loudness_lufs or 0.0
    for name in ("reference", "context"):
        audio = getattr(request, name)
        if audio is not None:
            getattr(message, name).CopyFrom(
                pb.AudioRange(path=audio.path, start_s=audio.start_s, end_s=audio.end_s)
            )
    for point in request.tempo_map.points if request.tempo_map else ():
        message.tempo_map.add(quarters=point.quarters, bpm=point.bpm, ramp=point.ramp)
    if request.repaint_s:
        message.repaint.CopyFrom(pb.Region(start_s=request.repaint_s[0], end_s=request.repaint_s[1]))
    return message


MADE = ("plan", "checkpoint", "heard")  # of a sidecar: what `only_take` is to be made by again


def made_to_json(sidecar: Mapping[str, Any]) -> str:
    """What a sidecar says of how its clip was made, beside the request, for a daemon to keep to."""
    return json.dumps({name: sidecar[name] for name in MADE if name in sidecar})


def made_from_proto(message: pb.GenerateRequest) -> dict[str, Any]:
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

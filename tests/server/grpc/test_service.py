"""gRPC against a daemon over a real channel: every call, errors with reasons, health and reflection."""

import functools
import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import given
from hypothesis import strategies as st

from acestep import errors
from acestep.request import GenerateRequest
from protos import WIRE_VERSION
from protos.acestep.v1 import acestep_pb2 as pb
from server.daemon import Daemon
from server.grpc import wire
from tests.support.daemons import StandIn, generate, reason, running, settings, stub


@pytest.fixture
def engine() -> StandIn:
    return StandIn()


@pytest.fixture
def daemon(tmp_path: Path, engine: StandIn) -> Iterator[Daemon]:
    with running(settings(tmp_path), engine) as found:
        yield found


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Any]:
    with stub(daemon.grpc.port) as found:
        yield found


def refused(call: Any) -> grpc.RpcError:
    """The error of a call, whether it streams or not."""
    try:
        result = call()
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        return error
    pytest.fail("the call was not refused")


def kinds(events: list[pb.JobEvent]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


def test_generate_streams_accepted_progress_clips_done(client: Any, tmp_path: Path) -> None:
    events = generate(client, prompt="dusty", bpm=92.5, key="Am", takes=2, seed=7)
    assert kinds(events) == ["accepted", "progress", "clip", "clip", "done"]
    assert events[0].accepted.seed == 7
    clip = events[2].clip
    assert Path(clip.path).parent == tmp_path / "samples"
    assert (clip.bpm, clip.key, clip.seed, clip.take) == (92.5, "A minor", 7, 0)
    assert clip.sidecar_json
    assert not clip.HasField("downbeat_error_ms")  # not measured is not zero
    assert events[-1].done.clips == 2


def test_what_a_clip_was_made_by_reaches_the_job(client: Any, daemon: Daemon) -> None:
    sidecar = {"plan": {"stages": ["l"]}, "checkpoint": {"name": "nano"}, "clip": {"take": 0}}
    generate(client, prompt="p", only_take=0, made_json=wire.made_to_json(sidecar))
    assert daemon.queue.jobs()[0].made == {"plan": {"stages": ["l"]}, "checkpoint": {"name": "nano"}}


def test_audio_comes_only_when_asked_for(client: Any) -> None:
    events = generate(client, prompt="p", stream_audio=True)
    audio = next(event.audio for event in events if event.WhichOneof("event") == "audio")
    assert (audio.channels, audio.sample_rate_hz, len(audio.pcm_f32le)) == (2, 48_000, 800)
    assert "audio" not in kinds(generate(client, prompt="p"))


@pytest.mark.parametrize(
    ("values", "code", "expected_reason", "text"),
    [
        ({"prompt": ""}, "INVALID_ARGUMENT", "invalid_request", "prompt is empty"),
        ({"prompt": "x" * 100_000}, "INVALID_ARGUMENT", "invalid_request", "at most 2000"),
        ({"prompt": "p", "bpm": 0}, "INVALID_ARGUMENT", "invalid_request", "30–300"),
        ({"prompt": "p", "bpm": float("nan")}, "INVALID_ARGUMENT", "invalid_request", "not a number"),
        ({"prompt": "p", "bpm": 5000}, "INVALID_ARGUMENT", "invalid_request", "30–300"),
        ({"prompt": "p", "key": "H minor"}, "INVALID_ARGUMENT", "invalid_request", "A–G"),
        ({"prompt": "p", "signature": "0/4"}, "INVALID_ARGUMENT", "invalid_request", "1–32"),
        ({"prompt": "p", "bars": 0}, "INVALID_ARGUMENT", "invalid_request", "0.0625–512"),
        ({"prompt": "p", "bars": 10_000}, "INVALID_ARGUMENT", "invalid_request", "0.0625–512"),
        ({"prompt": "p", "task": "cover"}, "INVALID_ARGUMENT", "invalid_request", "needs a context"),
        ({"prompt": "p", "only_take": 1}, "INVALID_ARGUMENT", "invalid_request", "only_take"),
        ({"prompt": "p", "made_json": "{"}, "INVALID_ARGUMENT", "invalid_request", "not JSON"),
        ({"prompt": "p", "made_json": '{"plan": 3}'}, "INVALID_ARGUMENT", "invalid_request", "made_json"),
        ({"prompt": "p", "cascade": "none"}, "NOT_FOUND", "not_found", "no cascade"),
        ({"prompt": "p", "folder": "/etc"}, "PERMISSION_DENIED", "forbidden_path", "outside the allowed"),
        (
            {"prompt": "p", "reference": pb.AudioRange(path="/etc/passwd")},
            "PERMISSION_DENIED",
            "forbidden_path",
            "outside the allowed",
        ),
        (
            {"prompt": "p", "reference": pb.AudioRange(path="upload:../../etc/passwd")},
            "NOT_FOUND",
            "not_found",
            "no upload",
        ),
        (
            {"prompt": "p", "adapters": [pb.AdapterUse(name="../x")]},
            "INVALID_ARGUMENT",
            "invalid_request",
            "is a path",
        ),
    ],
)
def test_bad_requests_get_a_status_a_reason_and_a_sentence(
    client: Any, daemon: Daemon, values: dict[str, Any], code: str, expected_reason: str, text: str
) -> None:
    error = refused(lambda: client.Generate(pb.GenerateRequest(**values), timeout=10))
    assert (error.code().name, reason(error)) == (code, expected_reason)
    assert text in error.details()
    assert daemon.queue.jobs() == []


def test_ending_the_call_cancels_the_job(client: Any, engine: StandIn, daemon: Daemon) -> None:
    engine.hold.clear()
    call = client.Generate(pb.GenerateRequest(prompt="p"))
    job = daemon.queue.get(next(call).job)
    engine.started.acquire(timeout=5)
    call.cancel()
    assert job.cancelling.wait(5)
    assert daemon.queue.wait_idle(5)
    assert job.state == "cancelled"
    assert list(daemon.config.samples.iterdir()) == []


def test_a_detached_job_goes_on_when_the_call_ends(client: Any, engine: StandIn, daemon: Daemon) -> None:
    engine.hold.clear()
    call = client.Generate(pb.GenerateRequest(prompt="p", detached=True))
    job = next(call).job
    engine.started.acquire(timeout=5)
    call.cancel()
    engine.hold.set()
    assert kinds(list(client.WatchJob(pb.WatchJobRequest(job=job), timeout=10)))[-1] == "done"


def test_a_job_cancelled_by_somebody_else_ends_the_call(client: Any, engine: StandIn) -> None:
    engine.hold.clear()
    call = client.Generate(pb.GenerateRequest(prompt="p"))
    job = next(call).job
    assert client.CancelJob(pb.CancelJobRequest(job=job)).id == job
    error = refused(lambda: call)
    assert (error.code(), reason(error)) == (grpc.StatusCode.CANCELLED, "cancelled")
    assert dict(error.trailing_metadata())["acestep-job"] == job
    again = refused(lambda: client.CancelJob(pb.CancelJobRequest(job=job)))
    assert reason(again) == "not_found"


def test_a_failing_job_ends_with_its_reason(client: Any, engine: StandIn) -> None:
    engine.fail = errors.OutOfMemory("too small")
    error = refused(lambda: client.Generate(pb.GenerateRequest(prompt="p")))
    assert (error.code().name, reason(error)) == ("RESOURCE_EXHAUSTED", "out_of_memory")


def test_watching_a_job_replays_and_goes_on(client: Any, engine: StandIn) -> None:
    engine.hold.clear()
    call = client.Generate(pb.GenerateRequest(prompt="p", detached=True))
    job = next(call).job
    engine.started.acquire(timeout=5)
    watch = client.WatchJob(pb.WatchJobRequest(job=job), timeout=10)
    assert next(watch).WhichOneof("event") == "accepted"
    engine.hold.set()
    rest = kinds(list(watch))
    assert rest[-2:] == ["clip", "done"]
    assert kinds(list(client.WatchJob(pb.WatchJobRequest(job=job), timeout=10))) == [
        "accepted",
        "clip",
        "done",
    ]
    list(call)
    assert reason(refused(lambda: client.WatchJob(pb.WatchJobRequest(job="x")))) == "not_found"


def test_watching_all_tells_of_everybodys_jobs(client: Any, daemon: Daemon) -> None:
    watch = client.WatchAll(pb.WatchAllRequest())
    watch.initial_metadata()  # from here on nothing is missed
    generate(client, prompt="p")
    seen = []
    for event in watch:
        seen.append(event.WhichOneof("event"))
        if seen[-1] == "done":
            break
    watch.cancel()
    assert seen == ["accepted", "progress", "clip", "done"]


def test_jobs_are_listed_newest_first(client: Any) -> None:
    for number in range(3):
        generate(client, prompt=f"number {number}", client="me")
    jobs = client.ListJobs(pb.ListJobsRequest(limit=2)).jobs
    assert [job.prompt for job in jobs] == ["number 2", "number 1"]
    assert (jobs[0].state, jobs[0].client, jobs[0].fraction, len(jobs[0].clips)) == ("done", "me", 1.0, 1)
    assert GenerateRequest.from_dict(json.loads(jobs[0].request_json)).prompt == "number 2"


def test_status_is_the_handshake(client: Any, daemon: Daemon, tmp_path: Path) -> None:
    status = client.GetStatus(pb.GetStatusRequest())
    assert status.wire_version == WIRE_VERSION
    assert status.samples_folder == str(tmp_path / "samples")
    assert status.captures_folder == str(tmp_path / "home" / "captures")
    assert status.osc_port == daemon.osc.port
    assert status.memory_bytes > 10_000_000


def upload(client: Any, file: Path, name: str = "take.wav") -> pb.UploadResponse:
    def chunks() -> Iterator[pb.UploadChunk]:
        yield pb.UploadChunk(name=name)
        data = file.read_bytes()
        for at in range(0, len(data), 65_536):
            yield pb.UploadChunk(data=data[at : at + 65_536])

    return client.Upload(chunks(), timeout=10)


def test_a_reference_is_streamed_up_and_used(client: Any, daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "far-away.wav"
    soundfile.write(file, np.zeros((96_000, 2)), 48_000)
    answer = upload(client, file)
    assert answer.duration_s == pytest.approx(2.0)
    events = generate(client, prompt="p", reference=pb.AudioRange(path=answer.path, start_s=0.5))
    used = daemon.queue.get(events[0].job).request.reference
    assert used is not None
    assert Path(used.path).read_bytes() == file.read_bytes()


def test_uploads_that_are_no_audio_or_too_large_leave_nothing(
    client: Any, daemon: Daemon, tmp_path: Path
) -> None:
    file = tmp_path / "noise.wav"
    file.write_bytes(b"no audio at all")
    error = refused(lambda: upload(client, file, "my take.wav"))
    assert (reason(error), error.details().startswith("my take.wav")) == ("unreadable_audio", True)
    assert reason(refused(lambda: upload(client, file, "script.sh"))) == "invalid_request"
    assert reason(refused(lambda: client.Upload(iter([]), timeout=5))) == "invalid_request"
    daemon.intake.uploads.max_file_bytes = 100_000
    soundfile.write(file, np.zeros((96_000, 2)), 48_000)
    error = refused(lambda: upload(client, file))
    assert "larger than" in error.details()
    assert list(daemon.config.uploads.iterdir()) == []


def test_old_uploads_make_room_for_new_ones(client: Any, daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.zeros((48_000, 2)), 48_000)
    daemon.intake.uploads.max_total_bytes = file.stat().st_size * 2
    paths = [upload(client, file).path for _ in range(4)]
    assert len(list(daemon.config.uploads.iterdir())) == 2
    lost = refused(
        lambda: client.Generate(pb.GenerateRequest(prompt="p", reference=pb.AudioRange(path=paths[0])))
    )
    assert reason(lost) == "not_found"


def test_clips_are_listed_starred_trashed_restored_and_downloaded(client: Any) -> None:
    one = generate(client, prompt="dusty break", bpm=92.5, key="Am")[2].clip
    generate(client, prompt="wide pad", bpm=140)
    found = client.ListClips(pb.ListClipsRequest(words="DUSTY")).clips
    assert [clip.name for clip in found] == [one.name]
    assert len(client.ListClips(pb.ListClipsRequest(bpm_min=100)).clips) == 1
    assert len(client.ListClips(pb.ListClipsRequest(key="A minor")).clips) == 1
    assert client.StarClip(pb.StarClipRequest(name=one.name, starred=True)).starred
    assert [clip.name for clip in client.ListClips(pb.ListClipsRequest(starred=True)).clips] == [one.name]
    data = Path(one.path).read_bytes()
    chunks = list(client.Download(pb.DownloadRequest(name=one.name)))
    assert hashlib.sha256(b"".join(chunk.data for chunk in chunks)).digest() == hashlib.sha256(data).digest()
    assert chunks[0].total_bytes == len(data)
    trashed = client.TrashClip(pb.ClipName(name=one.name))
    assert trashed.trashed
    assert not Path(one.path).exists()
    assert len(client.ListClips(pb.ListClipsRequest()).clips) == 1
    assert [clip.name for clip in client.ListClips(pb.ListClipsRequest(trashed=True)).clips] == [one.name]
    restored = client.RestoreClip(pb.ClipName(name=one.name))
    assert (restored.path, restored.starred, restored.trashed) == (one.path, True, False)
    assert Path(one.path).read_bytes() == data
    for call in (
        lambda: client.TrashClip(pb.ClipName(name="none.wav")),
        lambda: client.RestoreClip(pb.ClipName(name=one.name)),
        lambda: client.Download(pb.DownloadRequest(name="../../etc/passwd")),
    ):
        assert reason(refused(call)) == "not_found"


def test_clips_are_renamed_tagged_and_found_by_their_tags(client: Any) -> None:
    one, two = (generate(client, prompt=prompt)[2].clip for prompt in ("dusty break", "wide pad"))
    tagged = client.TagClip(pb.TagClipRequest(name=one.name, tags=["groove", "live"]))
    assert list(tagged.tags) == ["groove", "live"]
    renamed = client.RenameClip(pb.RenameClipRequest(name=one.path, new_name="slap"))
    assert (renamed.name, list(renamed.tags)) == ("slap.wav", ["groove", "live"])
    assert Path(renamed.path) == Path(one.path).with_name("slap.wav")
    assert not Path(one.path).exists()
    for words in ("groove", "slap"):
        assert list(client.ListClips(pb.ListClipsRequest(words=words)).clips) == [renamed]
    for new_name, why in {"../x": "invalid_request", "": "invalid_request", "slap": "already_exists"}.items():
        request = pb.RenameClipRequest(name=two.name, new_name=new_name)
        assert reason(refused(functools.partial(client.RenameClip, request))) == why
    assert reason(refused(lambda: client.TagClip(pb.TagClipRequest(name=two.name, tags=["a,b"])))) == (
        "invalid_request"
    )
    for call in (
        lambda: client.RenameClip(pb.RenameClipRequest(name=one.name, new_name="other")),
        lambda: client.TagClip(pb.TagClipRequest(name=one.name, tags=["a"])),
    ):
        assert reason(refused(call)) == "not_found"


def test_a_renamed_clip_is_found_by_its_job_also_after_a_restart(tmp_path: Path) -> None:
    def of_job(client: Any, job: str) -> tuple[list[str], list[str]]:
        """Its clips' paths as a watcher and as a list of jobs are told them."""
        watched = [
            event.clip.path for event in client.WatchJob(pb.WatchJobRequest(job=job)) if event.clip.path
        ]
        (listed,) = [one for one in client.ListJobs(pb.ListJobsRequest()).jobs if one.id == job]
        return watched, list(listed.clips)

    made = settings(tmp_path)
    with running(made, StandIn()) as daemon, stub(daemon.grpc.port) as client:
        events = generate(client, prompt="dusty break", takes=2)
        job = events[0].job
        first, second = (event.clip for event in events if event.WhichOneof("event") == "clip")
        renamed = client.RenameClip(pb.RenameClipRequest(name=first.name, new_name="slap"))
        now = [renamed.path, second.path]
        assert of_job(client, job) == (now, now)
        other = generate(client, prompt="other")[2].clip
        client.RenameClip(pb.RenameClipRequest(name=other.name, new_name=first.name))
        assert of_job(client, job) == (now, now)
    with running(made, StandIn()) as daemon, stub(daemon.grpc.port) as client:
        assert of_job(client, job) == (now, now)
        client.TrashClip(pb.ClipName(name="slap.wav"))
        assert of_job(client, job)[0] == [second.path]  # not the clip that has the first one's name now


def test_streams_are_bounded_and_short_calls_still_answered(client: Any, daemon: Daemon) -> None:
    watches = [client.WatchAll(pb.WatchAllRequest()) for _ in range(48)]
    for watch in watches:
        watch.initial_metadata()
    assert reason(refused(lambda: client.WatchAll(pb.WatchAllRequest()))) == "busy"
    assert client.GetStatus(pb.GetStatusRequest(), timeout=5).version
    for watch in watches:
        watch.cancel()


def test_health_is_served(daemon: Daemon) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{daemon.grpc.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "acestep.v1.Daemon"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


class ReflectionClient:
    """A client that knows the schema only by asking the server for it."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.pool = descriptor_pool.DescriptorPool()
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest
        listed = next(iter(stub.ServerReflectionInfo(iter([request(list_services="")]))))
        self.services = sorted(service.name for service in listed.list_services_response.service)
        asked = request(file_containing_symbol="acestep.v1.Daemon")
        answer = next(iter(stub.ServerReflectionInfo(iter([asked]))))
        for data in answer.file_descriptor_response.file_descriptor_proto:
            self.pool.Add(FileDescriptorProto.FromString(data))

    def call(self, name: str, **values: Any) -> Any:
        method = self.pool.FindMethodByName(f"acestep.v1.Daemon.{name}")
        make = message_factory.GetMessageClass(method.input_type)
        read = message_factory.GetMessageClass(method.output_type).FromString
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = kind(
            f"/acestep.v1.Daemon/{name}",
            request_serializer=make.SerializeToString,
            response_deserializer=read,
        )
        return call(make(**values), timeout=20)


def test_a_client_that_knows_only_reflection_can_generate(daemon: Daemon) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{daemon.grpc.port}") as channel:
        client = ReflectionClient(channel)
        assert "acestep.v1.Daemon" in client.services
        assert "grpc.health.v1.Health" in client.services
        assert client.call("GetStatus").wire_version == WIRE_VERSION
        events = [event.WhichOneof("event") for event in client.call("Generate", prompt="p", bpm=99.5)]
        assert events[0] == "accepted"
        assert events[-1] == "done"


def test_requests_survive_the_way_over_the_wire() -> None:
    request = GenerateRequest(
        prompt="p", lyrics="l", task="repaint", bpm=127.37, signature="7/8", bars=3.5, key="Gb minor", seed=0,
        takes=2, candidates=3, reference={"path": "/a.wav", "start_s": 1.0, "end_s": 2.0}, context="/b.wav",
        strength=0.0, repaint_s=(1.0, 2.0), adapters=(("x", 0.0), ("y", -1.5)), cascade="c",
        stages=("l", "m"), steps=4, guidance=0.0, fit=False, strict=True, guide=False, format="aiff",
        sample_format="float32",
    )  # fmt: skip
    assert wire.request_from_proto(wire.request_to_proto(request)) == request
    part = GenerateRequest(prompt="p", task="lego", context="/b.wav", track="bass", swing=1.5, format="flac")
    assert wire.request_from_proto(wire.request_to_proto(part)) == part
    moving = GenerateRequest(prompt="p", tempo_map=[(0, 100, True), (8, 120)])
    assert wire.request_from_proto(wire.request_to_proto(moving)) == moving
    plain = GenerateRequest(prompt="p")
    assert wire.request_from_proto(wire.request_to_proto(plain)) == plain
    assert wire.request_from_proto(pb.GenerateRequest(prompt="p")) == plain


NUMBERS = st.one_of(st.floats(), st.integers(-10, 10_000).map(float))
COUNTS = st.integers(0, 2**32 - 1)
TEXTS = st.one_of(
    st.text(max_size=20), st.sampled_from(["4/4", "F# minor", "cover", "repaint", "wav", "x" * 7000])
)
RANGES = st.builds(pb.AudioRange, path=TEXTS, start_s=NUMBERS, end_s=st.one_of(st.none(), NUMBERS))


@given(
    st.fixed_dictionaries(
        {"prompt": TEXTS},
        optional={
            **dict.fromkeys(("lyrics", "task", "signature", "key", "track", "cascade", "format"), TEXTS),
            **dict.fromkeys(("bpm", "bars", "strength", "guidance"), NUMBERS),
            **dict.fromkeys(("seed", "takes", "candidates", "steps"), COUNTS),
            **dict.fromkeys(("reference", "context"), RANGES),
            "repaint": st.builds(pb.Region, start_s=NUMBERS, end_s=NUMBERS),
            "adapters": st.lists(st.builds(pb.AdapterUse, name=TEXTS, scale=NUMBERS), max_size=12),
            "stages": st.lists(TEXTS, max_size=4),
            "swing": NUMBERS,
            "tempo_map": st.lists(
                st.builds(pb.TempoPoint, quarters=NUMBERS, bpm=NUMBERS, ramp=st.booleans()), max_size=4
            ),
        },
    )
)
def test_whatever_comes_over_the_wire_is_a_request_or_refused(values: dict[str, Any]) -> None:
    message = pb.GenerateRequest(**values)
    try:
        request = wire.request_from_proto(message)
    except errors.InvalidRequest:
        return
    assert wire.request_from_proto(wire.request_to_proto(request)) == request


def test_every_setting_of_the_dataclass_is_in_the_schema() -> None:
    fields = {field.name for field in pb.GenerateRequest.DESCRIPTOR.fields}
    names = {"repaint" if name == "repaint_s" else name for name in GenerateRequest(prompt="p").to_dict()}
    assert names - fields == set()


def test_twenty_callers_at_once_all_get_their_own(client: Any, daemon: Daemon) -> None:
    daemon.queue.limit = daemon.queue.limit_per_client = 100
    results: dict[int, list[pb.JobEvent]] = {}

    def ask(number: int) -> None:
        results[number] = generate(client, prompt=f"caller {number}", client=f"c{number % 4}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {number: events[-2].clip.prompt for number, events in results.items()} == {
        number: f"caller {number}" for number in range(20)
    }
    assert len({events[0].job for events in results.values()}) == 20

"""gRPC under attack: slow, silent and many callers hold up nobody else, and leave nothing behind."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from server.daemon import Daemon
from server.grpc import quotas
from server.grpc import service as grpc_service
from tests.support.daemons import WAIT_S, StandIn, generate, reason, running, settings, stub, until

SERVICE = "/acestep.v1.Daemon/"


@pytest.fixture
def engine() -> StandIn:
    return StandIn()


@pytest.fixture
def daemon(tmp_path: Path, engine: StandIn) -> Iterator[Daemon]:
    with running(settings(tmp_path), engine) as found:
        yield found


@pytest.fixture
def attacker(daemon: Daemon) -> Iterator[grpc.Channel]:
    """A connection of its own, as another program has."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{daemon.grpc.port}", options=options) as channel:
        yield channel


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Any]:
    with stub(daemon.grpc.port) as found:
        yield found


def everybody_is_served(daemon: Daemon, client: Any) -> None:
    """Status, health, lists and jobs."""
    assert client.GetStatus(pb.GetStatusRequest(), timeout=5).version
    with grpc.insecure_channel(f"127.0.0.1:{daemon.grpc.port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1
    client.ListClips(pb.ListClipsRequest(), timeout=5)
    call = client.Generate(pb.GenerateRequest(prompt="p", detached=True), timeout=5)
    job = next(call).job
    with contextlib.suppress(grpc.RpcError):  # a quick job has ended before
        client.CancelJob(pb.CancelJobRequest(job=job), timeout=5)
    until(lambda: all(one.state in ("done", "cancelled") for one in daemon.queue.jobs() if one.id == job))
    call.cancel()


class Slow:
    """A stream of requests that stays open, with a first message or none."""

    def __init__(self, *first: Any) -> None:
        self.first = iter(first)
        self.end = threading.Event()

    def __iter__(self) -> "Slow":
        return self

    def __next__(self) -> Any:
        for message in self.first:
            return message
        self.end.wait(WAIT_S)
        raise StopIteration


def hold(attacker: grpc.Channel, name: str, number: int, *first: Any) -> tuple[list[Any], list[Slow]]:
    """Opens calls that send only so much and wait."""
    requests = [Slow(*first) for _ in range(number)]
    open_ = attacker.stream_unary(name, lambda message: message.SerializeToString(), lambda data: data)
    return [open_.future(request) for request in requests], requests


def release(calls: list[Any], requests: list[Slow]) -> None:
    for call in calls:
        call.cancel()
    for request in requests:
        request.end.set()


def test_eighty_slow_uploads_hold_up_nobody(daemon: Daemon, client: Any, attacker: grpc.Channel) -> None:
    chunk = pb.UploadChunk(name="x.wav", data=b"R")
    calls, requests = hold(attacker, f"{SERVICE}Upload", 80, chunk)
    until(lambda: sum(call.done() for call in calls) >= 80 - quotas.UPLOADS.per_address)
    refused = [call for call in calls if call.done()]
    assert {reason(call.exception()) for call in refused} == {"busy"}
    assert len(refused) == 80 - quotas.UPLOADS.per_address
    everybody_is_served(daemon, client)
    release(calls, requests)
    until(lambda: not daemon.grpc._turnstile._calls)
    assert list(daemon.config.uploads.iterdir()) == []


def test_seventy_calls_that_wait_for_the_model_hold_up_nobody_and_end_with_their_callers(
    daemon: Daemon, client: Any, attacker: grpc.Channel, engine: StandIn
) -> None:
    engine.hold.clear()
    call = client.Generate(pb.GenerateRequest(prompt="runs"))
    next(call)
    engine.started.acquire(timeout=WAIT_S)
    names = ("UnloadCascade", "LoadCascade", "UnloadAdapter")
    other = acestep_pb2_grpc.DaemonStub(attacker)
    calls = [getattr(other, names[n % 2]).future(pb.CascadeName(name="nano")) for n in range(70)]
    until(lambda: sum(one.done() for one in calls) >= 70 - quotas.MODELS.per_address)
    assert {reason(one.exception()) for one in calls if one.done()} == {"busy"}
    everybody_is_served(daemon, client)
    for one in calls:
        one.cancel()
    until(lambda: not daemon.queue._errands)  # nothing of them is done later
    until(lambda: len(daemon.grpc._turnstile._calls) == 1)
    call.cancel()


@pytest.mark.parametrize("name", ["ListJobs", "GetStatus", "Generate", "TrashClip"])
def test_calls_that_never_send_their_request_are_ended(
    daemon: Daemon, client: Any, attacker: grpc.Channel, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(quotas, "FIRST_S", 2.0)
    calls, requests = hold(attacker, SERVICE + name, 150)
    until(lambda: sum(call.done() for call in calls) >= 150 - quotas.FIRST_CALLS)
    everybody_is_served(daemon, client)
    until(lambda: all(call.done() for call in calls))
    until(lambda: not daemon.grpc._turnstile._calls)
    release(calls, requests)


def test_an_upload_that_stops_is_ended_and_one_that_trickles_as_well(
    daemon: Daemon, attacker: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "IDLE_S", 0.3)
    calls, requests = hold(attacker, f"{SERVICE}Upload", 1, pb.UploadChunk(name="x.wav", data=b"R"))
    until(lambda: calls[0].done())
    release(calls, requests)
    monkeypatch.setattr(grpc_service, "UPLOAD_GRACE_S", 0.3)

    def trickle() -> Iterator[pb.UploadChunk]:
        yield pb.UploadChunk(name="x.wav")
        while True:
            time.sleep(0.1)
            yield pb.UploadChunk(data=b"x")

    with pytest.raises(grpc.RpcError) as caught:
        acestep_pb2_grpc.DaemonStub(attacker).Upload(trickle(), timeout=WAIT_S)
    assert (reason(caught.value), "too slow" in caught.value.details()) == ("busy", True)
    until(lambda: list(daemon.config.uploads.iterdir()) == [])


def test_a_download_that_nobody_reads_is_ended(
    daemon: Daemon, client: Any, attacker: grpc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = generate(client, prompt="p")[2].clip
    with Path(clip.path).open("ab") as file:
        file.write(bytes(64 << 20))
    monkeypatch.setattr(quotas, "IDLE_S", 0.5)
    call = acestep_pb2_grpc.DaemonStub(attacker).Download(pb.DownloadRequest(name=clip.name))
    next(call)
    until(lambda: bool(daemon.grpc._turnstile._calls))
    until(lambda: not daemon.grpc._turnstile._calls)
    with pytest.raises(grpc.RpcError):
        list(call)


def test_what_is_no_message_is_refused(daemon: Daemon, attacker: grpc.Channel) -> None:
    for name in ("ListClips", "Generate"):
        open_ = attacker.unary_unary(SERVICE + name, lambda data: data, lambda data: data)
        with pytest.raises(grpc.RpcError) as caught:
            open_(b"\xff\xff\xff", timeout=5)
        assert reason(caught.value) == "invalid_request"
    nothing = attacker.stream_unary(f"{SERVICE}ListClips", lambda data: data, lambda data: data)
    with pytest.raises(grpc.RpcError) as caught:
        nothing(iter([]), timeout=5)
    assert "no request" in caught.value.details()


def test_addresses_are_told_apart_without_their_ports() -> None:
    assert quotas.address("ipv4:127.0.0.1:5555") == quotas.address("ipv4:127.0.0.1:5556")
    assert quotas.address("ipv6:[::1]:5555") == "ipv6:[::1]"
    assert quotas.address("unix:/tmp/x") != ""


def test_a_reflection_call_that_stays_open_is_counted_like_an_upload(
    daemon: Daemon, client: Any, attacker: grpc.Channel
) -> None:
    name = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    requests = [Slow() for _ in range(100)]
    calls = [
        attacker.stream_stream(name, lambda data: data, lambda data: data)(request) for request in requests
    ]
    everybody_is_served(daemon, client)
    release(calls, requests)


@pytest.mark.heavy
def test_a_watch_that_asks_every_ten_seconds_is_kept(daemon: Daemon) -> None:
    options = [
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with grpc.insecure_channel(f"127.0.0.1:{daemon.grpc.port}", options=options) as channel:
        watch = acestep_pb2_grpc.DaemonStub(channel).WatchAll(pb.WatchAllRequest(), timeout=55)
        with pytest.raises(grpc.RpcError) as caught:
            list(watch)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("way", ["before a message", "in the middle", "with the connection", "as it stops"])
@pytest.mark.parametrize("name", ["Upload", "Generate", "ListJobs"])
def test_callers_that_hang_up_are_no_fault_in_the_log(
    tmp_path: Path, engine: StandIn, caplog: pytest.LogCaptureFixture, name: str, way: str
) -> None:
    engine.hold.clear()
    with running(settings(tmp_path), engine) as daemon, stub(daemon.grpc.port) as client:
        first: dict[str, Any] = {
            "Upload": pb.UploadChunk(name="x.wav", data=b"R"),
            "Generate": pb.GenerateRequest(prompt="p"),
            "ListJobs": pb.ListJobsRequest(),
        }
        with grpc.insecure_channel(f"127.0.0.1:{daemon.grpc.port}") as channel:
            begun = [] if way == "before a message" else [first[name]]
            calls, requests = hold(channel, SERVICE + name, 4, *begun)
            until(lambda: name == "ListJobs" or len(daemon.grpc._turnstile._calls) == 4)
            if way == "as it stops":
                daemon.stop()
                until(lambda: not daemon.grpc._turnstile._calls)
            elif way != "with the connection":
                for call in calls:
                    call.cancel()
        release(calls, requests)
        if way != "as it stops":
            until(lambda: not daemon.grpc._turnstile._calls)
            assert client.GetStatus(pb.GetStatusRequest(), timeout=WAIT_S).version
    log = "".join(file.read_text("utf-8") for file in (tmp_path / "home" / "logs").iterdir())
    assert "stopped" in log
    assert [line for line in log.splitlines() if '"error"' in line or "traceback" in line] == []
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []  # of gRPC's own log
    assert list(daemon.config.uploads.iterdir()) == []

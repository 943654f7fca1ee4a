"""The daemon as a process: start, kill -9, SIGTERM, taken ports, folders that cannot be written."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import weakref
from pathlib import Path

import grpc
import pytest

from acestep.errors import AceStepError, AlreadyExists, InvalidRequest, Unavailable
from protos.acestep.v1 import acestep_pb2 as pb
from server import logs
from server.daemon import Daemon
from server.jobs.engine import AceStep
from server.jobs.events import Hub
from server.jobs.journal import Journal
from server.jobs.queue import JobQueue
from server.jobs.worker import Worker
from server.models import models_for
from tests.support.daemons import (
    HELD,
    QUICK,
    WAIT_S,
    Osc,
    Process,
    StandIn,
    generate,
    reason,
    running,
    settings,
    stub,
)


def journal(process: Process) -> dict[str, str]:
    found = Journal(process.home / "jobs.sqlite")
    try:
        return {record.prompt: record.state for record in found.newest()}
    finally:
        found.close()


def test_a_killed_daemon_marks_its_jobs_and_reruns_them_when_asked(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with Process(made, script=HELD) as first, stub(first.grpc_port) as client:
        calls, jobs = [], []
        for prompt in ("runs", "waits"):  # one after the other: two calls at once have no order
            calls.append(client.Generate(pb.GenerateRequest(prompt=prompt, seed=3)))
            jobs.append(next(calls[-1]).job)
        while client.GetStatus(pb.GetStatusRequest()).running_job != jobs[0]:
            time.sleep(0.01)
        (made.samples / f".acestep-{first.process.pid}-abc123.part").write_bytes(b"half a clip")
        first.kill()
    with Process(made, script=QUICK) as second:
        assert journal(second) == {"runs": "interrupted", "waits": "interrupted"}
        assert list(made.samples.iterdir()) == []
        assert second.terminate() == 0
    with Process(made, "--resume", script=QUICK) as third, stub(third.grpc_port) as client:
        while len(list(made.samples.glob("*.wav"))) < 2:
            time.sleep(0.01)
        listed = client.ListJobs(pb.ListJobsRequest()).jobs
        assert [(job.prompt, job.state) for job in listed if job.id not in jobs] == [
            ("waits", "done"),
            ("runs", "done"),
        ] or any(job.state == "running" for job in listed)
        assert third.terminate() == 0
    with Process(made, "--resume", script=QUICK) as fourth, stub(fourth.grpc_port) as client:
        assert len(client.ListJobs(pb.ListJobsRequest()).jobs) == 4  # not once more


def test_sigterm_cancels_what_runs_within_five_seconds(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with Process(made, script=HELD) as process, stub(process.grpc_port) as client:
        calls = [client.Generate(pb.GenerateRequest(prompt=prompt)) for prompt in ("runs", "waits")]
        for call in calls:
            next(call)
        process.process.terminate()
        process.process.communicate(timeout=5)
        assert process.process.returncode == 0
        assert journal(process) == {"runs": "interrupted", "waits": "interrupted"}
    assert list(made.samples.iterdir()) == []
    assert not (made.home / "daemon.json").exists()


def test_sigterm_ends_a_daemon_that_still_loads_its_model(tmp_path: Path) -> None:
    slow = "import time\nengine.load = lambda *_: time.sleep(60)\nreal = daemon.Daemon"
    loading = HELD.replace("real = daemon.Daemon", slow)
    with Process(settings(tmp_path), script=loading) as process:
        process.process.terminate()
        process.process.communicate(timeout=5)
        assert process.process.returncode == 0


def test_ctrl_c_ends_it_as_well(tmp_path: Path) -> None:
    with Process(settings(tmp_path), script=QUICK) as process:
        process.process.send_signal(signal.SIGINT)
        process.process.communicate(timeout=10)
        assert process.process.returncode == 0


def test_a_job_that_can_end_soon_may_when_the_daemon_stops(tmp_path: Path) -> None:
    engine = StandIn()
    engine.hold.clear()
    with running(settings(tmp_path), engine) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("generate", "p")
        osc.until("progress")
        daemon.stop()
        engine.hold.set()
        assert osc.until("done", "error", "cancelled")[0] == "done"


def test_callers_are_told_of_a_job_that_a_stopping_daemon_gives_up(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with Process(made, script=HELD) as process, stub(process.grpc_port) as client:
        call = client.Generate(pb.GenerateRequest(prompt="runs"))
        next(call)
        process.process.terminate()
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert reason(caught.value) == "interrupted"


@pytest.mark.parametrize(("kind", "flag"), [("grpc", "--grpc-port"), ("osc", "--osc-port")])
def test_a_taken_port_says_by_what_and_how_to_choose_another(tmp_path: Path, kind: str, flag: str) -> None:
    protocol = socket.SOCK_STREAM if kind == "grpc" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, protocol) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == "grpc":
            holder.listen()
        port = holder.getsockname()[1]
        with (
            pytest.raises(Unavailable, match=f"{port} .*taken.*{flag}") as caught,
            running(settings(tmp_path, **{f"{kind}_port": port}), StandIn()),
        ):
            pass
    if sys.platform == "linux":
        assert f"(process {os.getpid()})" in str(caught.value)


def test_two_daemons_never_share_a_home_or_a_port(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as first:
        with (
            pytest.raises(AlreadyExists, match=f"gRPC port {first.grpc.port}"),
            running(settings(tmp_path), StandIn()),
        ):
            pass
        other = settings(tmp_path / "other", grpc_port=first.grpc.port)
        with pytest.raises(Unavailable, match="taken"), running(other, StandIn()):
            pass


def test_a_missing_samples_folder_is_made(tmp_path: Path) -> None:
    made = settings(tmp_path, samples=tmp_path / "a" / "b")
    with running(made, StandIn()) as daemon, stub(daemon.grpc.port) as client:
        clip = generate(client, prompt="p")[2].clip
        assert Path(clip.path).parent == tmp_path / "a" / "b"


def test_a_samples_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon, stub(daemon.grpc.port) as client:
        daemon.config.samples.rmdir()
        assert Path(generate(client, prompt="p")[2].clip.path).is_file()


def test_a_samples_folder_that_is_a_file_fails_the_job_not_the_daemon(tmp_path: Path) -> None:
    (tmp_path / "samples").write_text("a file")
    with running(settings(tmp_path), StandIn()) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("generate", "p")
        assert osc.until("error")[1][0] in ("storage_error", "invalid_request")
        (tmp_path / "samples").unlink()
        osc.send("generate", "p")
        assert osc.until("error", "done")[0] == "done"


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 64 kB; only where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user cannot mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_fails_the_job_and_leaves_nothing_half_written(small_disk: Path, tmp_path: Path) -> None:
    with running(settings(tmp_path, samples=small_disk), StandIn()) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("generate", "p", "takes", 4)  # the third does not fit
        reason, message, _ = osc.until("error", "done")[1]
        assert (reason, "full" in message) == ("storage_error", True)
        assert list(small_disk.glob(".*")) == []
        for file in small_disk.iterdir():
            file.unlink()
        osc.send("generate", "p")
        assert osc.until("error", "done")[0] == "done"


def test_a_read_only_folder_fails_the_job_and_the_daemon_lives(small_disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with running(settings(tmp_path, samples=small_disk), StandIn()) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("generate", "p")
        reason, message, _ = osc.until("error", "done")[1]
        assert (reason, "read-only" in message) == ("storage_error", True)
        osc.send("ping")
        assert osc.receive()[0] == "pong"


def test_a_cascade_that_cannot_be_loaded_fails_its_jobs_with_the_reason(tmp_path: Path) -> None:
    engine = StandIn()

    def load(name: str, device: str) -> object:
        raise AceStepError("weights are missing")

    engine.load = load  # type: ignore[method-assign]
    with running(settings(tmp_path), engine) as daemon, Osc(daemon.osc.port) as osc:
        for _ in range(2):
            osc.send("generate", "p")
            assert osc.until("error")[1][1] == "weights are missing"


def test_memory_that_runs_out_is_said_as_such(tmp_path: Path) -> None:
    engine = StandIn()
    engine.fail = MemoryError()
    with running(settings(tmp_path), engine) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("generate", "p")
        assert osc.until("error")[1][0] == "out_of_memory"


def test_an_idle_model_is_unloaded_and_comes_back(tmp_path: Path) -> None:
    engine = StandIn()
    with (
        running(settings(tmp_path, idle_unload_min=0.001), engine) as daemon,
        Osc(daemon.osc.port) as osc,
    ):
        engine.loaded.acquire(timeout=10)
        while daemon.status()["loaded"]:
            time.sleep(0.01)
        osc.send("generate", "p")
        assert osc.until("error", "done")[0] == "done"
        assert engine.loaded.acquire(timeout=1)


def test_an_idle_cascade_leaves_the_memory(tmp_path: Path) -> None:
    made = settings(tmp_path)
    models = models_for(made)
    queue = JobQueue(Hub(), lambda job: None, 1, 1)
    worker = Worker(queue, models, AceStep(made), idle_unload_s=0.05)
    worker.start()
    loaded = worker.call(lambda: weakref.ref(models.use())).result(timeout=120)
    until = time.monotonic() + WAIT_S
    while (loaded() is not None or models.loaded_name) and time.monotonic() < until:
        time.sleep(0.01)
    assert (loaded(), models.loaded_name) == (None, "")
    queue.close()
    assert worker.join(WAIT_S)


def test_the_log_is_structured_and_never_shows_the_token(tmp_path: Path) -> None:
    with running(settings(tmp_path, require_token=True), StandIn()) as daemon:
        token = daemon.config.token_file.read_text().strip()
        logs.get("test").info("somebody_slips", url=f"http://x/?t={token}", token="abc", note="plain")
        file = daemon.config.home / "logs" / "daemon.log"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"time", "level", "event"} <= set(lines[0])
    slip = next(line for line in lines if line["event"] == "somebody_slips")
    assert (slip["url"], slip["token"], slip["note"]) == ("http://x/?t=[hidden]", "[hidden]", "plain")
    assert token not in file.read_text()


def test_osc_is_bound_to_this_machine_only(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon:
        assert daemon.osc._socket.host == "127.0.0.1"
    with (
        pytest.raises(InvalidRequest, match="osc_allow"),
        running(settings(tmp_path, osc_host="0.0.0.0"), StandIn()),
    ):
        pass


def test_beyond_loopback_grpc_needs_tls(tmp_path: Path) -> None:
    made = settings(tmp_path, host="0.0.0.0")
    with pytest.raises(InvalidRequest, match="openssl req"), running(made, StandIn()):
        pass


def test_the_ports_of_a_running_daemon_are_written_down(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon:
        told = json.loads(daemon.config.running_file.read_text())
        assert (told["grpc_port"], told["osc_port"]) == (daemon.grpc.port, daemon.osc.port)
        assert told["pid"] == os.getpid()
    assert not daemon.config.running_file.exists()


def test_a_failed_start_leaves_nothing_running(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        made = settings(tmp_path, osc_port=holder.getsockname()[1])
        with pytest.raises(Unavailable):
            Daemon(made).run()
    logs.stop()
    with running(settings(tmp_path), StandIn()):  # home and ports are free again
        pass

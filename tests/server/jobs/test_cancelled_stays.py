"""A cancelled job is never made by `--resume`: full disks, kills and stops at any moment after the cancel."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.acestep.v1 import acestep_pb2 as pb
from server.config import Config
from tests.support.daemons import HELD, QUICK, WAIT_S, Process, reason, settings, stub, until

DEAF = HELD.replace(
    "engine = StandIn()\n", "import time\nengine = StandIn()\nengine.produce = lambda *_: time.sleep(60)\n"
)  # a long step that hears no cancel


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB; only where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user cannot mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    with (folder / "rest").open("wb", buffering=0) as rest, contextlib.suppress(OSError):
        while True:
            rest.write(bytes(4096))
    return folder / "rest"


def ask(client: Any, *prompts: str) -> list[str]:
    """Jobs that go on without their caller."""
    return [
        next(client.Generate(pb.GenerateRequest(prompt=prompt, detached=True), timeout=WAIT_S)).job
        for prompt in prompts
    ]


def cancel(client: Any, job: str) -> None:
    client.CancelJob(pb.CancelJobRequest(job=job), timeout=WAIT_S)


def made_after_resume(made: Config, *expected: str) -> None:
    """Of these jobs, and of no others, there are clips in the end."""
    with Process(made, "--resume", script=QUICK) as again, stub(again.grpc_port) as client:
        until(
            lambda: not (status := client.GetStatus(pb.GetStatusRequest())).queued and not status.running_job
        )
        names = [clip.prompt for clip in client.ListClips(pb.ListClipsRequest()).clips]
        assert sorted(names) == sorted(expected)
        assert again.terminate() == 0


def fill_the_journal(client: Any) -> None:
    """Asks until the journal itself has no room left."""

    def ask_often() -> None:
        for _ in range(600):
            (job,) = ask(client, "x" * 1900)
            cancel(client, job)

    with pytest.raises(grpc.RpcError) as caught:
        ask_often()
    assert reason(caught.value) == "storage_error"


def test_a_full_disk_and_a_kill_bring_no_cancelled_job_back(disk: Path, tmp_path: Path) -> None:
    made = settings(tmp_path, home=disk / "home")
    with Process(made, script=HELD) as first, stub(first.grpc_port) as client:
        runs, waits, stays = ask(client, "runs", "waits", "stays")
        rest = fill(disk)
        fill_the_journal(client)
        cancel(client, waits)
        cancel(client, runs)
        until(lambda: client.GetStatus(pb.GetStatusRequest()).running_job == stays)
        first.kill()
    rest.unlink()
    made_after_resume(made, "stays")


def test_a_running_job_that_was_cancelled_is_not_made_again_however_early_the_kill(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with Process(made, script=DEAF) as first, stub(first.grpc_port) as client:
        runs, _ = ask(client, "runs", "stays")
        until(lambda: client.GetStatus(pb.GetStatusRequest()).running_job == runs)
        assert client.CancelJob(pb.CancelJobRequest(job=runs), timeout=WAIT_S).state == "running"
        first.kill()
    made_after_resume(made, "stays")


@pytest.mark.parametrize("cancelled", ["before", "while"])
def test_a_running_job_that_was_cancelled_is_not_made_again_after_an_orderly_stop(
    tmp_path: Path, cancelled: str
) -> None:
    made = settings(tmp_path)
    with Process(made, script=DEAF) as first, stub(first.grpc_port) as client:
        runs, _ = ask(client, "runs", "stays")
        until(lambda: client.GetStatus(pb.GetStatusRequest()).running_job == runs)
        if cancelled == "before":
            cancel(client, runs)
        first.process.terminate()
        if cancelled == "while":
            until(lambda: not client.GetStatus(pb.GetStatusRequest()).queued)  # it is stopping
            cancel(client, runs)
        first.process.communicate(timeout=WAIT_S)
        assert first.process.returncode == 0
    made_after_resume(made, "stays")


def test_a_daemon_on_a_nearly_full_disk_refuses_jobs_until_there_is_room(disk: Path, tmp_path: Path) -> None:
    made = settings(tmp_path, home=disk / "home")
    rest = fill(disk)
    os.truncate(rest, rest.stat().st_size - 400_000)
    with Process(made, script=QUICK) as process, stub(process.grpc_port) as client:
        with pytest.raises(grpc.RpcError, match="make room") as caught:
            ask(client, "too early")
        assert reason(caught.value) == "storage_error"
        rest.unlink()
        ask(client, "in time")
        until(lambda: len(client.ListClips(pb.ListClipsRequest()).clips) == 1)
        assert process.terminate() == 0

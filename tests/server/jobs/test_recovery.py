"""Journal and restart: locked and damaged files, jobs cut short, full queues, homes and disks that go."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from acestep.errors import AlreadyExists, StorageError
from acestep.request import GenerateRequest
from protos.acestep.v1 import acestep_pb2 as pb
from server.daemon import Daemon
from server.jobs import journal as journal_module
from server.jobs import recovery
from server.jobs.events import Event, Failed, Hub
from server.jobs.job import Ending, Job, JobState
from server.jobs.journal import Journal
from server.jobs.queue import JobQueue
from server.library.index import ClipLibrary
from server.library.places import Disk, HomeLock
from server.library.search import Search
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
    until,
    write_short_clip,
)


def job(folder: Path, prompt: str = "p", **values: Any) -> Job:
    return Job(GenerateRequest(prompt=prompt, seed=1, **values), folder, "test")


def states(file: Path) -> dict[str, str]:
    """Prompt → state of the last job of that prompt, read by another connection."""
    with sqlite3.connect(file) as database:
        rows = database.execute("SELECT request, state FROM jobs ORDER BY rowid").fetchall()
    return {json.loads(request)["prompt"]: state for request, state in rows}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are waited for only a moment."""
    monkeypatch.setattr(journal_module, "BUSY_S", 0.05)


class Lock:
    """Another program that holds the file."""

    def __init__(self, file: Path) -> None:
        self.database = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self.database.execute("BEGIN EXCLUSIVE")

    def release(self) -> None:
        self.database.execute("ROLLBACK")
        self.database.close()


@pytest.mark.usefixtures("quick")
def test_a_change_that_cannot_be_written_is_written_as_soon_as_it_can_be(tmp_path: Path, file: Path) -> None:
    journal = Journal(file)
    one, two = job(tmp_path, "one"), job(tmp_path, "two")
    journal.record(one)
    journal.record(two)
    lock = Lock(file)
    for changed, state in ((one, JobState.CANCELLED), (two, JobState.RUNNING), (two, JobState.DONE)):
        changed.state = state
        journal.keep(changed)
    with pytest.raises(StorageError, match="locked"):
        journal.record(job(tmp_path, "three"))
    lock.release()
    until(lambda: states(file) == {"one": JobState.CANCELLED, "two": JobState.DONE})
    until(lambda: not file.with_name("jobs.sqlite.late").read_bytes().strip(b"\0"))
    journal.record(job(tmp_path, "three"))
    journal.close()


def test_a_clip_that_was_to_be_made_again_still_is_after_a_crash(tmp_path: Path) -> None:
    file = tmp_path / "jobs.sqlite"
    made = {"plan": {"stages": ["l"]}, "heard": {"context": "sha256:1"}}
    request = GenerateRequest(prompt="again", takes=3, seed=7)
    job = Job(request, tmp_path, "cli", only_take=2, made=made)
    journal = Journal(file)
    journal.record(job)
    journal.close()
    again = Journal(file)
    (cut,) = again.mark_interrupted()
    rerun = again.get(cut.id).again()
    assert (rerun.made, rerun.only_take, rerun.rerun_of) == (made, 2, job.id)
    assert rerun.request == request
    again.close()


@pytest.mark.usefixtures("quick")
def test_a_change_is_not_lost_when_the_daemon_is_killed_before_it_is_written(
    tmp_path: Path, file: Path
) -> None:
    journal = Journal(file)
    one = job(tmp_path, "one")
    journal.record(one)
    lock = Lock(file)
    one.state, one.reason = JobState.CANCELLED, "cancelled"
    journal.keep(one)
    journal._closing.set()  # as if it was killed here
    late = file.with_name("jobs.sqlite.late")
    late.write_bytes(late.read_bytes().rstrip(b"\0") + b'{"id": "half a li')
    lock.release()
    assert states(file) == {"one": JobState.QUEUED}
    again = Journal(file)
    assert states(file) == {"one": JobState.CANCELLED}
    assert again.mark_interrupted() == []
    again.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"no database" * 1000),
        lambda file: file.write_bytes(file.read_bytes()[:4096] + os.urandom(20_000)),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: (file.unlink(), sqlite3.connect(file).execute("CREATE TABLE jobs (id)")),
    ],
    ids=["no database", "garbage inside", "a folder", "other columns"],
)
def test_a_damaged_journal_is_set_aside_and_the_daemon_starts(tmp_path: Path, damage: Any) -> None:
    made = settings(tmp_path)
    with running(made, StandIn()) as daemon, stub(daemon.grpc.port) as client:
        for number in range(20):
            generate(client, prompt=f"job {number}")
    damage(made.home / "jobs.sqlite")
    with running(made, StandIn(), resume=True) as daemon, stub(daemon.grpc.port) as client:
        assert generate(client, prompt="p")[-1].done.clips == 1
        assert len(client.ListClips(pb.ListClipsRequest()).clips) == 21
    assert (made.home / "jobs.sqlite.broken").exists()


def test_a_job_whose_request_cannot_be_read_does_not_break_the_list_or_the_resume(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with running(made, StandIn()) as daemon, stub(daemon.grpc.port) as client:
        for prompt in ("good", "bad", "worse"):
            generate(client, prompt=prompt)
    with sqlite3.connect(made.home / "jobs.sqlite") as database:
        deep = "[" * 100_000
        database.execute("UPDATE jobs SET request = ?, clips = '{' WHERE request LIKE '%bad%'", (deep,))
        database.execute("UPDATE jobs SET request = '{\"takes\": {}}' WHERE request LIKE '%worse%'")
        database.execute("UPDATE jobs SET state = 'interrupted'")
        database.execute("UPDATE jobs SET id = 'gone' WHERE request LIKE '%good%'")
    with running(made, StandIn(), resume=True) as daemon, stub(daemon.grpc.port) as client:
        listed = client.ListJobs(pb.ListJobsRequest()).jobs
        assert sorted(one.prompt for one in listed)[:2] == ["", ""]
        assert [one.prompt for one in listed].count("good") == 2


class Recorder:
    def __init__(self) -> None:
        self.hub = Hub()
        self.events: list[Event] = []
        self.hub.listen(self.events.append)


def test_a_caller_is_told_of_the_end_even_if_nothing_can_be_written_down(tmp_path: Path) -> None:
    def fail(one: Job) -> None:
        if one.finished:
            raise StorageError("disk full")

    recorder = Recorder()
    queue = JobQueue(recorder.hub, lambda job: None, keep=fail)
    one, two = job(tmp_path), job(tmp_path)
    queue.submit(one)
    queue.submit(two)
    with pytest.raises(StorageError):
        queue.cancel(two.id)
    assert isinstance(recorder.events[-1], Failed)
    assert queue.take(0) is one
    with pytest.raises(StorageError):
        queue.finish(one, Ending(JobState.FAILED, "x", "y"))
    assert recorder.events[-1] == Failed(one.id, "x", "y")
    assert queue.wait_idle(0)


def test_a_slow_journal_holds_up_nobody_who_only_asks(tmp_path: Path) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def slow(_: Job) -> None:
        writing.set()
        assert go_on.wait(WAIT_S)

    queue = JobQueue(Recorder().hub, slow, limit=1)
    thread = threading.Thread(target=queue.submit, args=(job(tmp_path),))
    thread.start()
    assert writing.wait(WAIT_S)
    assert (queue.waiting_count, queue.jobs()) == (0, [])
    with pytest.raises(Exception, match="1 jobs are waiting"):  # the place is taken all the same
        queue.submit(job(tmp_path))
    queue.run_soon(lambda: None)
    go_on.set()
    thread.join()
    assert queue.waiting_count == 1


def test_a_job_that_is_recorded_while_the_daemon_stops_is_refused_and_not_made_later(
    tmp_path: Path, file: Path
) -> None:
    journal = Journal(file)

    def record(one: Job) -> None:
        journal.record(one)
        queue.close()

    queue = JobQueue(Recorder().hub, record, keep=journal.keep)
    with pytest.raises(Exception, match="stopping"):
        queue.submit(job(tmp_path))
    journal.mark_interrupted()
    assert journal.interrupted() == []


def test_the_first_end_of_a_job_counts(tmp_path: Path) -> None:
    recorder = Recorder()
    kept: list[str] = []
    queue = JobQueue(recorder.hub, lambda job: None, keep=lambda job: kept.append(job.state))
    one = job(tmp_path)
    queue.submit(one)
    queue.take(0)
    assert queue.finish(one, Ending(JobState.INTERRUPTED))
    assert not queue.finish(one, Ending(JobState.DONE))
    assert (one.state, kept) == (JobState.INTERRUPTED, [JobState.RUNNING, JobState.INTERRUPTED])


@pytest.fixture
def parts(tmp_path: Path, file: Path) -> Iterator[tuple[Journal, ClipLibrary]]:
    (tmp_path / "samples").mkdir()
    journal = Journal(file)
    library = ClipLibrary(tmp_path / "clips.sqlite", [tmp_path / "samples"], tmp_path / "trash")
    yield journal, library
    journal.close()
    library.close()


def cut(journal: Journal, *jobs: Job, state: JobState = JobState.RUNNING) -> None:
    """Jobs that a dead daemon left."""
    for one in jobs:
        journal.record(one)
        one.state = state
        journal.keep(one)


def test_interrupted_jobs_are_made_again_however_full_the_queue_is(
    tmp_path: Path, parts: tuple[Journal, ClipLibrary]
) -> None:
    journal, library = parts
    cut(journal, *(job(tmp_path / "samples", f"job {number}") for number in range(6)), state=JobState.QUEUED)
    queue = JobQueue(Hub(), journal.record, limit=2, limit_per_client=1, keep=journal.keep)
    recovery.recover(journal, library, queue, resume=True)
    assert [one.request.prompt for one in queue.jobs()] == [f"job {number}" for number in range(6)]
    assert journal.interrupted() == []
    again = JobQueue(Hub(), journal.record, keep=journal.keep)  # killed once more
    recovery.recover(journal, library, again, resume=True)
    assert len(again.jobs()) == 6
    assert len(journal.newest()) == 18


def test_an_interrupted_job_can_be_cancelled_and_is_not_made_again(
    tmp_path: Path, parts: tuple[Journal, ClipLibrary]
) -> None:
    journal, library = parts
    dropped, kept = job(tmp_path / "samples", "dropped"), job(tmp_path / "samples", "kept")
    cut(journal, dropped, kept, state=JobState.QUEUED)
    journal.mark_interrupted()
    assert journal.cancel_interrupted(dropped.id)
    assert not journal.cancel_interrupted(dropped.id)
    queue = JobQueue(Hub(), journal.record, keep=journal.keep)
    recovery.recover(journal, library, queue, resume=True)
    assert [one.request.prompt for one in queue.jobs()] == ["kept"]
    assert journal.get(dropped.id).state is JobState.CANCELLED
    assert journal.get(kept.id).message == f"interrupted; made again as {queue.jobs()[0].id}"


def test_a_job_that_cannot_be_made_again_now_is_not_marked_as_if_it_were(
    tmp_path: Path, parts: tuple[Journal, ClipLibrary]
) -> None:
    journal, library = parts
    cut(journal, job(tmp_path / "samples"))
    queue = JobQueue(Hub(), journal.record)
    queue.close()
    recovery.recover(journal, library, queue, resume=True)
    assert len(journal.interrupted()) == 1


def test_a_job_whose_clips_all_appeared_before_the_kill_is_done_and_not_made_twice(
    tmp_path: Path, parts: tuple[Journal, ClipLibrary]
) -> None:
    journal, library = parts
    one = job(tmp_path / "samples", takes=2)
    cut(journal, one)
    clips = [write_short_clip(one, take) for take in range(2)]
    queue = JobQueue(Hub(), journal.record, keep=journal.keep)
    recovery.recover(journal, library, queue, resume=True)
    assert queue.jobs() == []
    assert journal.get(one.id).state == JobState.DONE
    assert journal.get(one.id).clips == tuple(clip.path for clip in clips)


def test_part_of_a_job_goes_to_the_trash_before_the_job_is_made_again(
    tmp_path: Path, parts: tuple[Journal, ClipLibrary]
) -> None:
    journal, library = parts
    one, other = job(tmp_path / "samples", takes=3), job(tmp_path / "samples", "other")
    cut(journal, one)
    write_short_clip(one, 0)
    kept = write_short_clip(other, 0)
    queue = JobQueue(Hub(), journal.record, keep=journal.keep)
    recovery.recover(journal, library, queue, resume=True)
    assert len(queue.jobs()) == 1
    assert [clip.name for clip in library.search(Search(trashed=True))] != []
    assert sorted(file.name for file in (tmp_path / "samples").iterdir()) == [kept.name, f"{kept.name}.json"]


def test_a_cancelled_job_ends_for_its_caller_while_the_journal_is_locked_and_is_never_made_again(
    tmp_path: Path,
) -> None:
    made = settings(tmp_path)
    with Process(made, script=HELD) as first, stub(first.grpc_port) as client:
        runs = client.Generate(pb.GenerateRequest(prompt="runs", detached=True))
        next(runs)
        waits = client.Generate(pb.GenerateRequest(prompt="victim", detached=True))
        victim = next(waits).job
        lock = Lock(made.home / "jobs.sqlite")
        client.CancelJob(pb.CancelJobRequest(job=victim), timeout=WAIT_S)
        with pytest.raises(grpc.RpcError) as caught:
            list(waits)
        assert reason(caught.value) == "cancelled"
        assert client.GetStatus(pb.GetStatusRequest(), timeout=2).running_job
        first.kill()
        lock.release()
    with Process(made, "--resume", script=QUICK) as second, stub(second.grpc_port) as client:
        until(lambda: list(made.samples.glob("*runs*.wav")))
        assert list(made.samples.glob("*victim*")) == []
        assert second.terminate() == 0


def test_a_daemon_whose_journal_is_locked_stops_in_order_and_remembers(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with Process(made, script=HELD) as process, stub(process.grpc_port) as client:
        calls = [client.Generate(pb.GenerateRequest(prompt=prompt)) for prompt in ("runs", "waits")]
        for call in calls:
            next(call)
        lock = Lock(made.home / "jobs.sqlite")
        process.process.terminate()
        _, said = process.process.communicate(timeout=WAIT_S)
        assert process.process.returncode == 0
        assert "Traceback" not in said
        lock.release()
    with Process(made, "--resume", script=QUICK):
        until(lambda: len(list(made.samples.glob("*.wav"))) == 2)


def test_a_home_that_is_deleted_ends_its_daemon_and_meanwhile_admits_no_second_one(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with Process(made, script=HELD) as process:
        shutil.rmtree(made.home)
        made.home.mkdir()
        with pytest.raises(AlreadyExists, match="already running"):
            HomeLock(made.home)
        _, said = process.process.communicate(timeout=WAIT_S)
        assert process.process.returncode == 1
        assert f"the home {made.home} was deleted or replaced" in said.splitlines()[-1]
        assert "Traceback" not in said
    with running(made, StandIn()) as daemon:
        assert daemon.status()["version"]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Another disk, mounted; only where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def mount(folder: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this user cannot mount a file system")


def test_a_full_disk_refuses_jobs_ends_those_that_run_and_lets_the_daemon_stop(
    disk: Path, tmp_path: Path
) -> None:
    made = settings(tmp_path, home=disk / "home")
    with Process(made, script=HELD) as process, stub(process.grpc_port) as client:
        call = client.Generate(pb.GenerateRequest(prompt="runs"))
        running_job = next(call).job
        with (disk / "rest").open("wb", buffering=0) as rest, contextlib.suppress(OSError):
            while True:
                rest.write(bytes(4096))

        def ask_often() -> None:  # the journal's log has a little room of its own
            for _ in range(60):
                more = pb.GenerateRequest(prompt="x" * 1900, detached=True, lyrics="y" * 5000)
                next(client.Generate(more, timeout=WAIT_S))

        with pytest.raises(grpc.RpcError) as caught:
            ask_often()
        assert reason(caught.value) == "storage_error"
        client.CancelJob(pb.CancelJobRequest(job=running_job), timeout=WAIT_S)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert reason(caught.value) == "cancelled"
        assert client.GetStatus(pb.GetStatusRequest(), timeout=5).version
        process.process.terminate()
        process.process.communicate(timeout=WAIT_S)
        assert process.process.returncode == 0


@pytest.mark.parametrize("below", ["", "Music/ACE-Step"])
def test_a_samples_disk_that_is_unmounted_is_said_and_nothing_lands_under_it(
    disk: Path, tmp_path: Path, below: str
) -> None:
    engine = StandIn()
    with running(settings(tmp_path, samples=disk / below), engine) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("generate", "before")
        osc.until("done")
        engine.hold.clear()
        osc.send("generate", "while it runs")
        osc.until("progress")
        subprocess.run(["umount", "-l", str(disk)], check=True)
        engine.hold.set()
        answers = [osc.until("error", "done")]
        osc.send("generate", "after")
        answers.append(osc.until("error", "done"))
        assert {address for address, _ in answers} == {"error"}
        assert {values[0] for _, values in answers} == {"storage_error"}
        assert "not mounted any more" in answers[1][1][1]
        assert [file for file in disk.rglob("*") if file.is_file()] == []
        mount(disk)
        osc.send("generate", "it is back")
        assert osc.until("error", "done")[0] == "done"


def test_a_disk_that_is_mounted_after_the_start_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    found = Disk(folder / "samples")
    found.check()
    mount(folder)
    try:
        found.check()
        subprocess.run(["umount", str(folder)], check=True)
        with pytest.raises(StorageError):
            found.check()
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def test_one_broken_cascade_or_adapter_is_named_and_the_others_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings(tmp_path)
    monkeypatch.setenv("ACESTEP_HOME", str(made.home))
    cascades = {
        "deep": "[" * 200_000,
        "text": '{"format": 1, "stages": "abc"}',
        "stages": '{"format": 1, "stages": [{"name": 5, "path": "x"}]}',
        "supports": '{"format": 1, "stages": [{"name": "l", "path": "x"}], "supports": [1, {}]}',
        "range": '{"format": 1, "stages": [{"name": "l", "path": "x"}], "range": 5}',
        "licence": '{"format": 1, "stages": [{"name": "l", "path": "x"}], "license": "\\ud800"}',
        "utf16": "\ufeff{}",
    }
    adapters = {
        "deep": "[" * 200_000,
        "rank": '{"rank": 1099511627776}',
        "negative": '{"rank": -1}',
        "trigger": '{"trigger": ["a"]}',
        "alpha": '{"alpha": 1e400}',
        "stages": '{"stages": {"l": 5}}',
        "list": "[1]",
    }
    hostile = {f"cascades/{key}/cascade.json": text for key, text in cascades.items()}
    hostile |= {f"adapters/{key}/adapter.json": text for key, text in adapters.items()}
    for place, text in hostile.items():
        (made.home / place).parent.mkdir(parents=True)
        (made.home / place).write_bytes(text.encode("utf-16" if "utf16" in place else "utf-8"))
    (made.home / "adapters" / "good").mkdir()
    (made.home / "adapters" / "good" / "adapter_config.json").write_text('{"r": 8, "lora_alpha": 16}')
    with running(made, StandIn()) as daemon, stub(daemon.grpc.port) as client:
        found = client.ListCascades(pb.ListCascadesRequest())
        assert "nano" in [one.name for one in found.cascades]
        assert {one.name for one in found.unreadable} == set(cascades)
        assert all(one.message and one.path for one in found.unreadable)
        listed = client.ListAdapters(pb.ListAdaptersRequest())
        assert [(one.name, one.rank, one.alpha) for one in listed.adapters] == [("good", 8, 16.0)]
        assert {one.name for one in listed.unreadable} == set(adapters)


def test_one_hostile_sidecar_is_named_over_the_wire_as_well(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon, stub(daemon.grpc.port) as client:
        good = generate(client, prompt="good")[2].clip
        evil = daemon.config.samples / "evil.wav"
        shutil.copy(good.path, evil)
        evil.with_name("evil.wav.json").write_text('{"format": 1, "clip": {"take": -1}}')
        large = json.loads(good.sidecar_json) | {"notes": ["x" * 1_000_000]}
        shutil.copy(good.path, daemon.config.samples / "large.wav")
        (daemon.config.samples / "large.wav.json").write_text(json.dumps(large))
        answer = client.ListClips(pb.ListClipsRequest())
        assert sorted(clip.name for clip in answer.clips) == sorted([good.name, "large.wav"])
        assert [(one.name, one.path) for one in answer.unreadable] == [("evil.wav", str(evil))]
        assert answer.ByteSize() < 100_000


def test_parts_that_fail_to_close_do_not_keep_the_others_open(tmp_path: Path) -> None:
    daemon = Daemon(settings(tmp_path), StandIn())
    daemon.startup()
    daemon.journal._db.close()  # as a disk that went away
    daemon.shutdown()
    with running(settings(tmp_path), StandIn()):
        pass

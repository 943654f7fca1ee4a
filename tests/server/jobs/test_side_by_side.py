"""An engine that makes several jobs at once: each is told of, cancelled and ended by itself."""

import threading
from pathlib import Path
from typing import Any

from protos.acestep.v1 import acestep_pb2 as pb
from tests.support.daemons import WAIT_S, StandIn, running, settings, stub, until


class Beside(StandIn):
    """As many as three; each waits until its own prompt is let go."""

    side_by_side = True

    def __init__(self) -> None:
        super().__init__()
        self.let_go: dict[str, threading.Event] = {}

    def at_once(self) -> int:
        return 3

    def produce(self, cascade: Any, job: Any, *told: Any) -> Any:
        self.hold = self.let_go[job.request.prompt]
        return _Own(self.let_go[job.request.prompt]).produce(cascade, job, *told)


class _Own(StandIn):
    def __init__(self, hold: threading.Event) -> None:
        super().__init__()
        self.hold = hold


def ask(client: Any, prompt: str) -> str:
    call = client.Generate(pb.GenerateRequest(prompt=prompt, detached=True), timeout=WAIT_S)
    return str(next(call).job)


def state(client: Any, job: str) -> str:
    listed = client.ListJobs(pb.ListJobsRequest(limit=20), timeout=WAIT_S).jobs
    return str(next(one.state for one in listed if one.id == job))


def test_each_of_several_running_jobs_has_its_own_end(tmp_path: Path) -> None:
    engine = Beside()
    prompts = ("one", "two", "three", "four")
    engine.let_go = {prompt: threading.Event() for prompt in prompts}
    with running(settings(tmp_path), engine) as daemon, stub(daemon.grpc.port) as client:
        one, two, three, four = (ask(client, prompt) for prompt in prompts)
        until(lambda: len(client.GetStatus(pb.GetStatusRequest()).running_jobs) == 3)
        status = client.GetStatus(pb.GetStatusRequest())
        assert list(status.running_jobs) == [one, two, three]
        assert (status.running_job, status.queued) == (one, 1)
        client.CancelJob(pb.CancelJobRequest(job=two), timeout=WAIT_S)
        until(lambda: state(client, two) == "cancelled")
        until(lambda: state(client, four) == "running")
        assert [state(client, job) for job in (one, three)] == ["running", "running"]
        engine.let_go["three"].set()
        until(lambda: state(client, three) == "done")
        assert state(client, one) == "running"
        for event in engine.let_go.values():
            event.set()
        until(lambda: {state(client, one), state(client, four)} == {"done"})
        clips = client.ListClips(pb.ListClipsRequest(), timeout=WAIT_S).clips
        assert sorted(clip.prompt for clip in clips) == ["four", "one", "three"]


def test_at_a_stop_all_that_run_are_interrupted_and_made_again(tmp_path: Path) -> None:
    engine = Beside()
    engine.let_go = {prompt: threading.Event() for prompt in ("one", "two")}
    made = settings(tmp_path)
    with running(made, engine) as daemon, stub(daemon.grpc.port) as client:
        jobs = [ask(client, prompt) for prompt in ("one", "two")]
        until(lambda: len(client.GetStatus(pb.GetStatusRequest()).running_jobs) == 2)
        for job in daemon.queue.running:
            job.eta_s = 60.0
        engine.hold = threading.Event()
    with running(made, StandIn(), resume=True) as daemon, stub(daemon.grpc.port) as client:
        until(
            lambda: [clip.prompt for clip in client.ListClips(pb.ListClipsRequest()).clips].count("one") == 1
        )
        until(lambda: len(client.ListClips(pb.ListClipsRequest()).clips) == 2)
        assert {state(client, job) for job in jobs} == {"interrupted"}

"""The queue by itself: bounds, fair turns, cancelling, closing."""

from pathlib import Path

import pytest

from acestep.errors import Busy, NotFound, Unavailable
from acestep.request import GenerateRequest
from server.jobs.events import Accepted, Event, Failed, Hub
from server.jobs.queue import CANCELLED, INTERRUPTED, RUNNING, Job, JobQueue


class Recorder:
    def __init__(self) -> None:
        self.hub = Hub()
        self.events: list[Event] = []
        self.hub.listen(self.events.append)
        self.recorded: list[tuple[str, str]] = []

    def queue(self, limit: int = 10, limit_per_client: int = 5) -> JobQueue:
        return JobQueue(
            self.hub, lambda job: self.recorded.append((job.id, job.state)), limit, limit_per_client
        )


def job(client: str = "a", prompt: str = "p") -> Job:
    return Job(GenerateRequest(prompt=prompt, seed=1), Path(), client)


def take(queue: JobQueue) -> Job:
    item = queue.take(0)
    assert isinstance(item, Job)
    return item


def test_senders_take_turns_however_many_jobs_one_has() -> None:
    queue = Recorder().queue()
    for number in range(3):
        queue.submit(job("busy", f"busy {number}"))
    queue.submit(job("other", "other 0"))
    queue.submit(job("third", "third 0"))
    order = []
    for _ in range(5):
        one = take(queue)
        order.append(one.request.prompt)
        queue.finish(one, "done")
    assert order == ["busy 0", "other 0", "third 0", "busy 1", "busy 2"]


def test_the_queue_is_bounded_in_all_and_per_sender() -> None:
    queue = Recorder().queue(limit=3, limit_per_client=2)
    queue.submit(job("a"))
    queue.submit(job("a"))
    with pytest.raises(Busy, match="2 jobs of a"):
        queue.submit(job("a"))
    queue.submit(job("b"))
    with pytest.raises(Busy, match="3 jobs are waiting"):
        queue.submit(job("c"))
    take(queue)
    queue.submit(job("c"))


def test_position_counts_the_running_job() -> None:
    queue = Recorder().queue()
    assert queue.submit(job()) == 0
    assert queue.submit(job()) == 1
    take(queue)
    assert queue.submit(job()) == 2


def test_a_job_is_recorded_before_it_is_acknowledged() -> None:
    recorder = Recorder()
    queue = JobQueue(recorder.hub, lambda job: recorder.recorded.append((job.id, str(len(recorder.events)))))
    one = job()
    queue.submit(one)
    assert recorder.recorded == [(one.id, "0")]
    assert recorder.events == [Accepted(one.id, 0, 1)]


def test_a_job_that_cannot_be_recorded_is_not_queued() -> None:
    def fail(_: Job) -> None:
        raise Busy("no")

    recorder = Recorder()
    queue = JobQueue(recorder.hub, fail)
    with pytest.raises(Busy):
        queue.submit(job())
    assert queue.take(0) is None
    assert recorder.events == []


def test_a_queued_job_is_cancelled_at_once() -> None:
    recorder = Recorder()
    queue = recorder.queue()
    one, two = job(prompt="one"), job(prompt="two")
    queue.submit(one)
    queue.submit(two)
    assert queue.cancel(one.id).state == CANCELLED
    assert Failed(one.id, "cancelled", "cancelled before it started") in recorder.events
    assert recorder.recorded[-1] == (one.id, CANCELLED)
    assert take(queue) is two
    assert queue.take(0) is None


def test_a_running_job_is_asked_to_stop() -> None:
    queue = Recorder().queue()
    one = job()
    queue.submit(one)
    take(queue)
    assert queue.cancel(one.id).state == RUNNING
    assert one.cancelling.is_set()


def test_cancelling_what_is_not_there_says_so() -> None:
    with pytest.raises(NotFound, match="no job 'x'"):
        Recorder().queue().cancel("x")


def test_errands_come_before_jobs() -> None:
    queue = Recorder().queue()
    queue.submit(job())
    queue.run_soon(lambda: None)
    assert not isinstance(queue.take(0), Job)
    assert isinstance(queue.take(0), Job)


def test_closing_interrupts_the_waiting_and_refuses_the_new() -> None:
    recorder = Recorder()
    queue = recorder.queue()
    one = job()
    queue.submit(one)
    queue.close()
    assert one.state == INTERRUPTED
    assert (one.id, INTERRUPTED) in recorder.recorded
    with pytest.raises(Unavailable):
        queue.submit(job())
    assert queue.take(None) is None


def test_finished_jobs_are_forgotten_in_the_end_and_waiting_ones_never() -> None:
    recorder = Recorder()
    queue = JobQueue(recorder.hub, lambda job: None, limit=5, limit_per_client=5)
    waiting = job("waits")
    for _ in range(700):
        one = job("quick")
        queue.submit(one)
        queue.finish(take(queue), "done")
    queue.submit(waiting)
    assert len(queue.jobs()) < 600
    assert queue.get(waiting.id) is waiting

"""The queue by itself: bounds, fair turns, cancelling, closing."""

import queue as queue_module
import threading
from pathlib import Path
from typing import Any

import pytest

from acestep.errors import Busy, NotFound, Unavailable
from acestep.request import GenerateRequest
from server.jobs.events import Accepted, Done, Event, Failed, Hub, Progress
from server.jobs.job import Ending, Job, JobState
from server.jobs.queue import JobQueue


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
        queue.finish(one, Ending(JobState.DONE))
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
    assert queue.cancel(one.id).state == JobState.CANCELLED
    assert Failed(one.id, "cancelled", "cancelled before it started") in recorder.events
    assert recorder.recorded[-1] == (one.id, JobState.CANCELLED)
    assert take(queue) is two
    assert queue.take(0) is None


def test_a_running_job_is_asked_to_stop() -> None:
    queue = Recorder().queue()
    one = job()
    queue.submit(one)
    take(queue)
    assert queue.cancel(one.id).state == JobState.RUNNING
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
    assert one.state == JobState.INTERRUPTED
    assert (one.id, JobState.INTERRUPTED) in recorder.recorded
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
        queue.finish(take(queue), Ending(JobState.DONE))
    queue.submit(waiting)
    assert len(queue.jobs()) < 600
    assert queue.get(waiting.id) is waiting


WAIT_S = 30


class Slow:
    """A listener or a journal that takes its time over the first thing it is told."""

    def __init__(self) -> None:
        self.busy, self.go_on = threading.Event(), threading.Event()

    def __call__(self, _: Any) -> None:
        if not self.busy.is_set():
            self.busy.set()
            assert self.go_on.wait(WAIT_S)


def in_thread(function: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    return thread


def test_whoever_asks_or_submits_never_waits_for_a_slow_listener() -> None:
    recorder, slow = Recorder(), Slow()
    recorder.hub.listen(slow)
    queue = recorder.queue()
    first = job("a")
    submitting = in_thread(queue.submit, first)
    assert slow.busy.wait(WAIT_S)
    second = job("b")
    queue.submit(second)
    assert queue.cancel(second.id).state is JobState.CANCELLED
    assert queue.jobs() == [first, second]
    assert queue.waiting_count == 1
    slow.go_on.set()
    submitting.join()
    assert take(queue) is first


def test_whoever_asks_never_waits_for_the_journal_of_a_job_that_starts_or_ends() -> None:
    for ends in (False, True):
        slow = Slow()
        queue = JobQueue(Hub(), lambda job: None, keep=slow)
        one = job()
        queue.submit(one)
        if ends:
            slow.busy.set()
            take(queue)
            slow.busy.clear()
        moving = in_thread(queue.finish, one, Ending(JobState.DONE)) if ends else in_thread(take, queue)
        assert slow.busy.wait(WAIT_S)
        assert [known.state for known in queue.jobs()] == [JobState.DONE if ends else JobState.RUNNING]
        queue.submit(job("b"))
        slow.go_on.set()
        moving.join()


def test_nobody_hears_of_progress_before_acceptance_however_slow_a_listener_is() -> None:
    hub, slow = Hub(), Slow()
    events: list[Event] = []
    hub.listen(slow)
    hub.listen(events.append)
    queue = JobQueue(hub, lambda job: None)
    one = job()
    submitting = in_thread(queue.submit, one)
    assert slow.busy.wait(WAIT_S)

    def work() -> None:
        queue.report(take_waiting(queue), "l", 0.5, 1.0)

    working = in_thread(work)
    working.join(0.2)
    assert events == []
    slow.go_on.set()
    submitting.join()
    working.join()
    assert events == [Accepted(one.id, 0, 1), Progress(one.id, "l", 0.5, 1.0)]


def take_waiting(queue: JobQueue) -> Job:
    item = queue.take(WAIT_S)
    assert isinstance(item, Job)
    return item


def test_a_job_moves_only_as_jobs_can() -> None:
    recorder = Recorder()
    queue = recorder.queue()
    one = job()
    queue.submit(one)
    with pytest.raises(AssertionError, match="queued and cannot become done"):
        queue.finish(one, Ending(JobState.DONE))
    assert (one.state, queue.waiting_count) == (JobState.QUEUED, 1)


def test_every_move_is_written_down_before_it_is_told() -> None:
    recorder = Recorder()
    seen: list[tuple[JobState, int]] = []
    queue = JobQueue(
        recorder.hub,
        record=lambda job: seen.append((job.state, len(recorder.events))),
        keep=lambda job: seen.append((job.state, len(recorder.events))),
    )
    one = job()
    queue.submit(one)
    take(queue)
    queue.finish(one, Ending(JobState.DONE))
    assert seen == [(JobState.QUEUED, 0), (JobState.RUNNING, 1), (JobState.DONE, 1)]
    assert recorder.events[1:] == [Done(one.id, 0)]


def test_a_job_that_has_ended_reports_nothing_more() -> None:
    recorder = Recorder()
    queue = recorder.queue()
    one = job()
    queue.submit(one)
    take(queue)
    queue.finish(one, Ending(JobState.FAILED, "internal", "broken"))
    queue.report(one, "m", 0.9, 1.0)
    assert recorder.events[1:] == [Failed(one.id, "internal", "broken")]
    assert one.stage == ""


def test_a_daemon_that_stops_starts_no_job_more() -> None:
    queue = Recorder().queue()
    queue.submit(job("a"))
    queue.submit(job("b"))
    take(queue)
    queue.close()
    assert queue.take(0) is None


def test_several_jobs_run_side_by_side_as_many_as_may_and_senders_still_take_turns() -> None:
    room = 2
    recorder = Recorder()
    queue = JobQueue(recorder.hub, lambda job: None, at_once=lambda: room)
    for number in range(3):
        queue.submit(job("busy", f"busy {number}"))
    queue.submit(job("other", "other 0"))
    first, second = take(queue), take(queue)
    assert [first.request.prompt, second.request.prompt] == ["busy 0", "other 0"]
    assert queue.running == (first, second)
    assert queue.take(0) is None
    assert queue.submit(job("late")) == 4
    queue.finish(second, Ending(JobState.DONE))
    assert take(queue).request.prompt == "busy 1"
    room = 0
    queue.finish(first, Ending(JobState.DONE))
    assert queue.take(0) is None
    room = 3
    assert [take(queue).client for _ in range(2)] == ["late", "busy"]


def test_whoever_waits_for_a_job_hears_that_there_is_room_again() -> None:
    room, taken = 0, queue_module.SimpleQueue[object]()
    queue = JobQueue(Hub(), lambda job: None, at_once=lambda: room)
    one = job()
    queue.submit(one)
    thread = threading.Thread(target=lambda: taken.put(queue.take(20)))
    thread.start()
    room = 1
    queue.look_again()
    assert taken.get(timeout=20) is one
    thread.join()

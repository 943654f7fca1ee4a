"""A job on its way through replicas that answer, refuse, die or are silent, as a test tells them to."""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from acestep.clips.clip import Finished
from acestep.errors import Cancelled, OutOfMemory, Unavailable
from server.cluster.work import Began, Bundle, Ended, Model, Piece, Refused, Step, Window, Work

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="`make install-cluster` installs Ray"),
]
PATHS = {"reference": "/music/vinyl.wav"}


def died() -> Exception:
    import ray

    return ray.exceptions.ActorDiedError()


def clip(take: int, body: bytes = b"sound") -> list[Piece]:
    sidecar = {"clip": {"take": take}, "request": {"reference": {"path": "/node/vinyl.wav", "start_s": 1.0}}}
    pieces = [Piece(f"t{take}", ".wav", body[:2], sidecar)]
    return [*pieces, Piece(f"t{take}", ".wav", body[2:], None)]


class Response:
    """What one call says: messages, an error, or nothing until it is cancelled."""

    def __init__(self, says: list[Any]) -> None:
        self.says, self.cancelled = says, threading.Event()

    def __iter__(self) -> Iterator[Any]:
        for one in self.says:
            if isinstance(one, Exception):
                raise one
            if one == "silence":
                self.cancelled.wait(20)
                return
            yield one

    def cancel(self) -> None:
        self.cancelled.set()


class Handle:
    """In place of Serve's: each call of `make` is answered by the next script for those takes."""

    def __init__(self, scripts: dict[Any, list[list[Any]]]) -> None:
        self.scripts, self.calls = scripts, list[Response]()
        self.make = self

    def remote(self, work: Work) -> Response:
        self.calls.append(Response(self.scripts[work.takes].pop(0)))
        return self.calls[-1]


def work(takes: tuple[int, int] | None = None) -> Work:
    cascade = Bundle("cascade", "nano", {"nano/cascade.json": "sha256:0"})
    return Work("job", Model(cascade, "auto", "auto"), {}, takes, None)


class Told:
    """What a job's callbacks are told."""

    def __init__(self, spare: int = 10) -> None:
        self.stages: list[str] = []
        self.fractions: list[float] = []
        self.audio: list[tuple[int, int]] = []
        self.lost: list[str] = []
        self.left = spare

    def spare(self, change: int) -> bool:
        if change > 0 and self.left == 0:
            return False
        self.left -= change
        return True

    def progress(self, progress: Any) -> None:
        self.stages.append(progress.stage)
        self.fractions.append(progress.fraction)

    def window(self, take: int, start: int, samples: np.ndarray) -> None:
        self.audio.append((take, start))


def gather(
    handle: Handle, told: Told, works: list[Work], cancelled: Callable[[], bool] = lambda: False
) -> list[Finished]:
    from server.cluster.gather import Gathering

    shares = [1 / len(works)] * len(works)
    gathering = Gathering(handle, works, shares, told.spare, told.lost.append)
    return list(gathering.clips(told.progress, told.window, cancelled, PATHS))


def test_clips_come_whole_in_order_and_with_the_paths_that_were_asked_for() -> None:
    first = [Began("a"), Step("m", 0.5, 2.0), *clip(0), *clip(1), Ended()]
    handle = Handle({(0, 2): [first], (2, 4): [[Began("b"), *clip(2), *clip(3, b"x"), Ended()]]})
    told = Told()
    made = gather(handle, told, [work((0, 2)), work((2, 4))])
    assert [one.stem for one in made] == ["t0", "t1", "t2", "t3"]
    assert [one.body for one in made] == [b"sound", b"sound", b"sound", b"x"]
    assert made[0].sidecar["request"]["reference"] == {"path": "/music/vinyl.wav", "start_s": 1.0}
    assert told.left == 10


def test_work_of_a_replica_that_dies_is_done_again_and_nothing_comes_twice() -> None:
    heard = [Window(0, start, np.zeros((2, 100), np.float32)) for start in (0, 100, 200)]
    handle = Handle(
        {None: [[Began("a"), *heard[:2], *clip(0), died()], [Began("b"), *heard, *clip(0), Ended()]]}
    )
    told = Told()
    made = gather(handle, told, [work()])
    assert [one.stem for one in made] == ["t0"]
    assert told.audio == [(0, 0), (0, 100), (0, 200)]
    assert told.lost == ["a"]


def test_work_over_which_every_replica_dies_is_given_up() -> None:
    handle = Handle({None: [[Began(f"{number}"), died()] for number in range(9)]})
    with pytest.raises(Unavailable, match="5 replicas died while they made job job"):
        gather(handle, Told(), [work()])
    assert len(handle.calls) == 5


def test_what_cannot_be_made_is_refused_once_and_the_other_parts_stop() -> None:
    refused = [Began("a"), Refused("out_of_memory", "too small")]
    handle = Handle({(0, 2): [refused], (2, 4): [[Began("b"), "silence"]]})
    told = Told()
    with pytest.raises(OutOfMemory, match="too small"):
        gather(handle, told, [work((0, 2)), work((2, 4))])
    assert all(call.cancelled.is_set() for call in handle.calls[1:])
    assert told.left == 10


def test_a_fault_of_the_replicas_program_is_no_loss() -> None:
    import ray

    fault = ray.exceptions.RayTaskError("make", "traceback", ValueError("a bug"))
    handle = Handle({None: [[Began("a"), fault]]})
    with pytest.raises(ray.exceptions.RayTaskError):
        gather(handle, Told(), [work()])
    assert len(handle.calls) == 1


def test_a_cancelled_job_stops_its_replica_and_one_without_a_replica_says_that_it_waits() -> None:
    handle, told = Handle({None: [["silence"]]}), Told()
    with pytest.raises(Cancelled):
        gather(handle, told, [work()], lambda: "waiting for a replica" in told.stages)
    assert handle.calls[0].cancelled.is_set()


def test_without_spare_replicas_parts_are_made_one_after_the_other() -> None:
    handle = Handle({(0, 2): [[Began("a"), *clip(0), Ended()]], (2, 4): [[Began("a"), *clip(2), Ended()]]})
    told = Told(spare=0)
    assert [one.stem for one in gather(handle, told, [work((0, 2)), work((2, 4))])] == ["t0", "t2"]
    assert told.left == 0

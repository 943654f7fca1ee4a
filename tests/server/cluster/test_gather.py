"""A job on its way through replicas that answer, refuse, die or are silent, as a test tells them to."""

import importlib.util
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acestep.clips.clip import Clip, Finished
from acestep.errors import Cancelled, OutOfMemory, Unavailable
from server.cluster.work import Began, Bundle, Ended, Model, Piece, Refused, Step, Window, Work

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="`make install-cluster` installs Ray"),
]


def died() -> Exception:
    import ray

    return ray.exceptions.ActorDiedError()


def clip(take: int, body: bytes = b"sound") -> list[Piece]:
    first = Piece(f"t{take}", ".wav", body[:2], None)
    return [first, Piece(f"t{take}", ".wav", body[2:], {"clip": {"take": take}})]


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
    return list(gathering.clips(told.progress, told.window, cancelled))


def test_clips_come_whole_and_in_order() -> None:
    first = [Began("a"), Step("m", 0.5, 2.0), *clip(0), *clip(1), Ended()]
    handle = Handle({(0, 2): [first], (2, 4): [[Began("b"), *clip(2), *clip(3, b"x"), Ended()]]})
    told = Told()
    made = gather(handle, told, [work((0, 2)), work((2, 4))])
    assert [one.stem for one in made] == ["t0", "t1", "t2", "t3"]
    assert [one.body for one in made] == [b"sound", b"sound", b"sound", b"x"]
    assert [one.sidecar["clip"]["take"] for one in made] == [0, 1, 2, 3]
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


def part_clip(name: str, where: str, body: bytes, heard: tuple[str, ...] = (), **idea: Any) -> Piece:
    """A part of an idea as a replica sends it; `where` is what its names begin with there."""
    sources = [{"path": f"{where}_{one}.wav", "start_s": 0.0, "end_s": None} for one in heard]
    context = {**sources[0], "plus": sources[1:]} if sources else None
    told = Clip(
        name=f"{where}_{name}.wav", path="", job="job", take=0, seed=1, bpm=120.0, signature="4/4", key="",
        bars=1.0, duration_s=2.0, samples=96_000, sample_rate_hz=48_000, tempo_error_pct=None,
        downbeat_error_ms=None, key_match=None, fit="off", prompt="", cascade="nano", idea="job", part=name,
    )  # fmt: skip
    fields = {
        one: value for one, value in asdict(told).items() if one not in ("path", "midi", "sidecar_json")
    }
    request = {"context": context}
    sidecar = {
        "format": 1,
        "clip": fields,
        "request": request,
        "idea": {"request": {"context": None}, "at_s": 0.0, **idea},
    }
    return Piece(f"dusty_{name}", ".wav", body, sidecar)


def test_parts_of_an_idea_are_written_as_they_come_and_those_that_come_again_once(tmp_path: Path) -> None:
    from server.cluster.gather import Gathering, delivered

    (tmp_path / "dusty_drums.wav").write_bytes(b"somebody's")  # so the name is another one here
    bass = part_clip("bass", "b", b"bass", ("drums",))
    mix = part_clip("mix", "b", b"mix", parts={"drums": "b_drums.wav", "bass": "b_bass.wav"})
    first = [Began("a"), part_clip("drums", "a", b"drums"), died()]
    handle = Handle({None: [first, [Began("b"), part_clip("drums", "b", b"drums"), bass, mix, Ended()]]})
    told, delivered_by_then = Told(), list[str]()
    gathering = Gathering(handle, [work()], [1.0], told.spare, told.lost.append)
    made = gathering.clips(told.progress, told.window, lambda: False, one_by_one=True)
    clips = delivered(made, tmp_path, lambda clip: delivered_by_then.append(clip.part), lambda: False)
    assert [clip.part for clip in clips] == delivered_by_then == ["drums", "bass", "mix"]
    assert [clip.name for clip in clips] == ["dusty_drums-2.wav", "dusty_bass.wav", "dusty_mix.wav"]
    assert clips[1].sidecar["request"]["context"]["path"] == clips[0].path
    assert clips[2].sidecar["idea"]["parts"] == {"drums": clips[0].name, "bass": clips[1].name}
    assert clips[2].sidecar["idea"]["at_s"] > clips[0].sidecar["idea"]["at_s"] > 0
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

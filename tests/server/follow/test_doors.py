"""Follows through gRPC and OSC, of a daemon with a stand-in for the model."""

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import mido
import numpy as np
import pytest
import soundfile

from acestep.clips.clip import Finished
from acestep.clips.segment import Anchor, Segment
from acestep.request import GenerateRequest
from acestep.sound.encode import encode
from acestep.sound.riff import MusicalData
from protos.acestep.v1 import acestep_pb2 as pb
from server.daemon import Daemon
from server.follow import conductor
from tests.support.daemons import Osc, StandIn, generate, reason, running, settings, stub

RATE_HZ = 48_000


class Band(StandIn):
    """Makes segments at once: a tone that is as long as the bars, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[GenerateRequest] = []
        self.hasty: list[bool] = []
        self.takes_s = 0.0  # of making a segment

    def load(self, name: str, device: str) -> Any:
        """A cascade that stays in memory."""
        cascade = super().load(name, device)
        cascade.resident = True
        return cascade

    def check_follow(self) -> None:
        """It can."""

    def segment(
        self, cascade: Any, request: GenerateRequest, before: Any, anchor: Any, hasty: bool = False
    ) -> Segment:
        self.asked.append(request)
        self.hasty.append(hasty)
        time.sleep(self.takes_s)
        if request.prompt == "broken":
            raise MemoryError("no room")
        audio = np.full((2, request.grid.samples()), 0.1, np.float32)
        data = MusicalData(request.grid.bpm, 4, 4, round(request.grid.bars * 4))
        clip = {"name": "", "take": 0, "seed": 1, "bpm": request.bpm, "signature": str(request.signature),
                "key": "", "bars": request.bars, "prompt": request.prompt, "samples": audio.shape[1],
                "sample_rate_hz": RATE_HZ, "duration_s": request.grid.duration_s, "fit": "good", "job": "",
                "cascade": "nano", "created": "2026-11-30T12:00:00+0000", "tempo_error_pct": None,
                "downbeat_error_ms": None, "key_match": None, "adapters": []}  # fmt: skip
        body = encode(audio, RATE_HZ, "wav", "pcm24", data)
        file = Finished("tone", ".wav", body, {"format": 1, "clip": clip, "request": request.to_dict()})
        return Segment(audio, RATE_HZ, file, anchor or Anchor(-14.0, 1_000.0))


@pytest.fixture
def band() -> Band:
    return Band()


@pytest.fixture
def daemon(tmp_path: Path, band: Band) -> Iterator[Daemon]:
    with running(settings(tmp_path), band) as made:
        yield made


class Call:
    """A client's side of `Follow`."""

    def __init__(self, door: Any, **start: Any) -> None:
        self._out: queue.SimpleQueue[pb.FollowRequest | None] = queue.SimpleQueue()
        self.say(start=pb.FollowStart(**start))
        self._events = door.Follow(iter(self._out.get, None), timeout=60)

    def say(self, **what: Any) -> None:
        self._out.put(pb.FollowRequest(**what))

    def next(self, kind: str) -> Any:
        for event in self._events:
            if event.WhichOneof("event") == kind:
                return getattr(event, kind)
        raise AssertionError(f"the call ended before {kind}")

    def note(self, reason: str) -> str:
        while (note := self.next("note")).reason != reason:
            pass
        return str(note.message)

    def end(self) -> None:
        self._out.put(None)
        self._events.cancel()


def test_segments_come_before_the_playhead_needs_them(daemon: Daemon, band: Band) -> None:
    with stub(daemon.grpc.port) as door:
        call = Call(
            door,
            settings=pb.GenerateRequest(prompt="house", seed=3, bpm=240),
            segment_bars=1,
            send_audio=True,
        )
        call.next("started")
        ready = [call.next("segment") for _ in range(2)]
        assert [(one.number, one.start_quarters, one.bars) for one in ready] == [(0, 0, 1), (1, 4, 1)]
        call.say(position=pb.TransportPosition(quarters=0, bpm=240, playing=True))
        begun = time.monotonic()
        third = call.next("segment")
        assert third.start_quarters == 8
        assert time.monotonic() - begun < 2.0  # which is when it begins
        audio, rate_hz = soundfile.read(third.path)
        assert len(audio) == rate_hz
        assert third.file == Path(third.path).read_bytes()
        call.end()
        assert {request.family for request in band.asked} == {3}
        assert [request.variation for request in band.asked[:3]] == [0.0, 0.5, 0.5]
    until(lambda: not daemon.conductor.status())


def test_what_is_changed_reaches_the_next_segment(daemon: Daemon, band: Band) -> None:
    with stub(daemon.grpc.port) as door:
        call = Call(door, settings=pb.GenerateRequest(prompt="house", seed=3))
        call.next("segment"), call.next("segment")
        call.say(set=pb.GenerateRequest(prompt_b="pad", morph=0.25, key="A minor"))
        call.next("segment")
        assert (band.asked[-1].prompt, band.asked[-1].prompt_b, band.asked[-1].morph) == (
            "house",
            "pad",
            0.25,
        )
        assert str(band.asked[-1].key) == "A minor"
        call.say(set=pb.GenerateRequest(takes=3))
        assert "a follow has no takes" in call.next("note").message
        call.say(recall=77)
        assert call.next("note").reason == "not_found"
        call.end()


def test_a_tempo_stretches_what_is_ready_to_the_sample(daemon: Daemon) -> None:
    with stub(daemon.grpc.port) as door:
        call = Call(door, settings=pb.GenerateRequest(prompt="house", seed=3, bpm=120), segment_bars=1)
        call.next("segment"), call.next("segment")
        call.say(position=pb.TransportPosition(quarters=0, bpm=120, playing=True))
        call.say(position=pb.TransportPosition(quarters=0.1, bpm=100))
        own = call.next("segment")
        while own.start_quarters or own.bpm != 100:
            own = call.next("segment")
        assert own.number == 0
        assert soundfile.info(own.path).frames == round(4 * 60 / 100 * RATE_HZ)
        call.end()


def test_a_failure_is_told_once_and_the_daemon_lives(daemon: Daemon) -> None:
    with stub(daemon.grpc.port) as door:
        call = Call(door, settings=pb.GenerateRequest(prompt="broken"))
        note = call.next("note")
        assert (note.reason, "no room" in note.message) == ("out_of_memory", True)
        assert [event.WhichOneof("event") for event in generate(door, prompt="pad")][-1] == "done"
        call.say(set=pb.GenerateRequest(prompt="house"))
        assert call.next("segment").number == 0
        call.end()


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (pb.FollowRequest(vary=True), "begins with `start`"),
        (
            pb.FollowRequest(start=pb.FollowStart(settings=pb.GenerateRequest(prompt="x"), segment_bars=2.5)),
            "2.5 bars",
        ),
        (
            pb.FollowRequest(start=pb.FollowStart(settings=pb.GenerateRequest(prompt="x", takes=2))),
            "has no takes",
        ),
        (pb.FollowRequest(start=pb.FollowStart()), "prompt is empty"),
        (
            pb.FollowRequest(start=pb.FollowStart(settings=pb.GenerateRequest(prompt="x"), folder="/etc")),
            "/etc",
        ),
    ],
)
def test_a_follow_that_cannot_be_is_refused(daemon: Daemon, first: pb.FollowRequest, said: str) -> None:
    with stub(daemon.grpc.port) as door, pytest.raises(grpc.RpcError) as error:
        list(door.Follow(iter([first]), timeout=20))
    assert said in error.value.details()
    assert reason(error.value) in ("invalid_request", "forbidden_path")


def test_a_segment_in_need_holds_up_a_running_job(daemon: Daemon, band: Band) -> None:
    """The job goes on behind it."""
    band.hold.clear()
    with stub(daemon.grpc.port) as door:
        done: list[str] = []
        job = threading.Thread(
            target=lambda: done.extend(e.WhichOneof("event") for e in generate(door, prompt="long"))
        )
        job.start()
        band.started.acquire(timeout=20)
        call = Call(door, settings=pb.GenerateRequest(prompt="house", bpm=240), segment_bars=1)
        call.say(position=pb.TransportPosition(quarters=0, bpm=240, playing=True))
        assert call.next("segment").number == 0
        assert not done
        band.hold.set()
        job.join(20)
        assert done[-1] == "done"
        call.end()


def test_osc_starts_moves_sets_and_stops(daemon: Daemon, band: Band, tmp_path: Path) -> None:
    with Osc(daemon.osc.port) as osc:
        osc.send("takes", 4)  # of clips; a follow has none
        osc.send("key", "F minor")
        osc.send("follow/start", "house", "bars", 2, "tempo", 126.0)
        _, (name, folder) = osc.until("follow/started")
        _, (of, number, path, start, bars, bpm, repeated) = osc.until("segment")
        assert (of, number, start, bars, bpm, repeated) == (name, 0, 0.0, 2.0, 126.0, 0)
        assert Path(path).parent == Path(folder)
        osc.until("segment")
        assert str(band.asked[-1].key) == "F minor"
        osc.send("follow/set", "morph", 0.75)
        osc.send("follow/set", "prompt_b", "techno")
        osc.send("follow/set", "vary", 1)
        osc.send("follow/position", 0.0, 126.0, 1)
        osc.until("segment")
        until(lambda: band.asked[-1].prompt_b == "techno")
        assert band.asked[-1].morph == 0.75
        osc.send("follow/set", "colour", "red")
        assert "not a setting" in osc.until("error")[1][1]
        osc.send("follow/position", "here")
        assert "expected a number" in osc.until("error")[1][1]
        osc.send("follow/stop")
        assert osc.until("follow/stopped")[1] == [name, "stopped"]
        osc.send("follow/stop")
        assert "has no follow" in osc.until("error")[1][1]


def test_status_tells_of_follows_and_the_end_of_the_daemon_ends_them(tmp_path: Path, band: Band) -> None:
    with running(settings(tmp_path), band) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("follow/start", "house")
        osc.until("segment")
        osc.send("status")
        assert '"prompt": "house"' in osc.until("state")[1][0]
        daemon.stop()
        assert osc.until("follow/stopped")[1][1] == "the daemon stops"


def until(condition: Any) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


class Port:
    """In place of a MIDI port, which needs hardware: hands messages to whoever opened it."""

    name = "clock"

    def __init__(self, callback: Any) -> None:
        self.send = callback

    def close(self) -> None:
        """Nothing is open."""


def test_a_midi_clock_drives_the_follow_of_this_machine(
    tmp_path: Path, band: Band, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: list[Port] = []

    def open_input(name: str, callback: Any) -> Port:
        ports.append(Port(callback))
        return ports[-1]

    monkeypatch.setattr(mido, "get_input_names", lambda: ["clock"])
    monkeypatch.setattr(mido, "open_input", open_input)
    with running(settings(tmp_path, midi_input="clock"), band) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("follow/start", "house", "bars", 1, "tempo", 120.0)
        osc.until("segment"), osc.until("segment")
        for message in (mido.Message("songpos", pos=32), mido.Message("continue")):
            ports[0].send(message)
        starts = {osc.until("segment")[1][3] for _ in range(2)}
        assert starts == {8.0, 12.0}
        for _ in range(24 * 8):  # two bars on, as fast as they come
            ports[0].send(mido.Message("clock"))
        while starts < {8.0, 12.0, 16.0, 20.0}:  # one that lay ready may be told again
            starts.add(osc.until("segment")[1][3])


def test_a_machine_that_is_too_slow_says_so_and_takes_what_helps(daemon: Daemon, band: Band) -> None:
    band.takes_s = 1.1  # for a bar of one second
    with stub(daemon.grpc.port) as door:
        call = Call(door, settings=pb.GenerateRequest(prompt="house", bpm=240), segment_bars=1)
        call.next("segment"), call.next("segment")
        call.say(position=pb.TransportPosition(quarters=0, bpm=240, playing=True))
        assert "fewer steps" in call.note("slow")
        band.takes_s = 2.3
        assert "segments are 2 bars long" in call.note("slow")
        assert (band.hasty[0], band.hasty[-1]) == (False, True)
        assert "the last segment is repeated" in call.note("slow")
        assert call.next("segment").repeated
        call.end()


def test_old_segments_go_and_are_made_again_where_they_are_needed(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conductor, "KEPT_FILES", 2)
    with stub(daemon.grpc.port) as door:
        call = Call(door, settings=pb.GenerateRequest(prompt="house", bpm=240), segment_bars=1)
        folder = Path(call.next("started").folder)
        for quarters in (0.0, 40.0):
            call.say(position=pb.TransportPosition(quarters=quarters))
            assert [call.next("segment").start_quarters for _ in range(2)] == [quarters, quarters + 4]
        until(lambda: len(list(folder.glob("*.wav"))) == 2)
        call.say(position=pb.TransportPosition(quarters=0.0))
        again = call.next("segment")
        assert (again.start_quarters, again.number) == (0, 4)
        call.end()


def test_a_new_follow_that_is_refused_ends_no_old_one(daemon: Daemon) -> None:
    with Osc(daemon.osc.port) as osc:
        osc.send("follow/start", "house")
        _, (name, _) = osc.until("follow/started")
        osc.send("follow/start", "house", "takes", 3)
        assert "a follow has no takes" in osc.until("error")[1][1]
        osc.send("follow/stop")
        assert osc.until("follow/stopped")[1] == [name, "stopped"]


def test_a_segment_of_other_bars_cannot_be_brought_back(daemon: Daemon) -> None:
    with stub(daemon.grpc.port) as door:
        call = Call(door, settings=pb.GenerateRequest(prompt="house", bpm=240), segment_bars=1)
        call.next("segment"), call.next("segment")
        call.say(segment_bars=2)
        call.say(position=pb.TransportPosition(quarters=8.0))
        assert call.next("segment").bars == 2
        call.say(recall=0)
        assert "segment 0 has 1 bar of" in call.note("invalid_request")
        call.end()

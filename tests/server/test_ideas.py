"""Ideas in parts through the daemon's doors: each part told as it is ready, one made anew, one added."""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from acestep.clips.clip import Clip
from acestep.clips.fit import warm_up
from plugin_bridge import Bridge
from plugin_bridge.words import ClipReady
from protos.acestep.v1 import acestep_pb2 as pb
from server.cli import acestep as cli
from server.daemon import Daemon
from server.jobs.engine import AceStep
from server.library.search import Search
from tests.support.daemons import WAIT_S, Osc, StandIn, generate, reason, running, settings, stub, until
from tests.support.parts_band import PartsBand, Spec

PARTS = {"parts": "drums, bass", "bars": 1.0, "bpm": 120.0, "key": "A minor"}


class Loaded(PartsBand):
    """The small band as a daemon holds it."""

    device = "cpu"
    adapters = SimpleNamespace(loaded={}, paths={})

    def is_current(self) -> bool:
        """Nobody changes it."""
        return True


class Parts(StandIn):
    """The real way of a request, with the small band as its cascade."""

    def load(self, name: str, device: str) -> Any:
        return Loaded()

    def spec(self, name: str) -> Any:
        return Spec()

    produce = AceStep.produce  # type: ignore[assignment]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    warm_up()  # else the first job waits for imports
    with running(settings(tmp_path_factory.mktemp("ideas")), Parts()) as found:
        yield found


@pytest.fixture(scope="module")
def first(daemon: Daemon) -> list[pb.Clip]:
    """An idea's clips."""
    with stub(daemon.grpc.port) as client:
        events = generate(client, prompt="dusty", **PARTS)
    return [event.clip for event in events if event.WhichOneof("event") == "clip"]


def test_grpc_tells_each_part_before_the_next_is_made(daemon: Daemon) -> None:
    with stub(daemon.grpc.port) as client:
        events = generate(client, prompt="dusty", **PARTS)
    told = [event.clip.part or event.progress.stage.partition(":")[0] for event in events]
    assert [event.clip.part for event in events if event.clip.part] == ["drums", "bass", "mix"]
    assert told.index("drums") < len(told) - told[::-1].index("bass")
    assert {event.clip.idea for event in events if event.clip.part} == {events[0].job}
    assert events[-1].done.clips == 3


def test_the_library_finds_the_clips_of_an_idea(daemon: Daemon, first: list[pb.Clip]) -> None:
    until(lambda: len(daemon.library.search(Search(idea=first[0].idea))) == 3)
    with stub(daemon.grpc.port) as client:
        listed = client.ListClips(pb.ListClipsRequest(idea=first[0].idea)).clips
        assert {clip.part for clip in listed} == {"drums", "bass", "mix"}
        assert not client.ListClips(pb.ListClipsRequest(idea="another")).clips
        assert client.ListClips(pb.ListClipsRequest(words=first[0].idea)).clips


def test_osc_makes_an_idea_and_tells_idea_and_part(daemon: Daemon) -> None:
    with Osc(daemon.osc.port) as osc:
        osc.send("session", "parts")
        osc.send("parts", "drums; bass: warm")
        osc.send("bars", 1)
        osc.send("generate", "dusty")
        clips = [osc.until("clip", "error")[1] for _ in range(3)]
        assert [values[8] for values in clips] == ["drums", "bass", "mix"]
        assert len({values[7] for values in clips}) == 1
        osc.send("parts", "")
        osc.send("generate", "", "idea", clips[0][7], "redo", "bass")
        assert [osc.until("clip", "error")[1][8] for _ in range(2)] == ["bass", "mix"]
        osc.send("parts", "drums, drums")
        assert "names drums twice" in osc.until("error")[1][1]


def test_python_makes_one_part_anew_and_adds_one(daemon: Daemon, first: list[pb.Clip]) -> None:
    until(lambda: len(daemon.library.search(Search(idea=first[0].idea))) == 3)
    with Bridge(f"127.0.0.1:{daemon.grpc.port}") as bridge:
        events = list(bridge.generate("", idea=first[0].idea, redo="bass: picked"))
        bass, mix = (event.clip for event in events if isinstance(event, ClipReady))
        assert (bass.idea, bass.part, mix.part) == (first[0].idea, "bass", "mix")
        kept = json.loads(mix.sidecar_json)["idea"]["parts"]
        assert kept == {"drums": first[0].name, "bass": bass.name}
        until(lambda: len(bridge.clips(idea=first[0].idea)) == 5)
        _, mix = bridge.generate("", idea=first[0].idea, parts="lead").clips()
        told = json.loads(mix.sidecar_json)["idea"]
        assert set(told["parts"]) == {"drums", "bass", "lead"}
        assert told["request"]["parts"] == "drums; bass: picked; lead"


@pytest.mark.parametrize(
    ("asked", "why", "says"),
    [
        ({"parts": "drums, tuba"}, "unsupported", "cannot play tuba: expected parts out of"),
        ({"parts": ", ".join(f"p{k}" for k in range(20))}, "invalid_request", "20 parts: expected at most"),
        ({"parts": "drums", "takes": 3}, "invalid_request", "one idea at a time"),
        ({"idea": "nowhere", "redo": "bass"}, "not_found", "no idea 'nowhere' here"),
        ({"idea": "nowhere"}, "invalid_request", "without parts and redo"),
    ],
)
def test_what_cannot_be_made_is_refused_at_once(
    daemon: Daemon, asked: dict[str, Any], why: str, says: str
) -> None:
    before = len(daemon.queue.jobs())
    with stub(daemon.grpc.port) as client, pytest.raises(grpc.RpcError) as refused:
        generate(client, prompt="p", **asked)
    assert reason(refused.value) == why
    assert says in refused.value.details()
    assert len(daemon.queue.jobs()) == before


def test_an_idea_with_a_part_in_the_trash_is_refused_until_it_is_back(daemon: Daemon) -> None:
    with stub(daemon.grpc.port) as client:
        events = generate(client, prompt="dusty", **PARTS)
        bass = next(event.clip for event in events if event.clip.part == "bass")
        until(lambda: len(daemon.library.search(Search(idea=bass.idea))) == 3)
        client.TrashClip(pb.ClipName(name=bass.name))
        with pytest.raises(grpc.RpcError, match="bass in the trash: restore it"):
            generate(client, idea=bass.idea, redo="drums")
        client.RestoreClip(pb.ClipName(name=bass.name))
        assert generate(client, idea=bass.idea, redo="drums")[-1].done.clips == 2
        drums = next(event.clip for event in events if event.clip.part == "drums")
        Path(bass.path).unlink()
        with pytest.raises(grpc.RpcError, match="bass moved or deleted"):
            generate(client, idea=drums.idea, redo="drums")


def test_what_was_delivered_stays_when_the_job_is_cancelled(daemon: Daemon) -> None:
    with stub(daemon.grpc.port) as client:
        request = pb.GenerateRequest(prompt="dusty", detached=True, **{**PARTS, "parts": "drums, bass, lead"})
        call = client.Generate(request, timeout=WAIT_S)
        with contextlib.suppress(grpc.RpcError):
            for event in call:
                if event.clip.part == "drums":
                    clip = Clip.load(event.clip.path)
                    client.CancelJob(pb.CancelJobRequest(job=event.job))
        assert Path(clip.path).is_file()
        job = daemon.queue.get(clip.job)
        until(lambda: job.finished)
        assert daemon.journal.get(clip.job).clips[0] == clip.path
        told = list(client.WatchJob(pb.WatchJobRequest(job=clip.job), timeout=WAIT_S))
        assert next(event.clip.part for event in told if event.clip.part) == "drums"


def test_the_command_line_tells_the_idea_and_goes_on_with_it(daemon: Daemon) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = cli.main((*words, "--home", str(daemon.config.home), "--quiet"))
        return code, out.getvalue(), error.getvalue()

    code, out, error = run("generate", "dusty", "--bars", "1", "--parts", "drums; bass: warm sub")
    assert code == 0, error
    paths = out.split()
    assert [Path(path).stem.rpartition("_")[2] for path in paths] == ["drums", "bass", "mix"]
    idea = Clip.load(paths[0]).idea
    assert f"--idea {idea}" in error
    until(lambda: len(daemon.library.search(Search(idea=idea))) == 3)
    code, out, error = run("generate", "--idea", idea, "--redo", "bass")
    assert (code, len(out.split())) == (0, 2), error
    code, _, error = run("generate", "--idea", idea, "--redo", "lead")
    assert code == 2
    assert "it has drums, bass" in error


def test_several_contexts_are_summed_and_their_tempi_must_agree(daemon: Daemon, first: list[pb.Clip]) -> None:
    with Bridge(f"127.0.0.1:{daemon.grpc.port}") as bridge:
        clips = bridge.generate("lead", context=[first[0].path, first[1].path], bars=1, track="lead").clips()
        request = json.loads(clips[0].sidecar_json)["request"]
        assert [one["path"] for one in request["context"]["plus"]] == [first[1].path]
        assert set(json.loads(clips[0].sidecar_json)["heard"]) == {"context", "context 2"}
        other = bridge.generate("dusty, drums", bars=1, bpm=90).clips()
        with pytest.raises(Exception, match="need one tempo"):
            bridge.generate("lead", context=[first[0].path, other[0].path], bars=1).clips()
    with Osc(daemon.osc.port) as osc:
        osc.send("session", "several")
        for address, clip in (("context", first[0]), ("with", first[1])):
            osc.send(address, clip.path)
        osc.send("generate", "lead", "bars", 1)
        clip = Clip.load(osc.until("clip", "error")[1][1])
        assert [one["path"] for one in clip.sidecar["request"]["context"]["plus"]] == [first[1].path]

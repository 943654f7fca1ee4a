"""`acestep batch`: every request of a file is made once, whoever is stopped or killed, and whatever fails."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from acestep.errors import PoorFit, StorageError
from protos.acestep.v1 import acestep_pb2 as pb
from server.cli.batch.lines import read_requests
from server.daemon import Daemon
from tests.support.commands import run
from tests.support.daemons import HELD, QUICK, Process, StandIn, running, settings, stub, until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def daemon(tmp_path: Path, engine: StandIn) -> Iterator[Daemon]:
    with running(settings(tmp_path, max_queue=4), engine) as found:
        yield found


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def written(folder: Path, *lines: Any) -> Path:
    """A file of requests; what is no text is written as JSON."""
    file = folder / "requests.jsonl"
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return file


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def made(out: Path) -> list[str]:
    """The prompts of the clips that lie in the folder."""
    return sorted(json.loads(file.read_text())["request"]["prompt"] for file in out.glob("[!.]*.wav.json"))


def prompts(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"loop {number:03}"} for number in range(count)]


def test_each_line_becomes_its_clips_and_a_line_with_their_figures(
    tmp_path: Path, out: Path, daemon: Daemon, engine: StandIn
) -> None:
    soundfile.write(tmp_path / "vinyl.wav", np.full((4800, 2), 0.1), 48_000)
    file = written(
        tmp_path,
        {"prompt": "dusty breakbeat", "bpm": 92.5, "key": "A minor", "takes": 2, "seed": 7},
        "",
        {"prompt": "warm pad", "reference": "vinyl.wav"},
    )
    code, told, error = run("batch", file, "--out", out)
    assert code == 0, error
    assert told == f"{out / 'results.jsonl'}\n"
    assert "2 of 2 done, 0 failed" in error
    first, second = sorted(results(out), key=lambda one: one["line"])
    assert (first["line"], first["state"], second["line"]) == (1, "done", 3)
    clip = first["clips"][1]
    assert (clip["seed"], clip["bpm"], clip["key"], clip["tempo_error_pct"]) == (8, 92.5, "A minor", 0.02)
    assert (clip["fit"], clip["key_match"]) == ("good", "same key")
    assert all((out / clip["file"]).is_file() for one in (first, second) for clip in one["clips"])
    sidecar = json.loads((out / f"{second['clips'][0]['file']}.json").read_text())
    assert sidecar["request"]["reference"]["path"] == str(tmp_path / "vinyl.wav")  # from the file's folder on
    asked = len(engine.order)
    assert run("batch", file, "--out", out)[0] == 0
    assert len(engine.order) == asked  # nothing is made again


def test_lines_that_are_no_requests_are_listed_and_the_others_are_made(
    tmp_path: Path, out: Path, daemon: Daemon, engine: StandIn
) -> None:
    wrong = [
        '{"prompt": "half',
        [1],
        "null",
        {"prompt": "x", "tempo": 92},
        {"bpm": 92},
        {"prompt": "x", "bpm": 4000},
        {"prompt": "x", "reference": {"file": 5}},
        '{"prompt": "x", "lyrics": ' + "[" * 50_000 + "}",
        {"prompt": " "},
        {"prompt": "x", "reference": "nowhere.wav"},
    ]
    file = written(tmp_path, {"prompt": "good"}, *wrong)
    for _ in range(2):
        code, _, error = run("batch", file, "--out", out)
        assert code == 1
        for number in range(2, len(wrong) + 2):
            assert f"acestep batch: line {number}: " in error
        assert "unknown setting tempo" in error
        assert "1 of 11 done, 10 failed" in error
        found = results(out)
        assert sorted(one["line"] for one in found) == list(
            range(1, 12)
        )  # each line once, also the second time
        assert {one["state"] for one in found if one["line"] > 1} == {"failed"}
        assert all(one["reason"] and one["message"] for one in found if one["line"] > 1)
    assert engine.order == ["good"]


@pytest.mark.parametrize("content", [None, "", " \n\n", "[]\nnonsense\n"])
def test_a_file_that_asks_for_nothing_is_bad_input(
    tmp_path: Path, out: Path, daemon: Daemon, content: str | None
) -> None:
    file = tmp_path / "requests.jsonl"
    if content is not None:
        file.write_text(content)
    code, _, error = run("batch", file, "--out", out)
    assert code == 2
    assert "expected" in error or "cannot be read" in error
    assert run("batch", tmp_path, "--out", out)[0] == 2  # a folder


def test_lines_alike_are_different_clips_and_with_a_seed_one(
    tmp_path: Path, out: Path, daemon: Daemon, engine: StandIn
) -> None:
    free, fixed = {"prompt": "free"}, {"prompt": "fixed", "seed": 5}
    file = written(tmp_path, free, fixed, free, fixed)
    code, _, error = run("batch", file, "--out", out)
    assert code == 0
    assert "3 of 3 done, 0 failed, 1 the same as an earlier line" in error
    assert made(out) == ["fixed", "free", "free"]
    assert [one for one in results(out) if one["line"] == 4] == [
        {"line": 4, "state": "repeated", "of_line": 2}
    ]
    written(tmp_path, {"prompt": "new"}, fixed, free, free)  # moved, and one more
    assert run("batch", file, "--out", out)[0] == 0
    assert made(out) == ["fixed", "free", "free", "new"]


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_what_a_request_is_known_by_does_not_hang_on_its_place(
    words: list[str], chance: random.Random
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        ids = []
        for _ in range(2):
            file = written(Path(folder), *({"prompt": word} for word in words))
            found = read_requests(file)
            ids.append(sorted(line.id for line in found.lines))
            assert len({line.request.seed for line in found.lines}) == len(words)
            chance.shuffle(words)
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(words)


def test_a_request_that_fails_stops_nothing_and_is_tried_again_by_the_next_run(
    tmp_path: Path, out: Path, daemon: Daemon, engine: StandIn
) -> None:
    file = written(tmp_path, *prompts(30))
    engine.fail = PoorFit("no candidate fits")
    code, _, error = run("batch", file, "--out", out)
    assert code == 1
    assert "0 of 30 done, 30 failed" in error
    assert "10 more failures: see" in error
    assert {one["reason"] for one in results(out)} == {"poor_fit"}
    engine.fail = None
    assert run("batch", file, "--out", out)[0] == 0
    assert {one["state"] for one in results(out)} == {"done"}
    assert len(results(out)) == len(made(out)) == 30


def test_a_folder_that_takes_nothing_stops_the_batch_at_once(
    tmp_path: Path, out: Path, daemon: Daemon, engine: StandIn
) -> None:
    file = written(tmp_path, *prompts(40))
    engine.fail = StorageError("the folder is full")
    code, _, error = run("batch", file, "--out", out)
    assert code == 1
    assert "acestep: the folder is full" in error
    assert len(engine.order) < 20
    assert results(out) == []
    engine.fail = None
    assert run("batch", file, "--out", out)[0] == 0
    assert len(made(out)) == 40
    (tmp_path / "file").touch()
    assert run("batch", file, "--out", tmp_path / "file")[0] == 2
    if sys.platform == "linux":
        code, _, error = run("batch", file, "--out", "/proc/clips")
        assert code == 1
        assert "/proc/clips cannot be written" in error


def test_what_no_daemon_can_do_is_said(tmp_path: Path, out: Path) -> None:
    file = written(tmp_path, *prompts(2))
    code, _, error = run("batch", file, "--out", out)
    assert code == 1
    assert "no daemon runs here: start it with `acestep serve`" in error
    code, _, error = run("batch", file, "--out", out, "--max-in-flight", "0")
    assert code == 2
    assert "expected 1–48" in error


def test_a_full_queue_is_waited_for(tmp_path: Path, out: Path, daemon: Daemon) -> None:
    file = written(tmp_path, *prompts(25))  # the queue takes four
    assert run("batch", file, "--out", out, "--max-in-flight", "16")[0] == 0
    assert len(made(out)) == 25


def test_clips_whose_results_were_lost_are_found_and_not_made_again(
    tmp_path: Path, out: Path, daemon: Daemon, engine: StandIn
) -> None:
    file = written(tmp_path, *prompts(6), {"prompt": "pair", "takes": 2})
    assert run("batch", file, "--out", out)[0] == 0
    asked = len(engine.order)
    for kept in (3, 0):
        whole = (out / "results.jsonl").read_bytes().split(b"\n")
        (out / "results.jsonl").write_bytes(b"\n".join([*whole[:kept], whole[kept][:20]]))  # and half of one
        assert run("batch", file, "--out", out)[0] == 0
        assert len(results(out)) == 7
        assert len({clip["file"] for one in results(out) for clip in one["clips"]}) == 8
    assert len(engine.order) == asked
    (out / "results.jsonl").unlink()
    for file_of_a_pair in list(out.glob("*pair*t2.wav")):
        file_of_a_pair.unlink()
    assert run("batch", file, "--out", out)[0] == 0
    assert engine.order[asked:] == ["pair"]  # half of a request is none


class Batch:
    """The command as a process of its own, to be stopped and killed."""

    def __init__(self, file: Path, out: Path, *flags: str, room: int | None = None) -> None:
        limit = (
            f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}));" if room else ""
        )
        code = f"{limit} from server.cli.acestep import main; raise SystemExit(main())"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code.strip(), "batch", str(file), "--out", str(out), *flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Its exit code and what it said, after this signal."""
        if number is not None:
            self.process.send_signal(number)
        error = self.process.communicate(timeout=60)[1]
        return self.process.returncode, error


def test_ctrl_c_cancels_what_runs_and_the_same_command_goes_on(
    tmp_path: Path, out: Path, daemon: Daemon, engine: StandIn
) -> None:
    file = written(tmp_path, *prompts(12))
    engine.hold.clear()
    batch = Batch(file, out, "--max-in-flight", "3")
    until(lambda: daemon.queue.waiting_count == 2)
    code, _, error = run("batch", file, "--out", out)
    assert code == 2
    assert "another `acestep batch` works in" in error
    code, error = batch.end(signal.SIGINT)
    assert code == 130
    assert "the same command goes on" in error
    until(lambda: all(job.finished for job in daemon.queue.jobs()))
    assert {job.state for job in daemon.queue.jobs()} == {"cancelled"}
    engine.hold.set()
    assert run("batch", file, "--out", out)[0] == 0
    assert made(out) == [one["prompt"] for one in prompts(12)]


def test_a_disk_that_fills_up_leaves_no_half_result(tmp_path: Path, out: Path, daemon: Daemon) -> None:
    file = written(tmp_path, *prompts(12))
    code, error = Batch(file, out, room=1500).end()
    assert code == 1
    assert "cannot be written" in error
    assert "Traceback" not in error
    assert all(one["state"] == "done" for one in results(out))
    assert (out / "results.jsonl").stat().st_size <= 1500
    assert run("batch", file, "--out", out)[0] == 0
    assert made(out) == [one["prompt"] for one in prompts(12)]
    assert len(results(out)) == 12


def test_a_batch_that_is_killed_again_and_again_makes_everything_once(
    tmp_path: Path, out: Path, daemon: Daemon, engine: StandIn
) -> None:
    count = 60
    file = written(tmp_path, *prompts(count))
    for kill_at in (1, 17, 40):
        batch = Batch(file, out, "--max-in-flight", "4")
        until(lambda kill_at=kill_at: len(list(out.glob("[!.]*.wav.json"))) >= kill_at)
        assert batch.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert run("batch", file, "--out", out)[0] == 0
    assert made(out) == [one["prompt"] for one in prompts(count)]
    assert sorted(one["line"] for one in results(out)) == list(range(1, count + 1))


@pytest.mark.heavy
@pytest.mark.parametrize("flags", [(), ("--resume",)], ids=["restart", "resume"])
def test_a_daemon_that_is_killed_and_comes_back_makes_everything_once(
    tmp_path: Path, out: Path, flags: tuple[str, ...]
) -> None:
    file, at = written(tmp_path, *prompts(20)), settings(tmp_path)
    with Process(at, script=QUICK) as first:
        batch = Batch(file, out, "--max-in-flight", "4", "--home", str(at.home))
        until(lambda: len(list(out.glob("[!.]*.wav.json"))) >= 3)
        first.kill()
    with Process(at, *flags, script=HELD) as second, stub(second.grpc_port) as client:
        until(lambda: client.GetStatus(pb.GetStatusRequest()).running_job)  # killed in the middle of it
        second.kill()
    with Process(at, *flags, script=QUICK):
        code, error = batch.end()
        assert code == 0, error
        assert made(out) == [one["prompt"] for one in prompts(20)]
    with Process(at, "--resume", script=QUICK) as last:  # nothing is left that would be made again
        assert last.terminate() == 0
    assert made(out) == [one["prompt"] for one in prompts(20)]
    assert sorted(one["line"] for one in results(out)) == list(range(1, 21))

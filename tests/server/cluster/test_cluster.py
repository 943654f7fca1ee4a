"""A daemon on a real Ray cluster of two nodes on this machine: clips, cancel, loss, stop and restart."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from acestep.checkpoints.checkpoint import EMBEDDED
from acestep.clips.clip import Clip
from acestep.clips.idea import Delivery
from acestep.clips.parts import produce_parts
from acestep.clips.production import produce
from acestep.request import GenerateRequest
from acestep.version import __version__
from protos.acestep.v1 import acestep_pb2 as pb
from tests.support.cluster import Nodes, OnCluster, ray_environment, samples_hash, soon
from tests.support.daemons import Osc, reason, settings
from tests.support.upstream_adapters import turned_adapter

pytest.importorskip("ray", reason="`make install-cluster` installs Ray")
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(3000), pytest.mark.filterwarnings("ignore")]
LONG: dict[str, Any] = {"prompt": "warm pad", "bpm": 60, "bars": 4, "takes": 2}  # some seconds on a core
SHORT: dict[str, Any] = {"prompt": "dusty breakbeat", "bpm": 120, "bars": 1}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with ray_environment() as folder:
        made = Nodes(folder)
        try:
            made.add("studio-a")
            made.add("studio-b")
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def daemon(nodes: Nodes) -> Iterator[OnCluster]:
    made = settings(nodes.folder / "daemon", max_queue=8)
    shutil.copytree(EMBEDDED["nano"], made.home / "cascades" / "small")
    with OnCluster(made, nodes.address, "--replicas", "2", "--max-queue", "8") as running:
        running.ready(2)
        yield running


def here(cascade: Any, folder: Path, **values: Any) -> list[str]:
    """The samples that this process makes."""
    return [samples_hash(clip.path) for clip in produce(cascade, GenerateRequest(**values), folder)]


def refused(folder: Path, address: str) -> subprocess.CompletedProcess[str]:
    """A daemon that is not to start. Its folder has none of our packages: all nodes look there first."""
    (folder / "elsewhere").mkdir()
    ports = ("--grpc-port", "0", "--osc-port", "0")
    places = ("--home", str(folder / "home"), "--samples", str(folder / "samples"))
    command = [sys.executable, "-m", "server.cli", "serve", *places, *ports, "--cluster", address]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, cwd=folder / "elsewhere"
    )


def other_version(folder: Path) -> Path:
    """A folder with our packages as if they were of version 0.0.1."""
    root = Path(__file__).resolve().parents[3]
    for package in ("acestep", "server", "protos", "plugin_bridge"):
        shutil.copytree(
            root / package, folder / package, ignore=shutil.ignore_patterns("weights", "__pycache__", "vst")
        )
    version = folder / "acestep" / "version.py"
    version.write_text(version.read_text("utf-8").replace(__version__, "0.0.1"), "utf-8")
    return folder


@pytest.fixture(scope="module")
def nano() -> Any:
    import torch

    from acestep.model.cascade import Cascade

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Cascade.load("nano", device="cpu")
    torch.set_num_threads(threads)


def test_every_door_shows_nodes_and_replicas(daemon: OnCluster, nodes: Nodes) -> None:
    status = daemon.status()
    assert status.device == "cluster"
    assert status.cluster.address == nodes.address
    assert [(one.state, one.cascade, one.device, one.version) for one in daemon.ready(2)] == [
        ("idle", "nano", "cpu", __version__)
    ] * 2
    assert sorted(one.cpus for one in status.cluster.nodes) == [0, 1, 1]
    with Osc(daemon.osc_port) as osc:
        osc.send("status")
        told = json.loads(osc.until("state")[1][0])["cluster"]
    assert {one["pid"] for one in told["replicas"]} == {one.pid for one in daemon.idle()}
    command = [sys.executable, "-m", "server.cli", "status", "--home", str(daemon.home)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"cluster   {nodes.address}, 2 of 2 replicas" in shown
    assert shown.count("cpu, nano, idle") == 2


def test_takes_are_spread_and_are_those_of_one_machine(daemon: OnCluster, nano: Any, tmp_path: Path) -> None:
    asked = {**SHORT, "takes": 8, "seed": 7, "key": "A minor"}
    daemon.ready(2)
    done = daemon.ended(daemon.ask(**asked))
    assert done.state == "done"
    assert [samples_hash(path) for path in done.clips] == here(nano, tmp_path, **asked)
    sidecars = [json.loads(Path(f"{path}.json").read_text("utf-8")) for path in done.clips]
    assert [one["clip"]["take"] for one in sidecars] == list(range(8))
    assert [one["clip"]["seed"] for one in sidecars] == list(range(7, 15))
    began = [line for line in daemon.log() if line["event"] == "part_began" and line["job"] == done.id]
    assert len({line["replica"] for line in began}) == 2


def test_what_a_job_names_travels_once_and_by_its_hash(
    daemon: OnCluster, nodes: Nodes, nano: Any, tmp_path: Path
) -> None:
    first = daemon.ended(daemon.ask(**SHORT, seed=3, takes=2))
    source, other = map(Path, first.clips)
    turned_adapter(daemon.home / "adapters" / "upside", EMBEDDED["nano"])
    nano.adapters.folder = daemon.home / "adapters"
    plain = {**SHORT, "seed": 5, "bars": 1.0}
    asked: dict[str, Any] = {**plain, "reference": pb.AudioRange(path=str(source)), "cascade": "small"}
    jobs = [daemon.ended(daemon.ask(**asked)) for _ in range(3)]
    assert [job.state for job in jobs] == ["done"] * 3
    wanted = here(nano, tmp_path, **plain, reference=str(source))
    assert {samples_hash(job.clips[0]) for job in jobs} == set(wanted)
    told = json.loads(Path(f"{jobs[0].clips[0]}.json").read_text("utf-8"))
    assert told["request"]["reference"]["path"] == str(source.resolve())
    assert told["checkpoint"]["name"] == "nano"
    kept = [nodes.folder / name / "cluster" for name in ("studio-a", "studio-b")]
    brought = [folder for folder in kept if folder.exists()]
    assert brought
    for folder in brought:
        assert {file.name for file in folder.glob("audio/*/*")} == {source.name, f"{source.name}.json"}
        assert len(list(folder.glob("cascade/*"))) == 1

    both = {"path": str(source), "plus": [{"path": str(other)}]}
    layer = {**plain, "task": "lego", "track": "bass", "adapters": [("upside", 1.0)]}
    sent = layer | {"adapters": [pb.AdapterUse(name="upside", scale=1.0)], "context": pb.AudioRange(**both)}
    job = daemon.ended(daemon.ask(**sent))
    assert (job.state, job.message) == ("done", "")
    wanted = here(nano, tmp_path, **layer, context=both)
    assert [samples_hash(path) for path in job.clips] == wanted
    assert wanted != here(nano, tmp_path, **{**layer, "adapters": []}, context=both)
    told = json.loads(Path(f"{job.clips[0]}.json").read_text("utf-8"))
    context = told["request"]["context"]
    assert [context["path"], context["plus"][0]["path"]] == [str(source), str(other)]
    assert [*told["checkpoint"]["adapters"]] == ["upside"]


def test_an_idea_in_parts_is_that_of_one_machine_also_where_a_replica_dies(
    daemon: OnCluster, nano: Any, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {
        "prompt": "dusty",
        "bpm": 60,
        "bars": 4,
        "key": "A minor",
        "parts": "drums, bass",
    }
    daemon.ready(2)
    job = daemon.ask(**asked, seed=31)
    victim = daemon.making(job)
    soon(lambda: daemon.job(job).clips)
    os.kill(victim.pid, signal.SIGKILL)
    done = daemon.ended(job)
    assert (done.state, done.message) == ("done", "")
    alone = produce_parts(nano, GenerateRequest(**asked, seed=31), tmp_path)
    assert [samples_hash(path) for path in done.clips] == [samples_hash(clip.path) for clip in alone]
    drums, bass, mix = map(Clip.load, done.clips)
    assert bass.sidecar["request"]["context"]["path"] == drums.path
    assert mix.sidecar["idea"]["parts"] == {"drums": drums.name, "bass": bass.name}
    lost = [line["replica"] for line in daemon.log() if line["event"] == "replica_lost"]
    assert lost == [victim.name]

    more = daemon.ended(daemon.ask(idea=drums.idea, redo="bass: picked", seed=9))
    assert (more.state, more.message) == ("done", "")
    again = GenerateRequest(prompt="", idea=alone[0].idea, redo="bass: picked", seed=9)
    known = Delivery(lambda clip: None, lambda idea: alone)
    anew = produce_parts(nano, again, tmp_path, delivery=known)
    assert [samples_hash(path) for path in more.clips] == [samples_hash(clip.path) for clip in anew]
    assert Clip.load(more.clips[0]).sidecar["request"]["context"]["path"] == drums.path


def test_audio_comes_before_the_clip(daemon: OnCluster) -> None:
    call = daemon.stub.Generate(pb.GenerateRequest(**SHORT, seed=2, stream_audio=True), timeout=200)
    kinds = [event.WhichOneof("event") for event in call]
    assert kinds[0] == "accepted"
    assert kinds[-2:] == ["clip", "done"]
    assert "progress" in kinds
    assert 0 < kinds.index("audio") < kinds.index("clip")


def test_running_and_queued_jobs_are_cancelled_each_by_itself(daemon: OnCluster) -> None:
    daemon.ready(2)
    running = [daemon.ask(**LONG, seed=seed) for seed in (1, 2)]
    queued = daemon.ask(**SHORT, seed=3)
    for job in running:
        daemon.making(job)
    daemon.stub.CancelJob(pb.CancelJobRequest(job=queued), timeout=120)
    daemon.stub.CancelJob(pb.CancelJobRequest(job=running[0]), timeout=120)
    assert daemon.ended(queued).state == "cancelled"
    assert daemon.ended(running[0]).state == "cancelled"
    assert daemon.job(running[1]).state == "running"
    assert daemon.ended(daemon.ask(**SHORT, seed=4)).state == "done"  # the replica is free again
    daemon.stub.CancelJob(pb.CancelJobRequest(job=running[1]), timeout=120)
    assert daemon.ended(running[1]).state == "cancelled"
    assert not [path for path in daemon.made.samples.rglob("*") if path.name.startswith(".acestep")]


def test_a_full_queue_says_so(daemon: OnCluster) -> None:
    daemon.ready(2)
    held = [daemon.ask(**LONG, seed=seed, client=f"{seed}") for seed in (1, 2)]
    soon(lambda: len(daemon.status().running_jobs) == 2)
    waiting = [daemon.ask(**SHORT, seed=seed) for seed in range(8)]
    with pytest.raises(grpc.RpcError) as failed:
        daemon.ask(**SHORT)
    assert reason(failed.value) == "busy"
    for job in (*waiting, *held):
        daemon.stub.CancelJob(pb.CancelJobRequest(job=job), timeout=120)
    assert {daemon.ended(job).state for job in (*held, *waiting)} == {"cancelled"}


def test_a_job_whose_replica_dies_is_made_by_another_and_the_samples_are_the_same(
    daemon: OnCluster, nano: Any, tmp_path: Path
) -> None:
    daemon.ready(2)
    job = daemon.ask(**LONG, seed=11)
    victim = daemon.making(job)
    os.kill(victim.pid, signal.SIGKILL)
    done = daemon.ended(job)
    assert (done.state, len(done.clips)) == ("done", 2)
    assert [samples_hash(path) for path in done.clips] == here(nano, tmp_path, **LONG, seed=11)
    lost = [line["replica"] for line in daemon.log() if line["event"] == "replica_lost"]
    assert lost[-1:] == [victim.name]


def test_without_any_replica_jobs_wait_and_the_state_says_so(daemon: OnCluster) -> None:
    for replica in daemon.ready(2):
        os.kill(replica.pid, signal.SIGKILL)
    soon(lambda: "jobs wait" in daemon.status().cluster.note)
    job = daemon.ask(**SHORT, seed=1)
    assert daemon.ended(job).state == "done"


def test_a_node_with_another_version_is_refused_by_name(nodes: Nodes, tmp_path: Path) -> None:
    strange = other_version(tmp_path)
    node = nodes.add("stranger", 1, PYTHONPATH=str(strange))
    try:
        done = refused(tmp_path, nodes.address)
    finally:
        nodes.remove(node)
    assert done.returncode == 1, done.stderr
    assert f"every node needs acestep-bridge {__version__}" in done.stderr
    assert "has 0.0.1" in done.stderr


def test_two_daemons_do_not_share_a_cluster(daemon: OnCluster, nodes: Nodes, tmp_path: Path) -> None:
    done = refused(tmp_path, nodes.address)
    assert done.returncode == 1
    assert f"another daemon ({daemon.home} on " in done.stderr


def test_at_sigterm_what_runs_is_interrupted_and_a_restart_makes_it_again(
    daemon: OnCluster, nodes: Nodes, nano: Any, tmp_path: Path
) -> None:
    daemon.ready(2)
    jobs = [daemon.ask(**{**LONG, "bars": 8}, seed=seed) for seed in (21, 22)]  # none ends within its grace
    jobs.append(daemon.ask(**SHORT, seed=23))
    for job in jobs[:2]:
        daemon.making(job)
    assert daemon.terminate() == 0
    with OnCluster(daemon.made, nodes.address, "--replicas", "2", "--resume") as again:
        assert {again.job(job).state for job in jobs} == {"interrupted"}
        listed = again.stub.ListJobs(pb.ListJobsRequest(limit=1000), timeout=120).jobs
        first = [one.id for one in listed if one.state in ("queued", "running")]
        assert len(first) == 3
        soon(lambda: again.status().running_jobs)
        again.making(again.status().running_jobs[0])
        again.kill()  # in the middle of it
    with OnCluster(daemon.made, nodes.address, "--replicas", "2", "--resume") as third:
        soon(lambda: not third.status().queued and not third.status().running_jobs)
        clips = third.stub.ListClips(pb.ListClipsRequest(limit=1000), timeout=120).clips
        takes = sorted((clip.prompt, clip.seed, clip.take) for clip in clips if clip.seed in range(21, 24))
        assert takes == sorted(
            [("warm pad", 21 + k, k) for k in range(2)]
            + [("warm pad", 22 + k, k) for k in range(2)]
            + [("dusty breakbeat", 23, 0)]
        )
        (one,) = [clip for clip in clips if clip.prompt == "dusty breakbeat" and clip.seed == 23]
        assert samples_hash(one.path) == here(nano, tmp_path, **SHORT, seed=23)[0]


def test_there_are_more_replicas_while_jobs_wait_but_none_on_a_node_with_another_version(
    nodes: Nodes, tmp_path: Path
) -> None:
    with OnCluster(settings(tmp_path / "daemon"), nodes.address, "--replicas", "1:3") as daemon:
        daemon.ready(1)
        status = daemon.status().cluster
        assert (status.wanted, len(status.replicas)) == ("1:3", 1)
        jobs = [daemon.ask(**LONG, seed=seed) for seed in range(30)]
        daemon.ready(2)
        soon(lambda: len({one.job for one in daemon.status().cluster.replicas} & set(jobs)) == 2)
        node = nodes.add("stranger", 1, PYTHONPATH=str(other_version(tmp_path)))
        try:
            soon(lambda: "has acestep-bridge 0.0.1" in daemon.status().cluster.note)
            assert {one.version for one in daemon.status().cluster.replicas} == {__version__}
            for job in jobs[2:]:
                with contextlib.suppress(grpc.RpcError):  # it is done
                    daemon.stub.CancelJob(pb.CancelJobRequest(job=job), timeout=120)
            assert {daemon.ended(job).state for job in jobs[:2]} == {"done"}
        finally:
            nodes.remove(node)

"""What a cluster costs and gains: two replicas of one thread each against one daemon with two threads.

    python -m tests.benchmarks.cluster [--only PART] [--jobs N] [--every SECONDS]

On one machine with two cores, in one run: throughput on short jobs (a ratio), the latency that the way
through Ray adds to a job, the time from a replica's death to its job's clip, and N jobs (default 200) with a
replica killed every so often (default 20 s). Ends without a figure where samples differ from one machine's.
`--only` one of these: throughput, latency, death, endurance.
"""

import argparse
import collections
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from protos.acestep.v1 import acestep_pb2 as pb
from tests.support.cluster import Alone, Nodes, OnCluster, alive, ray_environment, samples_hash

PARTS = ("throughput", "latency", "death", "endurance")
ROUNDS, PER_ROUND = 4, 10  # 40 short jobs a side, in turns
PAIRS = 15
SHORT: dict[str, Any] = {"prompt": "dusty breakbeat", "bpm": 120, "bars": 2}
LONG: dict[str, Any] = {"prompt": "warm pad", "bpm": 60, "bars": 8, "takes": 2}


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200, help="jobs while replicas are killed (default 200)")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two kills (default 20)")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part, of all")
    arguments = parser.parse_args()
    with ray_environment() as folder, tempfile.TemporaryDirectory() as place:
        nodes = Nodes(folder)
        try:
            nodes.add("a")
            nodes.add("b")
            with (
                OnCluster.at(Path(place) / "cluster", nodes.address, "--replicas", "2") as cluster,
                Alone.at(Path(place) / "one", threads=1) as one,
                Alone.at(Path(place) / "two", threads=2) as two,
            ):
                cluster.ready(2)
                for part in arguments.only or PARTS:
                    if part == "throughput":
                        _throughput(cluster, two, one)
                    elif part == "latency":
                        _latency(cluster, one)
                    elif part == "death":
                        _death(cluster, one)
                    else:
                        _endurance(cluster, one, arguments.jobs, arguments.every)
        finally:
            nodes.close()
    return 0


def _throughput(cluster: Any, two: Any, one: Any) -> None:
    seconds: dict[str, float] = collections.Counter()
    made: dict[str, list[str]] = collections.defaultdict(list)
    for side in (cluster, two):  # both are warm
        _all(side, range(2))
    for number in range(ROUNDS):
        for name, side in (("cluster", cluster), ("two", two)):
            started = time.perf_counter()
            jobs = _all(side, range(number * PER_ROUND, (number + 1) * PER_ROUND))
            seconds[name] += time.perf_counter() - started
            made[name] += [_hash(job) for job in jobs]
    alone = [_hash(job) for job in _all(one, range(PER_ROUND))]  # two threads add up in another order
    _must_be(made["cluster"][:PER_ROUND], alone)
    jobs_a_minute = {name: 60 * ROUNDS * PER_ROUND / spent for name, spent in seconds.items()}
    print(f"{'throughput, two replicas : one daemon':42} {seconds['two'] / seconds['cluster']:7.2f} ×")
    print(f"{'  jobs a minute':42} {jobs_a_minute['cluster']:.0f} : {jobs_a_minute['two']:.0f}")


def _latency(cluster: Any, one: Any) -> None:
    added = []
    for seed in range(PAIRS):
        spent = []
        for side in (one, cluster):
            started = time.perf_counter()
            list(side.stub.Generate(pb.GenerateRequest(**SHORT, seed=seed), timeout=600))
            spent.append(time.perf_counter() - started)
        added.append(1000 * (spent[1] - spent[0]))
    low, middle, high = statistics.quantiles(added, n=4)
    print(f"{'latency added to one job':42} {middle:7.0f} ms  (quartiles {low:.0f} and {high:.0f})")


def _death(cluster: Any, one: Any) -> None:
    asked = {**LONG, "seed": 1}
    (whole,) = [one.ended(one.ask(**asked))]
    started = time.perf_counter()
    cluster.ended(cluster.ask(**asked))
    undisturbed = time.perf_counter() - started
    job = cluster.ask(**asked)
    victim = cluster.making(job)
    os.kill(victim.pid, signal.SIGKILL)
    started = time.perf_counter()
    done = cluster.ended(job)
    spent = time.perf_counter() - started
    _must_be([_hash(done)], [_hash(whole)])
    told = f"(undisturbed it takes {undisturbed:.1f} s)"
    print(f"{'from the death of a replica to the clip':42} {spent:7.1f} s   {told}")


def _endurance(cluster: Any, one: Any, jobs: int, every_s: float) -> None:
    cluster.ready(2)
    waiting, asked, killed = list(range(jobs)), {}, 0
    started = last = time.monotonic()
    while waiting or any(not _has_ended(cluster, job) for job in list(asked.values())[-64:]):
        while waiting and cluster.status().queued < 20:
            seed = waiting.pop(0)
            asked[seed] = cluster.ask(**SHORT, seed=seed, client=f"{seed % 3}")
        if time.monotonic() - last >= every_s and (busy := [r for r in cluster.idle() if alive(r.pid)]):
            os.kill(busy[0].pid, signal.SIGKILL)
            killed, last = killed + 1, time.monotonic()
        time.sleep(0.1)
    ended = {seed: cluster.ended(job) for seed, job in asked.items()}
    clips = cluster.stub.ListClips(pb.ListClipsRequest(limit=100_000), timeout=60).clips
    of_job = collections.Counter(clip.job for clip in clips)
    lost = sum(job.state != "done" or of_job[job.id] == 0 for job in ended.values())
    doubled = sum(of_job[job.id] > 1 for job in ended.values())
    alone = {seed: one.ended(one.ask(**SHORT, seed=seed)) for seed in asked}
    other = sum(_hash(ended[seed]) != _hash(alone[seed]) for seed in asked if ended[seed].clips)
    minutes = (time.monotonic() - started) / 60
    print(
        f"{f'{jobs} jobs, {killed} replicas killed':42} {lost} lost, {doubled} doubled, {other} other samples"
    )
    print(f"{'  in':42} {minutes:7.1f} min")
    if lost or doubled or other:
        sys.exit("jobs are lost, doubled or other ones: the cluster does not keep its promise")


def _all(side: Any, seeds: range) -> list[Any]:
    asked = [side.ask(**SHORT, seed=seed) for seed in seeds]
    return [side.ended(job) for job in asked]


def _has_ended(side: Any, job: str) -> bool:
    return side.job(job).state not in ("queued", "running")


def _hash(job: Any) -> str:
    return " ".join(samples_hash(path) for path in job.clips)


def _must_be(found: list[str], wanted: list[str]) -> None:
    if found != wanted:
        sys.exit("the cluster's samples are not those of one machine: no figure is printed")


if __name__ == "__main__":
    sys.exit(main())

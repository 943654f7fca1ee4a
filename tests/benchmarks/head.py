"""What the head node of a cluster does for each clip, and how many a second it keeps up with.

    python -m tests.benchmarks.head [--jobs 300] [--clips 20000]

Journal and library alone, the bytes of a clip of four bars, where the seconds of a clip go with nano, and a
whole daemon that takes requests by gRPC and writes real files of that size while its engine costs nothing. On
a busy machine seconds of the CPU say more than those of the clock: Python's threads have one CPU together.
"""

import argparse
import contextlib
import dataclasses
import io
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import soundfile

from acestep.clips.clip import Clip
from acestep.request import GenerateRequest
from acestep.sound.audio import read_audio
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from server.jobs.job import Ending, Job, JobState
from server.jobs.journal import Journal
from server.library.index import ClipLibrary
from tests.support.clip_files import write_clip
from tests.support.daemons import StandIn, settings, write_short_clip

REQUEST = GenerateRequest(prompt="dusty breakbeat", bpm=120.0, bars=4, seed=1)
SECONDS, RATE_HZ = 8, 48_000  # four bars at 120 bpm
CALLERS = 8


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--clips", type=int, default=20_000, help="in the library, for its second row")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _journal(Path(folder), arguments.jobs)
        _library(Path(folder), arguments.jobs, arguments.clips)
        _shares(Path(folder))
        _daemon(Path(folder), arguments.jobs)


def _row(what: str, count: int, wall_s: float, cpu_s: float, more: str = "") -> None:
    print(
        f"{what:44} {count / wall_s:8.0f} a second   {1000 * cpu_s / count:7.2f} ms CPU each  {more}".rstrip()
    )


@contextlib.contextmanager
def _timed(what: str, count: int) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    _row(what, count, time.perf_counter() - wall, time.process_time() - cpu)


def _journal(folder: Path, jobs: int) -> None:
    """A job is written down three times: accepted, running, done."""
    journal = Journal(folder / "jobs.sqlite")
    made = [Job(REQUEST, folder, "benchmark") for _ in range(jobs)]
    clip = write_short_clip(made[0], 0)
    with _timed("journal, jobs (three writes each)", jobs):
        for job in made:
            journal.record(job)
            for state in (JobState.RUNNING, JobState.DONE):
                job.state, job.reason, job.message = Ending(state)
                job.clips = [clip] if state is JobState.DONE else []
                journal.keep(job)
    journal.close()


def _library(folder: Path, count: int, many: int) -> None:
    """Clips told to the index one by one, in a small and in a large one; and found by their files."""
    samples = folder / "clips"
    samples.mkdir()
    library = ClipLibrary(folder / "clips.sqlite", [samples], folder / "trash")
    clip = write_short_clip(Job(REQUEST, samples, "benchmark"), 0)

    def add(numbers: range) -> None:
        for number in numbers:
            path = str(samples / f"{number}.wav")
            library.add(dataclasses.replace(clip, path=path, name=f"{number}.wav"))

    with _timed("library, clips indexed", count):
        add(range(count))
    add(range(count, many))
    with _timed(f"library, the same with {many:,} in it", count):
        add(range(many, many + count))
    library.close()
    found = ClipLibrary(folder / "again.sqlite", [samples], folder / "trash")
    for number in range(count):
        write_short_clip(dataclasses.replace(_named(number), folder=samples), 0)
    with _timed("library, clips found by their sidecars", count):
        found.refresh()
    with _timed("library, looked over with nothing new", count):
        found.refresh()
    found.close()


def _named(number: int) -> Job:
    return Job(dataclasses.replace(REQUEST, prompt=f"loop {number}"), Path(), "benchmark")


def _shares(folder: Path) -> None:
    """Where the seconds go: the model, decoding, and what a CPU does in any case."""
    import torch

    from acestep.clips.production import produce
    from acestep.model.cascade import Cascade

    torch.set_num_threads(1)
    cascade = Cascade.load("nano", device="cpu")
    produce(cascade, REQUEST, folder / "nano")
    wall, cpu = time.perf_counter(), time.process_time()
    (clip,) = produce(cascade, dataclasses.replace(REQUEST, seed=2), folder / "nano")
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    parts = {name: seconds / wall_s for name, seconds in clip.sidecar["seconds"].items()}
    parts["measure, fit, write"] = 1 - sum(parts.values())
    told = ", ".join(f"{name} {share:.0%}" for name, share in parts.items())
    rest_s = parts["measure, fit, write"] * cpu_s
    print(f"nano, four bars on one thread: {cpu_s:.2f} s CPU ({told}); all but the model {rest_s:.2f} s CPU")
    audio = read_audio(Path(clip.path))
    sizes = {"wav": Path(clip.path).stat().st_size, "flac": len(_file(audio, "FLAC"))}
    sizes["sidecar"] = len(clip.sidecar_json)
    print(f"bytes of that clip: {', '.join(f'{name} {size:,}' for name, size in sizes.items())}")


def _file(audio: np.ndarray, kind: str) -> bytes:
    """Audio [C, N] as a file with 24 bits."""
    body = io.BytesIO()
    soundfile.write(body, audio.T, RATE_HZ, format=kind, subtype="PCM_24")
    return body.getvalue()


ENGINE = """
import sys
from server import daemon
from server.cli import acestep as cli
from tests.benchmarks.head import Costless
real, engine = daemon.Daemon, Costless()
daemon.Daemon = lambda config: real(config, engine)
sys.exit(cli.main(["serve", *sys.argv[1:]]))
"""


class Costless(StandIn):
    """In place of replicas: the bytes of four bars are there at once, and only have to be written."""

    def __init__(self) -> None:
        super().__init__()
        noise = np.random.default_rng(0).normal(0, 0.1, (2, SECONDS * RATE_HZ)).astype(np.float32)
        self.body = _file(noise, "WAV")
        self._sidecar: dict[str, Any] | None = None

    def produce(
        self, cascade: Any, job: Job, on_progress: Any, on_audio: Any, cancelled: Callable[[], bool]
    ) -> list[Clip]:
        """Writes the job's one clip."""
        if self._sidecar is None:
            self._sidecar = write_short_clip(job, 0).sidecar
        told = {**self._sidecar["clip"], "job": job.id, "prompt": job.request.prompt}
        sidecar = {**self._sidecar, "clip": told, "request": job.request.to_dict()}
        return [write_clip(job.folder, job.id, ".wav", self.body, sidecar)]


def _daemon(folder: Path, jobs: int) -> None:
    from tests.support.daemons import Process

    made = settings(folder / "daemon")
    with (
        Process(made, "--log-level", "warning", script=ENGINE) as daemon,
        grpc.insecure_channel(f"127.0.0.1:{daemon.grpc_port}") as channel,
    ):
        client = acestep_pb2_grpc.DaemonStub(channel)
        numbers = iter(range(jobs + CALLERS))
        taking = threading.Lock()

        def call(count: int) -> None:
            for _ in range(count):
                with taking:
                    number = next(numbers)
                list(
                    client.Generate(
                        pb.GenerateRequest(prompt=f"loop {number}", client=f"c{number % CALLERS}")
                    )
                )

        call(CALLERS)  # the first ones are slower
        process = psutil.Process(daemon.process.pid)
        wall, cpu = time.perf_counter(), sum(process.cpu_times()[:2])
        threads = [threading.Thread(target=call, args=(jobs // CALLERS,)) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall_s, cpu_s = time.perf_counter() - wall, sum(process.cpu_times()[:2]) - cpu
        count = jobs // CALLERS * CALLERS
        size = next(made.samples.glob("*.wav")).stat().st_size
        _row(
            "whole daemon, gRPC to file, no model",
            count,
            wall_s,
            cpu_s,
            f"{count * size / wall_s / 1e6:.0f} MB/s",
        )
        daemon.terminate()


if __name__ == "__main__":
    sys.exit(main())

"""What the daemon promises under attack, measured: slow and silent callers, kills, and a long soak.

    python -m tests.benchmarks.attacks [--only callers,kills,soak,nano] [--jobs N] [--kills N] [--minutes N]

The engine is a quick stand-in that writes real clips; queue, journal, library, wire and files are real. With
2,400 jobs and 10 kills it takes about two minutes on two cores. `--only nano` has the real engine instead,
and many clients that ask for all kinds of things. Ends with 1 where a promise was broken.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from acestep.sources.sidecar import SIDECAR_ENDING
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from server import config
from tests.support.daemons import Process, settings

MAX_GROWTH_PCT = 2.0
MAX_STATUS_MS = 1_000.0
WARM_JOBS = 800  # until the daemon remembers as many ended jobs as it ever does
SETTLED_S = 3.0  # a daemon that idles looks every second whether there is memory to give back
SERVICE = "/acestep.v1.Daemon/"
ENGINE = """
import sys, time
from server import daemon
from server.cli import acestep as cli
from tests.support.daemons import StandIn, write_short_clip
class Quick(StandIn):
    def produce(self, cascade, job, on_progress, on_audio, cancelled, delivery):
        time.sleep(PAUSE_S)
        return [write_short_clip(job, take) for take in range(job.request.takes)]
real = daemon.Daemon
daemon.Daemon = lambda config: real(config, Quick())
sys.exit(cli.main(["serve", *sys.argv[1:]]))
"""
broken: list[str] = []


def main() -> int:
    """Prints a line for each attack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2_400, help="jobs of the soak (default 2400)")
    parser.add_argument("--kills", type=int, default=10, help="kills while working (default 10)")
    parser.add_argument("--clients", type=int, default=24, help="clients of the soak (default 24)")
    parser.add_argument("--minutes", type=float, default=12, help="of the clients on nano (default 12)")
    parser.add_argument("--seed", type=int, default=1, help="of what the clients do, and when is killed")
    parser.add_argument("--only", default="callers,kills,soak", help="what is measured; `nano` as well")
    arguments = parser.parse_args()
    measures: dict[str, Callable[[config.Config], None]] = {
        "callers": _callers,
        "kills": lambda made: _kills(made, arguments.kills, random.Random(arguments.seed)),
        "soak": lambda made: _soak(made, arguments.jobs, arguments.clients, arguments.seed),
        "nano": lambda made: _on_nano(made, arguments.minutes, arguments.clients, arguments.seed),
    }
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - set(measures):
        parser.error(f"--only {', '.join(sorted(unknown))}: expected some of {', '.join(measures)}")
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            measures[name](settings(Path(folder)))
    for promise in broken:
        print(f"BROKEN: {promise}", file=sys.stderr)
    return 1 if broken else 0


def _promise(holds: bool, what: str) -> None:
    if not holds:
        broken.append(what)


def _engine(made: config.Config, pause_s: float, *flags: str) -> Process:
    script = ENGINE.replace("PAUSE_S", str(pause_s))
    return Process(made, "--log-level", "warning", *flags, script=script)


def _channel(daemon: Process) -> grpc.Channel:
    return grpc.insecure_channel(
        f"127.0.0.1:{daemon.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)]
    )


def _callers(made: config.Config) -> None:
    """Status and jobs while others hold calls open."""
    with _engine(made, 0.0) as daemon, _channel(daemon) as attacker, _channel(daemon) as own:
        client, other = acestep_pb2_grpc.DaemonStub(own), acestep_pb2_grpc.DaemonStub(attacker)
        end = threading.Event()

        def slow(*first: bytes) -> Any:
            yield from first
            end.wait()

        def silent(name: str) -> Any:
            call = attacker.stream_unary(SERVICE + name, lambda data: data, lambda data: data)
            return call.future(slow())

        upload = pb.UploadChunk(name="x.wav", data=b"R").SerializeToString()
        open_upload = attacker.stream_unary(f"{SERVICE}Upload", lambda data: data, lambda data: data)
        attacks: dict[str, Callable[[], Any]] = {
            "80 slow uploads": lambda: [open_upload.future(slow(upload)) for _ in range(80)],
            "500 watches": lambda: [other.WatchAll(pb.WatchAllRequest()) for _ in range(500)],
            "300 calls without their request": lambda: [silent("ListJobs") for _ in range(300)],
            "70 calls that wait for the model": lambda: [
                other.UnloadCascade.future(pb.CascadeName(name="x")) for _ in range(70)
            ],
        }
        for what, attack in attacks.items():
            calls = attack()
            time.sleep(0.3)
            times = [_timed(lambda: client.GetStatus(pb.GetStatusRequest(), timeout=10)) for _ in range(50)]
            job_ms = _timed(lambda: list(client.Generate(pb.GenerateRequest(prompt="p"), timeout=20)))
            print(f"{what:34} status at most {max(times):6.1f} ms, a job's way {job_ms:6.1f} ms")
            _promise(max(times) < MAX_STATUS_MS, f"status within {MAX_STATUS_MS:g} ms during {what}")
            for call in calls:
                call.cancel()
        end.set()
        daemon.terminate()


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


def _kills(made: config.Config, kills: int, chance: random.Random) -> None:
    """Jobs of three takes, the daemon killed again and again: each job's clips, once and whole."""
    accepted: list[str] = []
    for _ in range(kills):
        with _engine(made, 0.02, "--resume") as daemon, _channel(daemon) as channel:
            client = acestep_pb2_grpc.DaemonStub(channel)
            timer = threading.Timer(chance.uniform(0.1, 1.5), daemon.process.kill)
            timer.start()
            while True:
                prompt = f"job {len(accepted):05}"
                wanted = pb.GenerateRequest(
                    prompt=prompt, takes=3, detached=True, client=f"c{len(accepted) % 5}"
                )
                try:
                    next(client.Generate(wanted, timeout=5))
                except grpc.RpcError as error:
                    if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
                        time.sleep(0.02)
                        continue
                    break
                accepted.append(prompt)
            timer.join()
    with _engine(made, 0.0, "--resume") as daemon, _channel(daemon) as channel:
        client = acestep_pb2_grpc.DaemonStub(channel)
        while (status := client.GetStatus(pb.GetStatusRequest())).queued or status.running_job:
            time.sleep(0.1)
        trashed = len(client.ListClips(pb.ListClipsRequest(trashed=True, limit=5_000)).clips)
        daemon.terminate()
    files = list(made.samples.iterdir())
    takes = Counter(_prompt(file) for file in files if file.name.endswith(SIDECAR_ENDING))
    wrong = [prompt for prompt in accepted if takes[prompt] != 3]
    orphans, hidden = _left(made.samples)
    print(
        f"{f'{kills} kills while working':34} {len(accepted)} jobs accepted, {len(wrong)} not made exactly "
        f"once, {orphans} files without their other half, {hidden} half written, {trashed} parts in the trash"
    )
    _promise(not wrong and not orphans and not hidden, "every accepted job is made exactly once")


def _prompt(sidecar: Path) -> str:
    return str(json.loads(sidecar.read_text("utf-8"))["clip"]["prompt"])


def _soak(made: config.Config, jobs: int, clients: int, seed: int) -> None:
    """Many clients that make, cancel, list, star, trash and restore; memory before and after."""
    with _engine(made, 0.0) as daemon:
        warm = min(WARM_JOBS, jobs // 2)
        _drive(daemon, warm, clients, seed)
        before = _held(daemon)
        started = time.monotonic()
        counted = _drive(daemon, jobs - warm, clients, seed + 1)
        took_s = time.monotonic() - started
        after = _held(daemon)
        growth = 100 * (after["rss"] / before["rss"] - 1)
        print(
            f"{f'soak: {jobs} jobs, {clients} clients':34} {(jobs - warm) / took_s:.0f} jobs/s, "
            f"{_change(before, after)}; {dict(counted)}"
        )
        _promise(growth <= MAX_GROWTH_PCT, f"memory grows by at most {MAX_GROWTH_PCT:g} % in the soak")
        _promise(not counted["fault"], "no call of the soak fails unexpectedly")
        daemon.terminate()


def _on_nano(made: config.Config, minutes: float, clients: int, seed: int) -> None:
    """Many clients of the real engine, who ask for different things; what they got, and what was left."""
    with Process(made, "--log-level", "warning") as daemon:
        _until(daemon, 60.0, clients, seed)  # what is loaded, and kept, when it is first used
        before = _held(daemon)
        counted = _until(daemon, 60.0 * minutes, clients, seed + 1)
        after = _held(daemon)
        with _channel(daemon) as channel:
            client = acestep_pb2_grpc.DaemonStub(channel)
            jobs = Counter(job.state for job in client.ListJobs(pb.ListJobsRequest(limit=10_000)).jobs)
        stopped = daemon.terminate()
    log = "".join(file.read_text("utf-8") for file in (made.home / "logs").iterdir())
    orphans, hidden = _left(made.samples)
    faults = log.lower().count("traceback")
    print(
        f"{f'{clients} clients on nano, {minutes:g} min':34} {dict(jobs)}; {_change(before, after)}; "
        f"{orphans} orphans, {hidden} half written, {faults} tracebacks, exit {stopped}; {dict(counted)}"
    )
    _promise(not counted["fault"], "no call of the clients on nano fails unexpectedly")
    _promise(
        not (orphans or hidden or stopped or "traceback" in log.lower()), "nothing is left half done by nano"
    )
    _promise(set(jobs) <= {"done", "cancelled"}, "every job of nano ends")


def _until(daemon: Process, seconds: float, clients: int, seed: int) -> Counter[str]:
    return _drive(daemon, sys.maxsize, clients, seed, _mixed, time.monotonic() + seconds)


def _mixed(client: Any, chance: random.Random, prompt: str) -> str:
    """One of the things that clients ask for; mostly a clip."""
    if (turn := chance.random()) < 0.1:
        client.GetStatus(pb.GetStatusRequest(), timeout=20)
        return "status"
    if turn < 0.2:
        client.ListClips(pb.ListClipsRequest(words=chance.choice(["bass", "", "client 1"])), timeout=20)
        return "listed"
    prompt = f"{chance.choice(['warm bass', 'dusty breakbeat', 'techno', 'pad'])}, {prompt}"
    wanted = pb.GenerateRequest(
        prompt=prompt,
        bpm=chance.uniform(70, 170),
        bars=chance.choice([1, 2]),
        takes=chance.choice([1, 1, 2]),
        format=chance.choice(["wav", "flac", "aiff"]),
        stream_audio=chance.random() < 0.2,
    )
    call = client.Generate(wanted, timeout=600)
    if turn < 0.4:
        for _ in range(chance.randrange(1, 4)):
            next(call)
        call.cancel()
        return "cancelled"
    clips = [event.clip for event in call if event.WhichOneof("event") == "clip"]
    name = clips[0].name
    if turn < 0.6:
        client.TrashClip(pb.ClipName(name=name), timeout=20)
        client.RestoreClip(pb.ClipName(name=name), timeout=20)
        return "restored"
    if turn < 0.7:
        content = [chunk.data for chunk in client.Download(pb.DownloadRequest(name=name), timeout=60)]
        client.Upload(iter([pb.UploadChunk(name=name), *(pb.UploadChunk(data=d) for d in content)]))
        return "fetched and sent back"
    return "made"


def _left(folder: Path) -> tuple[int, int]:
    """Files without their other half, and half-written ones."""
    names = [file.name for file in folder.iterdir()]
    sidecars = {name.removesuffix(SIDECAR_ENDING) for name in names if name.endswith(SIDECAR_ENDING)}
    hidden = sum(name.startswith(".") for name in names)
    audio = {name for name in names if not name.endswith(SIDECAR_ENDING) and not name.startswith(".")}
    return len(audio ^ sidecars), hidden


def _held(daemon: Process) -> dict[str, int]:
    """Memory, threads and open files of the daemon; Linux only."""
    time.sleep(SETTLED_S)
    place = Path("/proc") / str(daemon.process.pid)
    pages = int((place / "statm").read_text().split()[1])
    threads, files = (len(list((place / name).iterdir())) for name in ("task", "fd"))
    return {"rss": 4096 * pages, "threads": threads, "files": files}


def _change(before: dict[str, int], after: dict[str, int]) -> str:
    growth = 100 * (after["rss"] / before["rss"] - 1)
    return (
        f"memory {before['rss'] / 1e6:.1f} → {after['rss'] / 1e6:.1f} MB ({growth:+.1f} %), threads "
        f"{before['threads']} → {after['threads']}, open files {before['files']} → {after['files']}"
    )


def _drive(
    daemon: Process,
    jobs: int,
    clients: int,
    seed: int,
    act_once: Callable[[Any, random.Random, str], str] | None = None,
    end_s: float = math.inf,
) -> Counter[str]:
    counted: Counter[str] = Counter()
    lock = threading.Lock()

    def act(number: int) -> None:
        chance = random.Random(f"{seed} {number}")
        with _channel(daemon) as channel:
            client = acestep_pb2_grpc.DaemonStub(channel)
            for turn in range(number, jobs, clients):
                if time.monotonic() > end_s:
                    return
                try:
                    what = (act_once or _turn)(client, chance, f"client {number} job {turn}")
                except grpc.RpcError as error:
                    expected = error.code().name in ("NOT_FOUND", "INVALID_ARGUMENT", "ALREADY_EXISTS")
                    what = "refused" if expected else "fault"
                    if not expected:
                        print(f"  {error.code().name}: {error.details()}", file=sys.stderr)
                with lock:
                    counted[what] += 1

    threads = [threading.Thread(target=act, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return counted


def _turn(client: Any, chance: random.Random, prompt: str) -> str:
    """A job, and what a client may do with its clip."""
    call = client.Generate(pb.GenerateRequest(prompt=prompt), timeout=60)
    if chance.random() < 0.1:
        next(call)
        call.cancel()
        return "cancelled"
    clip = next(event.clip for event in call if event.WhichOneof("event") == "clip")
    list(call)
    if (turn := chance.random()) < 0.2:
        client.StarClip(pb.StarClipRequest(name=clip.name, starred=True), timeout=20)
        return "starred"
    if turn < 0.6:
        client.TrashClip(pb.ClipName(name=clip.name), timeout=20)
        if turn < 0.3:
            client.RestoreClip(pb.ClipName(name=clip.name), timeout=20)
            return "restored"
        return "trashed"
    if turn < 0.65:
        client.ListClips(pb.ListClipsRequest(limit=20), timeout=20)
        return "listed"
    return "made"


if __name__ == "__main__":
    sys.exit(main())

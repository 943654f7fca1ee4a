"""Test side: daemons in this process or their own, an OSC and a gRPC client, and a stand-in for the engine.

The stand-in is used where the model does not matter (queue, cancelling, turns, the wire): it waits as long
as a test wants and writes real clips through the same door as the real path.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import soundfile

from acestep.checkpoints.checkpoint import EMBEDDED
from acestep.clips.clip import Clip, remove_files
from acestep.clips.companion import clip_midi
from acestep.errors import Cancelled
from acestep.music.aim import Aim
from acestep.request import GenerateRequest
from acestep.sources.agreement import agreed
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from server import config, logs
from server.daemon import Daemon
from server.jobs.engine import Engine
from server.jobs.job import Job
from server.osc.packets import encode, parse
from tests.support.clip_files import write_clip

WAIT_S = 20.0  # only ever reached by a test that fails


class StandIn(Engine):
    """In place of `acestep.clips.production`: steps that a test holds and releases, short real clips."""

    def __init__(self) -> None:
        self.hold = threading.Event()  # clear: a running job waits in its step
        self.hold.set()
        self.started = threading.Semaphore(0)
        self.loaded = threading.Semaphore(0)
        self.order: list[str] = []
        self.fail: Exception | None = None

    def load(self, name: str, device: str) -> Any:
        """In place of a cascade: what a daemon reads of one."""
        self.loaded.release()
        adapters: dict[str, tuple[str, ...]] = {}
        paths: dict[str, Path] = {}

        def load_adapter(path: Path) -> None:
            adapters[path.name], paths[path.name] = ("m",), path

        def unload_adapter(name: str) -> None:
            del adapters[name], paths[name]

        return SimpleNamespace(
            spec=SimpleNamespace(
                name=name, folder=EMBEDDED.get(name, Path(name)), can=lambda task: True, sings=False
            ),
            stages={},
            codec=SimpleNamespace(sample_rate_hz=48_000),
            adapters=SimpleNamespace(loaded=adapters, paths=paths),
            load_adapter=load_adapter,
            unload_adapter=unload_adapter,
            device="cpu",
            is_current=lambda: True,
        )

    def spec(self, name: str) -> None:
        """Nothing is known before, so nothing is refused by it."""

    def warm_up(self) -> None:
        """Nothing is slow the first time."""

    def produce(
        self,
        cascade: Any,
        job: Job,
        on_progress: Any,
        on_audio: Any,
        cancelled: Callable[[], bool],
        delivery: Any = None,
    ) -> list[Clip]:
        """Waits while held, then writes a clip per take."""
        self.order.append(job.request.prompt)
        self.started.release()
        on_progress(SimpleNamespace(stage="m", fraction=0.5, eta_s=1.0))
        while not self.hold.wait(0.005):
            if cancelled():
                raise Cancelled("cancelled")
        if self.fail:
            raise self.fail
        if on_audio:
            on_audio(0, 0, np.zeros((2, 100), np.float32))
        clips: list[Clip] = []
        for take in range(job.request.takes):
            if cancelled():
                for clip in clips:
                    remove_files(Path(clip.path))
                raise Cancelled("cancelled")
            clips.append(write_short_clip(job, take))
        return clips


def write_short_clip(job: Job, take: int) -> Clip:
    """A real file with a real sidecar, a tenth of a second long."""
    import io

    request, _ = agreed(job.request)
    body = io.BytesIO()
    soundfile.write(body, np.zeros((4800, 2), np.float32), 48_000, format="WAV", subtype="PCM_24")
    values = Clip(
        name="",
        path="",
        job=job.id,
        take=take,
        seed=(request.seed or 0) + take,
        bpm=request.bpm,
        signature=str(request.signature),
        key=str(request.key or ""),
        bars=request.bars,
        duration_s=0.1,
        samples=4800,
        sample_rate_hz=48_000,
        tempo_error_pct=0.02,
        downbeat_error_ms=None,
        key_match="same key",
        fit="good",
        prompt=request.prompt,
        cascade=request.cascade,
        adapters=request.adapters,
        created=job.created.isoformat(),
    )
    fields = {
        name: value for name, value in vars(values).items() if name not in ("path", "midi", "sidecar_json")
    }
    measured = {"after": {"lufs": -14.2}}
    sidecar = {"format": 1, "clip": fields, "request": request.to_dict(), "measured": measured}
    stem = f"{job.id}_{request.prompt.replace(' ', '-')[:20]}_t{take + 1}"
    midi = clip_midi(Aim(request.grid), request.key) if request.midi_out else None
    if midi:
        sidecar["midi"] = {}
    return write_clip(job.folder, stem, ".wav", body.getvalue(), sidecar, midi)


def settings(folder: Path, **changes: Any) -> config.Config:
    """Settings of a daemon that lives in `folder` on any free ports."""
    flags = {"home": folder / "home", "samples": folder / "samples", "grpc_port": 0, "osc_port": 0}
    return config.load({**flags, **changes}, environ={})


@contextlib.contextmanager
def running(made: config.Config, stand_in: StandIn | None = None, resume: bool = False) -> Iterator[Daemon]:
    """A daemon in this process: with a stand-in for the engine, or the real one."""
    daemon = Daemon(made, stand_in)
    ready = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            daemon.run(resume, ready.set)
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(WAIT_S)
    if failed:
        thread.join()
        raise failed[0]
    try:
        yield daemon
    finally:
        if stand_in:
            stand_in.hold.set()
        daemon.stop()
        thread.join(WAIT_S)
        logs.stop()


class Osc:
    """A program that speaks OSC from a port of its own."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(WAIT_S)
        self.daemon = ("127.0.0.1", port)
        self.port = int(self.socket.getsockname()[1])

    def __enter__(self) -> "Osc":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, address: str, *values: Any) -> None:
        """One message under /acestep/."""
        self.socket.sendto(encode(f"/acestep/{address}", *values), self.daemon)

    def send_bytes(self, datagram: bytes) -> None:
        """Whatever it is."""
        self.socket.sendto(datagram, self.daemon)

    def receive(self) -> tuple[str, list[Any]]:
        """The next answer: its address without /acestep/, and its values."""
        message = parse(self.socket.recv(65_536))[0]
        return message.address.removeprefix("/acestep/"), list(message.values)

    def until(self, *addresses: str) -> tuple[str, list[Any]]:
        """The next answer with one of these addresses; others are passed over."""
        while True:
            address, values = self.receive()
            if address in addresses:
                return address, values

    def waiting(self) -> list[str]:
        """The addresses of the answers that are there before the answer to a ping."""
        self.send("ping")
        found = []
        while (answer := self.receive()[0]) != "pong":
            found.append(answer)
        return found


@contextlib.contextmanager
def stub(port: int) -> Iterator[acestep_pb2_grpc.DaemonStub]:
    """A gRPC client."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield acestep_pb2_grpc.DaemonStub(channel)


def reason(error: grpc.RpcError) -> str:
    """The machine-readable reason in a failed call's trailing metadata."""
    return dict(error.trailing_metadata())["acestep-reason"]


def generate(stub: Any, /, **values: Any) -> list[pb.JobEvent]:
    """A whole Generate call."""
    return list(stub.Generate(pb.GenerateRequest(**values), timeout=60))


def own_address() -> str:
    """An address of this machine that is not loopback, "" if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        host = str(probe.getsockname()[0])
    return "" if host.startswith("127.") else host


def certify(home: Path, host: str) -> Path:
    """A certificate for that address, and its key, where a daemon looks for them in its home."""
    tls = home / "tls"
    tls.mkdir(parents=True)
    subject = ["-subj", "/CN=acestep", "-addext", f"subjectAltName=IP:{host}"]
    files = ["-keyout", str(tls / "key.pem"), "-out", str(tls / "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    return tls / "cert.pem"


class Process:
    """`acestep serve` as its own process, to be killed."""

    start_s = 3 * WAIT_S  # a busy machine takes a while to import torch
    at_home = False  # begun in its home, where none of our packages lie

    def __init__(self, made: config.Config, *flags: str, script: str = "") -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        command = [sys.executable, "-c", script] if script else [sys.executable, "-m", "server.cli", "serve"]
        self.home = made.home
        (made.home / "daemon.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [*command, "--home", str(made.home), "--samples", str(made.samples), "--grpc-port", "0",
             "--osc-port", "0", *flags],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=made.home if self.at_home else None,
        )  # fmt: skip
        deadline = time.monotonic() + self.start_s
        while not (made.home / "daemon.json").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"the daemon did not start: {self.process.communicate()[1]}")
            time.sleep(0.02)
        ports = json.loads((made.home / "daemon.json").read_text())
        self.grpc_port, self.osc_port = ports["grpc_port"], ports["osc_port"]

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.communicate()

    def terminate(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        self.process.communicate(timeout=self.start_s)
        return self.process.returncode


# `acestep serve` whose engine waits in its step until it is cancelled, then writes real files.
HELD = """
import sys
from server import daemon
from server.cli import acestep as cli
from tests.support.daemons import StandIn
engine = StandIn()
if "slow" not in sys.argv[1:]:
    engine.hold.clear()
real = daemon.Daemon
daemon.Daemon = lambda config: real(config, engine)
sys.exit(cli.main(["serve", *[word for word in sys.argv[1:] if word != "slow"]]))
"""


QUICK = HELD.replace("engine.hold.clear()", "pass")


def until(condition: Callable[[], Any]) -> Any:
    """Waits for it."""
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def clip(folder: Path, prompt: str, **values: object) -> Clip:
    request = GenerateRequest(prompt=prompt, seed=1, **values)  # type: ignore[arg-type]
    return write_short_clip(Job(request, folder, "test"), 0)

"""The real daemon as a process of its own, with a tiny random nano cascade, for tests of what talks to it.

Knows the command line and daemon.json; not what is asked of the daemon.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugin_bridge import Bridge
from plugin_bridge.errors import BridgeError

ROOT = Path(__file__).parents[3]
START_WITHIN_S = 240.0  # a busy machine; a quiet one needs 5 s


class Daemon:
    """Starts, kills and restarts `acestep serve` with one home and the same ports."""

    def __init__(self, folder: Path, cascade: Path) -> None:
        self.home, self.samples, self.sets = folder / "home", folder / "samples", folder / "sets"
        for path in (self.home, self.samples, self.sets):
            path.mkdir()
        self.cascade = cascade
        self.osc_port = self.grpc_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """What a musician would type, with all paths and ports said."""
        return [
            *(sys.executable, "-m", "server.cli", "serve"),
            *("--samples", str(self.samples), "--cascade", str(self.cascade)),
            *("--osc-port", str(self.osc_port), "--grpc-port", str(self.grpc_port)),
            *("--allowed-folders", str(self.sets)),
        ]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ACESTEP_HOME": str(self.home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    def start(self, command: list[str] | None = None) -> None:
        """Returns when it says that it is ready."""
        with (self.home / "output.txt").open("ab") as output:
            self._process = subprocess.Popen(
                command or self.command, stdout=output, stderr=output, env=self.environment, cwd=ROOT
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Waits for daemon.json of a daemon that lives."""
        until = time.monotonic() + START_WITHIN_S
        while time.monotonic() < until:
            if self._process is not None and self._process.poll() is not None:
                break
            try:
                told = json.loads((self.home / "daemon.json").read_text("utf-8"))
                os.kill(told["pid"], 0)
            except (OSError, ValueError):
                time.sleep(0.05)
                continue
            self.osc_port, self.grpc_port = told["osc_port"], told["grpc_port"]
            return
        raise AssertionError("the daemon did not start: " + (self.home / "output.txt").read_text("utf-8"))

    def warm_up(self) -> None:
        """One clip, so that what is compiled and loaded at first use is not part of a test."""
        with Bridge(self.address) as bridge:
            bridge.generate("warm up", bars=1, bpm=120).clips()

    def kill(self) -> None:
        """Without a chance to say goodbye."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        try:
            pid = int(json.loads((self.home / "daemon.json").read_text("utf-8"))["pid"])
            os.kill(pid, how)
        except (OSError, ValueError, KeyError):
            pid = 0
        if self._process is not None:
            self._process.wait(30)
            self._process = None
        elif pid:  # started by somebody else, as the Live script does
            _wait_for_end(pid)


def _wait_for_end(pid: int) -> None:
    for _ in range(600):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


@pytest.fixture(scope="session")
def tiny_nano(pytestconfig: pytest.Config) -> Path:
    """A cascade of random weights, small enough for a test; made by the project's own command, once for each
    state of the sources that make it."""
    sources = sorted(
        [*(ROOT / "acestep" / "nano").glob("*.py"), *(ROOT / "acestep" / "model" / "codec").glob("*.py")]
    )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("tiny-nano") / digest
    if not folder.exists():
        unfinished = folder.with_name(f"{digest}-{os.getpid()}")
        command = [sys.executable, "-m", "acestep.nano", "init", "--tiny", str(unfinished)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
        with contextlib.suppress(OSError):  # another process of these tests may have been quicker
            unfinished.rename(folder)
        assert folder.exists()
    return folder


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, tiny_nano: Path) -> Iterator[Daemon]:
    """A running, warm daemon that all tests share; one that stops it starts it again."""
    served = Daemon(tmp_path_factory.mktemp("daemon"), tiny_nano)
    served.start()
    try:
        served.warm_up()
        yield served
    finally:
        served.stop()


def finished(daemon: Daemon, job: str) -> bool:
    """Whether a job has come to its end, as the daemon's list says."""
    with Bridge(daemon.address) as bridge:
        try:
            return any(item.id == job and item.state not in ("queued", "running") for item in bridge.jobs())
        except BridgeError:
            return False

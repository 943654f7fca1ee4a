"""What the daemon costs: start, acknowledgement while a job runs, overhead over the engine, trigger
to file, peak memory.

    python -m tests.benchmarks.daemon [--cascade NAME_OR_FOLDER] [--rounds N]

First asserts that the daemon's clip is the bare engine's, and ends without a figure where it is not.
Without trained weights an untrained checkpoint of nano's size is made; times do not depend on the weights.
"""

import argparse
import contextlib
import io
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from acestep.clips.production import produce
from acestep.model.cascade import Cascade
from acestep.request import GenerateRequest
from tests.benchmarks.agreement import clips_must_agree, run_rounding
from tests.support.daemons import Osc, Process, settings

WARM_UPS = 2
STEPS = 8  # of nano
REQUEST = GenerateRequest(prompt="dusty breakbeat", bpm=120.0, bars=4, seed=1)


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cascade", default="", help="default: nano, or an untrained one of its size")
    parser.add_argument("--rounds", type=int, default=12, help="pairs of runs (default 12)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = arguments.cascade or _nano(Path(folder))
        made = settings(Path(folder), cascade=checkpoint)
        with (
            Process(made, "--cascade", checkpoint, "--log-level", "warning") as daemon,
            Osc(daemon.osc_port) as osc,
        ):
            osc.socket.settimeout(600)
            cascade = Cascade.load(checkpoint)
            same(osc, cascade, Path(folder))
            _start_up()
            _overhead(osc, cascade, Path(folder), arguments.rounds)
            _acknowledgement(osc)
            daemon.terminate()
        peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # the daemon is the largest child
        print(f"{'peak memory of the daemon':42} {peak_kb / 1e6:7.2f} GB")
    return 0


def _nano(folder: Path) -> str:
    from acestep.checkpoints.checkpoint import available

    if "nano" in available():
        return "nano"
    from acestep.nano.cli import main as nano

    print("nano has no weights here: an untrained checkpoint of its size is measured")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        nano(["init", str(folder / "checkpoint")])
    return str(folder / "checkpoint")


def _start_up() -> None:
    """Seconds of whole processes, the interpreter's own start taken off."""
    bare = _best("pass")
    for what, code in (
        ("import acestep", "import acestep"),
        ("acestep --help", "import server.cli.acestep as a; a.main(['--help'])"),
        ("acestep generate --help", "import server.cli.acestep as a; a.main(['generate', '--help'])"),
    ):
        took = _best(code)
        print(
            f"{what:42} {1000 * took:7.0f} ms   {took / bare:5.2f}× a bare interpreter ({1000 * bare:.0f} ms)"
        )


def _best(code: str) -> float:
    times = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return min(times)


def same(osc: Osc, cascade: Cascade, folder: Path) -> None:
    """Asserts that the daemon writes the samples that this process writes."""
    (bare,) = produce(cascade, REQUEST, folder / "bare")
    served = _by_osc(osc, REQUEST)
    clips_must_agree("bare engine against daemon", bare.path, served, run_rounding(cascade, STEPS))


def _overhead(osc: Osc, cascade: Cascade, folder: Path, rounds: int) -> None:
    """The same request by turns in this process and through the daemon, from trigger to written file."""
    bare: list[float] = []
    served: list[float] = []
    for _ in range(WARM_UPS + rounds):
        started = time.perf_counter()
        produce(cascade, REQUEST, folder / "bare")
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        _by_osc(osc, REQUEST)
        served.append(time.perf_counter() - started)
    bare, served = bare[WARM_UPS:], served[WARM_UPS:]
    ratio = statistics.median(b / a for a, b in zip(bare, served, strict=True))
    print(f"{'4 bars at 120 bpm, bare engine':42} {_spread(bare)}")
    print(f"{'the same, OSC trigger to file':42} {_spread(served)}")
    print(f"{'daemon over bare engine':42} {ratio:7.3f} ×    overhead {100 * (ratio - 1):+.1f} %")


def _by_osc(osc: Osc, request: GenerateRequest) -> str:
    """Has the daemon make a clip, and waits; gives its path."""
    osc.send("generate", request.prompt, "tempo", request.bpm, "bars", request.bars, "seed", request.seed)
    path = ""
    while True:
        address, values = osc.until("clip", "done", "error")
        if address == "error":
            raise SystemExit(f"the daemon refused: {values}")
        if address == "done":
            return path
        path = values[1]


def _acknowledgement(osc: Osc) -> None:
    """From sending /acestep/generate to receiving /acestep/accepted; a ping shows what the machine adds."""
    idle = _answers(osc, ["ping"], "pong")
    osc.send("generate", "a long one", "bars", 64, "takes", 8)
    osc.until("progress")
    busy = _answers(osc, ["ping"], "pong")
    accepted = _answers(osc, ["generate", "another"], "accepted")
    osc.send("cancel")
    for _ in range(len(accepted) + 1):
        osc.until("cancelled")
    print(f"{'ping, idle':42} {_spread(idle)}")
    print(f"{'ping while a job runs':42} {_spread(busy)}")
    print(f"{'generate acknowledged while a job runs':42} {_spread(accepted)}")
    ratio = statistics.median(accepted) / statistics.median(busy)
    print(f"{'acknowledgement over a ping':42} {ratio:7.2f} ×")


def _answers(osc: Osc, message: list[str], answer: str) -> list[float]:
    times = []
    for _ in range(30):
        started = time.perf_counter()
        osc.send(*message)
        osc.until(answer)
        times.append(time.perf_counter() - started)
        time.sleep(0.03)
    return times


def _spread(times: list[Any]) -> str:
    ordered = sorted(times)
    late = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return f"{1000 * statistics.median(ordered):7.1f} ms   95 % within {1000 * late:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())

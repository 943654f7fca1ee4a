"""How quick the Live script is: the real script in the double of Live, against the real daemon.

    python -m tests.benchmarks.live [--jobs N]

First asserts that the clip in the slot plays what the bare engine makes of its sidecar. Then prints, in
milliseconds: from trigger to `/acestep/accepted`, from `/acestep/clip` on the wire to the clip in its slot
(warped, looped, undo step closed), and every timer callback, also under a burst of 1,000 messages.
"""

import argparse
import gc
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from acestep.clips.production import reproduce
from acestep.model.cascade import Cascade
from plugin_bridge.ableton.AceStep import osc
from plugin_bridge.ableton.AceStep.script import AceStep
from tests.benchmarks.agreement import clips_must_agree, run_rounding
from tests.support.live.app import App
from tests.support.live.daemon import ROOT, Daemon

TARGETS_MS = {"trigger to accepted": 25.0, "clip told to clip in slot": 50.0, "timer callback": 5.0}


class Ear:
    """A subscriber of the daemon that notes when each clip was told."""

    def __init__(self, port: int) -> None:
        self.told: list[float] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.sendto(osc.encode("/acestep/subscribe"), ("127.0.0.1", port))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            packet = self._socket.recv(65536)
            if packet.startswith(b"/acestep/clip"):
                self.told.append(time.perf_counter())


def one_job(app: App, script: Any, ear: Ear, number: int) -> tuple[float, float]:
    """(trigger to accepted, clip told to clip in slot), in milliseconds."""
    slot = app.song.tracks[0].clip_slots[number]
    app.song.view.user_selects(app.song.tracks[0], number)
    app.run(0.0137 * (number % 7) / 7)  # triggers come at any time between two ticks
    began = time.perf_counter()
    script.generate("benchmark", {"bars": 1})
    app.run_until(lambda: script.daemon.jobs)
    accepted_ms = (time.perf_counter() - began) * 1000
    app.run_until(lambda: slot.has_clip and slot.clip.looping and not app.world.open_steps)
    in_slot = time.perf_counter()
    app.run_until(lambda: not script.daemon.jobs)
    return accepted_ms, (in_slot - ear.told[-1]) * 1000


def burst(app: App, script: Any) -> float:
    """Milliseconds until the last of 1,000 messages has been heard."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as page:
        began = time.perf_counter()
        for number in range(1000):
            page.sendto(osc.encode("/acestep/live/strength", number / 1000), ("127.0.0.1", script.link.port))
            if number % 100 == 99:
                app.run(0.001)
    app.run_until(lambda: script.request.values.get("strength", 0) > 0.998)
    return (time.perf_counter() - began) * 1000


def show(what: str, values: list[float]) -> None:
    ordered = sorted(values)
    worst = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    target = TARGETS_MS[what]
    print(
        f"{what:28} median {statistics.median(values):6.2f}  99 % {worst:6.2f}  worst {ordered[-1]:6.2f} ms"
        f"  (target {target:g}, {'met' if worst <= target else 'missed'} at 99 % of {len(values)})"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.live", description=__doc__)
    parser.add_argument("--jobs", type=int, default=20, help="how many clips to make")
    parser.add_argument("--cascade", type=Path, help="checkpoint folder (default: a tiny random one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cascade = arguments.cascade or Path(folder) / "tiny"
        if not arguments.cascade:
            make = [sys.executable, "-m", "acestep.nano", "init", "--tiny", str(cascade)]
            subprocess.run(make, check=True, cwd=ROOT, capture_output=True)
        daemon = Daemon(Path(folder), cascade)
        daemon.start()
        os.environ["ACESTEP_HOME"] = str(daemon.home)
        try:
            daemon.warm_up()
            measure(daemon, arguments.jobs, Path(folder))
        finally:
            daemon.stop()
    return 0


def load(folder: Path) -> Cascade:
    """The daemon's cascade in this process, on one thread as there."""
    torch.set_num_threads(1)
    return Cascade.load(folder, device="cpu")


def same(app: App, script: Any, ear: Ear, slot: int, daemon: Daemon, folder: Path) -> None:
    """Asserts that what lies in a slot is what the bare engine makes."""
    one_job(app, script, ear, slot)
    path = app.song.tracks[0].clip_slots[slot].clip.file_path
    cascade = load(daemon.cascade)
    again = reproduce(f"{path}.json", cascade, folder / "again")
    clips_must_agree(
        "the clip in the slot against the bare engine", path, again.path, run_rounding(cascade, 8)
    )


def measure(daemon: Daemon, jobs: int, folder: Path) -> None:
    """Runs the jobs and the burst, and prints."""
    app = App(scenes=jobs + 2)
    script = app.load(AceStep)
    app.run_until(lambda: script.daemon.up)
    ear = Ear(daemon.osc_port)
    same(app, script, ear, jobs, daemon, folder)
    gc.collect()
    app.callback_ms.clear()
    pairs = [one_job(app, script, ear, number) for number in range(jobs)]
    show("trigger to accepted", [pair[0] for pair in pairs])
    show("clip told to clip in slot", [pair[1] for pair in pairs])
    show("timer callback", app.callback_ms)
    app.callback_ms.clear()
    took_ms = burst(app, script)
    show("timer callback", app.callback_ms)
    print(f"a burst of 1,000 messages was heard in {took_ms:.0f} ms; load average {os.getloadavg()[0]:.1f}")
    app.quit()


if __name__ == "__main__":
    sys.exit(main())

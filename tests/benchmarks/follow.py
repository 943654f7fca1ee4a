"""Music that plays on: is every bar ready in time, and do segments in a row sound as one piece?

    python -m tests.benchmarks.follow [--minutes 20] [--follows 1] [--prompt TEXT]

A daemon with nano, a transport at real pace, and a second client that sends ordinary jobs all the while. The
judge of joints is the same for the bar lines between segments and for those where a segment meets itself as a
loop.
"""

import argparse
import queue
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import soundfile

from acestep.clips.segment import centroid_hz
from acestep.hearing.attack import loop_attack
from acestep.sound.loudness import integrated_lufs
from protos.acestep.v1 import acestep_pb2 as pb
from protos.acestep.v1 import acestep_pb2_grpc
from tests.support.daemons import Process, settings

BPM = 120.0
BARS = 4
SEGMENT_S = BARS * 4 * 60 / BPM
RATE_HZ = 48_000
TENTH = RATE_HZ // 10
REPORT_S = 0.1  # between two positions
PAUSE_S = 3.0  # between two jobs of the other client
PROMPTS = ("deep house, bass and chords and drums", "rhodes chords, warm", "dusty hip hop drums")


@dataclass
class Player:
    """One follow and its transport."""

    door: Any
    prompt: str
    segments: dict[float, pb.Segment] = field(default_factory=dict)
    leads_s: list[float] = field(default_factory=list)
    holes: int = 0
    repeats: int = 0
    notes: list[str] = field(default_factory=list)
    began_s: float = 0.0
    heard: list[float] = field(default_factory=list)  # where the segments that sounded begin
    out: "queue.SimpleQueue[pb.FollowRequest | None]" = field(default_factory=queue.SimpleQueue)

    def start(self) -> None:
        """Waits for the first bars, then presses play."""
        first = pb.FollowStart(
            settings=pb.GenerateRequest(prompt=self.prompt, bpm=BPM, key="F minor", seed=7)
        )
        self.out.put(pb.FollowRequest(start=first))
        self.events = self.door.Follow(iter(self.out.get, None))
        threading.Thread(target=self._read, daemon=True).start()
        while 0.0 not in self.segments:
            time.sleep(0.05)
        self.began_s = time.monotonic()

    def _read(self) -> None:
        try:
            for event in self.events:
                if event.HasField("segment"):
                    one = event.segment
                    if self.began_s and one.start_quarters not in self.segments and one.start_quarters > 0:
                        self.leads_s.append(one.start_quarters * 60 / BPM - self.at_s)
                    self.repeats += one.repeated
                    self.segments[one.start_quarters] = one
                elif event.HasField("note"):
                    self.notes.append(f"{event.note.reason}: {event.note.message}")
        except grpc.RpcError:
            return

    @property
    def at_s(self) -> float:
        """Seconds since play was pressed."""
        return time.monotonic() - self.began_s

    def report(self) -> None:
        """Says where the transport is, and looks whether anything is there."""
        quarters = self.at_s * BPM / 60
        self.out.put(
            pb.FollowRequest(position=pb.TransportPosition(quarters=quarters, bpm=BPM, playing=True))
        )
        slot = quarters // (BARS * 4) * BARS * 4
        self.holes += slot not in self.segments

    def end(self) -> None:
        """Ends the follow."""
        self.heard = [start for start in sorted(self.segments) if start * 60 / BPM < self.at_s]
        self.out.put(None)
        self.events.cancel()


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--follows", type=int, default=1)
    parser.add_argument("--prompt", default="", help="of the first follow")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = settings(Path(folder))
        with (
            Process(made, "--log-level", "warning") as daemon,
            grpc.insecure_channel(f"127.0.0.1:{daemon.grpc_port}") as channel,
        ):
            door = acestep_pb2_grpc.DaemonStub(channel)
            prompts = [arguments.prompt or PROMPTS[0], *PROMPTS[1:]]
            players = [Player(door, prompts[k % len(prompts)]) for k in range(arguments.follows)]
            for player in players:
                player.start()
            done = threading.Event()
            jobs: list[float] = []
            other = threading.Thread(target=ordinary, args=(door, done, jobs))
            other.start()
            end = time.monotonic() + arguments.minutes * 60
            while time.monotonic() < end:
                for player in players:
                    player.report()
                time.sleep(REPORT_S)
            heard_s = answer_to_change(players[0])
            done.set()
            other.join()
            for player in players:
                player.end()
            for player in players:
                print_player(player)
            limit = f"{heard_s:.1f} s (a segment and a bar: {SEGMENT_S + 2:g})"
            print(f"{'a change of prompt is heard after':56} {limit}")
            made_jobs = f"{len(jobs)}, {statistics.median(jobs):.1f} s"
            print(f"{'ordinary jobs meanwhile: how many, median':56} {made_jobs}")
    return 0


def ordinary(door: Any, done: threading.Event, jobs: list[float]) -> None:
    """The other client: a clip of four bars, a pause, and again."""
    while not done.wait(PAUSE_S):
        begun = time.monotonic()
        for _ in door.Generate(pb.GenerateRequest(prompt="techno bass", bpm=126, bars=4)):
            pass
        jobs.append(time.monotonic() - begun)


def answer_to_change(player: Player) -> float:
    """Seconds from a change of prompt to the first bars that are made by it."""
    before = max(player.segments)
    asked_s = player.at_s
    player.out.put(pb.FollowRequest(set=pb.GenerateRequest(prompt="ambient pad")))
    known = {start: one.number for start, one in player.segments.items()}
    while True:
        player.report()
        time.sleep(REPORT_S)
        new = [s for s, one in list(player.segments.items()) if s >= before and known.get(s) != one.number]
        if new:
            return min(new) * 60 / BPM - asked_s


def print_player(player: Player) -> None:
    """What one follow came to."""
    files = [player.segments[start].path for start in player.heard]
    audio = [soundfile.read(file, dtype="float32", always_2d=True)[0].T for file in files]
    loud = [(integrated_lufs(one, RATE_HZ) or -99.0) for one in audio]
    bright = [centroid_hz(one, RATE_HZ) for one in audio]
    print(f"\n{player.prompt}: {len(audio)} segments of {BARS} bars at {BPM:g} bpm")
    lead = f"{statistics.median(player.leads_s):.2f}, {min(player.leads_s):.2f}"
    changes = [value / bright[0] - 1 for value in bright]
    rows = [
        ("moments in which nothing was there to be heard", f"{player.holes}"),
        ("segments that were repeated for want of a new one", f"{player.repeats}"),
        ("seconds a segment came before its start: median, least", lead),
        (
            "loudness beside the first segment's, LU",
            f"{min(loud) - loud[0]:+.2f} … {max(loud) - loud[0]:+.2f}",
        ),
        ("spectral centroid beside the first's", f"{min(changes):+.1%} … {max(changes):+.1%}"),
        *joints("between segments", list(pairwise(audio))),
        *joints("as loops", [(one, one) for one in audio]),
    ]
    for name, value in rows:
        print(f"{name:56} {value}")
    for note in player.notes[:4]:
        print(f"  {note}")


def joints(name: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[str, str]]:
    """How music meets at the bar line: what ends there, and what begins."""
    jumps, levels, hits = [], [], []
    for before, behind in pairs:
        usual = np.percentile(np.abs(np.diff(before[:, -TENTH:], axis=1)), 95)
        jumps.append(float(np.abs(behind[:, 0] - before[:, -1]).max() / usual))
        levels.append(abs(level_db(behind[:, : 2 * TENTH]) - level_db(before[:, -2 * TENTH :])))
        around = np.concatenate([behind[:, : 5 * TENTH], before[:, -5 * TENTH :]], axis=1)
        if (at := loop_attack(around, RATE_HZ)) is not None:
            hits.append(at * 1000)
    attacks = f"{np.percentile(hits, 5):+.1f} … {np.percentile(hits, 95):+.1f}" if hits else "none"
    return [
        (
            f"{name}: jump, of usual movement: median, 95th",
            f"{np.median(jumps):.2f}, {np.percentile(jumps, 95):.2f}",
        ),
        (f"{name}: change of level at the bar line, dB", f"{np.median(levels):.1f}"),
        (f"{name}: first attack, ms, 5th to 95th", f"{attacks} of {len(hits)}"),
    ]


def level_db(audio: np.ndarray) -> float:
    """Mean level."""
    return float(10 * np.log10(np.square(audio).mean() + 1e-9))


if __name__ == "__main__":
    sys.exit(main())

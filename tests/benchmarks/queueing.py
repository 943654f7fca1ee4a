"""How many replicas so many users need: queueing arithmetic, and a simulation that checks it.

    python -m tests.benchmarks.queueing [--users 1000] [--every-s 30] [--gpu-s 0.25] [--cpu-s 0.43]

Each user asks for a clip every `--every-s` seconds on average, whenever it suits them; c replicas make one
clip each at a time, GPU part and CPU part one after the other (M/G/c). The arithmetic is Erlang's C for the
chance of waiting at all, and for how long Allen and Cunneen's factor (1 + cv²) / 2 on it. The simulation
draws arrivals and lengths and hands each clip to the replica that is free first. Pure arithmetic: nothing
here runs a model, so it says what would be so if the seconds were so.
"""

import argparse
import functools
import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

WITHIN = 0.99  # of the clips have to be there in time
SPREAD = 0.3  # cv of the making: chosen by hand; clips of 4 bars last 5.3 to 13.7 s at 70 to 180 bpm
DRAWS = 200_000
QUANTILES = tuple((place + 0.5) / 400 for place in range(400))


@dataclass(frozen=True)
class Service:
    """`replicas` that each take `mean_s` for a clip, and `cv` times that in standard deviation."""

    rate: float  # clips asked for in a second
    mean_s: float
    cv: float
    replicas: int

    @property
    def load(self) -> float:
        """Share of the time that a replica works; from 1 on the queue grows without end."""
        return self.rate * self.mean_s / self.replicas

    @property
    def waiting(self) -> float:
        """The chance that a clip has to wait (Erlang C)."""
        return erlang_c(self.replicas, self.rate * self.mean_s)

    @property
    def mean_wait_s(self) -> float:
        """Seconds that a clip waits on average, those that do not wait among them."""
        if self.load >= 1:
            return math.inf
        return self.waiting * self._pace_s

    def late(self, within_s: float) -> float:
        """The chance that a clip takes longer than that, waiting and making together.

        Waits are taken as exponential, which they are for M/M/c and in the tail of the others.
        """
        if self.load >= 1:
            return 1.0
        total, waiting, pace_s = 0.0, self.waiting, self._pace_s
        for quantile in QUANTILES:  # the mean over the lengths of making
            made_s = length_at(quantile, self.mean_s, self.cv)
            left_s = within_s - made_s
            total += waiting * math.exp(-left_s / pace_s) if left_s > 0 else 1.0
        return total / len(QUANTILES)

    @property
    def _pace_s(self) -> float:
        """Mean wait of those that wait."""
        return (1 + self.cv**2) / 2 * self.mean_s / (self.replicas * (1 - self.load))


def erlang_c(servers: int, offered: float) -> float:
    """The chance to wait at `servers` with `offered` = rate · mean length; 1 where they cannot keep up."""
    if offered >= servers:
        return 1.0
    blocked = 1.0  # Erlang B, one server more at a time: never a large number
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def replicas_for(rate: float, mean_s: float, cv: float, within_s: float, share: float = WITHIN) -> int | None:
    """The fewest replicas with that share of the clips in time; None where making alone takes longer."""
    if length_at(share, mean_s, cv) >= within_s:
        return None
    low = int(rate * mean_s)  # which cannot keep up
    high = low + 1
    while Service(rate, mean_s, cv, high).late(within_s) > 1 - share:
        low, high = high, high + 2 * (high - low)
    while high - low > 1:
        middle = (low + high) // 2
        enough = Service(rate, mean_s, cv, middle).late(within_s) <= 1 - share
        low, high = (low, middle) if enough else (middle, high)
    return high


def length_at(quantile: float, mean_s: float, cv: float) -> float:
    """Seconds that making takes: log-normal, as times of work are; always the mean where cv is 0."""
    if not cv:
        return mean_s
    sigma = math.sqrt(math.log(1 + cv**2))
    return mean_s * math.exp(sigma * _normal(quantile) - sigma**2 / 2)


def simulated(
    rate: float,
    replicas: int,
    within_s: float,
    length: Callable[[random.Random], float],
    draws: int,
    seed: int = 0,
) -> tuple[float, float]:
    """(mean wait in seconds, share that is late), first come first served; the first tenth is not counted."""
    chance = random.Random(seed)
    free_at = [0.0] * replicas
    now = waits = 0.0
    late = counted = 0
    for number in range(draws):
        now += chance.expovariate(rate)
        begins = max(now, free_at[0])
        made_s = length(chance)
        heapq.heapreplace(free_at, begins + made_s)
        if number >= draws // 10:
            waits, counted = waits + begins - now, counted + 1
            late += begins + made_s - now > within_s
    return waits / counted, late / counted


def lengths(mean_s: float, cv: float) -> Callable[[random.Random], float]:
    """Draws of `length_at`."""
    sigma = math.sqrt(math.log(1 + cv**2))
    return lambda chance: mean_s * math.exp(chance.gauss(-(sigma**2) / 2, sigma))


@functools.cache
def _normal(quantile: float) -> float:
    return NormalDist().inv_cdf(quantile)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--every-s", type=float, default=30.0, help="seconds between two clips of a user")
    parser.add_argument("--within-s", type=float, default=2.0)
    parser.add_argument("--gpu-s", type=float, default=0.25, help="GPU seconds a clip (assumed)")
    parser.add_argument("--cpu-s", type=float, default=0.43, help="CPU seconds a clip: measure, fit, write")
    arguments = parser.parse_args()
    rate, within_s = arguments.users / arguments.every_s, arguments.within_s
    print(f"{arguments.users:,} users, a clip every {arguments.every_s:g} s each: {rate:.1f} clips a second")
    print(f"{WITHIN:.0%} within {within_s:g} s; making varies by {SPREAD:.0%}\n")
    print("GPU s  CPU s  replicas  clips/s each   load   waits   late: arithmetic, simulated   mean wait ms")
    for gpu_s in sorted({0.1, 0.25, 0.5, 0.75, 1.8, arguments.gpu_s}):
        mean_s = gpu_s + arguments.cpu_s
        replicas = replicas_for(rate, mean_s, SPREAD, within_s)
        start = f"{gpu_s:5.2f}  {arguments.cpu_s:5.2f}"
        if replicas is None:
            print(
                f"{start}  no number: making alone takes {mean_s:g} s, too often longer than {within_s:g} s"
            )
            continue
        found = Service(rate, mean_s, SPREAD, replicas)
        wait_s, late = simulated(rate, replicas, within_s, lengths(mean_s, SPREAD), DRAWS)
        print(
            f"{start}  {replicas:8}  {1 / mean_s:12.2f}  {found.load:5.0%}  {found.waiting:6.1%}"
            f"   {found.late(within_s):11.2%}  {late:10.2%}"
            f"   {1000 * found.mean_wait_s:11.1f}  {1000 * wait_s:.1f}"
        )
    mean_s = arguments.gpu_s + arguments.cpu_s
    each = int(within_s / mean_s)
    if each:
        print(
            f"\nall {arguments.users:,} at once, lengths equal: {math.ceil(arguments.users / each)} replicas"
        )


if __name__ == "__main__":
    main()

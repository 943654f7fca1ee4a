"""Calls and window events at random, to the plugin built with sanitizers.

    python -m tests.support.hosts.at_random calls 1000 [SEED]     sequences of a host's calls, for each format
    python -m tests.support.hosts.at_random events 300 [SEED]     seconds of window events, for each format

What is done is in `native/random.c`; a seed always gives the same. What went before an error is in the logs.
Knows nothing of pytest.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.support.hosts.native_host import FORMATS, NativeHost
from tests.support.hosts.peer import Peer
from tests.support.hosts.screen import Screen
from tests.support.hosts.sound import write_wav

RATE_HZ = 48000


def no_file_browser(folder: Path) -> None:
    """An `xdg-open` that does nothing, in the folder `programs`: a click may land on *Show in folder*."""
    program = folder / "programs" / "xdg-open"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)


def random_calls(kind: str, folder: Path, sequences: int, seed: int = 1) -> str:
    """That many sequences of calls on instances of their own; what the host printed."""
    with Screen(folder, "1600x1300") as screen, Peer() as peer:
        host = NativeHost(kind, "sanitized", folder, peer.port, screen)
        with host:
            return host("random-calls", seed, sequences)[-1]


def random_events(kind: str, folder: Path, seconds: int, seed: int = 1) -> str:
    """So long mouse, keys, focus, exposure, sizes, closing and opening; what the host printed."""
    no_file_browser(folder)
    wave = np.sin(np.arange(4 * RATE_HZ) / 20).astype(np.float32) / 2
    write_wav(folder / "clip.wav", np.stack([wave, wave]), RATE_HZ)
    with (
        Screen(folder, "1600x1300") as screen,
        Peer(folder / "clip.wav") as peer,
        NativeHost(kind, "sanitized", folder, peer.port, screen) as host,
    ):
        host("activate", RATE_HZ, 4096)
        host("transport", 1)
        host("roll", 1)
        host("editor", 1)
        told = host("random-events", seed, seconds)[-1]
        host("close-editor")
        state = host.state()
    return f"{told}, {state.count(b'result ')} results"


def main(words: list[str]) -> int:
    """The command above."""
    what = {"calls": random_calls, "events": random_events}.get(words[0] if words else "")
    if not what or len(words) not in (2, 3) or not all(word.isdigit() for word in words[1:]):
        print(__doc__)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="at-random-"))
    print(f"logs in {folder}", flush=True)
    for kind in FORMATS:
        print(f"{kind}: {what(kind, folder, *map(int, words[1:]))}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

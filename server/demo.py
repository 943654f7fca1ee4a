"""`python -m server.demo`: starts the daemon, sends it what a DAW would send, shows the clip, keeps serving.

While it serves, it prints a line for each clip that is ready and for each request that is refused. Speaks to
the daemon only by OSC, as a DAW does; further flags are those of `acestep serve`.
"""

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acestep.clips.clip import Clip
from acestep.clips.wording import describe, tempo
from acestep.console.command import one_line, run
from acestep.console.terminal import time_left
from acestep.errors import AceStepError, Unavailable
from acestep.music.grid import bars_in_words
from server import config as configuration
from server.osc.packets import Message, encode, parse

START_TIMEOUT_S = 120.0  # a cold disk under torch
JOB_TIMEOUT_S = 600.0
LOOK_S = 0.5  # between two looks at whether the daemon still runs
MESSAGES: tuple[tuple[Any, ...], ...] = (
    ("/acestep/session", "demo"),
    ("/acestep/tempo", 92.5),
    ("/acestep/key", "A minor"),
    ("/acestep/bars", 4),
    ("/acestep/generate", "dusty boom bap drums with a warm bass"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demonstration; 0 when the clip was made."""
    return run("demo", lambda: _demonstrate(argv))


def _demonstrate(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="python -m server.demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the clip")
    parser.add_argument("--home", help="the daemon's home")
    known, flags = parser.parse_known_args(argv)
    if known.home:
        flags += ["--home", known.home]
    print("starting the daemon; loading the model takes a few seconds the first time", flush=True)
    # what the log warns of is told below, in words
    command = [sys.executable, "-m", "server.cli", "serve", "--log-level", "error", *flags]
    process = subprocess.Popen(command)
    osc = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        osc_port = _wait_for_port(process, configuration.load({"home": known.home}).running_file)
        _show(_clip(osc, osc_port))
        if known.once:
            return 0
        osc.sendto(encode("/acestep/subscribe"), ("127.0.0.1", osc_port))
        print(f"serving: OSC on port {osc_port}, Ctrl-C ends it", flush=True)
        return _tell(osc, osc_port, process)
    except KeyboardInterrupt:
        return 0
    finally:
        osc.close()
        _end(process)


def _wait_for_port(process: subprocess.Popen[bytes], file: Path) -> int:
    """The OSC port the daemon wrote down once it listens."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Unavailable("the daemon did not start: its message is above")
        try:
            running = json.loads(file.read_text("utf-8"))
            if running["pid"] == process.pid:
                return int(running["osc_port"])
        except (OSError, ValueError, KeyError):
            pass  # not there yet
        time.sleep(0.05)
    raise Unavailable(f"the daemon did not start within {START_TIMEOUT_S:g} s")


def _clip(osc: socket.socket, osc_port: int) -> Clip:
    """Sends the messages and waits for the clip."""
    osc.settimeout(JOB_TIMEOUT_S)
    for address, *values in MESSAGES:
        print(f"→ {address} {' '.join(map(str, values))}", flush=True)
        osc.sendto(encode(address, *values), ("127.0.0.1", osc_port))
    while True:
        message = parse(osc.recv(65_536))[0]
        match message.address, message.values:
            case "/acestep/clip", (_, str(path), *_):
                print(f"← {message.address}", flush=True)
                return Clip.load(Path(path))
            case "/acestep/error", (_, str(why), *_):
                raise AceStepError(why)
            case "/acestep/progress", (_, str(stage), float(fraction), float(eta_s)):
                told = filter(None, (f"{stage} {fraction:.0%}", time_left(eta_s)))
                print(f"← {message.address} {', '.join(told)}", flush=True)


def _tell(osc: socket.socket, osc_port: int, process: subprocess.Popen[bytes]) -> int:
    """A line for what becomes of everybody's requests, until the daemon ends; its exit code."""
    osc.settimeout(LOOK_S)
    while process.poll() is None:
        try:
            datagram, sender = osc.recvfrom(65_536)
        except OSError:  # nothing came, or the daemon is ending
            continue
        if sender[1] == osc_port and (line := _line(parse(datagram)[0])):
            print(line, flush=True)
    return int(process.returncode)


def _line(message: Message) -> str:
    """What a message says in words, "" for those that need no line."""
    match message.address, message.values:
        case "/acestep/clip", (_, str(path), float(bpm), str(signature), str(key), float(bars), _):
            meter = "" if signature == "4/4" else f" in {signature}"
            return f"{path}  {tempo(bpm)}{meter}, {key or 'no key'}, {bars_in_words(bars)}"
        case "/acestep/error", (_, str(why), job, *_):
            return f"{'failed' if job else 'refused'}: {one_line(why)}"
    return "cancelled" if message.address == "/acestep/cancelled" else ""


def _show(clip: Clip) -> None:
    """The path, and what was measured against what was asked."""

    def figure(value: float | None, unit: str) -> str:
        return "not measurable" if value is None else f"{value:.2f} {unit}"

    key = clip.key_match or "key not measurable"
    print(
        f"{clip.path}\n  {describe(clip)}\n  {clip.samples} samples, seed {clip.seed}, tempo error "
        f"{figure(clip.tempo_error_pct, '%')}, downbeat error {figure(clip.downbeat_error_ms, 'ms')}, "
        f"{key}",
        flush=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())

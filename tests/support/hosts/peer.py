"""A small daemon for host tests that need no music: answers pings and turns each generate into a given clip.

Speaks the same OSC messages as the daemon; the tests against the daemon itself are elsewhere.
"""

import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

Sender = tuple[str, int]
ALONE = {"tempo": 120.0, "signature": "4/4", "key": "", "bars": 4.0}  # of a request that leaves them out
NO_NOTES = b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0"  # a MIDI file


class Peer:
    """`clip` is delivered for every generate, with the tempo, signature, key and bars that were asked for."""

    def __init__(self, clip: Path | None = None, version: str = "0.1.0", wire: str = "1"):
        self.clip = clip
        self.version = version
        self.wire = wire
        self.messages: list[tuple[Sender, str, list]] = []
        self.hold = False  # accept jobs and report progress, but do not finish
        self.refuse = ""  # answer generate with this error
        self.adapters: list[str] = []
        self.parts: dict[str, Path] = {}  # what is delivered for a part, else the clip
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._jobs = 0
        self._held: list[tuple[Sender, str, dict]] = []

    @property
    def port(self) -> int:
        return self._socket.getsockname()[1]

    def __enter__(self) -> "Peer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def sent(self, address: str) -> list[list]:
        """The values of every message with this address so far, oldest first."""
        return [values for _, name, values in list(self.messages) if name == address]

    def wait_for(self, address: str, count: int = 1, limit_s: float = 20.0) -> list[list]:
        """Waits until `count` messages with this address have come; fails otherwise."""
        return eventually(
            lambda: (found := self.sent(address)) and len(found) >= count and found, f"no {address}", limit_s
        )

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                data, sender = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            for timed in OscPacket(data).messages:
                self._handle(timed.message, sender)

    def _handle(self, message: OscMessage, sender: Sender) -> None:
        values = list(message.params)
        self.messages.append((sender, message.address, values))
        if message.address == "/acestep/ping":
            self._send(sender, "/acestep/pong", self.version, self.wire)
        elif message.address == "/acestep/adapters":
            self._send(sender, "/acestep/adapter_names", len(self.adapters), *self.adapters)
        elif message.address == "/acestep/generate":
            self._generate(sender, values)
        elif message.address == "/acestep/cancel":
            self._send(sender, "/acestep/cancelled", values[0])

    def _generate(self, sender: Sender, values: list) -> None:
        if self.refuse:
            self._send(sender, "/acestep/error", "invalid_request", self.refuse, "", values[-1])
            return
        asked = dict(zip(values[1::2], values[2::2], strict=True))
        self._jobs += 1
        job = f"job-{self._jobs}"
        self._send(sender, "/acestep/accepted", job, asked["tag"])
        self._send(sender, "/acestep/progress", job, "m", 0.4, 2.5)
        if self.hold:
            self._held.append((sender, job, asked))
        else:
            self._finish(sender, job, asked)

    def finish(self) -> None:
        """Finishes the jobs that were held."""
        while self._held:
            self._finish(*self._held.pop(0))

    def _finish(self, sender: Sender, job: str, asked: dict) -> None:
        clips = self._clips(job, asked) if self.clip else []
        for clip, of_idea in clips:
            tempo, signature, key, bars = (asked.get(name, value) for name, value in ALONE.items())
            musical = (tempo, signature, key, float(bars), 0.01)
            self._send(sender, "/acestep/clip", job, str(clip), *musical, *of_idea)
            if asked.get("midi"):
                clip.with_suffix(".mid").write_bytes(NO_NOTES)
                self._send(sender, "/acestep/companion", job, str(clip), str(clip.with_suffix(".mid")))
        self._send(sender, "/acestep/done", job, len(clips))

    def _clips(self, job: str, asked: dict) -> list[tuple[Path, tuple[str, ...]]]:
        """The clip for a request, or a copy of it for each part and for the mix of an idea."""
        assert self.clip
        parts = asked.get("redo") or asked.get("parts")
        if not parts:
            return [(self.clip, ())]
        idea, clips = asked.get("idea") or f"idea-{job}", []
        for part in [*(one.split(":")[0].strip() for one in re.split("[;,]", parts)), "mix"]:
            copy = self.clip.with_stem(f"{self.clip.stem}_{job}_{part}")
            shutil.copyfile(self.parts.get(part, self.clip), copy)
            clips.append((copy, (idea, part)))
        return clips

    def _send(self, to: Sender, address: str, *values: str | int | float) -> None:
        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        self._socket.sendto(builder.build().dgram, to)


def eventually(condition: Callable, what: str, limit_s: float = 20.0):
    """The condition's first true value; fails when none comes in time."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} within {limit_s:g} s")


def newest(files: Iterable[Path]) -> Path:
    """The file changed last."""
    return max(files, key=lambda file: file.stat().st_mtime_ns)

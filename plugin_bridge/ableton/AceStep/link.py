"""The one UDP socket of the script: never blocks, never raises, tells who sent what.

Only loopback is bound unless the settings say otherwise,
and then only senders on the list are heard.
"""

from __future__ import annotations

import collections
import socket
import time
from typing import Any, Callable, Sequence, Tuple

from . import osc

PORT = 9128
PORTS_TRIED = 8  # a second script (or Live) takes the next free one
MAX_WAITING = 4000  # datagrams; more is a flood, and the oldest go
BUFFER_BYTES = 1 << 20  # asked of the system: a burst must survive the 10 ms between two ticks

Address = Tuple[str, int]


class Link:
    """Receives within a time budget, sends at once."""

    def __init__(self, host: str, port: int, allow: Sequence[str] = ()) -> None:
        self.allow = frozenset(allow)
        self._waiting: collections.deque[tuple[bytes, Address]] = collections.deque()
        self.dropped = 0  # malformed, foreign or flooded
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        self.port = self._bind(host, port)

    def _bind(self, host: str, port: int) -> int:
        for candidate in [port + step for step in range(PORTS_TRIED)] + [0]:
            try:
                self._socket.bind((host, candidate))
                break
            except OSError:
                if candidate == 0:
                    raise
        return int(self._socket.getsockname()[1])

    def send(self, to: Address, address: str, *args: Any) -> str:
        """ "" when it went out, else why not. Raises nothing: Live must not stumble over a network."""
        try:
            self._socket.sendto(osc.encode(address, *args), to)
        except (osc.OscError, OSError) as error:
            return str(error)
        return ""

    def drain(self, budget_s: float, handle: Callable[[Address, str, tuple[Any, ...]], None]) -> None:
        """Empties the system's buffer, then handles messages until the budget is spent; the rest waits."""
        until = time.perf_counter() + budget_s
        self._collect(time.perf_counter() + budget_s / 2)
        while self._waiting and time.perf_counter() < until:
            packet, sender = self._waiting.popleft()
            try:
                messages = osc.decode(packet)
            except osc.OscError:
                self.dropped += 1
                continue
            for address, args in messages:
                handle(sender, address, args)

    def _collect(self, until: float) -> None:
        while time.perf_counter() < until:
            try:
                packet, sender = self._socket.recvfrom(65536)
            except BlockingIOError:
                return
            except OSError:  # Windows reports here that the daemon's port was closed
                continue
            if sender[0].startswith("127.") or sender[0] in self.allow:
                self._waiting.append((packet, sender))
            else:
                self.dropped += 1
            if len(self._waiting) > MAX_WAITING:
                self._waiting.popleft()
                self.dropped += 1

    def close(self) -> None:
        """Gives the port back."""
        self._socket.close()

"""Prints OSC traffic: what others send to the daemon and what it tells everybody, or all that passes a relay.

Messages are passed on as they are.
"""

import contextlib
import errno
import selectors
import socket
import time
from collections.abc import Callable

from plugin_bridge.ableton.AceStep import osc
from plugin_bridge.errors import Unavailable

SUBSCRIBE_EVERY_S = 5.0  # so that a daemon that was restarted is heard again
SILENT_S = 1.5  # a daemon that does not answer a ping within this is not there
MAX_CLIENTS = 64

Address = tuple[str, int]


class Monitor:
    """Shows what comes to the daemon and what it answers; with `relay_port`, also carries it.

    `tell` says whether a daemon is there, each time that changes.
    """

    def __init__(
        self,
        daemon: Address,
        show: Callable[[str], None],
        relay_port: int | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._daemon, self._show, self._tell = daemon, show, tell
        self._began = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._ears = self._open(0)
        self._ears.connect(daemon)  # so that the system says when nobody is there
        self._alive: bool | None = None
        self._relay = self._open_relay(relay_port) if relay_port is not None else None
        self._clients: dict[Address, socket.socket] = {}
        self._subscribed_at = float("-inf")

    @property
    def relay_port(self) -> int:
        """The port that controllers send to, 0 without a relay."""
        return int(self._relay.getsockname()[1]) if self._relay else 0

    def _open_relay(self, port: int) -> socket.socket:
        """Raises Unavailable, saying which port and what to do, where it cannot be had."""
        try:
            return self._open(port)
        except OSError as error:
            self._ears.close()
            holder = "the daemon itself listens" if port == self._daemon[1] else "another program listens"
            cause = f": {holder} there" if error.errno == errno.EADDRINUSE else f" ({error.strerror})"
            raise Unavailable(
                f"the relay cannot listen on port {port}{cause}. Choose a free port with --relay N, and let "
                "the controller send to that one"
            ) from None

    def _open(self, port: int) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            opened.bind(("127.0.0.1", port))
        except OSError:
            opened.close()
            raise
        opened.setblocking(False)
        self._selector.register(opened, selectors.EVENT_READ)
        return opened

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Prints until told to stop (or interrupted)."""
        while not until():
            if time.monotonic() - self._subscribed_at > SUBSCRIBE_EVERY_S:
                self._subscribed_at = time.monotonic()
                self._subscribe()
            if self._alive is None and time.monotonic() - self._began > SILENT_S:
                self._is_alive(False)
            for key, _ in self._selector.select(0.1):
                self._read(key.fileobj)  # type: ignore[arg-type]

    def _subscribe(self) -> None:
        addresses = ["/acestep/subscribe", "/acestep/monitor"]
        if not self._alive:  # its answer goes to all subscribers, so it is asked for only where it is needed
            addresses.insert(0, "/acestep/ping")
        try:
            for address in addresses:
                self._ears.send(osc.encode(address))
        except OSError:  # nobody was there for the message before
            self._is_alive(False)

    def _is_alive(self, alive: bool) -> None:
        if alive is self._alive:
            return
        self._alive = alive
        port = self._daemon[1]
        if alive:
            self._tell(f"the daemon answers on port {port}")
        else:
            self._tell(f"no daemon answers on port {port}: start it with `acestep serve`; waiting for it")

    def _read(self, ready: socket.socket) -> None:
        try:
            packet, sender = ready.recvfrom(65536)
        except OSError:  # nobody was there for something sent before
            if ready is self._ears:
                self._is_alive(False)
            return
        if ready is self._relay:
            self._print(f"{sender[0]}:{sender[1]} → daemon", packet)
            self._send(self._client(sender), packet, self._daemon)
        elif ready is self._ears:
            self._is_alive(True)
            self._print("daemon →", packet)
        else:
            client = next((address for address, own in self._clients.items() if own is ready), None)
            if client is not None and self._relay is not None:
                self._send(self._relay, packet, client)

    def _client(self, sender: Address) -> socket.socket:
        """A socket for each controller, so that the daemon tells them apart as it would without a relay."""
        if sender not in self._clients:
            if len(self._clients) >= MAX_CLIENTS:
                oldest = self._clients.pop(next(iter(self._clients)))
                self._selector.unregister(oldest)
                oldest.close()
            self._clients[sender] = self._open(0)
        return self._clients[sender]

    def _send(self, by: socket.socket, packet: bytes, to: Address) -> None:
        try:
            by.sendto(packet, to)
        except OSError as error:
            self._show(f"not sent to {to[0]}:{to[1]}: {error}")

    def _print(self, way: str, packet: bytes) -> None:
        at = time.monotonic() - self._began
        try:
            for address, args in osc.decode(packet):
                if address == "/acestep/heard" and len(args) == 2:
                    if self._relay is None:  # a relay has shown it already
                        self._show(f"{at:9.3f} {args[0]} → daemon {args[1]}")
                    continue
                self._show(f"{at:9.3f} {way} {address} {' '.join(map(repr, args))}".rstrip())
        except osc.OscError as error:
            self._show(f"{at:9.3f} {way} no OSC ({error}): {packet[:40]!r}")

    def close(self) -> None:
        """Unsubscribes and gives the ports back."""
        with contextlib.suppress(OSError):
            self._ears.send(osc.encode("/acestep/unsubscribe"))
        for opened in [self._ears, *([self._relay] if self._relay else []), *self._clients.values()]:
            opened.close()
        self._selector.close()

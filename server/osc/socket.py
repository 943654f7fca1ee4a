"""The UDP socket of OSC: nobody's address, port or silence makes receiving or sending fail."""

import contextlib
import socket
import threading

from acestep.errors import Unavailable
from server import logs
from server.osc.session import Address
from server.ports import taken_message

RECEIVE_BUFFER_BYTES = 1 << 20  # a burst of a thousand messages waits here
MAX_PACKET_BYTES = 65_536
RETRY_S = 0.1  # after an error of the network
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
log = logs.get("osc")


class OscSocket:
    """One socket receives and sends, so that answers come from the daemon's own port."""

    def __init__(self, address: Address):
        """Raises Unavailable where the port cannot be had."""
        self._socket = _bind(address)
        name = self._socket.getsockname()
        self.host: str = name[0]
        self.port: int = name[1]
        self._closing = threading.Event()

    def receive(self) -> tuple[bytes, Address] | None:
        """The next packet and its sender; None once `close` was called."""
        while not self._closing.is_set():
            try:
                datagram, sender = self._socket.recvfrom(MAX_PACKET_BYTES)
            except OSError as error:  # somebody we answered is gone (Windows), the network is down, …
                log.warning("not_received", error=str(error))
                self._closing.wait(RETRY_S)
                continue
            if not self._closing.is_set():
                return datagram, (sender[0], sender[1])
        return None

    def send(self, datagram: bytes, target: Address) -> bool:
        """Sends a packet; False, with a line in the log, where this target cannot be sent to."""
        try:
            self._socket.sendto(datagram, target)
        except (OSError, OverflowError, TypeError, ValueError) as error:  # what sendto raises for wrong ones
            log.debug("not_sent", target=repr(target)[:120], error=str(error))
            return False
        return True

    def is_own(self, address: Address) -> bool:
        """Whether what is sent to this address comes back to this socket: its port, on this machine."""
        return address[1] == self.port and _is_here(address[0])

    def wake(self) -> None:
        """Ends `receive`, in whatever thread it waits."""
        self._closing.set()
        with contextlib.suppress(OSError), socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (_ANY.get(self.host, self.host), self.port))

    def close(self) -> None:
        """Gives the port back."""
        self._closing.set()
        self._socket.close()


def _is_here(host: str) -> bool:
    """Whether the address is one of this machine's: only those can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except (OSError, ValueError):
        return False
    return True


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise Unavailable(taken_message("OSC", "udp", *address, error, "--osc-port")) from None
    return bound

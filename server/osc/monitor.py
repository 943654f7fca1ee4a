"""`/acestep/monitor`: programs on this machine that are told what others send to the daemon's OSC port."""

from collections import OrderedDict
from collections.abc import Sequence

from acestep.errors import ForbiddenPath, InvalidRequest
from server.osc.packets import Message, Value, encode
from server.osc.session import Address
from server.osc.socket import OscSocket
from server.security import is_loopback

MAX_MONITORS = 8
MAX_HEARD_CHARS = 2_000


class Monitors:
    """The newest programs that asked."""

    def __init__(self) -> None:
        self._asked: OrderedDict[Address, None] = OrderedDict()

    def add(self, sender: Address, values: Sequence[Value]) -> None:
        """Tells `sender` from now on. Raises ForbiddenPath for another machine."""
        if values:
            raise InvalidRequest(f"/acestep/monitor has {len(values)} values: expected none")
        if not is_loopback(sender[0]):
            raise ForbiddenPath("what others send is told on this machine only: run the monitor here")
        self._asked[sender] = None
        self._asked.move_to_end(sender)
        while len(self._asked) > MAX_MONITORS:
            self._asked.popitem(last=False)

    def remove(self, sender: Address) -> None:
        """Tells `sender` no longer."""
        self._asked.pop(sender, None)

    def tell(self, through: OscSocket, message: Message, sender: Address) -> None:
        """Tells what came in, except to those who sent it themselves."""
        if not self._asked or sender in self._asked:
            return
        text = " ".join([repr(message.address)[1:-1], *map(repr, message.values)])[:MAX_HEARD_CHARS]
        told = encode("/acestep/heard", f"{sender[0]}:{sender[1]}", text)
        for monitor in list(self._asked):
            through.send(told, monitor)

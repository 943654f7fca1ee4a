"""Follows by OSC: each session has one, which the transport's position drives."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from acestep.errors import InvalidRequest, NotFound
from server.follow.conductor import Conductor, Ended, Note, SegmentReady, Told, check_bars
from server.follow.follow import REFUSED
from server.osc.packets import Value
from server.osc.session import Address, Session, Sessions
from server.osc.spelling import NAMED, Spelling, describe, read

Send = Callable[..., None]  # address of the sender, OSC address, values
POSITION = Spelling(
    (("f", "quarters"), ("f", "tempo"), ("b", "playing")),
    lambda quarters, tempo=None, playing=True: {"quarters": quarters, "bpm": tempo, "playing": playing},
    optional=2,
)


class FollowMessages:
    """`/acestep/follow/…`: start, set, position, stop."""

    def __init__(self, conductor: Conductor, sessions: Sessions, send: Send) -> None:
        self._conductor, self._sessions, self._send = conductor, sessions, send
        self.actions: dict[str, Callable[[Address, Sequence[Value]], None]] = {
            "follow/start": self._start,
            "follow/set": self._set,
            "follow/position": self._position,
            "follow/stop": self._stop,
        }

    def _start(self, sender: Address, values: Sequence[Value]) -> None:
        if not values or not isinstance(values[0], str):
            raise InvalidRequest(
                "/acestep/follow/start: expected s prompt, then pairs of s name and its value"
            )
        session = self._sessions.of(sender)
        fields = {
            name: value for name, value in session.fields.items() if name not in (*REFUSED, "bars", "task")
        }
        names = [name for name in values[1::2] if isinstance(name, str)]
        request, folder = Session(session.client, fields=fields).request(values[0], values[1:])
        bars = 4.0 if request.bars is None or "bars" not in names else check_bars(request.bars)
        before = self._conductor.of_owner(session.client)
        started = self._conductor.start(
            replace(request, bars=None), session.client, lambda told: self._tell(sender, told), bars, folder
        )
        session.last_prompt = values[0]
        self._send(sender, "/acestep/follow/started", *started)
        for name in before:
            self._conductor.stop(name, "another follow of the session began")

    def _set(self, sender: Address, values: Sequence[Value]) -> None:
        name = self._own(sender)
        if len(values) != 2 or not isinstance(values[0], str):
            raise InvalidRequest("/acestep/follow/set: expected s name and its value")
        what, value = values
        match what:
            case "freeze":
                self._conductor.freeze(name, bool(_whole(what, value, 0, 1)))
            case "vary":
                _whole(what, value, 1, 1)
                self._conductor.vary(name)
            case "recall":
                self._conductor.recall(name, _whole(what, value, 0, 2**31 - 1))
            case "prompt" if isinstance(value, str):
                self._conductor.change(name, {"prompt": value})
            case "bars":
                self._conductor.change(name, {"bars": check_bars(value)})
            case _ if what in NAMED:
                self._conductor.change(name, read(f"/acestep/follow/set {what}", NAMED[what], [value]))
            case _:
                raise InvalidRequest(
                    f"/acestep/follow/set: {describe(what)} is not a setting: use one of prompt, freeze, "
                    f"vary, recall, {', '.join(NAMED)}"
                )

    def _position(self, sender: Address, values: Sequence[Value]) -> None:
        name = self._own(sender)
        given = read("/acestep/follow/position", POSITION, values)
        self._conductor.move(name, given["quarters"], given["bpm"], given["playing"])

    def drive(self, session: Session, quarters: float, bpm: float | None, playing: bool) -> None:
        """Where another clock is drives the session's follow, if there is one."""
        for name in self._conductor.of_owner(session.client):
            self._conductor.move(name, quarters, bpm, playing)

    def _stop(self, sender: Address, values: Sequence[Value]) -> None:
        read("/acestep/follow/stop", Spelling((), lambda: {}), values)
        self._conductor.stop(self._own(sender))

    def _own(self, sender: Address) -> str:
        names = self._conductor.of_owner(self._sessions.of(sender).client)
        if not names:
            raise NotFound("this session has no follow: begin one by /acestep/follow/start")
        return names[-1]

    def _tell(self, sender: Address, told: Told) -> None:
        match told:
            case SegmentReady():
                where = float(told.start_quarters), float(told.bars), float(told.bpm), int(told.repeated)
                self._send(sender, "/acestep/segment", told.follow, told.number, str(told.path), *where)
            case Note():
                self._send(sender, "/acestep/follow/note", told.follow, told.reason, told.message)
            case Ended():
                self._send(sender, "/acestep/follow/stopped", told.follow, told.message)


ANSWERS = ("segment", "follow/started", "follow/note", "follow/stopped")


def _whole(name: str, value: Value, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value % 1:
        raise InvalidRequest(f"/acestep/follow/set {name} is {describe(value)}: expected {low} to {high}")
    return int(value)

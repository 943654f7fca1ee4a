"""OSC over UDP: reads messages, hands them to session and intake, and sends answers and events.

A message that is wrong in any way is answered with /acestep/error and changes nothing.
"""

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from acestep.errors import AceStepError, Busy, InvalidRequest, NotFound
from acestep.version import __version__
from protos import WIRE_VERSION
from server import logs
from server.follow.conductor import Conductor
from server.jobs.events import Accepted, ClipWritten, Done, Event, Failed, Hub, Progress
from server.jobs.intake import Intake, Order
from server.jobs.job import Job
from server.library import catalogue
from server.osc.address import PREFIX, is_pattern, matching, pressed
from server.osc.follow import ANSWERS as FOLLOW_ANSWERS
from server.osc.follow import FollowMessages
from server.osc.listeners import Listeners
from server.osc.monitor import Monitors
from server.osc.packets import MAX_MESSAGE_BYTES, Message, Value, encode, parse
from server.osc.session import Address, Sessions
from server.osc.socket import OscSocket
from server.osc.spelling import MESSAGES, Fields, Spelling, describe, read
from server.osc.tags import split_tag, tag_of
from server.security import RateLimit, Senders

MAX_ERROR_CHARS = 1_500
BUTTONS = ("ping", "generate", "cancel", "status", "subscribe", "unsubscribe")  # 1 acts, 0 is the release
PATTERN_ACTIONS = ("ping", "status", "subscribe", "unsubscribe")
BUTTON_PROMPT = "instrumental loop"  # for a page that never sent one: tempo, key and bars say the rest
# What a host is answered, beside what its jobs tell it. A sender's name in UDP may be a lie, and whoever
# bears that name must not drown in answers that it never asked for.
ANSWER_BYTES_PER_S = 256 << 10
ANSWER_BYTES_AT_ONCE = 64 << 10
MAX_PACKET_ANSWER_BYTES = 16 << 10
MAX_NAMED = 8  # of a cluster's replicas, in a state that would be too long
MAX_REFUSALS = 8  # of the messages in one bundle that are answered one by one
THIS_MACHINE = "127.0.0.1"
# What only daemons say. An answer to it could be answered in turn, without end.
ANSWERS = (
    "pong",
    "accepted",
    "progress",
    "clip",
    "companion",
    "done",
    "cancelled",
    "error",
    "state",
    "adapter_names",
    "heard",
    *FOLLOW_ANSWERS,
)
log = logs.get("osc")


class OscServer:
    """Everything under /acestep/."""

    def __init__(
        self,
        address: Address,
        intake: Intake,
        hub: Hub,
        conductor: Conductor,
        status: Callable[[], dict[str, Any]],
        senders: Senders,
        rate: RateLimit,
        pad_prompt: str = "",
    ):
        self._intake = intake
        self._status = status
        self._senders = senders
        self._rate = rate
        self._pad_prompt = pad_prompt
        self._complaints = RateLimit(1, 1)  # one "too fast" a second
        self._left = MAX_PACKET_ANSWER_BYTES  # of what the packet that is being read may be answered
        self._answers = RateLimit(ANSWER_BYTES_PER_S, ANSWER_BYTES_AT_ONCE)
        self.sessions = Sessions()
        self._listeners = Listeners()
        self._monitors = Monitors()
        self._socket = OscSocket(address)
        self._thread = threading.Thread(target=self._run, name="osc", daemon=True)
        self._leave = hub.listen(self._tell)
        self._follows = FollowMessages(conductor, self.sessions, self._tell_follow)
        self._actions: dict[str, Callable[[Address, Sequence[Value]], None]] = {
            "ping": self._ping,
            "session": self._session,
            "generate": self._generate,
            "cancel": self._cancel,
            "status": self._send_state,
            "adapters": self._send_adapters,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "monitor": self._monitors.add,
            **self._follows.actions,
        }

    @property
    def port(self) -> int:
        """The port that is really bound."""
        return self._socket.port

    def start(self) -> None:
        """Begins to read messages."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and closes the socket."""
        self._leave()
        self._socket.wake()
        if self._thread.is_alive():
            self._thread.join(2)
        self._socket.close()

    def _run(self) -> None:
        while packet := self._socket.receive():
            try:
                self.receive(*packet)
            except Exception:
                log.error("packet_failed", exc_info=True)

    def receive(self, datagram: bytes, sender: Address) -> None:
        """Reads one packet and does what its messages say."""
        self._left = MAX_PACKET_ANSWER_BYTES
        if self._socket.is_own(sender):  # a forged sender, or something that sends our answers back
            return
        if not self._senders.allows(sender[0]):
            log.warning("sender_refused", sender=f"{sender[0]}:{sender[1]}")
            return
        if not self._rate.allows(sender[0]):
            if self._complaints.allows(sender[0]):
                self._refuse(sender, Busy("messages come too fast: slow down; some were dropped"))
            return
        try:
            messages = parse(datagram)
        except InvalidRequest as error:
            self._refuse(sender, error)
            return
        refused = 0
        for message in messages:
            self._monitors.tell(self._socket, message, sender)
            try:
                self._act(message, sender)
            except AceStepError as error:
                refused += 1
                if refused <= MAX_REFUSALS:
                    self._refuse(sender, error, tag_of(message.address, message.values))
            except Exception as error:
                log.error("message_failed", address=message.address, exc_info=True)
                fault = AceStepError(f"an error inside the daemon ({error}): see its log")
                self._refuse(sender, fault, tag_of(message.address, message.values))
        if refused > MAX_REFUSALS:
            more = refused - MAX_REFUSALS
            self._refuse(sender, InvalidRequest(f"{more} more messages of the bundle are wrong"))

    def _act(self, message: Message, sender: Address) -> None:
        name = message.address.removeprefix(PREFIX)
        if name in self._actions:
            down = pressed(message.values) if name in BUTTONS else None
            if down is None:
                self._actions[name](sender, message.values)
            elif down:
                self._press(name, sender)
        elif name in MESSAGES and message.address.startswith(PREFIX):
            self.sessions.of(sender).change(self._checked(name, message.values))
        elif name in ANSWERS:
            log.debug("answer_ignored", address=message.address)
        elif is_pattern(message.address):
            self._act_on_all(message, sender)
        else:
            raise InvalidRequest(
                f"address {message.address[:80]!r} is unknown: expected /acestep/ and one of "
                f"{', '.join([*self._actions, *MESSAGES])}"
            )

    def _checked(self, name: str, values: Sequence[Value]) -> Fields:
        """The fields that a setting's message sets, its files and names looked up."""
        fields = read(PREFIX + name, MESSAGES[name], values)
        for audio in ("reference", "context", "context+"):
            if fields.get(audio) is not None:
                fields[audio] = self._intake.check_audio(fields[audio])
        if fields.get("folder"):
            self._intake.folders.check(fields["folder"])
        if name == "adapter" and fields["adapter"][0]:
            self._intake.check_adapter(fields["adapter"][0])
        if fields.get("cascade"):
            self._intake.check_cascade(fields["cascade"])
        return fields

    def _act_on_all(self, message: Message, sender: Address) -> None:
        """A pattern: all it matches or nothing. What makes, ends or renames something must be named."""
        names = matching(message.address, [*PATTERN_ACTIONS, *MESSAGES])
        fields: Fields = {}
        for name in names:
            if name in MESSAGES:
                fields.update(self._checked(name, message.values))
        if fields:
            self.sessions.of(sender).change(fields)
        for name in names:
            if name in PATTERN_ACTIONS and pressed(message.values) is not False:
                self._actions[name](sender, () if pressed(message.values) else message.values)

    def _press(self, name: str, sender: Address) -> None:
        """A button of a fader page went down; it has no text to send, and nothing to cancel is no mistake."""
        session = self.sessions.of(sender)
        if name == "generate":
            self._generate(sender, (session.last_prompt or self._pad_prompt or BUTTON_PROMPT,))
        elif name != "cancel" or self._intake.queue.unfinished_of(session.client):
            self._actions[name](sender, ())

    def _ping(self, sender: Address, values: Sequence[Value]) -> None:
        _expect("/acestep/ping", values)
        self.answer(sender, "/acestep/pong", __version__, WIRE_VERSION)

    def _session(self, sender: Address, values: Sequence[Value]) -> None:
        self.sessions.name(sender, _text("/acestep/session", values, "name"))

    def _generate(self, sender: Address, values: Sequence[Value]) -> None:
        if not values or not isinstance(values[0], str):
            raise InvalidRequest(
                "/acestep/generate: expected s prompt, then pairs of s name and its value; got "
                + (describe(values[0]) if values else "nothing")
            )
        prompt, session = values[0], self.sessions.of(sender)
        tag, values = split_tag(values)
        request, folder = session.request(prompt, values[1:])
        attended: list[str] = []

        def attend(job: Job) -> None:
            attended.append(job.id)
            self._listeners.attend(job.id, sender, tag)

        try:
            self._intake.submit(Order(request, session.client, folder), attend)
        except AceStepError:
            for job in attended:
                self._listeners.forget(job)
            raise

    def generate_by_pad(self) -> None:
        """A MIDI trigger: the shared session's settings, and its last prompt unless one is configured."""
        session = self.sessions.shared(THIS_MACHINE)
        try:
            prompt = self._pad_prompt or session.last_prompt
            if not prompt:
                raise InvalidRequest("a MIDI trigger has no prompt: set midi_prompt, or generate once by OSC")
            request, folder = session.request(prompt)
            self._intake.submit(Order(request, session.client, folder))
        except AceStepError as error:
            self._tell_error(error)

    def cancel_by_pad(self) -> None:
        """A MIDI trigger: cancels all jobs of the shared session."""
        for job in self._intake.queue.unfinished_of(self.sessions.shared(THIS_MACHINE).client):
            self._intake.queue.cancel(job.id)

    def follow_tempo(self, bpm: float) -> None:
        """The tempo of a MIDI clock becomes that of the shared session."""
        try:
            self.sessions.shared(THIS_MACHINE).change({"bpm": bpm})
        except AceStepError as error:  # a clock outside the range of songs
            self._tell_error(error)

    def follow_position(self, quarters: float, bpm: float | None, playing: bool) -> None:
        """Where a MIDI clock is drives the follow of the shared session."""
        try:
            self._follows.drive(self.sessions.shared(THIS_MACHINE), quarters, bpm, playing)
        except AceStepError as error:
            self._tell_error(error)

    def _tell_error(self, error: AceStepError) -> None:
        log.warning("midi_refused", reason=error.reason, message=str(error))
        datagram = encode("/acestep/error", error.reason, str(error)[:MAX_ERROR_CHARS], "")
        self._send_to(self._listeners.subscribers(), datagram)

    def _cancel(self, sender: Address, values: Sequence[Value]) -> None:
        queue = self._intake.queue
        named = _text("/acestep/cancel", values, "job") if values else ""
        if values:
            jobs: list[Job] = [queue.get(named)]
        else:
            jobs = queue.unfinished_of(self.sessions.of(sender).client)
        if not jobs or jobs[0].finished:
            what = f"job {named} has ended ({jobs[0].state})" if values else "no job of this session is left"
            raise NotFound(f"{what}: nothing to cancel")
        for job in jobs:
            self._listeners.attend(job.id, sender)
            queue.cancel(job.id)

    def _send_state(self, sender: Address, values: Sequence[Value]) -> None:
        _expect("/acestep/status", values)
        session = self.sessions.of(sender)
        state = self._status()
        state["session"] = {"name": session.name, "settings": session.to_dict()}
        jobs = [job for job in self._intake.queue.jobs() if not job.finished]
        state["jobs"] = [{"job": job.id, "state": job.state, "fraction": job.fraction} for job in jobs][:40]
        text = json.dumps(state)
        if len(text) > MAX_MESSAGE_BYTES - 200:
            state["session"]["settings"] = session.to_dict(longest=200)
            _shorten(state.get("cluster", {}))
            text = json.dumps(state)
        while len(text) > MAX_MESSAGE_BYTES - 200:
            for optional in ("jobs", "session", "folders", "cluster"):
                if state.pop(optional, None) is not None:
                    break
            else:
                raise InvalidRequest("the state is too long for a message: use gRPC GetStatus")
            text = json.dumps(state)
        self.answer(sender, "/acestep/state", text)

    def _send_adapters(self, sender: Address, values: Sequence[Value]) -> None:
        """How many adapters requests may name, and as many of their names as one message holds."""
        _expect("/acestep/adapters", values)
        names = catalogue.adapter_names(self._intake.adapters)
        shown, room = 0, MAX_MESSAGE_BYTES - 200
        while shown < len(names) and (room := room - len(names[shown].encode("utf-8", "replace")) - 8) >= 0:
            shown += 1
        self.answer(sender, "/acestep/adapter_names", len(names), *names[:shown])

    def _subscribe(self, sender: Address, values: Sequence[Value]) -> None:
        target = self._target("/acestep/subscribe", sender, values)
        if self._socket.is_own(target):
            raise InvalidRequest(
                f"/acestep/subscribe: port {target[1]} is the daemon's own: expected the port that your "
                "program listens on"
            )
        self._listeners.subscribe(target, sender)

    def _unsubscribe(self, sender: Address, values: Sequence[Value]) -> None:
        target = self._target("/acestep/unsubscribe", sender, values)
        self._monitors.remove(sender)
        self._listeners.unsubscribe(target, sender, named=bool(values))

    def _target(self, what: str, sender: Address, values: Sequence[Value]) -> Address:
        """Only the port can be another than the sender's: nobody can have a third machine flooded."""
        if not values:
            return sender
        _expect(what, values, ("i", "port"))
        given = values[0]
        assert isinstance(given, int | float)
        port = int(given)  # fader pages send whole numbers as floats
        if not 1 <= port <= 65_535:
            raise InvalidRequest(f"{what}: port {port} is not possible: expected 1–65535")
        return (sender[0], port)

    def _refuse(self, sender: Address, error: AceStepError, tag: str = "") -> None:
        log.warning(
            "message_refused", sender=f"{sender[0]}:{sender[1]}", reason=error.reason, message=str(error)
        )
        self.answer(sender, "/acestep/error", error.reason, str(error)[:MAX_ERROR_CHARS], "", tag=tag)

    def _tell(self, event: Event) -> None:
        """A hub listener: the event as a message to the job's audience and all subscribers."""
        match event:
            case Accepted():
                self._tell_accepted(event.job)
            case Progress():
                values = (event.job, event.stage, float(event.fraction), float(event.eta_s))
                self._send_for(event.job, "/acestep/progress", *values)
            case ClipWritten(clip=clip):
                error_pct = -1.0 if clip.tempo_error_pct is None else float(clip.tempo_error_pct)
                musical = (float(clip.bpm), clip.signature, clip.key, float(clip.bars), error_pct)
                of_idea = (clip.idea, clip.part) if clip.idea else ()  # others' messages stay as they were
                self._send_for(event.job, "/acestep/clip", event.job, clip.path, *musical, *of_idea)
                if clip.midi:
                    self._send_for(event.job, "/acestep/companion", event.job, clip.path, clip.midi)
            case Done():
                self._send_for(event.job, "/acestep/done", event.job, event.clips, last=True)
            case Failed(reason="cancelled"):
                self._send_for(event.job, "/acestep/cancelled", event.job, last=True)
            case Failed():
                message = event.message[:MAX_ERROR_CHARS]
                self._send_for(event.job, "/acestep/error", event.reason, message, event.job, last=True)

    def _tell_follow(self, sender: Address, address: str, *values: str | float | int) -> None:
        """What happens to a follow, for its owner and all subscribers."""
        targets = [target for some in self._listeners.of_answer(sender) for target in some]
        self._send_to(targets, encode(address, *values))

    def _tell_accepted(self, job: str) -> None:
        tag, tagged, others = self._listeners.of_acceptance(job)
        self._send_to(tagged, encode("/acestep/accepted", job, tag))
        self._send_to(others, encode("/acestep/accepted", job))

    def _send_for(self, job: str, address: str, *values: str | float | int, last: bool = False) -> None:
        self._send_to(self._listeners.of_job(job, last), encode(address, *values))

    def answer(self, sender: Address, address: str, *values: str | float | int, tag: str = "") -> None:
        """Sends to the sender and to all subscribers, within the bytes that one packet and one host get.

        `tag`: one value more, for the sender and its own subscriptions only.
        """
        plain = encode(address, *values)
        tagged = encode(address, *values, tag) if tag else plain
        self._left -= len(tagged)
        if self._left < 0:
            log.debug("answer_dropped", sender=f"{sender[0]}:{sender[1]}", address=address)
            return
        for targets, datagram in zip(self._listeners.of_answer(sender), (tagged, plain), strict=True):
            allowed = [target for target in targets if self._answers.allows(target[0], len(datagram))]
            self._send_to(allowed, datagram)

    def _send_to(self, targets: list[Address], datagram: bytes) -> None:
        for target in targets:
            self._socket.send(datagram, target)


def _shorten(cluster: dict[str, Any]) -> None:
    """Names only some of many nodes and replicas, and says how many there are."""
    for name in ("nodes", "replicas"):
        if len(found := cluster.get(name, ())) > MAX_NAMED:
            cluster |= {name: found[:MAX_NAMED], f"{name}_in_all": len(found)}


def _text(what: str, values: Sequence[Value], name: str) -> str:
    """The only value of a message that takes one text."""
    _expect(what, values, ("s", name))
    text = values[0]
    assert isinstance(text, str)
    return text


def _expect(what: str, values: Sequence[Value], *arguments: tuple[str, str]) -> None:
    read(what, Spelling(arguments, lambda *_: {}), values)

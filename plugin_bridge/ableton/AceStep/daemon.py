"""The conversation with the daemon: found, lost and found again; settings, jobs, answers.

What happens is told through `Listener`.
"""

from __future__ import annotations

import collections
import json
from typing import Any, Callable, ClassVar, Tuple

from .link import Link
from .slots import NewClip

WIRE_VERSION = "1"  # as in the daemon's protos package; a test keeps them equal
SEARCH_EVERY_S = 1.0
BEAT_EVERY_S = 2.0
LOST_AFTER_S = 5.0
ACCEPT_WITHIN_S = 3.0
MISSED_BEATS = 2  # heartbeats without one of our jobs before it counts as lost
MAX_JOBS = 32
MAX_BARS = 4096

Args = Tuple[Any, ...]


class SentRequest:
    """One request: sent, accepted as a job, then clips until it is done."""

    def __init__(self, message: Args, folder: str, place: Any) -> None:
        self.message, self.folder, self.place = message, folder, place
        self.id = ""
        self.sent_at = -1.0
        self.clips = 0
        self.parts: list[NewClip] = []  # of an idea: they come in together
        self.missed = 0

    def args(self, tag: str) -> Args:
        """What `/acestep/generate` carries."""
        return (*self.message, *(("folder", self.folder) if self.folder else ()), "tag", tag)


class Listener:
    """What the script wants to hear; the default is not to care."""

    def on_text(self, text: str) -> None:
        """Something for the status bar."""

    def on_progress(self, text: str) -> None:
        """The same, but it may be left out when much is going on."""

    def on_up(self) -> None:
        """The daemon is there: tell it the settings."""

    def on_clip(self, request: SentRequest, new: NewClip) -> None:
        """A clip is ready."""

    def on_idea(self, request: SentRequest) -> None:
        """All parts of an idea are ready, or all that there will be."""


class Daemon:
    """One daemon at one address."""

    def __init__(self, link: Link, find: Callable[[], tuple[str, int]], listener: Listener) -> None:
        self.link, self._find, self._listener = link, find, listener
        self.address = find()
        self.up = False
        self.trouble = ""  # why a daemon that answers is not used
        self.state: dict[str, Any] = {}
        self.session = "Live"
        self.jobs: collections.OrderedDict[str, SentRequest] = collections.OrderedDict()
        self.asked: collections.OrderedDict[str, SentRequest] = (
            collections.OrderedDict()
        )  # by the tag sent with it
        self._tags = 0
        self._told: dict[str, Args] = {}
        self._beat_at = self._heard_at = float("-inf")
        self._now = 0.0
        self._was_up = False

    # --- sending ---------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Looks for the daemon, keeps in touch, and notices requests that nobody answers."""
        self._now = now
        if self.up and now - self._heard_at > LOST_AFTER_S:
            self._lose()
        if now - self._beat_at >= (BEAT_EVERY_S if self.up else SEARCH_EVERY_S):
            self._beat_at = now
            if self.up:
                self._send("/acestep/status")
            else:
                self.address = self._find()
                self._send("/acestep/ping")
        while self.asked and now - next(iter(self.asked.values())).sent_at > ACCEPT_WITHIN_S:
            self.asked.popitem(last=False)
            self._listener.on_text("the daemon did not answer: trigger again")

    def tell(self, values: dict[str, Args]) -> None:
        """Settings by address; only those that differ from what the daemon was told go out."""
        if not self.up:
            return
        for name, args in values.items():
            if self._told.get(name) != args and not self._send("/acestep/" + name, *args):
                self._told[name] = args

    def rename(self, session: str) -> None:
        """The session's name; told when it changes."""
        if session != self.session:
            self.session = session
            if self.up:
                self._send("/acestep/session", session)

    def request(self, request: SentRequest) -> str:
        """Sends a request. "" or why not."""
        if self.trouble:
            return self.trouble
        if not self.up:
            return self.how_to_start()
        if len(self.asked) + len(self.jobs) >= MAX_JOBS:
            return f"{MAX_JOBS} jobs are waiting already: let some finish, or cancel"
        self._tags += 1
        tag = str(self._tags)
        problem = self._send("/acestep/generate", *request.args(tag))
        if problem:
            return "the request could not be sent: " + problem
        request.sent_at = self._now
        self.asked[tag] = request
        return ""

    def cancel(self) -> int:
        """Cancels everything of this script; how many there were."""
        count = len(self.jobs) + len(self.asked)
        for job in self.jobs:
            self._send("/acestep/cancel", job)
        if self.asked:
            self._send("/acestep/cancel")  # they may be accepted by now: everything of this session
        return count

    def how_to_start(self) -> str:
        """For the status bar while no daemon answers."""
        return f"no daemon on port {self.address[1]}: run `acestep serve` (or send /acestep/live/start)"

    def _send(self, address: str, *args: Any) -> str:
        return self.link.send(self.address, address, *args)

    def _lose(self) -> None:
        self.up = False
        self._told.clear()
        self._listener.on_text(self.how_to_start())

    # --- hearing ---------------------------------------------------------------------------------

    def hear(self, address: str, args: Args) -> None:
        """One answer from the daemon. Unknown ones are ignored: a newer daemon may say more."""
        self._heard_at = self._now
        hear = self._HEARS.get(address)
        if hear is not None:
            hear(self, args)

    def _on_pong(self, args: Args) -> None:
        version, wire = _texts(args, 2)
        if not speaks_ours(wire):
            self.up = False
            trouble = (
                f"the daemon ({version}) speaks wire version {wire or '?'}, this script {WIRE_VERSION}: "
                "install one release on both sides (`make install` in the newer clone, then `plugin-bridge "
                "install live`)"
            )
            if trouble != self.trouble:
                self.trouble = trouble
                self._listener.on_text(trouble)
        elif not self.up:
            self.up, self.trouble = True, ""
            self._greet()
            self._listener.on_text(f"daemon {version} is {'back' if self._was_up else 'there'}")
            self._was_up = True

    def _greet(self) -> None:
        self._told.clear()
        self._send("/acestep/session", self.session)
        self._listener.on_up()
        self._send("/acestep/status")
        self._beat_at = self._now

    def _on_state(self, args: Args) -> None:
        try:
            state = json.loads(args[0])
            session = state["session"]["name"]
            known = {item["job"]: item["state"] for item in state.get("jobs", ())}
        except (IndexError, KeyError, TypeError, ValueError):
            return
        self.state = state
        if self.up and session != self.session:  # another process answers now: a restart
            self._greet()
        for job in list(self.jobs.values()):
            job.missed = 0 if known.get(job.id) in ("queued", "running") else job.missed + 1
            if job.missed >= MISSED_BEATS:
                self._end_job(job.id)
                self._listener.on_text(f"job {job.id} was lost with the daemon: trigger again")

    def _on_accepted(self, args: Args) -> None:
        job_id, tag = _texts(args, 2)
        request = self.asked.pop(tag, None)
        if request is None or not job_id:
            return
        request.id = job_id
        self.jobs[job_id] = request
        self._listener.on_text(f"making {request.message[0]} …")

    def _on_progress(self, args: Args) -> None:
        try:
            job, stage, fraction, eta_s = args[:4]
            left = f", {float(eta_s):.0f} s left" if float(eta_s) >= 0.5 else ""  # 0: not known yet
            text = f"{stage} {100 * float(fraction):.0f} %{left}"
        except (ValueError, TypeError):
            return
        if job in self.jobs:
            self._listener.on_progress(text)

    def _on_clip(self, args: Args) -> None:
        job = self.jobs.get(args[0]) if args else None
        new = read_clip(args)
        if job is None or new is None:
            return
        job.clips += 1
        if new.part:
            job.parts.append(new)
            self._listener.on_progress(f"{new.part} is there")
        else:
            self._listener.on_clip(job, new)

    def _on_companion(self, args: Args) -> None:
        job, _, notes = _texts(args, 3)
        if job in self.jobs:
            self._listener.on_progress("notes: " + notes)

    def _end_job(self, job_id: str) -> bool:
        """Whether a job was ours and is over; parts that are there stay, also where others failed."""
        job = self.jobs.pop(job_id, None)
        if job is not None and job.parts:
            self._listener.on_idea(job)
        return job is not None

    def _on_done(self, args: Args) -> None:
        self._end_job(_texts(args, 1)[0])

    def _on_cancelled(self, args: Args) -> None:
        if self._end_job(_texts(args, 1)[0]):
            self._listener.on_text("cancelled")

    def _on_error(self, args: Args) -> None:
        reason, message, job_id, tag = _texts(args, 4)
        self._end_job(job_id)
        request = self.asked.pop(tag, None)
        if request is not None and reason == "forbidden_path" and request.folder:
            request.folder = ""
            self._listener.on_text("the daemon may not write beside the set: using the samples folder")
            problem = self.request(request)
            if problem:
                self._listener.on_text(problem)
            return
        self._listener.on_text(message or reason)

    _HEARS: ClassVar[dict[str, Callable[[Any, Args], None]]] = {
        "/acestep/pong": _on_pong,
        "/acestep/state": _on_state,
        "/acestep/accepted": _on_accepted,
        "/acestep/progress": _on_progress,
        "/acestep/clip": _on_clip,
        "/acestep/companion": _on_companion,
        "/acestep/done": _on_done,
        "/acestep/cancelled": _on_cancelled,
        "/acestep/error": _on_error,
    }


def speaks_ours(wire_version: str) -> bool:
    """Whether a daemon that speaks this wire version understands us: the part before the first dot is the
    same. Every bridge compares so."""
    return wire_version.split(".")[0] == WIRE_VERSION.split(".")[0]


def read_clip(args: Args) -> NewClip | None:
    """`/acestep/clip job path bpm signature key bars tempo_error_pct [idea part]`; None for anything else."""
    try:
        _, path, bpm, signature, key, bars, error = args[:7]
        part = _texts(args[7:], 2)[1]
        numerator, denominator = (int(part) for part in signature.split("/"))
        meter = (numerator, denominator)
        new = NewClip(str(path), float(bpm), meter, str(key), float(bars), float(error), part)
    except (ValueError, AttributeError, TypeError):
        return None
    possible = 1 <= new.bpm <= 1000 and 0 < new.bars <= MAX_BARS and numerator > 0 and denominator > 0
    return new if possible else None


def _texts(args: Args, count: int) -> list[str]:
    texts = [value if isinstance(value, str) else "" for value in args[:count]]
    return texts + [""] * (count - len(texts))

"""All follows of a daemon: has their segments made in time, and tells their owners.

A thread of its own looks at what the follows need. The worker makes it: before the next job, or, where a
deadline would be missed, in the middle of one. The follow with the earliest deadline comes first.
"""

import contextlib
import dataclasses
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep.errors import AceStepError, Busy, InvalidRequest, NotFound
from acestep.request import GenerateRequest
from server import logs
from server.follow.follow import LOADED, LONGEST_BARS, Do, Follow, Kept, Need
from server.follow.timeline import Layout, Playhead
from server.jobs.engine import Engine
from server.jobs.intake import Intake
from server.jobs.worker import Worker, as_ours

if TYPE_CHECKING:
    from acestep.model.cascade import Cascade

MAX_FOLLOWS = 16
LOOK_S = 0.05  # between two looks at the follows while one plays …
REST_S = 1.0  # … and while none does
SILENT_S = 600.0  # a follow whose owner says nothing for so long has none any more
HASTE_S = 1.0  # with less to spare than this, a running job is held up
RETRY_S = 2.0  # after a segment that failed
RELIEF_AFTER = 2  # segments that were made too slowly before something is done about it
KEPT_FILES = 400  # segments a follow leaves lying
log = logs.get("follow")


@dataclass(frozen=True)
class SegmentReady:
    """Bars that lie ready, heard from `start_quarters` on. A later one for the same place replaces it."""

    follow: str
    number: int
    path: Path
    start_quarters: float
    bars: float
    signature: str
    bpm: float
    repeated: bool


@dataclass(frozen=True)
class Note:
    """Something its owner should know; `reason` is of `acestep.errors`, or late, slow."""

    follow: str
    reason: str
    message: str


@dataclass(frozen=True)
class Ended:
    """No more segments come."""

    follow: str
    message: str


Told = SegmentReady | Note | Ended
Listener = Callable[[Told], None]


@dataclass
class _Standing:
    """A follow with all around it."""

    follow: Follow
    owner: str
    folder: Path
    tell: Listener
    heard_s: float  # of its owner
    slow: int = 0  # segments in a row
    late: float | None = None  # start of the slot whose missing was told
    failed: str = ""  # what was told last
    retry_s: float = 0.0


class Conductor:
    """Starts, moves, changes and stops follows; safe to use from every thread."""

    def __init__(self, intake: Intake, worker: Worker, engine: Engine, folder: Path) -> None:
        self._intake, self._worker, self._engine, self._folder = intake, worker, engine, folder
        self._changed = threading.Condition(threading.RLock())
        self._follows: dict[str, _Standing] = {}
        self._asked = False  # whether the worker was asked and has not come yet
        self._working = False
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)
        worker.between = self.hurry
        shutil.rmtree(folder, ignore_errors=True)  # of a daemon before this
        self._thread.start()

    # ---- doors

    def start(
        self, request: GenerateRequest, owner: str, tell: Listener, bars: float = 4.0, folder: str = ""
    ) -> tuple[str, str]:
        """A new follow: its name and the folder of its segments. `tell` is called in other threads, and must
        be quick.

        Raises what a request is refused for, Busy, Unsupported.
        """
        self._engine.check_follow()
        checked = self._intake.checked(request)
        name = secrets.token_hex(3)
        signature = checked.signature or Layout().signature
        follow = Follow(name, checked, Layout(bars, signature), self.now())
        place = self._intake.check_folder(folder) / name if folder else self._folder / name
        with self._changed:
            if self._closed or len(self._follows) >= MAX_FOLLOWS:
                raise Busy(f"{len(self._follows)} follows play already, and no more may: stop one first")
            self._follows[name] = _Standing(follow, owner, place, tell, self.now())
            self._changed.notify_all()
        log.info("follow_started", follow=name, owner=owner, prompt=checked.prompt)
        return name, str(place)

    def move(
        self,
        name: str,
        quarters: float,
        bpm: float | None = None,
        playing: bool | None = None,
        signature: Any = None,
    ) -> None:
        """Where the transport is now. What is None is as before. Raises NotFound, InvalidRequest."""
        with self._of(name) as follow:
            head, now_s = follow.playhead, self.now()
            follow.move(
                Playhead(
                    quarters,
                    head.bpm if bpm is None else bpm,
                    head.playing if playing is None else playing,
                    now_s,
                )
            )
            if signature is not None:
                follow.reshape(now_s, signature=signature)

    def change(self, name: str, changes: Mapping[str, Any]) -> None:
        """Other settings, from the next segment on; `bars` are those of segments. Raises what a request is
        refused for.
        """
        changes = dict(changes)
        bars, signature, bpm = (changes.pop(what, None) for what in ("bars", "signature", "bpm"))
        with self._of(name) as follow:
            wanted = dataclasses.replace(follow.request, **changes)
        checked = self._intake.checked(wanted)
        with self._of(name) as follow:
            self._follows[name].retry_s = 0.0
            follow.change({key: getattr(checked, key) for key in changes})
            if bars is not None or signature is not None:
                follow.reshape(self.now(), bars, signature)
            if bpm is not None:
                head = follow.playhead
                follow.move(Playhead(head.quarters_at(self.now()), bpm, head.playing, self.now()))

    def freeze(self, name: str, on: bool) -> None:
        """Repeats what sounds until this is taken back."""
        with self._of(name) as follow:
            follow.freeze(on)

    def vary(self, name: str) -> None:
        """Another family of music for the same settings."""
        with self._of(name) as follow:
            follow.vary()

    def recall(self, name: str, number: int) -> None:
        """Brings a segment back as the next one. Raises NotFound."""
        with self._of(name) as follow:
            follow.recall(number)

    def stop(self, name: str, why: str = "stopped") -> None:
        """Ends a follow; its files stay until the daemon starts anew. Raises NotFound."""
        with self._changed:
            standing = self._follows.pop(name, None)
        if standing is None:
            raise NotFound(f"no follow {name!r}: it has ended, or it never began")
        log.info("follow_ended", follow=name, why=why)
        self._tell(standing, Ended(name, why))

    def has(self, name: str) -> bool:
        """Whether there is a follow of that name."""
        with self._changed:
            return name in self._follows

    def of_owner(self, owner: str) -> list[str]:
        """The names of an owner's follows, oldest first."""
        with self._changed:
            return [name for name, standing in self._follows.items() if standing.owner == owner]

    def status(self) -> list[dict[str, Any]]:
        """What there is to be told of each follow."""
        with self._changed:
            return [
                {
                    "follow": name,
                    "owner": standing.owner,
                    "prompt": standing.follow.request.prompt,
                    "segments": len(standing.follow.kept),
                    "holes": standing.follow.holes,
                    "real_time_factor": round(standing.follow.cost or 0.0, 3),
                }
                for name, standing in self._follows.items()
            ]

    def close(self) -> None:
        """Ends all follows and the thread."""
        with self._changed:
            self._closed = True
            names = list(self._follows)
            self._changed.notify_all()
        for name in names:
            with contextlib.suppress(NotFound):
                self.stop(name, "the daemon stops")
        self._thread.join(2)

    @staticmethod
    def now() -> float:
        """The clock of all playheads."""
        return time.monotonic()

    @contextlib.contextmanager
    def _of(self, name: str) -> Iterator[Follow]:
        with self._changed:
            standing = self._follows.get(name)
            if standing is None:
                raise NotFound(f"no follow {name!r}: it has ended, or it never began")
            standing.heard_s = self.now()
            yield standing.follow
            self._changed.notify_all()

    # ---- the thread that looks

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                self._look()
                busy = any(standing.follow.playhead.playing for standing in self._follows.values())
                self._changed.wait(LOOK_S if busy or self._asked else REST_S if self._follows else None)

    def _look(self) -> None:
        now_s = self.now()
        for name, standing in list(self._follows.items()):
            if now_s - standing.heard_s > SILENT_S:
                self.stop(name, f"nothing was heard from its owner for {SILENT_S / 60:g} minutes")
                continue
            if (need := standing.follow.stopgap(now_s)) is not None:
                assert need.source is not None
                self._tell_kept(standing, standing.follow.repeated(need, need.source.path))
            self._watch_for_holes(standing, now_s)
        if not self._asked and not self._working and self._next(now_s) is not None:
            self._asked = True
            with contextlib.suppress(AceStepError):  # the daemon stops
                self._worker.soon(self._come)

    def _next(self, now_s: float) -> tuple[_Standing, Need] | None:
        """The follow whose need is the most urgent."""
        needs = [
            (need.deadline_s, index, standing, need)
            for index, standing in enumerate(self._follows.values())
            if now_s >= standing.retry_s and (need := standing.follow.need(now_s)) is not None
        ]
        if not needs:
            return None
        _, _, standing, need = min(needs, key=lambda found: found[:2])
        return standing, need

    def _watch_for_holes(self, standing: _Standing, now_s: float) -> None:
        follow = standing.follow
        if not follow.playhead.playing:
            return
        place = follow.playhead.quarters_at(now_s)
        here = follow.layout.slot(place)
        if place < here.start or follow.at(here.start) is not None or standing.late == here.start:
            return
        standing.late = here.start
        follow.holes += 1
        self._tell(
            standing,
            Note(
                follow.name,
                "late",
                f"no music is ready at {place:.2f} quarters yet: it comes in as soon as it is",
            ),
        )

    # ---- what the worker calls

    def hurry(self, loaded: str, resident: bool) -> None:
        """Called in the middle of a job, with the cascade that makes it: what cannot wait is made now."""
        if self._working or not self._follows:
            return
        with self._changed:
            found = self._next(self.now())
            if found is None:
                return
            standing, need = found
            name = standing.follow.request.cascade or self._intake.models.default
            spare_s = need.deadline_s - self.now() - standing.follow.making_s(need.slot)
            if not resident or name != loaded or spare_s > HASTE_S:
                return
        self._serve(standing, need)

    def _come(self) -> None:
        """An errand between two jobs: one segment, the most urgent one."""
        with self._changed:
            self._asked = False
            found = self._next(self.now())
        if found is not None:
            self._serve(*found)

    def _serve(self, standing: _Standing, need: Need) -> None:
        self._working = True
        try:
            if need.do is Do.MAKE:
                self._make(standing, need)
            else:
                self._repeat(standing, need)
            standing.failed = ""
        except Exception as error:  # noqa: BLE001 (a follow that fails must not take the daemon with it)
            self._failed(standing, as_ours(error))
        finally:
            with self._changed:
                self._working = False
                self._changed.notify_all()

    def _make(self, standing: _Standing, need: Need) -> None:
        follow = standing.follow
        with self._changed:
            order = follow.order(need)
        cascade: Cascade = self._intake.models.use(order.request.cascade)
        started = self.now()
        segment = self._engine.segment(
            cascade, order.request, order.before, order.anchor, hasty=follow.relief > 0
        )
        path = self._write(standing, order.number, segment.file)
        seconds = self.now() - started
        with self._changed:
            if standing.follow.name not in self._follows:
                return
            follow.took(seconds, need.slot, need.bpm)
            kept = follow.made(order, path, segment.audio, segment.anchor, self.now())
        if kept is not None:
            self._tell_kept(standing, kept)
        self._mind_the_load(standing)

    def _repeat(self, standing: _Standing, need: Need) -> None:
        source = need.source
        assert source is not None
        path = source.path
        if abs(source.bpm / need.bpm - 1) > 1e-6:
            path = self._stretched(standing, source, need.bpm)
        with self._changed:
            kept = standing.follow.repeated(need, path)
        self._tell_kept(standing, kept)

    def _stretched(self, standing: _Standing, source: Kept, bpm: float) -> Path:
        from acestep.clips.segment import at_tempo

        return self._write(standing, source.number, at_tempo(source.path, bpm))

    def _write(self, standing: _Standing, number: int, file: Any) -> Path:
        from acestep.clips.clip import remove_files, write

        clip = write([dataclasses.replace(file, stem=f"{number:04d} {file.stem}")], standing.folder)[0]
        for old in sorted(standing.folder.glob("*.wav"))[:-KEPT_FILES]:
            with self._changed:
                standing.follow.forget(old)
            remove_files(old)
        return Path(clip.path)

    def _mind_the_load(self, standing: _Standing) -> None:
        """Says that the machine is too slow before a hole is heard, and takes what helps, gentlest first."""
        with self._changed:
            playing = [one.follow for one in self._follows.values() if one.follow.playhead.playing]
            load = sum(follow.cost or 0.0 for follow in playing)
            standing.slow = standing.slow + 1 if load > LOADED else 0
            if standing.slow < RELIEF_AFTER:
                return
            standing.slow = 0
            follow = standing.follow
            follow.relief += 1
            message = f"this machine needs {load:.1f} s for each second of music"
            if follow.relief == 1:
                message = f"{message}: segments take fewer steps from now on"
            elif follow.relief == 2 and follow.layout.bars * 2 <= LONGEST_BARS:
                follow.reshape(self.now(), bars=follow.layout.bars * 2)
                message = f"{message}: segments are {follow.layout.bars:g} bars long from now on"
            elif not follow.frozen:
                follow.freeze(True)
                message = f"{message}: the last segment is repeated until you ask for another"
            else:
                return
        self._tell(standing, Note(standing.follow.name, "slow", message))

    def _failed(self, standing: _Standing, error: AceStepError) -> None:
        log.error("segment_failed", follow=standing.follow.name, reason=error.reason, message=str(error))
        with self._changed:
            standing.retry_s = self.now() + RETRY_S
        if str(error) != standing.failed:
            standing.failed = str(error)
            self._tell(standing, Note(standing.follow.name, error.reason, str(error)))

    def _tell_kept(self, standing: _Standing, kept: Kept) -> None:
        follow = standing.follow
        self._tell(
            standing,
            SegmentReady(
                follow.name,
                kept.number,
                kept.path,
                kept.slot.start,
                kept.slot.bars,
                str(kept.slot.signature),
                kept.bpm,
                kept.fixed or kept.stopgap,
            ),
        )

    def _tell(self, standing: _Standing, what: Told) -> None:
        try:
            standing.tell(what)
        except Exception:
            log.error("listener_failed", follow=standing.follow.name, exc_info=True)


def check_bars(value: object) -> float:
    """The length of segments. Raises InvalidRequest."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"segments of {value!r:.40} bars: expected a whole number from 1 to 32")
    Layout(float(value))
    return float(value)

"""The jobs on disk (SQLite in home): what was asked, how it ended, and what a crash cut short.

Written before a job is acknowledged and whenever its state changes. A change that cannot be written now
(another program holds the file, the disk is full) waits in `NAME.late` and in memory and is tried again
until it is in; the room for that is taken beforehand, so a full disk cannot refuse it.
"""

import contextlib
import json
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from acestep import typed_json
from acestep.errors import AceStepError, InvalidRequest, NotFound, StorageError
from acestep.music.parts import read_parts
from acestep.request import GenerateRequest
from acestep.typed_json import Fields
from server import logs
from server.jobs.job import Job, JobState
from server.jobs.notes import Notes
from server.library import database

KEPT_JOBS = 10_000
RETRY_S = 0.25
BUSY_S = 1.0  # a lock that is held longer makes changes late, and new jobs are refused
log = logs.get("journal")
_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)
_PROBE = (
    "SELECT id, client, state, created, changed, folder, request, clips, reason, message, rerun_as, only_take"
    " FROM jobs LIMIT 1"
)
_MIGRATIONS: tuple[database.Migration, ...] = (
    (
        "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, client TEXT NOT NULL, state TEXT NOT NULL,"
        " created TEXT NOT NULL, changed TEXT NOT NULL, folder TEXT NOT NULL, request TEXT NOT NULL,"
        " clips TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,"
        " rerun_as TEXT NOT NULL DEFAULT '')",
        "CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state)",
    ),
    (database.Column("jobs", "only_take", "INTEGER"),),
    ("CREATE TABLE IF NOT EXISTS made (job TEXT PRIMARY KEY, made TEXT NOT NULL)",),
)


@dataclass(frozen=True)
class JobRecord:
    """A job as the journal knows it."""

    id: str
    client: str
    state: JobState
    created: str  # ISO 8601
    folder: Path
    request_json: str
    clips: tuple[str, ...]  # paths
    reason: str
    message: str
    only_take: int | None = None
    fraction: float = 0.0
    made_json: str = ""  # how the clip that is made again was made, from its sidecar

    @property
    def prompt(self) -> str:
        """The request's prompt; "" where it cannot be read."""
        try:
            return str(_fields(self.request_json).get("prompt", ""))
        except InvalidRequest:
            return ""

    @property
    def created_s(self) -> float:
        """When it was accepted, in seconds since 1970."""
        try:
            return datetime.fromisoformat(self.created).timestamp()
        except ValueError:
            return 0.0

    @property
    def takes(self) -> int:
        """How many clips the job makes."""
        if self.only_take is not None:
            return 1
        try:
            fields = _fields(self.request_json)
            parts = sum(len(read_parts(name, fields.get(name) or "")) for name in ("parts", "redo"))
            return parts + 1 if parts else int(fields.get("takes", 1))  # the mix is one more
        except (InvalidRequest, TypeError, ValueError):
            return 1

    def again(self) -> Job:
        """A new job in place of this one. Raises InvalidRequest where another version wrote it."""
        try:
            request = GenerateRequest.from_dict(_fields(self.request_json))
            made = _fields(self.made_json) if self.made_json else {}
        except (AceStepError, TypeError, ValueError) as error:
            raise InvalidRequest(f"job {self.id} cannot be read ({error})") from error
        return Job(request, self.folder, self.client, only_take=self.only_take, made=made, rerun_of=self.id)

    @classmethod
    def of(cls, job: Job) -> "JobRecord":
        """The record of a job in memory."""
        return cls(
            id=job.id,
            client=job.client,
            state=job.state,
            created=job.created.isoformat(timespec="milliseconds"),
            folder=job.folder,
            request_json=job.request.to_json(),
            clips=tuple(clip.path for clip in job.clips),
            reason=job.reason,
            message=job.message,
            only_take=job.only_take,
            fraction=1.0 if job.state is JobState.DONE else job.fraction,
            made_json=json.dumps(job.made) if job.made else "",
        )


@dataclass(frozen=True)
class _Late:
    """A change that is not in the file yet."""

    id: str
    state: str
    clips: tuple[str, ...]
    reason: str
    message: str

    @classmethod
    def of(cls, job: Job) -> "_Late":
        """What is to be remembered of a job if the daemon dies now.

        One that somebody cancelled is cancelled although its step may still run: it is never made again.
        """
        state, reason, message = job.state, job.reason, job.message
        if state is JobState.RUNNING and job.cancelling.is_set():
            state, reason, message = job.stopped
        return cls(job.id, state, tuple(clip.path for clip in job.clips), reason, message)


class Journal:
    """Jobs in `path`. Raises StorageError where the file cannot be written; `keep` never does.

    A damaged file is set aside and a new one begun; without `mend` it is refused.
    """

    def __init__(self, path: Path, mend: bool = True):
        self.path = path
        self._lock = threading.Lock()
        self._notes = Notes(path.with_name(path.name + ".late"))
        self._noted = False
        self._late: dict[str, _Late] = {}
        self._closing = threading.Event()
        self._retrying: threading.Thread | None = None
        self._db, _ = database.open_database(path, _MIGRATIONS, _PROBE, BUSY_S, mend)
        self._read_late()

    def record(self, job: Job) -> None:
        """Writes a new job, and that it is made in place of another if it is. Raises StorageError."""
        entry = JobRecord.of(job)
        with self._lock, self._errors(), self._db:
            self._notes.reserve()  # whoever is taken in can be cancelled
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO jobs (id, client, state, created, changed, folder, request, clips, reason,"
                " message, only_take) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (entry.id, entry.client, entry.state, entry.created, _now(), str(entry.folder),
                 entry.request_json, json.dumps(entry.clips), entry.reason, entry.message,
                 entry.only_take),
            )  # fmt: skip
            if entry.made_json:
                self._db.execute("INSERT OR REPLACE INTO made VALUES (?, ?)", (entry.id, entry.made_json))
            if job.rerun_of:
                self._db.execute(
                    "UPDATE jobs SET rerun_as = ?, message = ? WHERE id = ?",
                    (job.id, f"interrupted; made again as {job.id}", job.rerun_of),
                )

    def keep(self, job: Job) -> None:
        """Writes a known job's present state, now or as soon as that is possible."""
        with self._lock:  # the state as it is now: of two threads, the second one knows better
            late = _Late.of(job)
            self._late[late.id] = late
            if self._retrying is None:
                try:
                    self._write_late()
                    return
                except StorageError as error:
                    log.error("journal_is_late", job=job.id, state=job.state, error=str(error))
                self._retrying = threading.Thread(target=self._retry, name="journal", daemon=True)
                self._retrying.start()
            self._note_late(late)

    def _write_late(self) -> None:
        """All late changes in one go, or none."""
        with self._errors(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "UPDATE jobs SET state = ?, changed = ?, clips = ?, reason = ?, message = ? WHERE id = ?",
                [
                    (late.state, _now(), json.dumps(late.clips), late.reason, late.message, late.id)
                    for late in self._late.values()
                ],
            )
        self._late.clear()
        if self._noted:
            with contextlib.suppress(OSError):  # noted once more, and no harm in it: each says the last state
                self._notes.clear()
                self._noted = False

    def _note_late(self, late: _Late) -> None:
        """For the case that this process is killed before the file can be written again."""
        try:
            self._noted = True
            self._notes.add(json.dumps(asdict(late)).encode())
        except OSError as error:
            log.error("change_not_noted", job=late.id, state=late.state, error=str(error))

    def _read_late(self) -> None:
        """At start: what a killed daemon could not write."""
        for line in self._notes.lines():
            with contextlib.suppress(InvalidRequest):  # the last one may be half a line
                late = typed_json.parse(line, _Late, "a change of a job")
                self._late[late.id] = late
        self._noted = bool(self._late)
        with self._lock:
            if self._late:
                self._write_late()
        try:
            self._notes.reserve()
        except StorageError as error:  # tried again when a job is accepted
            log.warning("no_room_for_late_changes", error=str(error))

    def _retry(self) -> None:
        while not self._closing.wait(RETRY_S):
            with self._lock:
                try:
                    self._write_late()
                except StorageError:
                    continue
                self._retrying = None
                log.info("journal_is_whole")
                return

    def mark_interrupted(self) -> list[JobRecord]:
        """At start: every job that a dead daemon left queued or running is interrupted; these are they."""
        with self._lock, self._errors():
            cut = self._rows("WHERE state IN (?, ?) ORDER BY created", _UNFINISHED)
            self._db.execute(
                "UPDATE jobs SET state = ?, changed = ?, reason = 'interrupted',"
                " message = 'the daemon ended before the job did; `acestep serve --resume` makes it again'"
                " WHERE state IN (?, ?)",
                (JobState.INTERRUPTED, _now(), *_UNFINISHED),
            )
            self._db.execute(
                "DELETE FROM jobs WHERE id NOT IN (SELECT id FROM jobs ORDER BY created DESC LIMIT ?)",
                (KEPT_JOBS,),
            )
            self._db.execute("DELETE FROM made WHERE job NOT IN (SELECT id FROM jobs)")
        return cut

    def interrupted(self) -> list[JobRecord]:
        """The interrupted jobs that were not made again yet, oldest first."""
        with self._lock, self._errors():
            return self._rows("WHERE state = ? AND rerun_as = '' ORDER BY created", (JobState.INTERRUPTED,))

    def cancel_interrupted(self, job_id: str) -> bool:
        """Cancels a job that waits to be made again by `--resume`; False if that job does not."""
        with self._lock, self._errors():
            changed = self._db.execute(
                "UPDATE jobs SET state = ?, changed = ?, reason = 'cancelled',"
                " message = 'cancelled after it was interrupted'"
                " WHERE id = ? AND state = ? AND rerun_as = ''",
                (JobState.CANCELLED, _now(), job_id, JobState.INTERRUPTED),
            )
            return changed.rowcount == 1

    def mark_done(self, record: JobRecord, clips: Iterable[str]) -> None:
        """A job whose clips were all written before the daemon could say so."""
        with self._lock, self._errors():
            self._db.execute(
                "UPDATE jobs SET state = ?, changed = ?, clips = ?, reason = '', message = '' WHERE id = ?",
                (JobState.DONE, _now(), json.dumps(list(clips)), record.id),
            )

    def get(self, job_id: str) -> JobRecord:
        """The job of that id. Raises NotFound."""
        with self._lock, self._errors():
            rows = self._rows("WHERE id = ?", (job_id,))
        if not rows:
            raise NotFound(f"no job {job_id!r}: `acestep jobs` lists those there are")
        return rows[0]

    def newest(self, limit: int = 100) -> list[JobRecord]:
        """The last jobs, newest first."""
        with self._lock, self._errors():
            return self._rows("ORDER BY created DESC, rowid DESC LIMIT ?", (limit,))

    def folders(self) -> list[Path]:
        """Every folder that jobs wrote to."""
        with self._lock, self._errors():
            return [Path(row["folder"]) for row in self._db.execute("SELECT DISTINCT folder FROM jobs")]

    def close(self) -> None:
        """Closes the file; what is late is tried a last time."""
        self._closing.set()
        with self._lock:
            try:
                self._write_late()
            except StorageError as error:
                log.error("journal_not_whole", jobs=len(self._late), error=str(error))
            with contextlib.suppress(sqlite3.Error):
                self._db.close()

    def _rows(self, where: str, values: tuple[object, ...]) -> list[JobRecord]:
        rows = self._db.execute(
            f"SELECT id, client, state, created, folder, request, clips, reason, message, only_take,"
            f" (SELECT made FROM made WHERE job = jobs.id) AS made FROM jobs {where}",
            values,
        )
        return [
            JobRecord(
                id=row["id"],
                client=row["client"],
                state=_state(row["state"]),
                created=row["created"],
                folder=Path(row["folder"]),
                request_json=row["request"],
                clips=_paths(row["clips"]),
                reason=row["reason"],
                message=row["message"],
                only_take=row["only_take"],
                made_json=row["made"] or "",
            )
            for row in rows
        ]

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return database.errors("job journal", self.path)


@contextlib.contextmanager
def at_rest(path: Path) -> Iterator[Journal]:
    """The journal of a daemon that does not run: a copy, so that whoever reads it changes nothing.

    Raises StorageError for a damaged one.
    """
    with tempfile.TemporaryDirectory(prefix="acestep-jobs-") as folder:
        copy = Path(folder) / path.name
        for ending in ("", "-wal", ".late"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path.with_name(path.name + ending), copy.with_name(copy.name + ending))
        try:
            journal = Journal(copy, mend=False)
        except StorageError as error:
            raise StorageError(str(error).replace(str(copy), str(path))) from error
        with contextlib.closing(journal):
            yield journal


def _fields(text: str) -> Fields:
    return typed_json.parse(text, Fields, "the job's request")


def _state(text: str) -> JobState:
    """A word that no version so far has written is that of a job nobody goes on with."""
    try:
        return JobState(text)
    except ValueError:
        return JobState.INTERRUPTED


def _paths(text: str) -> tuple[str, ...]:
    try:
        return typed_json.parse(text, tuple[str, ...], "the job's clips")
    except InvalidRequest:
        return ()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

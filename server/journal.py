"""The jobs on disk (SQLite in home): what was asked, how it ended, and what a crash cut short.

Written before a job is acknowledged and whenever its state changes; knows nothing of how jobs are run.
"""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from acestep.errors import AceStepError, NotFound, StorageError
from acestep.request import GenerateRequest
from server.queue import DONE, INTERRUPTED, QUEUED, RUNNING, Job

KEPT_JOBS = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, client TEXT NOT NULL, state TEXT NOT NULL, created TEXT NOT NULL,
    changed TEXT NOT NULL, folder TEXT NOT NULL, request TEXT NOT NULL, clips TEXT NOT NULL,
    reason TEXT NOT NULL, message TEXT NOT NULL, rerun_as TEXT NOT NULL DEFAULT '', only_take INTEGER
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state);
"""


@dataclass(frozen=True)
class JobRecord:
    """A job as the journal knows it."""

    id: str
    client: str
    state: str
    created: str  # ISO 8601
    folder: Path
    request_json: str
    clips: tuple[str, ...]  # paths
    reason: str
    message: str
    only_take: int | None = None
    fraction: float = 0.0

    @property
    def prompt(self) -> str:
        """The request's prompt."""
        return str(json.loads(self.request_json).get("prompt", ""))

    @classmethod
    def of(cls, job: Job) -> "JobRecord":
        """The record of a job in memory."""
        clips = tuple(clip.path for clip in job.clips)
        created = job.created.isoformat(timespec="milliseconds")
        return cls(
            id=job.id,
            client=job.client,
            state=job.state,
            created=created,
            folder=job.folder,
            request_json=job.request.to_json(),
            clips=clips,
            reason=job.reason,
            message=job.message,
            only_take=job.only_take,
            fraction=1.0 if job.state == DONE else job.fraction,
        )


class Journal:
    """Jobs in `path`. Raises StorageError where the file cannot be written."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        with self._errors():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)

    def record(self, job: Job) -> None:
        """Writes the job's present state."""
        entry = JobRecord.of(job)
        with self._lock, self._errors():
            self._db.execute(
                "INSERT INTO jobs (id, client, state, created, changed, folder, request, clips, reason,"
                " message, only_take) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state, changed = excluded.changed,"
                " clips = excluded.clips, reason = excluded.reason,"
                " message = excluded.message",
                (entry.id, entry.client, entry.state, entry.created, _now(), str(entry.folder),
                 entry.request_json, json.dumps(entry.clips), entry.reason, entry.message,
                 entry.only_take),
            )  # fmt: skip

    def mark_interrupted(self) -> list[JobRecord]:
        """At start: every job that a dead daemon left queued or running is interrupted; these are they."""
        with self._lock, self._errors():
            cut = self._rows("WHERE state IN (?, ?) ORDER BY created", (QUEUED, RUNNING))
            self._db.execute(
                "UPDATE jobs SET state = ?, changed = ?, reason = 'interrupted',"
                " message = 'the daemon ended before the job did' WHERE state IN (?, ?)",
                (INTERRUPTED, _now(), QUEUED, RUNNING),
            )
            self._db.execute(
                "DELETE FROM jobs WHERE id NOT IN (SELECT id FROM jobs ORDER BY created DESC LIMIT ?)",
                (KEPT_JOBS,),
            )
        return cut

    def to_resume(self) -> list[Job]:
        """New jobs for the interrupted ones that were not rerun yet, oldest first."""
        with self._lock, self._errors():
            records = self._rows("WHERE state = ? AND rerun_as = '' ORDER BY created", (INTERRUPTED,))
        jobs = []
        for record in records:
            try:
                request = GenerateRequest.from_dict(json.loads(record.request_json))
            except (AceStepError, TypeError, ValueError):  # written by another version
                continue
            jobs.append((record.id, Job(request, record.folder, record.client, only_take=record.only_take)))
        with self._lock, self._errors():
            self._db.executemany(
                "UPDATE jobs SET rerun_as = ? WHERE id = ?", [(job.id, old) for old, job in jobs]
            )
        return [job for _, job in jobs]

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

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._db.close()

    def _rows(self, where: str, values: tuple[Any, ...]) -> list[JobRecord]:
        rows = self._db.execute(
            f"SELECT id, client, state, created, folder, request, clips, reason, message, only_take"
            f" FROM jobs {where}",
            values,
        )
        return [
            JobRecord(
                id=row[0],
                client=row[1],
                state=row[2],
                created=row[3],
                folder=Path(row[4]),
                request_json=row[5],
                clips=tuple(json.loads(row[6])),
                reason=row[7],
                message=row[8],
                only_take=row[9],
            )
            for row in rows
        ]

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"the job journal {self.path} cannot be used ({error})") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")

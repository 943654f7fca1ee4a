"""SQLite files of earlier versions: opened, brought up to date, and nothing in them lost."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from acestep.errors import StorageError
from acestep.request import GenerateRequest
from server.jobs import journal
from server.jobs.job import Job, JobState
from server.jobs.journal import Journal
from server.library.index import ClipLibrary
from server.library.search import Search
from tests.support.daemons import clip

# As version 0.1 and what followed it made them, before files knew their version.
JOBS_0_1 = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, client TEXT NOT NULL, state TEXT NOT NULL, created TEXT NOT NULL,
    changed TEXT NOT NULL, folder TEXT NOT NULL, request TEXT NOT NULL, clips TEXT NOT NULL,
    reason TEXT NOT NULL, message TEXT NOT NULL, rerun_as TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state);
"""
JOBS_WITH_TAKES = JOBS_0_1.replace("DEFAULT ''", "DEFAULT '', only_take INTEGER")
JOBS_WITH_SIDECARS = (
    JOBS_WITH_TAKES + "CREATE TABLE IF NOT EXISTS made (job TEXT PRIMARY KEY, made TEXT NOT NULL);"
)
CLIPS_0_1 = """
CREATE TABLE IF NOT EXISTS clips (
    path TEXT PRIMARY KEY, name TEXT NOT NULL, words TEXT NOT NULL, bpm REAL NOT NULL, key TEXT NOT NULL,
    adapters TEXT NOT NULL, created TEXT NOT NULL, starred INTEGER NOT NULL, trashed INTEGER NOT NULL,
    stamp REAL NOT NULL, sidecar TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS clips_by_name ON clips (name);
CREATE INDEX IF NOT EXISTS clips_by_time ON clips (created);
CREATE TABLE IF NOT EXISTS folders (path TEXT PRIMARY KEY);
"""


@contextlib.contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        yield database


def version(file: Path) -> int:
    with opened(file) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize("schema", [JOBS_0_1, JOBS_WITH_TAKES, JOBS_WITH_SIDECARS])
def test_a_journal_of_version_0_1_opens_and_its_jobs_are_made_again(tmp_path: Path, schema: str) -> None:
    file = tmp_path / "jobs.sqlite"
    request = GenerateRequest(prompt="from before", seed=7)
    with opened(file) as database:
        database.executescript(schema)
        database.execute(
            "INSERT INTO jobs (id, client, state, created, changed, folder, request, clips, reason, message)"
            " VALUES ('old', 'me', 'running', '2026-11-23T10:00:00+00:00', '', ?, ?, '[]', '', '')",
            (str(tmp_path), request.to_json()),
        )
    first = Journal(file)
    (cut,) = first.mark_interrupted()
    assert (cut.id, cut.prompt, cut.only_take) == ("old", "from before", None)
    assert first.get("old").again().request == request
    first.record(Job(request, tmp_path, "me", only_take=1, made={"plan": {}}))
    first.close()
    assert version(file) == 3
    again = Journal(file)
    assert [(record.state, record.only_take) for record in again.newest()] == [
        (JobState.QUEUED, 1),
        (JobState.INTERRUPTED, None),
    ]
    again.close()
    assert not list(tmp_path.glob("*.broken"))


def test_a_library_of_version_0_1_opens_with_its_clips_and_folders(tmp_path: Path, folder: Path) -> None:
    file, elsewhere = tmp_path / "clips.sqlite", tmp_path / "elsewhere"
    elsewhere.mkdir()
    here, there = clip(folder, "here"), clip(elsewhere, "there")
    with opened(file) as database:
        database.executescript(CLIPS_0_1)
        database.execute("INSERT INTO folders VALUES (?)", (str(elsewhere),))
        database.execute(
            "INSERT INTO clips VALUES (?, ?, 'there', 120, '', '[]', '', 1, 0, 0, ?)",
            (there.path, there.name, json.dumps(there.sidecar)),
        )
    library = ClipLibrary(file, [folder], tmp_path / "trash")
    library.refresh()
    assert {found.name for found in library.search(Search())} == {here.name, there.name}
    library.restore(library.move_to_trash(there.name).name)
    library.close()
    assert version(file) == 4
    assert not list(tmp_path.glob("*.broken"))


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "jobs.sqlite"
    Journal(file).close()
    with opened(file) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StorageError, match="newer version"):
        Journal(file)
    assert version(file) == 99
    assert not list(tmp_path.glob("*.broken"))


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "jobs.sqlite"
    with opened(file) as database:
        database.executescript(JOBS_0_1)
    steps = (*journal._MIGRATIONS, ("SELECT no_such_function()",))
    monkeypatch.setattr(journal, "_MIGRATIONS", steps)
    with pytest.raises(StorageError, match="no_such_function"):
        Journal(file)
    kept = tmp_path / "jobs.sqlite.broken"
    with opened(kept) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)")]
    assert ("only_take" in columns, version(kept)) == (False, 0)

"""SQLite files in home: brought up to date when they are opened, set aside as `.broken` where damaged.

A file's `PRAGMA user_version` counts the migrations that it has been through. Files of version 0.1 have 0
there, whatever tables they have, so every migration works where its change was made already.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from acestep.errors import StorageError
from server import logs

BUSY_S = 2.0  # how long another program's lock is waited for
CACHE_KB = 512  # of pages in memory: four times as much is no faster here
log = logs.get("database")


@dataclass(frozen=True)
class Column:
    """A migration that adds a column, where the table has none of that name yet."""

    table: str
    name: str
    kind: str


# What one version changed: statements that may be run again (IF NOT EXISTS), and columns.
Migration = Sequence[str | Column]


def open_database(
    path: Path, migrations: Sequence[Migration], probe: str, busy_s: float = BUSY_S, mend: bool = True
) -> tuple[sqlite3.Connection, bool]:
    """The database at `path` with all `migrations`, and whether it is begun anew; its rows have names.

    `probe` is a query that only a database of ours answers. One that is damaged or of another make is kept
    beside as `NAME.broken`, and an empty one takes its place; without `mend` it is refused. Raises
    StorageError where none can be used: locked, full, forbidden, or of a newer version of this program.
    """
    try:
        return _opened(path, migrations, probe, busy_s), False
    except sqlite3.Error as error:
        # SQLite's code is only there where SQLite itself raised the error
        foreign = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR  # other tables or columns
        if not is_damage(error) and not foreign and not path.is_dir():
            full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
            do = "make room on its disk" if full else "is it open in another program?"
            raise StorageError(f"{path} cannot be used ({error}): {do}") from error
        if not mend:
            raise StorageError(
                f"{path} is damaged ({error}): the next `acestep serve` keeps it as {path.name}.broken and "
                "begins a new one; until then it stays as it is"
            ) from error
        kept = set_aside(path)
        log.error("database_set_aside", file=str(path), kept_as=str(kept), error=str(error))
    with errors("database", path):
        return _opened(path, migrations, probe, busy_s), True


def is_damage(error: BaseException | None) -> bool:
    """Whether the file itself is the trouble, not a lock, a full disk or a wrong call."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def set_aside(path: Path) -> Path:
    """Renames a database and its logs to `NAME.broken`, `NAME.broken-2` …; where it is now."""
    number = 1
    while (kept := path.with_name(f"{path.name}.broken{f'-{number}' if number > 1 else ''}")).exists():
        number += 1
    try:
        for ending in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + ending).rename(kept.with_name(kept.name + ending))
        path.rename(kept)
    except OSError as error:
        raise StorageError(f"{path} is damaged and cannot be set aside ({error}): move it away") from error
    return kept


def _opened(path: Path, migrations: Sequence[Migration], probe: str, busy_s: float) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=busy_s, check_same_thread=False, isolation_level=None)
    database.row_factory = sqlite3.Row
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        _migrate(database, path, migrations)
        database.execute(probe).fetchall()
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            error = sqlite3.DatabaseError(found)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
    except BaseException:
        database.close()
        raise
    return database


def _migrate(database: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Those that the file has not been through yet: all of them or none."""
    done = _version(database)
    if done > len(migrations):
        raise StorageError(
            f"{path} was written by a newer version of this program: update it, or name another home (--home)"
        )
    if done == len(migrations):
        return
    with database:  # commits, or takes everything back
        database.execute("BEGIN IMMEDIATE")
        for migration in migrations[_version(database) :]:  # another program may have been here first
            for step in migration:
                if isinstance(step, str):
                    database.execute(step)
                elif step.name not in _columns(database, step.table):
                    database.execute(f"ALTER TABLE {step.table} ADD COLUMN {step.name} {step.kind}")
        database.execute(f"PRAGMA user_version = {len(migrations)}")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [row["name"] for row in database.execute(f"PRAGMA table_info({table})")]


@contextlib.contextmanager
def errors(what: str, path: Path) -> Iterator[None]:
    """SQLite's errors as StorageError, which names the file and what it is."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"the {what} {path} cannot be used ({error})") from error

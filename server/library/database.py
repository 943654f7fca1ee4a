"""SQLite files in home: opened with a schema, and set aside as `.broken` where they are damaged."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from acestep.errors import StorageError
from server import logs

BUSY_S = 2.0  # how long another program's lock is waited for
CACHE_KB = 512  # of pages in memory: four times as much is no faster here
log = logs.get("database")


def open_database(
    path: Path, schema: str, probe: str, busy_s: float = BUSY_S
) -> tuple[sqlite3.Connection, bool]:
    """The database at `path`, and whether it is begun anew. `probe`: a query only one of our own answers.

    One that is damaged or of another make is kept beside as `NAME.broken`, and an empty one takes its place.
    Raises StorageError where none can be used: locked, full, forbidden.
    """
    try:
        return _opened(path, schema, probe, busy_s), False
    except sqlite3.Error as error:
        foreign = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ERROR  # other tables or columns
        if not is_damage(error) and not foreign and not path.is_dir():
            full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
            do = "make room on its disk" if full else "is it open in another program?"
            raise StorageError(f"{path} cannot be used ({error}): {do}") from error
        kept = set_aside(path)
        log.error("database_set_aside", file=str(path), kept_as=str(kept), error=str(error))
    with errors("database", path):
        return _opened(path, schema, probe, busy_s), True


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


def _opened(path: Path, schema: str, probe: str, busy_s: float) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=busy_s, check_same_thread=False, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        database.executescript(schema)
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


@contextlib.contextmanager
def errors(what: str, path: Path) -> Iterator[None]:
    """SQLite's errors as StorageError, which names the file and what it is."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageError(f"the {what} {path} cannot be used ({error})") from error

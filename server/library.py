"""The index of all clips (SQLite in home): search, stars, trash. The files and their sidecars are the truth.

Anything in the index can be rebuilt from the sidecars; stars and the way back from the trash are therefore
written there too. Knows nothing of jobs.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep.clip import SIDECAR_ENDING, Clip, read_sidecar
from acestep.errors import AceStepError, AlreadyExists, InvalidRequest, NotFound, StorageError
from acestep.key import Key

DEFAULT_LIMIT = 200
MAX_LIMIT = 5_000
COMPANIONS = (".mid",)  # files that go with a clip: NAME.mid beside NAME.wav
_SCHEMA = """
CREATE TABLE IF NOT EXISTS clips (
    path TEXT PRIMARY KEY, name TEXT NOT NULL, words TEXT NOT NULL, bpm REAL NOT NULL, key TEXT NOT NULL,
    adapters TEXT NOT NULL, created TEXT NOT NULL, starred INTEGER NOT NULL, trashed INTEGER NOT NULL,
    stamp REAL NOT NULL, sidecar TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS clips_by_name ON clips (name);
CREATE INDEX IF NOT EXISTS clips_by_time ON clips (created);
CREATE TABLE IF NOT EXISTS folders (path TEXT PRIMARY KEY);
"""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What to look for; unset values do not narrow the search."""

    words: str = ""  # all of them in prompt or name
    bpm_min: float | None = None
    bpm_max: float | None = None
    key: str = ""
    adapter: str = ""
    since: str = ""  # ISO 8601
    starred: bool = False
    trashed: bool = False
    limit: int = 0


class Library:
    """Clips of the samples folder, of every other folder jobs wrote to, and of the trash."""

    def __init__(
        self,
        path: Path,
        folders: Iterable[Path],
        trash: Path,
        check: Callable[[str], Path] = lambda path: Path(path).resolve(),
    ):
        """`check` gives a path with its links resolved, or raises ForbiddenPath where that leads too far."""
        self.path = path
        self._check = check
        self.trash = trash
        self._lock = threading.RLock()
        with self._errors():
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        for folder in folders:
            self._remember_folder(folder)

    def add(self, clip: Clip) -> None:
        """Indexes a clip that was just written."""
        self._remember_folder(Path(clip.path).parent)
        self._index(clip)

    def refresh(self) -> int:
        """Brings the index in line with the files; how many clips there are, trash included.

        Cheap when nothing changed: sidecars are read again only when their time stamp is another.
        """
        with self._lock, self._errors():
            known = dict(self._db.execute("SELECT path, stamp FROM clips").fetchall())
            folders = [Path(row[0]) for row in self._db.execute("SELECT path FROM folders")]
        seen: set[str] = set()
        for folder in [*folders, self.trash]:
            for sidecar in _sidecars(folder):
                file = sidecar.with_name(sidecar.name.removesuffix(SIDECAR_ENDING))
                stamp = _stamp(sidecar)
                if stamp is None or not file.exists() or not self._is_allowed(file, sidecar):
                    continue
                if known.get(str(file)) != stamp:
                    with contextlib.suppress(AceStepError):  # some other program's JSON
                        self._index(self._load(file))
                        seen.add(str(file))
                else:
                    seen.add(str(file))
        with self._lock, self._errors():
            gone = [(path,) for path in known if path not in seen]
            self._db.executemany("DELETE FROM clips WHERE path = ?", gone)
            return int(self._db.execute("SELECT count(*) FROM clips").fetchone()[0])

    def search(self, query: Search) -> list[Clip]:
        """Clips that match, newest first."""
        where = ["trashed = ?"]
        values: list[Any] = [int(query.trashed)]
        for word in query.words.lower().split():
            where.append("words LIKE ? ESCAPE '\\'")
            values.append("%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        for condition, value in (
            ("bpm >= ?", query.bpm_min),
            ("bpm <= ?", query.bpm_max),
            ("key = ?", str(Key.parse(query.key)) if query.key else None),
            ("adapters LIKE ?", f'%"{query.adapter}"%' if query.adapter else None),
            ("created >= ?", query.since or None),
            ("starred = ?", 1 if query.starred else None),
        ):
            if value is not None:
                where.append(condition)
                values.append(value)
        limit = min(query.limit or DEFAULT_LIMIT, MAX_LIMIT)
        with self._lock, self._errors():
            rows = self._db.execute(
                f"SELECT sidecar, path FROM clips WHERE {' AND '.join(where)}"
                " ORDER BY created DESC, name DESC LIMIT ?",
                (*values, limit),
            ).fetchall()
        return [self._from_row(row) for row in rows]

    def file(self, name: str) -> Path:
        """The audio of a clip, with all links resolved: the file to open. Raises ForbiddenPath."""
        return self._inside(Path(self.get(name).path))

    def get(self, name: str) -> Clip:
        """The clip of that file name or path; the newest where several folders hold the name."""
        with self._lock, self._errors():
            row = self._db.execute(
                "SELECT sidecar, path FROM clips WHERE name = ? OR path = ?"
                " ORDER BY trashed, created DESC LIMIT 1",
                (name, name),
            ).fetchone()
        if row is None:
            raise NotFound(f"no clip {name!r:.200} in the library: expected the name of a listed clip")
        return self._held(row)

    def star(self, name: str, starred: bool) -> Clip:
        """Stars a clip, or takes the star away."""
        clip = self.get(name)
        return self._rewrite(clip, Path(clip.path), {"starred": starred})

    def move_to_trash(self, name: str) -> Clip:
        """Moves the clip, its sidecar and companions into the trash folder."""
        clip = self.get(name)
        if clip.trashed:
            raise InvalidRequest(f"{clip.name} is in the trash already")
        source = Path(clip.path)
        # A folder each: two clips of one name from different folders may both be there.
        target = self.trash / secrets.token_hex(4) / source.name
        _move(source, target)
        return self._rewrite(clip, target, {"trashed": True}, trashed_from=str(source.parent))

    def restore(self, name: str) -> Clip:
        """Moves a trashed clip back to where it was. Raises AlreadyExists if its name is taken there."""
        found = self.search_name(name, trashed=True)
        source = Path(found.path)
        folder = Path(str(found.sidecar.get("trashed_from", "")))
        if not folder.is_absolute():
            raise NotFound(f"the sidecar of {found.name} does not say where it was: move {source} by hand")
        target = self._inside(folder / source.name)
        if target.exists() or target.with_name(target.name + SIDECAR_ENDING).exists():
            raise AlreadyExists(f"{target} exists, and nothing is overwritten: rename it first")
        _move(source, target)
        with contextlib.suppress(OSError):
            source.parent.rmdir()
        return self._rewrite(found, target, {"trashed": False}, trashed_from=None)

    def search_name(self, name: str, trashed: bool) -> Clip:
        """The clip of that name or path, inside or outside the trash."""
        with self._lock, self._errors():
            row = self._db.execute(
                "SELECT sidecar, path FROM clips WHERE (name = ? OR path = ?) AND trashed = ?"
                " ORDER BY created DESC LIMIT 1",
                (name, name, int(trashed)),
            ).fetchone()
        if row is None:
            raise NotFound(f"no clip {name!r:.200} {'in the trash' if trashed else 'in the library'}")
        return self._held(row)

    def close(self) -> None:
        """Closes the index."""
        with self._lock:
            self._db.close()

    def _held(self, row: tuple[str, str]) -> Clip:
        """The clip of a row, whose file may have become a link since it was listed."""
        clip = self._from_row(row)
        self._inside(Path(clip.path))
        return clip

    def _inside(self, file: Path) -> Path:
        """The file with all links resolved. Raises ForbiddenPath outside of the allowed folders and trash."""
        resolved = file.resolve()
        with self._lock, self._errors():  # folders of jobs were allowed then, and are told without links
            made = "SELECT 1 FROM folders WHERE path = ?"
            written = self._db.execute(made, (str(resolved.parent),)).fetchone() is not None
        if written or resolved.is_relative_to(self.trash.resolve()):
            return resolved
        return self._check(str(file))

    def _is_allowed(self, *files: Path) -> bool:
        try:
            for file in files:
                self._inside(file)
        except (InvalidRequest, OSError):
            return False
        return True

    def _rewrite(self, clip: Clip, file: Path, changes: dict[str, Any], **outer: Any) -> Clip:
        """Changes the sidecar of `file` in place (whole or not at all) and the index with it."""
        sidecar = clip.sidecar
        sidecar["clip"] = {**sidecar["clip"], **changes}
        for name, value in outer.items():
            sidecar[name] = value
            if value is None:
                del sidecar[name]
        companion = file.with_name(file.name + SIDECAR_ENDING)
        hidden = companion.with_name(f".acestep-{os.getpid()}-{secrets.token_hex(6)}.part")
        try:
            hidden.write_text(
                json.dumps(sidecar, indent=1, ensure_ascii=False, sort_keys=True), encoding="utf-8"
            )
            hidden.replace(companion)
        except OSError as error:
            hidden.unlink(missing_ok=True)
            raise StorageError(f"cannot change {companion} ({error})") from error
        changed = Clip.from_sidecar(sidecar, file)
        with self._lock, self._errors():
            if str(file) != clip.path:
                self._db.execute("DELETE FROM clips WHERE path = ?", (clip.path,))
            self._index(changed)
        return changed

    def _load(self, file: Path) -> Clip:
        clip = Clip.from_sidecar(read_sidecar(file), file)
        return dataclasses.replace(clip, trashed=file.is_relative_to(self.trash))

    def _index(self, clip: Clip) -> None:
        file = Path(clip.path)
        stamp = _stamp(file.with_name(file.name + SIDECAR_ENDING)) or 0.0
        with self._lock, self._errors():
            self._db.execute(
                "INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (str(file), clip.name, f"{clip.prompt} {clip.name}".lower(), clip.bpm, clip.key,
                 json.dumps([name for name, _ in clip.adapters]), clip.created, int(clip.starred),
                 int(clip.trashed), stamp, clip.sidecar_json),
            )  # fmt: skip

    def _from_row(self, row: tuple[str, str]) -> Clip:
        clip = Clip.from_sidecar(json.loads(row[0]), row[1])
        return dataclasses.replace(clip, trashed=Path(row[1]).is_relative_to(self.trash))

    def _remember_folder(self, folder: Path) -> None:
        with self._lock, self._errors():
            self._db.execute("INSERT OR IGNORE INTO folders VALUES (?)", (str(folder),))

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"the clip library {self.path} cannot be used ({error})") from error


def _sidecars(folder: Path) -> list[Path]:
    """Sidecars in the folder and one level below, where the trash keeps its own."""
    try:
        return [
            *(file for file in folder.glob(f"*{SIDECAR_ENDING}") if not file.name.startswith(".")),
            *(file for file in folder.glob(f"*/*{SIDECAR_ENDING}") if not file.name.startswith(".")),
        ]
    except OSError:
        return []  # an unmounted disk: its clips come back with it


def _stamp(file: Path) -> float | None:
    try:
        return file.stat().st_mtime
    except OSError:
        return None


def _move(source: Path, target: Path) -> None:
    """Moves an audio file, then its sidecar and companions; across disks as well."""
    import shutil

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        others = [source.with_name(source.name + SIDECAR_ENDING)]
        others += [source.with_suffix(ending) for ending in COMPANIONS]
        for other in others:
            if other.exists():
                shutil.move(other, target.parent / other.name)
    except FileNotFoundError as error:
        raise NotFound(f"{source} is no longer there: somebody moved or deleted it") from error
    except OSError as error:
        raise StorageError(f"cannot move {source} to {target.parent} ({error})") from error

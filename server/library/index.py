"""The index of all clips (SQLite in home): search, stars, tags, names, trash.

The files and their sidecars are the truth. Anything in the index can be rebuilt from the sidecars; stars,
tags, first names and the way back from the trash are therefore written there too. A move is noted in the
index before it begins, and one that was cut short is ended by the next `refresh`.
"""

import contextlib
import dataclasses
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from acestep import typed_json
from acestep.clips.clip import MIDI_ENDING, Clip, belongings
from acestep.errors import AceStepError, AlreadyExists, InvalidRequest, NotFound, StorageError
from acestep.request import FORMATS
from acestep.sources.sidecar import MAX_SIDECAR_BYTES, SIDECAR_ENDING, read_sidecar, sidecar_text
from server import logs
from server.library import database, moves, naming
from server.library.scan import Unreadable, clips, is_ordinary, stamp
from server.library.search import MAX_LIMIT, Search

MAX_UNREADABLE = 100  # named in one answer
NO_FILE = "{} is a pipe, a socket, a device or a folder: expected an audio file"
log = logs.get("library")
_PROBE = (
    "SELECT c.path, name, words, bpm, key, adapters, created, starred, trashed, stamp, c.sidecar, written_as,"
    " idea, target FROM clips c, folders f, moves LIMIT 1"
)
_MIGRATIONS: tuple[database.Migration, ...] = (
    (
        "CREATE TABLE IF NOT EXISTS clips (path TEXT PRIMARY KEY, name TEXT NOT NULL, words TEXT NOT NULL,"
        " bpm REAL NOT NULL, key TEXT NOT NULL, adapters TEXT NOT NULL, created TEXT NOT NULL,"
        " starred INTEGER NOT NULL, trashed INTEGER NOT NULL, stamp REAL NOT NULL, sidecar TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS clips_by_name ON clips (name)",
        "CREATE INDEX IF NOT EXISTS clips_by_time ON clips (created)",
        "CREATE TABLE IF NOT EXISTS folders (path TEXT PRIMARY KEY)",
    ),
    (
        "CREATE TABLE IF NOT EXISTS moves (source TEXT PRIMARY KEY, target TEXT NOT NULL,"
        " sidecar TEXT NOT NULL)",
    ),
    (  # the path that its job wrote a clip to, whatever it is called now
        database.Column("clips", "written_as", "TEXT NOT NULL DEFAULT ''"),
        "UPDATE clips SET written_as = path WHERE written_as = ''",
        "CREATE INDEX IF NOT EXISTS clips_renamed ON clips (written_as) WHERE path != written_as",
    ),
    (
        database.Column("clips", "idea", "TEXT NOT NULL DEFAULT ''"),
        "CREATE INDEX IF NOT EXISTS clips_of_ideas ON clips (idea) WHERE idea != ''",
    ),
)


class ClipLibrary:
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
        self._folders = list(folders)
        self._lock = threading.RLock()  # of the index
        self._refreshing = threading.Lock()
        self._looks = self._looked = 0  # refreshes that were begun; the last one that came to its end
        self._only_one = moves.Turns()  # a clip is changed by one at a time
        self._unreadable: dict[str, tuple[float, str]] = {}  # path → stamp of its sidecar, why
        self._stale = not path.exists() or not path.stat().st_size  # an empty index is filled first
        self._open()

    def _open(self) -> None:
        self._db, damaged = database.open_database(self.path, _MIGRATIONS, _PROBE)
        self._stale |= damaged
        for folder in self._folders:
            self._remember_folder(folder)

    def add(self, clip: Clip) -> None:
        """Indexes a clip that was just written."""
        self._remember_folder(Path(clip.path).parent)
        self._index(clip)

    def refresh(self) -> int:
        """Brings the index in line with the files; how many clips there are, trash included.

        Cheap when nothing changed: sidecars are read again only when their time stamp is another. Moves that
        were cut short are ended first. Paths are remembered by their hashes: however many clips there are,
        they take little memory.
        """
        asked = self._looks
        with self._refreshing:
            if self._looked > asked:  # all of it was done while this waited
                return self._count()
            self._looks = look = self._looks + 1
            self._stale = False
            self._end_moves()
            known = {hash(path): seen_at for path, seen_at in self._indexed()}
            folders = [Path(row["path"]) for row in self._run("SELECT path FROM folders")]
            unreadable: dict[str, tuple[float, str]] = {}
            plain: dict[Path, bool] = {}  # folders that are allowed, and behind no link
            for file, sidecar in clips([*folders, self.trash]):
                seen_at, ordinary = stamp(sidecar), is_ordinary(file)
                if seen_at is None or ordinary is None or not self._is_allowed(file, sidecar, plain):
                    continue
                if not ordinary:
                    unreadable[str(file)] = (seen_at, NO_FILE.format(file.name))
                    continue
                if known.get(hash(str(file))) == seen_at:
                    del known[hash(str(file))]
                    continue
                before = self._unreadable.get(str(file))
                why = before[1] if before and before[0] == seen_at else self._look_at(file)
                if why:
                    unreadable[str(file)] = (seen_at, why)
                elif why is None:
                    known.pop(hash(str(file)), None)
            self._unreadable = unreadable
            if known:
                gone = [
                    (path, seen_at) for path, seen_at in self._indexed() if known.get(hash(path)) == seen_at
                ]
                self._run("DELETE FROM clips WHERE path = ? AND stamp = ?", gone, many=True)
            self._looked = look
            return self._count()

    def _count(self) -> int:
        return int(self._run("SELECT count(*) AS clips FROM clips")[0]["clips"])

    def _indexed(self) -> Iterator[tuple[str, float]]:
        """Path and stamp of all clips, a page at a time."""
        last = 0
        query = "SELECT rowid, path, stamp FROM clips WHERE rowid > ? ORDER BY rowid LIMIT 500"
        while rows := self._run(query, (last,)):
            yield from ((row["path"], row["stamp"]) for row in rows)
            last = rows[-1]["rowid"]

    def _look_at(self, file: Path) -> str | None:
        """Indexes a clip that is new or changed; None, or why not ("": it is some other program's JSON)."""
        try:
            str(file).encode()
        except UnicodeEncodeError:
            return "its name is not UTF-8: rename it"
        sidecar = file.with_name(file.name + SIDECAR_ENDING)
        with self._only_one(file.name, wait=False) as mine:
            if not mine:  # whoever changes it indexes it
                return None
            try:
                content = typed_json.read(sidecar, typed_json.Fields, max_bytes=MAX_SIDECAR_BYTES)
                if "clip" not in content and "format" not in content:
                    return ""
                clip = self._load(file)
            except (FileNotFoundError, NotFound):
                return ""
            except InvalidRequest as error:
                return str(error)
            self._index(clip)
        return None

    def unreadable(self) -> list[Unreadable]:
        """The clips that the last `refresh` could not read: they are left out of every search."""
        found = sorted(self._unreadable.items())[:MAX_UNREADABLE]
        return [
            Unreadable(path.encode("utf-8", "backslashreplace").decode(), why) for path, (_, why) in found
        ]

    def search(self, query: Search) -> list[Clip]:
        """Clips that match, newest first."""
        if self._stale:
            self.refresh()
        where, values = query.conditions()
        rows = self._run(
            f"SELECT sidecar, path FROM clips WHERE {where} ORDER BY created DESC, name DESC LIMIT ?",
            (*values, query.most),
        )
        return self._readable(rows)

    def of_idea(self, idea: str) -> list[Clip]:
        """All clips of an idea as the files say now, those in the trash included."""
        self.refresh()
        return [
            clip
            for trashed in (False, True)
            for clip in self.search(Search(idea=idea, trashed=trashed, limit=MAX_LIMIT))
        ]

    def _readable(self, rows: Iterable[sqlite3.Row]) -> list[Clip]:
        found = []
        for row in rows:
            with contextlib.suppress(InvalidRequest):  # written by a version that minded less
                found.append(self._from_row(row))
        return found

    def file(self, name: str) -> Path:
        """The file of a clip's name, or of its MIDI file's, with all links resolved. Raises ForbiddenPath."""
        if not name.endswith(MIDI_ENDING):
            return self._inside(Path(self.get(name).path))
        for ending in FORMATS:
            with contextlib.suppress(NotFound):
                clip = self.get(f"{name.removesuffix(MIDI_ENDING)}.{ending}")
                if clip.midi:
                    return self._inside(Path(clip.midi))
        raise NotFound(f"no clip in the library has a MIDI file {name!r:.200}: ask for clips with midi_out")

    def get(self, name: str) -> Clip:
        """The clip of that file name or path; the newest where several folders hold the name."""
        return self._held(name, (0, 1), "in the library: expected the name of a listed clip")

    def search_name(self, name: str, trashed: bool) -> Clip:
        """The clip of that name or path, inside or outside the trash."""
        where = "in the trash" if trashed else "in the library"
        return self._held(name, (int(trashed), int(trashed)), where)

    def _held(self, name: str, trashed: tuple[int, int], where: str) -> Clip:
        if self._stale:
            self.refresh()
        rows = self._run(
            "SELECT sidecar, path FROM clips WHERE (name = ? OR path = ?) AND trashed IN (?, ?)"
            " ORDER BY trashed, created DESC LIMIT 1",
            (name, name, *trashed),
        )
        if not rows:
            for one in self.unreadable():
                if name in (one.path, Path(one.path).name):
                    raise InvalidRequest(one.message)
            raise NotFound(f"no clip {name!r:.200} {where}")
        clip = self._from_row(rows[0])
        self._inside(Path(clip.path))  # it may have become a link since it was listed
        return clip

    def renamed(self) -> dict[tuple[str, str], Clip]:
        """Clips that are called otherwise than their jobs wrote them, by job and the path of then.

        None where the index cannot be read: jobs are listed nevertheless.
        """
        query = "SELECT sidecar, path FROM clips WHERE path != written_as AND NOT trashed"
        try:
            if self._stale:
                self.refresh()
            clips = self._readable(self._run(query))
        except StorageError as error:
            log.warning("renamed_clips_unknown", error=str(error))
            return {}
        return {(clip.job, str(_written_as(clip))): clip for clip in clips}

    @contextlib.contextmanager
    def _changing(self, *names: str) -> Iterator[None]:
        if self._stale:
            self.refresh()  # first: it leaves alone what somebody changes
        with self._only_one(*names):
            yield

    def star(self, name: str, starred: bool) -> Clip:
        """Stars a clip, or takes the star away."""
        return self._change(name, {"starred": starred})

    def tag(self, name: str, tags: Iterable[str]) -> Clip:
        """Puts these tags in place of those the clip has. Raises InvalidRequest."""
        return self._change(name, {"tags": naming.tags(tags)})

    def _change(self, name: str, values: dict[str, object]) -> Clip:
        with self._changing(name):
            clip = self._now(self.get(name))
            file = Path(clip.path)
            sidecar = moves.changed(clip, values)
            moves.replace_file(file.with_name(file.name + SIDECAR_ENDING), sidecar_text(sidecar))
            changed = self._load(file)
            self._index(changed)
            return changed

    def rename(self, name: str, new_name: str) -> Clip:
        """Gives the clip's file another name in its folder, with its sidecar and companions.

        The ending stays. Raises InvalidRequest for what is no file name, AlreadyExists for one that is taken.
        """
        new_name = naming.file_name(new_name, self.get(name).name)
        with self._changing(name, new_name):
            clip = self._now(self.get(name))
            source = Path(clip.path)
            target = source.with_name(new_name)
            if target == source:
                return clip
            self._inside(target)
            self._refuse_taken(target)
            sidecar = moves.changed(clip, {"name": new_name}, renamed_from=str(_written_as(clip)))
            return self._move(source, target, sidecar)

    def move_to_trash(self, name: str) -> Clip:
        """Moves the clip, its sidecar and companions into the trash folder."""
        with self._changing(name):
            clip = self.get(name)
            if clip.trashed:
                raise InvalidRequest(f"{clip.name} is in the trash already")
            clip = self._now(clip)
            source = Path(clip.path)
            # A folder each: two clips of one name from different folders may both be there.
            target = self.trash / secrets.token_hex(4) / source.name
            sidecar = moves.changed(clip, {"trashed": True}, trashed_from=str(source.parent))
            return self._move(source, target, sidecar)

    def restore(self, name: str) -> Clip:
        """Moves a trashed clip back to where it was. Raises AlreadyExists if its name is taken there."""
        with self._changing(name):
            clip = self._now(self.search_name(name, trashed=True))
            source = Path(clip.path)
            origin = clip.sidecar.get("trashed_from")
            if not isinstance(origin, str) or not Path(origin).is_absolute():
                raise NotFound(f"the sidecar of {clip.name} does not say where it was: move {source} by hand")
            target = self._inside(Path(origin) / source.name)
            self._refuse_taken(target)
            return self._move(source, target, moves.changed(clip, {"trashed": False}, trashed_from=None))

    def close(self) -> None:
        """Closes the index."""
        with self._lock:
            self._db.close()

    def _inside(self, file: Path) -> Path:
        """The file with all links resolved. Raises ForbiddenPath outside of the allowed folders and trash."""
        resolved = file.resolve()
        # folders of jobs were allowed then, and are told without links
        written = bool(self._run("SELECT 1 FROM folders WHERE path = ?", (str(resolved.parent),)))
        if written or resolved.is_relative_to(self.trash.resolve()):
            return resolved
        return self._check(str(file))

    def _is_allowed(self, file: Path, sidecar: Path, plain: dict[Path, bool]) -> bool:
        folder = file.parent
        try:
            if folder not in plain:
                plain.clear()  # clips come folder by folder, and in the trash each has its own
                plain[folder] = folder.resolve() == folder and bool(self._inside(file))
            if plain[folder] and not file.is_symlink() and not sidecar.is_symlink():
                return True
            return bool(self._inside(file) and self._inside(sidecar))
        except (InvalidRequest, OSError, RuntimeError):  # RuntimeError: links that lead in circles
            return False

    @staticmethod
    def _refuse_taken(target: Path) -> None:
        for file in (target, *belongings(target)):
            if os.path.lexists(file):
                raise AlreadyExists(f"{file} exists, and nothing is overwritten: choose another name")

    def _move(self, source: Path, target: Path, sidecar: dict[str, Any]) -> Clip:
        """Moves a clip, noted before it begins: whatever happens, the next `refresh` ends it."""
        text = sidecar_text(sidecar)
        self._run("INSERT OR REPLACE INTO moves VALUES (?, ?, ?)", (str(source), str(target), text.decode()))
        try:
            moves.move_clip(source, target, text)
        except AceStepError as error:
            if moves.nothing_moved(source, target, error):
                moves.remove_empty(target.parent)
                self._run("DELETE FROM moves WHERE source = ?", (str(source),))
            raise
        return self._moved(source, target)

    def _moved(self, source: Path, target: Path) -> Clip:
        if source.is_relative_to(self.trash):
            moves.remove_empty(source.parent)
        clip = self._load(target)
        with self._lock:
            self._run("DELETE FROM clips WHERE path = ?", (str(source),))
            self._index(clip)
            self._run("DELETE FROM moves WHERE source = ?", (str(source),))
        return clip

    def _end_moves(self) -> None:
        """Ends what a killed daemon or a full disk cut short."""
        for row in self._run("SELECT source, target, sidecar FROM moves"):
            source, target, sidecar = row["source"], row["target"], row["sidecar"]
            with self._only_one(source, target, wait=False) as mine:
                if not mine or not self._run("SELECT 1 FROM moves WHERE source = ?", (source,)):
                    continue
                try:
                    moves.move_clip(Path(source), Path(target), sidecar.encode())
                    self._moved(Path(source), Path(target))
                    log.warning("move_ended", clip=target)
                except NotFound:  # somebody took the audio away meanwhile
                    self._run("DELETE FROM moves WHERE source = ?", (source,))
                except AceStepError as error:
                    if moves.nothing_moved(Path(source), Path(target), error):  # and its name is taken now
                        self._run("DELETE FROM moves WHERE source = ?", (source,))
                    log.warning("move_not_ended", clip=source, error=str(error))

    def _now(self, clip: Clip) -> Clip:
        """The clip as its files say now. Raises NotFound when they are gone."""
        if not Path(clip.path).exists():
            raise NotFound(f"{clip.path} is no longer there: somebody moved or deleted it")
        if not is_ordinary(Path(clip.path)):
            raise InvalidRequest(NO_FILE.format(clip.path))
        return self._load(Path(clip.path))

    def _load(self, file: Path) -> Clip:
        clip = Clip.from_sidecar(read_sidecar(file), file)
        return dataclasses.replace(clip, trashed=file.is_relative_to(self.trash))

    def _index(self, clip: Clip) -> None:
        file = Path(clip.path)
        seen_at = stamp(file.with_name(file.name + SIDECAR_ENDING)) or 0.0
        self._run(
            "INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (str(file), clip.name, _words(clip), clip.bpm,
             clip.sharp_key, json.dumps([name for name, _ in clip.adapters]), clip.created, int(clip.starred),
             int(clip.trashed), seen_at, clip.sidecar_json, str(_written_as(clip)), clip.idea),
        )  # fmt: skip

    def _from_row(self, row: sqlite3.Row) -> Clip:
        path = row["path"]
        sidecar = typed_json.parse(row["sidecar"], typed_json.Fields, path + SIDECAR_ENDING)
        clip = Clip.from_sidecar(sidecar, path)
        return dataclasses.replace(clip, trashed=Path(path).is_relative_to(self.trash))

    def _remember_folder(self, folder: Path) -> None:
        self._run("INSERT OR IGNORE INTO folders VALUES (?)", (str(folder),))

    def _run(self, statement: str, values: Sequence[Any] = (), many: bool = False) -> list[Any]:
        """A statement's rows. An index whose file is damaged is set aside and begun anew."""
        with self._lock, database.errors("clip library", self.path):
            for attempt in (1, 2):
                try:
                    if many:
                        return self._db.executemany(statement, values).fetchall()
                    return self._db.execute(statement, values).fetchall()
                except sqlite3.DatabaseError as error:
                    if attempt == 2 or not database.is_damage(error):
                        raise
                    self._db.close()
                    kept = database.set_aside(self.path)
                    log.error("database_set_aside", file=str(self.path), kept_as=str(kept), error=str(error))
                    self._stale = True
                    self._open()
        raise AssertionError


def _words(clip: Clip) -> str:
    """What a search for words looks in."""
    return " ".join((clip.prompt, clip.name, clip.idea, clip.part, *clip.tags)).lower()


def _written_as(clip: Clip) -> Path:
    """The path that its job wrote a clip to: before it was renamed, and outside of the trash."""
    first, origin = (clip.sidecar.get(name) for name in ("renamed_from", "trashed_from"))
    if isinstance(first, str):
        return Path(first)
    return Path(origin) / clip.name if isinstance(origin, str) else Path(clip.path)

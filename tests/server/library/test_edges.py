"""The library under attack: hostile sidecars, races, kills within a move, a damaged index, full disks."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acestep.clips.clip import Clip
from acestep.errors import AceStepError, AlreadyExists, InvalidRequest, NotFound, StorageError
from server.library import moves
from server.library.index import ClipLibrary
from server.library.search import Search
from tests.support.daemons import clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "samples").mkdir()
    return tmp_path / "samples"


def opened(tmp_path: Path) -> ClipLibrary:
    return ClipLibrary(tmp_path / "clips.sqlite", [tmp_path / "samples"], tmp_path / "trash")


@pytest.fixture
def library(tmp_path: Path, folder: Path) -> ClipLibrary:
    return opened(tmp_path)


def files(tmp_path: Path) -> list[str]:
    """Everything in samples and trash, by its name in its folder (trash folders have random names)."""
    found = [file for top in ("samples", "trash") for file in (tmp_path / top).rglob("*") if file.is_file()]
    return sorted(f"{file.relative_to(tmp_path).parts[0]}/{file.name}" for file in found)


def changed(**values: Any) -> Any:
    return lambda sidecar: json.dumps({**sidecar, "clip": {**sidecar["clip"], **values}})


HOSTILE = {
    "deep": lambda sidecar: '{"format": 1, "clip": ' + "[" * 200_000 + "]" * 200_000 + "}",
    "never closed": lambda sidecar: "[" * 1_000_000,
    "too large": lambda sidecar: json.dumps({**sidecar, "x": "y" * (3 << 20)}),
    "bars as text": changed(bars="abc"),
    "a negative take": changed(take=-1),
    "a seed of 41 bits": changed(seed=2**40),
    "a star as text": changed(starred="x"),
    "bpm as an object": changed(bpm={"a": 1}),
    "half a surrogate pair": changed(prompt="\ud800x"),
    "prompt as a list": changed(prompt=["a"]),
    "a prompt too long": changed(prompt="a" * 100_000),
    "prompt as nothing": changed(prompt=None),
    "infinite bpm": lambda sidecar: changed(bpm="X")(sidecar).replace('"X"', "1e400"),
    "bpm that is not a number": changed(bpm=float("nan")),
    "adapters of texts": changed(adapters=[["a", "b"]]),
    "adapters as text": changed(adapters="zz"),
    "tags as text": changed(tags="zz"),
    "tags of numbers": changed(tags=[1]),
    "too many samples": changed(samples=10**30),
    "key match as a number": changed(key_match=5),
    "job as a number": changed(job=5),
    "a number of 6000 digits": lambda sidecar: changed(seed="X")(sidecar).replace('"X"', "9" * 6000),
    "UTF-16": lambda sidecar: json.dumps(sidecar).encode("utf-16"),
    "clip as a list": lambda sidecar: json.dumps({**sidecar, "clip": [1]}),
    "another format": lambda sidecar: json.dumps({**sidecar, "format": 99}),
    "half a file": lambda sidecar: json.dumps(sidecar)[:100],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_one_hostile_sidecar_is_named_and_the_others_are_listed(
    library: ClipLibrary, folder: Path, kind: str
) -> None:
    good = clip(folder, "good")
    content = HOSTILE[kind](good.sidecar)
    shutil.copy(good.path, folder / "evil.wav")
    (folder / "evil.wav.json").write_bytes(
        content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    )
    for _ in range(2):
        assert library.refresh() == 1
        assert [one.prompt for one in library.search(Search())] == ["good"]
        (unreadable,) = library.unreadable()
        assert unreadable.path == str(folder / "evil.wav")
        assert "evil.wav" in unreadable.message
        assert len(unreadable.message) < 400
    with pytest.raises((NotFound, InvalidRequest)):
        library.star("evil.wav", True)
    (folder / "evil.wav").unlink()
    assert library.refresh() == 1
    assert library.unreadable() == []


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
def test_files_that_are_no_files_and_names_that_are_no_text_hinder_nobody(
    library: ClipLibrary, folder: Path
) -> None:
    good = clip(folder, "good")
    for name in (b"pipe.wav", b"folder.wav", b"caf\xe9.wav", b"loop.wav"):
        shutil.copy(os.fsencode(good.path), os.fsencode(folder) + b"/" + name)
    os.mkfifo(folder / "pipe.wav.json")
    (folder / "folder.wav.json").mkdir()
    (folder / "loop.wav.json").symlink_to(folder / "loop.wav.json")
    shutil.copy(os.fsencode(good.path + ".json"), os.fsencode(folder) + b"/caf\xe9.wav.json")
    assert library.refresh() == 1
    named = {Path(one.path).name: one.message for one in library.unreadable()}
    assert set(named) == {"pipe.wav", "folder.wav", "caf\\udce9.wav"}
    assert "not UTF-8" in named["caf\\udce9.wav"]


def test_a_row_that_an_older_version_wrote_does_not_break_the_search(
    library: ClipLibrary, folder: Path, tmp_path: Path
) -> None:
    library.add(clip(folder, "good"))
    library.add(clip(folder, "old"))
    with sqlite3.connect(tmp_path / "clips.sqlite") as index:
        index.execute("UPDATE clips SET sidecar = '{\"clip\": 1}' WHERE words LIKE 'old%'")
    assert [one.prompt for one in library.search(Search())] == ["good"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b"no database at all, but long enough to be looked at" * 100),
        lambda file: file.write_bytes(file.read_bytes()[:4096] + os.urandom(40_000)),
        lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        lambda file: (file.unlink(), sqlite3.connect(file).execute("CREATE TABLE clips (other)")),
        lambda file: (file.unlink(), sqlite3.connect(file).execute("CREATE VIEW clips AS SELECT 1")),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["no database", "garbage inside", "cut in half", "other columns", "a view", "a folder"],
)
def test_a_damaged_index_is_set_aside_and_rebuilt(
    library: ClipLibrary, folder: Path, tmp_path: Path, damage: Any
) -> None:
    for number in range(30):
        library.add(clip(folder, f"clip {number}"))
    library.move_to_trash(library.star(library.search(Search())[0].name, True).name)
    library.close()
    damage(tmp_path / "clips.sqlite")
    again = opened(tmp_path)
    assert len(again.search(Search())) == 29
    (gone,) = again.search(Search(trashed=True))
    assert gone.starred
    assert (tmp_path / "clips.sqlite.broken").exists()
    again.close()
    assert opened(tmp_path).refresh() == 30
    assert not (tmp_path / "clips.sqlite.broken-2").exists()


def test_an_index_damaged_while_it_is_open_is_rebuilt_as_well(
    library: ClipLibrary, folder: Path, tmp_path: Path
) -> None:
    for number in range(200):
        library.add(clip(folder, f"clip {number}"))
    library._run("PRAGMA wal_checkpoint(TRUNCATE)")
    library._run("PRAGMA cache_size = 1")
    size = (tmp_path / "clips.sqlite").stat().st_size
    with (tmp_path / "clips.sqlite").open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(size - 8192))
    library._run("PRAGMA shrink_memory")
    assert library.refresh() == 200
    assert len(library.search(Search())) == 200
    assert (tmp_path / "clips.sqlite.broken").exists()


def test_star_rename_trash_and_restore_at_once_never_part_a_clip(
    library: ClipLibrary, folder: Path, tmp_path: Path
) -> None:
    one = clip(folder, "one")
    Path(one.path).with_suffix(".mid").write_bytes(b"MThd")
    library.add(one)
    unexpected: list[BaseException] = []

    def often(*calls: Any) -> None:
        for _ in range(25):
            for call in calls:
                try:
                    call()
                except (InvalidRequest, NotFound, AlreadyExists):
                    pass
                except BaseException as error:  # noqa: BLE001 (whatever it is, the test fails)
                    unexpected.append(error)

    threads = [
        threading.Thread(target=often, args=calls)
        for calls in [
            (lambda: library.star(one.name, True), lambda: library.star(one.name, False)),
            (lambda: library.move_to_trash(one.name),),
            (lambda: library.restore(one.name),),
            (lambda: library.move_to_trash(one.name), lambda: library.restore(one.name)),
            (lambda: library.rename(one.name, "b"), lambda: library.rename("b.wav", one.name)),
            (lambda: library.rename("b.wav", one.name), lambda: library.tag(one.name, ["a"])),
            (library.refresh,),
            (library.refresh, lambda: library.search(Search())),
        ]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unexpected == []
    assert library.refresh() == 1
    if trashed := library.search(Search(trashed=True)):
        library.restore(trashed[0].name)
    library.rename(library.search(Search())[0].name, one.name)
    stem = Path(one.path).stem
    assert files(tmp_path) == [f"samples/{stem}.mid", f"samples/{stem}.wav", f"samples/{stem}.wav.json"]
    assert library.get(one.name).path == one.path


def killed_at(step: int, tmp_path: Path, act: Any) -> bool:
    """`act` in a process that dies before its file operation of that number; whether it came through."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        library, left = opened(tmp_path), step

        def counted(function: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    os._exit(9)
                return function(*args, **kwargs)

            return call

        os.link = counted(os.link)
        for name in ("mkdir", "rmdir", "rename", "replace", "unlink", "write_bytes"):
            setattr(type(tmp_path), name, counted(getattr(type(tmp_path), name)))
        library._run = counted(library._run)  # type: ignore[method-assign]
        act(library)
        os._exit(0)
    finally:
        os._exit(1)


MOVES: dict[str, Callable[[ClipLibrary, str], Clip]] = {
    "trash": ClipLibrary.move_to_trash,
    "restore": ClipLibrary.restore,
    "rename": lambda library, name: library.rename(name, "other"),
}


@pytest.mark.skipif(os.name == "nt", reason="no fork there")
@pytest.mark.parametrize("what", MOVES)
def test_a_move_that_was_killed_at_any_step_is_ended_by_the_next_look(tmp_path: Path, what: str) -> None:
    outcomes = set()
    for step in range(60):
        place = tmp_path / str(step)
        (place / "samples").mkdir(parents=True)
        one = clip(place / "samples", "one")
        Path(one.path).with_suffix(".mid").write_bytes(b"MThd")
        library = opened(place)
        library.add(one)
        if what == "restore":
            library.move_to_trash(one.name)
        library.close()
        done = killed_at(step, place, lambda library, name=one.name: MOVES[what](library, name))
        library = opened(place)
        assert library.refresh() == 1, step
        trashed = len(library.search(Search(trashed=True)))
        renamed = (place / "samples" / "other.wav").exists()
        outcomes.add(trashed or renamed)
        if renamed:
            library.rename("other.wav", one.name)
        if trashed:
            library.restore(one.name)
        assert library.get(one.name).path == one.path
        visible = [name for name in files(place) if not name.split("/")[1].startswith(".")]
        stem = Path(one.path).stem
        assert visible == [f"samples/{stem}.mid", f"samples/{stem}.wav", f"samples/{stem}.wav.json"], step
        library.close()
        if done:
            break
    assert done
    assert outcomes == {0, 1}


def test_a_trash_that_cannot_be_written_leaves_the_clip_where_it_is(
    library: ClipLibrary, folder: Path, tmp_path: Path
) -> None:
    one = clip(folder, "one")
    library.add(one)
    (tmp_path / "trash").write_text("a file")
    with pytest.raises(StorageError, match="cannot move"):
        library.move_to_trash(one.name)
    assert library.refresh() == 1
    assert library.get(one.name).path == one.path
    (tmp_path / "trash").unlink()
    assert library.move_to_trash(one.name).trashed


def test_a_disk_that_fills_up_within_a_move_is_gone_on_with_later(
    library: ClipLibrary, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = clip(folder, "one")
    library.add(one)
    real = Path.write_bytes

    def full(file: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        library.move_to_trash(one.name)
    monkeypatch.setattr(Path, "write_bytes", real)
    assert library.refresh() == 1
    assert library.restore(one.name).path == one.path


def test_clips_move_across_disks_whole(
    library: ClipLibrary, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = clip(folder, "one")
    body = Path(one.path).read_bytes()
    library.add(one)
    real = moves.rename_new

    def other_disk(source: Path, target: Path) -> bool:
        if source.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return real(source, target)

    monkeypatch.setattr(moves, "rename_new", other_disk)
    trashed = Path(library.move_to_trash(one.name).path)
    assert trashed.read_bytes() == body
    assert not Path(one.path).exists()
    assert library.restore(one.name).path == one.path
    assert Path(one.path).read_bytes() == body
    assert [name for name in files(tmp_path) if "part" in name] == []


def test_starring_keeps_what_others_wrote_into_the_sidecar(library: ClipLibrary, folder: Path) -> None:
    one = clip(folder, "one")
    library.add(one)
    sidecar = Path(one.path + ".json")
    sidecar.write_text(json.dumps({**one.sidecar, "note": "by hand"}))
    library.star(one.name, True)
    assert json.loads(sidecar.read_text())["note"] == "by hand"
    assert Clip.load(one.path).starred


def test_a_full_disk_is_said_and_the_clip_stays_as_it_was(tmp_path: Path) -> None:
    small = tmp_path / "samples"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user cannot mount a small file system")
    try:
        library = opened(tmp_path)
        one = clip(small, "one")
        library.add(one)
        before = Path(one.path + ".json").read_bytes()
        (small / "rest").write_bytes(b"x" * (int(os.statvfs(small).f_bavail) * os.statvfs(small).f_bsize))
        with pytest.raises(AceStepError, match="No space left"):
            library.star(one.name, True)
        assert Path(one.path + ".json").read_bytes() == before
        assert [file for file in small.iterdir() if file.name.startswith(".")] == []
        assert not library.get(one.name).starred
    finally:
        subprocess.run(["umount", str(small)], check=True)

"""The clip index: search, stars, trash, and being rebuilt from the files."""

import threading
import time
import tracemalloc
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from acestep.clips.clip import Clip
from acestep.errors import AlreadyExists, InvalidRequest, NotFound
from acestep.sources.sidecar import SIDECAR_ENDING
from server.library import index as library_module
from server.library.index import ClipLibrary
from server.library.search import Search
from tests.support.daemons import clip


def names(found: list[Clip]) -> list[str]:
    return [one.prompt for one in found]


def test_clips_are_found_by_words_tempo_key_adapter_and_time(library: ClipLibrary, folder: Path) -> None:
    library.add(clip(folder, "dusty break", bpm=92.5, key="Am", adapters=(("tape", 0.8),)))
    library.add(clip(folder, "100% pure pad", bpm=140, key="C"))
    assert names(library.search(Search(words="DUSTY break"))) == ["dusty break"]
    assert names(library.search(Search(words="100%"))) == ["100% pure pad"]
    assert names(library.search(Search(words="_"))) != []  # in the file names, literally
    assert library.search(Search(words="dusty pad")) == []
    assert names(library.search(Search(bpm_min=92, bpm_max=93))) == ["dusty break"]
    assert names(library.search(Search(key="a minor"))) == ["dusty break"]
    assert names(library.search(Search(adapter="tape"))) == ["dusty break"]
    assert library.search(Search(since="2999-01-01")) == []
    day = datetime.fromisoformat(library.search(Search())[0].created)
    assert len(library.search(Search(since=day.date().isoformat()))) == 2
    for later_s, found in ((-1, 2), (1, 0)):  # the same moment, told in another zone
        told = (day + timedelta(seconds=later_s)).astimezone(timezone(timedelta(hours=-11)))
        assert len(library.search(Search(since=told.isoformat()))) == found
    assert len(library.search(Search(limit=1))) == 1
    with pytest.raises(InvalidRequest):
        library.search(Search(key="H minor"))
    for wrong in ("yesterday", "2026-13-40", "'; DROP TABLE clips", "0001-01-01T00:00+23:59"):
        with pytest.raises(InvalidRequest, match=r"^since .* is no date: expected"):
            library.search(Search(since=wrong))


def test_the_index_is_rebuilt_from_the_files_with_stars_and_trash(
    library: ClipLibrary, folder: Path, tmp_path: Path
) -> None:
    kept, starred, gone = (clip(folder, prompt) for prompt in ("kept", "starred", "gone"))
    for one in (kept, starred, gone):
        library.add(one)
    library.star(starred.name, True)
    library.move_to_trash(gone.name)
    library.close()
    (tmp_path / "clips.sqlite").unlink()
    again = ClipLibrary(tmp_path / "clips.sqlite", [folder], tmp_path / "trash")
    assert again.refresh() == 3
    assert sorted(names(again.search(Search()))) == ["kept", "starred"]
    assert names(again.search(Search(starred=True))) == ["starred"]
    assert names(again.search(Search(trashed=True))) == ["gone"]
    assert again.restore(gone.name).path == gone.path


def test_files_that_come_and_go_are_noticed(library: ClipLibrary, folder: Path) -> None:
    one = clip(folder, "came by itself")
    assert library.refresh() == 1
    assert library.get(one.name).prompt == "came by itself"
    Path(one.path).unlink()
    assert library.refresh() == 0
    (folder / "notes.json").write_text("{}")
    (folder / "other.wav").touch()
    (folder / "other.wav.json").write_text('{"made by": "another program"}')
    assert library.refresh() == 0


def test_restoring_never_overwrites(library: ClipLibrary, folder: Path) -> None:
    one = clip(folder, "one")
    library.add(one)
    library.move_to_trash(one.name)
    Path(one.path).write_text("something else of that name")
    with pytest.raises(AlreadyExists):
        library.restore(one.name)
    assert Path(one.path).read_text() == "something else of that name"


def test_two_clips_of_one_name_may_both_be_in_the_trash(
    library: ClipLibrary, folder: Path, tmp_path: Path
) -> None:
    other_folder = tmp_path / "set"
    one = clip(folder, "one")
    other_folder.mkdir()
    twin = other_folder / one.name
    twin.write_bytes(Path(one.path).read_bytes())
    (other_folder / f"{one.name}.json").write_bytes(Path(one.path + ".json").read_bytes())
    library.add(one)
    library.add(Clip.load(twin))
    library.move_to_trash(one.path)
    library.move_to_trash(str(twin))
    assert len(library.search(Search(trashed=True))) == 2
    assert library.search(Search()) == []


def test_companions_go_along(library: ClipLibrary, folder: Path) -> None:
    one = clip(folder, "one")
    midi = Path(one.path).with_suffix(".mid")
    midi.write_bytes(b"MThd")
    library.add(one)
    library.move_to_trash(one.name)
    assert not midi.exists()
    library.restore(one.name)
    assert midi.read_bytes() == b"MThd"


def test_the_midi_file_of_a_clip_is_had_by_its_name_and_goes_where_the_clip_goes(
    library: ClipLibrary, folder: Path
) -> None:
    one = clip(folder, "one", midi_out=True)
    midi = Path(one.midi)
    library.add(one)
    assert library.file(midi.name) == library.file(str(midi)) == midi
    content = midi.read_bytes()
    renamed = library.rename(one.name, "other")
    assert renamed.midi == str(folder / "other.mid")
    assert library.file("other.mid").read_bytes() == content
    trashed = library.move_to_trash(renamed.name)
    assert Path(trashed.midi).read_bytes() == content
    assert not (folder / "other.mid").exists()
    assert library.restore(renamed.name).midi == renamed.midi
    two = clip(folder, "two")
    library.add(two)
    with pytest.raises(NotFound, match="midi_out"):
        library.file(str(Path(two.path).with_suffix(".mid")))


def test_a_clip_that_is_trashed_already_or_gone_says_so(library: ClipLibrary, folder: Path) -> None:
    one, two = clip(folder, "one"), clip(folder, "two")
    library.add(one)
    library.add(two)
    library.move_to_trash(one.name)
    with pytest.raises(InvalidRequest, match="in the trash already"):
        library.move_to_trash(one.name)
    Path(two.path).unlink()
    with pytest.raises(NotFound, match="no longer there"):
        library.move_to_trash(two.name)


def test_looking_at_the_files_takes_hardly_more_memory_for_more_clips(
    library: ClipLibrary, folder: Path, tmp_path: Path
) -> None:
    one = Path(clip(folder, "one").path)
    sidecar = one.with_name(one.name + SIDECAR_ENDING).read_bytes()

    def peak(clips: int) -> int:
        """The most that a refresh takes beside what it keeps, in bytes, where nothing has changed."""
        for number in range(clips):
            file = folder / f"a-clip-whose-name-is-as-long-as-they-are-in-earnest_{number:05}_120bpm_t1.wav"
            if not file.exists():
                file.write_bytes(b"")
                file.with_name(file.name + SIDECAR_ENDING).write_bytes(sidecar)
        assert library.refresh() == clips + 1
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            library.refresh()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

    peak(10)
    few, many = peak(600), peak(1_600)
    assert (many - few) / 1_000 < 250  # bytes for each further clip; a path alone takes 150


def test_those_who_ask_at_once_share_a_look_at_the_files(
    library: ClipLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    begun, go_on = threading.Event(), threading.Event()
    real = library_module.clips

    def slow(folders: list[Path]) -> Any:
        looks.append(1)
        begun.set()
        assert go_on.wait(20)
        return real(folders)

    monkeypatch.setattr(library_module, "clips", slow)
    found: list[int] = []
    first = threading.Thread(target=lambda: found.append(library.refresh()))
    first.start()
    assert begun.wait(20)
    clip(folder, "comes while the first one looks")
    others = [threading.Thread(target=lambda: found.append(library.refresh())) for _ in range(20)]
    for other in others:
        other.start()
    time.sleep(0.3)  # they wait now; were one late, it would only look once more
    go_on.set()
    for thread in (first, *others):
        thread.join(20)
    assert found[1:] == [1] * 20  # nobody is told less than what was there when they asked
    assert len(looks) < 5

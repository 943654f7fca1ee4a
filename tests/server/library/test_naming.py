"""Clips are renamed and tagged: what may be said, what is kept, and what survives a lost index."""

import json
import threading
from pathlib import Path

import pytest

from acestep.clips.clip import Clip
from acestep.errors import AceStepError, AlreadyExists, InvalidRequest, NotFound
from acestep.files import rename_new
from server.library import moves
from server.library.index import ClipLibrary
from server.library.search import Search
from tests.support.daemons import clip


def found(library: ClipLibrary, words: str) -> list[str]:
    return [one.name for one in library.search(Search(words=words))]


@pytest.fixture
def one(library: ClipLibrary, folder: Path) -> Clip:
    """A clip in the library."""
    made = clip(folder, "dusty break")
    library.add(made)
    return made


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("slap and snare", "slap and snare.wav"),
        ("slap and snare.wav", "slap and snare.wav"),
        ("Slap.WAV", "Slap.wav"),
        ("  kick v1.2  ", "kick v1.2.wav"),
        ("cafe\u0301", "caf\u00e9.wav"),
        ("ドラム 🥁", "ドラム 🥁.wav"),
        ("concert", "concert.wav"),
        ("x" * 246, "x" * 246 + ".wav"),
    ],
)
def test_a_clip_is_renamed_with_all_that_belongs_to_it(
    library: ClipLibrary, one: Clip, folder: Path, wanted: str, name: str
) -> None:
    body = Path(one.path).read_bytes()
    Path(one.path).with_suffix(".mid").write_bytes(b"MThd")
    renamed = library.rename(one.name, wanted)
    assert (renamed.name, renamed.path) == (name, str(folder / name))
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        [name, f"{name}.json", f"{name.removesuffix('.wav')}.mid"]
    )
    assert (folder / name).read_bytes() == body
    assert json.loads((folder / f"{name}.json").read_text("utf-8"))["clip"]["name"] == name
    assert library.get(name).prompt == "dusty break"
    assert library.refresh() == 1
    with pytest.raises(NotFound):
        library.get(one.name)


@pytest.mark.parametrize(
    "wanted",
    ["", "   ", ".", "..", ".hidden", ".wav", "a/b", "../a", "/tmp/a", "a\\b", "a:b", "a*b", 'a"b', "a|b",
     "<a>", "what?", "a\0b", "a\nb", "a\tb", "\u202egpj", "con", "NUL", "aux.1", "COM1", "lpt\u00b9",
     "conin$", "a.mp3", "a.flac", "x" * 247, "é" * 130],
)  # fmt: skip
def test_what_is_no_name_on_every_system_is_refused_and_nothing_changes(
    library: ClipLibrary, one: Clip, folder: Path, wanted: str
) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(InvalidRequest, match="the name") as refused:
        library.rename(one.name, wanted)
    assert len(str(refused.value)) < 200
    assert sorted(folder.iterdir()) == before
    assert library.get(one.name).path == one.path


@pytest.mark.parametrize("taken", ["other.wav", "other.wav.json", "other.mid"])
def test_nothing_is_overwritten_by_a_new_name(
    library: ClipLibrary, one: Clip, folder: Path, taken: str
) -> None:
    Path(one.path).with_suffix(".mid").write_bytes(b"MThd")
    (folder / taken).write_text("somebody's")
    with pytest.raises(AlreadyExists, match="nothing is overwritten"):
        library.rename(one.name, "other")
    assert (folder / taken).read_text() == "somebody's"
    assert library.get(one.name).path == one.path
    assert library.rename(one.name, one.name) == library.get(one.name)


def test_a_name_that_is_taken_in_the_last_moment_stays_with_who_took_it(
    library: ClipLibrary, one: Clip, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(source: Path, target: Path) -> bool:
        target.write_text("somebody's")
        return rename_new(source, target)

    monkeypatch.setattr(moves, "rename_new", late)
    with pytest.raises(AlreadyExists):
        library.rename(one.name, "other")
    monkeypatch.undo()
    (folder / "other.wav").unlink()
    assert library.refresh() == 1  # and it is not gone on with later
    assert library.get(one.name).path == one.path


def test_of_clips_that_want_one_name_at_once_one_gets_it(library: ClipLibrary, folder: Path) -> None:
    made = [clip(folder, f"number {number}") for number in range(8)]
    for each in made:
        library.add(each)
    refused: list[AceStepError] = []
    start = threading.Barrier(len(made))

    def rename(each: Clip) -> None:
        start.wait(20)
        try:
            library.rename(each.name, "the one")
        except AceStepError as error:
            refused.append(error)

    threads = [threading.Thread(target=rename, args=(each,)) for each in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [error.reason for error in refused] == ["already_exists"] * 7
    assert library.refresh() == 8
    assert len(list(folder.glob("*.wav"))) == len(list(folder.glob("*.wav.json"))) == 8
    assert (folder / "the one.wav").exists()


def test_stars_tags_and_the_trash_are_kept_by_a_new_name_and_a_lost_index(
    library: ClipLibrary, one: Clip, folder: Path, tmp_path: Path
) -> None:
    library.star(one.name, True)
    library.tag(one.name, ["groove", "live take"])
    library.move_to_trash(one.name)
    trashed = library.rename(one.name, "kept")
    assert (trashed.starred, trashed.trashed, trashed.tags) == (True, True, ("groove", "live take"))
    library.close()
    (tmp_path / "clips.sqlite").unlink()
    again = ClipLibrary(tmp_path / "clips.sqlite", [folder], tmp_path / "trash")
    back = again.restore("kept.wav")
    assert (back.path, back.starred, back.trashed) == (str(folder / "kept.wav"), True, False)
    assert back.tags == ("groove", "live take")
    assert again.renamed() == {(one.job, one.path): back}
    assert [file.name for file in (tmp_path / "trash").rglob("*")] == []


def test_clips_are_found_by_their_tags_and_new_names(library: ClipLibrary, one: Clip, folder: Path) -> None:
    library.add(clip(folder, "another"))
    library.tag(one.name, ["Groove", "live take"])
    assert found(library, "groove") == found(library, "TAKE dusty") == [one.name]
    library.rename(one.name, "slap")
    assert found(library, "slap groove") == ["slap.wav"]
    library.tag("slap.wav", [])
    assert library.get("slap.wav").tags == ()
    assert found(library, "groove") == []


def test_tags_are_each_kept_once_in_their_order(library: ClipLibrary, one: Clip) -> None:
    assert library.tag(one.name, ["  live   take ", "Groove", "groove", "ドラム"]).tags == (
        "live take",
        "Groove",
        "ドラム",
    )
    assert Clip.load(one.path).tags == ("live take", "Groove", "ドラム")


@pytest.mark.parametrize(
    "tags",
    [[""], ["  "], ["a,b"], ["x" * 41], ["a\0b"], ["\u202ea"], [f"tag {n}" for n in range(33)]],
    ids=["empty", "blank", "comma", "long", "zero byte", "bidi", "too many"],
)
def test_what_is_no_tag_is_refused_and_the_old_ones_stay(
    library: ClipLibrary, one: Clip, tags: list[str]
) -> None:
    library.tag(one.name, ["old"])
    with pytest.raises(InvalidRequest, match="tag"):
        library.tag(one.name, tags)
    assert library.get(one.name).tags == ("old",)


def test_a_first_name_that_another_clip_has_now_is_not_the_first_ones(
    library: ClipLibrary, one: Clip, folder: Path
) -> None:
    library.rename(one.name, "mine")
    other = clip(folder, "other")
    library.add(other)
    taken = library.rename(other.name, one.name)
    library.rename("mine.wav", "mine again")
    assert {key: made.name for key, made in library.renamed().items()} == {
        (one.job, one.path): "mine again.wav",
        (other.job, other.path): taken.name,
    }

"""What lies in the samples folder and is not a clip of its own: pipes, sockets, devices, links in circles."""

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from acestep.clips.clip import sweep_unfinished
from acestep.errors import AceStepError, InvalidRequest
from protos.acestep.v1 import acestep_pb2 as pb
from server.library import moves
from server.library.index import ClipLibrary
from server.library.search import Search
from tests.support.daemons import StandIn, clip, generate, running, settings, stub

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such files there")


@pytest.fixture(autouse=True)
def opened_pipes_end_the_test() -> Iterator[None]:
    """Opening a pipe waits for ever: better a failed test."""
    signal.alarm(30)
    yield
    signal.alarm(0)


def a_socket(path: Path) -> None:
    os.chdir(path.parent)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": a_socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
}


def prompts(library: ClipLibrary) -> list[str]:
    return sorted(one.prompt for one in library.search(Search()))


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("before", [False, True], ids=["from the start", "in place of a listed clip"])
def test_what_is_no_file_is_named_and_never_opened(
    library: ClipLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, before: bool
) -> None:
    monkeypatch.chdir(folder)
    library.add(clip(folder, "good"))
    special = Path(clip(folder, "special").path)
    if before:
        assert library.refresh() == 2
    special.unlink()
    SPECIAL[kind](special)
    for _ in range(2):
        assert library.refresh() == 1
        assert prompts(library) == ["good"]
    named = {one.path: one.message for one in library.unreadable()}
    assert set(named) <= {str(special)}
    assert kind == "device" or "a pipe, a socket, a device or a folder" in named[str(special)]
    for act in (lambda: library.star(special.name, True), lambda: library.move_to_trash(special.name)):
        with pytest.raises(AceStepError):
            act()
    assert os.path.lexists(special)


@pytest.mark.parametrize("act", ["star", "trash"])
def test_a_clip_that_became_a_pipe_since_it_was_listed_is_refused(
    library: ClipLibrary, folder: Path, act: str
) -> None:
    one = clip(folder, "p")
    library.add(one)
    Path(one.path).unlink()
    os.mkfifo(one.path)
    with pytest.raises(InvalidRequest, match="expected an audio file"):
        library.star(one.name, True) if act == "star" else library.move_to_trash(one.name)


def test_a_companion_that_is_a_pipe_is_not_read_when_a_clip_goes_to_another_disk(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = clip(folder, "p")
    os.mkfifo(Path(one.path).with_suffix(".mid"))

    def other_disk(source: Path, target: Path) -> bool:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(
        moves, "rename_new", lambda s, t: os.link(s, t) is None if ".acestep" in s.name else other_disk(s, t)
    )
    with pytest.raises(AceStepError, match="ordinary file"):
        moves.move_clip(Path(one.path), tmp_path / "trash" / one.name, b"{}")


@pytest.mark.parametrize("kind", SPECIAL)
def test_downloads_and_listings_over_the_wire_refuse_it(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings(tmp_path)
    with running(made, StandIn()) as daemon, stub(daemon.grpc.port) as client:
        monkeypatch.chdir(made.samples)
        first = generate(client, prompt="first")[-2].clip
        generate(client, prompt="second")
        Path(first.path).unlink()
        SPECIAL[kind](Path(first.path))
        with pytest.raises(grpc.RpcError) as refused:
            list(client.Download(pb.DownloadRequest(name=first.name), timeout=10))
        assert refused.value.code().name in ("NOT_FOUND", "INVALID_ARGUMENT", "PERMISSION_DENIED")
        listed = client.ListClips(pb.ListClipsRequest(), timeout=10)
        assert [one.prompt for one in listed.clips] == ["second"]
        assert {one.name for one in listed.unreadable} <= {first.name}
        with pytest.raises(grpc.RpcError):
            generate(client, prompt="p", reference=pb.AudioRange(path=first.path))
        assert generate(client, prompt="third")[-1].WhichOneof("event") == "done"


@pytest.mark.parametrize("target", [".", "..", "../samples", "inner", "inner/back"])
def test_a_link_back_lists_each_clip_once(library: ClipLibrary, folder: Path, target: str) -> None:
    (folder / "inner").mkdir()
    library.add(clip(folder, "outer"))
    clip(folder / "inner", "inner")
    (folder / "inner" / "back").symlink_to(folder)
    (folder / "0 first").symlink_to(target)
    (folder / "zz last").symlink_to(target)
    for _ in range(2):
        assert library.refresh() == 2
        assert prompts(library) == ["inner", "outer"]
        for one in library.search(Search()):
            assert Path(one.path).resolve() == Path(one.path)


def test_a_folder_that_jobs_named_in_two_ways_is_looked_through_once(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    folders = [tmp_path / "alias", folder, folder.parent / "samples" / ".." / "samples"]
    library = ClipLibrary(tmp_path / "clips.sqlite", folders, tmp_path / "trash")
    clip(folder, "p")
    assert library.refresh() == 1


def test_a_link_to_a_clip_beside_it_is_that_clip(library: ClipLibrary, folder: Path) -> None:
    one = clip(folder, "p")
    for name in ("aaa.wav", "zzz.wav"):
        (folder / name).symlink_to(one.path)
        shutil.copy(one.path + ".json", folder / f"{name}.json")
    assert library.refresh() == 1
    assert [found.path for found in library.search(Search())] == [one.path]


def test_a_trash_that_is_linked_into_the_samples_folder_stays_the_trash(
    library: ClipLibrary, folder: Path, tmp_path: Path
) -> None:
    one = clip(folder, "p")
    library.add(one)
    library.move_to_trash(one.name)
    (folder / "bin").symlink_to(tmp_path / "trash")
    (folder / "one").symlink_to(next((tmp_path / "trash").iterdir()))
    assert library.refresh() == 1
    assert library.search(Search()) == []
    assert library.restore(one.name).path == one.path


def test_a_pipe_with_a_hidden_name_of_ours_does_not_keep_the_rest_from_being_cleared_up(folder: Path) -> None:
    for name in (".acestep-999999999-aa.ready", ".acestep-999999999-bb.part"):
        os.mkfifo(folder / name)
    (folder / ".acestep-999999999-cc.part").write_bytes(b"half")
    assert sweep_unfinished(folder) == 3
    assert list(folder.iterdir()) == []

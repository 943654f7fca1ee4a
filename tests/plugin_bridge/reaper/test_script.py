"""The real ReaScript in a double of REAPER: alone, and against the real daemon."""

import ast
import functools
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_bridge import Bridge
from plugin_bridge.ableton.AceStep import osc
from tests.support.live.daemon import Daemon
from tests.support.live.studio import free_port, write_wav
from tests.support.reaper_double import Reaper

SCRIPT = Path(__file__).parents[3] / "plugin_bridge" / "reaper" / "acestep.py"


@pytest.fixture
def no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A home whose daemon is not there."""
    port = free_port()
    monkeypatch.setenv("ACESTEP_HOME", str(tmp_path))
    (tmp_path / "daemon.json").write_text(json.dumps({"osc_port": port}))
    return port


@pytest.fixture
def here(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    monkeypatch.setenv("ACESTEP_HOME", str(daemon.home))
    return daemon


@functools.lru_cache
def codec() -> dict[str, Any]:
    """The script's own OSC functions, without REAPER."""
    tree = ast.parse(SCRIPT.read_text("utf-8"))
    wanted = {"_text", "encode", "decode", "_read_text"}
    body = [
        node
        for node in tree.body
        if (isinstance(node, ast.FunctionDef) and node.name in wanted)
        or (isinstance(node, ast.ImportFrom) and node.module in ("__future__", "typing"))
    ]
    names: dict[str, Any] = {"struct": __import__("struct")}
    exec(compile(ast.Module(body, []), str(SCRIPT), "exec"), names)
    return names


def test_it_is_one_file_of_python_3_7_with_the_standard_library_only() -> None:
    tree = ast.parse(SCRIPT.read_text("utf-8"), feature_version=(3, 7))
    allowed = {"__future__", "json", "os", "pathlib", "socket", "struct", "sys", "time", "typing"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {name.name for name in node.names} <= allowed | {"reaper_python"}
        elif isinstance(node, ast.ImportFrom):
            assert node.module in allowed
            assert node.level == 0


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
VALUES = st.lists(
    st.one_of(st.integers(-(2**31) + 1, 2**31 - 1), st.floats(width=32, allow_nan=False), TEXTS), max_size=8
)


@given(VALUES)
def test_its_osc_is_that_of_the_other_bridges(values: list[Any]) -> None:
    own = codec()
    packet = own["encode"]("/acestep/x", *values)
    assert packet == osc.encode("/acestep/x", *values)
    assert own["decode"](packet) == ("/acestep/x", values)


@given(st.binary(max_size=100))
def test_foreign_bytes_are_a_value_error(packet: bytes) -> None:
    try:
        codec()["decode"](packet)
    except ValueError:
        return


def test_a_cancelled_dialog_does_nothing(no_daemon: int) -> None:
    reaper = Reaper(answers=None)
    reaper.run(SCRIPT)
    assert (reaper.console, reaper.undo) == ([], [])


def test_a_missing_daemon_is_told_with_what_to_do(no_daemon: int) -> None:
    reaper = Reaper(["rain", "4", "1", "", "none", "", ""])
    reaper.run(SCRIPT)
    assert f"port {no_daemon}: run `acestep serve`" in reaper.console[-1]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["", "4", "1", "", "none", "", ""], "prompt is empty"),
        (["rain", "four", "1", "", "none", "", ""], "must be numbers"),
        (["rain", "4", "1", "", "reference", "", ""], "select an audio item"),
        (["rain", "4", "1", "", "everything", "", ""], "none, reference or context"),
        (["rain", "4", "1", "", "none", "", "maybe"], "answer yes or no"),
    ],
)
def test_answers_that_cannot_be_are_told(answers: list[str], words: str, no_daemon: int) -> None:
    reaper = Reaper(answers)
    reaper.run(SCRIPT)
    assert words in reaper.console[-1]
    assert reaper.undo == []


def test_an_answer_from_another_port_is_ignored(no_daemon: int) -> None:
    reaper = Reaper(["rain", "4", "1", "", "none", "", ""])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", no_daemon))
        peer.settimeout(5)
        forger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        reaper.run(SCRIPT, until=lambda: len(reaper.turn_ms) >= 2)
        _, script = peer.recvfrom(65536)
        forger.sendto(osc.encode("/acestep/pong", "0", "1"), script)
        forger.close()
    assert reaper.console == []


@pytest.mark.heavy
def test_clips_become_takes_of_an_item_at_the_cursor_in_time(here: Daemon) -> None:
    reaper = Reaper(["rain; a, b", "2", "2", "A minor", "none", "", ""], cursor=3.5)
    reaper.bpm, reaper.meter = 92.5, (7, 8)
    track = reaper.add_track()
    reaper.run(SCRIPT)
    (item,) = track.children
    assert (item.values["D_POSITION"], item.values["D_LENGTH"]) == (3.5, pytest.approx(7 * 60 / 92.5))
    assert len(item.children) == 2
    for take in item.children:
        assert Path(take.values["source"].values["path"]).parent == here.samples
        assert take.values["D_PLAYRATE"] == pytest.approx(1)
        assert "rain; a, b" in take.values["P_NAME"]
    assert len(reaper.undo) == 2
    with Bridge(here.address) as bridge:
        request = json.loads(bridge.jobs(limit=1)[0].request_json)
    assert (request["bpm"], request["signature"], request["key"]) == (92.5, "7/8", "A minor")


@pytest.mark.heavy
def test_the_selected_item_becomes_the_context_at_its_own_tempo(here: Daemon) -> None:
    reaper = Reaper(["strings", "2", "1", "", "context", "", ""])
    track = reaper.add_track(select=False)
    path = write_wav(here.sets / "loop.wav", 8)
    item = reaper.add_item(track, path, D_STARTOFFS=1.0, D_LENGTH=2.0, D_PLAYRATE=1.25)
    reaper.selected_items = [item]
    reaper.run(SCRIPT)
    with Bridge(here.address) as bridge:
        request = json.loads(bridge.jobs(limit=1)[0].request_json)
    assert request["context"] == {"path": path, "start_s": 1.0, "end_s": 3.5}
    assert request["bpm"] == pytest.approx(96)
    (item,) = reaper.tracks[-1].children  # nothing was selected: a track of its own
    assert item.children[0].values["D_PLAYRATE"] == pytest.approx(1.25)


@pytest.mark.heavy
def test_clips_go_beside_the_project_where_the_daemon_may_write(here: Daemon, tmp_path: Path) -> None:
    for folder, place in ((here.sets, here.sets / "ACE-Step"), (tmp_path, here.samples)):
        reaper = Reaper(["drums", "1", "1", "", "none", "", ""])
        reaper.project_path = str(folder)
        track = reaper.add_track()
        reaper.run(SCRIPT)
        path = Path(track.children[0].children[0].values["source"].values["path"])
        assert path.parent == place


@pytest.mark.heavy
def test_a_refused_request_is_told_and_adds_nothing(here: Daemon) -> None:
    reaper = Reaper(["rain", "9999", "1", "", "none", "", ""])
    track = reaper.add_track()
    reaper.run(SCRIPT)
    assert "bars" in reaper.console[-1]
    assert (track.children, reaper.undo) == ([], [])


def asked(reaper: Reaper, port: int) -> list[Any]:
    """What the script asks a daemon for that greets it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", port))
        peer.setblocking(False)
        found: list[Any] = []

        def answered() -> bool:
            try:
                packet, script = peer.recvfrom(65536)
            except BlockingIOError:
                return bool(found)
            address, values = codec()["decode"](packet)
            if address == "/acestep/ping":
                peer.sendto(osc.encode("/acestep/pong", "0", "1"), script)
            elif address == "/acestep/generate":
                found.extend(values)
            return bool(found)

        reaper.run(SCRIPT, until=answered)
    return found


@pytest.mark.parametrize(
    ("section", "start_end"),
    [
        ((0.5, 2.0, False), (0.75, 1.75)),  # a section from 0.5 s, the item begins 0.25 s into it
        ((0.0, 3.0, True), (1.75, 2.75)),  # the whole file backwards: 0.25 s from its end
        ((0.5, 2.0, True), (1.25, 2.25)),
    ],
)
def test_a_section_or_a_reversed_item_uses_the_file_of_its_parent(
    tmp_path: Path, no_daemon: int, section: tuple[float, float, bool], start_end: tuple[float, float]
) -> None:
    file = tmp_path / "loop.wav"
    write_wav(file, 3.0)
    reaper = Reaper(["bass", "1", "1", "", "context", "", ""])
    item = reaper.add_section(reaper.add_track(), str(file), *section, D_STARTOFFS=0.25, D_LENGTH=1.0)
    reaper.selected_items = [item]
    values = asked(reaper, no_daemon)
    named = dict(zip(values[1::2], values[2::2], strict=True))
    assert named["context"] == str(file)
    assert (named["context_start"], named["context_end"]) == pytest.approx(start_end)
    assert any("backwards" in line for line in reaper.console) == section[2]


def test_an_item_whose_source_and_parents_have_no_file_is_told(no_daemon: int) -> None:
    reaper = Reaper(["bass", "1", "1", "", "context", "", ""])
    reaper.selected_items = [reaper.add_item(reaper.add_track(), "")]
    reaper.run(SCRIPT)
    assert "no audio file" in reaper.console[-1]


class Marked(Reaper):
    """A project whose tempo and meter change at a marker."""

    marker_s = 4.0

    def RPR_TimeMap2_timeToQN(self, project: int, seconds: float) -> float:  # noqa: N802
        return seconds * 2 if seconds < self.marker_s else self.marker_s * 2 + (seconds - self.marker_s) * 1.5

    def RPR_TimeMap_GetTimeSigAtTime(  # noqa: N802
        self, project: int, seconds: float, num: int, denom: int, bpm: float
    ) -> tuple:
        return project, seconds, *((4, 4) if seconds < self.marker_s else (3, 4)), bpm


@pytest.mark.parametrize(
    ("cursor", "bpm", "signature"),
    [
        (3.995, 120, "4/4"),
        (3.9999, 120, "4/4"),
        (3.9999999, 90, "3/4"),  # stands on the marker, but for a rounding error
        (4.0, 90, "3/4"),
        (4.001, 90, "3/4"),
    ],
)
def test_a_tempo_marker_just_behind_the_cursor_does_not_bend_the_tempo(
    no_daemon: int, cursor: float, bpm: float, signature: str
) -> None:
    values = asked(Marked(["bass", "1", "1", "", "none", "", ""], cursor), no_daemon)
    named = dict(zip(values[1::2], values[2::2], strict=True))
    assert named["tempo"] == pytest.approx(bpm, rel=1e-5)
    assert named["signature"] == signature


def named(values: list[Any]) -> list[tuple[Any, Any]]:
    return list(zip(values[1::2], values[2::2], strict=True))


def test_several_items_are_one_context_as_long_as_all_of_them_play(tmp_path: Path, no_daemon: int) -> None:
    reaper = Reaper(["lead", "1", "1", "", "context", "", ""])
    paths = [write_wav(tmp_path / f"{name}.wav", 8) for name in ("drums", "bass")]
    tracks = [reaper.add_track(select=False) for _ in paths]
    reaper.selected_items = [
        reaper.add_item(tracks[0], paths[0], D_POSITION=2.0, D_LENGTH=6.0, D_PLAYRATE=1.25),
        reaper.add_item(tracks[1], paths[1], D_POSITION=4.0, D_LENGTH=2.0, D_PLAYRATE=1.25, D_STARTOFFS=0.5),
    ]
    values = dict(named(asked(reaper, no_daemon)))
    assert (values["context"], values["context_start"], values["context_end"]) == (paths[0], 2.5, 5.0)
    assert (values["with"], values["with_start"], values["with_end"]) == (paths[1], 0.5, 3.0)
    assert values["tempo"] == pytest.approx(96)


@pytest.mark.parametrize(
    ("second", "words"),
    [({"D_POSITION": 9.0}, "same time"), ({"D_PLAYRATE": 1.1}, "different rates")],
)
def test_items_that_do_not_sound_together_are_told(
    second: dict[str, float], words: str, tmp_path: Path, no_daemon: int
) -> None:
    reaper = Reaper(["lead", "1", "1", "", "context", "", ""])
    track, path = reaper.add_track(), write_wav(tmp_path / "loop.wav", 8)
    reaper.selected_items = [reaper.add_item(track, path), reaper.add_item(track, path, **second)]
    reaper.run(SCRIPT)
    assert words in reaper.console[-1]


@pytest.mark.heavy
def test_an_idea_is_a_folder_of_tracks_and_further_ideas_are_takes_there(here: Daemon) -> None:
    reaper = Reaper(["boom bap", "1", "2", "A minor", "none", "drums, bass", "yes"], cursor=2.0)
    before = reaper.add_track()
    reaper.run(SCRIPT)
    assert before.children == []
    folder, *parts = reaper.tracks[1:]
    assert (folder.values["P_NAME"], folder.children) == ("boom bap", [])
    assert [track.values["P_NAME"] for track in parts] == ["drums", "bass"]
    assert [track.values["I_FOLDERDEPTH"] for track in reaper.tracks[1:]] == [1, 0, -1]
    for track in parts:
        (item,) = track.children
        assert (item.values["D_POSITION"], item.values["D_LENGTH"]) == (2.0, pytest.approx(2.0))
        files = [Path(take.values["source"].values["path"]) for take in item.children]
        assert len(set(files)) == 2
        assert all(file.with_suffix(".mid").is_file() for file in files)
    assert len(reaper.undo) == 2  # one an idea

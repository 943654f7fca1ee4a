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
from tests.live.daemon import Daemon
from tests.live.studio import free_port, write_wav
from tests.reaper_double import Reaper

SCRIPT = Path(__file__).parents[1] / "plugin_bridge" / "reaper" / "acestep.py"


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
    reaper = Reaper(["rain", "4", "1", "", "none"])
    reaper.run(SCRIPT)
    assert f"port {no_daemon}: run `acestep serve`" in reaper.console[-1]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["", "4", "1", "", "none"], "prompt is empty"),
        (["rain", "four", "1", "", "none"], "must be numbers"),
        (["rain", "4", "1", "", "reference"], "select an audio item"),
        (["rain", "4", "1", "", "everything"], "none, reference or context"),
    ],
)
def test_answers_that_cannot_be_are_told(answers: list[str], words: str, no_daemon: int) -> None:
    reaper = Reaper(answers)
    reaper.run(SCRIPT)
    assert words in reaper.console[-1]
    assert reaper.undo == []


def test_an_answer_from_another_port_is_ignored(no_daemon: int) -> None:
    reaper = Reaper(["rain", "4", "1", "", "none"])
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
    reaper = Reaper(["rain; a, b", "2", "2", "A minor", "none"], cursor=3.5)
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
    reaper = Reaper(["strings", "2", "1", "", "context"])
    track = reaper.add_track(select=False)
    path = write_wav(here.sets / "loop.wav", 8)
    reaper.selected_item = reaper.add_item(track, path, D_STARTOFFS=1.0, D_LENGTH=2.0, D_PLAYRATE=1.25)
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
        reaper = Reaper(["drums", "1", "1", "", "none"])
        reaper.project_path = str(folder)
        track = reaper.add_track()
        reaper.run(SCRIPT)
        path = Path(track.children[0].children[0].values["source"].values["path"])
        assert path.parent == place


@pytest.mark.heavy
def test_a_refused_request_is_told_and_adds_nothing(here: Daemon) -> None:
    reaper = Reaper(["rain", "9999", "1", "", "none"])
    track = reaper.add_track()
    reaper.run(SCRIPT)
    assert "bars" in reaper.console[-1]
    assert (track.children, reaper.undo) == ([], [])

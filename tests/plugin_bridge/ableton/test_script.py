"""The Live script in a double of Live, without a daemon: syntax, following, triggers, settings."""

import ast
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_bridge.ableton.AceStep import create_instance, home_files, osc, scales, slots
from plugin_bridge.ableton.AceStep.daemon import Daemon, Listener, SentRequest, read_clip
from plugin_bridge.ableton.AceStep.link import Link
from plugin_bridge.ableton.AceStep.script import AceStep
from tests.support.live.app import App
from tests.support.live.lom import VERSIONS
from tests.support.live.song import SCALES
from tests.support.live.studio import Controller, said

SCRIPT = Path(__file__).parents[3] / "plugin_bridge" / "ableton" / "AceStep"


# --- the sources ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(SCRIPT.glob("*.py")), ids=lambda path: path.name)
def test_the_script_has_the_syntax_of_python_3_7_and_needs_only_its_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 7))
    allowed = {
        "__future__",
        "collections",
        "json",
        "math",
        "os",
        "pathlib",
        "re",
        "shutil",
        "socket",
        "struct",
    }
    allowed |= {"subprocess", "sys", "time", "traceback", "typing", "Live"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {name.name.split(".")[0] for name in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").split(".")[0] in allowed


def _python_3_7() -> str:
    for candidate in sorted(Path("~/.pyenv/versions").expanduser().glob("3.7.*/bin/python")):
        return str(candidate)
    return ""


@pytest.mark.skipif(not _python_3_7(), reason="no Python 3.7 on this machine")
def test_the_script_runs_in_python_3_7(tmp_path: Path) -> None:
    program = (
        "import sys; sys.dont_write_bytecode = True; sys.path[:0] = sys.argv[1:3]\n"
        "from tests.support.live.app import App\nfrom AceStep.script import AceStep\n"
        "app = App('11.3.25'); script = app.load(AceStep); app.run(0.3); app.song.tempo = 93\n"
        "app.run(0.1); app.quit(); assert not app.world.violations, app.world.violations"
    )
    paths = [str(SCRIPT.parents[2]), str(SCRIPT.parent)]
    subprocess.run([_python_3_7(), "-c", program, *paths], check=True, env={**os.environ, "PYTHONPATH": ""})


def test_live_finds_its_door(live: Callable[..., App], monkeypatch: pytest.MonkeyPatch) -> None:
    app = live()
    monkeypatch.setitem(sys.modules, "Live", app.module)
    script = app.load(lambda c_instance, _: create_instance(c_instance))
    for name in ("build_midi_map", "receive_midi", "disconnect", "update_display", "can_lock_to_devices"):
        assert callable(getattr(script, name))


# --- following the set ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("Major", "major"),
        ("Mixolydian", "major"),
        ("Whole Tone", "major"),
        ("Minor", "minor"),
        ("Dorian", "minor"),
        ("Harmonic Minor", "minor"),
        ("Minor Blues", "minor"),
        ("Half-Whole Dim.", ""),  # both thirds, and a name that takes no side
        ("In-Sen", ""),  # no third
    ],
)
def test_the_third_of_the_scale_decides_between_major_and_minor(name: str, mode: str) -> None:
    assert scales.mode(name, SCALES[name]) == mode


def test_the_key_counts_only_while_the_scale_is_switched_on(live: Callable[..., App]) -> None:
    song = live().song
    song.root_note, song.scale_name = 6, "Dorian"
    assert scales.key(song) == ""
    song.scale_mode = True
    assert scales.key(song) == "F# minor"


def test_a_live_without_scale_switch_has_no_key(live: Callable[..., App]) -> None:
    assert scales.key(live("11.3.25").song) == ""


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_the_script_runs_in_every_version_and_leaves_no_listener_behind(
    version: str, live: Callable[..., App]
) -> None:
    app = live(version)
    script = app.load(AceStep)
    app.run(0.05)
    app.song.tempo, app.song.signature_numerator = 127.37, 7
    app.run(0.1)
    assert script.follower.values()["tempo"] == (127.37,)
    assert script.follower.values()["signature"] == (7, 4)
    script.disconnect()
    assert not any(app.song._listeners.values())
    assert not any(app.song.view._listeners.values())


def test_a_missing_daemon_is_told_with_what_to_do(live: Callable[..., App]) -> None:
    app = live()
    script = app.load(AceStep)
    script._guard(lambda: script.generate("rain"))
    assert said(script, "run `acestep serve`")


# --- triggers ---------------------------------------------------------------------------------------


def test_a_controller_can_ask_for_the_state_and_change_settings(
    live: Callable[..., App], controller: Callable[..., Controller]
) -> None:
    app = live()
    script = app.load(AceStep)
    page = controller(app, script)
    assert page.ask("ping")[0] == "/acestep/live/pong"
    page.send("bars", 8)
    page.send("takes", 2.0)
    page.send("where", "arrangement")
    address, (text,) = page.ask("status")
    state = json.loads(text)
    assert address == "/acestep/live/state"
    assert state["request"] == {"bars": 8.0, "takes": 2}
    assert (state["track"], state["song"]["tempo"]) == ("1-Audio", [120.0])


def test_a_controller_that_asked_once_is_told_what_is_selected(
    live: Callable[..., App], controller: Callable[..., Controller]
) -> None:
    app = live()
    script = app.load(AceStep)
    page = controller(app, script)
    page.ask("status")
    app.song.tracks[1].name = "strings"
    app.song.view.user_selects(app.song.tracks[1])
    tracks = []
    while "strings" not in tracks:
        (text,) = page.hear()[1]
        tracks.append(json.loads(text)["track"])


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("nonsense", ()),
        ("bars", ("many",)),
        ("bars", ()),
        ("takes", (1.5,)),
        ("takes", (b"blob",)),
        ("bars", (float("nan"),)),
        ("takes", (float("inf"),)),
        ("where", ("nowhere",)),
        ("preset", (7,)),
        ("generate", ("rain", "bars")),
        ("generate", ("rain", "bpm", 3)),
        ("reference", ()),
        ("prompt", (3,)),
    ],
)
def test_bad_triggers_are_answered_with_what_was_expected(
    name: str, args: tuple[Any, ...], live: Callable[..., App], controller: Callable[..., Controller]
) -> None:
    app = live()
    script = app.load(AceStep)
    page = controller(app, script)
    before = dict(script.request.values)
    if args and isinstance(args[0], bytes):
        page.send_bytes(b"/acestep/live/takes\0,b\0\0\0\0\0\4blob")
        address, answer = page.ask("nonsense")
    else:
        address, answer = page.ask(name, *args)
    assert (address, answer[0]) == ("/acestep/live/error", "refused")
    assert script.request.values == before


def test_foreign_and_malformed_datagrams_change_nothing(
    live: Callable[..., App], controller: Callable[..., Controller]
) -> None:
    app = live()
    script = app.load(AceStep)
    page = controller(app, script)
    for packet in (
        b"",
        b"\0",
        b"GET / HTTP/1.1\r\n",
        b"#bundle\0",
        os.urandom(3000),
        b"/acestep/live/bars\0\0,i\0\0",
    ):
        page.send_bytes(packet)
    forged = osc.encode("/acestep/clip", "job", "/etc/passwd", 120.0, "4/4", "", 4.0, 0.0)
    page.send_bytes(forged)  # an answer of the daemon, but not from the daemon's port
    page.ask("ping")
    assert not script._insertions
    assert script.request.values == {"bars": 4.0, "takes": 1}


def test_a_thousand_messages_in_a_burst_end_with_the_last_value(
    live: Callable[..., App], controller: Callable[..., Controller]
) -> None:
    app = live()
    script = app.load(AceStep)
    page = controller(app, script)

    def burst() -> None:
        for number in range(1000):
            page.send("strength", number / 1000)

    sender = threading.Thread(target=burst)
    sender.start()
    app.run_until(lambda: not sender.is_alive(), 10)
    page.send("strength", 1.0)
    app.run_until(lambda: script.request.values.get("strength") == 1.0, 10)


def test_midi_notes_and_controllers_do_what_the_settings_say(
    live: Callable[..., App], live_home: Path
) -> None:
    (live_home / "presets.json").write_text(
        json.dumps([{"name": "one", "prompt": "rain"}, {"prompt": "wind"}])
    )
    (live_home / "live.json").write_text(
        json.dumps(
            {
                "midi": [
                    {"action": "next_preset", "type": "note", "channel": 10, "number": 36},
                    {"action": "strength", "type": "cc", "number": 20},
                    {"action": "preset", "type": "cc", "number": 21},
                    {"action": "fly", "type": "cc", "number": 22},
                ]
            }
        )
    )
    app = live()
    script = app.load(AceStep)
    assert app.forwarded == [("note", 9, 36), ("cc", 0, 20), ("cc", 0, 21)]
    assert any("midi" in line for line in script.c.log)
    script.receive_midi((0x99, 36, 100))
    assert script.request.preset["name"] == "one"
    script.receive_midi((0x99, 36, 0))
    script.receive_midi((0x99, 36, 100))
    assert script.request.preset["name"] == "preset 2"
    script.receive_midi((0xB0, 20, 127))
    assert script.request.values["strength"] == 1.0
    script.receive_midi((0xB0, 21, 0))
    assert script.request.preset["name"] == "one"
    script.receive_midi((0xF8,))
    script.receive_midi((0x90, 1, 1))


def test_a_held_note_triggers_once(live: Callable[..., App], live_home: Path) -> None:
    midi = {"midi": [{"action": "next_preset", "type": "cc", "number": 1}]}
    (live_home / "live.json").write_text(json.dumps(midi))
    (live_home / "presets.json").write_text(json.dumps([{"prompt": str(number)} for number in range(5)]))
    script = live().load(AceStep)
    for value in (64, 90, 127, 100):
        script.receive_midi((0xB0, 1, value))
    assert script.request.preset["prompt"] == "0"


class Deaf(Listener):
    """Hears everything, does nothing."""


VALUES = st.one_of(
    st.integers(), st.floats(), st.text(max_size=30), st.booleans(), st.none(), st.binary(max_size=9)
)


@given(st.lists(st.tuples(st.sampled_from(sorted(Daemon._HEARS)), st.lists(VALUES, max_size=8)), max_size=8))
def test_a_daemon_that_talks_nonsense_is_borne(messages: list[tuple[str, list[Any]]]) -> None:
    link = Link("127.0.0.1", 0)
    daemon = Daemon(link, lambda: ("127.0.0.1", 9), Deaf())
    daemon.jobs["job"] = SentRequest(("x",), "", None)
    for address, args in messages:
        daemon.hear(address, tuple(args))
        daemon.hear(address, ("job", *args))
    daemon.tick(1.0)
    link.close()


@pytest.mark.parametrize(
    "args",
    [
        ("j", "/a.wav", 0.0, "4/4", "", 4.0, 0.0),
        ("j", "/a.wav", 120.0, "4/0", "", 4.0, 0.0),
        ("j", "/a.wav", 120.0, "waltz", "", 4.0, 0.0),
        ("j", "/a.wav", 120.0, "4/4", "", float("inf"), 0.0),
        ("j", "/a.wav", float("nan"), "4/4", "", 4.0, 0.0),
        ("j", "/a.wav"),
    ],
)
def test_a_clip_that_cannot_be_is_not_read(args: tuple[Any, ...]) -> None:
    assert read_clip(args) is None


# --- settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["{", "[]", '"x"', '{"port": "many"}', '{"unknown": 1}', '{"request": {"bars": "x"}}']
)
def test_broken_settings_are_told_and_ignored(text: str, live_home: Path, live: Callable[..., App]) -> None:
    (live_home / "live.json").write_text(text)
    script = live().load(AceStep)
    assert any("live.json" in line for line in script.c.log)
    assert script.link.port


def test_a_host_beyond_loopback_needs_an_allow_list(live_home: Path, live: Callable[..., App]) -> None:
    (live_home / "live.json").write_text(json.dumps({"host": "0.0.0.0"}))
    script = live().load(AceStep)
    assert script.link._socket.getsockname()[0] == "127.0.0.1"
    assert said(script, "allow")


def test_the_script_finds_the_same_home_as_the_daemon(
    live_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platformdirs = pytest.importorskip("platformdirs")
    assert home_files.home() == Path(os.environ["ACESTEP_HOME"])
    monkeypatch.delenv("ACESTEP_HOME")
    for xdg in ("", "/data"):
        monkeypatch.setenv("XDG_DATA_HOME", xdg)
        assert home_files.home() == Path(platformdirs.user_data_dir("acestep", appauthor=False))


def test_two_scripts_share_a_live_on_ports_of_their_own(live: Callable[..., App]) -> None:
    app = live()
    first, second = app.load(AceStep), app.load(AceStep)
    assert first.link.port != second.link.port
    app.run(0.05)


def test_prompts_come_from_what_was_said_last_then_from_names(
    live: Callable[..., App], live_home: Path
) -> None:
    (live_home / "presets.json").write_text(
        json.dumps([{"name": "p", "prompt": "from the preset", "bars": 2}])
    )
    app = live()
    script = app.load(AceStep)
    request, song = script.request, app.song
    with pytest.raises(slots.Refused, match="name the track"):
        request.words(song, song.tracks[0])  # "1-Audio" says nothing
    song.tracks[0].name = "dusty drums"
    assert request.words(song, song.tracks[0]) == "dusty drums"
    request.choose("p")
    assert request.words(song, song.tracks[0]) == "from the preset"
    request.prompt = "typed"
    assert request.words(song, song.tracks[0]) == "typed"
    request.source = "track"
    assert request.words(song, song.tracks[0]) == "dusty drums"

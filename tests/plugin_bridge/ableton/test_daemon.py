"""The real Live script in the double of Live against the real daemon, over real sockets."""

import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugin_bridge import Bridge
from plugin_bridge.ableton.AceStep.script import AceStep
from tests.support.live.app import App
from tests.support.live.daemon import Daemon, finished
from tests.support.live.lom import VERSIONS
from tests.support.live.studio import Controller, said, write_wav

pytestmark = pytest.mark.heavy

JOB_S = 200.0  # only ever reached by a test that fails

MAIN = "from server.cli.acestep import main; sys.exit(main())"


@pytest.fixture
def live_home(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script's home is the daemon's; that is how it finds the port."""
    monkeypatch.setenv("ACESTEP_HOME", str(daemon.home))
    return daemon.home


def connected(app: App) -> Any:
    script = app.load(AceStep)
    app.run_until(lambda: script.daemon.up and script.daemon.state, 60)
    return script


def idle(script: Any) -> bool:
    return not (script._insertions or script.daemon.jobs or script.daemon.asked)


def clips_of(app: App, track: int = 0) -> list[Any]:
    return [slot.clip for slot in app.song.tracks[track].clip_slots if slot.has_clip]


def request_of(daemon: Daemon, job: str) -> dict[str, Any]:
    with Bridge(daemon.address) as bridge:
        (found,) = [item for item in bridge.jobs() if item.id == job]
    request: dict[str, Any] = json.loads(found.request_json)
    return request


def accepted_job(app: App, script: Any) -> str:
    app.run_until(lambda: script.daemon.jobs, 60)
    return str(next(iter(script.daemon.jobs)))


def settings_in_daemon(app: App, script: Any) -> dict[str, Any]:
    script.daemon.state = {}
    script.daemon._beat_at = float("-inf")  # ask for the state now
    app.run_until(lambda: script.daemon.state, 60)
    settings: dict[str, Any] = script.daemon.state["session"]["settings"]
    return settings


@pytest.mark.parametrize("version", [name for name in sorted(VERSIONS) if name not in ("11.0.12", "12.0.0")])
def test_from_trigger_to_clips_in_their_slots(
    version: str, live: Callable[..., App], controller: Callable[..., Controller]
) -> None:
    app = live(version)
    song, track = app.song, app.song.tracks[0]
    song.tempo, song.signature_numerator, song.signature_denominator = 127.37, 7, 8
    if version >= "12.0.5":
        song.root_note, song.scale_name, song.scale_mode = 9, "Dorian", True
    track.name = "dusty breakbeat"
    script = connected(app)
    steps = len(app.world.undo_steps)
    page = controller(app, script)
    page.send("generate", "", "bars", 2, "takes", 2)
    app.run_until(lambda: len(clips_of(app)) == 2 and idle(script), JOB_S)
    for number, clip in enumerate(clips_of(app), 1):
        assert clip.sample_length == round(2 * 3.5 * 60 / 127.37 * 48_000)
        assert (clip.warping, clip.looping) == (True, True)
        assert (clip.loop_start, clip.loop_end) == (0, pytest.approx(7))
        real = list(clip.warp_markers)[:-1]
        assert real[-1].beat_time * 60 / real[-1].sample_time == pytest.approx(127.37, rel=1e-5)
        assert "dusty breakbeat" in clip.name
        assert ("t2" in clip.name) == (number == 2)
        assert (clip.signature_numerator, clip.signature_denominator) == (7, 8)
    assert len(app.world.undo_steps) == steps + 2
    song.undo()
    song.undo()
    assert clips_of(app) == []


def test_the_sets_changes_reach_the_daemon_and_a_burst_ends_with_the_last(live: Callable[..., App]) -> None:
    app = live()
    script = connected(app)
    for number in range(1000):
        app.song.tempo = 60 + number / 10
    app.song.signature_numerator = 3
    app.song.root_note, app.song.scale_name, app.song.scale_mode = 2, "Minor", True
    app.run(0.2)
    told = settings_in_daemon(app, script)
    assert (told["bpm"], told["signature"], told["key"]) == (159.9, "3/4", "D minor")


def test_a_tempo_change_during_the_job_leaves_the_clip_warped_at_its_own(live: Callable[..., App]) -> None:
    app = live()
    script = connected(app)
    app.song.tempo = 100.0
    script.generate("slow pad", {"bars": 1})
    accepted_job(app, script)
    app.song.tempo = 140.0
    app.run_until(lambda: clips_of(app) and not script._insertions, JOB_S)
    (clip,) = clips_of(app)
    end = list(clip.warp_markers)[1]
    assert (end.beat_time, end.beat_time * 60 / end.sample_time) == (4.0, pytest.approx(100, rel=1e-5))


def test_a_clip_becomes_reference_and_context_in_one_gesture(
    live: Callable[..., App], controller: Callable[..., Controller], daemon: Daemon, tmp_path: Path
) -> None:
    app = live()
    script = connected(app)
    page = controller(app, script)
    page.send("generate", "loop", "bars", 2)
    app.run_until(lambda: clips_of(app) and idle(script), JOB_S)
    (clip,) = clips_of(app)
    clip.loop_end = 4.0
    app.song.view.user_selects(app.song.tracks[0])
    app.song.tempo = 90.0  # Live stretches the clip, its file stays at 120
    page.send("context", 1)
    job = accepted_job(app, script)
    asked = request_of(daemon, job)
    assert asked["context"] == {"path": clip.file_path, "start_s": 0, "end_s": pytest.approx(2.0)}
    assert (asked["bpm"], asked["bars"], asked["task"]) == (pytest.approx(120), pytest.approx(1), "complete")
    page.send("clear")
    page.send("reference")
    app.run_until(lambda: script.request.reference and not script.request.context, 5)
    page.send("cancel")
    app.run_until(lambda: not script.daemon.jobs, JOB_S)


def test_settings_of_the_script_reach_the_request_and_its_file(
    live: Callable[..., App], controller: Callable[..., Controller], daemon: Daemon
) -> None:
    app = live()
    script = connected(app)
    page = controller(app, script)
    for name, value in (("swing", 1.5), ("fit", 0), ("guide", 0), ("stages", "l, m"), ("format", "flac")):
        page.send(name, value)
    page.send("generate", "loop", "bars", 1)
    asked = request_of(daemon, accepted_job(app, script))
    assert (asked["swing"], asked["fit"], asked["guide"]) == (1.5, False, False)
    assert (asked["stages"], asked["format"]) == (["l", "m"], "flac")
    app.run_until(lambda: clips_of(app) and idle(script), JOB_S)
    (clip,) = clips_of(app)
    assert clip.file_path.endswith(".flac")
    assert page.ask("fit", 0.5)[0] == "/acestep/live/error"


def test_a_cancelled_job_leaves_no_clip(live: Callable[..., App], daemon: Daemon) -> None:
    app = live()
    script = connected(app)
    script.generate("long", {"bars": 64})
    job = accepted_job(app, script)
    script.cancel()
    app.run_until(lambda: not script.daemon.jobs, JOB_S)
    assert said(script, "cancelled")
    assert clips_of(app) == []
    assert finished(daemon, job)


def test_clips_go_beside_a_saved_set_where_the_daemon_may_write(
    live: Callable[..., App], daemon: Daemon, tmp_path: Path
) -> None:
    app = live()
    script = connected(app)
    allowed, forbidden = daemon.sets / "song Project", tmp_path / "elsewhere Project"
    for folder in (allowed, forbidden):
        folder.mkdir()
        app.song.user_saves(str(folder / "song.als"))
        count = len(clips_of(app))
        script.generate("drums", {"bars": 1})
        app.run_until(lambda: len(clips_of(app)) > count and not script._insertions, JOB_S)  # noqa: B023
    beside, in_samples = (Path(clip.file_path) for clip in clips_of(app))
    assert beside.parent == allowed / "Samples" / "ACE-Step"
    assert in_samples.parent == daemon.samples
    assert said(script, "samples folder")
    assert list(forbidden.iterdir()) == []


@pytest.mark.parametrize("what", ["track", "scene", "frozen"])
def test_a_place_that_is_gone_when_the_clip_comes_is_told(what: str, live: Callable[..., App]) -> None:
    app = live()
    script = connected(app)
    track = app.song.tracks[0]
    script.generate("drums", {"bars": 1})
    accepted_job(app, script)
    if what == "track":
        app.song.user_deletes_track(track)
    elif what == "scene":
        app.song.user_deletes_scene(0)
    else:
        track.user_freezes()
    app.run_until(lambda: idle(script), JOB_S)
    words = {"track": "track was deleted", "scene": "slot was deleted", "frozen": "frozen"}[what]
    app.run_until(lambda: said(script, words), 5)
    assert app.world.undo_steps == []


def test_two_lives_at_once_get_their_own_clips(daemon: Daemon, live_home: Path) -> None:
    found: dict[str, list[str]] = {}
    violations: list[str] = []

    def one_live(words: str, bpm: float) -> None:
        app = App()
        script = connected(app)
        app.song.tempo = bpm
        script.generate(words, {"bars": 1})
        app.run_until(lambda: clips_of(app) and idle(script), JOB_S)
        app.run(0.3)
        found[words] = [clip.file_path for clip in clips_of(app)]
        violations.extend(app.world.violations)
        app.quit()

    threads = [threading.Thread(target=one_live, args=args) for args in (("left", 90.0), ("right", 110.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert violations == []
    assert {words: [words in path for path in paths] for words, paths in found.items()} == {
        "left": [True],
        "right": [True],
    }


def test_live_quits_while_a_job_runs(live: Callable[..., App], daemon: Daemon) -> None:
    app = live()
    script = connected(app)
    script.generate("the end", {"bars": 1})
    job = accepted_job(app, script)
    app.quit()
    other = live()
    connected(other)
    other.run_until(lambda: finished(daemon, job), JOB_S)
    assert any("the-end" in path.name for path in daemon.samples.iterdir())


def test_a_forged_clip_from_another_port_is_ignored(
    live: Callable[..., App], controller: Callable[..., Controller], tmp_path: Path
) -> None:
    app = live()
    script = connected(app)
    script.generate("drums", {"bars": 1})
    job = accepted_job(app, script)
    path = write_wav(tmp_path / "forged.wav", 2)
    text = [job, path, "4/4", "", ",ssfssff"]
    raw = [item.encode() + b"\0" * (4 - len(item) % 4) for item in text]
    packet = b"/acestep/clip\0\0\0" + raw[4] + raw[0] + raw[1] + struct.pack(">f", 120.0) + raw[2] + raw[3]
    controller(app, script).send_bytes(packet + struct.pack(">ff", 1.0, 0.0))
    app.run_until(lambda: clips_of(app) and not script.daemon.jobs, JOB_S)
    assert path not in [clip.file_path for clip in clips_of(app)]


def test_a_daemon_that_is_killed_is_missed_and_found_again(live: Callable[..., App], daemon: Daemon) -> None:
    app = live()
    script = connected(app)
    app.song.tempo = 96.0
    script.generate("long", {"bars": 64})
    accepted_job(app, script)
    daemon.kill()
    app.run_until(lambda: said(script, "run `acestep serve`"), 60)
    starting = threading.Thread(target=daemon.start)
    starting.start()
    app.run_until(lambda: said(script, "is back"), JOB_S)
    starting.join()
    app.run_until(lambda: not script.daemon.jobs, 60)
    assert said(script, "was lost")
    assert settings_in_daemon(app, script)["bpm"] == 96.0
    script.generate("after", {"bars": 1})
    app.run_until(lambda: clips_of(app), JOB_S)


def test_a_quick_restart_is_noticed_by_the_lost_session(live: Callable[..., App], daemon: Daemon) -> None:
    app = live()
    script = connected(app)
    app.song.tempo = 97.0
    app.run(0.2)
    daemon.stop()
    daemon.start()
    script.daemon._heard_at = script.daemon._now  # as if it had been down for less than a heartbeat
    script.daemon._beat_at = float("-inf")
    app.run_until(lambda: settings_in_daemon(app, script).get("bpm") == 97.0, 60)


def test_the_script_starts_the_daemon(
    live: Callable[..., App], daemon: Daemon, live_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.stop()
    program = "import sys; sys.path.insert(0, sys.argv.pop(1))\n" + MAIN
    python_path = daemon.environment["PYTHONPATH"]
    command = [sys.executable, "-c", program, python_path, *daemon.command[3:]]
    (live_home / "live.json").write_text(json.dumps({"daemon": command}))
    try:
        app = live()
        script = app.load(AceStep)
        script.start_daemon()
        app.run_until(lambda: script.daemon.up, JOB_S)
        script.start_daemon()
        assert said(script, "there already")
        app.quit()
        os.kill(json.loads((live_home / "daemon.json").read_text())["pid"], 0)  # it outlives Live
    finally:
        (live_home / "live.json").unlink()
        daemon.stop()
        daemon.start()


def test_a_daemon_of_another_wire_version_is_refused_with_the_fix(
    live: Callable[..., App], daemon: Daemon
) -> None:
    daemon.stop()
    program = "import sys, protos; protos.WIRE_VERSION = '99'\n" + MAIN
    daemon.start([sys.executable, "-c", program, *daemon.command[3:]])
    try:
        app = live()
        script = app.load(AceStep)
        app.run_until(lambda: said(script, "wire version 99"), 60)
        assert said(script, "plugin-bridge install live")
        script._guard(lambda: script.generate("x"))
        assert not script.daemon.jobs
        assert not script.daemon.asked
    finally:
        daemon.stop()
        daemon.start()


def test_nothing_listens_beyond_loopback(live: Callable[..., App]) -> None:
    script = connected(live())
    host: str = script.link._socket.getsockname()[0]
    assert socket.inet_aton(host)[0] == 127


def test_ideas_come_in_a_track_a_part_and_a_scene_an_idea_and_a_part_is_made_anew(
    live: Callable[..., App], controller: Callable[..., Controller], daemon: Daemon
) -> None:
    app = live(tracks="audio midi audio", scenes=3)
    song = app.song
    song.tempo = 100.0
    song.tracks[2].name = "3 Bass"
    script = connected(app)
    steps = len(app.world.undo_steps)
    page = controller(app, script)
    page.send("midi", 1)
    page.send("generate", "boom bap", "parts", "drums, bass", "bars", 1, "takes", 2)
    app.run_until(lambda: len(clips_of(app, 2)) == 2 and idle(script), JOB_S)
    assert [track.name for track in song.tracks[3:]] == ["drums"]
    for row in range(2):
        pair = [song.tracks[number].clip_slots[row].clip for number in (2, 3)]
        assert ["bass" in pair[0].name, "drums" in pair[1].name] == [True, True]
        assert {clip.loop_end for clip in pair} == {4.0}
        assert all(Path(clip.file_path).with_suffix(".mid").is_file() for clip in pair)
    assert song.view.selected_track is song.tracks[0]
    assert len(app.world.undo_steps) == steps + 2  # one an idea

    song.tempo = 140.0  # the idea keeps its own
    song.view.user_selects(song.tracks[2])
    page.send("redo")
    app.run_until(lambda: len(clips_of(app, 2)) == 3 and idle(script), JOB_S)
    anew = song.tracks[2].clip_slots[2].clip
    told = [json.loads(Path(clip.file_path + ".json").read_text()) for clip in (clips_of(app, 2)[0], anew)]
    assert [one["idea"]["part"] for one in told] == ["bass", "bass"]
    assert told[0]["idea"]["id"] == told[1]["idea"]["id"]
    assert told[1]["request"]["bpm"] == 100
    for _ in ("the part", "the tempo", "the second idea"):
        song.undo()
    assert len(clips_of(app, 2)) == 1
    assert len(clips_of(app, 3)) == 1


def test_the_clips_of_a_group_are_sent_as_one_context(
    live: Callable[..., App], controller: Callable[..., Controller], daemon: Daemon, tmp_path: Path
) -> None:
    app = live(tracks="group audio audio audio")
    group, *inside, outside = app.song.tracks
    short = write_wav(daemon.sets / "drums.wav", 2)
    long = write_wav(daemon.sets / "bass.wav", 4)
    for track, path in zip(inside, (short, long), strict=True):
        track.user_puts_into(group)
        clip = track.clip_slots[1].create_audio_clip(path)
        app.run(0.02)
        clip.looping, clip.loop_start, clip.loop_end = False, 0.0, clip.sample_length / 48_000
    outside.clip_slots[1].create_audio_clip(write_wav(daemon.sets / "pad.wav", 4))
    script = connected(app)
    page = controller(app, script)
    app.song.view.user_selects(group, 1)
    page.send("context")
    app.run_until(lambda: len(script.request.context) == 2, 10)
    app.song.view.user_selects(outside, 0)
    page.send("generate", "lead", "bars", 2)
    asked = request_of(daemon, accepted_job(app, script))
    assert asked["context"] == {
        "path": long,
        "start_s": 0,
        "end_s": pytest.approx(4.0),
        "plus": [{"path": short, "start_s": 0, "end_s": pytest.approx(2.0)}],
    }
    page.send("cancel")
    app.run_until(lambda: not script.daemon.jobs, JOB_S)

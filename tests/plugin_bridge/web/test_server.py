"""The page's server against a daemon, without a browser: what open pages are told, and what they can ask."""

import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.page import Page, connect, daemon_is, finished, run_in, until

pytest.importorskip("starlette")


from plugin_bridge.web.setup import installed_bridges
from tests.support.daemons import HELD, QUICK, Process, StandIn, running, settings


@pytest.fixture
def engine() -> StandIn:
    return StandIn()


@pytest.fixture
def address(tmp_path: Path, engine: StandIn) -> Iterator[str]:
    with running(settings(tmp_path, allowed_folders=(tmp_path,)), engine) as daemon:
        yield f"127.0.0.1:{daemon.grpc.port}"


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    with Page(address) as found:
        yield found


def test_a_run_is_told_from_sending_to_its_clips(page: Page) -> None:
    with connect(page) as socket:
        until(socket, daemon_is(True))
        page.generate(takes=2, seed=5)
        assert until(socket, run_in("queued"))["run"]["seed"] == 5
        running_ = until(socket, run_in("running"))["run"]
        assert (running_["stage"], running_["fraction"]) == ("m", 0.5)
        done = until(socket, run_in("done"))["run"]
    assert [clip["take"] for clip in done["clips"]] == [0, 1]
    assert "sidecar_json" not in done["clips"][0]


def test_a_tab_hears_nothing_of_another_tabs_runs_but_sees_the_queue(page: Page) -> None:
    with connect(page, "a") as mine, connect(page, "b") as other:
        until(other, daemon_is(True))
        finished(page, mine, tab="a")
        page.generate("b", "its own")
        messages = []
        while not (messages and run_in("done")(messages[-1])):
            messages.append(json.loads(other.receive_text()))
        until(other, lambda m: m["kind"] == "jobs" and "rain" in [job["prompt"] for job in m["jobs"]])
    assert {m["run"]["prompt"] for m in messages if m["kind"] == "run"} == {"its own"}


def test_a_tab_that_is_opened_again_sees_its_runs(page: Page) -> None:
    with connect(page) as socket:
        finished(page, socket)
    with connect(page) as socket:
        assert [run["state"] for run in until(socket, lambda m: m["kind"] == "runs")["runs"]] == ["done"]
    with connect(page, "b") as socket:
        assert until(socket, lambda m: m["kind"] == "runs")["runs"] == []


def test_a_refused_request_shows_the_daemons_own_words(page: Page) -> None:
    with connect(page) as socket:
        until(socket, daemon_is(True))
        page.generate(bpm=5000.0)
        failed = until(socket, run_in("failed"))["run"]
    assert failed["reason"] == "invalid_request"
    assert "30–300" in failed["message"]


def test_a_running_job_is_cancelled_and_leaves_no_clip(page: Page, engine: StandIn, tmp_path: Path) -> None:
    engine.hold.clear()
    with connect(page) as socket:
        until(socket, daemon_is(True))
        page.generate()
        run = until(socket, run_in("running"))["run"]
        assert page.post("/bridge/runs/cancel", run=run["id"]).status_code == 200
        assert until(socket, run_in("cancelled"))["run"]["clips"] == []
    assert list((tmp_path / "samples").glob("*.wav")) == []


def test_a_preview_is_there_while_the_take_is_made(page: Page, engine: StandIn) -> None:
    with connect(page) as socket:
        until(socket, daemon_is(True))
        page.generate()
        heard = until(socket, lambda m: m["kind"] == "audio")
        assert (heard["take"], heard["bytes"]) == (0, 100 * 2 * 4)
        until(socket, run_in("done"))
    assert page.client.get(f"/bridge/preview/{heard['run']}/0").status_code == 204


def test_a_clip_can_be_heard_and_downloaded_and_its_sidecar_read(page: Page) -> None:
    with connect(page) as socket:
        clip = finished(page, socket)[0]
    audio = page.client.get("/bridge/audio", params={"clip": clip["path"]})
    assert audio.content == Path(clip["path"]).read_bytes()
    loaded = page.client.get("/bridge/audio", params={"clip": clip["path"], "download": ""})
    assert clip["name"] in loaded.headers["content-disposition"]
    sidecar = page.client.get("/bridge/sidecar", params={"clip": clip["path"]}).json()
    assert sidecar["request"]["prompt"] == "rain"


@pytest.mark.parametrize("path", ["/etc/passwd", "", "../../etc/passwd"])
def test_only_clips_of_the_library_are_served(page: Page, path: str, tmp_path: Path) -> None:
    with connect(page) as socket:
        finished(page, socket)
    for route in ("audio", "sidecar"):
        assert page.client.get(f"/bridge/{route}", params={"clip": path}).status_code == 404


def test_search_stars_trash_and_undo(page: Page) -> None:
    with connect(page) as socket:
        [clip] = finished(page, socket, prompt="dusty break", bpm=92.5, takes=1)
        found = page.client.get("/bridge/clips", params={"words": "dusty", "bpm_max": "100"}).json()
        assert [one["path"] for one in found] == [clip["path"]]
        assert page.client.get("/bridge/clips", params={"bpm_min": "100"}).json() == []
        assert page.post("/bridge/clips/star", clip=clip["path"], starred=True).json()["starred"]
        assert len(page.client.get("/bridge/clips", params={"starred": "true"}).json()) == 1
        gone = page.post("/bridge/clips/trash", clip=clip["path"]).json()
        told = until(socket, lambda m: m["kind"] == "library" and m["action"] == "trash")
        assert told["was"] == clip["path"]
        assert page.client.get("/bridge/clips").json() == []
        assert [one["path"] for one in page.client.get("/bridge/clips?trashed=true").json()] == [gone["path"]]
        page.post("/bridge/clips/restore", clip=gone["path"])
        assert [one["path"] for one in page.client.get("/bridge/clips").json()] == [clip["path"]]
    assert page.client.get("/bridge/audio", params={"clip": clip["path"]}).status_code == 200


def test_clips_are_renamed_and_tagged_and_every_tab_hears_of_it(page: Page) -> None:
    with connect(page) as socket, connect(page, "b") as other:
        clip, taken = finished(page, socket, takes=2)
        tagged = page.post("/bridge/clips/tag", clip=clip["path"], tags=["groove", "live"]).json()
        assert tagged["tags"] == ["groove", "live"]
        renamed = page.post("/bridge/clips/rename", clip=clip["path"], name="slap.wav").json()
        assert (renamed["name"], renamed["tags"]) == ("slap.wav", ["groove", "live"])
        told = until(other, lambda m: m["kind"] == "library" and m["action"] == "rename")
        assert (told["was"], told["clip"]) == (clip["path"], renamed)
        shown = until(socket, lambda m: run_in("done")(m) and m["run"]["clips"][0]["name"] == "slap.wav")
        assert [one["path"] for one in shown["run"]["clips"]] == [renamed["path"], taken["path"]]
    found = page.client.get("/bridge/clips", params={"words": "groove"}).json()
    assert [one["path"] for one in found] == [renamed["path"]]
    assert page.client.get("/bridge/audio", params={"clip": renamed["path"]}).status_code == 200
    assert page.client.get("/bridge/audio", params={"clip": clip["path"]}).status_code == 404
    for name, why in (("slap", "already_exists"), ("a/b", "invalid_request"), ("", "invalid_request")):
        answer = page.post("/bridge/clips/rename", clip=taken["path"], name=name)
        assert answer.json()["reason"] == why
    for tags in ("groove", None, [5], ["a,b"]):
        answer = page.post("/bridge/clips/tag", clip=taken["path"], tags=tags)
        assert (answer.status_code, answer.json()["reason"]) == (400, "invalid_request")


@pytest.mark.parametrize("query", ["bpm_min=fast", "limit=x"])
def test_a_search_that_makes_no_sense_is_refused(page: Page, query: str) -> None:
    answer = page.client.get(f"/bridge/clips?{query}")
    assert (answer.status_code, answer.json()["reason"]) == (400, "invalid_request")


def test_a_broken_file_is_refused_in_the_daemons_words_and_a_good_one_taken(page: Page) -> None:
    refused = page.client.post("/bridge/upload?name=broken.wav", content=b"RIFF no audio at all")
    assert refused.status_code == 400
    assert refused.json()["reason"] == "unreadable_audio"
    with connect(page) as socket:
        clip = finished(page, socket)[0]
    taken = page.client.post("/bridge/upload?name=../good.wav", content=Path(clip["path"]).read_bytes())
    assert taken.json()["path"].startswith("upload:")
    assert taken.json()["duration_s"] == pytest.approx(0.1)


def test_status_names_the_daemon(page: Page, address: str) -> None:
    with connect(page) as socket:
        until(socket, daemon_is(True))
    told = page.client.get("/bridge/status").json()
    assert (told["up"], told["address"], told["local"]) == (True, address, True)
    assert told["status"]["wire_version"] == "1"


def test_a_killed_daemon_shows_heals_and_its_run_says_so(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with Process(made, script=HELD) as first:
        port = first.grpc_port
        with Page(f"127.0.0.1:{port}") as page, connect(page) as socket:
            until(socket, daemon_is(True))
            page.generate(prompt="lost")
            until(socket, run_in("running"))
            first.kill()
            until(socket, daemon_is(False))
            with Process(made, "--grpc-port", str(port), script=QUICK):
                lost = until(socket, run_in("failed", "cancelled", "done"))["run"]
                assert (lost["prompt"], lost["state"], lost["reason"]) == ("lost", "failed", "interrupted")
                page.generate(prompt="after")
                assert until(socket, run_in("done"))["run"]["clips"]


def test_without_a_daemon_the_page_says_how_to_start_one(tmp_path: Path) -> None:
    with Page("127.0.0.1:9") as page, connect(page) as socket:
        told = until(socket, lambda m: m["kind"] == "daemon" and "acestep serve" in m["message"])
        assert not told["up"]
        page.generate()
        assert until(socket, run_in("failed"))["run"]["reason"] == "unavailable"
        assert page.client.get("/bridge/clips").status_code == 503


def test_what_lora_studio_says_of_a_folder_without_audio_is_shown(page: Page, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with connect(page) as socket:
        until(socket, daemon_is(True))
        assert page.client.portal is not None
        page.client.portal.call(page.parts.studio.prepare, str(tmp_path / "empty"))
        ended = until(socket, lambda m: m["kind"] == "train" and m["state"] != "running")
        while ended["state"] == "idle":
            ended = until(socket, lambda m: m["kind"] == "train" and m["state"] not in ("running", "idle"))
    assert ended["state"] == "failed"
    assert ended["error"]


def test_lora_studios_events_become_a_curve_and_a_result(page: Page, tmp_path: Path) -> None:
    studio = page.parts.studio
    (tmp_path / "mine" / "previews").mkdir(parents=True)
    (tmp_path / "mine" / "previews" / "1_after.wav").write_bytes(b"audio")
    (tmp_path / "secret.txt").write_text("no")
    tick = {"event": "tick", "stage": "l", "step": 30, "total_steps": 400, "loss": 0.5, "validation": 0.4}
    studio.take(json.dumps(tick))
    studio.take("words for people")
    studio.take("{ not an event")
    studio.take(
        json.dumps({"event": "done", "name": "mine", "folder": str(tmp_path / "mine"), "summary": {}})
    )
    told = studio.message()
    assert [tick["loss"] for tick in told["ticks"]] == [0.5]
    assert (told["progress"]["done"], told["progress"]["total"]) == (30, 400)
    assert told["lines"] == ["words for people", "{ not an event"]
    assert told["result"]["files"] == ["previews/1_after.wav"]
    assert page.client.get("/bridge/train/file?name=previews/1_after.wav").content == b"audio"
    assert page.client.get("/bridge/train/file?name=../secret.txt").status_code == 404


def test_files_of_the_folder_that_was_looked_at_can_be_heard_and_no_others(
    page: Page, tmp_path: Path
) -> None:
    tone = np.sin(np.arange(4_800) / 10)
    for name in ("kick.wav", "snare.aiff", "elsewhere.wav"):
        soundfile.write(tmp_path / name, tone, 48_000)
    found = [{"path": name} for name in ("kick.wav", "snare.aiff")]
    page.parts.studio.take(json.dumps({"event": "dataset", "root": str(tmp_path), "samples": found}))
    for name in ("kick.wav", "snare.aiff"):
        heard = page.client.get("/bridge/train/source", params={"name": name})
        assert heard.content[:4] == b"RIFF"
        assert soundfile.info(io.BytesIO(heard.content)).frames == 4_800
    for name in ("elsewhere.wav", "../secret.wav", ""):
        assert page.client.get("/bridge/train/source", params={"name": name}).status_code == 404


def test_folders_are_listed_without_hidden_ones(page: Page, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for name in ("drums", ".secret"):
        (mine / name).mkdir(parents=True)
    (mine / "a.wav").touch()
    told = page.client.get("/bridge/folders", params={"path": str(mine)}).json()
    assert (told["folders"], told["audio"]) == (["drums"], 1)
    assert page.client.get("/bridge/folders", params={"path": str(mine / ".secret")}).status_code == 404


def test_installed_bridges_are_asked_of_the_command() -> None:
    says = [{"name": "live", "title": "Ableton Live", "installed": True, "where": "/x"}]
    told, trouble = installed_bridges((sys.executable, "-c", f"print({json.dumps(json.dumps(says))})"))
    assert trouble == ""
    assert (told[0]["installed"], told[0]["install"]) == (True, "plugin-bridge install live")
    told, trouble = installed_bridges((sys.executable, "-c", "raise SystemExit('no such thing')"))
    assert (told, "no such thing" in trouble) == ([], True)


def test_a_finished_clip_reaches_the_page_at_once(page: Page, engine: StandIn) -> None:
    with connect(page) as socket:
        until(socket, daemon_is(True))
        engine.hold.clear()
        page.generate()
        until(socket, run_in("running"))
        released = time.monotonic()
        engine.hold.set()
        until(socket, lambda m: m["kind"] == "run" and bool(m["run"]["clips"]))
        print(f"from the engine's end to the page's message: {1000 * (time.monotonic() - released):.0f} ms")

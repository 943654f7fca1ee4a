"""What the page's form offers, sends, and is filled with again, over HTTP and without a browser."""

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("starlette")

from plugin_bridge.web.fields import DEFAULTS
from protos.table import SETTINGS
from tests.support.daemons import StandIn, running, settings
from tests.support.page import Page, connect, daemon_is, finished, run_in, until


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("form")
    with (
        running(settings(folder, allowed_folders=(folder,)), StandIn()) as daemon,
        Page(f"127.0.0.1:{daemon.grpc.port}") as found,
    ):
        yield found


def form(page: Page) -> dict[str, Any]:
    told: dict[str, Any] = page.client.get("/bridge/form").json()
    return told


def generate(page: Page, **values: Any) -> Any:
    return page.post("/bridge/generate", tab="a", values={**DEFAULTS, "prompt": "rain", **values})


def test_the_form_offers_the_settings_in_the_tables_order_each_with_its_help(page: Page) -> None:
    fields = form(page)["fields"]
    drawn = ("reference", "context", "repaint_s", "adapters")
    assert [one["name"] for one in fields] == [one.name for one in SETTINGS if one.name not in drawn]
    assert all(one["title"] and one["help"] for one in fields)
    by_name = {one["name"]: one for one in fields}
    assert (by_name["bpm"]["low"], by_name["bpm"]["high"], by_name["bpm"]["unit"]) == (30, 300, "BPM")
    assert by_name["strength"]["fader"]
    assert ["aiff", "aiff"] in by_name["format"]["choices"]


def test_the_form_offers_what_the_checkpoint_can_do_and_its_words(page: Page) -> None:
    told = form(page)
    assert told["supports"]["cascade"] == "nano"
    assert told["supports"]["tasks"] == ["text", "repaint", "lego", "complete"]
    assert (told["supports"]["lyrics"], told["supports"]["reference"]) == (False, True)
    assert told["supports"]["parts"][:4] == ["drums", "percussion", "bass", "chords"]
    assert {"boom bap", "synthwave"} <= set(told["words"]["styles"])
    assert {"drums", "bass"} <= set(told["words"]["parts"])
    assert "electric piano" in told["words"]["instruments"]


def test_without_a_daemon_the_form_can_still_be_drawn_and_offers_nothing_unknown() -> None:
    with Page("127.0.0.1:9") as page:
        told = form(page)
    assert told["fields"][0]["name"] == "prompt"
    assert told["supports"]["tasks"] == told["words"]["styles"] == []


def test_every_example_of_the_form_is_a_request_that_the_daemon_takes(page: Page) -> None:
    for example in form(page)["examples"]:
        with connect(page, example["title"]) as socket:
            until(socket, daemon_is(True))
            values = {**DEFAULTS, "prompt": example["prompt"], **example["settings"]}
            page.post("/bridge/generate", tab=example["title"], values=values)
            assert until(socket, run_in("done", "failed"))["run"]["message"] == ""


def test_the_clips_of_the_first_visit_are_in_the_package_and_can_be_decoded(page: Page) -> None:
    from plugin_bridge.web.app import STATIC

    for demo in form(page)["demos"]:
        path = STATIC / demo["url"].removeprefix("/bridge/static/")
        assert soundfile.info(path).duration > 4 * demo["bars"] * 60 / demo["bpm"] - 1


def test_a_form_is_sent_and_its_run_is_told(page: Page) -> None:
    with connect(page) as socket:
        until(socket, daemon_is(True))
        answer = generate(page, bpm="92,5", takes="3", seed="7", lock=True)
        assert answer.status_code == 202
        done = until(socket, run_in("done"))["run"]
    assert done["id"] == answer.json()["run"]
    assert [(clip["bpm"], clip["seed"]) for clip in done["clips"]] == [(92.5, 7), (92.5, 8), (92.5, 9)]


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("bpm", "fast"),
        ("takes", "2.5"),
        ("tempo_map", "slower and slower"),
        ("stages", "l"),
        ("stages", [1]),
        ("key", {}),
        ("strength", "much"),
        ("prompt", ["rain"]),
    ],
)
def test_a_field_that_cannot_be_read_is_named_and_nothing_is_sent(page: Page, name: str, typed: Any) -> None:
    answer = generate(page, **{name: typed})
    assert answer.status_code == 400
    assert (answer.json()["reason"], answer.json()["field"]) == ("invalid_request", name)


@pytest.mark.parametrize(
    ("name", "picked"),
    [
        ("reference", {"start_s": 0}),
        ("reference", "/m/a.wav"),
        ("context", {"path": "/m/a.wav", "start_s": "soon"}),
        ("adapters", ["mine"]),
        ("adapters", {"mine": "loud"}),
    ],
)
def test_audio_and_adapters_that_cannot_be_read_are_named(page: Page, name: str, picked: Any) -> None:
    answer = page.post("/bridge/generate", tab="a", values=DEFAULTS, **{name: picked})
    assert (answer.status_code, answer.json()["field"]) == (400, name)


def test_a_field_that_the_daemon_refuses_is_named_in_the_run(page: Page) -> None:
    with connect(page, "refused") as socket:
        until(socket, daemon_is(True))
        page.post("/bridge/generate", tab="refused", values={**DEFAULTS, "prompt": "rain", "bpm": "5000"})
        failed = until(socket, run_in("failed"))["run"]
    assert (failed["reason"], failed["field"]) == ("invalid_request", "bpm")


def test_a_clip_fills_the_whole_form_and_says_so(page: Page, tmp_path: Path) -> None:
    with connect(page, "recalled") as socket:
        audio = finished(page, socket, tab="recalled", prompt="loop")[0]
    with connect(page, "again") as socket:
        made: dict[str, Any] = {"bpm": 127.37, "key": "A minor", "seed": 9, "takes": 1}
        [clip] = finished(
            page, socket, tab="again", prompt="dusty", reference=(audio["path"], 0.01, 0.05), **made
        )
    told = page.post("/bridge/recall", clip=clip["path"]).json()
    assert set(told["values"]) == set(DEFAULTS)
    filled = {name: told["values"][name] for name in ("prompt", "bpm", "key", "seed", "lock", "takes")}
    assert filled == {
        "prompt": "dusty",
        "bpm": "127.37",
        "key": "A minor",
        "seed": "9",
        "lock": True,
        "takes": "1",
    }
    assert told["reference"] == {"path": audio["path"], "start_s": 0.01, "end_s": 0.05}
    assert told["context"] is None
    for word in (clip["name"], "Prompt", "Tempo", "Key", "Seed 9", "Reference"):
        assert word in told["says"]
    again = page.post(
        "/bridge/generate", tab="again", **{k: told[k] for k in ("values", "reference", "adapters")}
    )
    assert again.status_code == 202


def test_what_is_set_beside_a_recalled_clip_comes_instead_of_its_own(page: Page) -> None:
    with connect(page, "set") as socket:
        [clip] = finished(page, socket, tab="set", prompt="dusty", bpm=92.5, takes=1)
    reference = {"path": clip["path"], "start_s": 0, "end_s": None}
    told = page.post(
        "/bridge/recall", clip=clip["path"], set={"takes": 4, "lock": False, "reference": reference}
    ).json()
    assert (told["values"]["takes"], told["values"]["lock"], told["values"]["bpm"]) == ("4", False, "92.5")
    assert told["reference"] == reference
    assert told["says"].endswith("new: Reference, Takes.")


def test_a_clip_that_is_gone_or_has_no_request_fills_nothing(page: Page) -> None:
    assert page.post("/bridge/recall", clip="/nowhere.wav").status_code == 404


def test_a_clip_without_notes_has_no_midi_file_and_says_how_to_get_one(page: Page) -> None:
    with connect(page, "notes") as socket:
        [clip] = finished(page, socket, tab="notes", prompt="notes", takes=1)
    answer = page.client.get("/bridge/midi", params={"clip": clip["path"]})
    assert (answer.status_code, "make clips with MIDI on" in answer.json()["message"]) == (404, True)


@pytest.mark.parametrize("format", ["AIFF", "FLAC"])
def test_a_clip_that_a_browser_cannot_play_is_had_as_wav_with_the_same_samples(
    page: Page, format: str
) -> None:
    with connect(page, format) as socket:
        [clip] = finished(page, socket, tab=format, prompt=format, takes=1)
    path = Path(clip["path"]).with_suffix(f".{format.lower()}")
    sound = np.random.default_rng(5).uniform(-0.5, 0.5, (480, 2))
    soundfile.write(path, sound, 48_000, format=format, subtype="PCM_24")
    seen = page.parts.feed.seen  # as if the daemon had named it
    seen[str(path)] = dataclasses.replace(seen[clip["path"]], path=str(path), name=path.name)
    answer = page.client.get("/bridge/audio", params={"clip": str(path), "as": "wav"})
    assert answer.headers["content-type"] in ("audio/wav", "audio/x-wav")
    wav, rate_hz = soundfile.read(io.BytesIO(answer.content), dtype="int32")
    assert rate_hz == 48_000
    assert np.array_equal(wav, soundfile.read(path, dtype="int32")[0])
    refused = page.client.get("/bridge/audio", params={"clip": str(path), "as": "ogg"})
    assert (refused.status_code, "expected wav" in refused.json()["message"]) == (400, True)


def test_training_is_started_and_stopped_over_http_and_told_to_every_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert page.post("/bridge/train/prepare", folder="").status_code == 400
    assert page.post("/bridge/train/prepare", folder="/nowhere").status_code == 404
    unnamed = page.post("/bridge/train/start", folder=str(tmp_path), name="")
    assert (unnamed.status_code, "no name" in unnamed.json()["message"]) == (400, True)
    odd = page.post("/bridge/train/start", folder=str(tmp_path), name="a", minutes=[5])
    assert (odd.status_code, "minutes" in odd.json()["message"]) == (400, True)
    with connect(page) as socket:
        until(socket, daemon_is(True))
        assert page.post("/bridge/train/prepare", folder=str(tmp_path / "empty")).json() == {}
        until(socket, lambda m: m["kind"] == "train" and m["state"] == "running")
        ended = until(socket, lambda m: m["kind"] == "train" and m["state"] == "failed")
    assert ended["what"] == "prepare"
    assert page.post("/bridge/train/stop").json() == {}

"""Gradio's API by Gradio's own client: what the endpoints take, give back, tell and refuse."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

pytest.importorskip("gradio")

from protos.table import SETTINGS
from tests.support.daemons import HELD, Process, StandIn, running, settings, until
from tests.support.web import QUIET, TOKEN, connected, on_a_port, whole_app

pytestmark = QUIET
SHOWN = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def engine() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gradio")


@pytest.fixture(scope="module")
def address(folder: Path, engine: StandIn) -> Iterator[str]:
    with (
        running(settings(folder), engine) as daemon,
        whole_app(f"127.0.0.1:{daemon.grpc.port}", folder) as app,
        on_a_port(app) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def client(address: str, folder: Path) -> Iterator[Any]:
    with connected(address, folder / "downloads") as found:
        yield found


@pytest.fixture
def loop(tmp_path: Path) -> str:
    """Audio of the caller's."""
    times = np.arange(48_000) / 48_000
    path = tmp_path / "my loop.wav"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 220 * times), 48_000)
    return str(path)


def parameters(address: str, endpoint: str) -> dict[str, Any]:
    told = httpx.get(f"{address}gradio_api/info", headers=SHOWN, timeout=60).json()
    return {one["parameter_name"]: one for one in told["named_endpoints"][endpoint]["parameters"]}


def queued(address: str, endpoint: str, **values: Any) -> str:
    """Asks without Gradio's client, which reads files before it sends them."""
    body = values if endpoint == "train" else {"prompt": "rain", **values}
    called = httpx.post(
        f"{address}gradio_api/call/v2/{endpoint}", json=body, headers=SHOWN, timeout=60
    ).json()
    found = f"{address}gradio_api/call/{endpoint}/{called['event_id']}"
    return httpx.get(found, headers=SHOWN, timeout=60).text


def test_every_setting_is_a_parameter_with_type_default_and_help_where_it_can_be_used(address: str) -> None:
    names = ("/text_to_music", "/reference_to_music", "/complete", "/repaint", "/parts")
    offered = {name: parameters(address, name) for name in names}
    for one in SETTINGS:
        assert any(one.name in offered[name] for name in names), one.name
        for name in names:
            if told := offered[name].get(one.name):
                assert one.help in told["python_type"]["description"]
                assert told["label"] == one.title
                assert told["python_type"]["type"] not in ("", "Any")
    bpm = offered["/text_to_music"]["bpm"]
    assert (bpm["type"]["minimum"], bpm["type"]["maximum"], bpm["parameter_default"]) == (30, 300, None)
    assert bpm["parameter_has_default"]
    required = {
        name: {one for one, told in offered[name].items() if not told["parameter_has_default"]}
        for name in names
    }
    assert required == {
        "/text_to_music": {"prompt"},
        "/reference_to_music": {"prompt", "reference"},
        "/complete": {"prompt", "context"},
        "/repaint": {"prompt", "context", "repaint_s"},
        "/parts": set(),
    }


def test_a_setting_that_is_added_to_the_table_is_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    from plugin_bridge.web import endpoints
    from protos.setting import Setting

    shine = Setting("shine", "number", "sound", "Shine", "How bright it is.", 0.5, "shine", low=0, high=1)
    monkeypatch.setattr(endpoints, "SETTINGS", (*SETTINGS, shine))
    for endpoint in endpoints.endpoints():
        found = [one for one in endpoint.parameters if one.name == "shine"]
        assert [(one.help, one.default) for one in found] == [("How bright it is.", 0.5)] * (
            endpoint.name != "train"
        )


def test_words_become_files_on_the_callers_disk_and_what_was_measured(client: Any, folder: Path) -> None:
    files, facts = client.predict(prompt="rain", takes=2, bpm=92.5, seed=7, api_name="/text_to_music")
    assert [Path(file).is_relative_to(folder / "downloads") for file in files] == [True, True]
    assert [soundfile.info(file).frames for file in files] == [4800, 4800]
    assert [(one["bpm"], one["seed"], one["fit"]) for one in facts] == [(92.5, 7, "good"), (92.5, 8, "good")]
    for file, one in zip(files, facts, strict=True):
        assert Path(file).read_bytes() == Path(one["clip"]).read_bytes()


def test_files_of_the_caller_are_reference_and_context(client: Any, engine: StandIn, loop: str) -> None:
    from gradio_client import handle_file

    calls: list[tuple[str, dict[str, Any]]] = [
        ("/reference_to_music", {"reference": handle_file(loop), "reference_end_s": 0.5}),
        (
            "/complete",
            {"context": handle_file(loop), "bpm": 120, "bars": 1, "track": "drums", "task": "lego"},
        ),
        ("/repaint", {"context": handle_file(loop), "bpm": 120, "bars": 0.5, "repaint_s": [0.25, 0.5]}),
    ]
    for name, values in calls:
        files, facts = client.predict(prompt=f"by {name[1:]}", api_name=name, **values)
        assert len(files) == len(facts) == 1
        assert engine.order[-1] == f"by {name[1:]}"


def test_a_clip_of_the_library_is_named_by_its_path(client: Any) -> None:
    _, [made] = client.predict(prompt="first", api_name="/text_to_music")
    files, _ = client.predict(prompt="second", reference=made["clip"], api_name="/reference_to_music")
    assert len(files) == 1


def test_what_the_daemon_refuses_is_raised_in_its_words(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="expected 30–300") as raised:
        client.predict(prompt="rain", bpm=5000, api_name="/text_to_music")
    assert raised.value.title == "invalid_request"
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF no audio at all")
    with pytest.raises(AppError) as raised:
        client.predict(prompt="rain", reference=handle_file(str(broken)), api_name="/reference_to_music")
    assert raised.value.title == "unreadable_audio"


@pytest.mark.parametrize(
    "value", [{"takes": "many"}, {"stages": 5}, {"adapters": [[]]}, {"tempo_map": {"a": 1}}, {"seed": 1e300}]
)
def test_a_value_that_cannot_be_is_a_sentence(client: Any, value: dict[str, Any]) -> None:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as raised:
        client.predict(prompt="rain", api_name="/text_to_music", **value)
    assert raised.value.title == "invalid_request"
    assert next(iter(value)).partition("_")[0] in str(raised.value)


def test_an_idea_without_parts_is_refused(client: Any, engine: StandIn) -> None:
    from gradio_client.exceptions import AppError

    before = len(engine.order)
    with pytest.raises(AppError, match="parts and redo are empty"):
        client.predict(prompt="rain", api_name="/parts")
    assert len(engine.order) == before


@pytest.mark.parametrize("prompt", [["rain"], 5, {"a": 1}, None])
def test_a_prompt_that_is_no_text_is_refused(client: Any, engine: StandIn, prompt: Any) -> None:
    from gradio_client.exceptions import AppError

    before = len(engine.order)
    with pytest.raises(AppError, match=r"^prompt is .*: expected text"):
        client.predict(prompt=prompt, api_name="/text_to_music")
    assert len(engine.order) == before


def test_progress_is_told_and_cancelling_ends_the_daemons_job(client: Any, engine: StandIn) -> None:
    while engine.started.acquire(blocking=False):
        pass
    engine.hold.clear()
    try:
        job = client.submit(prompt="slow", api_name="/text_to_music")
        assert engine.started.acquire(timeout=60)
        [told] = until(lambda: job.status().progress_data)
        assert (told.progress, told.desc) == (0.5, "m, 1.0 s left")
        assert job.cancel()
        # Its step ends only when it is cancelled, and the next one begins after it.
        following = client.submit(prompt="next", api_name="/text_to_music")
        assert engine.started.acquire(timeout=60)
        assert engine.order[-1] == "next"
    finally:
        engine.hold.set()
    assert len(following.result()[0]) == 1


def test_a_daemon_that_dies_is_told(folder: Path, tmp_path: Path) -> None:
    from gradio_client.exceptions import AppError

    made = settings(tmp_path)
    with (
        Process(made, script=HELD) as daemon,
        whole_app(f"127.0.0.1:{daemon.grpc_port}", tmp_path) as app,
        on_a_port(app) as address,
        connected(address, tmp_path / "downloads") as client,
    ):
        job = client.submit(prompt="lost", api_name="/text_to_music")
        until(lambda: job.status().progress_data)
        daemon.kill()
        with pytest.raises(AppError) as raised:
            job.result()
    assert raised.value.title == "unavailable"


def test_curl_is_enough(address: str) -> None:
    got = queued(address, "text_to_music", prompt="by curl")
    assert "event: complete" in got
    assert "by-curl" in got


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../etc/passwd", "http://127.0.0.1:1/a.wav", "a\0b", "/", ""]
)
def test_only_what_was_uploaded_here_is_read(address: str, engine: StandIn, path: str) -> None:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.wav"}
    before = list(engine.order)
    told = queued(address, "reference_to_music", reference=file)
    assert "event: error" in told
    assert "was not uploaded here" in told or not path
    assert "root:" not in told
    assert engine.order == before


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "http://127.0.0.1:1/x", "..%2f..%2fetc/passwd", "%00", "", "upload:x"]
)
def test_no_other_file_is_served(address: str, path: str) -> None:
    for kind in ("file=", "file/", "proxy=", "stream/"):
        answer = httpx.get(f"{address}gradio_api/{kind}{path}", headers=SHOWN, timeout=60)
        assert answer.status_code in (400, 404), answer.text


@pytest.mark.parametrize(
    "values",
    [
        {"name": "a"},
        {"name": "", "folder": "/tmp"},
        {"name": "a", "folder": "/nowhere"},
        {"name": "a", "files": ["/etc/passwd"]},
        {"name": "a", "files": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]},
        {"name": "a", "files": 5},
    ],
)
def test_training_on_what_is_not_there_or_not_the_callers_is_refused(
    address: str, values: dict[str, Any]
) -> None:
    told = queued(address, "train", **values)
    assert "event: error" in told
    assert "Traceback" not in told


def test_files_to_train_on_keep_their_names_and_none_is_lost(tmp_path: Path) -> None:
    from plugin_bridge.errors import InvalidRequest
    from plugin_bridge.web.training import gather

    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    given = [
        (name, tmp_path / "in" / str(number))
        for number, name in enumerate(("a_92bpm.wav", "b.wav", "a_92bpm.wav"))
    ]
    for name, path in given:
        path.write_text(name)
    gather(given, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "2-a_92bpm.wav",
        "a_92bpm.wav",
        "b.wav",
    ]
    for name in ("", "..", "a/.."):
        with pytest.raises(InvalidRequest, match="not the name of a file"):
            gather([(name, given[0][1])], tmp_path / "out")

"""ACE-Step's REST API over a daemon whose engine is a stand-in: shapes, names, states, refusals."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")

from tests.support.ace_step_client import FAILED, QUEUED, AceStepClient, Refused
from tests.support.daemons import StandIn, running, settings, until
from tests.support.rest_server import TOKEN, RestServer


@pytest.fixture
def engine() -> StandIn:
    return StandIn()


@pytest.fixture
def server(tmp_path: Path, engine: StandIn) -> Iterator[RestServer]:
    made = settings(tmp_path, allowed_folders=(tmp_path,), max_queue=3)
    with running(made, engine) as daemon, RestServer(f"127.0.0.1:{daemon.grpc.port}") as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestServer]:
    """One for all that only look at requests."""
    made = settings(tmp_path_factory.mktemp("rest"), max_queue=1_000, max_queue_per_client=1_000)
    with running(made, StandIn()) as daemon, RestServer(f"127.0.0.1:{daemon.grpc.port}") as found:
        yield found


@pytest.fixture
def client(server: RestServer) -> AceStepClient:
    return server.client


def request_of(server: RestServer, task: str) -> dict[str, Any]:
    """The daemon's own request of a task."""
    assert server.http.portal is not None
    jobs = server.http.portal.call(server.parts.feed.bridge.jobs)
    told: dict[str, Any] = json.loads(next(job.request_json for job in jobs if job.id == task))
    return told


def refused(client: AceStepClient, **fields: Any) -> str:
    with pytest.raises(Refused) as caught:
        client.release(**{"prompt": "rain", **fields})
    assert caught.value.code == 400
    return caught.value.error


def test_a_task_is_queued_then_done_and_its_files_are_served(
    client: AceStepClient, server: RestServer, engine: StandIn
) -> None:
    engine.hold.clear()
    task = client.release(prompt="dusty breakbeat", bpm=92.5, key_scale="A minor", audio_duration=10)
    until(lambda: client.query(task)[0]["result"][0].get("progress") == 0.5)
    (running_,) = client.query(task)
    assert (running_["status"], running_["result"][0]["file"]) == (QUEUED, "")
    engine.hold.set()
    results = client.wait(task)
    assert len(results) == 2  # ACE-Step's default
    one = results[0]
    assert set(one) >= {
        "file", "wave", "status", "create_time", "env", "prompt", "lyrics", "metas", "generation_info",
        "seed_value", "lm_model", "dit_model",
    }  # fmt: skip
    assert one["file"].startswith("/v1/audio?path=")
    assert set(one["metas"]) == {"bpm", "duration", "genres", "keyscale", "timesignature"}
    assert (one["metas"]["bpm"], one["metas"]["keyscale"], one["metas"]["timesignature"]) == (
        92.5,
        "A minor",
        "4",
    )
    assert (one["status"], one["prompt"], one["bars"]) == (1, "dusty breakbeat", 4.0)
    assert (one["measured"]["tempo_error_pct"], one["measured"]["fit"]) == (0.02, "good")
    assert [int(result["seed_value"]) for result in results] == [
        int(one["seed_value"]),
        int(one["seed_value"]) + 1,
    ]
    assert client.audio(one)[:4] == b"RIFF"


def test_seconds_become_whole_bars_which_the_answer_tells(shared: RestServer) -> None:
    client = shared.client
    data = client.ask("POST", "/release_task", json={"prompt": "rain", "bpm": 90, "audio_duration": 10})
    assert (data["bars"], data["bpm"]) == (4.0, 90.0)
    assert data["duration"] == 4 * 4 * 60 / 90
    data = client.ask(
        "POST", "/release_task", json={"prompt": "rain", "bpm": 120, "timeSignature": "3", "duration": 30}
    )
    assert (data["bars"], data["duration"]) == (20.0, 30.0)
    data = client.ask("POST", "/release_task", json={"prompt": "rain"})
    assert (data["bars"], data["bpm"], data["duration"]) == (4.0, 120.0, 8.0)


SPELLED: list[dict[str, Any]] = [
    {"caption": "rain", "bpm": "92.5", "keyscale": "Am", "timesignature": "3", "duration": "20"},
    {"prompt": "rain", "Bpm": 92.5, "keyScale": "Am", "timeSignature": "3", "audioDuration": 20},
    {"prompt": "rain", "metas": {"bpm": 92.5, "keyscale": "Am", "timesignature": "3", "duration": 20}},
    {
        "prompt": "rain",
        "userMetadata": '{"bpm": 92.5, "key": "Am", "time_signature": "3/4", "target_duration": 20}',
    },
]


@pytest.mark.parametrize("fields", SPELLED, ids=lambda fields: ",".join(fields))
@pytest.mark.parametrize("how", ["json", "data", "files"])
def test_every_spelling_in_every_kind_of_body_is_the_same_request(
    shared: RestServer, fields: dict[str, Any], how: str
) -> None:
    sent = {name: json.dumps(value) if isinstance(value, dict) and how != "json" else value
            for name, value in fields.items()}  # fmt: skip
    body: dict[str, Any] = {how: sent}
    if how == "files":
        body = {"files": {name: (None, str(value)) for name, value in sent.items()}}
    task = shared.client.ask("POST", "/release_task", **body)["task_id"]
    made = request_of(shared, task)
    asked = (
        made["prompt"],
        made["bpm"],
        made["key"],
        made["signature"],
        made["bars"],
        made["takes"],
        made["format"],
    )
    assert asked == ("rain", 92.5, "A minor", "3/4", 10.0, 2, "mp3")


def test_numbers_of_the_model_become_settings(shared: RestServer) -> None:
    client = shared.client
    task = client.release(
        prompt="rain", inference_steps=6, guidanceScale=3.5, seed=7, batch_size=1, audio_format="wav",
        loudness_lufs=-18, candidates="2", fit="false", swing=1.5,
    )  # fmt: skip
    made = request_of(shared, task)
    asked = {
        name: made[name] for name in ("steps", "guidance", "seed", "takes", "format", "candidates", "fit")
    }
    assert asked == {
        "steps": 6, "guidance": 3.5, "seed": 7, "takes": 1, "format": "wav", "candidates": 2, "fit": False,
    }  # fmt: skip
    assert (made["loudness_lufs"], made["swing"]) == (-18, 1.5)


def test_an_idea_in_parts_is_one_take_and_is_gone_on_with_on_its_own_grid(shared: RestServer) -> None:
    made = request_of(shared, shared.client.release(prompt="rain", parts="drums, bass", bpm=92.5, bars=2))
    assert (made["parts"], made["takes"], made["bpm"], made["bars"]) == ("drums, bass", 1, 92.5, 2)
    with pytest.raises(Refused, match="no idea 'nowhere' here"):
        shared.client.release(idea="nowhere", redo="bass")


def test_a_random_seed_is_drawn_where_it_is_asked_for(shared: RestServer) -> None:
    client = shared.client
    fixed = {"prompt": "rain", "seed": 7, "use_random_seed": False}
    assert client.ask("POST", "/release_task", json=fixed)["seed"] == 7
    drawn = [
        client.ask("POST", "/release_task", json=fixed | {"use_random_seed": True})["seed"] for _ in "ab"
    ]
    assert drawn != [7, 7]


def test_what_changes_nothing_is_taken(shared: RestServer) -> None:
    client = shared.client
    nothing: dict[str, Any] = {
        "thinking": False, "use_format": False, "sample_mode": "false", "sample_query": "",
        "lyrics": "[Instrumental]", "vocal_language": "zh", "lm_temperature": 0.85, "lm_top_k": 0,
        "use_cot_caption": True, "shift": 3.0, "infer_method": "ode", "audio_code_string": "",
        "timesteps": None, "repainting_start": 0.0, "repainting_end": -1, "audio_cover_strength": 1.0,
        "repaint_mode": "balanced", "key_scale": "N/A", "task_type": "text2music",
        "reference_audio_path": "", "anything_else": None,
    }  # fmt: skip
    task = client.release(prompt="rain", **nothing)
    assert client.wait(task)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "  "}, "prompt is empty"),
    ({"lyrics": "la la la"}, "cannot sing"),
    ({"task_type": "remix"}, "text2music, cover"),
    ({"task_type": "cover", "src_audio_path": "/x.wav"}, "cannot do cover"),
    ({"task_type": "repaint"}, "src_audio"),
    ({"src_audio_path": "/x.wav"}, "task_type"),
    ({"audio_code_string": "<|audio_code_1|>"}, "src_audio_path"),
    ({"thinking": True}, "language model"),
    ({"sample_mode": True}, "language model"),
    ({"desc": "a sad song"}, "language model"),
    ({"format": True}, "language model"),
    ({"shift": 1.0}, "schedule"),
    ({"timesteps": [1.0, 0.5]}, "schedule"),
    ({"audio_code_string": [5, 7]}, "src_audio_path"),
    ({"infer_method": "sde"}, "ODE"),
    ({"instruction": "Generate the drums"}, "task_type"),
    ({"global_caption": "a song"}, "prompt"),
    ({"batch_size": 9}, "1–8"),
    ({"batch_size": 1.5}, "whole number"),
    ({"bpm": 500}, "30–300"),
    ({"bpm": "fast"}, "number"),
    ({"bpm": True}, "number"),
    ({"bpm": [90]}, "number"),
    ({"prompt": {"a": 1}}, "text"),
    ({"audio_duration": 601}, "600"),
    ({"audio_duration": 30, "bars": 2}, "contradict"),
    ({"time_signature": "five"}, "7/8"),
    ({"time_signature": "0/4"}, "0/4"),
    ({"key_scale": "H major"}, "key"),
    ({"audio_format": "opus"}, "wav"),
    ({"seed": 2**40}, "0–4294967295"),
    ({"seed": "1,2"}, "number"),
    ({"inference_steps": 0}, "1–200"),
    ({"track_name": "drums"}, "lego"),
    ({"repainting_start": 3}, "repaint"),
    ({"audio_cover_strength": 0.5}, "cover"),
    ({"audio_cover_strength": 2}, "0–1"),
    ({"model": "acestep-v15-turbo"}, "acestep-v15-turbo"),
    ({"adapters": {"nobody": 1.0}}, "nobody"),
    ({"adapters": [1]}, "adapters"),
    ({"bmp": 90}, "did you mean bpm"),
    ({"surprise": "yes"}, "surprise"),
    ({"metas": {"bpm": 90}, "bpm": 100}, "two ways"),
    ({"metas": "[1]"}, "metas"),
    ({"metas": "{"}, "JSON"),
    ({"tempo_map": "0 100", "audio_duration": 20}, "tempo map"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "says"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_cannot_be_done_is_said(shared: RestServer, fields: dict[str, Any], says: str) -> None:
    assert re.search(says, refused(shared.client, **fields))


def test_a_full_queue_is_429(client: AceStepClient, engine: StandIn) -> None:
    engine.hold.clear()
    running_ = client.release(prompt="rain")
    engine.started.acquire()
    for _ in range(3):
        client.release(prompt="rain")
    with pytest.raises(Refused) as caught:
        client.release(prompt="rain")
    assert caught.value.code == 429
    assert client.ask("GET", "/v1/stats")["queue_size"] == 3
    engine.hold.set()
    client.wait(running_)


def test_a_task_is_cancelled_once(client: AceStepClient, engine: StandIn) -> None:
    engine.hold.clear()
    task = client.release(prompt="rain")
    engine.started.acquire()
    assert client.ask("POST", "/cancel_task", json={"task_id": task})["task_id"] == task
    (ended,) = client.wait(task, FAILED)
    assert ended["reason"] == "cancelled"
    with pytest.raises(Refused, match="404"):
        client.ask("POST", "/cancel_task", json={"task_id": task})


def test_a_task_that_fails_says_why(client: AceStepClient, engine: StandIn) -> None:
    engine.fail = RuntimeError("no more memory")
    (ended,) = client.wait(client.release(prompt="rain"), FAILED)
    assert (ended["file"], ended["status"]) == ("", FAILED)
    assert "no more memory" in ended["error"]


def test_an_unknown_task_has_failed_so_that_nobody_waits_for_it(shared: RestServer) -> None:
    client = shared.client
    known = client.release(prompt="rain")
    client.wait(known)
    entries = client.query("nobody", known)
    assert [entry["status"] for entry in entries] == [FAILED, 1]
    assert "nobody" in entries[0]["result"][0]["error"]


def test_tasks_are_asked_for_as_json_text_and_in_forms(shared: RestServer) -> None:
    client = shared.client
    task = client.release(prompt="rain")
    client.wait(task)
    text = json.dumps([task])
    for how in ({"json": {"task_id_list": text}}, {"data": {"task_id_list": text}}):
        assert client.ask("POST", "/query_result", **how)[0]["status"] == 1
    assert client.query() == []
    for wrong in ("x", 5, [1], None):
        with pytest.raises(Refused, match="400"):
            client.ask("POST", "/query_result", json={"task_id_list": wrong})


def test_the_pages_server_can_be_started_again_and_knows_the_tasks(tmp_path: Path) -> None:
    with running(settings(tmp_path), StandIn()) as daemon:
        address = f"127.0.0.1:{daemon.grpc.port}"
        with RestServer(address) as first:
            task = first.client.release(prompt="rain")
            first.client.wait(task)
        with RestServer(address) as second:
            assert second.client.audio(second.client.wait(task)[0])[:4] == b"RIFF"


def test_a_result_is_a_source_by_its_own_address_and_an_upload_as_well(
    client: AceStepClient, server: RestServer
) -> None:
    (first,) = client.wait(client.release(prompt="rain", batch_size=1))
    task = client.release(
        prompt="bass", task_type="complete", src_audio_path=first["file"], bpm=120, batch_size=1
    )
    assert request_of(server, task)["context"]["path"].endswith(".wav")
    sound = client.audio(first)
    for field in ("src_audio", "ctx_audio"):
        task = client.release(
            {field: ("../x.wav", sound), "ref_audio": ("r.wav", sound)},
            prompt="bass", task_type="lego", track_name="bass", bpm="120", src_audio_path="/etc/passwd",
        )  # fmt: skip
        made = request_of(server, task)
        assert made["context"]["path"] != "/etc/passwd"
        assert (made["task"], made["track"]) == ("lego", "bass")
        assert made["reference"]


def test_a_repaint_to_the_end_ends_where_its_source_does(client: AceStepClient, server: RestServer) -> None:
    (first,) = client.wait(client.release(prompt="rain", batch_size=1))
    task = client.release(
        prompt="bass", task_type="repaint", src_audio_path=first["file"], repainting_start=0.05, bpm=120
    )
    assert request_of(server, task)["repaint_s"] == [0.05, first["metas"]["duration"]]
    with pytest.raises(Refused, match=r"0\.10 s; leave it out"):
        client.release(
            prompt="bass", task_type="repaint", src_audio_path=first["file"], audio_duration=20, bpm=120
        )


@pytest.mark.parametrize("file", [b"no audio", b""])
def test_a_file_that_is_no_audio_is_refused_in_the_daemons_words(shared: RestServer, file: bytes) -> None:
    client = shared.client
    with pytest.raises(Refused, match="400"):
        client.release({"src_audio": ("x.wav", file)}, prompt="bass", task_type="complete")
    with pytest.raises(Refused, match="name ending in"):
        client.release({"src_audio": ("x.txt", file)}, prompt="bass", task_type="complete")
    with pytest.raises(Refused, match="file field"):
        client.release({"song": ("x.wav", file)}, prompt="bass", task_type="complete")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../etc/passwd", "", "%00", "x" * 20_000, "/proc/self/environ"]
)
def test_only_what_the_daemon_named_is_served(shared: RestServer, path: str) -> None:
    client = shared.client
    client.wait(client.release(prompt="rain"))
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = shared.http.get("/v1/audio", params={"path": path}, headers=headers)
    assert answer.status_code in (400, 404)
    assert answer.json()["code"] == answer.status_code
    with pytest.raises(Refused):
        client.release(prompt="bass", task_type="complete", src_audio_path=f"/v1/audio?path={path[:100]}")


def test_models_are_told_with_what_they_can_do(shared: RestServer) -> None:
    client = shared.client
    for path in ("/v1/model_inventory", "/v1/models"):
        told = client.ask("GET", path)
        (nano,) = (one for one in told["models"] if one["name"] == "nano")
        assert set(nano) == {"name", "is_default", "is_loaded", "supported_task_types"}
        assert nano["supported_task_types"] == ["text2music", "repaint", "lego", "complete"]
        assert (told["default_model"], told["lm_models"], told["loaded_lm_model"]) == ("nano", [], None)
        assert told["llm_initialized"] is False


def test_a_model_is_loaded_by_its_name(client: AceStepClient, engine: StandIn) -> None:
    for path in ("/v1/init", "/v1/reinitialize"):
        assert client.ask("POST", path, json={"model": "nano"})["loaded_model"] == "nano"
    with pytest.raises(Refused, match="404"):
        client.ask("POST", "/v1/init", json={"model": "nobody"})
    with pytest.raises(Refused, match="language model"):
        client.ask("POST", "/v1/init", json={"model": "nano", "init_llm": True})


def add_adapter(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "home" / "adapters" / name
    folder.mkdir(parents=True)
    (folder / "adapter.json").write_text('{"rank": 4}')


def test_adapters_that_are_switched_on_are_used_by_every_later_task(
    client: AceStepClient, server: RestServer, tmp_path: Path
) -> None:
    for name in ("tape", "dust"):
        add_adapter(tmp_path, name)

    def ask(what: str, **fields: Any) -> dict[str, Any]:
        found: dict[str, Any] = client.ask("POST", f"/v1/lora/{what}", json=fields)
        return found

    def used(**fields: Any) -> dict[str, float]:
        task = client.release(prompt="rain", batch_size=1, **fields)
        client.wait(task)
        return dict(request_of(server, task)["adapters"])

    assert used() == {}
    told = ask("load", lora_path="tape")
    assert (told["lora_loaded"], told["use_lora"], told["lora_scale"]) == (True, True, 1.0)
    assert used() == {"tape": 1.0}
    ask("load", lora_path=str(tmp_path / "home" / "adapters" / "dust"))
    ask("scale", scale=0.5, adapter_name="dust")
    assert used() == {"tape": 1.0, "dust": 0.5}
    assert used(adapters={"dust": 0.25}) == {"dust": 0.25}
    assert ask("toggle", use_lora=False)["use_lora"] is False
    assert used() == {}
    ask("toggle", use_lora=True)
    ask("scale", scale=2)
    assert used() == {"tape": 2.0, "dust": 2.0}
    ask("unload", adapter_name="tape")
    status = client.ask("GET", "/v1/lora/status")
    assert status["adapters"] == [{"name": "dust", "scale": 2.0}]
    assert sorted(status["available"]) == ["dust", "tape"]
    assert ask("unload")["lora_loaded"] is False
    assert used() == {}


@pytest.mark.parametrize(
    ("what", "fields", "code"),
    [
        ("load", {}, 400),
        ("load", {"lora_path": "nobody"}, 404),
        ("load", {"lora_path": "../../etc"}, 404),
        ("unload", {"adapter_name": "nobody"}, 404),
        ("toggle", {}, 400),
        ("toggle", {"use_lora": "maybe"}, 400),
        ("scale", {"adapter_name": "nobody", "scale": 1}, 404),
        ("scale", {"scale": 1}, 400),
        ("scale", {}, 400),
    ],
)
def test_an_adapter_that_is_not_there_is_told(
    shared: RestServer, what: str, fields: dict[str, Any], code: int
) -> None:
    with pytest.raises(Refused) as caught:
        shared.client.ask("POST", f"/v1/lora/{what}", json=fields)
    assert caught.value.code == code


def test_health_is_told_without_a_token_and_stats_count_the_jobs(
    client: AceStepClient, server: RestServer
) -> None:
    server.wait_up()
    answer = server.http.get("/health")
    assert answer.json()["data"]["status"] == "ok"
    client.wait(client.release(prompt="rain"))
    stats = client.ask("GET", "/v1/stats")
    assert (stats["jobs"]["succeeded"], stats["jobs"]["failed"], stats["queue_size"]) == (1, 0, 0)


def test_without_a_daemon_every_answer_says_so() -> None:
    with RestServer("127.0.0.1:9") as server:
        for method, path, body in (
            ("GET", "/health", None),
            ("GET", "/v1/models", None),
            ("POST", "/release_task", {"prompt": "rain"}),
            ("POST", "/query_result", {"task_id_list": ["x"]}),
        ):
            with pytest.raises(Refused) as caught:
                server.client.ask(method, path, json=body)
            assert caught.value.code == 503


def test_what_a_prompt_says_becomes_fields(shared: RestServer) -> None:
    client = shared.client
    written = "dusty breakbeat, 92.5 BPM in F# minor, 4 bars of 3/4"
    told = client.ask(
        "POST", "/format_input", json={"prompt": f"  {written}", "lyrics": "", "param_obj": "{}"}
    )
    names = {"caption", "lyrics", "bpm", "key_scale", "time_signature", "duration", "vocal_language"}
    assert set(told) >= names
    assert told["caption"] == written
    assert (told["bpm"], told["key_scale"], told["time_signature"]) == (92.5, "F# minor", "3")
    assert told["duration"] == 4 * 3 * 60 / 92.5
    fields = {"bpm": 120, "keyScale": "bbm", "duration": 9.9, "time_signature": "4"}
    told = client.ask(
        "POST", "/format_input", json={"prompt": "a minor change", "param_obj": json.dumps(fields)}
    )
    assert (told["bpm"], told["key_scale"], told["bars"], told["duration"]) == (120.0, "Bb minor", 5.0, 10.0)
    told = client.ask("POST", "/format_input", json={"prompt": "a minor change", "lyrics": "la la"})
    assert (told["bpm"], told["key_scale"], told["duration"]) == (None, "", None)
    assert "cannot sing" in told["notes"][0]
    for wrong in ("{", "[1]", '{"key_scale": "H"}', '{"thinking": true}'):
        with pytest.raises(Refused, match="400"):
            client.ask("POST", "/format_input", json={"prompt": "x", "param_obj": wrong})


def test_an_example_is_a_request_that_is_taken(shared: RestServer) -> None:
    client = shared.client
    samples = [
        client.ask("POST", "/create_random_sample", json={"sample_type": "simple_mode"}) for _ in range(8)
    ]
    assert len({sample["caption"] for sample in samples}) > 1
    for sample in samples[:2]:
        assert client.wait(client.release(**sample))


def test_the_api_is_described_for_people_and_programs(shared: RestServer) -> None:
    from fastapi.openapi.models import OpenAPI

    from plugin_bridge.web.rest.door import handlers
    from plugin_bridge.web.rest.operations import OPERATIONS, PATHS

    shared.http.cookies.set("acestep_web_8001", TOKEN)
    told = shared.http.get("/openapi.json").json()
    OpenAPI.model_validate(told)
    assert set(told["paths"]) == PATHS == set(handlers(shared.parts))
    fields = told["paths"]["/release_task"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"prompt", "caption", "audio_duration", "bars", "metas"} <= set(fields["properties"])
    page = shared.http.get("/docs")
    assert all(f"id='{one.path}'" in page.text for one in OPERATIONS)
    assert "<script" not in page.text
    assert "http" not in page.text
    assert shared.http.get("/docs/style.css").headers["content-type"].startswith("text/css")

"""`acestep web` as other programs find it: its own process, the real daemon, nano, and ACE-Step's client."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")

import httpx
import soundfile

from tests.support.ace_step_client import AceStepClient, Refused
from tests.support.browser import serving
from tests.support.closeness import assert_close, assert_differs
from tests.support.daemons import Process, settings

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]
DAW = "https://daw.example"


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, cascade: str) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("rest")
    made = settings(folder)
    with Process(made, "--cascade", cascade) as daemon:
        flags = ("--no-start", "--allow-origin", DAW)
        with serving(f"127.0.0.1:{daemon.grpc_port}", made.home, *flags) as printed:
            address, _, token = printed.partition("?token=")
            with httpx.Client(base_url=address, timeout=120, headers={"x-token": token}) as found:
                yield found


@pytest.fixture
def client(http: httpx.Client) -> AceStepClient:
    return AceStepClient(http, http.headers["x-token"])


def heard(body: bytes) -> Any:
    return soundfile.info(io.BytesIO(body))


def test_a_client_written_for_ace_steps_server_gets_clips_of_whole_bars(
    client: AceStepClient, tmp_path: Path
) -> None:
    models = client.ask("GET", "/v1/model_inventory")
    assert "text2music" in models["models"][0]["supported_task_types"]
    files = client.generate(
        tmp_path,
        prompt="dusty boom bap drums",
        bpm=92.5,
        audio_duration=10,
        batch_size=2,
        seed=7,
        use_random_seed=False,
        inference_steps=3,
        thinking=False,
        audio_format="wav",
    )
    assert len(files) == 2
    for file in files:
        info = soundfile.info(file)
        assert (info.samplerate, info.frames) == (48_000, round(48_000 * 4 * 4 * 60 / 92.5))
    assert files[0].read_bytes() != files[1].read_bytes()


def test_files_are_mp3_where_nothing_is_said_and_results_carry_what_was_measured(
    client: AceStepClient,
) -> None:
    task = client.release(
        prompt="mellow pad", bpm=120, key_scale="A minor", bars=1, inference_steps=3, batch_size=1
    )
    (result,) = client.wait(task)
    info = heard(client.audio(result))
    assert (info.format, info.samplerate) == ("MP3", 48_000)
    assert result["metas"]["duration"] == 2.0
    assert result["bars"] == 1
    assert set(result["measured"]) == {"tempo_error_pct", "downbeat_error_ms", "key_match", "lufs", "fit"}
    assert result["measured"]["fit"]
    assert client.ask("GET", "/v1/stats")["avg_job_seconds"] > 0


def test_a_part_is_made_for_a_file_that_is_sent_and_a_region_of_a_result_anew(client: AceStepClient) -> None:
    fixed = {"inference_steps": 3, "batch_size": 1, "audio_format": "wav"}
    (drums,) = client.wait(client.release(prompt="drums", bpm=120, bars=2, seed=3, **fixed))
    sound = client.audio(drums)
    sent = {"src_audio": ("drums.wav", sound, "audio/wav")}
    (bass,) = client.wait(client.release(sent, prompt="bass", task_type="complete", bpm=120, seed=4, **fixed))
    assert bass["bars"] == 2
    (again,) = client.wait(
        client.release(
            prompt="drums",
            task_type="repaint",
            src_audio_path=drums["file"],
            repainting_start=2,
            bpm=120,
            **fixed,
        )
    )
    old, new = (soundfile.read(io.BytesIO(body))[0] for body in (sound, client.audio(again)))
    assert new.shape == old.shape
    assert_close(new[:72_000], old[:72_000])
    assert_differs(new[120_000:], old[120_000:])


def test_what_nano_cannot_do_is_refused_at_once(client: AceStepClient) -> None:
    for fields, says in (
        ({"lyrics": "la la"}, "cannot sing"),
        ({"task_type": "cover", "src_audio_path": "/music/x.wav"}, "cannot do cover"),
        ({"thinking": True}, "language model"),
    ):
        with pytest.raises(Refused, match=says):
            client.release(prompt="rain", **fields)


def test_only_a_named_web_page_may_ask(http: httpx.Client) -> None:
    token = http.headers["x-token"]
    for origin, status in ((DAW, 200), ("https://evil.example", 403)):
        headers = {"origin": origin, "authorization": f"Bearer {token}", "sec-fetch-site": "cross-site"}
        answer = http.post("/create_random_sample", json={}, headers=headers)
        assert answer.status_code == status
        assert answer.headers.get("access-control-allow-origin", DAW) == origin or status == 403
    assert http.get("/v1/models").status_code == 401
    assert http.get("/docs").status_code == 401
    http.cookies.clear()
    http.get("/", params={"token": token}, follow_redirects=False)
    assert "release_task" in http.get("/docs").text

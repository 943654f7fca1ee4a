"""`acestep web` as a process, the real daemon and nano, by Gradio's own client: clips and an adapter."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("gradio")

from tests.support.browser import serving
from tests.support.daemons import Process, settings, until
from tests.support.web import connected

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, cascade: str) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("nano")
    made = settings(folder)
    with (
        Process(made, "--cascade", cascade) as daemon,
        serving(f"127.0.0.1:{daemon.grpc_port}", made.home) as printed,
    ):
        address, _, token = printed.partition("?token=")
        with connected(address, folder / "downloads", token) as found:
            yield found


def test_takes_a_part_that_fits_and_a_region_made_anew(client: Any) -> None:
    from gradio_client import handle_file

    values = {"bpm": 100, "bars": 1, "seed": 3, "candidates": 1}
    files, facts = client.predict(
        prompt="boom bap drums", takes=2, strict=False, api_name="/text_to_music", **values
    )
    assert [soundfile.info(file).duration for file in files] == [pytest.approx(2.4, rel=1e-6)] * 2
    assert [one["bars"] for one in facts] == [1, 1]
    assert facts[0]["tempo_error_pct"] is None or isinstance(facts[0]["tempo_error_pct"], float)
    [part], [told] = client.predict(
        prompt="bass", context=handle_file(files[0]), seed=3, api_name="/complete"
    )
    assert (told["bpm"], told["bars"]) == (100, 1)
    assert soundfile.info(part).frames == soundfile.info(files[0]).frames
    [anew], _ = client.predict(
        prompt="boom bap drums",
        context=handle_file(files[0]),
        repaint_s=[1.2, 1.8],
        seed=4,
        api_name="/repaint",
    )
    before, after = (soundfile.read(path, dtype="int32")[0] for path in (files[0], anew))
    assert np.array_equal(before[:48_000], after[:48_000])
    assert not np.array_equal(before, after)


def test_an_idea_in_parts_of_which_one_is_made_anew(client: Any) -> None:
    files, facts = client.predict(
        prompt="boom bap", parts="drums, bass", bpm=100, bars=1, seed=3, midi_out=True, api_name="/parts"
    )
    files, notes = files[:3], files[3:]
    assert {Path(note).read_bytes()[:4] for note in notes} == {b"MThd"}
    assert len(notes) == sum(bool(one["midi"]) for one in facts) == 3
    assert [one["part"] for one in facts] == ["drums", "bass", "mix"]
    assert {soundfile.info(file).frames for file in files} == {115_200}
    drums, bass, mix = (soundfile.read(file)[0] for file in files)
    assert np.std(drums + bass - mix) < 0.2 * np.std(mix)  # it is limited where it would clip
    again, told = client.predict(idea=facts[0]["idea"], redo="bass", api_name="/parts")
    assert [(one["part"], one["idea"]) for one in told] == [
        (name, facts[0]["idea"]) for name in ("bass", "mix")
    ]
    assert not np.array_equal(bass, soundfile.read(again[0])[0])


def test_an_adapter_is_trained_on_files_of_the_caller_and_used(client: Any, tmp_path: Path) -> None:
    from gradio_client import handle_file
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError, match="no folder is named"):
        client.predict(name="clicks", api_name="/train")
    noise = np.random.default_rng(1)
    times = np.arange(48_000 * 4) / 48_000
    loops = []
    for number in range(6):
        beat = np.exp(-40 * (times % 0.5)) * noise.standard_normal(times.size)
        loops.append(tmp_path / f"loop{number}_120bpm.wav")
        soundfile.write(loops[-1], 0.2 * np.stack([beat, beat], 1), 48_000)
    given = [handle_file(str(loop)) for loop in loops]
    stopped = client.submit(name="clicks", files=given, minutes=3, api_name="/train")
    until(lambda: stopped.status().progress_data)
    assert stopped.cancel()
    job = client.submit(name="other", files=given, minutes=0.5, api_name="/train")
    files, told = job.result()
    assert told["name"] == "other"
    assert any(file.endswith(".safetensors") for file in files)
    [_], [clip] = client.predict(
        prompt="clicks", bars=1, adapters={"other": 0.5}, seed=1, api_name="/text_to_music"
    )
    assert clip["adapters"] == [["other", 0.5]]

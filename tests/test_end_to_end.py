"""From a trigger to a clip that fits the song, with the real cascade (untrained and tiny) and the real path.

The rest of the daemon's tests use a stand-in for the engine; these do not.
"""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import grpc
import numpy as np
import pytest
import soundfile

from acestep.music.grid import Grid, Signature
from acestep.sound.riff import read_chunks
from protos.acestep.v1 import acestep_pb2 as pb
from server.cli import acestep as cli
from server.daemon import Daemon
from tests.support.daemons import Osc, Process, generate, running, settings, stub
from tests.support.upstream_adapters import turned_adapter


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from acestep.nano.cli import main

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert main(["init", "--tiny", str(folder), "--seed", "3"]) == 0
    return folder


@pytest.fixture(scope="module")
def daemon(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = settings(tmp_path_factory.mktemp("daemon"), cascade=str(checkpoint), device="cpu")
    with running(made) as found:
        yield found


@pytest.fixture
def osc(daemon: Daemon) -> Iterator[Osc]:
    with Osc(daemon.osc.port) as client:
        client.socket.settimeout(120)
        client.send("session", "test")
        yield client


def clip_of(osc: Osc, *named: object) -> Path:
    osc.send("generate", "dusty breakbeat", *named)
    address, values = osc.until("clip", "error")
    assert address == "clip", values
    return Path(values[1])


@pytest.mark.parametrize(
    ("bpm", "over", "under", "bars"), [(92.5, 4, 4, 1), (127.37, 7, 8, 2), (61.3, 3, 4, 1), (173.21, 6, 8, 1)]
)
def test_a_trigger_becomes_a_clip_of_exact_length_with_its_musical_data(
    osc: Osc, bpm: float, over: int, under: int, bars: int
) -> None:
    osc.send("tempo", bpm)
    osc.send("signature", over, under)
    osc.send("bars", bars)
    osc.send("key", "A minor")
    path = clip_of(osc)
    info = soundfile.info(path)
    assert info.frames == Grid(bpm, Signature(over, under), bars).samples()
    assert (info.samplerate, info.channels, info.subtype) == (48_000, 2, "PCM_24")
    chunks = read_chunks(path)
    assert chunks["acid"]["bpm"] == pytest.approx(bpm, abs=1e-4)
    assert {"smpl", "cue", "bext"} <= {name.strip() for name in chunks}
    sidecar = json.loads((path.parent / f"{path.name}.json").read_text())
    assert sidecar["request"]["bpm"] == bpm


@pytest.mark.parametrize("where", ["through the daemon", "in this process"])
def test_a_clip_is_made_again_from_its_sidecar(
    osc: Osc, daemon: Daemon, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    osc.send("generate", "again", "takes", 2, "bars", 1, "seed", 11)
    osc.until("clip")
    path = Path(osc.until("clip", "error")[1][1])  # the second take
    monkeypatch.setenv("ACESTEP_CASCADE", daemon.config.cascade)
    monkeypatch.setenv("ACESTEP_HOME", str(daemon.config.home))
    command = ["generate", "--from", f"{path}.json", "--out", str(daemon.config.samples / where), "--quiet"]
    out = io.StringIO()
    with redirect_stdout(out):
        assert cli.main(command if where == "through the daemon" else [*command, "--local"]) == 0
    (again,) = out.getvalue().splitlines()
    assert Path(again).parent == daemon.config.samples / where
    assert np.array_equal(soundfile.read(again)[0], soundfile.read(path)[0])


def audio_files(folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(48_000) / 48_000
    tone = np.sin(2 * np.pi * 220 * time_s).astype(np.float32)
    stereo = np.stack([tone, tone], axis=1)
    broken = stereo.copy()
    broken[100:200] = np.nan
    files = {name: folder / f"{name}.wav" for name in ("mono", "8kHz", "24-bit", "nan", "good")}
    soundfile.write(files["mono"], tone, 48_000)
    soundfile.write(files["8kHz"], tone[::6], 8_000)
    soundfile.write(files["24-bit"], stereo, 48_000, subtype="PCM_24")
    soundfile.write(files["nan"], broken, 48_000, subtype="FLOAT")
    soundfile.write(files["good"], stereo, 48_000)
    return files


@pytest.mark.parametrize("name", ["mono", "8kHz", "24-bit", "nan", "good"])
def test_readable_references_of_every_kind_work(osc: Osc, daemon: Daemon, name: str) -> None:
    files = audio_files(daemon.config.samples / "references")
    assert clip_of(osc, "reference", str(files[name]), "bars", 1).is_file()


@pytest.mark.parametrize("name", ["missing", "folder", "text", "cut off", "empty", "ten hours", "fifo"])
def test_unreadable_references_are_refused_at_once(osc: Osc, daemon: Daemon, name: str) -> None:
    folder = daemon.config.samples / "references"
    good = audio_files(folder)["good"]
    bad = folder / f"{name}.wav"
    if name == "folder":
        bad.mkdir(exist_ok=True)
    elif name == "text":
        bad.write_text("this is not audio")
    elif name == "cut off":
        bad.write_bytes(good.read_bytes()[:50_000])
    elif name == "empty":
        bad.touch()
    elif name == "ten hours":
        bad.unlink(missing_ok=True)
        with soundfile.SoundFile(bad, "w", 8_000, 1, subtype="PCM_U8") as file:
            for _ in range(600):
                file.write(np.zeros(8_000 * 60, np.int16))
    elif name == "fifo":
        if sys.platform == "win32":
            pytest.skip("no named pipes in folders")
        import os

        if not bad.exists():
            os.mkfifo(bad)
    before = len(daemon.queue.jobs())
    for address, values in (("reference", [str(bad)]), ("generate", ["p", "context", str(bad)])):
        osc.send(address, *values)
        reason, message, job = osc.until("error", "accepted")[1]
        assert (reason, job) == ("unreadable_audio", "")
        assert len(message) > 20
    assert len(daemon.queue.jobs()) == before


def test_audio_comes_early_and_is_what_the_clip_is_made_of(daemon: Daemon) -> None:
    with stub(daemon.grpc.port) as client:
        events = generate(client, prompt="p", bars=1, stream_audio=True, fit=False)
        pieces = [event.audio for event in events if event.WhichOneof("event") == "audio"]
        clip = next(event.clip for event in events if event.WhichOneof("event") == "clip")
    assert pieces[0].start_sample == 0
    samples = np.concatenate([np.frombuffer(piece.pcm_f32le, "<f4").reshape(-1, 2) for piece in pieces])
    assert len(samples) >= clip.samples


def test_a_long_job_is_cancelled_within_its_step_and_leaves_no_file(osc: Osc, daemon: Daemon) -> None:
    before = set(daemon.config.samples.iterdir())
    osc.send("generate", "long", "bars", 64, "takes", 16)
    job = osc.until("accepted")[1][0]
    osc.until("progress")
    osc.send("cancel", job)
    assert osc.until("cancelled", "done", "error") == ("cancelled", [job])
    assert set(daemon.config.samples.iterdir()) == before


def test_the_command_prints_paths_or_json(daemon: Daemon) -> None:
    home = ["--home", str(daemon.config.home)]
    out, progress = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(progress):
        assert cli.main(["generate", "dusty", "--bars", "1", "--takes", "2", "--seed", "7", *home]) == 0
    paths = out.getvalue().splitlines()
    assert len(paths) == 2
    assert all(Path(path).is_file() for path in paths)
    assert "100 %" in progress.getvalue() or "fit" in progress.getvalue()
    out = io.StringIO()
    with redirect_stdout(out):
        assert cli.main(["generate", "dusty", "--bars", "1", "--json", "--quiet", *home]) == 0
    row = json.loads(out.getvalue())[0]
    assert (row["bars"], Path(row["path"]).is_file()) == (1, True)


def test_cascades_are_listed_unloaded_and_loaded(daemon: Daemon) -> None:
    with stub(daemon.grpc.port) as client:
        generate(client, prompt="p", bars=1)
        loaded = [item for item in client.ListCascades(pb.ListCascadesRequest()).cascades if item.loaded]
        assert [item.name for item in loaded] == [daemon.config.cascade]
        assert list(loaded[0].stages) == ["l", "m", "s"]
        client.UnloadCascade(pb.CascadeName())
        assert not client.GetStatus(pb.GetStatusRequest()).loaded
        assert client.LoadCascade(pb.CascadeName(name=daemon.config.cascade)).loaded


def test_an_adapter_is_found_used_and_gone_without_a_trace(
    daemon: Daemon, osc: Osc, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACESTEP_HOME", str(daemon.config.home))
    turned_adapter(daemon.config.home / "adapters" / "upside", checkpoint)

    def samples(*named: object) -> np.ndarray:
        return soundfile.read(clip_of(osc, "bars", 1, "seed", 3, *named))[0]

    with stub(daemon.grpc.port) as client:
        listed = client.ListAdapters(pb.ListAdaptersRequest()).adapters
        assert [(item.name, item.rank, item.alpha, item.loaded) for item in listed] == [
            ("upside", 4, 8, False)
        ]
        plain = samples()
        assert not np.array_equal(samples("adapter", "upside:1"), plain)
        assert client.ListAdapters(pb.ListAdaptersRequest()).adapters[0].loaded
        assert np.array_equal(samples("adapter", "upside:0"), plain)
        osc.send("adapter", "upside", 0.5)
        assert not np.array_equal(samples(), plain)
        osc.send("adapter", "")
        assert np.array_equal(samples(), plain)
        assert not client.UnloadAdapter(pb.AdapterName(name="upside")).loaded
        assert np.array_equal(samples(), plain)
        assert client.LoadAdapter(pb.AdapterName(name="upside")).loaded
        client.UnloadAdapter(pb.AdapterName(name="upside"))


def test_an_adapter_that_is_replaced_or_removed_while_the_daemon_runs_is_noticed(
    daemon: Daemon, osc: Osc, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    from lora_studio.cli import main as lora_studio

    monkeypatch.setenv("ACESTEP_HOME", str(daemon.config.home))
    folder = daemon.config.home / "adapters" / "changing"
    turned_adapter(folder, checkpoint)

    def clip(*named: object) -> tuple[np.ndarray, dict[str, object]]:
        path = clip_of(osc, "bars", 1, "seed", 3, *named)
        return soundfile.read(path)[0], json.loads(Path(f"{path}.json").read_text())

    plain, _ = clip()
    first, told = clip("adapter", "changing:1")
    weights = folder / "adapter_model.safetensors"
    save_file({key: 0.5 * value for key, value in load_file(weights).items()}, tmp_path / "other.safetensors")
    (tmp_path / "other.safetensors").replace(weights)
    second, then = clip("adapter", "changing:1")
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, plain)
    assert told["checkpoint"] != then["checkpoint"]
    with stub(daemon.grpc.port) as client:
        assert [
            item.name for item in client.ListAdapters(pb.ListAdaptersRequest()).adapters if item.loaded
        ] == ["changing"]
        assert lora_studio(["remove", "changing", "--yes"]) == 0
        assert "changing" not in {
            item.name for item in client.ListAdapters(pb.ListAdaptersRequest()).adapters
        }
        with pytest.raises(grpc.RpcError, match="no adapter 'changing'"):
            client.LoadAdapter(pb.AdapterName(name="changing"))
        with pytest.raises(grpc.RpcError, match="no adapter 'changing'"):
            generate(client, prompt="p", bars=1, adapters=[pb.AdapterUse(name="changing")])
    assert np.array_equal(clip()[0], plain)


@pytest.mark.heavy
def test_a_daemon_killed_in_mid_job_reruns_it_to_the_same_clip(checkpoint: Path, tmp_path: Path) -> None:
    made = settings(tmp_path, cascade=str(checkpoint))
    flags = ["--cascade", str(checkpoint), "--device", "cpu"]
    with Process(made, *flags) as first, Osc(first.osc_port) as osc:
        osc.socket.settimeout(120)
        osc.send("generate", "p", "bars", 8, "takes", 4, "seed", 5)
        osc.until("progress", "error")
        first.kill()
        assert [file.name for file in made.samples.iterdir() if file.suffix == ".wav"] == []
    with Process(made, "--resume", *flags) as second, stub(second.grpc_port) as client:
        again = next(job for job in client.ListJobs(pb.ListJobsRequest()).jobs if job.state != "interrupted")
        events = list(client.WatchJob(pb.WatchJobRequest(job=again.id), timeout=200))
        assert events[-1].WhichOneof("event") == "done"
        clips = [event.clip for event in events if event.WhichOneof("event") == "clip"]
        assert [clip.seed for clip in clips] == [5, 6, 7, 8]
        assert second.terminate() == 0

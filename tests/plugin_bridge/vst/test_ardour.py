"""The VST3 in Ardour against the real daemon: capture, generate, save, reload; the clip sits on the bar."""

import io
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from tests.support.daemons import Process, settings
from tests.support.hosts import building
from tests.support.hosts.ardour import RATE_HZ, Ardour
from tests.support.hosts.peer import Peer, eventually
from tests.support.hosts.sound import read_wav, write_wav

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]

BPM, OVER, UNDER, CAPTURE_BARS = 93.0, 3, 4, 4
BAR_SAMPLES = OVER * 60 / BPM * RATE_HZ
TAKE_REFERENCE, TRIGGER = 9, 5  # parameter ids


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cascade with tiny random weights: real parts, quick, no music."""
    from acestep.nano.cli import main

    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        assert main(["init", "--tiny", str(folder), "--seed", "3"]) == 0
    return folder


@pytest.fixture
def daemon(checkpoint: Path, tmp_path: Path) -> Iterator[Process]:
    with Process(settings(tmp_path / "daemon"), "--cascade", str(checkpoint), "--device", "cpu") as process:
        yield process


def counting_track(folder: Path, seconds: float) -> Path:
    """Sample k is a number that no other sample has, so that a piece of it says where it is from."""
    count = np.arange(1, int(seconds * RATE_HZ) + 1, dtype=np.float32) * np.float32(2.0**-20)
    write_wav(folder / "track.wav", np.stack([count, -count]), RATE_HZ)
    return folder / "track.wav"


def state_line(state: str, name: str) -> str:
    return next(line.removeprefix(f"{name} ") for line in state.split("\n") if line.startswith(f"{name} "))


def test_capture_generate_save_reload_and_import(daemon: Process, tmp_path: Path) -> None:
    building.need("/usr/lib/ardour7/luasession")
    environment = {"ACESTEP_HOME": str(daemon.home), "ACESTEP_OSC_PORT": str(daemon.osc_port)}
    ardour = Ardour(tmp_path, building.plugin().vst3, **environment)
    assert "parameters 11" in ardour.new_session(BPM, OVER, UNDER)
    ardour.set_plugin_state("acestep-plugin 1\ninstance a1b2c3d4\nprompt warm pad with häppy \\\\ bells")
    track = counting_track(tmp_path, 30.0)
    ardour.add_audio("T1", track, 0.0)

    # four bars last 7.74 s; the capture is taken in the sixth
    stop, captures = tmp_path / "stop", daemon.home / "captures"
    player = threading.Thread(target=ardour.play, args=(f"10.5:{TAKE_REFERENCE} 11.5:{TRIGGER}", stop, 90.0))
    player.start()
    try:
        capture = eventually(lambda: next(captures.glob("*.wav"), None), "no capture", 90.0)
        samples = tmp_path / "daemon" / "samples"
        clip = eventually(lambda: next(samples.glob("*.wav"), None), "no clip from the daemon", 120.0)
    finally:
        threading.Timer(1.0, stop.touch).start()
        player.join()

    check_capture(capture, track, BAR_SAMPLES)

    state = ardour.plugin_state()
    assert state_line(state, "prompt") == "warm pad with häppy \\\\ bells"
    assert state_line(state, "reference") == str(capture)
    assert str(clip) in state_line(state, "result")
    made, _ = read_wav(clip)
    assert made.shape[1] == round(4 * BAR_SAMPLES)

    ardour.play("", stop, 1.0)  # loads, and saves what it loaded
    assert ardour.plugin_state() == state

    bar = 5
    ardour.add_audio("T1", clip, bar * BAR_SAMPLES / RATE_HZ)
    for region in (track,):  # only the clip is to be heard
        write_wav(region, np.zeros((2, 30 * RATE_HZ), np.float32), RATE_HZ)
        for copy in (tmp_path / "ses").rglob(region.name):
            copy.write_bytes(region.read_bytes())
    ardour.export(tmp_path / "mix.wav")
    mix, _ = read_wav(tmp_path / "mix.wav")
    at = round(bar * BAR_SAMPLES)
    offsets = {lag: match(mix, made, at + lag) for lag in range(-3, 4)}
    assert max(offsets, key=offsets.__getitem__) in (-1, 0, 1), offsets
    assert max(offsets.values()) > 0.99, offsets


def check_capture(capture: Path, track: Path, bar_samples: float) -> None:
    """It is whole bars of the track, from a bar line on, sample by sample."""
    audio, rate_hz = read_wav(capture)
    assert rate_hz == RATE_HZ
    assert abs(audio.shape[1] - CAPTURE_BARS * bar_samples) <= 1
    source, _ = read_wav(track)
    first = round(float(audio[0, 0]) * 2**20) - 1
    assert abs(first - round(first / bar_samples) * bar_samples) <= 1, "the capture begins on a bar line"
    assert np.array_equal(audio, source[:, first : first + audio.shape[1]]), "the capture is the track"


# Signatures in which DPF's own arithmetic is wrong (7/8) or divides by zero (3/16)
@pytest.mark.parametrize(("bpm", "over", "under"), [(127.37, 7, 8), (61.0, 3, 16)])
def test_bars_of_odd_signatures_are_the_songs(bpm: float, over: int, under: int, tmp_path: Path) -> None:
    with Peer() as peer:
        environment = {"ACESTEP_HOME": str(tmp_path / "daemon"), "ACESTEP_OSC_PORT": str(peer.port)}
        ardour = Ardour(tmp_path, building.plugin().vst3, **environment)
        ardour.new_session(bpm, over, under)
        track = counting_track(tmp_path, 20.0)
        ardour.add_audio("T1", track, 0.0)
        stop = tmp_path / "stop"
        stop.touch()
        ardour.play(f"9:{TAKE_REFERENCE} 9.5:{TRIGGER}", stop, 1.0)
        request = peer.wait_for("/acestep/generate")[0]
    values = dict(zip(request[1::2], request[2::2], strict=True))
    assert values["tempo"] == pytest.approx(bpm, abs=1e-4)
    assert values["signature"] == f"{over}/{under}"
    check_capture(Path(values["reference"]), track, over * 4 / under * 60 / bpm * RATE_HZ)


def match(mix: np.ndarray, clip: np.ndarray, at: int) -> float:
    """Correlation of the clip with the mix at this place."""
    piece = mix[0, at : at + clip.shape[1]].astype(float)
    return float(np.dot(piece, clip[0]) / (np.linalg.norm(piece) * np.linalg.norm(clip[0]) + 1e-12))

"""CLAP and VST3, on Linux and (in Wine) on Windows, in a host that does what few hosts do and all may."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.hosts.building import PARAMETERS
from tests.support.hosts.editor_screenshots import until_results
from tests.support.hosts.native_host import FORMATS, SYSTEMS, NativeHost, on_this_system
from tests.support.hosts.peer import Peer, eventually
from tests.support.hosts.screen import Screen, shows
from tests.support.hosts.sound import read_wav, write_wav

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]

RATE_HZ = 48000
TRIGGER, PREVIEW, CAPTURE_BARS, TAKE_CONTEXT = 5, 6, 8, 10  # ids
# Places in the editor and its colours (glue/canvas.hpp)
PROMPT, BARS_UP, WAVEFORM_PLACE, LISTEN = (200, 67), (70, 150), (570, 420), (430, 563)
DRUMS, BASS, MIDI, IDEA, IDEAS_NOTES = (372, 196), (428, 196), (728, 196), (100, 335), (237, 338)
ACCENT, WAVEFORM = (0.31, 0.82, 0.70), (0.25, 0.655, 0.565)


@pytest.fixture(params=[(kind, system) for system in SYSTEMS for kind in FORMATS], ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Its name is not ASCII, as users' names may be."""
    (tmp_path / "Zoë").mkdir()
    return tmp_path / "Zoë"


def tone(folder: Path, frames: int) -> Path:
    """A clip whose first samples stand out."""
    audio = np.full((2, frames), 0.25, np.float32)
    audio[:, :4] = 0.5
    write_wav(folder / "clip.wav", audio, RATE_HZ)
    return folder / "clip.wav"


def test_what_the_plugin_says_of_itself(kind: tuple[str, str], folder: Path) -> None:
    with NativeHost(*kind, folder) as host:
        told = host("describe")
        assert {"name ACE-Step Bridge", "in audio 2", "out audio 2", "in notes 1", "out notes 0"} <= set(told)
        parameters = [line.split("|") for line in host("parameters")]
    assert [name for _, name, *_ in parameters] == PARAMETERS
    assert [int(number) for number, *_ in parameters] == list(range(len(PARAMETERS)))
    assert parameters[2][2:] == ["0", "24", "0", "Any"]
    assert parameters[3][2:5] == ["0", "65535", "0"]


def test_audio_passes_bit_by_bit_at_any_rate_and_block_size(kind: tuple[str, str], folder: Path) -> None:
    with NativeHost(*kind, folder) as host:
        for rate_hz in (44100, 48000, 96000):  # the same instance, started anew
            host("activate", rate_hz, 4096)
            for playing in (0, 1):
                host("transport", playing)
                for block in (1, 64, 333, 4096):
                    host("block", block)
                    assert host.play(2000 if block == 1 else 50000), (rate_hz, block)
            host("deactivate")


@pytest.mark.parametrize(("bpm", "over", "under"), [(93.0, 3, 4), (127.37, 7, 8), (61.0, 3, 16)])
def test_the_hosts_bars_reach_the_request_and_a_capture_is_whole_bars_of_the_track(
    kind: tuple[str, str], folder: Path, peer: Peer, bpm: float, over: int, under: int
) -> None:
    with NativeHost(*kind, folder, peer.port) as host:
        host("song", bpm, over, under)
        host("transport", 1)
        host("activate", RATE_HZ, 512)
        host.play(15 * RATE_HZ)
        peer.wait_for("/acestep/ping")
        host("set", CAPTURE_BARS, 4)
        host("set", TAKE_CONTEXT, 1)
        host.play(512)
        captures = folder / "home" / "captures"
        eventually(lambda: next(captures.glob("*.wav"), None), "no capture")
        host("set", TRIGGER, 1)
        host.play(512)
        request = peer.wait_for("/acestep/generate")[0]
    values = dict(zip(request[1::2], request[2::2], strict=True))
    assert values["tempo"] == pytest.approx(bpm, abs=1e-4)
    assert values["signature"] == f"{over}/{under}"
    assert on_this_system(values["context"]).parent == captures
    audio, rate_hz = read_wav(on_this_system(values["context"]))
    bar = over * 4 / under * 60 / bpm * RATE_HZ
    first = round(float(audio[0, 0]) * 2**20) - 1
    assert rate_hz == RATE_HZ
    assert abs(audio.shape[1] - 4 * bar) <= 1
    assert abs(first - round(first / bar) * bar) <= 1
    assert np.array_equal(audio[0] * 2**20, np.arange(first + 1, first + 1 + audio.shape[1]))


def test_a_chord_is_one_request(kind: tuple[str, str], folder: Path, peer: Peer) -> None:
    with NativeHost(*kind, folder, peer.port) as host:
        host("activate", RATE_HZ, 512)
        host.play(4096)
        peer.wait_for("/acestep/ping")
        for key in (60, 64, 67):
            host("note", key)
        host.play(512)
        peer.wait_for("/acestep/generate")
        host.play(4096)
        host("note", 60)
        host.play(512)
        assert len(peer.wait_for("/acestep/generate", 2)) == 2


def test_the_state_survives_hosts_that_take_and_give_it_in_small_pieces(
    kind: tuple[str, str], folder: Path
) -> None:
    with NativeHost(*kind, folder) as host:
        host("activate", RATE_HZ, 512)
        host("set", 0, 12)
        host("set", 4, 0.25)
        host.play(512)
        state = host.state("first")
    for part in (b"__dpf_state_begin__", b"instance ", b"bars\x0012\x00"):
        assert state.count(part) == 1
    with NativeHost(*kind, folder) as host:
        host("load", "first")
        host("activate", RATE_HZ, 512)
        host.play(512)
        assert host.number("value", 0) == 12
        assert host.number("value", 4) == pytest.approx(0.25)
        assert host.state("second") == state  # the instance's name too


def test_a_preview_starts_and_repeats_on_the_bar(kind: tuple[str, str], folder: Path) -> None:
    bar = round(4 * 60 / 120 * RATE_HZ)
    with (
        Peer(tone(folder, 2 * bar)) as peer,
        NativeHost(*kind, folder, peer.port) as host,
    ):
        host("activate", RATE_HZ, 512)
        host("transport", 1)
        host("set", 0, 2)
        host.play(RATE_HZ)  # buttons that are down from the start do nothing
        peer.wait_for("/acestep/ping")
        host("wait", 100)  # for the answer
        host("set", TRIGGER, 1)
        host.play(512)
        peer.wait_for("/acestep/generate")
        host("wait", 1000)  # the worker loads the clip
        host("set", PREVIEW, 1)
        host("block", 300)
        start = RATE_HZ + 512
        output = host.heard(5 * bar)
    count = np.arange(start + 1, start + 1 + output.shape[1], dtype=np.float32) * np.float32(2.0**-20)
    heard = output[0] - count
    marks = np.flatnonzero((heard[1:] > 0.4) & (heard[:-1] <= 0.4)) + 1 + start
    assert list(marks) == pytest.approx([bar, 3 * bar, 5 * bar], abs=1)


def until_shown(
    host: NativeHost, screen: Screen, name: str, color: tuple[float, float, float], least: int
) -> None:
    """Lives on until the screen has so many pixels of a colour."""

    def look() -> bool:
        host("wait", 100)
        return shows(screen.picture(name), color) >= least

    eventually(look, name)


def click(host: NativeHost, screen: Screen, x: int, y: int) -> None:
    screen.do("mousemove", x, y)
    host("wait", 100)
    screen.do("click", 1)
    host("wait", 200)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("kind", FORMATS)
def test_the_editor_fits_the_screens_density_and_rests_while_nothing_moves(
    kind: str, scale: int, folder: Path
) -> None:
    with (
        Screen(folder, "1800x1300") as screen,
        Peer(tone(folder, 8 * RATE_HZ)) as peer,
        NativeHost(kind, "linux", folder, peer.port, screen) as host,
    ):
        for _ in range(2):  # it can be closed and opened again
            assert host("editor", scale) == [f"{780 * scale} {600 * scale}"]
            until_shown(host, screen, "rest", ACCENT, 30 * scale**2)  # connected
            host("close-editor")
        host("editor", scale)
        until_shown(host, screen, "rest", ACCENT, 30 * scale**2)
        left, top, *_ = screen.place(screen.window("Test host"))
        host("activate", RATE_HZ, 4096)
        host("roll", 1)
        for place in (BARS_UP, PROMPT):
            click(host, screen, left + scale * place[0], top + scale * place[1])
        screen.type("x")
        screen.key("Return")
        until_shown(host, screen, "result", WAVEFORM, 3000 * scale**2)
        assert host.number("value", 0) == 5
        screen.do("mousemove", 1799, 1299)
        host("wait", 500)
        host("frames")
        host("wait", 1000)
        assert host.number("frames") == 0
        click(host, screen, left + scale * LISTEN[0], top + scale * LISTEN[1])
        host("frames")
        host("wait", 1000)
        assert host.number("frames") > 0
        screen.picture("listening")
        host("close-editor")


@pytest.mark.parametrize("kind", FORMATS)
def test_the_editor_on_windows_takes_clicks_and_text_and_a_result_is_dragged_out_of_it(
    kind: str, folder: Path
) -> None:
    # what it looks like is not seen: Wine 8 shows no child windows that are drawn by OpenGL on this screen
    clip = tone(folder, 2 * RATE_HZ)
    with (
        Screen(folder) as screen,
        Peer(clip) as peer,
        NativeHost(kind, "windows", folder, peer.port, screen) as host,
    ):
        assert host("editor", 1) == ["780 600"]
        host("close-editor")
        host("editor", 1)
        host("drop-window")
        host("activate", RATE_HZ, 4096)
        host("roll", 1)
        peer.wait_for("/acestep/ping")
        host("wait", 500)  # the answer
        left, top, *_ = screen.place(screen.window("Test host"))
        for place in (BARS_UP, PROMPT):
            click(host, screen, left + place[0], top + place[1])
        screen.type("x")
        screen.key("Return")
        until_results(host, 1)
        assert peer.sent("/acestep/generate")[0][0] == "x"
        assert host.number("value", 0) == 5
        x, y, *_ = screen.place(screen.window("Drop here"))
        start = (left + WAVEFORM_PLACE[0], top + WAVEFORM_PLACE[1])
        screen.drag_while(start, (x + 100, y + 100), lambda: host("wait", 3000))
        for place in (DRUMS, BASS, MIDI):
            click(host, screen, left + place[0], top + place[1])
        click(host, screen, left + PROMPT[0], top + PROMPT[1])
        screen.key("Return")
        until_results(host, 4)  # drums, bass and the mix of an idea
        for place in (IDEA, IDEAS_NOTES):  # all parts, and the notes of all
            start = (left + place[0], top + place[1])
            screen.drag_while(start, (x + 100, y + 100), lambda: host("wait", 3000))
        dropped = [line.removeprefix("dropped ") for line in host.printed if line.startswith("dropped ")]
        screen.picture("dropped")
        host("close-editor")
    parts = [clip.with_stem(f"clip_job-2_{part}") for part in ("drums", "bass")]
    assert [on_this_system(path) for path in dropped] == [
        clip,
        *parts,
        *(part.with_suffix(".mid") for part in parts),
    ]

"""What hosts may do beyond the usual: offsets, loops and jumps, several instances, editors opened and closed
at any time, calls in any order. The audio thread must stay free of locks, memory and system calls."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.hosts.at_random import random_calls, random_events
from tests.support.hosts.editor_screenshots import until_results
from tests.support.hosts.native_host import FORMATS, SYSTEMS, NativeHost, Refused
from tests.support.hosts.peer import Peer, eventually
from tests.support.hosts.screen import Screen, shows
from tests.support.hosts.sound import read_wav, write_wav

pytestmark = [pytest.mark.hosts, pytest.mark.heavy, pytest.mark.timeout(1800)]

RATE_HZ = 48000
BAR = 2 * RATE_HZ  # at 120 BPM in 4/4
BARS, LEVEL, TRIGGER, PREVIEW, CAPTURE_BARS, TAKE_CONTEXT = 0, 7, 5, 6, 8, 10  # ids
ACCENT = (0.31, 0.82, 0.70)
BARS_UP, PROMPT = (70, 150), (200, 67)  # places in the editor


@pytest.fixture(params=[(kind, system) for system in SYSTEMS for kind in FORMATS], ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


def clip(folder: Path, bars: int) -> Path:
    """A clip whose first samples stand out."""
    audio = np.full((2, bars * BAR), 0.25, np.float32)
    audio[:, :4] = 0.5
    write_wav(folder / "clip.wav", audio, RATE_HZ)
    return folder / "clip.wav"


def captured(folder: Path, count: int) -> np.ndarray:
    """The newest capture as sample numbers of the song, once there are so many."""
    files = eventually(
        lambda: len(found := sorted((folder / "home" / "captures").glob("*.wav"))) >= count and found,
        "no capture",
    )
    audio, _ = read_wav(max(files, key=lambda file: file.stat().st_mtime_ns))
    return np.rint(audio[0].astype(np.float64) * 2**20).astype(np.int64) - 1


def test_of_changes_within_a_block_the_last_counts_and_notes_anywhere_in_it_trigger(
    kind: tuple[str, str], tmp_path: Path
) -> None:
    with Peer() as peer, NativeHost(*kind, tmp_path, peer.port) as host:
        host("activate", RATE_HZ, 512)
        host.play(2 * RATE_HZ)
        peer.wait_for("/acestep/ping")
        host("wait", 100)  # for the answer
        for bars, offset in ((9, 400), (7, 20), (12, 511), (3, 0)):  # the host brings them in order
            host("set", BARS, bars, offset)
        host("set", LEVEL, 0.5, 17)
        host("note", 60, 500)
        assert host.play(512)
        assert host.number("value", BARS) == 12
        assert host.number("value", LEVEL) == pytest.approx(0.5)
        request = peer.wait_for("/acestep/generate")[0]
    assert dict(zip(request[1::2], request[2::2], strict=True))["bars"] == 12


def test_a_stopped_host_hands_values_over_without_a_block(kind: tuple[str, str], tmp_path: Path) -> None:
    with NativeHost(*kind, tmp_path) as host:
        host("set", BARS, 11)
        host("flush")
        assert host.number("value", BARS) == 11
        host("activate", RATE_HZ, 512)
        host("set", BARS, 6)
        host("flush")
        host("reset")
        assert host.play(4096)
        assert host.number("value", BARS) == 6


def test_bars_are_captured_across_a_loop_but_not_across_a_jump(kind: tuple[str, str], tmp_path: Path) -> None:
    with Peer() as peer, NativeHost(*kind, tmp_path, peer.port) as host:
        host("activate", RATE_HZ, 512)
        host("transport", 1)
        host("set", CAPTURE_BARS, 4)
        for _ in range(3):  # a loop of two bars
            host("locate", 0)
            host.play(2 * BAR)
        host.play(512)  # the line after the last bar
        host("set", TAKE_CONTEXT, 1)
        host.play(512)
        looped = captured(tmp_path, 1)
        assert np.array_equal(looped, np.tile(np.arange(2 * BAR), 2))

        host("set", CAPTURE_BARS, 2)
        host("set", TAKE_CONTEXT, 0)  # the button comes up
        host("locate", 20 * BAR + 12345)  # into the middle of a bar
        host.play(4 * BAR)
        host("set", TAKE_CONTEXT, 1)
        host.play(512)
        after = captured(tmp_path, 2)
    assert np.array_equal(after, np.arange(22 * BAR, 24 * BAR))


def test_a_preview_finds_the_bar_again_after_a_jump(kind: tuple[str, str], tmp_path: Path) -> None:
    with Peer(clip(tmp_path, 2)) as peer, NativeHost(*kind, tmp_path, peer.port) as host:
        host("activate", RATE_HZ, 512)
        host("transport", 1)
        host("set", BARS, 2)
        host.play(RATE_HZ)
        peer.wait_for("/acestep/ping")
        host("wait", 100)
        host("set", TRIGGER, 1)
        host.play(512)
        until_results(host, 1)
        host("wait", 1000)  # the worker loads the clip
        host("set", PREVIEW, 1)
        host("locate", 0)
        host.play(BAR + BAR // 2)
        host("locate", 9 * BAR - 1000)
        output = host.heard(BAR)
        song = np.arange(9 * BAR - 999, 10 * BAR - 999, dtype=np.float32) * np.float32(2.0**-20)
    heard = output[0] - song
    assert np.all(np.abs(heard[300:998]) < 1e-6)  # what sounded has faded
    assert int(np.flatnonzero(heard > 0.4)[0]) == pytest.approx(1000, abs=1)


def test_the_audio_thread_never_allocates_locks_or_calls_the_system(
    kind: tuple[str, str], tmp_path: Path
) -> None:
    with Peer(clip(tmp_path, 1)) as peer, NativeHost(*kind, tmp_path, peer.port) as host:
        host("tripwire")
        host("activate", RATE_HZ, 4096)
        host("transport", 1)
        host("roll", 1)
        peer.wait_for("/acestep/ping")
        host("set", CAPTURE_BARS, 1)
        for turn in range(12):  # while everything else is busy
            host("set", BARS, 1 + turn, 33 * turn)
            host("set", TRIGGER, turn % 2)
            host("note", 60 + turn, 5)
            host("set", PREVIEW, int(turn % 3 > 0))
            host("set", TAKE_CONTEXT, turn % 2)
            host("wait", 200)
            if turn == 9:  # a bar and a half have gone by
                host("locate", 77777)
            host.state("state")
            host("load", "state")
        host("roll", 0)
        assert host.state().count(b"result ") > 0  # so there was something to listen to
        assert captured(tmp_path, 1).size


@pytest.mark.parametrize("kind", FORMATS)
def test_the_audio_thread_is_as_free_with_editors_of_two_instances_open(kind: str, tmp_path: Path) -> None:
    with (
        Screen(tmp_path, "1700x1200") as screen,
        Peer(clip(tmp_path, 1)) as peer,
        NativeHost(kind, "linux", tmp_path, peer.port, screen) as host,
    ):
        host("tripwire")
        windows = []
        for number, title in enumerate(("Test host$", "Test host 2")):
            host("instance", number)
            host("activate", RATE_HZ, 4096)
            host("editor", 1)
            host("wait", 300)
            windows.append(screen.window(title))
            screen.do("windowmove", windows[-1], 20 + 800 * number, 100)
        host("roll", 1)
        places = [screen.place(window)[:2] for window in windows]
        eventually(
            lambda: host("wait", 100) == [] and shows(screen.picture("both"), ACCENT) >= 60,
            "both connected",
        )
        for x, y in (places[1], places[1], places[0]):
            screen.do("mousemove", x + BARS_UP[0], y + BARS_UP[1], "click", 1)
            host("wait", 300)
        screen.do("mousemove", places[1][0] + PROMPT[0], places[1][1] + PROMPT[1], "click", 1)
        host("wait", 200)
        screen.do("type", "--delay", 15, "second")
        screen.do("key", "Return")
        host("wait", 500)
        values = []
        for number in (0, 1):
            host("instance", number)
            values.append(host.number("value", BARS))
            assert (b"prompt second" in host.state(f"state{number}")) == (number == 1)
        assert values == [5, 6]
        host("close-editor")  # the second one's
        host("instance", 0)
        screen.do("mousemove", 1690, 1190)
        host("wait", 500)
        host("frames")
        host("wait", 500)
        assert host.number("frames") == 0
        host("close-editor")
    assert len({sender for sender, address, _ in peer.messages if address == "/acestep/session"}) == 2
    assert [values[0] for values in peer.sent("/acestep/generate")] == ["second"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_job_goes_on_while_the_editor_is_closed(kind: str, tmp_path: Path) -> None:
    with (
        Screen(tmp_path) as screen,
        Peer(clip(tmp_path, 1)) as peer,
        NativeHost(kind, "linux", tmp_path, peer.port, screen) as host,
    ):
        peer.hold = True
        host("activate", RATE_HZ, 4096)
        host("roll", 1)
        host("editor", 1)
        peer.wait_for("/acestep/ping")
        host("wait", 500)
        host("set", TRIGGER, 1)
        peer.wait_for("/acestep/generate")
        host("wait", 300)  # its progress is shown, and glides
        host("close-editor")
        peer.finish()
        until_results(host, 1)
        host("editor", 1)
        host("wait", 500)
        host("close-editor")


def test_a_state_that_ends_early_is_refused_and_changes_nothing(
    kind: tuple[str, str], tmp_path: Path
) -> None:
    with NativeHost(*kind, tmp_path) as host:
        host("set", BARS, 12)
        host("flush")
        whole = host.state("whole")
        host("set", BARS, 5)
        host("flush")
        before = host.state("before")
        for part in (0, 10, len(whole) // 2, len(whole) - 2):
            (tmp_path / "part").write_bytes(whole[:part])
            with pytest.raises(Refused):
                host("load", "part")
            assert host.state("after") == before
        host("load", "whole")
        assert host.number("value", BARS) == 12


@pytest.mark.parametrize("kind", FORMATS)
def test_calls_at_random_under_sanitizers(kind: str, tmp_path: Path) -> None:
    assert random_calls(kind, tmp_path, 100) == "100 sequences"


@pytest.mark.parametrize("kind", FORMATS)
def test_window_events_at_random_under_sanitizers(kind: str, tmp_path: Path) -> None:
    assert "results" in random_events(kind, tmp_path, 10)

"""OSC against a daemon over real sockets: every message of the table, every answer, everything wrong."""

import json
import select
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage

import acestep
from protos import WIRE_VERSION
from server.daemon import Daemon
from server.osc.packets import encode, parse
from server.osc.spelling import MESSAGES, NAMED, shortest
from tests.support.daemons import WAIT_S, Osc, StandIn, running, settings


@pytest.fixture
def engine() -> StandIn:
    return StandIn()


@pytest.fixture
def daemon(tmp_path: Path, engine: StandIn) -> Iterator[Daemon]:
    with running(settings(tmp_path), engine) as found:
        yield found


@pytest.fixture
def osc(daemon: Daemon) -> Iterator[Osc]:
    with Osc(daemon.osc.port) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests that change nothing."""
    with running(settings(tmp_path_factory.mktemp("shared")), StandIn()) as found:
        yield found


@pytest.fixture
def guest(shared: Daemon) -> Iterator[Osc]:
    """A client with a session of its own on the shared daemon."""
    with Osc(shared.osc.port) as client:
        _until_answered(client)
        client.send("session", "guest")
        yield client


def _until_answered(client: Osc) -> None:
    """Waits until the daemon answers this host again: other tests use up what a host is answered at once."""
    client.socket.settimeout(0.3)
    for _ in range(60):
        client.send("ping")
        try:
            while client.receive()[0] != "pong":
                pass
            break
        except TimeoutError:
            continue
    time.sleep(0.1)  # and has 25 kB for it, more than any of these tests is told
    client.socket.settimeout(WAIT_S)


def stored(client: Osc) -> dict[str, object]:
    """The session's settings as the daemon tells them."""
    client.send("status")
    return json.loads(client.until("state")[1][0])["session"]["settings"]


def test_ping_is_answered_with_the_versions(osc: Osc) -> None:
    osc.send("ping")
    assert osc.receive() == ("pong", [acestep.__version__, WIRE_VERSION])


def test_settings_become_the_request(osc: Osc, daemon: Daemon) -> None:
    osc.send("tempo", 127.37)
    osc.send("signature", 7, 8)
    osc.send("bars", 3)
    osc.send("key", "f#m")
    osc.send("seed", 77)
    osc.send("takes", 2)
    osc.send("candidates", 3)
    osc.send("lyrics", "la la")
    osc.send("strength", 1)
    osc.send("swing", 1.5)
    osc.send("generate", "a dusty breakbeat")
    job = daemon.queue.get(osc.until("accepted")[1][0])
    request = job.request
    assert (request.prompt, request.bpm, str(request.signature), request.bars) == (
        "a dusty breakbeat",
        127.37,
        "7/8",
        3,
    )
    assert (str(request.key), request.seed, request.takes, request.candidates) == ("F# minor", 77, 2, 3)
    assert (request.lyrics, request.strength, request.swing) == ("la la", 1, 1.5)


def test_a_clip_is_told_with_its_musical_data_and_then_done(osc: Osc) -> None:
    osc.send("tempo", 92.5)
    osc.send("key", "A minor")
    osc.send("generate", "two takes", "takes", 2)
    job = osc.until("accepted")[1][0]
    first, second, done = (osc.until("clip", "done", "error") for _ in range(3))
    assert first[0] == second[0] == "clip"
    assert first[1][0] == job
    assert Path(first[1][1]).is_file()
    assert first[1][2:6] == [92.5, "4/4", "A minor", 4.0]
    assert first[1][6] == pytest.approx(0.02)
    assert second[1][1] != first[1][1]
    assert done == ("done", [job, 2])


def test_where_the_midi_file_of_a_clip_is_told_after_the_clip(osc: Osc) -> None:
    osc.send("midi", 1)
    osc.send("generate", "one take")
    _, (job, clip, *_) = osc.until("clip")
    address, values = osc.until("companion", "done", "error")
    assert (address, values) == ("companion", [job, clip, str(Path(clip).with_suffix(".mid"))])
    assert Path(values[2]).is_file()
    osc.send("generate", "one take", "midi", 0)
    osc.until("clip")
    assert osc.until("companion", "done", "error")[0] == "done"


def test_named_settings_are_for_one_job_only(osc: Osc, daemon: Daemon) -> None:
    osc.send("tempo", 100)
    osc.send("generate", "p", "tempo", 140.5, "signature", "6/8", "bars", 2.5, "key", "Gb", "adapter", "")
    request = daemon.queue.get(osc.until("accepted")[1][0]).request
    assert (request.bpm, str(request.signature), request.bars, str(request.key)) == (
        140.5,
        "6/8",
        2.5,
        "Gb major",
    )
    osc.send("generate", "p")
    assert daemon.queue.get(osc.until("accepted")[1][0]).request.bpm == 100


def test_programs_ask_which_adapters_a_request_may_name(daemon: Daemon, osc: Osc) -> None:
    osc.send("adapters")
    assert osc.until("adapter_names")[1] == [0]
    folder = daemon.config.home / "adapters"
    folder.mkdir()
    for name in ("warm tape", "dusty"):
        (folder / f"{name}.safetensors").touch()
    osc.send("adapters")
    assert osc.until("adapter_names")[1] == [2, "dusty", "warm tape"]
    osc.send("adapters", 1.5)
    assert "/acestep/adapters" in osc.until("error")[1][1]
    for number in range(100):
        (folder / f"{number:03}{'x' * 150}.safetensors").touch()
    osc.send("adapters")
    count, *names = osc.until("adapter_names")[1]  # as many as one message holds
    assert count == 102
    assert 40 < len(names) < 102
    assert names == sorted(path.stem for path in folder.iterdir())[: len(names)]


def test_an_adapters_scale_is_written_as_other_numbers_are(
    osc: Osc, daemon: Daemon, home_of_its_own: Path
) -> None:
    folder = daemon.config.home / "adapters" / "dusty"
    folder.mkdir(parents=True)
    (folder / "adapter.json").write_text('{"rank": 4}')
    for text, scale in (("dusty:0,8", 0.8), ("dusty:0.8", 0.8), ("dusty:−0,5", -0.5), ("dusty", 1.0)):
        osc.send("generate", "p", "adapter", text)
        assert daemon.queue.get(osc.until("accepted")[1][0]).request.adapters == (("dusty", scale),)
    for text in ("dusty:loud", "dusty:", "dusty:0,8,1"):
        osc.send("generate", "p", "adapter", text)
        assert "expected NAME or NAME:SCALE" in str(osc.until("error")[1])


def test_every_message_has_a_named_twin() -> None:
    missing = set(MESSAGES) - set(NAMED) - {"repaint"}
    assert missing == set()


def test_audio_ranges_are_put_together_by_name(osc: Osc, daemon: Daemon, tmp_path: Path) -> None:
    file = tmp_path / "samples" / "a.wav"
    soundfile.write(file, np.zeros((48_000, 2)), 48_000)
    osc.send("generate", "p", "reference_end", 0.75, "reference", str(file), "reference_start", 0.25)
    reference = daemon.queue.get(osc.until("accepted")[1][0]).request.reference
    assert reference is not None
    assert (reference.path, reference.start_s, reference.end_s) == (str(file), 0.25, 0.75)


def test_each_file_of_a_context_has_ends_of_its_own(osc: Osc, daemon: Daemon, tmp_path: Path) -> None:
    one, two, three = (str(tmp_path / "samples" / f"{name}.wav") for name in "abc")
    for file in (one, two, three):
        soundfile.write(file, np.random.default_rng(1).uniform(-0.1, 0.1, (48_000, 2)), 48_000)
    ends = ("with_start", 0.25, "with_end", 0.75)
    osc.send("generate", "p", "context", one, "with", two, *ends, "with", three, "tempo", 120, "bars", 1)
    context = daemon.queue.get(osc.until("accepted")[1][0]).request.context
    assert context is not None
    heard = [(part.path, part.start_s, part.end_s) for part in context.sources]
    assert heard == [(one, 0, None), (two, 0.25, 0.75), (three, 0, None)]


def test_a_job_can_name_its_folder(osc: Osc, tmp_path: Path) -> None:
    folder = tmp_path / "samples" / "Set Project" / "Samples"
    osc.send("generate", "p", "folder", str(folder))
    path = Path(osc.until("clip", "error")[1][1])
    assert path.parent == folder
    osc.send("generate", "p", "folder", str(tmp_path / "elsewhere"))
    assert osc.until("clip", "error")[1][0] == "forbidden_path"


def test_all_senders_of_a_host_share_a_session_and_some_have_their_own(osc: Osc, daemon: Daemon) -> None:
    osc.send("tempo", 90)
    with Osc(daemon.osc.port) as fader, Osc(daemon.osc.port) as plugin:
        assert stored(fader)["bpm"] == 90
        plugin.send("session", "Bass track")
        assert stored(plugin) == {}
        plugin.send("tempo", 150)
        assert stored(plugin)["bpm"] == 150
        assert stored(fader)["bpm"] == 90


def test_events_go_to_the_sender_of_the_job_and_to_subscribers_only(osc: Osc, daemon: Daemon) -> None:
    with Osc(daemon.osc.port) as subscriber, Osc(daemon.osc.port) as stranger:
        subscriber.send("subscribe")
        subscriber.send("ping")
        subscriber.until("pong")
        osc.send("generate", "p")
        job = osc.until("done")[1][0]
        assert subscriber.until("done")[1][0] == job
        assert stranger.waiting() == []


def test_one_program_can_subscribe_another_ports_and_unsubscribe_it(osc: Osc, daemon: Daemon) -> None:
    with Osc(daemon.osc.port) as listener:
        osc.send("subscribe", listener.port)
        osc.send("tempo", -1)
        assert listener.receive()[0] == "error"
        with Osc(daemon.osc.port) as other:
            other.send("unsubscribe")
            other.send("tempo", -1)
            other.until("error")
        assert listener.waiting() == []


def test_a_running_job_is_cancelled_and_leaves_no_file(
    osc: Osc, engine: StandIn, daemon: Daemon, tmp_path: Path
) -> None:
    engine.hold.clear()
    osc.send("generate", "p")
    job = osc.until("accepted")[1][0]
    engine.started.acquire(timeout=5)
    osc.send("cancel", job)
    assert osc.until("cancelled", "error") == ("cancelled", [job])
    assert list((tmp_path / "samples").iterdir()) == []


def test_cancel_without_a_job_cancels_all_of_the_session(osc: Osc, engine: StandIn, daemon: Daemon) -> None:
    engine.hold.clear()
    with Osc(daemon.osc.port) as other:
        other.send("session", "other")
        other.send("generate", "of another session")
        theirs = other.until("accepted")[1][0]
        for _ in range(3):
            osc.send("generate", "mine")
        mine = {osc.until("accepted")[1][0] for _ in range(3)}
        osc.send("cancel")
        assert {osc.until("cancelled")[1][0] for _ in range(3)} == mine
        engine.hold.set()
        assert other.until("done", "cancelled") == ("done", [theirs, 1])


def test_somebody_else_who_cancels_hears_of_it(osc: Osc, engine: StandIn, daemon: Daemon) -> None:
    engine.hold.clear()
    osc.send("generate", "p")
    job = osc.until("accepted")[1][0]
    with Osc(daemon.osc.port) as pad:
        pad.send("cancel", job)
        assert pad.until("cancelled", "error") == ("cancelled", [job])
    assert osc.until("cancelled") == ("cancelled", [job])


def test_a_job_that_fails_says_why_and_the_daemon_lives(osc: Osc, engine: StandIn) -> None:
    engine.fail = RuntimeError("boom")
    osc.send("generate", "p")
    job = osc.until("accepted")[1][0]
    reason, message, told = osc.until("error")[1]
    assert (reason, told) == ("internal", job)
    assert "boom" in message
    engine.fail = None
    osc.send("generate", "p")
    assert osc.until("done", "error")[0] == "done"


def test_the_state_names_ports_folders_and_jobs(osc: Osc, daemon: Daemon, engine: StandIn) -> None:
    engine.hold.clear()
    osc.send("generate", "p")
    job = osc.until("accepted")[1][0]
    engine.started.acquire(timeout=5)
    osc.send("status")
    state = json.loads(osc.until("state")[1][0])
    assert state["running_job"] == job
    assert state["jobs"][0]["job"] == job
    assert state["osc_port"] == daemon.osc.port
    assert state["grpc_port"] == daemon.grpc.port
    assert state["wire_version"] == WIRE_VERSION
    assert state["samples_folder"] == str(daemon.config.samples)
    assert str(daemon.config.captures) in state["folders"]


WRONG_VALUES = [
    ("tempo", [0.0], "30–300"),
    ("tempo", [float("nan")], "not a number"),
    ("tempo", [float("inf")], "not a number"),
    ("tempo", [5000.0], "30–300"),
    ("tempo", ["fast"], "/acestep/tempo is the text 'fast': expected a number"),
    ("tempo", [], "f bpm"),
    ("tempo", [120.0, 4.0], "f bpm"),
    ("key", ["H minor"], "A–G"),
    ("key", [5], "expected text"),
    ("signature", [0, 4], "1–32"),
    ("signature", [4, 3], "1, 2, 4, 8"),
    ("signature", [4], "i numerator i denominator"),
    ("signature", ["4/4", 4], "whole number"),
    ("bars", [0], "0.0625–512"),
    ("bars", [10_000], "0.0625–512"),
    ("takes", [0], "1–16"),
    ("takes", [2.5], "whole number"),
    ("candidates", [99], "1–16"),
    ("seed", [-2], "0–"),
    ("strength", [1.5], "0–1"),
    ("swing", [9.0], "swing"),
    ("lyrics", ["x" * 6001], "at most 6000"),
    ("task", ["dance"], "one of text"),
    ("cascade", ["no-such"], "no cascade"),
    ("adapter", ["no-such", 1.0], "no adapter"),
    ("adapter", ["../x", 1.0], "is a path"),
    ("reference", ["/no/such.wav"], "outside the allowed folders"),
    ("reference", ["relative.wav"], "absolute"),
    ("folder", ["/"], "outside the allowed folders"),
    ("subscribe", [70_000], "1–65535"),
    ("session", [1], "expected text"),
    ("session", ["x" * 100], "at most 80"),
    ("generate", [], "expected s prompt"),
    ("generate", [2], "expected s prompt"),
    ("generate", [""], "prompt is empty"),
    ("generate", ["   "], "prompt is empty"),
    ("generate", ["x" * 2001], "at most 2000"),
    ("generate", ["p", "tempo"], "pairs"),
    ("generate", ["p", "sparkle", 3], "not a setting"),
    ("generate", ["p", 3, 3], "not a setting"),
    ("generate", ["p", "tempo", "x"], "/acestep/generate tempo is the text 'x': expected a number"),
    ("generate", ["p", "bars", 10_000], "0.0625–512"),
    ("generate", ["p", "bars", 512, "tempo", 30], "fewer bars"),
    ("generate", ["p", "signature", "0/4"], "1–32"),
    ("generate", ["p", "task", "cover"], "needs a context"),
    ("generate", ["p", "reference_start", 1.0], "without reference"),
    ("generate", ["p", "with_end", 1.0], "without with"),
    ("cancel", [], "nothing to cancel"),
    ("cancel", ["no-such"], "no job"),
    ("cancel", [3], "expected text"),
    ("ping", [2], "expected none"),
    ("nonsense", [], "is unknown"),
    ("{tempo,bars}", [5.0], "30–300"),
    ("x*", [5.0], "matches none of"),
    ("{tempo", [99.0], "open bracket"),
    ("*a*a*a*a*a*a", [99.0], "too long"),
    ("gen*", ["p"], "matches none of"),
    ("takes", [float("inf")], "whole number"),
    ("fit", [0.5], "0 or 1"),
]


@pytest.mark.parametrize(("address", "values", "expected"), WRONG_VALUES)
def test_wrong_messages_are_refused_with_what_was_expected_and_change_nothing(
    guest: Osc, shared: Daemon, address: str, values: list[object], expected: str
) -> None:
    guest.send("tempo", 97.5)
    before = stored(guest)
    guest.send(address, *values)
    told, (reason, message, job) = guest.receive()
    assert told == "error"
    assert reason in ("invalid_request", "forbidden_path", "not_found")
    assert expected in message
    assert job == ""
    assert stored(guest) == before
    assert shared.queue.jobs() == []


def padded(text: bytes) -> bytes:
    return text + b"\0" * (4 - len(text) % 4)


BROKEN_PACKETS = {
    "nothing": b"",
    "noise": b"\xff\xfe\x00\x01",
    "text": b"hello",
    "address without end": b"/acestep/ping",
    "invalid utf-8": padded(b"/acestep/key") + padded(b",s") + padded(b"\xff\xff"),
    "cut off float": padded(b"/acestep/tempo") + padded(b",f") + b"\x42",
    "no comma": padded(b"/acestep/tempo") + padded(b"f") + struct.pack(">f", 99),
    "unknown type": padded(b"/acestep/tempo") + padded(b",Zf") + struct.pack(">f", 99),
    "open array": padded(b"/acestep/tempo") + padded(b",[f") + struct.pack(">f", 99),
    "cut off bundle": padded(b"#bundle") + b"\0" * 8 + struct.pack(">i", 4000) + b"/ace",
    "negative size in bundle": padded(b"#bundle") + b"\0" * 8 + struct.pack(">i", -4) + b"/ace",
    "too large": padded(b"/acestep/lyrics") + padded(b",s") + padded(b"x" * 9000),
    "foreign address": encode("/live/song/get/tempo"),
    "foreign address with our name": encode("/other/tempo", 99.0),
    "blob": padded(b"/acestep/tempo") + padded(b",b") + struct.pack(">i", 4) + b"abcd",
    "true": padded(b"/acestep/tempo") + padded(b",T"),
    "nil": padded(b"/acestep/tempo") + padded(b",N"),
}


@pytest.mark.parametrize("name", list(BROKEN_PACKETS))
def test_broken_packets_are_answered_and_change_nothing(guest: Osc, name: str) -> None:
    guest.send_bytes(BROKEN_PACKETS[name])
    assert guest.receive()[0] == "error"
    assert stored(guest) == {}


EXAMPLES: dict[str, tuple[list[object], dict[str, object]]] = {
    "tempo": ([127.37], {"bpm": 127.37}),
    "bars": ([2.5], {"bars": 2.5}),
    "key": (["F# minor"], {"key": "F# minor"}),
    "seed": ([7], {"seed": 7}),
    "takes": ([2], {"takes": 2}),
    "candidates": ([3], {"candidates": 3}),
    "lyrics": (["la " * 400], {"lyrics": "la " * 400}),
    "cascade": (["nano"], {"cascade": "nano"}),
    "stages": (["l"], {"stages": "l"}),
    "strength": ([0.5], {"strength": 0.5}),
    "swing": ([1.5], {"swing": 1.5}),
    "loudness": ([-16.0], {"loudness_lufs": -16}),
    "task": (["text"], {"task": "text"}),
    "track": (["bass"], {"track": "bass"}),
    "steps": ([8], {"steps": 8}),
    "guidance": ([3.5], {"guidance": 3.5}),
    "fit": ([0], {"fit": False}),
    "strict": ([1], {"strict": True}),
    "guide": ([1], {"guide": True}),
    "format": (["flac"], {"format": "flac"}),
    "sample_format": (["float32"], {"sample_format": "float32"}),
    "signature": ([7, 8], {"signature": "7/8"}),
    "repaint": ([1.0, 2.5], {"repaint_s": [1.0, 2.5]}),
    "tempo_map": (["0 100 ramp, 16 120"], {"tempo_map": "0 100 ramp, 16 120"}),
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_setting_is_told_by_the_status_as_it_was_made(osc: Osc, name: str) -> None:
    values, expected = EXAMPLES[name]
    osc.send(name, *values)
    assert stored(osc) == expected


def test_files_and_folders_are_told_by_the_status(osc: Osc, tmp_path: Path) -> None:
    file = tmp_path / "samples" / "a.wav"
    soundfile.write(file, np.zeros((48_000, 2)), 48_000)
    osc.send("reference", str(file), 0.25, 0.75)
    osc.send("context", str(file))
    osc.send("folder", str(tmp_path / "samples" / "x"))
    assert stored(osc) == {
        "reference": {"path": str(file), "start_s": 0.25, "end_s": 0.75},
        "context": {"path": str(file), "start_s": 0.0, "end_s": None},
        "folder": str(tmp_path / "samples" / "x"),
    }


def test_a_repaint_is_taken_back_and_the_longest_settings_still_fit_into_a_status(osc: Osc) -> None:
    osc.send("repaint", 1.0, 2.0)
    osc.send("repaint", 0.0, 0.0)
    assert stored(osc) == {"repaint_s": None}
    osc.send("lyrics", "ö" * 3000)
    osc.send("tempo", 90)
    assert stored(osc)["bpm"] == 90


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("takes", [2.0], {"takes": 2}),
        ("seed", [7.0], {"seed": 7}),
        ("steps", [8.0], {"steps": 8}),
        ("fit", [0.0], {"fit": False}),
        ("strict", [1.0], {"strict": True}),
        ("guide", [True], {"guide": True}),
        ("signature", [3.0, 4.0], {"signature": "3/4"}),
        ("key", ["8A"], {"key": "8A"}),
        ("{tempo,bars}", [60.0], {"bpm": 60.0, "bars": 60.0}),
        ("temp?", [61.0], {"bpm": 61.0}),
        ("t[a-f]mpo", [62.0], {"bpm": 62.0}),
        ("[!x]empo", [63.0], {"bpm": 63.0}),
        ("candid*", [2.0], {"candidates": 2}),
    ],
)
def test_what_fader_apps_send_is_understood(
    osc: Osc, name: str, values: list[object], expected: dict[str, object]
) -> None:
    tags = "".join("f" if isinstance(v, float) else "T" if v is True else "s" for v in values)
    body = b"".join(
        b"" if v is True else struct.pack(">f", v) if isinstance(v, float) else padded(str(v).encode())
        for v in values
    )
    osc.send_bytes(padded(f"/acestep/{name}".encode()) + padded(f",{tags}".encode()) + body)
    assert stored(osc) == expected


def test_symbols_and_texts_of_other_encodings_are_text(osc: Osc) -> None:
    osc.send_bytes(padded(b"/acestep/key") + padded(b",S") + padded(b"A minor"))
    osc.send_bytes(padded(b"/acestep/lyrics") + padded(b",s") + padded("café – “ça”".encode("cp1252")))
    assert stored(osc) == {"key": "A minor", "lyrics": "café – “ça”"}


@pytest.mark.parametrize("down", [1, 1.0])
def test_a_button_acts_when_it_goes_down_and_not_when_it_comes_up(
    osc: Osc, daemon: Daemon, engine: StandIn, down: float
) -> None:
    for name in ("ping", "status", "cancel", "subscribe", "unsubscribe", "generate"):
        osc.send(name, down * 0)
    assert osc.waiting() == []
    osc.send("ping", down)
    assert osc.receive()[0] == "pong"
    osc.send("status", down)
    assert osc.receive()[0] == "state"
    osc.send("cancel", down)  # nothing runs: no mistake
    osc.send("generate", "warm pad")
    assert osc.until("done", "error")[0] == "done"
    engine.hold.clear()
    osc.send("generate", down)
    job = osc.until("accepted", "error")[1][0]
    assert daemon.queue.get(job).request.prompt == "warm pad"
    osc.send("cancel", down)
    assert osc.until("cancelled", "error") == ("cancelled", [job])


def test_a_button_on_a_page_that_sent_no_prompt_makes_something_of_the_settings(
    osc: Osc, daemon: Daemon
) -> None:
    osc.send("tempo", 98)
    osc.send("generate", 1.0)
    request = daemon.queue.get(osc.until("accepted", "error")[1][0]).request
    assert (request.prompt, request.bpm) == ("instrumental loop", 98)


def test_a_relative_path_is_refused_in_one_sentence(osc: Osc) -> None:
    osc.send("reference", "loop.wav")
    assert osc.receive()[1][1].count("loop.wav") == 1


def test_bundles_are_read_in_order(osc: Osc) -> None:
    builder = OscBundleBuilder(IMMEDIATELY)
    for bpm in (80.0, 81.0):
        builder.add_content(OscMessage(encode("/acestep/tempo", bpm)))
    osc.send_bytes(builder.build().dgram)
    assert stored(osc)["bpm"] == 81


def test_a_tempo_map_is_one_text_and_the_tempo_set_last_counts(osc: Osc, daemon: Daemon) -> None:
    osc.send("tempo", 90)
    osc.send("tempo_map", "0 100 ramp, 16 120")
    osc.send("generate", "p")
    changing = daemon.queue.get(osc.until("accepted")[1][0]).request
    assert changing.tempo_map is not None
    assert changing.tempo_map.to_list() == [[0.0, 100.0, True], [16.0, 120.0, False]]
    assert changing.bpm is not None
    assert 109 < changing.bpm < 110
    osc.send("generate", "p", "tempo", 80.0)
    once = daemon.queue.get(osc.until("accepted")[1][0]).request
    assert (once.bpm, once.tempo_map) == (80, None)
    osc.send("tempo", 70)
    assert stored(osc) == {"bpm": 70}


@pytest.mark.parametrize(
    "text", ["fast", "0 100 120", "16 100, 0 120", "0 5000", "0 nan", "0 100,16 120", " ; "]
)
def test_a_tempo_map_that_is_none_is_refused_with_an_example(guest: Osc, text: str) -> None:
    guest.send("tempo_map", text)
    reason, message, _ = guest.until("error")[1]
    assert reason == "invalid_request"
    assert "expected" in message or "need" in message


def test_an_empty_text_takes_any_setting_back(osc: Osc, daemon: Daemon) -> None:
    for name, value in (
        ("guide", 0),
        ("steps", 3),
        ("guidance", 2.0),
        ("takes", 3),
        ("fit", 0),
        ("stages", "l"),
    ):
        osc.send(name, value)
        osc.send(name, "")
    osc.send("generate", "p")
    request = daemon.queue.get(osc.until("accepted")[1][0]).request
    assert (request.guide, request.steps, request.guidance, request.takes) == (None, None, None, 1)
    assert (request.fit, request.stages) == (True, ())


def test_settings_can_be_taken_back(osc: Osc) -> None:
    osc.send("key", "A minor")
    osc.send("seed", 5)
    osc.send("key", "")
    osc.send("seed", -1)
    assert stored(osc) == {"key": None, "seed": None}


def test_a_thousand_messages_in_a_burst_are_all_read(osc: Osc) -> None:
    for number in range(1000):
        osc.send("tempo", 60 + number / 10)
    assert stored(osc)["bpm"] == 159.9


def test_those_who_send_too_fast_are_told_once(tmp_path: Path, engine: StandIn) -> None:
    with running(settings(tmp_path, osc_rate_hz=10), engine) as slow, Osc(slow.osc.port) as client:
        for _ in range(100):
            client.send("ping")
        answers = [client.receive() for _ in range(21)]
        assert [values[0] for address, values in answers if address == "error"] == ["busy"]


@pytest.mark.skipif(shutil.which("oscsend") is None, reason="liblo-tools are not installed")
def test_liblos_own_programs_are_understood_and_understand(daemon: Daemon, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dump = subprocess.Popen(["oscdump", "-L", str(port)], stdout=subprocess.PIPE, text=True)
    assert dump.stdout is not None

    def send(*words: str) -> None:
        subprocess.run(["oscsend", "127.0.0.1", str(daemon.osc.port), *words], check=True)

    def until(*names: str) -> str:
        assert dump.stdout is not None
        for line in dump.stdout:
            if any(f"/acestep/{name} " in line for name in names):
                return line
        raise AssertionError("oscdump ended")

    try:
        for _ in range(200):  # until oscdump listens
            send("/acestep/subscribe", "i", str(port))
            send("/acestep/ping")
            if select.select([dump.stdout], [], [], 0.05)[0]:
                break
        assert f'"{acestep.__version__}" "{WIRE_VERSION}"' in until("pong")
        send("/acestep/tempo", "f", "92.5")
        send("/acestep/key", "s", "H minor")
        assert '"invalid_request"' in until("error")
        send("/acestep/generate", "ssi", "dusty breakbeat", "bars", "2")
        line = until("clip", "error")
        path = next((tmp_path / "samples").glob("*.wav"))
        assert f'"{path}" 92.5' in line
        assert "1" in until("done")
    finally:
        dump.kill()
        dump.communicate()


def test_a_full_queue_is_said(osc: Osc, engine: StandIn, daemon: Daemon) -> None:
    engine.hold.clear()
    daemon.queue.limit = 2
    osc.send("generate", "runs")
    engine.started.acquire(timeout=5)
    for _ in range(3):
        osc.send("generate", "waits")
    assert osc.until("error")[1][0] == "busy"


def test_file_names_that_are_no_text_can_still_be_told() -> None:
    assert parse(encode("/acestep/clip", "/music/\udcff\0.wav"))[0].values == ("/music/?.wav",)


@pytest.mark.parametrize("meant", [92.5, 127.37, 120.0, 0.1, 33.333, 1e-30, 3.4e38])
def test_thirty_two_bit_floats_are_read_as_meant(meant: float) -> None:
    assert shortest(struct.unpack(">f", struct.pack(">f", meant))[0]) == meant


def test_doubles_keep_all_their_digits() -> None:
    assert shortest(127.37000000000123) == 127.37000000000123


@hypothesis_settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    datagram=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda name, tags, body: (
                padded(b"/acestep/" + name.encode()) + padded(b"," + tags.encode()) + body
            ),
            st.sampled_from([*MESSAGES, "subscribe", "session", "cancel", "status"]),
            st.text(st.sampled_from("ifsbhdtrmTFN[]S"), max_size=6),
            st.binary(max_size=40),
        ),
        st.binary(max_size=120).map(lambda rest: b"#bundle\0" + rest),
    )
)
def test_no_packet_whatever_stops_the_daemon(osc: Osc, datagram: bytes) -> None:
    osc.send_bytes(datagram)
    osc.waiting()  # it still answers


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    address=st.sampled_from([*MESSAGES, "session"]),
    values=st.lists(
        st.one_of(
            st.text(max_size=30).filter(lambda text: "\0" not in text),
            st.integers(-(2**31), 2**31 - 1),
            st.floats(width=32),
        ),
        max_size=4,
    ),
)
def test_any_values_are_taken_or_refused_and_generate_still_works(
    osc: Osc, daemon: Daemon, address: str, values: list[object]
) -> None:
    osc.send(address, *values)
    osc.waiting()
    osc.send("session", "")
    daemon.osc.sessions.shared("127.0.0.1").fields.clear()
    osc.send("generate", "p")
    assert osc.until("done", "error")[0] == "done"


def test_a_port_that_comes_as_a_float_is_a_port_and_answers_go_on(osc: Osc) -> None:
    osc.send("subscribe", 9001.0)
    osc.send("tempo", "not a number")  # an error is told to every subscriber
    osc.send("ping")
    assert osc.until("pong")

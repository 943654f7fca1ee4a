"""MIDI: following a clock with jitter, jumps and stops; triggers; songs; a port of a test's own backend."""

import math
import random
import struct
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import pytest

from acestep.errors import InvalidRequest
from acestep.music.key import Key
from acestep.music.tempo_map import TempoMap, TempoPoint
from server.midi.file import bpm_meant, read_song
from server.midi.input import ClockFollower, Trigger, Triggers
from server.midi.smf import MAX_EVENTS
from tests.support.daemons import Osc, StandIn, running, settings

CLOCK = mido.Message("clock")


def ticks(bpm: float, count: int, jitter_s: float = 0.0, start_s: float = 0.0, seed: int = 1) -> list[float]:
    chance = random.Random(seed)
    step_s = 60 / bpm / 24
    return [start_s + n * step_s + chance.gauss(0, jitter_s) for n in range(count)]


def follow(times: list[float], follower: ClockFollower | None = None) -> tuple[ClockFollower, list[float]]:
    follower = follower or ClockFollower()
    told = []
    for time_s in times:
        if follower.feed(CLOCK, time_s):
            assert follower.bpm is not None
            told.append(follower.bpm)
    return follower, told


@pytest.mark.parametrize("bpm", [60.0, 92.5, 120.0, 127.37, 174.0, 299.0])
@pytest.mark.parametrize("jitter_s", [0.0, 0.0005, 0.001])
def test_the_tempo_is_right_after_eight_quarters_with_jitter(bpm: float, jitter_s: float) -> None:
    follower, told = follow(sorted(ticks(bpm, 240, jitter_s)))
    assert follower.bpm == pytest.approx(bpm, rel=0.0006)
    assert len(told) <= 6  # it settles instead of trembling


def test_a_clean_clock_gives_the_very_tempo() -> None:
    for bpm in (92.5, 120.0, 127.37, 140.25):
        assert follow(ticks(bpm, 200))[0].bpm == bpm


def test_late_ticks_are_passed_over() -> None:
    times = ticks(120, 240, 0.0003)
    for n in range(20, 240, 37):
        times[n] += 0.015
    assert follow(sorted(times))[0].bpm == pytest.approx(120, rel=0.001)


def test_a_new_tempo_is_followed_within_two_quarters() -> None:
    follower, _ = follow(ticks(90, 200))
    later = ticks(140, 48, start_s=200 * 60 / 90 / 24)
    follower, told = follow(later, follower)
    assert told[-1] == pytest.approx(140, rel=0.002)


def in_bursts(times: list[float], size: int) -> list[float]:
    """Delivered `size` at a time, when the last of them is due."""
    return [times[min(len(times) - 1, n - n % size + size - 1)] for n in range(len(times))]


BEFORE: dict[str, list[float]] = {
    "nothing": [],
    "another tempo": ticks(90, 200),
    "a slower tempo in bursts": in_bursts(ticks(60, 200), 6),
    "all at once": [5.0] * 300,
    "noise": sorted(random.Random(3).uniform(0, 6) for _ in range(400)),
    "a time that runs backwards": [9.0 - n / 50 for n in range(200)],
    "a few": ticks(200, 7),
    "stops": [n * 1.5 for n in range(40)],
}


@pytest.mark.parametrize("before", list(BEFORE))
@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 8, 12])
@pytest.mark.parametrize("bpm", [60.0, 127.5, 174.0])
def test_bursts_and_equal_times_end_at_the_right_tempo_whatever_came_before(
    before: str, size: int, bpm: float
) -> None:
    follower, _ = follow(BEFORE[before])
    start_s = max(BEFORE[before], default=0.0) + 0.02
    follow(in_bursts(ticks(bpm, 192, start_s=start_s), size), follower)
    assert follower.bpm == pytest.approx(bpm, rel=0.001)


@pytest.mark.parametrize("step_s", [0.001, 0.005, 0.0156])
@pytest.mark.parametrize("bpm", [92.5, 120.0, 240.0])
def test_a_coarse_clock_of_the_system_gives_the_tempo(bpm: float, step_s: float) -> None:
    times = [at // step_s * step_s for at in ticks(bpm, 192)]
    assert follow(times)[0].bpm == pytest.approx(bpm, rel=0.004 if step_s > 0.01 else 0.001)


def test_bursts_of_changing_size_with_jitter_give_the_tempo() -> None:
    chance = random.Random(5)
    due = ticks(128, 200)
    times: list[float] = []
    while len(times) < 192:
        size = chance.randint(1, 5)
        came = due[len(times) + size - 1] + abs(chance.gauss(0, 0.001))
        times += [max(came, times[-1] if times else 0.0)] * size
    assert follow(times[:192])[0].bpm == pytest.approx(128, rel=0.002)


def test_a_clock_that_stops_keeps_its_tempo_and_starts_anew() -> None:
    follower, _ = follow(ticks(100, 100))
    assert follower.bpm == 100
    follower, _ = follow(ticks(100, 10, start_s=60.0), follower)
    assert follower.bpm == 100
    follower, _ = follow(ticks(80, 100, start_s=120.0), follower)
    assert follower.bpm == 80


def test_a_clock_that_jumps_back_in_time_does_no_harm() -> None:
    follower, _ = follow(ticks(100, 100, start_s=50))
    follower, _ = follow(ticks(100, 100, start_s=0), follower)
    assert follower.bpm == 100


def test_position_follows_start_stop_continue_and_song_position() -> None:
    follower = ClockFollower()
    follower.feed(mido.Message("start"), 0)
    follow(ticks(120, 48), follower)
    assert (follower.playing, follower.quarters) == (True, 2.0)
    follower.feed(mido.Message("stop"), 1)
    follow(ticks(120, 24, start_s=2), follower)
    assert (follower.playing, follower.quarters) == (False, 2.0)
    follower.feed(mido.Message("songpos", pos=64), 3)
    follower.feed(mido.Message("continue"), 3)
    assert (follower.playing, follower.quarters) == (True, 16.0)


@pytest.mark.parametrize("text", ["note", "note 128", "cc 1@17", "cc 1@0", "pad 3", "60"])
def test_triggers_that_are_none_say_what_was_expected(text: str) -> None:
    with pytest.raises(InvalidRequest, match="note 0–127"):
        Trigger.parse(text)


def test_notes_and_controllers_trigger_once_per_press() -> None:
    done: list[str] = []
    triggers = Triggers(
        [
            (Trigger.parse("note 60@10"), lambda: done.append("generate")),
            (Trigger.parse("CC 20"), lambda: done.append("cancel")),
            (Trigger.parse(""), lambda: done.append("never")),
        ]
    )
    for message in (
        mido.Message("note_on", note=60, velocity=100, channel=9),
        mido.Message("note_on", note=60, velocity=0, channel=9),
        mido.Message("note_on", note=60, velocity=100, channel=0),
        mido.Message("note_on", note=61, velocity=100, channel=9),
        mido.Message("note_off", note=60, channel=9),
        mido.Message("control_change", control=20, value=127),
        mido.Message("control_change", control=20, value=90),
        mido.Message("control_change", control=20, value=0),
        mido.Message("control_change", control=20, value=64),
        mido.Message("clock"),
    ):
        triggers.feed(message)
    assert done == ["generate", "cancel", "cancel"]


def song(path: Path, *messages: Any, kind: int = 1, ticks_per_beat: int = 480) -> Path:
    file = mido.MidiFile(type=kind, ticks_per_beat=ticks_per_beat)
    file.tracks.append(mido.MidiTrack([*messages, mido.MetaMessage("end_of_track", time=480 * 64)]))
    file.save(path)
    return path


def test_tempo_map_signature_and_key_are_read(tmp_path: Path) -> None:
    path = song(
        tmp_path / "song.mid",
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(92.5)),
        mido.MetaMessage("time_signature", numerator=7, denominator=8),
        mido.MetaMessage("key_signature", key="F#m"),
        mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(127.37), time=480 * 7),  # two bars of 7/8
        mido.MetaMessage("time_signature", numerator=3, denominator=4),
    )
    found = read_song(path)
    first, third = found.at_bar(1, bars=2), found.at_bar(3)
    assert (first.bpm, str(first.signature), str(first.key)) == (92.5, "7/8", "F# minor")
    assert (third.bpm, str(third.signature)) == (127.37, "3/4")
    assert first.notes == ()
    assert "127.37" in found.at_bar(2, bars=4).notes[0]
    assert first.tempo_map is None
    assert found.at_bar(2, bars=4).tempo_map == TempoMap((TempoPoint(0, 92.5), TempoPoint(3.5, 127.37)))
    with pytest.raises(InvalidRequest, match="behind the end"):
        found.at_bar(1000)
    with pytest.raises(InvalidRequest, match="first bar"):
        found.at_bar(0)


@pytest.mark.parametrize("bpm", [60.0, 92.5, 127.37, 174.123, 120.0])
def test_tempos_survive_midis_rounding(bpm: float) -> None:
    assert bpm_meant(mido.bpm2tempo(bpm)) == bpm


def test_a_song_without_tempo_is_120_and_says_so(tmp_path: Path) -> None:
    found = read_song(song(tmp_path / "plain.mid", mido.Message("note_on", note=60)))
    assert (found.at_bar(1).bpm, str(found.at_bar(1).signature), found.at_bar(1).key) == (120.0, "4/4", None)
    assert "no tempo" in found.notes[0]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    good = song(tmp_path / "good.mid", *[mido.Message("note_on", note=60, time=1) for _ in range(50)])
    cut = tmp_path / "cut.mid"
    cut.write_bytes(good.read_bytes()[:60])
    text = tmp_path / "text.mid"
    text.write_text("no MIDI")
    two = song(tmp_path / "two.mid", kind=2)
    film = tmp_path / "film.mid"
    film.write_bytes(good.read_bytes()[:12] + b"\xe7\x28" + good.read_bytes()[14:])
    empty = tmp_path / "empty.mid"
    empty.touch()
    for path, expected in (
        (cut, "cut off"), (text, "not a MIDI file"), (two, "format 2"), (film, "film frames"),
        (empty, "cut off"), (tmp_path / "none.mid", "not there"), (tmp_path, "not a MIDI file"),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest, match=expected):
            read_song(path)


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack(">I", len(content)) + content


def smf(*meta: tuple[int, bytes], tracks: int = 1, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A file of one track with these meta events at its start, then four quarters at 96 ticks each."""
    events = b"".join(bytes((0, 0xFF, kind, len(data))) + data for kind, data in meta)
    track = events + b"\x83\x00\xff\x2f\x00"
    return chunk(b"MThd", struct.pack(">HHH", 1, tracks, 96)) + before + chunk(b"MTrk", track) + behind


TEMPO = (0x51, (400_000).to_bytes(3, "big"))  # 150 bpm


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (smf(TEMPO, (0x59, b"\x08\x00")), "8 sharps"),
        (smf(TEMPO, (0x59, b"\xf7\x01")), "9 flats"),
        (smf(TEMPO, (0x59, b"\x00\xff")), "mode 255"),
        (smf(TEMPO, (0x59, b"")), "empty"),
        (smf(TEMPO, (0x58, b"\x00\x02\x18\x08")), "0/4"),
        (smf(TEMPO, (0x58, b"\x04\x2a\x18\x08")), "time signature"),
        (smf(TEMPO, (0x51, b"\x00\x00\x00")), "tempo in it is not possible"),
        (smf(TEMPO, before=chunk(b"XFIH", b"abcd")), "XFIH"),
        (smf(TEMPO, behind=chunk(b"XFKM", b"abcd")), "XFKM"),
        (smf(TEMPO, behind=b"\0" * 11), "11 bytes"),
        (smf(TEMPO, tracks=5), "5 tracks and it has 1"),
        (smf(TEMPO, tracks=0), "0 tracks and it has 1"),
        (b"RIFF\x40\0\0\0RMIDdata\x34\0\0\0" + smf(TEMPO), "RMID"),
    ],
)
def test_what_other_programs_pass_over_is_passed_over_with_a_note(
    tmp_path: Path, data: bytes, note: str
) -> None:
    path = tmp_path / "song.mid"
    path.write_bytes(data)
    found = read_song(path)
    assert (found.at_bar(1).bpm, str(found.at_bar(1).signature), found.at_bar(1).key) == (150, "4/4", None)
    assert any(note in said for said in found.notes), found.notes


@pytest.mark.parametrize("key", ["C", "F#m", "Bb", "C#", "Abm", "G"])
def test_every_key_signature_is_read(tmp_path: Path, key: str) -> None:
    path = song(tmp_path / "song.mid", mido.MetaMessage("key_signature", key=key))
    assert read_song(path).at_bar(1).key == Key.parse(key)


def one_track(path: Path, track: bytes, ticks_per_quarter: int = 480) -> Path:
    """A file of one track, byte by byte: what no program would write."""
    head = b"MThd" + struct.pack(">IHHH", 6, 0, 1, ticks_per_quarter)
    path.write_bytes(head + b"MTrk" + struct.pack(">I", len(track)) + track)
    return path


END = b"\0\xff\x2f\0"
EVENT_OF_TEMPO = b"\0\xff\x51\3\7\xa1\x20"


@pytest.mark.parametrize("event", [EVENT_OF_TEMPO, b"\0\xff\x01\0", b"\0\xf7\0"])
def test_a_file_of_endless_events_is_refused_after_so_many(tmp_path: Path, event: bytes) -> None:
    path = one_track(tmp_path / "many.mid", event * (MAX_EVENTS + 1) + END)
    with pytest.raises(InvalidRequest, match=f"more than {MAX_EVENTS} events"):
        read_song(path)


def test_a_file_that_is_too_large_or_lasts_for_years_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.mid"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(InvalidRequest, match="16 MB"):
        read_song(large)
    if Path("/dev/zero").exists():
        with pytest.raises(InvalidRequest, match="device"):
            read_song(Path("/dev/zero"))
    with pytest.raises(InvalidRequest, match="quarter notes"):
        read_song(one_track(tmp_path / "long.mid", b"\xff\xff\xff\x7f\xff\x06\0" * 4 + END, 1))


def test_any_bar_number_is_answered_at_once(tmp_path: Path) -> None:
    seven = b"\0\xff\x58\4\7\3\x18\x08"
    track = seven + (b"\x8d\x10" + seven[1:]) * 999 + b"\xbd\x84\x40\xff\x2f\0"  # then a million ticks
    found = read_song(one_track(tmp_path / "song.mid", track))
    assert found.bar_count == math.ceil(found.length_quarters / 3.5)
    for bar in (10**6, 999_999_999_999, 10**400):
        with pytest.raises(InvalidRequest, match="behind the end"):
            found.at_bar(bar)


class Keyboard:
    """A mido backend with one port that a test plays on."""

    def __init__(self) -> None:
        self.callback: Any = None
        backend = types.ModuleType("tests_midi_backend")
        keyboard = self

        class Input:
            def __init__(self, name: str, callback: Any = None, **_: Any) -> None:
                self.name, keyboard.callback = name, callback

            def close(self) -> None:
                keyboard.callback = None

        backend.Input = Input  # type: ignore[attr-defined]
        backend.get_devices = lambda **_: [  # type: ignore[attr-defined]
            {"name": "Test Keys 1", "is_input": True, "is_output": False}
        ]
        self.module = backend


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    found = Keyboard()
    sys.modules["tests_midi_backend"] = found.module
    before = mido.backend
    mido.set_backend("tests_midi_backend")
    yield found
    mido.set_backend(before)
    del sys.modules["tests_midi_backend"]


def test_the_daemon_follows_a_clock_and_obeys_pads(tmp_path: Path, keyboard: Keyboard) -> None:
    engine = StandIn()
    made = settings(
        tmp_path,
        midi_input="test keys",
        midi_generate="note 36",
        midi_cancel="cc 20",
        midi_prompt="dusty break",
    )
    with running(made, engine) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("subscribe")
        osc.waiting()
        assert daemon.midi is not None
        for time_s in ticks(97, 100):
            if daemon.midi.follower.feed(CLOCK, time_s):
                daemon.midi._on_tempo(daemon.midi.follower.bpm or 0)
        engine.hold.clear()
        keyboard.callback(mido.Message("note_on", note=36, velocity=90))
        job = osc.until("accepted", "error")[1][0]
        assert daemon.queue.get(job).request.bpm == 97
        assert daemon.queue.get(job).request.prompt == "dusty break"
        keyboard.callback(mido.Message("control_change", control=20, value=127))
        assert osc.until("cancelled", "done", "error") == ("cancelled", [job])
    assert keyboard.callback is None


def test_a_pad_without_a_prompt_says_what_is_missing(tmp_path: Path, keyboard: Keyboard) -> None:
    made = settings(tmp_path, midi_input="Test Keys 1", midi_generate="note 36")
    with running(made, StandIn()) as daemon, Osc(daemon.osc.port) as osc:
        osc.send("subscribe")
        osc.waiting()
        keyboard.callback(mido.Message("note_on", note=36, velocity=90))
        assert "midi_prompt" in osc.until("error")[1][1]


def test_an_unknown_midi_input_names_those_there_are(tmp_path: Path, keyboard: Keyboard) -> None:
    with (
        pytest.raises(InvalidRequest, match="Test Keys 1"),
        running(settings(tmp_path, midi_input="x"), StandIn()),
    ):
        pass

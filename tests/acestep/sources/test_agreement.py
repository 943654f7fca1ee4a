"""A request and its context: what is left open is the context's, what contradicts it is refused – at every
door in the same way."""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.clips.inspect import describe
from acestep.clips.production import produce
from acestep.errors import InvalidRequest
from acestep.hearing.measure import measure
from acestep.music.grid import Grid, Signature
from acestep.music.key import Key
from acestep.request import AudioRange, GenerateRequest
from acestep.sound.riff import MusicalData, wav_bytes
from acestep.sound.tags import flac_tagged
from acestep.sources.agreement import agreed
from plugin_bridge.settings import wire_request
from plugin_bridge.web.fields import DEFAULTS, options_of
from protos.acestep.v1 import acestep_pb2 as pb
from server.cli import generate as cli_generate
from server.grpc import wire
from server.osc.session import Session
from server.osc.spelling import MESSAGES, read
from tests.support.band import drums, pad
from tests.support.small_band import SmallBand

FAST = Grid(127.5, bars=2)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Drums at 127.5 and a pad, as files that say nothing of themselves."""
    folder = tmp_path_factory.mktemp("songs")
    soundfile.write(folder / "drums.wav", drums(FAST).T, 48_000, subtype="FLOAT")
    soundfile.write(folder / "waltz.wav", drums(Grid(140, Signature(3, 4), 4)).T, 48_000, subtype="FLOAT")
    soundfile.write(folder / "pad.wav", pad(Key.parse("A minor"), 4.0).T, 48_000, subtype="FLOAT")
    return folder


def tagged(file, audio, bpm, signature=(4, 4)):
    """A WAV file whose acid chunk claims that tempo."""
    data = MusicalData(bpm=bpm, numerator=signature[0], denominator=signature[1], quarters=8)
    file.write_bytes(wav_bytes(audio.astype(np.float32), 48_000, "pcm24", data))
    return str(file)


def asked(context, **values) -> GenerateRequest:
    return GenerateRequest(**{"prompt": "x", "task": "complete", "context": context, "seed": 2} | values)


def test_without_a_context_the_grid_is_known_at_once():
    request = GenerateRequest(prompt="x")
    assert (request.grid, request.open) == (Grid(), ())
    assert agreed(request) == (request, ())


def test_what_was_not_asked_for_is_the_contexts_and_said(songs, tmp_path):
    (clip,) = produce(SmallBand(off=1.0), asked(songs / "drums.wav"), tmp_path)
    assert (clip.bpm, clip.signature, clip.bars) == (127.5, "4/4", 2)
    assert clip.samples == FAST.samples()
    assert clip.tempo_error_pct < 0.1
    notes = clip.sidecar["notes"]
    assert "tempo 127.5 bpm: as heard in the context" in notes
    assert "2 bars: as long as the context" in notes
    assert clip.sidecar["request"]["bpm"] == 127.5
    assert describe(clip.path)["claimed"]["bpm"] == 127.5


@pytest.mark.parametrize("task", ["cover", "repaint", "extract"])
def test_what_stays_aligned_has_its_sources_tempo_and_length(songs, tmp_path, task):
    region = {"repaint_s": (0.5, 1.0)} if task == "repaint" else {}
    part = AudioRange(str(songs / "drums.wav"), 0.0, 3.0)
    request, _ = agreed(asked(part, task=task, **region))
    assert request.bpm == 127.5
    assert request.grid.duration_s == pytest.approx(3.0, rel=1e-6)


def test_a_repaint_behind_the_end_is_as_long_as_its_region(songs):
    request, _ = agreed(asked(songs / "drums.wav", task="repaint", repaint_s=(3.0, 7.0)))
    assert request.grid.duration_s == pytest.approx(7.0, rel=1e-6)


def test_a_signature_that_is_heard_or_written_is_taken(songs, tmp_path):
    assert str(agreed(asked(songs / "waltz.wav"))[0].signature) == "3/4"
    claimed = tagged(tmp_path / "seven.wav", pad(Key.parse("C major"), 4.0), 105, (7, 8))
    assert str(agreed(asked(claimed))[0].signature) == "7/8"
    with pytest.raises(InvalidRequest, match=r"is in 7/8 \(its acid chunk\), and 3/4 was asked for"):
        agreed(asked(claimed, signature="3/4"))


@pytest.mark.parametrize(
    ("bpm", "fits"),
    [(120, False), (126, False), (85, False), (127.5, True), (127.49, True), (63.75, True), (255, True)],
)
def test_a_tempo_that_contradicts_what_is_heard_is_refused_with_both(songs, bpm, fits):
    request = asked(songs / "drums.wav", bpm=bpm)
    if fits:
        assert agreed(request)[0].bpm == bpm
        return
    with pytest.raises(InvalidRequest, match=rf"127\.5 bpm, and {bpm:g} bpm was asked for.*leave bpm out"):
        agreed(request)


def test_a_tempo_that_contradicts_the_file_is_refused_where_nothing_is_heard(songs, tmp_path):
    file = tagged(tmp_path / "pad.wav", pad(Key.parse("A minor"), 4.0), 127.5)
    assert agreed(asked(file))[0].bpm == 127.5
    with pytest.raises(InvalidRequest, match=r"127\.5 bpm, and 120 bpm was asked for"):
        agreed(asked(file, bpm=120))


def test_a_file_that_contradicts_itself_or_says_nothing_has_to_be_told(songs, tmp_path):
    file = tagged(tmp_path / "wrong.wav", drums(FAST), 120)
    with pytest.raises(InvalidRequest, match=r"120 bpm by its acid chunk, but is heard at 127\.5 bpm"):
        agreed(asked(file))
    told, notes = agreed(asked(file, bpm=127.5))
    assert told.bpm == 127.5
    assert "the context is at 120 bpm by its acid chunk; 127.5 bpm was asked for" in notes
    with pytest.raises(InvalidRequest, match=r"tempo of pad\.wav is not known.*say it with bpm"):
        agreed(asked(songs / "pad.wav"))
    assert agreed(asked(songs / "pad.wav", bpm=100))[0].bpm == 100


def test_a_whole_number_in_a_tag_or_a_name_does_not_round_what_is_heard(tmp_path):
    file = tmp_path / "loop_128bpm.wav"
    soundfile.write(file, drums(FAST).T, 48_000, subtype="FLOAT")
    assert agreed(asked(file))[0].bpm == 127.5
    flac = tmp_path / "loop.flac"
    soundfile.write(flac, drums(FAST).T, 48_000)
    data = MusicalData(bpm=127.5, numerator=4, denominator=4, quarters=8)
    flac.write_bytes(flac_tagged(flac.read_bytes(), data))
    request, notes = agreed(asked(flac))
    assert request.bpm == 127.5
    assert "tempo 127.5 bpm: the context's, by its tags" in notes


def test_a_clip_of_ours_gives_its_grid_and_its_tempo_map_to_the_next_part(tmp_path):
    moving = GenerateRequest(prompt="x", tempo_map=[(0, 96, True), (8, 112)], bars=2, seed=2)
    (clip,) = produce(SmallBand(), moving, tmp_path)
    request, _ = agreed(asked(clip.path))
    assert request.tempo_map == moving.tempo_map
    assert (request.bars, request.signature) == (2, moving.signature)
    aligned, _ = agreed(asked(clip.path, task="repaint", repaint_s=(0, 1)))
    assert (aligned.tempo_map, aligned.bpm) == (None, pytest.approx(moving.bpm))


def test_more_bars_than_a_source_has_are_refused_and_a_part_beyond_its_context_is_said(songs):
    with pytest.raises(InvalidRequest, match=r"which are 2 bars, and 8 bars were asked for"):
        agreed(asked(songs / "drums.wav", task="cover", bars=8))
    assert "the context ends after 2 of the 8 bars" in agreed(asked(songs / "drums.wav", bars=8))[1]


def test_a_song_longer_than_a_clip_can_be_has_to_be_cut(tmp_path):
    file = tmp_path / "long_120bpm.wav"
    soundfile.write(file, np.zeros((8_000 * 700, 1), np.float32), 8_000)
    with pytest.raises(InvalidRequest, match="say how many bars, or name a part of the file"):
        agreed(asked(file))


def test_every_door_leaves_open_what_was_not_said():
    flags = argparse.ArgumentParser()
    cli_generate.add_arguments(flags)
    session = Session("test")
    session.change(read("context", MESSAGES["context"], ["/a.wav"]))
    page = options_of({**DEFAULTS, "prompt": "x"}, {"context": {"path": "/a.wav"}})
    requests = [
        cli_generate.wanted(flags.parse_args(["x", "--context", "/a.wav"]))[0],
        session.request("x")[0],
        wire.request_from_proto(pb.GenerateRequest(prompt="x", context=pb.AudioRange(path="/a.wav"))),
        wire.request_from_proto(wire_request("x", {"context": "/a.wav"})),
        wire.request_from_proto(wire_request(*page)),
    ]
    for request in requests:
        assert request.open == ("bpm", "signature", "bars")
        assert wire.request_from_proto(wire.request_to_proto(request)) == request
        assert GenerateRequest.from_dict(json.loads(request.to_json())) == request
        with pytest.raises(InvalidRequest, match="are the context's"):
            _ = request.grid


def test_an_osc_session_can_take_back_what_it_said():
    session = Session("test")
    session.change(read("context", MESSAGES["context"], ["/a.wav"]))
    for name, values in (("tempo", [120.0]), ("bars", [8.0]), ("signature", [3, 4])):
        session.change(read(name, MESSAGES[name], values))
    assert session.request("x")[0].open == ()
    plain = dataclasses.replace(session.request("x")[0], context=None, task="")
    assert plain.grid == Grid(120, Signature(3, 4), 8)
    for name, values in (("tempo", [""]), ("bars", [""]), ("signature", [""])):
        session.change(read(name, MESSAGES[name], values))
    assert session.request("x")[0].open == ("bpm", "signature", "bars")


@pytest.mark.parametrize("sidecar", [True, False])
@pytest.mark.parametrize("beats", [0, 1])
def test_a_clip_of_ones_own_as_context_is_believed_where_its_bars_begin(tmp_path, sidecar, beats):
    """The ear hears this one's bar on its second beat, and another key."""
    request = GenerateRequest(prompt="x", bpm=120, bars=4, key="A minor", seed=2, fit=False)
    song = _Turned(off=1.0)
    (own,) = produce(song, request, tmp_path / "own")
    assert measured_downbeat(own.path) > 0.2
    if not sidecar:
        Path(own.path + ".json").unlink()
    context = {"path": own.path, "start_s": beats * 0.5}
    (part,) = produce(SmallBand(off=1.0), asked(context, bars=2), tmp_path / "parts")
    assert part.sidecar["aim"]["downbeat_s"] == pytest.approx(-beats * 0.5 % 2)


class _Turned(SmallBand):
    """Plays every bar from its second beat on."""

    def generate(self, request, **reports):
        takes = super().generate(request, **reports)
        for take in takes:
            object.__setattr__(take, "audio", np.roll(take.audio, -24_000, axis=1))
        return takes


def measured_downbeat(path: str) -> float:
    audio, rate = soundfile.read(path, dtype="float32")
    return measure(audio.T, rate, grid=Grid(120, bars=4)).downbeat_s

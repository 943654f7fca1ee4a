"""`acestep midi`: the notes of any audio file, exactly under it; bad input is told and leaves nothing."""

import json

import mido
import numpy as np
import pytest
import soundfile

from acestep.music.grid import Grid
from acestep.music.key import Key
from server.cli.acestep import main
from tests.support.band import band, drums, pad, write_labelled


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("midi") / "loop.wav")


def tempo(file) -> float:
    events = (event for track in mido.MidiFile(file).tracks for event in track)
    return next(mido.tempo2bpm(event.tempo) for event in events if event.type == "set_tempo")


def test_a_file_that_says_its_tempo_is_written_on_its_grid(loop, capsys):
    assert main(["midi", str(loop)]) == 0
    out = loop.with_suffix(".mid")
    assert str(out) in capsys.readouterr().out
    assert tempo(out) == pytest.approx(97.25, abs=1e-3)
    before = out.read_bytes()
    assert main(["midi", str(loop)]) == 1
    assert "nothing is ever overwritten" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_programs_read_how_sure_each_part_is(loop, tmp_path, capsys):
    assert main(["midi", str(loop), "--out", str(tmp_path / "a.mid"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["bpm"], told["signature"], told["key"], told["quantise"]) == (97.25, "4/4", "A minor", 1)
    assert 0 < told["confidence"] <= 1
    assert {part["channel"] for part in told["parts"].values()} <= {1, 2, 3, 10}


def test_a_plain_mono_file_of_any_rate_is_heard(tmp_path):
    audio = band(Grid(120.0, bars=2), Key.parse("C major"))[0, ::3]
    soundfile.write(tmp_path / "a.flac", audio, 16_000)
    assert main(["midi", str(tmp_path / "a.flac")]) == 0
    assert tempo(tmp_path / "a.mid") == pytest.approx(120, rel=0.01)
    assert main(["midi", str(tmp_path / "a.flac"), "--out", str(tmp_path / "b.mid"), "--bpm", "60"]) == 0
    assert tempo(tmp_path / "b.mid") == pytest.approx(60)


def test_a_pad_without_a_beat_is_written_as_played(tmp_path, capsys):
    soundfile.write(tmp_path / "pad.wav", pad(Key.parse("A minor"), 4.0).T, 48_000)
    assert main(["midi", str(tmp_path / "pad.wav")]) == 0
    assert "no beat was heard" in capsys.readouterr().err
    assert tempo(tmp_path / "pad.mid") == pytest.approx(120)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 3.0])
def test_silence_writes_nothing(tmp_path, seconds, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros((round(seconds * 44_100), 1)), 44_100)
    assert main(["midi", str(tmp_path / "a.wav")]) in (1, 2)
    assert capsys.readouterr().err.strip()
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_what_is_not_audio_writes_nothing(tmp_path, capsys):
    (tmp_path / "a.wav").write_text("not audio")
    for file in ("a.wav", "gone.wav"):
        assert main(["midi", str(tmp_path / file)]) in (1, 2)
        assert file in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--quantise", "1.5"), "expected 0"),
        (("--quantise", "nan"), "expected 0"),
        (("--bpm", "1"), "expected 30"),
        (("--hear", "bass"), "expected one of auto, drums, notes"),
        (("--out", "/no/such/folder/a.mid"), "does not exist"),
    ],
)
def test_wrong_options_are_told_before_anything_is_heard(loop, words, told, capsys):
    assert main(["midi", str(loop), *words]) == 2
    assert told in capsys.readouterr().err


def test_a_drum_loop_that_is_given_as_notes_is_remarked(tmp_path, capsys):
    soundfile.write(tmp_path / "drums.wav", drums(Grid(120.0, bars=2)).T, 48_000)
    code = main(["midi", str(tmp_path / "drums.wav"), "--hear", "notes"])
    said = capsys.readouterr().err
    assert (code == 2 and "no note with a pitch was heard" in said) or "sounds like notes" in said


@pytest.mark.heavy
def test_a_file_of_more_than_ten_minutes_is_heard_from_its_beginning(tmp_path, capsys):
    part = drums(Grid(120.0, bars=32))[:, ::4]
    soundfile.write(tmp_path / "long.wav", np.tile(part, 10).T, 12_000)
    assert main(["midi", str(tmp_path / "long.wav"), "--bpm", "120"]) == 0
    assert "only the first 600 s were heard" in capsys.readouterr().err
    assert mido.MidiFile(tmp_path / "long.mid").length == pytest.approx(600, abs=1)

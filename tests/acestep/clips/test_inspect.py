"""`acestep inspect`: what a file is, claims and measures, for people and as JSON, with plot and MIDI."""

import argparse
import json

import mido
import numpy as np
import pytest
import soundfile

from acestep.clips.inspect import describe, plot, run
from acestep.errors import InvalidRequest, UnreadableAudio
from acestep.music.grid import Grid
from server.cli.acestep import parser
from tests.support.band import drums, write_labelled


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    return write_labelled(tmp_path_factory.mktemp("inspect") / "loop.wav")


def arguments(*values: object) -> argparse.Namespace:
    return parser().parse_args(["inspect", *map(str, values)])


def test_claims_of_the_chunks_are_checked_against_what_is_heard(loop):
    found = describe(loop)
    assert found["claimed"] == {
        "bpm": 97.25,
        "signature": "4/4",
        "bars": 2,
        "key": "A minor",
        "exact_length": True,
    }
    assert found["errors"]["tempo_error_pct"] < 0.5
    assert abs(found["errors"]["downbeat_error_ms"]) < 25
    assert found["errors"]["key_match"] == "same key"
    assert set(found["chunks"]) == {"acid", "smpl", "cue", "bext", "info", "iXML"}


def test_people_read_lines_and_programs_read_json(loop, capsys):
    assert run(arguments(loop)) == 0
    said = capsys.readouterr().out
    assert "97.2" in said
    assert "A minor" in said
    assert "length exact" in said
    assert run(arguments(loop, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["measured"]["key"] == "A minor"


def test_plot_and_midi_are_written(loop, tmp_path, capsys):
    assert run(arguments(loop, "--plot", tmp_path / "a.png", "--midi", tmp_path / "a.mid")) == 0
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert mido.MidiFile(tmp_path / "a.mid").length > 0
    plot(loop, tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size > 10_000


def test_the_plots_title_has_tempo_key_and_loudness(loop, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    titles = []
    monkeypatch.setattr(Figure, "suptitle", lambda _, text, **style: titles.append(text))
    plot(loop, tmp_path / "a.png")
    measured = describe(loop)["measured"]
    assert titles == [f"loop.wav  ·  {measured['bpm']:.2f} bpm  ·  A minor  ·  {measured['lufs']:.1f} LUFS"]


def test_a_plain_file_without_any_claims_is_described(tmp_path):
    file = tmp_path / "plain.flac"
    soundfile.write(file, drums(Grid(120.0, bars=2)).T, 48_000)
    found = describe(file)
    assert "claimed" not in found
    assert found["measured"]["bpm"] == pytest.approx(120, rel=0.01)
    assert found["measured"]["key"] is None


def test_silence_is_described_and_other_files_are_errors(tmp_path, capsys):
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros((48_000, 1)), 48_000)
    assert run(arguments(silence)) == 0
    assert "no beat" in capsys.readouterr().out
    with pytest.raises(InvalidRequest, match="no beat"):
        run(arguments(silence, "--midi", tmp_path / "a.mid"))
    with pytest.raises(UnreadableAudio):
        describe(tmp_path / "gone.wav")
    with pytest.raises(InvalidRequest, match="draw"):
        plot(silence, tmp_path / "no" / "such" / "folder.png")

"""Clips split into what is struck and what sounds on."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep.music.grid import SAMPLE_RATE_HZ, Grid
from acestep.music.key import Key
from acestep.sound.riff import MusicalData, read_chunks, wav_bytes
from acestep.sound.split import split
from server.cli import acestep as cli
from tests.support.band import drums, pad


def sdr_db(true: np.ndarray, found: np.ndarray) -> float:
    return float(10 * np.log10(np.square(true).sum() / np.square(true - found).sum()))


def test_drums_go_to_one_part_and_a_pad_to_the_other() -> None:
    grid = Grid(120, bars=2)
    struck, held = drums(grid), pad(Key.parse("A minor"), grid.duration_s)
    mix = struck + held
    parts = split(mix, SAMPLE_RATE_HZ)
    assert sdr_db(struck, parts["percussive"]) > sdr_db(struck, mix) + 5
    assert sdr_db(held, parts["tonal"]) > sdr_db(held, mix) + 3


@given(length=st.integers(1, 9_000), seed=st.integers(0, 50), level=st.sampled_from([1e-4, 0.3, 1.0]))
@settings(max_examples=15, deadline=None)
def test_the_sum_of_the_parts_is_the_clip(length: int, seed: int, level: float) -> None:
    values = np.random.default_rng(seed).uniform(-level, level, (2, length))
    audio = (np.rint(values * 2**23) / 2**23).astype(np.float32)  # as 24 bits hold it
    parts = split(audio, SAMPLE_RATE_HZ)
    assert np.array_equal(parts["percussive"].astype(np.float64) + parts["tonal"], audio)


def test_the_command_writes_files_whose_sum_is_the_file(
    tmp_path: Path, home_of_its_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = Grid(92.5, bars=1)
    data = MusicalData(bpm=92.5, numerator=4, denominator=4, quarters=4)
    clip = tmp_path / "clip.wav"
    clip.write_bytes(
        wav_bytes(
            drums(grid) + 0.3 * pad(Key.parse("A minor"), grid.duration_s), SAMPLE_RATE_HZ, "pcm24", data
        )
    )
    assert cli.main(["split", str(clip), "--out", str(tmp_path / "out")]) == 0
    files = [Path(line) for line in capsys.readouterr().out.split()]
    assert [file.name for file in files] == ["clip_percussive.wav", "clip_tonal.wav"]
    whole, *parts = (soundfile.read(file, dtype="int32")[0].astype(np.int64) for file in (clip, *files))
    assert np.array_equal(parts[0] + parts[1], whole)
    assert read_chunks(files[0])["acid"]["bpm"] == 92.5
    assert cli.main(["split", str(clip), "--out", str(tmp_path / "out")]) == 2
    assert "nothing is overwritten" in capsys.readouterr().err


def test_what_cannot_be_split_is_refused_in_a_sentence(
    tmp_path: Path, home_of_its_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros((48_000, 2)), 48_000)
    for line, said in (
        ([str(silent)], "is silent"),
        ([str(tmp_path / "none.wav")], "none.wav"),
        ([str(silent), "--cascade", "nano"], "cannot extract"),
        ([str(silent), "--tracks", "bass"], "needs --cascade"),
    ):
        assert cli.main(["split", *line]) == 2
        assert said in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["silent.wav"]

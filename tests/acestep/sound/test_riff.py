"""Musical chunks of WAV files: what is written is read back, by us and by libsndfile."""

import struct
import subprocess

import numpy as np
import pytest
import soundfile

from acestep.sound.riff import MusicalData, chunks_and_notes, read_chunks, wav_bytes
from tests.support.wav_files import DATA


def noise(samples: int = 4001) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, samples)).astype(np.float32)


@pytest.mark.parametrize("sample_format", ["pcm24", "float32"])
def test_samples_survive(tmp_path, sample_format):
    file = tmp_path / "a.wav"
    audio = noise()
    file.write_bytes(wav_bytes(audio, 48_000, sample_format, DATA))
    read, rate_hz = soundfile.read(file, dtype="float32", always_2d=True)
    assert rate_hz == 48_000
    assert soundfile.info(file).subtype == ("PCM_24" if sample_format == "pcm24" else "FLOAT")
    if sample_format == "float32":
        assert np.array_equal(read.T, audio)
    else:
        assert np.abs(read.T - audio).max() <= 2**-23


def test_every_chunk_is_read_back(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(wav_bytes(noise(), 48_000, "pcm24", DATA))
    chunks = read_chunks(file)
    assert chunks["acid"]["bpm"] == pytest.approx(127.37)
    assert chunks["acid"]["signature"] == "7/8"
    assert chunks["acid"]["quarters"] == 14
    assert chunks["acid"]["root_note"] == 69
    assert not chunks["acid"]["one_shot"]
    assert chunks["smpl"] == {"root_note": 69, "loops": [[0, 4000]]}
    assert chunks["cue"] == [0, 1000, 2000]
    assert chunks["bext"]["time_reference"] == 2**33 + 5
    assert (chunks["bext"]["date"], chunks["bext"]["time"]) == ("2026-11-22", "21:45:01")
    assert chunks["info"]["INAM"] == "dusty breakbeat"
    assert chunks["info"]["ICMT"] == "fit good; ümlaut & <tag>"
    assert "<BPM>127.37</BPM>" in chunks["iXML"]
    assert "&lt;tag&gt;" in chunks["iXML"]


def test_libsndfile_sees_the_same_loop_and_tempo(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(wav_bytes(noise(), 48_000, "pcm24", DATA))
    with soundfile.SoundFile(file) as sound:
        log = sound.extra_info
    assert "Meter" in log
    assert "7/8" in log.replace(" ", "")
    assert "127.37" in log
    assert "bext" in log


def test_unpitched_one_shots_have_neither_root_nor_loop(tmp_path):
    file = tmp_path / "a.wav"
    plain = MusicalData(bpm=90, numerator=4, denominator=4, quarters=4, loop=False)
    file.write_bytes(wav_bytes(noise(), 48_000, "pcm24", plain))
    chunks = read_chunks(file)
    assert chunks["acid"]["root_note"] is None
    assert chunks["acid"]["one_shot"]
    assert chunks["smpl"]["loops"] == []
    assert "cue" not in chunks


def test_other_files_have_no_chunks_and_broken_ones_are_passed_over_with_a_note(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("hello")
    assert read_chunks(text) == {}
    broken = tmp_path / "b.wav"
    broken.write_bytes(b"RIFF\0\0\0\0WAVE" + b"acid" + struct.pack("<I", 4) + b"1234")
    note = "its acid chunk has 4 bytes, which is too short, and was passed over"
    assert chunks_and_notes(broken) == ({}, (note,))


def test_values_outside_the_range_are_clipped_not_wrapped(tmp_path):
    file = tmp_path / "a.wav"
    audio = np.array([[2.0, -2.0, 1.0, -1.0]], np.float32)
    file.write_bytes(wav_bytes(audio, 48_000, "pcm24", DATA))
    read, _ = soundfile.read(file, dtype="float64")
    assert read == pytest.approx([1 - 2**-23, -1.0, 1 - 2**-23, -1.0], abs=1e-9)


@pytest.mark.heavy
def test_sndfile_info_accepts_the_file(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(wav_bytes(noise(), 48_000, "pcm24", DATA))
    try:
        said = subprocess.run(["sndfile-info", file], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("sndfile-info is not installed")
    assert said.returncode == 0
    assert "acid" in said.stdout

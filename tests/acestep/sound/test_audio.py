"""Reading audio: every readable file gives float32 stereo at 48 kHz, every other a clear error."""

import numpy as np
import pytest
import soundfile

from acestep.errors import UnreadableAudio
from acestep.request import AudioRange
from acestep.sound.audio import load_audio, probe, read_audio


def tone(rate_hz: int, seconds: float = 0.4, channels: int = 2) -> np.ndarray:
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.repeat((0.5 * np.sin(2 * np.pi * 440 * t))[:, None], channels, axis=1)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_becomes_stereo_at_48_khz(tmp_path, rate_hz, channels):
    file = tmp_path / "a.wav"
    soundfile.write(file, tone(rate_hz, channels=channels), rate_hz, subtype="PCM_24")
    audio = read_audio(file)
    assert audio.dtype == np.float32
    assert audio.shape == (2, 19_200)
    middle = audio[:, 4_000:16_000]
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4_000, 16_000) / 48_000)
    assert np.abs(middle - expected).max() < 2e-3


@pytest.mark.parametrize(
    ("ending", "subtype"),
    [("wav", "PCM_16"), ("wav", "FLOAT"), ("wav", "PCM_U8"), ("aiff", "PCM_24"), ("flac", "PCM_24")],
)
def test_common_formats_are_read(tmp_path, ending, subtype):
    file = tmp_path / f"a.{ending}"
    soundfile.write(file, tone(48_000), 48_000, subtype=subtype)
    assert np.abs(read_audio(file) - tone(48_000).T).max() < 0.02
    assert probe(file).encoding == subtype


def test_a_range_is_cut_out_and_rates_are_kept_in_step(tmp_path):
    file = tmp_path / "a.wav"
    ramp = np.linspace(0, 1, 96_000)
    soundfile.write(file, np.stack([ramp, ramp], axis=1), 96_000, subtype="FLOAT")
    part = read_audio(file, 0.25, 0.75)
    assert part.shape == (2, 24_000)
    assert part[0, 12_000] == pytest.approx(0.5, abs=1e-3)
    assert np.array_equal(part, read_audio(AudioRange(str(file), 0.25, 0.75)))


def test_samples_that_are_no_numbers_become_silence_with_a_note(tmp_path):
    file = tmp_path / "a.wav"
    samples = tone(48_000)
    samples[100, 0], samples[200, 1], samples[300, 0] = np.nan, np.inf, -np.inf
    soundfile.write(file, samples, 48_000, subtype="FLOAT")
    audio = load_audio(file)
    assert np.isfinite(audio.samples).all()
    assert audio.samples[0, 100] == 0
    assert "3 samples" in audio.notes[0]


def test_surround_is_folded_to_two_channels_with_a_note(tmp_path):
    file = tmp_path / "a.wav"
    soundfile.write(file, tone(48_000, channels=6), 48_000)
    audio = load_audio(file)
    assert audio.samples.shape[0] == 2
    assert "6 channels" in audio.notes[0]


def test_missing_folder_empty_and_other_files_are_clear_errors(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no audio at all, " * 50)
    empty = tmp_path / "empty.wav"
    empty.touch()
    for path, words in (
        (tmp_path / "gone.wav", "does not exist"),
        (tmp_path, "folder"),
        (text, "not audio"),
        (empty, "empty"),
        ("bad\0name.wav", "cannot be opened"),
    ):
        with pytest.raises(UnreadableAudio, match=words):
            read_audio(path)


@pytest.mark.parametrize("ending", ["wav", "aiff", "flac"])
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.02])
def test_a_truncated_file_is_a_clear_error(tmp_path, ending, keep):
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (48_000, 2))
    soundfile.write(whole, noise, 48_000)
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(UnreadableAudio):
        read_audio(cut)


def test_what_is_too_long_is_refused_before_it_is_read_but_a_part_of_it_is_not(tmp_path):
    file = tmp_path / "long.flac"
    with soundfile.SoundFile(file, "w", 8_000, 1) as sound:
        block = np.zeros(8_000 * 600)
        for _ in range(60):
            sound.write(block)
    assert probe(file).duration_s == 36_000
    with pytest.raises(UnreadableAudio, match="at most 900 s"):
        read_audio(file)
    assert read_audio(file, 35_000, 35_010).shape == (2, 480_000)


def test_an_empty_range_is_a_clear_error(tmp_path):
    file = tmp_path / "a.wav"
    soundfile.write(file, tone(48_000), 48_000)
    with pytest.raises(UnreadableAudio, match=r"lasts 0.40 s"):
        read_audio(file, 2.0, 3.0)


def test_a_wav_written_to_a_pipe_without_a_length_is_read(tmp_path):
    file = tmp_path / "pipe.wav"
    soundfile.write(file, tone(48_000), 48_000, subtype="PCM_16")
    content = bytearray(file.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(bytes(content))
    assert read_audio(file).shape == (2, 19_200)

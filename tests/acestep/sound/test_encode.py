"""Files other than WAV: the samples and the musical data survive, and other programs read them."""

import dataclasses
import io

import numpy as np
import pytest
import soundfile

from acestep.errors import InvalidRequest
from acestep.music.key import Key
from acestep.sound.encode import encode, mp3_headroom_db
from acestep.sound.labels import read_labels
from acestep.sound.loudness import true_peak_db
from acestep.sound.tags import short_key
from tests.support.wav_files import DATA


def sound(samples: int = 48_000) -> np.ndarray:
    t = np.arange(samples) / 48_000
    return np.stack([0.5 * np.sin(2 * np.pi * 220 * t), 0.4 * np.sin(2 * np.pi * 330 * t)]).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "sample_format", "subtype"),
    [("aiff", "pcm24", "PCM_24"), ("aiff", "float32", "FLOAT"), ("flac", "pcm24", "PCM_24")],
)
def test_lossless_formats_keep_every_sample(tmp_path, kind, sample_format, subtype):
    file = tmp_path / f"a.{kind}"
    file.write_bytes(encode(sound(), 48_000, kind, sample_format, DATA))
    read, rate_hz = soundfile.read(file, dtype="float32")
    assert (rate_hz, soundfile.info(file).subtype) == (48_000, subtype)
    assert read.shape == (48_000, 2)
    assert np.abs(read.T - sound()).max() <= 2**-23


def test_apple_loops_data_is_in_aiff(tmp_path):
    file = tmp_path / "a.aiff"
    file.write_bytes(encode(sound(), 48_000, "aiff", "pcm24", DATA))
    tags = read_labels(file)
    assert (tags.beats, tags.root, tags.key, tags.signature) == (28, 9, "A minor", "7/8")
    with soundfile.SoundFile(file) as opened:
        log = opened.extra_info
    assert "basc" in log
    assert "Num Beats" in log or "num_beats" in log.lower() or "beats" in log.lower()


@pytest.mark.parametrize("kind", ["flac", "mp3"])
def test_tempo_and_key_are_in_the_tags(tmp_path, kind):
    file = tmp_path / f"a.{kind}"
    data = dataclasses.replace(DATA, key="F# minor")
    file.write_bytes(encode(sound(), 48_000, kind, "pcm24", data))
    tags = read_labels(file)
    assert tags.bpm == 127.37  # ID3's own field holds 127
    assert (Key.parse(tags.key), tags.signature, tags.title) == (
        Key.parse("F# minor"),
        "7/8",
        "dusty breakbeat",
    )
    assert soundfile.info(file).frames >= 48_000
    if kind == "mp3":
        assert b"TBPM" in file.read_bytes()


def test_mp3_sounds_like_what_went_in(tmp_path):
    file = tmp_path / "a.mp3"
    file.write_bytes(encode(sound(), 48_000, "mp3", "pcm24", DATA))
    read, _ = soundfile.read(file, dtype="float32")
    strength = np.abs(np.fft.rfft(read[8_000:40_000, 0] * np.hanning(32_000)))
    assert np.argmax(strength) * 48_000 / 32_000 == pytest.approx(220, abs=2)


def test_what_is_no_format_is_refused():
    with pytest.raises(InvalidRequest, match="expected one of"):
        encode(sound(), 48_000, "ogg", "pcm24", DATA)


def test_files_without_tags_have_none(tmp_path):
    for name, content in (("a.mp3", b"ID3"), ("a.flac", b"fLaC"), ("a.aiff", b"FORM"), ("b", b"")):
        (tmp_path / name).write_bytes(content)
        assert read_labels(tmp_path / name).to_dict() == {}
    assert read_labels(tmp_path / "gone").to_dict() == {}


def test_keys_are_short_in_tags():
    assert [short_key(key) for key in ("F# minor", "C major", "")] == ["F#m", "C", ""]


def test_an_mp3_stays_under_the_ceiling_when_it_is_decoded():
    noise = np.random.default_rng(5).standard_normal((2, 96_000))
    bursts = np.sign(noise) * (np.arange(96_000) % 12_000 < 2_000) * 0.8
    gain_db = mp3_headroom_db(bursts.astype(np.float32), 48_000, -1.0)
    assert gain_db < 0
    loud = (bursts * 10 ** (gain_db / 20)).astype(np.float32)
    decoded = soundfile.read(io.BytesIO(encode(loud, 48_000, "mp3", "pcm24", DATA)), dtype="float32")[0].T
    assert true_peak_db(decoded) <= -1.0

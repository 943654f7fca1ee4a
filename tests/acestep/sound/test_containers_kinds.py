"""Rarer kinds of files: joined and broken OGG, odd places of samples, Apple's channel layouts, old codecs."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from acestep.errors import UnreadableAudio
from acestep.sound.audio import audio_blocks, load_audio, probe
from tests.support.closeness import assert_close
from tests.support.wav_files import FRAMES, RATE_HZ, chunk, noise, wav, written

SOUND = noise()
WHOLE = (SOUND * (2**23 - 1)).astype("<i4")  # 24 bits
GUID = b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"


def tones(seconds: float, rate_hz: int = 48_000) -> np.ndarray:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.stack([0.3 * np.sin(2 * np.pi * 220 * t), 0.2 * np.sin(2 * np.pi * 331 * t)], axis=1)


def ogg(file: Path, seconds: float, kind: str = "OPUS", rate_hz: int = 48_000, channels: int = 2) -> bytes:
    soundfile.write(file, tones(seconds, rate_hz)[:, :channels], rate_hz, format="OGG", subtype=kind)
    return file.read_bytes()


@pytest.mark.parametrize("kind", ["OPUS", "VORBIS"])
def test_joined_ogg_streams_are_read_one_behind_the_other(tmp_path: Path, kind: str) -> None:
    one, two, file = tmp_path / "1.ogg", tmp_path / "2.ogg", tmp_path / "a.ogg"
    file.write_bytes(ogg(one, 2.0, kind) + ogg(two, 1.0, kind))
    whole = load_audio(file).samples
    assert whole.shape[1] == 3 * 48_000
    assert np.array_equal(whole, np.hstack([load_audio(one).samples, load_audio(two).samples]))
    assert np.array_equal(load_audio(file, 1.5, 2.5).samples, whole[:, 72_000:120_000])
    assert np.array_equal(load_audio(file, 2.25).samples, whole[:, 108_000:])
    assert sum(map(len, audio_blocks(file, 4_096))) == probe(file).frames == 3 * 48_000


def test_joined_ogg_streams_of_several_kinds_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.ogg"
    stereo = ogg(file, 1.0)
    file.write_bytes(stereo + ogg(tmp_path / "b.ogg", 1.0, channels=1))
    with pytest.raises(UnreadableAudio, match="streams with different sample rates or channels"):
        probe(file)


@pytest.mark.parametrize(("missing", "seconds"), [(5, (3, 4)), (4_000, (1, 4))])
def test_an_ogg_cut_off_inside_is_read_to_its_last_whole_page(
    tmp_path: Path, missing: int, seconds: tuple[float, float]
) -> None:
    file = tmp_path / "a.ogg"
    whole = ogg(file, 4.0)
    before = load_audio(file).samples
    file.write_bytes(whole[:-missing])
    audio = load_audio(file)
    assert audio.notes == ("it is cut off inside: what is there was read",)
    assert seconds[0] * 48_000 <= audio.samples.shape[1] < seconds[1] * 48_000
    count = audio.samples.shape[1] - 4_800
    assert_close(audio.samples[:, :count], before[:, :count], within=3e-4)


@pytest.mark.parametrize("length", [5, 20, 40, 200])
def test_an_ogg_cut_off_before_its_sound_is_refused_in_a_plain_sentence(tmp_path: Path, length: int) -> None:
    file = tmp_path / "a.ogg"
    file.write_bytes(ogg(file, 1.0)[:length])
    with pytest.raises(UnreadableAudio, match="is cut off: it ends before its sound begins"):
        load_audio(file)


@pytest.mark.parametrize("kind", ["OPUS", "VORBIS"])
def test_an_ogg_with_damaged_pages_is_not_read_short(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a.ogg"
    content = bytearray(ogg(file, 4.0, kind))
    content[-100] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(UnreadableAudio, match=r"is damaged: 1 of its \d+ pages"):
        load_audio(file)


def test_what_is_behind_an_ogg_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "a.ogg"
    content = ogg(file, 1.0)
    file.write_bytes(content + b"TAG" + bytes(125))
    assert probe(file).frames == 48_000
    assert probe(file).notes == ()


@pytest.mark.parametrize("subtype", ["DWVW_16", "DWVW_24"])
def test_an_aiff_of_a_codec_that_says_it_can_seek_and_cannot_is_read(tmp_path: Path, subtype: str) -> None:
    file = tmp_path / "a.aiff"
    soundfile.write(file, SOUND[:, 0], RATE_HZ, subtype=subtype)
    whole = load_audio(file, sample_rate_hz=RATE_HZ).samples
    assert_close(whole[0], SOUND[:, 0], within=3e-4)
    part = load_audio(file, 0.5, 0.75, sample_rate_hz=RATE_HZ).samples
    assert np.array_equal(part, whole[:, 22_050:33_075])


@pytest.mark.parametrize("subtype", ["DPCM_8", "DPCM_16"])
def test_an_xi_instrument_is_read_whole_and_its_rate_said_to_be_assumed(tmp_path: Path, subtype: str) -> None:
    file = tmp_path / "a.xi"
    soundfile.write(file, tones(1.0, 44_100)[:, 0], 44_100, format="XI", subtype=subtype)
    audio = load_audio(file, sample_rate_hz=44_100)
    assert_close(audio.samples[0], tones(1.0, 44_100)[:, 0], within=0.05)
    assert "44100 Hz is assumed" in audio.notes[0]


def pcm(tag: int, align: int, bits: int, rest: bytes = b"") -> bytes:
    return struct.pack("<HHIIHH", tag, 2, RATE_HZ, RATE_HZ * align, align, bits) + rest


PLACED = WHOLE << 8  # 24 bits in places of 32, as they are meant to lie: at the top
SIXTEEN = (SOUND * 32_767).astype("<i2")


@pytest.mark.parametrize(
    ("fmt", "samples"),
    [
        (pcm(1, 8, 24), PLACED),
        (pcm(1, 8, 20), PLACED),
        (pcm(0xFFFE, 8, 32, struct.pack("<HHI", 22, 24, 3) + GUID), PLACED),
        (pcm(0xFFFE, 8, 24, struct.pack("<HHI", 22, 24, 3) + GUID), PLACED),
        (pcm(1, 4, 16)[:14], SIXTEEN),
        (pcm(0xFFFE, 4, 16), SIXTEEN),
        (pcm(0xFFFE, 4, 16, struct.pack("<HHI", 22, 16, 3)), SIXTEEN),
        (pcm(0xFFFE, 4, 16, struct.pack("<H", 0)), SIXTEEN),
    ],
    ids=["24 in 32", "20 in 32", "extensible 24 of 32", "extensible that says 24", "14 bytes",
         "extensible of 16", "extensible of 24", "extensible of 18"],
)  # fmt: skip
def test_samples_in_wider_places_and_short_formats_are_read(
    tmp_path: Path, fmt: bytes, samples: np.ndarray
) -> None:
    file = wav(tmp_path / "a.wav", chunk(b"fmt ", fmt), chunk(b"data", samples.tobytes()))
    audio = load_audio(file, sample_rate_hz=RATE_HZ).samples
    assert audio.shape[1] == FRAMES
    assert_close(audio.T, SOUND, within=3e-4)  # sixteen bits of a sound of half scale


RUBBISH = [np.random.default_rng(1).bytes(50_001), b"no sound " * 9_000, b"\xff" * 9_000]


@pytest.mark.parametrize("behind", RUBBISH, ids=["noise", "text", "ones"])
@pytest.mark.parametrize("kind", ["float.wav", "double.wav", "a.aiff", "float.aiff", "sowt.aiff"])
def test_rubbish_behind_float_and_aiff_sound_is_not_read(tmp_path: Path, kind: str, behind: bytes) -> None:
    file = tmp_path / kind
    subtype = {"float": "FLOAT", "double": "DOUBLE"}.get(kind.split(".")[0], "PCM_16")
    endian = "LITTLE" if kind.startswith("sowt") else "FILE"
    content = written(file, SOUND, subtype=subtype, endian=endian)
    file.write_bytes(bytes(content) + behind)
    audio = load_audio(file, sample_rate_hz=RATE_HZ).samples
    assert audio.shape[1] == FRAMES
    assert_close(audio.T, SOUND, within=3e-4)  # sixteen bits of a sound of half scale


def apple(*labels: int) -> bytes:
    return struct.pack(">III", 0, 0, len(labels)) + b"".join(
        struct.pack(">II3f", n, 0, 0, 0, 0) for n in labels
    )


LAYOUTS = [
    (struct.pack(">III", (124 << 16) | 6, 0, 0), 0, "FC FL FR BL BR LFE"),
    (struct.pack(">III", 1 << 16, 0x3F, 0), 2, "FL FR FC LFE BL BR"),
    (apple(1, 2, 5, 6, 3, 4), 4, "FL FR BL BR FC LFE"),
    (apple(1, 2, 33, 34, 3, 4), 4, "FL FR BL BR FC LFE"),
]


@pytest.mark.parametrize(("layout", "centre", "named"), LAYOUTS)
@pytest.mark.parametrize("kind", ["AIFF", "CAF"])
def test_apples_channel_layouts_say_where_channels_belong(
    tmp_path: Path, kind: str, layout: bytes, centre: int, named: str
) -> None:
    file = tmp_path / f"a.{kind.lower()}"
    samples = np.zeros((RATE_HZ, 6))
    samples[:, centre] = 0.5
    soundfile.write(file, samples, RATE_HZ, format=kind)
    content = file.read_bytes()
    if kind == "AIFF":
        at = content.index(b"SSND")
        new = content[:at] + b"CHAN" + struct.pack(">I", len(layout)) + layout + content[at:]
        file.write_bytes(new[:4] + struct.pack(">I", len(new) - 8) + new[8:])
    else:
        at = content.index(b"data")
        file.write_bytes(content[:at] + b"chan" + struct.pack(">q", len(layout)) + layout + content[at:])
    left, right = load_audio(file).samples.max(axis=1)
    assert left == right > 0.05
    assert f"({named})" in probe(file).notes[0]
    assert "assumed" not in probe(file).notes[0]


@pytest.mark.parametrize(
    "layout", [b"", b"\0\0\0", struct.pack(">III", 99 << 16, 0, 0), apple(1, 2), apple(*[999] * 6)]
)
def test_a_layout_that_nobody_knows_is_told_to_be_assumed(tmp_path: Path, layout: bytes) -> None:
    file = tmp_path / "a.caf"
    soundfile.write(file, np.full((RATE_HZ, 6), 0.1), RATE_HZ, format="CAF")
    content = file.read_bytes()
    at = content.index(b"data")
    file.write_bytes(content[:at] + b"chan" + struct.pack(">q", len(layout)) + layout + content[at:])
    assert "the usual order was assumed" in probe(file).notes[0]
